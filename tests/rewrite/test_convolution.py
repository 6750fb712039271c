"""Convolution as one matrix product: the columns are laid out once, where there is anything to lay out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient
from graphnet.ops.windows import Col2im, Im2col
from graphnet.rewrite import convolution
from graphnet.rewrite.driver import rewrite
from tests.rewrite.row import Row, check

STEPS = ((2, 1), ((1, 1), (0, 2)), (1, 2))
X, W, DY = (2, 3, 7, 6), (4, 3, 3, 2), (2, 4, 4, 6)
SAME = ((1, 1), (1, 1))
PLAIN = ((1, 1), ((0, 0), (0, 0)), (1, 1))


def _rows(images: Node) -> Node:
    return gn.transpose(images, (1, 2, 3, 0)).reshape(images.shape[1], -1)


def _images(rows: Node, shape: tuple[int, ...]) -> Node:
    n, c, h, w = shape
    return gn.transpose(rows.reshape(c, h, w, n), (3, 0, 1, 2))


def _columns(x: Node) -> Node:
    return Im2col((3, 2), *STEPS)(gn.transpose(x, (1, 2, 3, 0)))


def _nothing(*shape: int) -> Node:
    return gn.broadcast_to(gn.constant(0.0, "float64"), shape)


ROWS = [
    Row(
        convolution.convolution_of_nothing,
        lambda x, w: Conv2d(*PLAIN, 1)(x, w),
        lambda x, w: _nothing(2, 4, 5, 5),
        inputs=2,
        shapes=((2, 0, 7, 6), (4, 0, 3, 2)),
    ),
    Row(
        convolution.convolution_of_nothing,
        lambda x, dy: Conv2dFilterGradient(*PLAIN, 1, (3, 2))(x, dy),
        lambda x, dy: _nothing(4, 3, 3, 2),
        inputs=2,
        shapes=((0, 3, 7, 6), (0, 4, 5, 5)),
    ),
    Row(
        convolution.convolution_of_nothing,
        lambda dy, w: Conv2dInputGradient((1, 1), SAME, (1, 1), 1, (0, 6))(dy, w),
        lambda dy, w: _nothing(2, 3, 0, 6),
        inputs=2,
        shapes=((2, 4, 1, 6), (4, 3, 2, 3)),
    ),
    Row(
        convolution.convolution_of_nothing,
        lambda x, w: Conv2d(*PLAIN, 1)(x, w),
        None,
        inputs=2,
        shapes=(X, W),
    ),
    Row(
        convolution.conv2d_to_matmul,
        lambda x, w: Conv2d(*STEPS, 1)(x, w),
        lambda x, w: _images(w.reshape(4, -1) @ _columns(x), DY),
        inputs=2,
        shapes=(X, W),
    ),
    Row(
        convolution.conv2d_to_matmul,
        lambda x, w: Conv2d(*PLAIN, 1)(x, w),
        lambda x, w: _images(w.reshape(4, 3) @ _rows(x), (2, 4, 7, 6)),
        inputs=2,
        shapes=(X, (4, 3, 1, 1)),
    ),
    Row(
        convolution.conv2d_to_matmul,
        lambda x, w: Conv2d(*PLAIN, 3)(x, w),
        None,
        inputs=2,
        shapes=(X, (6, 1, 3, 3)),
    ),
    Row(
        convolution.filter_gradient_to_matmul,
        lambda x, dy: Conv2dFilterGradient(*STEPS, 1, (3, 2))(x, dy),
        lambda x, dy: (_columns(x) @ _rows(dy).T).T.reshape(W),
        inputs=2,
        shapes=(X, DY),
    ),
    Row(
        convolution.filter_gradient_to_matmul,
        lambda x, dy: Conv2dFilterGradient(*PLAIN, 3, (3, 3))(x, dy),
        None,
        inputs=2,
        shapes=(X, (2, 3, 5, 4)),
    ),
    Row(
        convolution.input_gradient_to_matmul,
        lambda dy, w: Conv2dInputGradient(*STEPS, 1, (7, 6))(dy, w),
        lambda dy, w: gn.transpose(Col2im((3, 2), *STEPS, (3, 7, 6, 2))(w.reshape(4, -1).T @ _rows(dy)), (3, 0, 1, 2)),
        inputs=2,
        shapes=(DY, W),
    ),
    Row(
        convolution.input_gradient_to_matmul,
        lambda dy, w: Conv2dInputGradient(*PLAIN, 1, (7, 6))(dy, w),
        lambda dy, w: _images(w.reshape(4, 3).T @ _rows(dy), X),
        inputs=2,
        shapes=((2, 4, 7, 6), (4, 3, 1, 1)),
    ),
    Row(
        convolution.input_gradient_to_matmul,
        lambda dy, w: Conv2dInputGradient(*PLAIN, 3, (7, 6))(dy, w),
        None,
        inputs=2,
        shapes=((2, 3, 5, 4), (3, 1, 3, 3)),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Row) -> None:
    check(row)


def _step(kernel: int, groups: int = 1, **options: int) -> Counter[str]:
    """The ops of a convolution with both of its gradients, as compiled for the numpy backend."""
    x = gn.input("x", (2, 4, 8, 8), "float64")
    w = gn.input("w", (6, 4 // groups, kernel, kernel), "float64")
    y = gn.conv2d(x, w, groups=groups, **options)
    loss = gn.sum(gn.square(y))
    outputs = [y, *gn.gradients(loss, [x, w])]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=node.type.static_shape) for node in (x, w)]
    step = gn.compile([x, w], outputs, check=2)
    for found, wanted in zip(step(*arrays), gn.compile([x, w], outputs, rewrite=False)(*arrays), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
    return Counter(node.op.name for node in step.graph.nodes)


def test_forward_and_filter_gradient_share_their_columns() -> None:
    ops = _step(3, padding=1)
    assert (ops["im2col"], ops["col2im"], ops["matmul"]) == (1, 1, 3)
    assert not any("conv2d" in name for name in ops)


def test_columns_are_one_node() -> None:
    x, w, dy = (gn.input(name, shape) for name, shape in (("x", X), ("w", W), ("dy", DY)))
    forward, backward = Conv2d(*STEPS, 1)(x, w), Conv2dFilterGradient(*STEPS, 1, (3, 2))(x, dy)
    graph = rewrite(Graph((forward, backward)), convolution.CONVOLUTION)
    columns = [node for node in graph.nodes if isinstance(node.op, Im2col)]
    assert len(columns) == 1 and len(graph.users[columns[0]]) == 2


def test_a_kernel_of_one_has_no_columns() -> None:
    ops = _step(1)
    assert (ops["im2col"], ops["col2im"], ops["matmul"]) == (0, 0, 3)


def test_a_kernel_of_one_that_strides_or_pads_does() -> None:
    assert _step(1, stride=2)["im2col"] == _step(1, padding=1)["im2col"] == 1


def test_groups_keep_the_op() -> None:
    ops = _step(3, groups=2)
    assert ops["im2col"] == 0
    assert (ops["conv2d"], ops["conv2d_filter_gradient"], ops["conv2d_input_gradient"]) == (1, 1, 1)
