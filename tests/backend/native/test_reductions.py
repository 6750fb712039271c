"""Reductions in blocks, of every dtype, and what goes along an axis, against NumPy on layouts that take other loops."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.backend.native.makers import Maker
from graphnet.backend.native.statistics import Sums
from graphnet.graph.layout import in_order
from graphnet.graph.types import type_of
from graphnet.ops import elementwise, reductions, shaping
from graphnet.ops.evaluate import apply_op
from graphnet.ops.normalization import Standardize
from tests.backend.native.kernels import native

IMAGES = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1), "CHWN": (1, 2, 3, 0)}
CHANNELS = (0, 2, 3)


def images(order: str, shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    """Random numbers whose axes lie in memory in `order`."""
    values = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    laid = in_order(np.empty(values.size, values.dtype), shape, IMAGES[order])
    laid[...] = values
    return laid


def found(op, x, threads=1):
    out_type = op.infer(type_of(x))
    out = np.full(out_type.static_shape, 1, out_type.dtype)
    native(op, out, [x], threads)
    return out


OVER_IMAGES = [
    shaping.Sum(CHANNELS, False), reductions.Mean(CHANNELS, True), reductions.Var(CHANNELS, True, 1),
    reductions.Max(CHANNELS, False), reductions.Min(CHANNELS, True), reductions.LogSumExp(CHANNELS, False),
    reductions.Mean((2, 3), True), shaping.Sum((0, 1, 2, 3), False), Standardize(CHANNELS, 1e-5),
]  # fmt: skip


@pytest.mark.parametrize("op", OVER_IMAGES, ids=str)
@pytest.mark.parametrize("order", IMAGES)
def test_statistics_of_images(op, order):
    # 3 channels leave lanes empty, 20 take two vectors and a half of float32; 29 and 31 have no divisors for blocks.
    for shape in [(31, 3, 29, 17), (8, 20, 33, 32)]:
        x = images(order, shape)
        np.testing.assert_allclose(found(op, x), apply_op(op, x), rtol=1e-11, atol=1e-11, err_msg=f"{shape}")


def test_the_same_bits_on_any_number_of_threads():
    x = images("NHWC", (31, 20, 29, 17), "float32")
    for op in (*OVER_IMAGES[:6], reductions.Softmax(1), reductions.ArgMax(1, False), reductions.Cumsum(2, True)):
        one = found(op, x)
        np.testing.assert_array_equal(found(op, x, threads=3), one)


def test_blocks_read_memory_once():
    """What is kept is fastest in memory and fits one group of vectors: each block is a chunk, and the rest another."""
    x = images("NHWC", (64, 16, 32, 32), "float32")
    out = np.empty(16, "f")
    (scratch,) = Maker().scratch_types(shaping.Sum(CHANNELS, False), [out, x])
    assert scratch.static_size == 64 * 16
    small = images("NHWC", (2, 16, 8, 8), "float32")
    assert Maker().scratch_types(shaping.Sum(CHANNELS, False), [out, small]) == ()


@pytest.mark.parametrize("kept", [1, 3, 40])
def test_column_sums_keep_their_digits(kept):
    """Of 100,000 equal numbers, added one by one in float32, 0.04 % are lost."""
    x = np.full((100_003, kept), 0.1, "f")
    out = found(shaping.Sum((0,), False), x)
    # At most 128 additions in a block, some hundred blocks in a chunk's total, 64 chunks: 1.2e-5 if all erred one way.
    np.testing.assert_allclose(out, np.full(kept, np.float64(np.float32(0.1)) * 100_003), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "uint64"])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_integers_and_booleans(dtype, axes):
    for shape, orders in [((3, 5), "C"), ((257, 300), "CF" if dtype in ("bool", "int64") else "C")]:
        for order in orders:
            least, most = (0, 2) if dtype == "bool" else (-20, 80) if dtype[0] == "i" else (0, 100)
            values = np.random.default_rng(0).integers(least, most, shape).astype(dtype, order)
            for make in (shaping.Sum, reductions.Max, reductions.Min, reductions.Prod):
                np.testing.assert_array_equal(found(make(axes, False), values), apply_op(make(axes, False), values))
            if len(axes) == 1:
                for op in (reductions.ArgMax(axes[0], True), reductions.Cumsum(axes[0], True)):
                    np.testing.assert_array_equal(found(op, values), apply_op(op, values))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_first_extreme_or_nan(dtype, axis):
    x = np.random.default_rng(0).integers(-3, 3, (7, 19, 33)).astype(dtype)  # many are equal
    x[2, 3, 4] = x[5, 3, 4] = x[2, 9, 4] = np.nan
    x[0, 0] = -np.inf
    x[1, 1] = np.inf
    for op in (reductions.ArgMax(axis, False), reductions.ArgMin(axis, True)):
        for y in (x, x.transpose(2, 0, 1).copy().transpose(1, 2, 0), x[::-1, ::2]):
            np.testing.assert_array_equal(found(op, y), apply_op(op, y))
        np.testing.assert_array_equal(
            found(op, np.broadcast_to(x[:1], x.shape)), apply_op(op, np.broadcast_to(x[:1], x.shape))
        )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_cumulative_sums(reverse, axis):
    for shape in [(1, 1), (5, 41), (130, 8)]:
        x = np.random.default_rng(0).standard_normal(shape)
        for y in (x, np.asfortranarray(x), x[::-1]):
            op = reductions.Cumsum(axis, reverse)
            np.testing.assert_array_equal(found(op, y), apply_op(op, y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [2, 3, 7, 10, 64, 65])
def test_short_rows(dtype, size):
    x = np.random.default_rng(0).standard_normal((19, size)).astype(dtype) * 5
    x[3] = -np.inf
    x[3, -1] = 1
    tolerance = 20 * np.finfo(dtype).eps
    for op in (reductions.Softmax(1), reductions.LogSoftmax(1), reductions.LogSumExp((1,), False)):
        exact = apply_op(op, x.astype(np.float64))
        np.testing.assert_allclose(found(op, x), exact, rtol=tolerance, atol=tolerance)
    finite = x[:3]
    exact = apply_op(Standardize((1,), 1e-5), finite.astype(np.float64))
    np.testing.assert_allclose(found(Standardize((1,), 1e-5), finite), exact, rtol=0, atol=20 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 4, 6, 7, 48])
def test_softmax_of_several_rows_at_once(dtype, rows):
    """Each row for itself: a NaN, an infinity, or nothing but -inf shows in its own row only; in place, too."""
    x = np.random.default_rng(0).standard_normal((3, rows, 21)).astype(dtype) * 5
    x[0, 0, 5:] = -np.inf  # as a mask leaves them: exactly 0
    x[1, 0, 20], x[1, -1, 3], x[2, 0] = np.nan, np.inf, -np.inf
    x[0, -1, 7] -= 200  # less than float32 can tell from 0
    with np.errstate(invalid="ignore"):
        exact = apply_op(reductions.Softmax(2), x.astype(np.float64))
    shares = found(reductions.Softmax(2), x)
    np.testing.assert_allclose(shares, exact, rtol=20 * np.finfo(dtype).eps, atol=1e-37)
    assert (shares[0, 0, 5:] == 0).all()
    native(reductions.Softmax(2), x, [x])
    np.testing.assert_array_equal(x, shares)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [5, 9, 17, 21, 33, 65])
def test_lanes_behind_the_end_are_no_part_of_a_sum_of_quotients(dtype, size):
    """There 0 is divided by 0."""
    op = Sums(2, ((elementwise.Divide(), (0, 1)),), (2,), (1,))
    x, y = (np.random.default_rng(seed).random((6, size)).astype(dtype) + 1 for seed in (0, 1))
    out = np.empty((1, 6), dtype)
    native(op, out, [x, y])
    # Up to 65 roundings of sums of up to 65 numbers.
    np.testing.assert_allclose(out[0], (x / y).sum(1), rtol=65 * np.finfo(dtype).eps)
