"""Dropout's masks: the same bits in every layout, lying as what they leave does, drawn again where that is cheap."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.backend.native import masks
from graphnet.backend.native.masks import Mask
from graphnet.executable import Executable
from graphnet.graph.node import Node
from tests.backend.native.kernels import native

PLACES = [
    ((), ()),
    ((8,), (0,)),
    ((10_007,), (0,)),
    ((40, 120), (0, 1)),
    ((37, 120), (1, 0)),
    ((3, 21, 6, 4), (0, 2, 3, 1)),  # whole blocks in a row of memory
    ((3, 21, 7, 5), (0, 2, 3, 1)),  # and blocks across rows
    ((1, 5, 1, 16), (3, 2, 1, 0)),
]


def _compare(op: Mask, state: tuple[int, int]) -> np.ndarray:
    out = np.zeros([op.target[axis] for axis in op.order], bool)
    expected = np.empty_like(out)
    native(op, out, [np.array(state)], threads=3)
    op.compute(expected, np.array(state))
    np.testing.assert_array_equal(out, expected, strict=True)
    return out


@pytest.mark.parametrize(("shape", "order"), PLACES)
def test_the_same_bits_in_every_layout(shape: tuple[int, ...], order: tuple[int, ...]) -> None:
    for state in [(7, 5), ((1 << 63) - 1, 1 << 40)]:
        _compare(Mask(shape, order, (1 << 64) - 2, float(np.float32(0.1)), False), state)


@pytest.mark.parametrize("width", ["16", "64"])  # draws one block at a time; sixteen
def test_the_same_bits_in_vectors_of_any_width(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", width)
    for shape, order in PLACES[3:5]:
        _compare(Mask(shape, order, 3, 0.5, False), (7, 5))


def test_all_or_nothing_is_kept() -> None:
    assert _compare(Mask((40, 120), (0, 1), 3, 0.0, False), (1, 2)).all()
    assert not _compare(Mask((40, 120), (1, 0), 3, 1.0, False), (1, 2)).any()


def _trained(hidden: int, backend: str, threads: int | None = None) -> tuple[Executable, list[float], str]:
    """Three steps of a net of two dropouts, in which products are turned and lie transposed."""
    gn.manual_seed(0)
    layers = [nn.Linear(40, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, hidden), nn.ReLU(), nn.Dropout(0.1)]
    model = nn.Sequential(*layers, nn.Linear(hidden, 3))
    x, labels = gn.input("x", ("N", 40)), gn.input("labels", ("N",), "int64")
    loss = gn.cross_entropy(model(x), labels)
    updates = optim.SGD(model.parameters(), lr=0.1).updates(loss)
    step = gn.compile([x, labels], loss, updates, backend=backend, threads=threads)
    generator = np.random.default_rng(0)
    array, wanted = generator.standard_normal((48, 40)).astype("f"), generator.integers(0, 3, 48)
    losses = [float(step(array, wanted)) for _ in range(3)]
    state = b"".join(np.ascontiguousarray(value).tobytes() for value in model.state_dict().values())
    return step, losses, hashlib.sha256(state).hexdigest()


def _masks(step: Executable) -> list[Mask]:
    return [node.op for node in step.schedule.steps if isinstance(node.op, Mask)]


def test_a_mask_drawn_again_gives_the_same_bits_as_one_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first dropout's result is multiplied by 544 columns, 1088 operations an element; the second's by 3."""
    step, losses, state = _trained(544, "native", 2)
    drawn = _masks(step)
    assert [(op.stream, op.again) for op in sorted(drawn, key=lambda op: (op.stream, op.again))] == [
        (drawn[0].stream, False),
        (drawn[0].stream, True),
        (drawn[0].stream + 1, False),
    ]
    steps = step.schedule.steps
    for number, node in enumerate(steps):  # nothing lies between a mask and the first step that reads it
        if isinstance(node.op, Mask):
            users = [user for value in step.graph.users[node] for user in (value, *step.graph.users[value])]
            assert any(user in steps[number + 1 : number + 3] for user in users)
    monkeypatch.setattr(masks, "_WORK", 10**9)
    kept, same, bits = _trained(544, "native", 1)
    assert not any(op.again for op in _masks(kept))
    assert (losses, state) == (same, bits)
    # Sums of 544 products in another order, three steps long.
    np.testing.assert_allclose(losses, _trained(544, "numpy")[1], rtol=1e-5, atol=0)


def test_a_mask_lies_as_what_it_leaves() -> None:
    step, _, _ = _trained(120, "native", 2)
    assert [op.order for op in _masks(step)] == [(1, 0), (1, 0)]  # products of a batch are turned
    x = gn.input("x", (2, 3, 40, 40))
    images = gn.compile(x, gn.dropout(gn.relu(nn.Conv2d(3, 8, 3)(x)), 0.3), backend="native").specialize()
    assert [node.op.order for node in images.schedule.steps if isinstance(node.op, Mask)] == [(0, 2, 3, 1)]


def _drawing(y: Node) -> list[str]:
    return [node.op.name for node in gn.compile([], y, backend="native").schedule.steps]


def test_other_comparisons_of_random_numbers_stay_as_they_are() -> None:
    draws = gn.random.uniform((80, 80))
    exact = gn.random.uniform((80, 80), dtype="float64")
    others = [draws >= 2.0, draws >= float("nan"), exact >= 0.5, (draws >= 0.5, draws), gn.random.uniform((8,)) >= 0.5]
    for node in others:
        outputs = list(node) if isinstance(node, tuple) else [node]
        assert "mask" not in [n.op.name for n in gn.compile([], outputs, backend="native").schedule.steps]
    assert "mask" in _drawing(draws >= 0.5)


def test_a_mask_that_is_wanted_itself_is_drawn_once() -> None:
    gn.manual_seed(3)
    kept = gn.random.uniform((70, 80)) >= 0.5
    found = gn.compile(
        [], [kept, gn.where(kept, gn.constant(np.ones((70, 80), "f")), 0.0)], backend="native", threads=2
    )
    exact = gn.compile([], [kept], backend="numpy")
    gn.manual_seed(3)
    mask, values = found()
    gn.manual_seed(3)
    np.testing.assert_array_equal(mask, exact()[0])
    np.testing.assert_array_equal(values, mask.astype("f"))
    assert len(_masks(found)) == 1
