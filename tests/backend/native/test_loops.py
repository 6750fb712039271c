"""The loop language: what it prints, what it proves, and that LLVM computes what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphnet.backend.native.loops import (
    Apply,
    Buffer,
    Const,
    For,
    Kernel,
    Load,
    Position,
    Prefetch,
    Register,
    Set,
    Splat,
    Store,
    Var,
    affine,
    show,
)
from graphnet.backend.native.prove import prove
from graphnet.errors import PlanError
from tests.backend.native.kernels import run

X, Y = Buffer("x", "f32", 24), Buffer("y", "f32", 24)
ROW, V = Var("row", 3), Var("v", 2)
AT = affine({ROW: 8, V: 4})
DOUBLE = Kernel("double", (X, Y), ROW, (For(V, (Store(Y, AT, Apply("add", (Load(X, AT, 4), Load(X, AT, 4)))),)),))


def test_a_kernel_as_text():
    assert show(DOUBLE) == (
        "kernel double(x: f32[24], y: f32[24])\n"
        "  each row < 3:\n"
        "    for v < 2:\n"
        "      y[8*row + 4*v : 4] = add(x[8*row + 4*v : 4], x[8*row + 4*v : 4])"
    )


def test_what_is_asked_for_beforehand_is_proven_like_a_load():
    def asking(constant):
        where = Load(X, AT + affine({}, constant), 4)
        return Kernel("asking", (X, Y), ROW, (For(V, (Prefetch(where), Store(Y, AT, Load(X, AT, 4)))),))

    prove(asking(0))
    assert "prefetch x[8*row + 4*v : 4]" in show(asking(0))
    x, y = np.arange(24, dtype=np.float32), np.zeros(24, np.float32)
    run(asking(0), {X: x, Y: y})
    assert y.tolist() == x.tolist()
    with pytest.raises(PlanError, match=r"load x.* reaches elements 4 to 27 of 24"):
        prove(asking(4))


def test_what_is_asked_for_further_on_may_lie_outside():
    far = Prefetch(Load(X, AT, 4), 1 << 40)
    kernel = Kernel("asking", (X, Y), ROW, (For(V, (far, Store(Y, AT, Load(X, AT, 4)))),))
    assert f"prefetch x[8*row + 4*v : 4] + {1 << 40} elements" in show(kernel)
    x, y = np.arange(24, dtype=np.float32), np.zeros(24, np.float32)
    run(kernel, {X: x, Y: y})
    assert y.tolist() == x.tolist()


def test_each_chunk_is_run_once():
    x, y = np.arange(24, dtype=np.float32), np.full(24, -1, np.float32)
    run(DOUBLE, {X: x, Y: y}, first=1, end=2)
    assert y.tolist() == [-1] * 8 + (2 * x[8:16]).tolist() + [-1] * 8
    run(DOUBLE, {X: x, Y: y})
    assert y.tolist() == (2 * x).tolist()
    run(DOUBLE, {X: x, Y: y}, first=2, end=2)


def test_a_register_is_carried_through_loops():
    """Two sums at once, one of them begun anew in each row."""
    total, row_total = Register("total", "f32"), Register("row_total", "f32")
    chunk, v = Var("chunk", 1), Var("w", 8)
    element = Load(X, affine({ROW: 8, v: 1}))
    body = (
        Set(total, Const(0.5, "f32")),
        For(
            ROW,
            (
                Set(row_total, Const(0.0, "f32")),
                For(v, (Set(row_total, Apply("add", (row_total, element))),)),
                Store(Y, affine({ROW: 1}), row_total),
                Set(total, Apply("add", (total, row_total))),
            ),
        ),
        Store(Y, affine({}, 3), total),
    )
    x, y = np.arange(24, dtype=np.float32), np.zeros(24, np.float32)
    run(Kernel("sums", (X, Y), chunk, body), {X: x, Y: y})
    assert y[:4].tolist() == [*x.reshape(3, 8).sum(1).tolist(), x.sum() + 0.5]


@pytest.mark.parametrize("extent", [0, 1, 3, 4, 7, 8, 13])
@pytest.mark.parametrize("together", [1, 2, 4])
def test_rounds_written_out_together_are_rounds(extent, together):
    """With a sum that goes through all of them, positions, and a loop inside."""
    numbers, total = Buffer("n", "i64", 40), Register("total", "f32")
    v, w = Var("v", extent), Var("w", 2)
    element = Load(X, affine({v: 1}, 3))
    inside = For(w, (Store(numbers, affine({v: 3, w: 1}), Position(affine({v: -2, w: 5}, 100), 1, 1)),), together)
    body = (Set(total, Apply("add", (Apply("mul", (total, Const(2.0, "f32"))), element))), inside)
    start, end = Set(total, Const(1.0, "f32")), Store(Y, affine({ROW: 1}), total)
    kernel = Kernel("rounds", (X, Y, numbers), ROW, (start, For(v, body, together), end))
    assert (f"for v < {extent}, {together} together:" in show(kernel)) == (together > 1)
    x, y, n = np.arange(24, dtype=np.float32) % 7, np.zeros(24, np.float32), np.zeros(40, np.int64)
    run(kernel, {X: x, Y: y, numbers: n})
    wanted = 2.0**extent + sum(2.0 ** (extent - 1 - i) * x[3 + i] for i in range(extent))
    assert y[:3].tolist() == [wanted] * 3
    places = [100 - 2 * i + 5 * j for i in range(extent) for j in range(2)]
    assert n[: 3 * extent].reshape(extent, 3)[:, :2].ravel().tolist() == places


def test_some_lanes_of_a_vector():
    chunk = Var("chunk", 1)
    x, y = np.arange(24, dtype=np.float32), np.full(24, -1, np.float32)
    body = (Store(Y, affine({}, 2), Load(X, affine({}, 21), 8, 3), 5),)
    run(Kernel("tail", (X, Y), chunk, body), {X: x, Y: y})
    assert y[:8].tolist() == [-1, -1, 21, 22, 23, 0, 0, -1]


@pytest.mark.parametrize(("name", "expected"), [("add", 28.0), ("max", 7.0), ("min", 0.0)])
def test_all_lanes_become_one(name, expected):
    body = (Store(Y, affine(), Apply(f"across_{name}", (Load(X, affine(), 8),))),)
    x, y = np.arange(24, dtype=np.float32), np.zeros(24, np.float32)
    run(Kernel("across", (X, Y), Var("chunk", 1), body), {X: x, Y: y})
    assert y[0] == expected


def test_positions_and_conversions():
    numbers = Buffer("n", "i64", 8)
    v = Var("v", 2)
    position = Position(affine({v: 4}, 3), 4, 2)
    n, y = np.zeros(8, np.int64), np.zeros(24, np.float32)
    store = Store(Y, affine({v: 4}), Apply("cast", (position,), "f32"))
    body = (For(v, (Store(numbers, affine({v: 4}), position), store)),)
    run(Kernel("position", (numbers, Y), Var("chunk", 1), body), {numbers: n, Y: y})
    assert n.tolist() == [3, 5, 7, 9, 7, 9, 11, 13] == y[:8].tolist()


def test_splat_and_choice():
    v = Var("v", 3)
    x, y = np.array([1, -2, np.nan] + [0] * 21, np.float32), np.zeros(24, np.float32)
    spread = Splat(Load(X, affine({v: 1})), 8)
    positive = Apply("lt", (Const(0.0, "f32", 8), spread), "b1")
    body = (For(v, (Store(Y, affine({v: 8}), Apply("select", (positive, spread, Const(9.0, "f32", 8)))),)),)
    run(Kernel("splat", (X, Y), Var("chunk", 1), body), {X: x, Y: y})
    assert y.tolist() == [1.0] * 8 + [9.0] * 16


@pytest.mark.parametrize(
    ("index", "width", "active"),
    [
        (affine({ROW: 8, V: 4}, 1), 4, None),
        (affine({ROW: 8, V: 4}, -1), 4, None),
        (affine({ROW: 12}), 1, None),
        (affine({}, 20), 8, 5),
        (affine({ROW: -8}, 15), 1, None),
    ],
)
@pytest.mark.parametrize("access", ["load", "store"])
def test_what_could_leave_its_buffer_is_refused(index, width, active, access):
    load = Load(X, index if access == "load" else affine(), width, active)
    statement = Store(Y, index if access == "store" else affine(), load, active)
    with pytest.raises(PlanError, match=rf"{access} .*reaches elements -?\d+ to \d+ of 24"):
        prove(Kernel("wrong", (X, Y), ROW, (For(V, (statement,)),)))


def test_what_just_stays_in_its_buffer_is_not_refused():
    reaching = ((affine({ROW: 8, V: 4}), 4, None), (affine({}, 20), 8, 4), (affine({ROW: -8}, 23), 1, 1))
    for index, width, active in reaching:
        prove(Kernel("right", (X, Y), ROW, (For(V, (Store(Y, index, Load(X, index, width, active), active),)),)))


def test_a_buffer_or_a_variable_that_is_not_there_is_refused():
    with pytest.raises(PlanError, match="load of x, which it is not given"):
        prove(replace(DOUBLE, buffers=(Y,)))
    other = Var("other", 2)
    with pytest.raises(PlanError, match="of other, which no loop around it counts"):
        prove(replace(DOUBLE, body=(Store(Y, affine({other: 1}), Const(0.0, "f32")),)))
