"""Native picking and adding by indices against NumPy: layouts, sizes, bits, and what is wrong with an index."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native.loops import Affine, Buffer, Const, Kernel, Load, Pick, Position, Store, Var, affine, show
from graphnet.backend.native.prove import prove
from graphnet.backend.native.steps import Native
from graphnet.errors import DataError, PlanError
from graphnet.graph.node import Op
from graphnet.graph.types import TensorType
from graphnet.ops.indexing import Gather, IndexAdd, OneHot, ScatterAdd, Take
from tests.backend.native.kernels import native, run


def reference(op: Op, out: np.ndarray, inputs: list[np.ndarray]) -> np.ndarray:
    types = op.workspace(*(TensorType(value.dtype, value.shape) for value in inputs))
    work = tuple(np.empty(t.static_shape, t.dtype) for t in types)
    expected = np.empty(out.shape, out.dtype)
    op.compute(expected, *(value.copy() for value in inputs), **({"work": work} if work else {}))
    return expected


def check(op: Op, inputs: list[np.ndarray], shape: tuple[int, ...], dtype: str, order: str = "C") -> None:
    out = np.full(shape, 1, dtype, order)  # type: ignore[call-overload]
    native(op, out, inputs, threads=3)
    np.testing.assert_array_equal(out, reference(op, out, inputs), err_msg=repr(op))


def layouts(x: np.ndarray) -> list[np.ndarray]:
    return [x, np.asfortranarray(x), np.repeat(x, 2, -1)[..., ::2]]


@pytest.mark.parametrize(("dtype", "negative"), [("float32", False), ("float64", True), ("bool", True)])
@pytest.mark.parametrize(("shape", "axis", "picks"), [
    ((7,), 0, (5,)), ((1, 9), 0, (4,)), ((65, 32), 0, (3, 11)), ((6, 17), 0, (30,)), ((3, 5, 4), 1, (2, 3)),
    ((20, 5, 16), 1, (7,)), ((4, 6), 1, (9,)), ((5, 100), 0, (13,)), ((3, 4), 1, ()),
])  # fmt: skip
def test_take_and_its_adjoint(shape, axis, picks, negative, dtype):
    generator = np.random.default_rng(0)
    n = shape[axis]
    indices = generator.integers(-n if negative else 0, n, picks)
    x = generator.standard_normal(shape).astype(dtype)
    whole = (*shape[:axis], *picks, *shape[axis + 1 :])
    for laid in layouts(x) if dtype == "float32" else [x]:
        check(Take(axis, negative), [laid, indices], whole, dtype)
    check(Take(axis, negative), [x, indices], whole, dtype, "F")
    if dtype == "bool":
        return
    dy = generator.standard_normal(whole).astype(dtype)
    for laid in layouts(dy) if dtype == "float32" else [dy]:
        check(IndexAdd(axis, n, negative), [laid, indices], shape, dtype)
    check(IndexAdd(axis, n, negative), [dy, indices], shape, dtype, "F")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axis", "count"), [
    ((7,), 0, 5), ((1, 1), 1, 1), ((5, 9), 0, 12), ((5, 9), 1, 3), ((3, 4, 17), 1, 6), ((40, 3), 1, 1),
    ((2, 300), 1, 50),
])  # fmt: skip
def test_gather_and_its_adjoint(shape, axis, count, dtype):
    generator = np.random.default_rng(0)
    picks = (*shape[:axis], count, *shape[axis + 1 :])
    indices = generator.integers(-shape[axis], shape[axis], picks)
    x, dy = generator.standard_normal(shape).astype(dtype), generator.standard_normal(picks).astype(dtype)
    for laid in layouts(x):
        check(Gather(axis, True), [laid, np.asfortranarray(indices)], picks, dtype, "F")
    check(ScatterAdd(axis, shape[axis], True), [dy, indices], shape, dtype)
    for laid in layouts(dy):
        check(ScatterAdd(axis, shape[axis], True), [laid, np.asfortranarray(indices)], shape, dtype, "F")


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_one_hot(dtype):
    generator = np.random.default_rng(0)
    for shape, classes in [((1,), 1), ((6,), 5), ((300,), 40), ((3, 7), 33), ((), 9)]:
        indices = generator.integers(0, classes, shape)
        check(OneHot(classes, np.dtype(dtype)), [indices], (*shape, classes), dtype)
        check(OneHot(classes, np.dtype(dtype)), [indices], (*shape, classes), dtype, "F")


def test_an_index_out_of_range_is_named_before_anything_is_written():
    x, indices, out = np.zeros((4, 8), "f"), np.array([0, 3, 4]), np.full((3, 8), 7.0, "f")
    with pytest.raises(DataError, match=r"index 4 at position \(2,\) is out of range: expected \[0, 4\)"):
        native(Take(0, False), out, [x, indices])
    assert (out == 7).all()
    grad = np.full((4, 8), 7.0, "f")
    with pytest.raises(DataError, match="index 4"):
        native(IndexAdd(0, 4, False), grad, [out, indices])
    with pytest.raises(DataError, match="index -5"):
        native(Gather(0, True), np.empty((1, 8), "f"), [x, np.full((1, 8), -5)])
    with pytest.raises(DataError, match="index 4"):
        native(ScatterAdd(0, 4, False), grad, [out, np.full((3, 8), 4)])
    with pytest.raises(DataError, match="index 9"):
        native(OneHot(9, np.dtype("f")), np.empty((1, 9), "f"), [np.array([9])])


# -- when indices are looked at ---------------------------------------------------------------------------------------


def test_indices_that_are_fed_are_looked_at_before_anything_is_computed():
    table, places = gn.input("table", (5, 8)), gn.input("places", (3,), "int64")
    rows = gn.take(gn.exp(table), places, axis=0)
    step = gn.compile([table, places], gn.sum(rows * rows), backend="native")
    x = np.ones((5, 8), "f")
    assert step(x, [0, 1, 4]) == pytest.approx(24 * np.e**2, rel=1e-5)
    calls = [call for _, call in step.program.lowered.body_calls]
    assert [isinstance(call, Native) for call in calls] == [False, True]
    with pytest.raises(DataError, match=r"take.*index 5 at position \(1,\)"):
        step(x, [0, 5, 4])
    assert step(x, [0, -1, 4]) == pytest.approx(24 * np.e**2, rel=1e-5)


def test_indices_that_are_computed_are_looked_at_when_they_are_there():
    table, places = gn.input("table", (5, 8)), gn.input("places", (3,), "int64")
    step = gn.compile([table, places], gn.take(gn.exp(table), places * 2 - 1, axis=0), backend="native")
    x = np.arange(40, dtype="f").reshape(5, 8) / 40
    for given in ([1, 2, 0], [2, 2, 1], [0, 1, 2]):
        np.testing.assert_allclose(step(x, given), np.exp(x)[np.array(given) * 2 - 1], rtol=1e-6)
        with pytest.raises(DataError, match=r"take.*index 7 at position \(2,\)"):
            step(x, [0, 1, 4])


# -- the loop language's part ----------------------------------------------------------------------------------------


def picking(extent: int, value: object) -> tuple[Kernel, tuple[Buffer, Buffer, Buffer]]:
    places, x, out = Buffer("places", "i64", 5), Buffer("x", "f32", 4), Buffer("out", "f32", 5)
    chunk, pick = Var("chunk", 5), Var("pick", extent)
    given = Load(places, affine({chunk: 1})) if value is None else value
    body = (Pick(pick, given, (Store(out, affine({chunk: 1}), Load(x, affine({pick: 1}))),)),)  # type: ignore[arg-type]
    return Kernel("picking", (places, x, out), chunk, body), (places, x, out)


def test_what_lies_outside_becomes_the_last():
    kernel, (places, x, out) = picking(4, None)
    found = np.zeros(5, "f")
    run(kernel, {places: np.array([2, 0, -1, 4, 1 << 60]), x: np.array([1, 2, 3, 4], "f"), out: found})
    np.testing.assert_array_equal(found, [3, 1, 4, 4, 4])
    assert "with pick = places[chunk] within 4:" in show(kernel)


def test_a_picked_place_is_proven():
    with pytest.raises(PlanError, match="elements 0 to 4 of 4"):
        prove(picking(5, None)[0])
    with pytest.raises(PlanError, match="not one i64"):
        prove(picking(4, Const(1, "i32"))[0])
    kernel, (places, x, _) = picking(4, Position(Affine(1)))
    prove(kernel)
    outside = Store(x, affine({Var("pick", 2): 1}), Const(0.0, "f32"))
    with pytest.raises(PlanError, match="which no loop around it counts"):
        prove(Kernel("k", (places, x), Var("chunk", 1), (outside,)))
