"""Pooling of all kinds, upsampling and columns: every geometry and layout against NumPy's kernels."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native import windows
from graphnet.graph.layout import in_order
from graphnet.graph.types import type_of
from graphnet.ops.evaluate import apply_op
from graphnet.ops.pooling import (
    AvgPool2d,
    AvgPool2dGradient,
    MaxPool2d,
    MaxPool2dGather,
    MaxPool2dGradient,
    MaxPool2dPlaces,
)
from graphnet.ops.resampling import AdaptiveAvgPool2d, AdaptiveAvgPool2dGradient, Upsample
from graphnet.ops.windows import Col2im, Im2col
from tests.backend.native.kernels import native

ORDERS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1), "CHWN": (1, 2, 3, 0)}
NONE = ((0, 0), (0, 0))
GEOMETRIES = [  # image, kernel, stride, padding, ceil mode, dilation
    ((8, 6), (2, 2), (2, 2), NONE, False, (1, 1)),  # tiles
    ((7, 9), (2, 3), (2, 3), NONE, False, (1, 1)),  # leaves elements out
    ((7, 8), (3, 2), (3, 3), ((1, 1), (1, 1)), True, (1, 1)),  # hangs over, with gaps
    ((9, 7), (3, 3), (2, 2), ((1, 1), (1, 1)), False, (1, 1)),  # overlaps
    ((6, 5), (3, 3), (1, 1), ((1, 1), (0, 0)), False, (2, 1)),  # is spread
    ((8, 9), (6, 6), (2, 3), ((3, 3), (2, 2)), False, (1, 1)),  # too large to be written out
]


def laid_out(values: np.ndarray, order: str) -> np.ndarray:
    """The same values with their axes in another order in memory."""
    made = in_order(np.empty(values.size, values.dtype), values.shape, ORDERS[order])
    made[...] = values
    return made


def check(op, inputs, order, tolerance=1e-12):
    """The native kernel against the reference, which it returns; the result lies in `order` where it is images."""
    expected = apply_op(op, *inputs)
    out = np.full_like(expected, 99)
    out = laid_out(out, order) if out.ndim == 4 else out
    native(op, out, inputs)
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance, err_msg=str(op))
    return laid_out(expected, order) if out.ndim == 4 else expected


def images(order, sizes, channels=3, batch=2, dtype="float64"):
    values = np.random.default_rng(0).integers(-9, 9, (batch, channels, *sizes))  # some are equal
    return laid_out(values.astype(dtype), order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_maxima(geometry, order):
    sizes, *fields = geometry
    channels = 9 if order == "NHWC" else 3
    x = images(order, sizes, channels)
    x[0, 0, 2, 2] = np.nan
    y = check(MaxPool2d(*fields), [x], order)
    places = check(MaxPool2dPlaces(*fields), [x, y], order)
    dy = laid_out(np.random.default_rng(1).standard_normal(y.shape), "NCHW")
    check(MaxPool2dGradient(*fields, size=sizes), [places, dy], order)
    check(MaxPool2dGather(*fields), [places, x], order)


# Every layout with one way of counting, and every way of counting in one layout.
@pytest.mark.parametrize("geometry", [g for g in GEOMETRIES if g[-1] == (1, 1)], ids=str)
@pytest.mark.parametrize(
    ("order", "counts_padding", "divisor"),
    [*((order, False, None) for order in ORDERS), ("NHWC", True, None), ("NHWC", True, 3)],
)
def test_means(geometry, order, counts_padding, divisor):
    sizes, *fields, _ = geometry
    op = AvgPool2d(*fields, counts_padding, divisor)
    y = check(op, [images(order, sizes)], order)
    check(AvgPool2dGradient(**op.attributes, size=sizes), [y], order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("counts", [(1, 1), (4, 3), (5, 7), (12, 9)])
def test_adaptive_means_and_upsampling(order, counts):
    x = images(order, (12, 9), channels=8)
    y = check(AdaptiveAvgPool2d(counts), [x], order)
    check(AdaptiveAvgPool2dGradient(counts, (12, 9)), [y], order)
    check(Upsample((2, 3)), [y], order)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_columns(geometry):
    sizes, kernel, stride, padding, _, dilation = geometry
    x = np.random.default_rng(0).standard_normal((3, *sizes, 5))
    columns = check(Im2col(kernel, stride, padding, dilation), [x], "NCHW")
    check(Col2im(kernel, stride, padding, dilation, x.shape), [columns], "NCHW")


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32", "uint8"])
def test_dtypes(dtype):
    x = images("NHWC", (9, 8), 17, dtype="float64")
    x = laid_out(np.abs(x).astype(dtype), "NHWC")
    check(MaxPool2d((3, 3), (2, 2), ((1, 1), (1, 1)), False, (1, 1)), [x], "NHWC", 0)
    check(Upsample((2, 2)), [x], "NHWC", 0)


def test_more_positions_than_a_byte_counts():
    fields = ((16, 17), (16, 17), NONE, False, (1, 1))
    x = images("NHWC", (16, 17), 8, batch=1)
    y = check(MaxPool2d(*fields), [x], "NHWC")
    assert check(MaxPool2dPlaces(*fields), [x, y], "NHWC").dtype == np.uint16


def test_many_positions_are_added_one_by_one(monkeypatch):
    monkeypatch.setattr(windows, "_MOST_TAPS", 10)
    sizes, *fields = GEOMETRIES[3]
    x = images("NHWC", sizes, 9)
    y = check(MaxPool2d(*fields), [x], "NHWC")
    places = check(MaxPool2dPlaces(*fields), [x, y], "NHWC")
    check(MaxPool2dGradient(*fields, size=sizes), [places, y], "NHWC")


def test_windows_that_see_nothing():
    x = np.ones((1, 1, 1, 1))
    op = MaxPool2d((2, 1), (1, 1), ((2, 2), (0, 0)), False, (3, 1))
    assert type_of(x).with_shape(op.infer(type_of(x)).shape).static_shape == (1, 1, 2, 1)
    check(op, [x], "NCHW")


def test_models_of_pooling_layers_run_no_reference_kernel():
    x = gn.input("x", (16, 4, 19, 17))
    pooled = gn.max_pool2d(x, 3, 2, 1) + gn.avg_pool2d(x, 3, 2, 1)
    loss = gn.mean(gn.square(gn.upsample(gn.adaptive_avg_pool2d(pooled, (5, 4)), 2)))
    step = gn.compile(x, [loss, *gn.gradients(loss, [x])], backend="native").specialize()
    assert step.lowered.own == len(step.schedule.steps)
