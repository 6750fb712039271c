"""What the native backend rewrites: convolutions become direct ones, their images with channels innermost."""

from __future__ import annotations

from collections.abc import Sequence

from graphnet.backend.native.batch_last import (
    IMAGES_FIRST,
    IMAGES_LAST,
    BatchLastConvolution,
    BatchLastFilterGradient,
    BatchLastInputGradient,
    images_beside,
)
from graphnet.backend.native.depthwise_rules import DEPTHWISE
from graphnet.backend.native.grouped_ops import Grouped
from graphnet.backend.native.ops import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    Direct,
    DirectConvolution,
    DirectFilterGradient,
    DirectInputGradient,
    Panels,
    ScatteredInputGradient,
    taps,
)
from graphnet.backend.native.scattering import scatters
from graphnet.backend.native.target import target
from graphnet.backend.native.tiling import image_vectors
from graphnet.backend.native.winograd import (
    KERNEL,
    WinogradConvolution,
    WinogradFilterGradient,
    WinogradWeights,
)
from graphnet.backend.native.winograd_choice import gradient_tile_of, panel_vectors, tile_of
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node, Op
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient, Convolution
from graphnet.ops.layout import transpose
from graphnet.ops.shaping import reshape
from graphnet.ops.slicing import Pad
from graphnet.ops.windows import Sides
from graphnet.rewrite.convolution import CONVOLUTION, convolution_of_nothing
from graphnet.rewrite.driver import Any, Apply, Context, Rule, rule

x, w, dy = Any("x"), Any("w"), Any("dy")


def _is_direct(op: Convolution) -> bool:
    return all(side >= 0 for pair in op.padding for side in pair)


def _padded(images: Node, padding: Sides) -> Node:
    """(N, C, H, W) as (N, H, W, C) with zeros around it."""
    turned = transpose(images, CHANNELS_LAST)
    (top, bottom), (left, right) = padding
    batch, height, width, channels = turned.type.static_shape
    target = (batch, height + top + bottom, width + left + right, channels)
    return turned if target == turned.shape else Pad((0, top, left, 0), (1, 1, 1, 1), target, 0.0)(turned)


def _panels(weight: Node, places: tuple[int, ...]) -> Node:
    """A weight (..., columns) as panels that suit a result of these places, (N, H, W)."""
    lanes = target().lanes(weight.dtype.itemsize)
    return Panels(image_vectors((*places, weight.type.static_shape[-1]), lanes) * lanes)(weight)


