"""Pooling: what it refuses and how it says so, named sizes, ties by eye, and both orders of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.types import type_of
from graphnet.ops.evaluate import apply_op, evaluate
from graphnet.ops.pooling import (
    AvgPool2d,
    AvgPool2dGradient,
    MaxPool2d,
    MaxPool2dGather,
    MaxPool2dGradient,
    MaxPool2dPlaces,
)
from graphnet.ops.resampling import AdaptiveAvgPool2d, AdaptiveAvgPool2dGradient, Upsample

X = gn.input("x", (1, 2, 6, 6))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: gn.max_pool2d(X, 7), gn.ShapeError, r"a kernel of \(7, 7\) is larger than its input of \(6, 6\)"),
        (lambda: gn.avg_pool2d(X, (2, 9), padding=(0, 1)), gn.ShapeError, r"\(6, 8\), \(6, 6\) before padding"),
        (lambda: gn.max_pool2d(gn.input("v", (6, 6)), 2), gn.ShapeError, r"4 dimensions .* got shape \(6, 6\)"),
        (lambda: gn.max_pool1d(X, 2), gn.ShapeError, "max_pool1d: expected the input to have 3 dimensions"),
        (lambda: gn.max_pool2d(X, 2, padding=2), gn.ArgumentError, r"padding \(2, 2\) must be at most half"),
        (lambda: gn.max_pool2d(X, 0), gn.ArgumentError, "kernel_size must be an integer >= 1 or a pair of them, got 0"),
        (lambda: gn.max_pool2d(X, 2, stride=0), gn.ArgumentError, "stride must be"),
        (lambda: gn.max_pool2d(X, 2, dilation=0), gn.ArgumentError, "dilation must be"),
        (lambda: gn.avg_pool2d(X, 2, divisor_override=0), gn.ArgumentError, "divisor_override must be"),
        (lambda: gn.max_pool2d(gn.input("b", (1, 1, 4, 4), "bool"), 2), gn.DtypeError, "expected floats or integers"),
        (lambda: gn.avg_pool2d(gn.input("i", (1, 1, 4, 4), "int64"), 2), gn.DtypeError, "expected floats"),
        (lambda: gn.adaptive_avg_pool2d(X, 0), gn.ArgumentError, "output_size must be at least 1"),
        (lambda: gn.adaptive_avg_pool2d(X, (1, 2, 3)), gn.ArgumentError, "output_size must be an integer >= 1, None"),
        (lambda: gn.upsample(X, 0), gn.ArgumentError, "scale_factor must be an integer >= 1"),
        (lambda: gn.upsample(X, 1.5), gn.ArgumentError, "scale_factor must be an integer >= 1"),
        (lambda: gn.interpolate(X, scale_factor=2, mode="bilinear"), gn.ArgumentError, "mode must be 'nearest'"),
        (lambda: gn.interpolate(X), gn.ArgumentError, "either size or scale_factor"),
        (lambda: gn.interpolate(X, size=9), gn.ArgumentError, "whole multiple"),
    ],
)
def test_mistakes_are_named(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"(?s){message}.* at .*test_pooling.py"):
        build()


def test_named_sizes_go_through_exact_arithmetic() -> None:
    n, h, w = gn.Dim("N"), gn.Dim("H"), gn.Dim("W")
    x = gn.input("images", ("N", 3, "H", "W"))
    assert gn.max_pool2d(x, 2).shape == (n, 3, (h - 2) // 2 + 1, (w - 2) // 2 + 1)
    assert gn.avg_pool2d(x, 3, 1, 1).shape == x.shape
    assert gn.adaptive_avg_pool2d(x, (None, 2)).shape == (n, 3, h, 2)
    assert gn.upsample(x, (2, 3)).shape == (n, 3, h * 2, w * 3)
    for y in (gn.max_pool2d(x, 3, 2, 1), gn.avg_pool2d(x, 2), gn.adaptive_avg_pool2d(x, 3), gn.upsample(x, 2)):
        (gradient,) = gn.gradients(gn.sum(y * y), [x])
        assert gradient.shape == x.shape


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (2, 3, 1), (3, 1, 1), (2, 5, 1)])
def test_ceil_mode_counts_the_same_windows_named_and_numbered(
    size: int, kernel: int, stride: int, padding: int
) -> None:
    named = gn.max_pool2d(gn.input("x", (1, 1, "H", 8)), kernel, stride, padding, ceil_mode=True).type
    last_start = size + padding - 1
    count = -(-(size + 2 * padding - kernel) // stride) + 1
    count -= (count - 1) * stride > last_start
    assert named.bind({"H": size}).shape[2] == count


def test_a_tie_gives_everything_to_the_first_maximum() -> None:
    x = gn.input("ties", (1, 1, 2, 4), "float64")
    y = gn.max_pool2d(x, 2)
    (gradient,) = gn.gradients(gn.sum(y * np.array([[[[3.0, 5.0]]]])), [x])
    values = np.array([[[[1.0, 1.0, 0.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]])
    assert evaluate([gradient], {x: values})[0].tolist() == [[[[3.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0]]]]


def test_an_infinite_gradient_stays_where_it_belongs() -> None:
    geometry = ((2, 2), (2, 2), ((0, 0), (0, 0)), False, (1, 1))
    x = np.array([[[[1.0, 2.0], [3.0, 0.0]]]])
    places = apply_op(MaxPool2dPlaces(*geometry), x, np.array([[[[3.0]]]]))
    assert places.dtype == np.uint8 and places.tolist() == [[[[2]]]]  # counted down from 4: the third position
    found = apply_op(MaxPool2dGradient(*geometry, (2, 2)), places, np.array([[[[np.inf]]]]))
    assert found.tolist() == [[[[0.0, 0.0], [np.inf, 0.0]]]]


def test_windows_of_more_than_255_elements_have_wider_places() -> None:
    x = gn.input("x", (1, 1, 20, 20), "float64")
    (gradient,) = gn.gradients(gn.sum(gn.max_pool2d(x, 20)), [x])
    assert gradient.inputs[0].dtype == np.uint16
    values = np.zeros((1, 1, 20, 20))
    values[0, 0, 19, 18] = 1.0
    assert np.argwhere(evaluate([gradient], {x: values})[0]).tolist() == [[0, 0, 19, 18]]


def test_a_window_with_a_nan_passes_no_gradient() -> None:
    x = gn.input("x", (1, 1, 2, 4), "float64")
    (gradient,) = gn.gradients(gn.sum(gn.max_pool2d(x, 2)), [x])
    values = np.array([[[[np.nan, 1.0, 0.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]])
    assert evaluate([gradient], {x: values})[0].tolist() == [[[[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]]]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (2, 3, 0)])
def test_the_batch_may_lie_last_in_memory(kernel: int, stride: int, padding: int) -> None:
    geometry = ((kernel, kernel), (stride, stride), ((padding, padding), (padding, padding)), False)
    x = np.random.default_rng(0).random((3, 2, 7, 8))
    highest = apply_op(MaxPool2d(*geometry, (1, 1)), x)
    places = apply_op(MaxPool2dPlaces(*geometry, (1, 1)), x, highest)
    for op, inputs in (
        (MaxPool2d(*geometry, (1, 1)), (x,)),
        (MaxPool2dPlaces(*geometry, (1, 1)), (x, highest)),
        (MaxPool2dGradient(*geometry, (1, 1), (7, 8)), (places, np.sin(highest))),
        (MaxPool2dGather(*geometry, (1, 1)), (places, np.cos(x))),
        (AvgPool2d(*geometry, False, None), (x,)),
        (AvgPool2dGradient(*geometry, False, None, (7, 8)), (highest,)),
        (AdaptiveAvgPool2d((3, 5)), (x,)),
        (AdaptiveAvgPool2dGradient(highest.shape[2:], (7, 8)), (highest,)),
        (Upsample((2, 3)), (x,)),
    ):
        expected = apply_op(op, *inputs)
        garbage = np.full_like(expected, 99)
        out, *moved = (a.transpose(1, 2, 3, 0).copy().transpose(3, 0, 1, 2) for a in (garbage, *inputs))
        work = tuple(np.empty(t.static_shape, t.dtype) for t in op.workspace(*map(type_of, moved)))
        op.compute(out, *moved, **({"work": work} if work else {}))
        np.testing.assert_allclose(out, expected, rtol=1e-15, err_msg=repr(op))
