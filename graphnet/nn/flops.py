"""Floating-point operations of the nodes of a declared graph."""

from __future__ import annotations

from collections.abc import Callable

from graphnet.graph.dims import Size, product
from graphnet.graph.node import Node, Op
from graphnet.ops import (
    convolution,
    indexing,
    joining,
    linear,
    pooling,
    reductions,
    resampling,
    shaping,
    slicing,
    sources,
)
from graphnet.ops import gradient_control as control
from graphnet.ops.layout import DiagonalEmbed
from graphnet.ops.normalization import Standardize
from graphnet.ops.softmax_cross_entropy import SoftmaxCrossEntropy

_MOVES: tuple[type[Op], ...] = (
    DiagonalEmbed, control.StopGradient, indexing.Gather, indexing.OneHot, indexing.Take, joining.Concatenate,
    joining.PadEdges, resampling.Upsample, shaping.Cast, shaping.Contiguous, slicing.Pad, slicing.Slice,
    sources.Assign, sources.Constant, sources.Input, sources.SizeOf, sources.Stored, sources.WithUpdates,
)  # fmt: skip
_REDUCES: tuple[type[Op], ...] = (
    reductions.ArgExtreme, reductions.Reduction, resampling.AdaptiveAvgPool2d, shaping.Sum, SoftmaxCrossEntropy,
    Standardize,
)  # fmt: skip


def flops(node: Node) -> Size:
    """How many floating-point operations give `node` from its inputs, without looking at what backends make of it.

    A contraction (matrix product, convolution) has two a multiply-add; a pooling one for each element of each window;
    a reduction one for each element that it reads; everything else elementwise one for each element that it gives,
    an exponential as much as a sum. What only moves, picks or views values has none.
    """
    op = node.op
    if op.is_view or isinstance(op, _MOVES):
        return 0
    for kind, count in _CONTRACTIONS.items():
        if isinstance(op, kind):
            return count(node)
    return node.inputs[0].type.size if isinstance(op, _REDUCES) else node.type.size


def _matmul(node: Node) -> Size:
    return 2 * node.type.size * node.inputs[0].shape[-1]


def _convolution(node: Node) -> Size:
    """Each output element is a sum over the weight's kernel and input channels."""
    return 2 * node.type.size * product(node.inputs[1].shape[1:])


def _transposed(node: Node) -> Size:
    """Each input element is multiplied with one slice of the weight."""
    images, weight = node.inputs
    return 2 * images.type.size * product(weight.shape[1:])


def _filters(node: Node) -> Size:
    """Each element of the output's gradient meets one window of the input."""
    return 2 * node.inputs[1].type.size * product(node.shape[1:])


def _pooling(node: Node) -> Size:
    return node.type.size * product(node.op.attributes["kernel"])


_CONTRACTIONS: dict[type[Op], Callable[[Node], Size]] = {
    linear.Matmul: _matmul,
    convolution.Conv2d: _convolution,
    convolution.Conv2dInputGradient: _transposed,
    convolution.Conv2dFilterGradient: _filters,
    pooling.MaxPool2d: _pooling,
    pooling.AvgPool2d: _pooling,
}
