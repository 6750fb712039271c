"""Steps in one pass: what merges, what is no longer stored, and that nobody sees a difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphnet as gn
from graphnet import nn, optim
from graphnet.backend.base import Bound
from graphnet.backend.native.backend import NativeBackend
from graphnet.backend.native.loops import Store, accesses
from graphnet.backend.native.spans import Share, Touch, meetings
from graphnet.backend.native.steps import Native
from graphnet.ops import activations, elementwise, unary
from graphnet.ops.slicing import Pad

ADD, TIMES, RELU, SQUARE = elementwise.Add(), elementwise.Multiply(), activations.Relu(), unary.Square()


def joined(steps, threads=1):
    """The one call that the steps become."""
    backend = NativeBackend(threads)
    kernels = backend.kernels(steps)
    assert all(kernel is not None for kernel in kernels)
    ((_, native),) = backend.joined(kernels)
    assert isinstance(native, Native)
    return native


def stores(native):
    """How many different arrays the loops store to, for each step or pass of the call."""
    return [
        len({access.buffer for loops in step.loops for _, access in accesses(loops.body) if isinstance(access, Store)})
        for step in native.steps
    ]


def arrays(count, shape=(5, 33), dtype="f"):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape).astype(dtype) for _ in range(count)]


def test_a_chain_is_one_pass_that_stores_its_end_only():
    x, y, a, b, out = arrays(5)
    expected = np.maximum(x * y + x, 0)
    native = joined([Bound(TIMES, a, (x, y), (), False), Bound(ADD, b, (a, x), (), False), Bound(RELU, out, (b,), ())])
    assert native.merged == [(0, 1, 2)]
    assert stores(native) == [1]
    before = a.copy(), b.copy()
    native()
    assert np.array_equal(out, expected)
    assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])


def test_what_others_read_is_stored():
    x, y, a, out = arrays(4)
    total = np.zeros((5,), "f")
    steps = [
        Bound(TIMES, a, (x, y), (), False),
        Bound(RELU, out, (a,), ()),
        Bound(gn.ops.shaping.Sum((1,), False), total, (a,), ()),
    ]
    native = joined(steps)
    assert native.merged == [(0, 1)]
    assert stores(native)[0] == 2
    native()
    np.testing.assert_allclose(total, (x * y).sum(1), rtol=1e-5)


def test_a_value_is_not_looked_for_behind_the_one_that_took_its_bytes():
    """Step 2 writes over what step 0 made, so step 3 does not read that."""
    x, a, b, c = arrays(4)
    rolled = np.ascontiguousarray(x.T)
    steps = [
        Bound(SQUARE, a, (x,), (), False),
        Bound(RELU, b, (a,), ()),
        Bound(TIMES, a.reshape(33, 5), (rolled, rolled), (), False),
        Bound(RELU, c.reshape(33, 5), (a.reshape(33, 5),), ()),
    ]
    native = joined(steps)
    assert stores(native) == [2] and native.merged == [(0, 1, 2, 3)]
    native()
    assert np.array_equal(b, np.maximum(x * x, 0)) and np.array_equal(c, rolled.ravel().reshape(5, 33) ** 2)


def test_a_value_read_at_other_places_is_not_in_the_same_pass():
    x, a, out = arrays(3, (8, 8))
    native = joined([Bound(SQUARE, a, (x,), ()), Bound(ADD, out, (a, a.T), ())])
    assert native.merged == []
    native()
    assert np.array_equal(out, x * x + (x * x).T)


def test_a_pass_may_write_over_what_it_reads():
    """The update of a parameter with momentum, in place."""
    w, v, g = arrays(3)
    expected_v = v * v + g
    expected_w = w + expected_v
    native = joined([Bound(TIMES, v, (v, v), ()), Bound(ADD, v, (v, g), ()), Bound(ADD, w, (w, v), ())])
    assert native.merged == [(0, 1, 2)]
    native()
    assert np.array_equal(v, expected_v) and np.array_equal(w, expected_w)


def test_another_shape_of_the_same_elements_and_a_border():
    """Flattened, then padded on both sides: the border is filled, the inside written once."""
    x, a = arrays(2, (6, 10))
    out = np.full((64,), 9, "f")
    pad = Pad((2,), (1,), (64,), -1.0)
    native = joined([Bound(RELU, a, (x,), (), False), Bound(pad, out, (a.reshape(60),), ())])
    assert native.merged == [(0, 1)]
    native()
    assert np.array_equal(out, np.pad(np.maximum(x, 0).ravel(), 2, constant_values=-1))


@pytest.mark.parametrize("step", [2, -2, 1, -1])
def test_a_border_is_not_written_over_what_the_pass_reads(step):
    """The padding lies where the elements lay that it comes from, as they did."""
    (x,) = arrays(1, (41,))
    a = np.zeros_like(x[::step])
    expected = np.zeros_like(x)
    expected[::step] = x[::step] ** 2
    pad = Pad((0 if step > 0 else 40,), (step,), (41,), 0.0)
    native = joined([Bound(SQUARE, a, (x[::step],), (), False), Bound(pad, x, (a,), ())])
    assert native.merged == ([(0, 1)] if abs(step) == 1 else [])  # what is only turned has no border
    native()
    assert np.array_equal(x, expected)


def test_steps_between_are_passed_by_where_they_touch_other_memory():
    x, y, a, b, out = arrays(5)
    between = Bound(SQUARE, y.T, (y.T,), ())
    assert joined([Bound(SQUARE, a, (x,), ()), between, Bound(ADD, out, (a, x), ())]).merged == [(0, 2)]
    between = Bound(ADD, x[:, ::-1], (y, b), ())  # writes what the last one reads
    assert joined([Bound(SQUARE, a, (x,), ()), between, Bound(ADD, out, (a, x), ())]).merged == []


# -- any steps on one arena ----------------------------------------------------------------------------------------

SHAPES = ((24,), (4, 6), (6, 4), (2, 3, 4), (1,))


@dataclass(frozen=True)
class Where:
    """An array of the arena: `size` elements from `start`, seen in a shape, its axes reversed or not."""

    start: int
    shape: tuple[int, ...]
    turned: bool

    def of(self, arena):
        size = int(np.prod(self.shape))
        found = arena[self.start : self.start + size].reshape(self.shape)
        return found.T.reshape(found.T.shape) if self.turned else found


places = st.builds(Where, st.integers(0, 10).map(lambda n: n * 12), st.sampled_from(SHAPES), st.booleans())


@st.composite
def schedules(draw):
    """Steps whose result lies apart from each operand or exactly on it, as planners have it."""
    arena = np.arange(160)
    steps = []
    for _ in range(draw(st.integers(2, 7))):
        op = draw(st.sampled_from([ADD, TIMES, RELU, SQUARE]))
        out = draw(places)
        shape = out.of(arena).shape
        inputs = []
        for _ in range(2 if op in (ADD, TIMES) else 1):
            x = draw(st.one_of(st.just(out), places, st.sampled_from([s[1] for s in steps]) if steps else places))
            mine = x.of(arena)
            fits = mine.shape == shape or mine.size == 1
            apart = not np.intersect1d(mine, out.of(arena)).size
            inputs.append(x if fits and (x == out or apart) else out)
        steps.append((op, out, tuple(inputs), draw(st.booleans())))
    return steps


@settings(max_examples=60, deadline=None, derandomize=True)
@given(schedules())
def test_any_steps_give_what_they_give_one_by_one(steps):
    arena = np.random.default_rng(0).standard_normal(160).astype("f")
    expected, wanted = arena.copy(), np.ones(160, bool)
    for op, out, inputs, kept in steps:
        operands = [x.of(expected).copy() for x in inputs]
        op.compute(out.of(expected), *operands)
        out.of(wanted)[...] = kept
    bound = [Bound(op, out.of(arena), tuple(x.of(arena) for x in inputs), (), kept) for op, out, inputs, kept in steps]
    joined(bound, threads=3)()
    assert np.array_equal(arena[wanted], expected[wanted], equal_nan=True)


# -- meeting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "met"),
    [
        (Share(4, (Touch(0, 8, 8, True),)), Share(4, (Touch(0, 8, 8, False),)), False),
        (Share(4, (Touch(0, 8, 8, True),)), Share(4, (Touch(0, 9, 8, False),)), True),
        (Share(4, (Touch(0, 8, 8, True),)), Share(4, (Touch(4, 8, 4, False),)), True),
        (Share(4, (Touch(0, 8, 8, True),)), Share(2, (Touch(0, 16, 16, False),)), True),
        (Share(4, (Touch(0, 8, 8, False),)), Share(2, (Touch(0, 16, 16, False),)), False),
        (Share(4, (Touch(0, 8, 8, True),)), Share(2, (Touch(32, 48, 16, True),)), False),
        (Share(1, (Touch(0, 8, 0, True),)), Share(1, (Touch(0, 8, 0, True),)), False),
        (Share(1, (Touch(0, 8, 0, True),)), Share(2, (Touch(0, 4, 4, False),)), True),
        (Share(4, (Touch(24, 32, -8, True),)), Share(4, (Touch(24, 32, -8, False),)), False),
        (Share(4, (Touch(0, 8, 8, False),)), Share(4, (Touch(8, 16, 8, True),)), True),
    ],
)
def test_threads_meet_where_one_needs_what_another_wrote(first, second, met):
    assert list(meetings([first, second])) == [False, met]


def test_a_kernel_waits_for_all_since_the_last_meeting():
    one, other, reader = Share(4, (Touch(0, 8, 8, True),)), Share(4, (Touch(64, 72, 8, True),)), Touch(0, 32, 0, False)
    assert list(meetings([one, other, Share(2, (reader,)), Share(2, (reader,))])) == [False, False, True, False]


# -- whole training steps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "stored"),
    [
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), 2),
        (lambda p: optim.Adam(p, lr=0.1), 3),
        (lambda p: optim.AdamW(p, lr=0.1), 3),
        (lambda p: optim.RMSprop(p, lr=0.1, momentum=0.9), 3),
    ],
)
@pytest.mark.parametrize("size", [(33,), (300, 300)])
def test_an_optimizer_goes_over_a_parameter_once(make, stored, size):
    w = gn.parameter(np.ones(size, "f"), "w")
    x = gn.input("x", size)
    step = gn.compile([x], None, make([w]).updates(gn.sum(w * x)), backend="native")
    commit = [kernel for _, kernel in step.program.lowered.commit_runs]
    (native,) = commit
    over = [
        count for item, count in zip(native.steps, stores(native), strict=True) if _elements(item) >= w.type.static_size
    ]
    assert over == [stored]
    assert "in one pass: " in step.explain()


def _elements(located):
    return max(block.buffer.size for block in located.blocks)


def test_checked_and_merged_steps_agree():
    """`check=2` compares each step by itself; without it the same steps run in passes."""
    x = np.random.default_rng(0).standard_normal((12, 20)).astype("f")

    def trained(check):
        gn.manual_seed(0)
        model = nn.Sequential(nn.Linear(20, 30), nn.GELU(), nn.LayerNorm(30), nn.Linear(30, 4))
        given = gn.input("x", ("N", 20))
        loss = gn.mean(gn.square(model(given)))
        step = gn.compile(given, loss, optim.AdamW(model.parameters()).updates(loss), backend="native", check=check)
        return [float(step(x)) for _ in range(4)]

    assert trained(0) == trained(2)
