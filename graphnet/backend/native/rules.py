"""What the native backend rewrites: convolutions of batches become direct ones, with the batch innermost."""

from __future__ import annotations

from graphnet.backend.native.ops import DirectConvolution, DirectFilterGradient
from graphnet.graph.node import Node
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient, Convolution
from graphnet.ops.layout import transpose
from graphnet.ops.slicing import Pad, flip
from graphnet.ops.windows import Sides
from graphnet.rewrite.convolution import CONVOLUTION
from graphnet.rewrite.driver import Any, Apply, Rule, rule

x, w, dy = Any("x"), Any("w"), Any("dy")

_BATCH_LAST = (1, 2, 3, 0)
_BATCH_FIRST = (3, 0, 1, 2)
_LEAST_BATCH = 8  # images that fill a vector; for fewer, columns are better


def _is_direct(op: Convolution, batch: int) -> bool:
    return op.groups == 1 and batch >= _LEAST_BATCH and all(side >= 0 for pair in op.padding for side in pair)


def _placed(images: Node, starts: tuple[int, int], steps: tuple[int, int], sizes: tuple[int, int]) -> Node:
    """(N, C, H, W) as (C, *sizes, N): element (h, w) at starts + steps * (h, w), zeros around and between."""
    turned = transpose(images, _BATCH_LAST)
    target = (turned.shape[0], *sizes, turned.shape[3])
    return turned if target == turned.shape else Pad((0, *starts, 0), (1, *steps, 1), target, 0.0)(turned)


def _padded(images: Node, padding: Sides) -> Node:
    (top, bottom), (left, right) = padding
    height, width = images.type.static_shape[2:]
    return _placed(images, (top, left), (1, 1), (height + top + bottom, width + left + right))


@rule(Apply(Conv2d, x, w, name="conv"))
def direct_convolution(x: Node, w: Node, conv: Node) -> Node | None:
    """conv2d(x, w)  -->  batch first(direct convolution(padded(batch last(x)), w))    for eight images or more"""
    op = conv.op
    assert isinstance(op, Conv2d)
    if not _is_direct(op, conv.type.static_shape[0]):
        return None
    return transpose(DirectConvolution(op.stride, op.dilation)(_padded(x, op.padding), w), _BATCH_FIRST)


@rule(Apply(Conv2dFilterGradient, x, dy, name="node"))
def direct_filter_gradient(x: Node, dy: Node, node: Node) -> Node | None:
    """filter gradient(x, dy)  -->  direct filter gradient(padded(batch last(x)), batch last(dy))"""
    op = node.op
    assert isinstance(op, Conv2dFilterGradient)
    if not _is_direct(op, dy.type.static_shape[0]):
        return None
    made = DirectFilterGradient(op.stride, op.dilation, op.kernel)
    return made(_padded(x, op.padding), transpose(dy, _BATCH_LAST))


@rule(Apply(Conv2dInputGradient, dy, w, name="node"))
def direct_input_gradient(dy: Node, w: Node, node: Node) -> Node | None:
    """input gradient(dy, w)  -->  direct convolution(spread(dy), w with its channels swapped and its kernel turned)

    spread: dy with stride - 1 zeros between its elements, and as many around them as the kernel reaches.
    """
    op = node.op
    assert isinstance(op, Conv2dInputGradient)
    if not _is_direct(op, dy.type.static_shape[0]):
        return None
    reach = [d * (k - 1) for d, k in zip(op.dilation, w.type.static_shape[2:], strict=True)]
    starts = tuple(span - before for span, (before, _) in zip(reach, op.padding, strict=True))
    sizes = tuple(size + span for size, span in zip(node.type.static_shape[2:], reach, strict=True))
    counts = dy.type.static_shape[2:]
    ends = [first + s * (n - 1) + 1 for first, s, n in zip(starts, op.stride, counts, strict=True)]
    if any(first < 0 for first in starts) or any(end > size for end, size in zip(ends, sizes, strict=True)):
        return None  # padding wider than the kernel's reach: parts of dy lead nowhere
    spread = _placed(dy, (starts[0], starts[1]), op.stride, (sizes[0], sizes[1]))
    turned = flip(transpose(w, (1, 0, 2, 3)), (2, 3))
    return transpose(DirectConvolution((1, 1), op.dilation)(spread, turned), _BATCH_FIRST)


DIRECT: list[Rule] = [direct_convolution, direct_filter_gradient, direct_input_gradient, *CONVOLUTION]
