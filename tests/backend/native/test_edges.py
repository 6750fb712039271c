"""Inputs at the edge of what ops accept: booleans in order, unsigned bytes, signed zeros, long chains of fused ops."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native.elementwise import divided
from graphnet.backend.native.emit import emit
from graphnet.backend.native.loops import Buffer, Kernel, Load, Store, Var, affine
from graphnet.ops import comparison, unary
from tests.backend.native.kernels import native


@pytest.mark.parametrize(
    ("op", "exact"),
    [
        (comparison.Less(), np.less), (comparison.LessEqual(), np.less_equal),
        (comparison.Greater(), np.greater), (comparison.GreaterEqual(), np.greater_equal),
    ],
)  # fmt: skip
def test_false_comes_before_true(op, exact):
    a, b = np.array([False, False, True, True] * 10), np.array([False, True] * 20)
    out = np.empty(40, bool)
    native(op, out, [a, b])
    np.testing.assert_array_equal(out, exact(a, b))


def test_the_largest_byte_is_255():
    array = np.arange(2 * 3 * 6 * 6).astype(np.uint8).reshape(2, 3, 6, 6)
    x = gn.input("x", array.shape, "uint8")
    y = gn.max_pool2d(x, 3)
    found = gn.compile(x, y, backend="native", threads=1)(array)
    np.testing.assert_array_equal(found, gn.compile(x, y, backend="numpy")(array))


@pytest.mark.parametrize("op", [unary.Sign(), unary.Tanh(), unary.Expm1()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_signs_of_zeros(op, dtype):
    x = np.array([-0.0, 0.0] * 9, dtype)
    out, expected = np.empty_like(x), np.empty_like(x)
    native(op, out, [x])
    op.compute(expected, x)
    np.testing.assert_array_equal(np.signbit(out), np.signbit(expected))
    assert not out.any()


@pytest.mark.parametrize("f", [gn.tanh, gn.square, lambda x: gn.gelu(x, approximate="tanh")])
def test_many_ops_fused_into_one(f):
    """What each of these reads it reads several times: a walk over all uses, not all values, would never end."""
    x = gn.input("x", (100_000,), "float64")
    y = x
    for _ in range(24):
        y = f(y)
    array = np.linspace(-1.01, 1.01, 100_000)
    found = gn.compile(x, y, backend="native", threads=2)(array)
    np.testing.assert_allclose(found, gn.compile(x, y, backend="numpy")(array), rtol=1e-9, atol=1e-300)


def test_a_long_axis_is_divided_at_once():
    (chunk, _), (row, _) = divided(3 << 40, (1,), 1)
    assert (chunk.extent * row.extent, row.extent) == (3 << 40, 8192)


def test_pointers_that_leave_the_buffer_on_their_way_are_not_inbounds():
    x, y, i = Buffer("x", "f32", 8), Buffer("y", "f32", 8), Var("i", 8)
    text = emit([Kernel("turned", (x, y), i, (Store(y, affine({i: 1}), Load(x, affine({i: -1}, 7))),))])
    assert text.count("getelementptr float, ptr") == 2
    assert text.count("getelementptr inbounds float, ptr") == 1
