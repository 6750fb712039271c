"""Padding with steps: where the elements go."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native.padding import inside
from graphnet.ops.slicing import Pad

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
