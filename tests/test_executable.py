"""What compile returns, as a function: structure, feeds, results, sizes."""

from __future__ import annotations

import copy
import pickle
import signal

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError, CopyError, DimError, FeedError
from graphnet.graph.dims import Dim
from graphnet.program import Program


def rows(count, width=3):
    return np.arange(count * width, dtype=np.float32).reshape(count, width)


@pytest.fixture
def double():
    x = gn.input("given", ("N", 3))
    return gn.compile([x], x * 2.0)


# -- structure ---------------------------------------------------------------------------------------------------------


def test_results_come_back_in_the_structure_of_outputs():
    x = gn.input("x", ())
    a, b = x + 1.0, x * 10.0
    assert gn.compile(x, a)(2.0) == 3.0
    assert gn.compile(x, [a, b])(2.0) == [3.0, 20.0]
    assert gn.compile(x, (a, b))(2.0) == (3.0, 20.0)
    assert gn.compile(x, {"a": a, 7: b})(2.0) == {"a": 3.0, 7: 20.0}
    assert gn.compile(x, (node for node in (a, b)))(2.0) == [3.0, 20.0]
    assert gn.compile(x, [])(2.0) == [] and gn.compile(x, None)(2.0) is None
    assert list(gn.compile(x, {"b": b, "a": a})(2.0)) == ["b", "a"]


def test_the_structure_is_that_of_the_time_of_compile():
    x = gn.input("x", ())
    outputs = {"a": x + 1.0}
    inputs = [x]
    step = gn.compile(inputs, outputs)
    outputs["b"] = x
    inputs.clear()
    assert step(1.0) == {"a": 2.0}


def test_the_same_node_twice_gives_two_arrays():
    x = gn.input("x", (2,))
    first, second = gn.compile(x, [x * 2.0] * 2)(np.ones(2, np.float32))
    first[:] = 0
    assert second.tolist() == [2, 2]


# -- feeds -------------------------------------------------------------------------------------------------------------


def test_feeds_go_by_position_or_by_name():
    a, b = gn.input("a", ()), gn.input("b", ())
    step = gn.compile([a, b], a - b)
    assert step(5.0, 3.0) == step(a=5.0, b=3.0) == step(5.0, b=3.0) == step(b=3.0, a=5.0) == 2.0


@pytest.mark.parametrize("name", ["self", "sizes", "arrays", "named", "an input", "lambda"])
def test_any_name_can_be_fed(name):
    x = gn.input(name, (name,) if name.isidentifier() else ("N",))
    step = gn.compile(x, x + 1.0)
    assert step(**{name: np.zeros(2, np.float32)}).tolist() == [1, 1]
    assert step.specialize(**{"N" if name == "an input" else name: 2}) is step.program
    assert step.profile(**{name: np.zeros(2, np.float32)}, repeats=1).total > 0


@pytest.mark.parametrize(
    ("arrays", "named", "text"),
    [
        ((), {}, "missing: a, b"),
        ((1.0,), {}, "missing: b"),
        ((1.0, 2.0), {"c": 3.0}, "unknown: c"),
        ((1.0,), {"a": 1.0, "b": 2.0}, "given twice: a"),
        ((1.0, 2.0, 3.0), {}, r"expected 2 arrays \(a, b\), got 3"),
        ((), {"A": 1.0, "b": 2.0}, "unknown: A; missing: a"),
    ],
)
def test_feeds_that_are_missing_unknown_or_given_twice(arrays, named, text):
    a, b = gn.input("a", ()), gn.input("b", ())
    with pytest.raises(FeedError, match=text):
        gn.compile([a, b], a + b)(*arrays, **named)


READABLE = {
    "list": lambda a: a.tolist(),
    "column-major": np.asfortranarray,
    "negative strides": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "with gaps": lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "subclass": lambda a: a.view(type("Mine", (np.ndarray,), {})),
}


@pytest.mark.parametrize("kind", READABLE)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_any_layout_is_read_right_and_left_alone(kind, dtype):
    x = gn.input("x", ("N", 3), dtype)
    given = READABLE[kind](np.arange(12).reshape(4, 3).astype(dtype))
    before = np.array(given, dtype)
    result = gn.compile(x, [x + x, x])(given)
    np.testing.assert_array_equal(result[0], before * 2)
    np.testing.assert_array_equal(result[1], before)
    np.testing.assert_array_equal(np.array(given, dtype), before)
    assert all(r.dtype == np.dtype(dtype) and not np.shares_memory(r, np.asarray(given)) for r in result)


