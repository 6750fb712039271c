"""Rounds of a loop side by side: what they look like, and that they compute what they did one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.backend.native.jamming import jammed
from graphnet.backend.native.loops import (
    Apply,
    Buffer,
    Const,
    For,
    Kernel,
    Load,
    Position,
    Register,
    Set,
    Shuffle,
    Splat,
    Store,
    Var,
    affine,
    show,
)
from tests.backend.native.kernels import run

ROWS, SIZE = 12, 6
X, Y = Buffer("x", "f32", 2 * ROWS * SIZE), Buffer("y", "f32", 2 * ROWS * SIZE)
CHUNK, ROW, V = Var("chunk", 2), Var("row", ROWS), Var("v", SIZE // 2)


def rows() -> For:
    """Each row in pairs of elements, swapped, less twice the row's sum, and times its place."""
    total, number = Register("total", "f32", 2), Register("number", "f32")
    at = affine({CHUNK: ROWS * SIZE, ROW: SIZE, V: 2})
    pair = Load(X, at, 2)
    both = Apply("add", (total, Shuffle(total, total, (1, 0))))
    swapped = Shuffle(pair, pair, (1, 0))
    place = Apply("cast", (Position(affine({ROW: 1})),), "f32")
    last = Apply("mul", (Apply("sub", (swapped, Apply("add", (both, both)))), Splat(number, 2)))
    return For(
        ROW,
        (
            Set(total, Const(0.0, "f32", 2)),
            For(V, (Set(total, Apply("add", (total, pair))),)),
            Set(number, place),
            For(V, (Store(Y, at, last),)),
        ),
    )


@pytest.mark.parametrize("times", [1, 2, 3, 12])
def test_rounds_side_by_side_compute_the_same(times):
    x = np.random.default_rng(0).standard_normal(X.size).astype(np.float32)
    plain, beside = np.empty_like(x), np.empty_like(x)
    run(Kernel("plain", (X, Y), CHUNK, (rows(),)), {X: x, Y: plain})
    run(Kernel("beside", (X, Y), CHUNK, (jammed(rows(), times),)), {X: x, Y: beside})
    np.testing.assert_array_equal(beside, plain)
    pairs = x.reshape(2, ROWS, SIZE // 2, 2)
    sums = pairs.sum((2, 3), keepdims=True)
    wanted = (pairs[..., ::-1] - 2 * sums) * np.arange(ROWS)[:, None, None]
    np.testing.assert_allclose(plain.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-4)


def test_inner_loops_become_one():
    assert show(Kernel("beside", (X, Y), CHUNK, (jammed(rows(), 2),))).splitlines()[2:8] == [
        "    for row < 6:",
        "      total.0 = 0.0",
        "      total.1 = 0.0",
        "      for v < 3:",
        "        total.0 = add(total.0, x[72*chunk + 12*row + 2*v : 2])",
        "        total.1 = add(total.1, x[72*chunk + 12*row + 2*v + 6 : 2])",
    ]
