"""Padding with steps: where the elements go."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native.padding import inside
from graphnet.ops.slicing import Pad
from tests.backend.native.kernels import native

CUTS = [slice(None, None, -1), slice(None, None, -2), slice(4, 1, -1), slice(1, None, 2), slice(2, 2), slice(0, 0, 2)]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_the_gradient_of_a_slice_goes_where_the_slice_came_from(cut):
    x = gn.input("x", (5, 3), "float64")
    array = np.arange(15.0).reshape(5, 3)
    (slope,) = gn.gradients(gn.sum(gn.square(x[cut])), [x])
    expected = np.zeros((5, 3))
    expected[cut] = 2 * array[cut]
    for rewrite in (True, False):
        step = gn.compile([x], slope, backend="native", rewrite=rewrite)
        np.testing.assert_array_equal(step(array), expected)
    for node in step.graph.nodes:
        if isinstance(node.op, Pad):
            shape = node.inputs[0].type.static_shape
            assert inside(node.op, array, np.empty(shape)).tolist() == array[cut].tolist()


@pytest.mark.parametrize("step", [2, -1])
def test_a_gradient_takes_the_bytes_of_the_value_that_was_cut(step):
    x = gn.input("x", (40_001,), "float64")
    weight = gn.input("weight", (40_001 if step == -1 else 20_001,), "float64")
    (slope,) = gn.gradients(gn.sum(gn.square(gn.cumsum(x, 0)[::step]) * weight), [x])
    feeds = [np.random.default_rng(0).standard_normal(node.shape) for node in (x, weight)]
    found = gn.compile([x, weight], slope, backend="native")(*feeds)
    sums = np.zeros(40_001)
    sums[::step] = 2 * np.cumsum(feeds[0])[::step] * feeds[1]
    expected = np.cumsum(sums[::-1])[::-1]
    # Sums of 40,001 numbers twice, in blocks: far fewer roundings than numbers.
    np.testing.assert_allclose(found, expected, rtol=0, atol=40_001 * 2.2e-16 * np.abs(expected).max())


@pytest.mark.parametrize("starts", [(0, 0), (3, 1), (4, 5)])
@pytest.mark.parametrize("steps", [(1, -1), (-1, -1), (-1, 2), (5, -3)])
@pytest.mark.parametrize("shape", [(4, 3), (1, 3), (4, 1)])
def test_borders_of_elements_in_the_other_order(starts, steps, shape):
    ends = [n * abs(step) for n, step in zip(shape, steps, strict=True)]
    firsts = tuple(a + (end if step < 0 else 0) for a, end, step in zip(starts, ends, steps, strict=True))
    op = Pad(firsts, steps, tuple(a + end + 2 for a, end in zip(starts, ends, strict=True)), 3.0)
    x = np.random.default_rng(0).standard_normal(shape)
    found, expected = np.full(op.target, 7.0), np.full(op.target, 7.0)
    op.compute(expected, x)
    native(op, found, [x])
    np.testing.assert_array_equal(found, expected)
