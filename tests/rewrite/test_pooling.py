"""Pooling goes before relu, in the forward pass and in the gradient that was built for the other order."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.node import Node
from graphnet.ops.activations import Relu, ReluGradient
from graphnet.ops.pooling import MaxPool2d, MaxPool2dGradient, MaxPool2dPlaces
from graphnet.rewrite import pooling
from tests.rewrite.row import Row, check

POOL = MaxPool2d((2, 2), (2, 2), ((0, 0), (0, 0)), False, (1, 1))
PLACES = MaxPool2dPlaces(**POOL.attributes)
SPREAD = MaxPool2dGradient(**POOL.attributes, size=(4, 4))
RELU, MASK = Relu(), ReluGradient()
IMAGE = ((2, 3, 4, 4),)
IMAGE_AND_GRADIENT = ((2, 3, 4, 4), (2, 3, 2, 2))


def _spread_of_relu(x: Node, dy: Node) -> Node:
    pooled = RELU(POOL(x))
    return SPREAD(PLACES(RELU(x), pooled), MASK(pooled, dy))


def _spread(x: Node, dy: Node) -> Node:
    return SPREAD(PLACES(x, POOL(x)), MASK(RELU(POOL(x)), dy))


ROWS = [
    Row(pooling.pool_before_relu, lambda x: POOL(RELU(x)), lambda x: RELU(POOL(x)), shapes=IMAGE),
    Row(pooling.pool_before_relu, lambda x: POOL(gn.tanh(x)), None, shapes=IMAGE),
    Row(
        pooling.relu_gradient_before_spreading,
        lambda y, dy: MASK(y, SPREAD(PLACES(y, POOL(y)), dy)),
        lambda y, dy: SPREAD(PLACES(y, POOL(y)), MASK(POOL(y), dy)),
        inputs=2,
        shapes=IMAGE_AND_GRADIENT,
    ),
    Row(
        pooling.relu_gradient_before_spreading,
        lambda y, dy: MASK(gn.tanh(y), SPREAD(PLACES(y, POOL(y)), dy)),
        None,
        inputs=2,
        shapes=IMAGE_AND_GRADIENT,
    ),
    Row(pooling.spread_past_relu, _spread_of_relu, _spread, inputs=2, shapes=IMAGE_AND_GRADIENT),
    Row(
        pooling.spread_past_relu,
        lambda x, dy: SPREAD(PLACES(RELU(x), RELU(POOL(x))), dy),  # nothing says that closed windows give nothing away
        None,
        inputs=2,
        shapes=IMAGE_AND_GRADIENT,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("arguments", [(2,), (3, 2, 1), (2, 1), (3, 2)], ids=str)
def test_the_gradient_is_the_same_to_the_bit(arguments: tuple[int, ...]) -> None:
    """With windows that are closed, tied, open in part, and, where they overlap, shared."""
    rng = np.random.default_rng(0)
    array = rng.integers(-2, 3, (2, 3, 9, 9)).astype(np.float32)
    x = gn.input("x", array.shape)
    (dx,) = gn.gradients(gn.sum(gn.square(gn.max_pool2d(gn.relu(x), *arguments) + 1.0)), [x])
    values = [gn.compile([x], dx, rewrite=rewrite)(array) for rewrite in (True, False)]
    np.testing.assert_array_equal(*values)
    ops = [node.op for node in gn.compile([x], dx).specialize().graph.nodes if isinstance(node.op, Relu)]
    assert len(ops) == 1, "relu is computed on the pooled values only"
