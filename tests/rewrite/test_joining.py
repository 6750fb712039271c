"""What unrolled steps leave behind is looked at as a whole."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.ops.joining import Concatenate
from graphnet.ops.linear import Matmul
from graphnet.ops.slicing import Pad
from graphnet.rewrite import joining
from graphnet.rewrite.driver import rewrite
from tests.rewrite.row import Row, check

padded, products, joined = joining.sum_of_padded_parts, joining.sum_of_products, joining.join_without_first_axis
merged = joining.join_before_axes_merge
PARTS = ((2, 3), (2, 4), (2, 9))
ALIKE = ((2, 3), (2, 3))


def _at(x: Node, start: int, size: int = 9, axis: int = 1, value: float = 0.0, step: int = 1) -> Node:
    starts, steps, target = [0, 0], [1, 1], list(x.shape)
    starts[axis], steps[axis], target[axis] = start, step, size
    return Pad(tuple(starts), tuple(steps), tuple(target), value)(x)


def _zeros(*shape: int) -> Node:
    return gn.broadcast_to(gn.constant(0.0, "float64"), shape)


def _stacked(*parts: Node) -> Node:
    return Concatenate(0)(*(part.reshape(1, *part.shape) for part in parts))


ROWS = [
    Row(padded, lambda a, b: _at(a, 0, 7) + _at(b, 3, 7), lambda a, b: Concatenate(1)(a, b), 2, shapes=PARTS),
    Row(padded, lambda a, b: _at(b, 3, 7) + _at(a, 0, 7), lambda a, b: Concatenate(1)(a, b), 2, shapes=PARTS),
    Row(
        padded,
        lambda a, b: _at(a, 1) + _at(b, 4),
        lambda a, b: Concatenate(1)(_zeros(2, 1), a, b, _zeros(2, 1)),
        2,
        shapes=PARTS,
    ),
    Row(
        padded,
        lambda a, b, c: _at(a, 0) + c + _at(b, 5) + gn.exp(c),
        lambda a, b, c: c + gn.exp(c) + Concatenate(1)(a, _zeros(2, 2), b),
        3,
        shapes=PARTS,
    ),
    Row(
        padded,
        lambda a, b: gn.exp(_at(a, 0, 5, 0) + _at(a, 3, 5, 0)) * b,
        lambda a, b: gn.exp(Concatenate(0)(a, _zeros(1, 3), a)) * b,
        2,
        shapes=((2, 3), (5, 3)),
    ),
    # Those that lie over another stay as they are.
    Row(
        padded,
        lambda a, b: _at(a, 0) + _at(a, 2) + _at(b, 4),
        lambda a, b: _at(a, 2) + Concatenate(1)(a, _zeros(2, 1), b, _zeros(2, 1)),
        2,
        shapes=PARTS,
    ),
    Row(padded, lambda a, b: _at(a, 0) + _at(b, 2), None, 2, shapes=PARTS),
    Row(padded, lambda a, b, c: _at(a, 0) + c, None, 3, shapes=PARTS),
    Row(padded, lambda a, b: _at(a, 0, value=1.0) + _at(b, 3), None, 2, shapes=PARTS),
    Row(padded, lambda a, b: _at(a, 0, 5, 0) + _at(b, 0, 5), None, 2, shapes=((2, 5), (5, 2))),
    Row(padded, lambda a, b: _at(a, 0, step=2) + _at(b, 5), None, 2, shapes=PARTS),
    Row(
        products,
        lambda a, b, c, d: a @ b + c @ d,
        lambda a, b, c, d: Concatenate(0)(c.T, a.T).T @ Concatenate(0)(d, b),
        4,
        shapes=((40, 2), (2, 30), (40, 3), (3, 30)),
    ),
    Row(
        products,
        lambda a, b, c: a @ b + gn.exp(c) + (2 * a) @ b,
        lambda a, b, c: gn.exp(c) + Concatenate(0)((2 * a).T, a.T).T @ Concatenate(0)(b, b),
        3,
        shapes=((40, 2), (2, 30), (40, 30)),
    ),
    # Factors as large as what they give are left alone, and so are a batch of products, and one that others read.
    Row(products, lambda a, b, c, d: a @ b + c @ d, None, 4, shapes=((4, 9), (9, 4), (4, 3), (3, 4))),
    Row(products, lambda a, b: a @ b + (2 * a) @ b, None, 2, shapes=((3, 40, 2), (3, 2, 30))),
    Row(products, lambda a, b: gn.sum(a @ b + (2 * a) @ b) * (a @ b), None, 2, shapes=((40, 2), (2, 30))),
    Row(products, lambda a, b, c: a @ b + c, None, 3, shapes=((40, 2), (2, 30), (40, 30))),
    Row(joined, _stacked, lambda a, b: Concatenate(0)(a, b).reshape(2, 2, 3), 2, shapes=ALIKE),
    Row(joined, lambda a, b: gn.stack([a, b], 1), None, 2, shapes=ALIKE),
    Row(joined, lambda a, b: Concatenate(0)(a, b), None, 2, shapes=ALIKE),
    Row(joined, _stacked, None, 2, shapes=((), ())),
    Row(
        merged,
        lambda a, b: Concatenate(1)(a.reshape(2, 12, 5), b.reshape(2, 4, 5)),
        lambda a, b: Concatenate(1)(a, b).reshape(2, 16, 5),
        2,
        shapes=((2, 3, 4, 5), (2, 1, 4, 5)),
    ),
    Row(merged, lambda a, b: Concatenate(0)(a.reshape(6), b), None, 2, shapes=((3, 2), (4,))),
    Row(merged, lambda a, b: Concatenate(0)(a.reshape(6), b.reshape(6)), None, 2, shapes=((3, 2), (2, 3))),
    Row(merged, lambda a, b: Concatenate(1)(a.reshape(2, 6), b.reshape(2, 6)), None, 2, shapes=((3, 2, 2), (3, 2, 2))),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Row) -> None:
    check(row)


def test_rules_keep_the_value() -> None:
    """To rounding; to the bit where no number is added to another."""
    for row in ROWS:
        nodes = row.typical
        before = row.before(*nodes)
        arrays = [np.random.default_rng(i).normal(size=node.shape) for i, node in enumerate(nodes)]
        wanted = gn.compile(nodes, before, rewrite=False)(*arrays)
        (after,) = rewrite(Graph((before,)), joining.JOINING).outputs
        found = gn.compile(nodes, after, rewrite=False)(*arrays)
        np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-14)
        if row.rule is not products and row.inputs == 2:
            np.testing.assert_array_equal(found, wanted)


def test_the_gradient_of_a_split_is_one_concatenation() -> None:
    x = gn.input("x", (4, 64), "float64")
    parts = gn.split(x, 32, 1)
    loss = gn.sum(gn.sin(parts[0]) * gn.cos(parts[-1])) + sum(gn.sum(gn.exp(part) * i) for i, part in enumerate(parts))
    step = gn.compile([x], gn.gradients(loss, [x])[0])
    step(np.zeros((4, 64)))
    names = [node.op.name for node in step.schedule.steps]
    assert names.count("concatenate") == 1 and "pad" not in names
    assert step.plan.peak_bytes < 4 * x.type.nbytes


def test_the_gradient_of_a_shared_weight_is_one_product() -> None:
    """Of T steps h = tanh(h @ w): T - 1 products backward through the steps, and one for w."""
    h, w = gn.input("h", (2, 16), "float64"), gn.parameter(np.eye(16), "w")
    state = h
    for _ in range(10):
        state = gn.tanh(state @ w)
    step = gn.compile([h], gn.gradients(gn.sum(state), [w])[0])
    step(np.ones((2, 16)))
    assert sum(isinstance(node.op, Matmul) for node in step.schedule.steps) == 10 + 9 + 1
