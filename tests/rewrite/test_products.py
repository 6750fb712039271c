"""Matrix products the way round in which they are read."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.graph import Graph
from graphnet.rewrite import products
from graphnet.rewrite.driver import rewrite
from tests.rewrite.row import Row, check

TWO, BATCH = ((2, 5), (5, 4)), ((3, 2, 5), (3, 5, 4))
WEIGHT = gn.parameter(np.ones((4, 5)), "weight")
turned = products.transpose_of_product

ROWS = [
    Row(turned, lambda a, b: (a @ b).T, lambda a, b: b.T @ a.T, inputs=2, shapes=TWO),
    Row(
        turned,
        lambda a, b: gn.swapaxes(a @ b, 1, 2),
        lambda a, b: gn.swapaxes(b, 1, 2) @ gn.swapaxes(a, 1, 2),
        inputs=2,
        shapes=BATCH,
    ),
    Row(turned, lambda b: (WEIGHT @ b).T, None, shapes=((5, 2),)),
    Row(products.turn_flat_product, lambda a: a @ WEIGHT, lambda a: (WEIGHT.T @ a.T).T, shapes=((2, 4),)),
    Row(products.turn_flat_product, lambda a: a @ WEIGHT, None, shapes=((6, 4),)),
    Row(products.turn_flat_product, lambda a, b: a @ b, None, inputs=2, shapes=TWO),
    Row(products.turn_flat_product, lambda a: a @ gn.expand_dims(WEIGHT, 0), None, shapes=((3, 2, 4),)),
    Row(
        turned,
        lambda a, b: gn.transpose(a @ b, (2, 0, 1)),
        lambda a, b: gn.transpose(gn.swapaxes(b, 1, 2) @ gn.swapaxes(a, 1, 2), (1, 0, 2)),
        inputs=2,
        shapes=BATCH,
    ),
    Row(turned, lambda a, b: gn.transpose(a @ b, (1, 0, 2)), None, inputs=2, shapes=BATCH),
    Row(turned, lambda a, b: (a @ b).T @ gn.exp(a @ b), None, inputs=2, shapes=TWO),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Row) -> None:
    check(row)


def test_a_product_that_is_a_result_is_not_computed_twice() -> None:
    a, b = (gn.input(name, shape) for name, shape in zip("ab", TWO, strict=True))
    graph = Graph(((a @ b).T, a @ b))
    assert rewrite(graph, [turned]).outputs == graph.outputs
