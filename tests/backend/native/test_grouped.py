"""Convolutions in groups: against the NumPy backend in whole steps, and kernel by kernel."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native.grouped_ops import (
    DepthwiseConvolution,
    DepthwiseFilterGradient,
    DepthwiseInputGradient,
    Grouped,
)
from graphnet.backend.native.ops import DirectFilterGradient
from graphnet.graph.types import type_of
from graphnet.ops.evaluate import apply_op
from tests.backend.native.kernels import native

NONE = ((0, 0), (0, 0))
GEOMETRIES = [  # kernel, stride, padding, dilation
    ((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    ((3, 3), (2, 2), ((1, 1), (1, 0)), (1, 1)),
    ((5, 4), (1, 3), ((2, 2), (0, 1)), (1, 2)),
    ((1, 2), (2, 1), ((-1, 0), (0, -1)), (1, 1)),  # crops
]


def check(op, inputs, tolerance):
    expected = apply_op(op, *inputs)
    out = np.full_like(expected, 99)
    native(op, out, inputs, threads=2)
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance, err_msg=str(op))
    return expected


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize(
    ("batch", "channels", "dtype"),
    [(1, 19, "float64"), (9, 8, "float64"), (16, 3, "float32"), (2, 268, "float32"), (8, 80, "float64")],
)
def test_depthwise(geometry, batch, channels, dtype):
    kernel, *fields = geometry
    generator = np.random.default_rng(0)
    x = generator.standard_normal((batch, 10, 9, channels)).astype(dtype)
    w = generator.standard_normal((*kernel, channels)).astype(dtype)
    # Sums of 9 * 16 * 90 products of numbers of order 1 have rounding errors of some 100 units.
    tolerance = 200 * np.finfo(dtype).eps
    y = check(DepthwiseConvolution(*fields), [x, w], tolerance)
    dy = generator.standard_normal(y.shape).astype(dtype)
    check(DepthwiseInputGradient(*fields, (10, 9)), [dy, w], tolerance)
    check(DepthwiseFilterGradient(*fields, kernel), [x, dy], tolerance)


def test_channels_that_do_not_lie_side_by_side():
    x = np.random.default_rng(0).standard_normal((9, 6, 7, 5)).transpose(0, 2, 3, 1)
    w = np.random.default_rng(1).standard_normal((3, 3, 6))
    check(DepthwiseConvolution((1, 1), ((1, 1), (1, 1)), (1, 1)), [x, w], 1e-13)


@pytest.mark.parametrize(("batch", "channels"), [(12, 20), (1, 160), (1, 268)])
def test_the_same_bits_on_any_number_of_threads(batch, channels):
    generator = np.random.default_rng(0)
    x, w = (generator.standard_normal(shape).astype("f") for shape in ((batch, 9, 9, channels), (3, 3, channels)))
    fields = ((1, 1), ((1, 1), (1, 1)), (1, 1))
    for op, inputs in ((DepthwiseConvolution(*fields), [x, w]), (DepthwiseFilterGradient(*fields, (3, 3)), [x, x])):
        shape = op.infer(*map(type_of, inputs)).static_shape
        one, three = np.empty(shape, "f"), np.empty(shape, "f")
        native(op, one, inputs, threads=1)
        native(op, three, inputs, threads=3)
        np.testing.assert_array_equal(one, three)


def test_images_that_share_memory():
    """Channels 0 to 5 in groups of 3, channels 6 to 9 in groups of 2, of one array."""
    both = np.random.default_rng(0).standard_normal((9, 6, 5, 10))
    check(Grouped(DirectFilterGradient((1, 1), (1, 1), (1, 1)), 2), [both[..., :6], both[..., 6:]], 1e-12)


STEPS = [  # groups, channels, filters, kernel, options
    (6, 6, 6, 3, {"padding": 1}),
    (6, 6, 6, 3, {"stride": 2, "padding": 1, "dilation": 2}),
    (2, 8, 6, 3, {"padding": 1}),
    (3, 6, 57, 2, {"stride": (1, 2), "dilation": (2, 1)}),
    (4, 4, 8, 3, {"padding": 2}),
]


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_run_no_reference_kernel(step, dtype):
    groups, channels, filters, kernel, options = step
    generator = np.random.default_rng(0)
    arrays = [
        generator.standard_normal(shape).astype(dtype)
        for shape in ((9, channels, 11, 8), (filters, channels // groups, kernel, kernel))
    ]
    x, w = (gn.input(name, array.shape, dtype) for name, array in zip("xw", arrays, strict=True))
    y = gn.conv2d(x, w, groups=groups, **options)
    nodes = [y, *gn.gradients(gn.sum(gn.square(y)), [x, w])]
    compiled = gn.compile([x, w], nodes, backend="native")
    program = compiled.specialize()
    assert program.lowered.own == len(program.schedule.steps)
    expected = gn.compile([x, w], nodes, backend="numpy")(*arrays)
    tolerance = 2000 * np.finfo(dtype).eps
    for found, wanted in zip(compiled(*arrays), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
