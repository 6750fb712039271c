"""Rewrites of depthwise convolutions: their images get channels innermost, as those of other convolutions do."""

from __future__ import annotations

from graphnet.backend.native.grouped_ops import DepthwiseConvolution, DepthwiseFilterGradient, DepthwiseInputGradient
from graphnet.backend.native.ops import CHANNELS_FIRST, CHANNELS_LAST
from graphnet.graph.node import Node
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient
from graphnet.ops.layout import transpose
from graphnet.ops.shaping import Contiguous, reshape
from graphnet.rewrite.driver import Any, Apply, Rule, rule

x, w, dy = Any("x"), Any("w"), Any("dy")


def _by_channel(weight: Node) -> Node:
    """A weight (C, 1, kernel rows, kernel columns) as (kernel rows, kernel columns, C)."""
    filters, _, *kernel = weight.shape
    return Contiguous()(transpose(reshape(weight, (filters, *kernel)), (1, 2, 0)))


@rule(Apply(Conv2d, x, w, name="conv"))
def depthwise_convolution(x: Node, w: Node, conv: Node) -> Node | None:
    """conv2d(x, w)  -->  channels first(depthwise convolution(channels last(x), w))    where groups are channels"""
    op = conv.op
    assert isinstance(op, Conv2d)
    if not op.groups == w.shape[0] == x.shape[1] > 1:
        return None
    made = DepthwiseConvolution(op.stride, op.padding, op.dilation)
    return transpose(made(transpose(x, CHANNELS_LAST), _by_channel(w)), CHANNELS_FIRST)


@rule(Apply(Conv2dInputGradient, dy, w, name="node"))
def depthwise_input_gradient(dy: Node, w: Node, node: Node) -> Node | None:
    """input gradient(dy, w)  -->  channels first(depthwise input gradient(channels last(dy), w))"""
    op = node.op
    assert isinstance(op, Conv2dInputGradient)
    if not op.groups == w.shape[0] == node.shape[1] > 1:
        return None
    height, width = node.type.static_shape[2:]
    made = DepthwiseInputGradient(op.stride, op.padding, op.dilation, (height, width))
    return transpose(made(transpose(dy, CHANNELS_LAST), _by_channel(w)), CHANNELS_FIRST)


@rule(Apply(Conv2dFilterGradient, x, dy, name="node"))
def depthwise_filter_gradient(x: Node, dy: Node, node: Node) -> Node | None:
    """filter gradient(x, dy)  -->  depthwise filter gradient(channels last(x), channels last(dy)), channels first"""
    op = node.op
    assert isinstance(op, Conv2dFilterGradient)
    if not op.groups == x.shape[1] == dy.shape[1] > 1:
        return None
    made = DepthwiseFilterGradient(op.stride, op.padding, op.dilation, op.kernel)
    found = made(transpose(x, CHANNELS_LAST), transpose(dy, CHANNELS_LAST))
    return reshape(transpose(found, (2, 0, 1)), node.shape)


DEPTHWISE: list[Rule] = [depthwise_convolution, depthwise_input_gradient, depthwise_filter_gradient]