@pytest.mark.parametrize("value", [2, 2.0, True, np.float32(2), np.array(2, np.float32), np.array(2.0, ">f4")])
def test_a_scalar_takes_numbers(value):
    x = gn.input("x", ())
    result = gn.compile(x, x * 1.5)(value)
    assert result == 1.5 * float(value) and result.shape == () and isinstance(result, np.ndarray)


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("float32", np.ones((2, 3)), r'got dtype float64; convert it with .astype\("float32"\)'),
        ("float32", np.ones((2, 3), np.float16), "got dtype float16"),
        ("float32", np.ones((2, 3), int), "got dtype int64"),
        ("float32", np.ones((2, 3), complex), "got dtype complex128"),
        ("float32", [["a"] * 3], "got dtype str"),
        ("float32", None, "got dtype object"),
        ("float32", np.full((2, 3), None), "got dtype object"),
        ("float32", [[1.0], [1.0, 2.0]], "no array"),
        ("float32", [[1e300] * 3], "numbers that do not fit float32"),
        ("int64", np.full((2, 3), np.nan), "NaN or infinity, where integers are expected"),
        ("int64", [[1.0, float("inf"), 2.0]], "NaN or infinity, where integers are expected"),
        ("int64", [[1.0, 2.0, 3.0]], "got dtype float64"),
        ("int64", np.ones((2, 3), np.int32), "got dtype int32"),
        ("int64", [[2**70] * 3], "got dtype object"),
        ("int64", [[2**63] * 3], "numbers that do not fit int64"),
        ("int8", [[300] * 3], "numbers that do not fit int8"),
        ("uint8", [[-1] * 3], "numbers that do not fit uint8"),
        ("bool", [[0] * 3], "got dtype int64"),
    ],
)
def test_a_feed_of_another_dtype(dtype, value, text):
    x = gn.input("typed", ("N", 3), dtype)
    step = gn.compile(x, x)
    with pytest.raises(FeedError, match=text) as raised:
        step(value)
    assert "input 'typed' is declared" in str(raised.value) and "test_executable.py:" in str(raised.value)


def test_lists_of_integers_that_fit_are_taken():
    x = gn.input("x", ("N",), "uint8")
    assert gn.compile(x, x)([0, 255]).tolist() == [0, 255]
    y = gn.input("y", ("N",), "float32")
    assert gn.compile(y, y)([1, float("inf"), 2**60]).tolist() == [1, float("inf"), 2.0**60]
    assert gn.compile(y, y)([]).shape == (0,)


def test_a_node_is_no_feed(double):
    with pytest.raises(FeedError, match="symbolic node"):
        double(gn.constant(np.ones((2, 3), np.float32)))


def test_shapes_that_do_not_fit_name_input_axis_and_line(double):
    with pytest.raises(FeedError, match=r"axis 1 should be 3, is 4(.|\n)*test_executable.py:"):
        double(rows(2, 4))
    with pytest.raises(FeedError, match="2 dimensions expected, 1 came"):
        double(np.ones(3, np.float32))
    with pytest.raises(FeedError, match="2 dimensions expected, 0 came"):
        double(np.float32(1))


def test_another_n_than_its_neighbours_names_both():
    x, y = gn.input("x", ("N", 3)), gn.input("labels", ("N",), "int64")
    step = gn.compile([x, y], x)
    with pytest.raises(FeedError, match=r"input 'labels' .*axis 0 should be 4 \(N=4 from axis 0 of 'x'\), is 5"):
        step(rows(4), np.zeros(5, np.int64))


# -- results -----------------------------------------------------------------------------------------------------------


def test_feeds_are_not_kept_and_results_are_the_callers():
    x = gn.input("x", (4,))
    w = gn.parameter(np.arange(4, dtype=np.float32), "w")
    c = gn.constant(np.arange(4, dtype=np.float32))
    outputs = [x, w, c, x[::2], gn.reshape(w, (2, 2)), gn.broadcast_to(c, (2, 4)), gn.transpose(gn.reshape(c, (2, 2))),
               x * 2.0, gn.reshape(x * 2.0, (2, 2))]  # fmt: skip
    step = gn.compile(x, outputs)
    given = np.ones(4, np.float32)
    first = step(given)
    kept = [array.copy() for array in first]
    given[:] = 77
    second = step(np.full(4, 5, np.float32))
    for array, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, before)
        assert array.flags.writeable and array.flags.c_contiguous and array.flags.owndata
        array[...] = -1
    assert second[0].tolist() == [5] * 4 and second[7].tolist() == [10] * 4
    for array in second:
        array[...] = -2
    for array, before in zip(step(np.ones(4, np.float32)), kept, strict=True):
        np.testing.assert_array_equal(array, before)
    assert w.value.tolist() == [0, 1, 2, 3]


def test_results_can_be_fed_back(double):
    array = rows(2)
    for _ in range(3):
        array = double(array)
    np.testing.assert_array_equal(array, rows(2) * 8)