def _weight(weight: Node, groups: int, order: tuple[int, int, int, int]) -> Node:
    """A weight (O, C, kernel rows, kernel columns) with its axes in `order`; of several groups, with these in front."""
    if groups == 1:
        return transpose(weight, order)
    filters, *rest = weight.type.static_shape
    return transpose(reshape(weight, (groups, filters // groups, *rest)), (0, *(axis + 1 for axis in order)))


def _of_groups(made: Direct, groups: int) -> Op:
    return made if groups == 1 else Grouped(made, groups)


def _winograd(images: Node, weight: Node, size: tuple[int, ...], padding: Sides, turned: bool) -> Node | None:
    """The convolution of an image with a weight (3, 3, C, filters), by Winograd's method; None where sums are better.

    turned: with each kernel turned by 180 degrees.
    """
    batch, channels = images.type.static_shape[:2]
    shape = (batch, *size, weight.type.static_shape[3])
    tile = tile_of(shape, channels, images.dtype)
    if tile is None:
        return None
    lanes = target().lanes(weight.dtype.itemsize)
    panels = Panels(panel_vectors(tile, shape, channels, weight.dtype.itemsize, lanes) * lanes)(weight)
    x = _padded(images, _whole_tiles(padding, size, tile))
    made = WinogradConvolution(tile, (shape[1], shape[2]), shape[3])(x, WinogradWeights(tile, turned)(panels))
    return transpose(made, CHANNELS_FIRST)


def _whole_tiles(padding: Sides, size: Sequence[int], tile: int) -> Sides:
    """Padding that whole tiles need, of results of this size."""
    (top, bottom), (left, right) = padding
    height, width = (-(-n // tile) * tile - n for n in size)
    return (top, bottom + height), (left, right + width)


def _is_small(op: Convolution, kernel: tuple[int, ...]) -> bool:
    """Whether it is a convolution that Winograd's method is for."""
    alone = op.stride == op.dilation == (1, 1) and op.groups == 1
    return alone and kernel == (KERNEL, KERNEL) and _is_direct(op)


@rule(Apply(Conv2d, x, w, name="conv"))
def winograd_convolution(x: Node, w: Node, conv: Node) -> Node | None:
    """conv2d(x, w)  -->  channels first(winograd(padded(channels last(x)), transformed(panels(w))))

    for 3 x 3 kernels, where there are enough channels and tiles that it takes less time.
    """
    op = conv.op
    assert isinstance(op, Conv2d)
    if not _is_small(op, w.type.static_shape[2:]):
        return None
    return _winograd(x, transpose(w, (2, 3, 1, 0)), conv.type.static_shape[2:], op.padding, turned=False)


@rule(Apply(Conv2dInputGradient, dy, w, name="node"))
def winograd_input_gradient(dy: Node, w: Node, node: Node) -> Node | None:
    """input gradient(dy, w)  -->  channels first(winograd(padded(channels last(dy)), transformed(turned panels(w))))"""
    op = node.op
    assert isinstance(op, Conv2dInputGradient)
    if not _is_small(op, w.type.static_shape[2:]) or any(side >= KERNEL for pair in op.padding for side in pair):
        return None
    size = node.type.static_shape[2:]
    (top, _), (left, _) = op.padding
    rows, columns = (
        (KERNEL - 1 - before, wanted + before - given)
        for before, wanted, given in zip((top, left), size, dy.type.static_shape[2:], strict=True)
    )
    return _winograd(dy, transpose(w, (2, 3, 0, 1)), size, (rows, columns), turned=True)


@rule(Apply(Conv2d, x, w, name="conv"))
def direct_convolution(x: Node, w: Node, conv: Node) -> Node | None:
    """conv2d(x, w)  -->  channels first(direct convolution(padded(channels last(x)), panels(w)))"""
    op = conv.op
    assert isinstance(op, Conv2d)
    if not _is_direct(op):
        return None
    batch, _, *sizes = conv.type.static_shape
    panels = _panels(_weight(w, op.groups, (2, 3, 1, 0)), (batch, *sizes))
    made = _of_groups(DirectConvolution(op.stride, op.dilation, w.type.static_shape[0] // op.groups), op.groups)
    return transpose(made(_padded(x, op.padding), panels), CHANNELS_FIRST)


@rule(Apply(Conv2dFilterGradient, x, dy, name="node"))
def winograd_filter_gradient(x: Node, dy: Node, node: Node) -> Node | None:
    """filter gradient(x, dy)  -->  winograd filter gradient(padded(channels last(x)), channels last(dy))"""
    op = node.op
    assert isinstance(op, Conv2dFilterGradient)
    if not _is_small(op, op.kernel):
        return None
    batch, filters, *size = dy.type.static_shape
    tile = gradient_tile_of((batch, *size, filters), x.type.static_shape[1], x.dtype)
    if tile is None:
        return None
    return WinogradFilterGradient(tile)(_padded(x, _whole_tiles(op.padding, size, tile)), transpose(dy, CHANNELS_LAST))


@rule(Apply(Conv2dFilterGradient, x, dy, name="node"))
def direct_filter_gradient(x: Node, dy: Node, node: Node) -> Node | None:
    """filter gradient(x, dy)  -->  direct filter gradient(padded(channels last(x)), channels last(dy))"""
    op = node.op
    assert isinstance(op, Conv2dFilterGradient)
    if not _is_direct(op):
        return None
    made = _of_groups(DirectFilterGradient(op.stride, op.dilation, op.kernel), op.groups)
    return made(_padded(x, op.padding), transpose(dy, CHANNELS_LAST))


@rule(Apply(Conv2dInputGradient, dy, w, name="node"))
def direct_input_gradient(dy: Node, w: Node, node: Node) -> Node | None:
    """input gradient(dy, w)  -->  channels first(direct input gradient(padded(channels last(dy)), panels(w)))

    padded: with as many zeros around dy as the kernel reaches beyond it. Where that makes most products products with
    zeros, elements of dy are scattered instead: then none are needed.
    """
    op = node.op
    assert isinstance(op, Conv2dInputGradient)
    if not _is_direct(op):
        return None
    batch, channels, *size = node.type.static_shape
    top = (op.padding[0][0], op.padding[1][0])
    sides = []
    for axis in range(2):
        classes = taps(size[axis], w.type.static_shape[2 + axis], op.stride[axis], op.dilation[axis], top[axis])
        reaching = [t for t in classes if t.count]
        least = min((t.offset - (t.count - 1) * t.back for t in reaching), default=0)
        most = max((t.offset + t.places - 1 for t in reaching), default=0)
        sides.append((max(0, -least), max(0, most + 1 - dy.type.static_shape[2 + axis])))
    places = [-(-n // stride) for n, stride in zip(size, op.stride, strict=True)]
    weight = _weight(w, op.groups, (2, 3, 0, 1))
    before = (sides[0][0], sides[1][0])
    one = DirectInputGradient(op.stride, op.dilation, top, before, (size[0], size[1]), channels // op.groups)
    filters, _, *kernel = w.type.static_shape
    if op.groups == 1 and scatters(one, dy.type.static_shape[2:], kernel, filters, w.dtype.itemsize):
        panels = Panels(target().lanes(w.dtype.itemsize))(weight)
        scattered = ScatteredInputGradient(**{**one.attributes, "before": (0, 0)})
        return transpose(scattered(transpose(dy, CHANNELS_LAST), panels), CHANNELS_FIRST)
    panels = _panels(weight, (batch, *places))
    made = _of_groups(one, op.groups)
    return transpose(made(_padded(dy, (sides[0], sides[1])), panels), CHANNELS_FIRST)


def _takes_tiles(node: Node) -> bool:
    """Whether Winograd's method is for a convolution or a gradient of one."""
    op, shape = node.op, node.type.static_shape
    assert isinstance(op, Convolution)
    a, b = (value.type.static_shape for value in node.inputs)
    if isinstance(op, Conv2dFilterGradient):
        small = _is_small(op, op.kernel)
        return small and gradient_tile_of((b[0], *b[2:], b[1]), a[1], node.dtype) is not None
    return _is_small(op, b[2:]) and tile_of((shape[0], *shape[2:], shape[1]), a[1], node.dtype) is not None


def _lie_beside(graph: Graph) -> bool:
    """Whether the graph's convolutions go with images beside one another."""
    made = [node for node in graph.nodes if isinstance(node.op, Convolution)]
    return images_beside(made) and not any(map(_takes_tiles, made))


def _padded_beside(images: Node, padding: Sides) -> Node:
    """(N, C, H, W) as (H, W, C, N) with zeros around it."""
    turned = transpose(images, IMAGES_LAST)
    (top, bottom), (left, right) = padding
    height, width, *others = turned.type.static_shape
    target = (height + top + bottom, width + left + right, *others)
    return turned if target == turned.shape else Pad((top, left, 0, 0), (1, 1, 1, 1), target, 0.0)(turned)


@rule(Apply(Conv2d, x, w, name="conv"))
def batch_last_convolution(x: Node, w: Node, conv: Node, context: Context) -> Node | None:
    """conv2d(x, w)  -->  images first(batch last convolution(padded(images last(x)), w))    of few channels"""
    op = conv.op
    assert isinstance(op, Conv2d)
    if not context.of_graph(_lie_beside):
        return None
    made = BatchLastConvolution(op.stride, op.dilation)
    return transpose(made(_padded_beside(x, op.padding), w), IMAGES_FIRST)


@rule(Apply(Conv2dFilterGradient, x, dy, name="node"))
def batch_last_filter_gradient(x: Node, dy: Node, node: Node, context: Context) -> Node | None:
    """filter gradient(x, dy)  -->  batch last filter gradient(padded(images last(x)), images last(dy))"""
    op = node.op
    assert isinstance(op, Conv2dFilterGradient)
    if not context.of_graph(_lie_beside):
        return None
    made = BatchLastFilterGradient(op.stride, op.dilation, op.kernel)
    return made(_padded_beside(x, op.padding), transpose(dy, IMAGES_LAST))


@rule(Apply(Conv2dInputGradient, dy, w, name="node"))
def batch_last_input_gradient(dy: Node, w: Node, node: Node, context: Context) -> Node | None:
    """input gradient(dy, w)  -->  images first(batch last input gradient(images last(dy), w))"""
    op = node.op
    assert isinstance(op, Conv2dInputGradient)
    if not context.of_graph(_lie_beside):
        return None
    height, width = node.type.static_shape[2:]
    (top, _), (left, _) = op.padding
    made = BatchLastInputGradient(op.stride, op.dilation, (top, left), (height, width))
    return transpose(made(transpose(dy, IMAGES_LAST), w), IMAGES_FIRST)


DIRECT: list[Rule] = [
    convolution_of_nothing,
    *DEPTHWISE,
    winograd_convolution,
    winograd_input_gradient,
    winograd_filter_gradient,
    batch_last_convolution,
    batch_last_filter_gradient,
    batch_last_input_gradient,
    direct_convolution,
    direct_filter_gradient,
    direct_input_gradient,
    *CONVOLUTION,
]
