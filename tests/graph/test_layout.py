"""Where elements lie: layouts that are foreseen are those that NumPy gives."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.layout import axis_order, in_order, layouts, memory_order, same_places
from graphnet.graph.traversal import topological


def strided(shape, order):
    return in_order(np.arange(np.prod(shape, dtype=int)), shape, order)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_in_order_and_axis_order_are_inverse(order):
    array = strided((2, 3, 4), order)
    assert array.shape == (2, 3, 4) and axis_order(array) == order
    assert array.transpose(order).flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "order"),
    [
        (np.zeros(()), ()),
        (np.zeros((2, 3)), (0, 1)),
        (np.zeros((3, 2)).T, (1, 0)),
        (np.zeros((0, 3)).T, (0, 1)),
        (np.broadcast_to(np.zeros((3, 1)), (3, 4)), (0, 1)),
        (np.zeros((4, 3))[:, ::-1].T, (1, 0)),
        (np.zeros((1, 5)).T, (0, 1)),
    ],
)
def test_axis_order(array, order):
    assert axis_order(array) == order


def test_same_places():
    a = np.zeros((3, 4))
    assert same_places(a, np.ones((3, 4))) and not same_places(a, np.zeros((4, 3)).T)
    assert not same_places(a, a[:2]) and not same_places(a, a[:, ::-1])
    assert same_places(np.zeros((1, 4)), np.zeros((1, 8))[:, :4])  # the stride of a single row is never used
    assert same_places(np.zeros(()), np.ones(()))


def test_foreseen_layouts_are_the_ones_that_programs_have():
    x = gn.input("x", (3, 4))
    nodes = [
        gn.transpose(x) * 2.0,
        gn.transpose(x) + gn.transpose(gn.exp(x)),
        gn.transpose(x) * gn.input("row", (3,)),
        gn.sum(gn.transpose(x) * 2.0, axis=0),
        gn.transpose(x) @ x,
        gn.reshape(gn.exp(x), (2, 6))[:, ::-1],
        gn.broadcast_to(gn.sin(x)[:, :1], (3, 4)) + x,
        gn.concatenate([gn.transpose(x), gn.transpose(x)], axis=0) * 3.0,
    ]
    step = gn.compile([x, gn.input("row", (3,))], [gn.sum(node) for node in nodes], rewrite=False)
    program = step.specialize()
    for node, foreseen in layouts(program.graph.nodes).items():
        if node in program.lowered.arrays:
            real = program.lowered.arrays[node]
            assert real.shape == foreseen.shape and real.dtype == foreseen.dtype
            assert same_places(real, foreseen), node


def test_layouts_have_almost_no_memory():
    x = gn.input("x", (100_000, 100_000))
    found = layouts(topological([gn.exp(gn.transpose(x))]))
    assert [array.shape for array in found.values()] == [(100_000, 100_000)] * 3
    assert [array.strides for array in found.values()] == [(400_000, 4), (4, 400_000), (4, 400_000)]


def test_only_an_op_that_is_free_of_layout_follows_its_input():
    x = gn.input("x", (3, 4))
    turned = np.zeros((4, 3), np.float32).T
    assert memory_order(gn.exp(x), [turned]) == (1, 0)
    assert memory_order(gn.softmax(x, axis=1), [turned]) in ((0, 1), (1, 0))
    assert memory_order(gn.cumsum(x, axis=1), [turned]) == (0, 1)
    # A smaller operand does not decide.
    assert memory_order(x * gn.input("b", (1, 4)), [np.zeros((3, 4)), np.zeros((4, 1)).T]) == (0, 1)