def test_zero_rows():
    x, labels = gn.input("x", ("N", 3)), gn.input("labels", ("N",), "int64")
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    step = gn.compile([x, labels], [model(x), gn.cross_entropy(model(x), labels, reduction="sum")])
    scores, loss = step(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    assert scores.shape == (0, 2) and loss == 0
    assert step(rows(2), np.zeros(2, np.int64))[0].shape == (2, 2)


# -- sizes -------------------------------------------------------------------------------------------------------------


def test_each_size_is_compiled_once(double):
    programs = []
    for count in (4, 4, 2, 4, 2):
        np.testing.assert_array_equal(double(rows(count)), rows(count) * 2)
        programs.append(double.program)
    assert programs[0] is programs[1] is programs[3] and programs[2] is programs[4] is not programs[0]
    assert double.specialize(N=4) is programs[0] is double.specialize({"N": np.int64(4)})
    assert repr(double) == "<compiled function of (given: float32[N, 3]); 2 sizes compiled>"


def test_the_sizes_used_least_recently_are_forgotten(double):
    double(rows(1))
    first = double.program
    for count in range(2, 40):
        double(rows(count))
        double(rows(1))
    assert double.program is first
    assert "32 sizes" in repr(double)
    assert len(double._by_shapes) == 32
    np.testing.assert_array_equal(double(rows(2)), rows(2) * 2)


@pytest.mark.parametrize("sizes", [{}, {"M": 3}, {"N": 3, "M": 3}, {"N": -1}, {"N": 2.5}, {"N": True}, {"N": "3"}])
def test_sizes_that_are_none(double, sizes):
    with pytest.raises(DimError, match=r"N|M"):
        double.specialize(sizes)
    with pytest.raises(DimError):
        double.plan  # noqa: B018


def test_sizes_are_solved_from_all_inputs():
    n, h = Dim("N"), Dim("H")
    a = gn.input("a", (n * 2, "H", "H"))
    b = gn.input("b", (h + 1,))
    c = gn.input("c", (n, h // 2))
    step = gn.compile([a, b, c], [gn.sum(a, axis=(1, 2)), b * 1.0, c])
    feeds = np.ones((6, 4, 4), np.float32), np.ones(5, np.float32), np.ones((3, 2), np.float32)
    assert [r.shape for r in step(*feeds)] == [(6,), (5,), (3, 2)]
    with pytest.raises(FeedError, match=r"'a'.*axis 0 should be 6 \(N=3 from axis 0 of 'c'\), is 5"):
        step(feeds[0][:5], *feeds[1:])
    with pytest.raises(FeedError, match=r"'a'.*axis 2 should be 4 \(H=4 from axis 1 of 'a'\), is 3"):
        step(feeds[0][:, :, :3], *feeds[1:])
    with pytest.raises(FeedError, match=r"'b'.*axis 0 should be 5 \(H=4 from axis 1 of 'a'\), is 4"):
        step(feeds[0], feeds[1][:4], feeds[2])


def test_a_size_that_no_array_gives():
    x = gn.input("x", (Dim("N") * 2,))
    with pytest.raises(FeedError, match=r"input 'x': no array gives N on its own, so N\*2 is not known"):
        gn.compile(x, x)(np.ones(4, np.float32))


def test_a_shape_error_of_one_size_is_located_and_spares_the_others():
    x = gn.input("sliced", ("N", 3))
    step = gn.compile(x, x[2:])
    assert step(rows(4)).shape == (2, 3)
    with pytest.raises(gn.ShapeError, match=r"slice(.|\n)*test_executable.py:"):
        step(rows(1))
    assert step(rows(3)).shape == (1, 3)


# -- its story, copies -------------------------------------------------------------------------------------------------


def test_an_executable_tells_its_story(double):
    double(rows(4))
    assert double.graph is double.program.graph and double.plan.schedule is double.schedule
    assert "peak bytes" in double.explain() and "steps: " in double.explain()


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_executable_cannot_be_copied_or_pickled_and_says_what_to_do(double, duplicate):
    for step in (double, gn.compile([], gn.constant(1.0))):
        with pytest.raises(CopyError, match=r"<compiled function of \(.*cannot be copied or pickled.*state_dict\(\)"):
            duplicate(step)
    assert double(np.ones((2, 3), np.float32)).shape == (2, 3)


def test_profile_puts_parameters_back_and_refuses_no_repeats():
    x = gn.input("x", (2,))
    w = gn.parameter(np.ones(2, np.float32), "w")
    step = gn.compile(x, x + w, gn.assign(w, w + x))
    assert len(step.profile(np.ones(2, np.float32), repeats=3).seconds) == 2
    assert w.value.tolist() == [1, 1]
    with pytest.raises(ArgumentError, match="repeats"):
        step.profile(np.ones(2, np.float32), repeats=0)


# -- one call at a time ------------------------------------------------------------------------------------------------


def test_a_signal_handler_cannot_call_what_it_interrupted(double, monkeypatch):
    run, refused = Program.run, []

    def handle(*_):
        for call in (double, double.profile):
            with pytest.raises(ArgumentError, match="interrupted a call of it"):
                call(rows(2))
            refused.append(call)

    def interrupted(program, feeds):
        signal.raise_signal(signal.SIGUSR1)
        return run(program, feeds)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        monkeypatch.setattr(Program, "run", interrupted)
        assert np.array_equal(double(rows(2)), rows(2) * 2)
        assert np.array_equal(double(rows(3)), rows(3) * 2)  # the refusal is over with the call
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(refused) == 4
