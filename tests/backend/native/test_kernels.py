"""Native kernels against NumPy, on the shapes and layouts that hurt."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphnet.backend.base import Bound
from graphnet.backend.native.backend import NativeBackend
from graphnet.ops import activations, comparison, elementwise, reductions, shaping, unary
from graphnet.ops.linear import Matmul
from tests.backend.native.kernels import native

LAYOUTS = ["rows", "columns", "gaps"]
SIZES = [1, 2, 3, 7, 8, 17, 33, 129]


def laid_out(values: np.ndarray, how: str) -> np.ndarray:
    """The same values in other memory: row-major, column-major, or with gaps between the elements."""
    if how == "gaps":
        wide = np.full((*values.shape[:-1], 3 * values.shape[-1]), np.nan, values.dtype)
        view = wide[..., ::3]
    else:
        view = np.empty(values.shape, values.dtype, order="C" if how == "rows" else "F")
    view[...] = values
    return view


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("left", "right"), list(itertools.product(LAYOUTS, repeat=2)))
def test_products(left, right, dtype):
    generator = np.random.default_rng(0)
    for m, k, n in [(1, 1, 1), (1, 7, 1), (5, 1, 9), (6, 16, 16), (7, 33, 17), (13, 200, 3), (2, 3, 40), (9, 1100, 10)]:
        a, b = generator.standard_normal((m, k)).astype(dtype), generator.standard_normal((k, n)).astype(dtype)
        out = np.full((m, n), np.nan, dtype)
        native(Matmul(), out, [laid_out(a, left), laid_out(b, right)])
        exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
        scale = np.abs(a).astype(np.longdouble) @ np.abs(b).astype(np.longdouble)
        # Each of k products and additions rounds once: k units of the sum of magnitudes is the worst that can come.
        assert (np.abs(out - exact) <= k * np.finfo(dtype).eps * scale).all(), (m, k, n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("left", "right"), list(itertools.product(LAYOUTS, repeat=2)))
def test_products_whose_operands_are_packed(left, right, dtype):
    generator = np.random.default_rng(1)
    for m, k, n in [(40, 300, 70), (67, 64, 129), (24, 513, 9), (200, 9, 512), (3, 700, 200)]:
        a, b = generator.standard_normal((m, k)).astype(dtype), generator.standard_normal((k, n)).astype(dtype)
        out = np.full((m, n), np.nan, dtype)
        native(Matmul(), out, [laid_out(a, left), laid_out(b, right)], threads=2)
        exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
        scale = np.abs(a).astype(np.longdouble) @ np.abs(b).astype(np.longdouble)
        assert (np.abs(out - exact) <= k * np.finfo(dtype).eps * scale).all(), (m, k, n)  # see test_products


def test_products_in_batches_whose_operands_are_packed():
    generator = np.random.default_rng(1)
    a, b = generator.standard_normal((2, 3, 50, 70)).astype("f"), generator.standard_normal((2, 3, 40, 50)).astype("f")
    out = np.empty((2, 3, 70, 40), "f")
    native(Matmul(), out, [a.swapaxes(2, 3), b.swapaxes(2, 3)], threads=2)
    exact = a.swapaxes(2, 3).astype("float64") @ b.swapaxes(2, 3)
    np.testing.assert_allclose(out, exact, rtol=0, atol=50 * np.finfo("f").eps * np.abs(exact).max())


def test_products_in_batches():
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((3, 1, 5, 9)), generator.standard_normal((4, 9, 11))
    out = np.empty((3, 4, 5, 11))
    native(Matmul(), out, [a, b], threads=2)
    np.testing.assert_allclose(out, a @ b, rtol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_elementwise_sizes_and_broadcasting(size):
    generator = np.random.default_rng(size)
    for shape, other in [((size,), (1,)), ((3, size), (size,)), ((size, 3), (size, 1)), ((2, size, 5), (size, 1))]:
        a, b = generator.standard_normal(shape).astype("f"), generator.standard_normal(other).astype("f")
        out = np.full(shape, np.nan, "f")
        native(elementwise.Add(), out, [a, b])
        np.testing.assert_array_equal(out, a + b)


@pytest.mark.parametrize("order", LAYOUTS)
def test_elementwise_layouts(order):
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((2, 37, 41))
    out = laid_out(np.zeros((37, 41)), order)
    native(elementwise.Multiply(), out, [laid_out(a, "columns"), laid_out(b, "rows")])
    np.testing.assert_array_equal(out, a * b)


def test_in_place():
    x = np.random.default_rng(0).standard_normal(20_003).astype("f")
    expected = np.maximum(x, 0)
    native(activations.Relu(), x, [x], threads=2)
    np.testing.assert_array_equal(x, expected)


def test_nan_and_signed_zero():
    x = np.array([np.nan, -0.0, 0.0, -1.0, np.inf, -np.inf, 2.0, np.nan, 5.0], "f")
    other = np.array([1.0, 0.0, np.nan, 2.0, 1.0, 1.0, np.nan, np.nan, 4.0], "f")
    for op, expected in [
        (comparison.Maximum(), np.maximum(x, other)),
        (comparison.Minimum(), np.minimum(x, other)),
    ]:
        out = np.empty_like(x)
        native(op, out, [x, other])
        np.testing.assert_array_equal(out, expected)
    out = np.empty_like(x)
    native(unary.Sign(), out, [x])
    np.testing.assert_array_equal(out, np.sign(x))
    native(activations.Relu(), out, [x])
    np.testing.assert_array_equal(np.isnan(out), np.isnan(x))


def test_booleans_and_conversions():
    generator = np.random.default_rng(0)
    x = generator.integers(-3, 3, (5, 23)).astype("f")
    mask = np.empty(x.shape, bool)
    native(comparison.Greater(), mask, [x, np.zeros((), "f")])
    np.testing.assert_array_equal(mask, x > 0)
    kept = np.empty_like(x)
    native(comparison.Keep(), kept, [mask, x])
    np.testing.assert_array_equal(kept, np.where(mask, x, 0))
    for dtype in ("float64", "int64"):
        out = np.empty(x.shape, dtype)
        native(shaping.Cast(np.dtype(dtype)), out, [mask])
        np.testing.assert_array_equal(out, mask.astype(dtype))
    back = np.empty(x.shape, bool)
    native(shaping.Cast(np.dtype(bool)), back, [x])
    np.testing.assert_array_equal(back, x.astype(bool))


REDUCTIONS = {
    "sum": (lambda axes: shaping.Sum(axes, False), np.sum),
    "mean": (lambda axes: reductions.Mean(axes, False), np.mean),
    "max": (lambda axes: reductions.Max(axes, False), np.max),
    "min": (lambda axes: reductions.Min(axes, False), np.min),
    "var": (lambda axes: reductions.Var(axes, False, 0), np.var),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("order", LAYOUTS)
def test_reductions(name, order):
    make, exact = REDUCTIONS[name]
    generator = np.random.default_rng(0)
    for shape, axes in [
        ((5,), (0,)), ((1, 1), (1,)), ((3, 17), (1,)), ((3, 17), (0,)), ((3, 17), (0, 1)), ((4, 33, 6), (0, 2)),
        ((4, 33, 6), (1,)), ((9, 40), (0,)), ((2, 700), (1,)), ((2, 5000), (1,)), ((130, 3), (0,)),
    ]:  # fmt: skip
        x = generator.standard_normal(shape)
        wanted = exact(x, axis=axes)
        out = np.full(wanted.shape, np.nan)
        native(make(axes), out, [laid_out(x, order)], threads=2)
        np.testing.assert_allclose(out, wanted, rtol=1e-12, atol=1e-13, err_msg=f"{shape} over {axes}")


def test_long_sums_keep_their_digits():
    """A million equal numbers, added one by one in float32, come out 1 % too large."""
    x = np.full((1, 1_000_000), 0.1, "f")
    for shape, axes in [((1, 1_000_000), (1,)), ((1_000_000, 1), (0,))]:
        out = np.empty(1, "f")
        native(shaping.Sum(axes, False), out, [x.reshape(shape)])
        # Blocks of 128 additions, of which some 250 are added: half a unit for each of them is 2.2e-5.
        assert out[0] == pytest.approx(np.float64(np.float32(0.1)) * 1e6, rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_what_overflows(axis):
    x = np.array([[1000.0, 1001.0, -1000.0], [-np.inf, 0.0, 1.0], [3.0, 3.0, 3.0]], "f")
    out = np.empty_like(x)
    native(reductions.Softmax(axis), out, [x])
    wide = x.astype(np.float64)
    powers = np.exp(wide - wide.max(axis, keepdims=True))
    np.testing.assert_allclose(out, powers / powers.sum(axis, keepdims=True), rtol=1e-6)


def test_a_step_without_elements_is_native_and_does_nothing():
    empty, x = np.zeros((0, 3), "f"), np.zeros((2, 0), "f")
    native(elementwise.Add(), empty, [empty, empty], threads=2)
    native(Matmul(), empty, [np.zeros((0, 2), "f"), np.zeros((2, 3), "f")])
    native(shaping.Contiguous(), x, [x])


def test_what_has_no_loops_is_left_to_the_reference():
    x = np.zeros((2, 3), np.complex64)
    out = np.empty_like(x)
    assert NativeBackend(1).kernels([Bound(elementwise.Add(), out, (x, x), ())]) == [None]
