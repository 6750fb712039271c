"""Changing the size of images without weights: adaptive and global average pooling, nearest upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphnet.errors import ArgumentError, ShapeError, names_itself
from graphnet.graph.dims import Size
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.pooling import AvgPool2d, lying_like
from graphnet.ops.reductions import mean
from graphnet.ops.shaping import shape_text
from graphnet.ops.sources import NodeLike, as_node
from graphnet.ops.windows import NO_PADDING, Pair, Sizes, expect_axes, expect_floats, pair

_IMAGES = "(batch, channels, height, width)"


class AdaptiveAvgPool2d(Op):
    """The mean of each of `counts` windows that cover the image, as even as they can be.

    Along an axis of size S, window i of K is the range floor(i * S / K) to ceil((i + 1) * S / K), as in PyTorch:
    windows differ in size by at most one, and overlap where K does not divide S.
    """

    counts: Sizes
    layout_free: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        expect_floats(x)
        expect_axes(x, 4, "the input", _IMAGES)
        if 0 in x.shape[2:]:
            raise ShapeError(f"there is no mean over the empty image {shape_text(x.shape)}")
        return x.with_shape((*x.shape[:2], *self.counts))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [AdaptiveAvgPool2dGradient(self.counts, x.shape[2:])(dy)]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x.with_shape((*x.shape[:2], self.counts[0], x.shape[3])),)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        rows = lying_like(x, work[0])
        for i, (start, stop) in enumerate(adaptive_windows(x.shape[2], out.shape[2])):
            np.add.reduce(x[:, :, start:stop], axis=2, out=rows[:, :, i])
            np.divide(rows[:, :, i], stop - start, out=rows[:, :, i])
        for j, (start, stop) in enumerate(adaptive_windows(x.shape[3], out.shape[3])):
            np.add.reduce(rows[:, :, :, start:stop], axis=3, out=out[:, :, :, j])
            np.divide(out[:, :, :, j], stop - start, out=out[:, :, :, j])


class AdaptiveAvgPool2dGradient(Op):
    """The gradient of `AdaptiveAvgPool2d` by its input of spatial `size`: a window spreads its dy evenly."""

    counts: Sizes
    size: Sizes
    layout_free: ClassVar[bool] = True

    def infer(self, dy: TensorType) -> TensorType:
        expect_floats(dy)
        expect_axes(dy, 4, "the gradient", _IMAGES)
        if dy.is_static and dy.shape[2:] != self.counts:
            raise ShapeError(f"expected {shape_text(self.counts)} windows, got {shape_text(dy.shape[2:])}")
        return dy.with_shape((*dy.shape[:2], *self.size))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [AdaptiveAvgPool2d(self.counts)(dy)]

    def workspace(self, dy: TensorType) -> tuple[TensorType, ...]:
        return (dy.with_shape((*dy.shape[:3], self.size[1])), dy.with_shape((*dy.shape[:3], 1)))

    def compute(self, out: np.ndarray, dy: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        rows, column = (lying_like(dy, scratch) for scratch in work)
        rows.fill(0)
        for j, (start, stop) in enumerate(adaptive_windows(out.shape[3], dy.shape[3])):
            np.divide(dy[:, :, :, j : j + 1], stop - start, out=column)
            np.add(rows[:, :, :, start:stop], column, out=rows[:, :, :, start:stop])
        out.fill(0)
        for i, (start, stop) in enumerate(adaptive_windows(out.shape[2], dy.shape[2])):
            share = rows[:, :, i : i + 1]
            np.divide(share, stop - start, out=share)
            np.add(out[:, :, start:stop], share, out=out[:, :, start:stop])


class Upsample(Op):
    """Nearest upsampling: each element repeated scale[0] times downwards and scale[1] times to the right."""

    scale: Pair
    layout_free: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        expect_axes(x, 4, "the input", _IMAGES)
        return x.with_shape((*x.shape[:2], x.shape[2] * self.scale[0], x.shape[3] * self.scale[1]))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        if not x.type.is_float:
            return [None]
        # The sum over each window is its mean with a divisor of 1.
        sums = AvgPool2d(self.scale, self.scale, NO_PADDING, False, True, 1)
        return [sums(dy)]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        down, right = self.scale
        for i in range(down):
            for j in range(right):
                np.copyto(out[:, :, i::down, j::right], x)


def adaptive_windows(size: int, count: int) -> list[tuple[int, int]]:
    """`count` ranges that cover `size` elements, as even as they can be."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@names_itself
def adaptive_avg_pool2d(input: NodeLike, output_size: int | Sequence[int | None] | None) -> Node:
    """The means of images (N, C, H, W) over `output_size` windows: a number, or one an axis; None keeps an axis."""
    x = as_node(input)
    expect_axes(x.type, 4, "the input", _IMAGES)
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if len(wanted) != 2 or any(isinstance(n, bool) or not isinstance(n, (int, type(None))) for n in wanted):
        raise ArgumentError(f"output_size must be an integer >= 1, None, or a pair of them, got {output_size!r}")
    if any(n is not None and n < 1 for n in wanted):
        raise ArgumentError(f"output_size must be at least 1, got {output_size!r}")
    counts = tuple(size if n is None else n for n, size in zip(wanted, x.shape[2:], strict=True))
    return AdaptiveAvgPool2d(counts)(x)


@names_itself
def global_avg_pool2d(input: NodeLike) -> Node:
    """The mean of each channel of images (N, C, H, W), as (N, C, 1, 1)."""
    x = as_node(input)
    expect_axes(x.type, 4, "the input", _IMAGES)
    return mean(x, (2, 3), keepdims=True)


@names_itself
def upsample(input: NodeLike, scale_factor: int | Sequence[int]) -> Node:
    """Images (N, C, H, W) made larger by repeating each element `scale_factor` times, a number or one for each axis."""
    return Upsample(pair("scale_factor", scale_factor, 1))(as_node(input))


@names_itself
def interpolate(input: NodeLike, size: Any = None, scale_factor: Any = None, mode: str = "nearest") -> Node:
    """Images (N, C, H, W) of another size, by nearest neighbours: `upsample` with PyTorch's arguments.

    Give `size` (a whole multiple of the input's) or `scale_factor`. Raises `ArgumentError` for another mode.
    """
    if mode != "nearest":
        raise ArgumentError(f"mode must be 'nearest', got {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ArgumentError(f"give either size or scale_factor, got size={size!r} and scale_factor={scale_factor!r}")
    if size is None:
        return upsample(input, scale_factor)
    x = as_node(input)
    expect_axes(x.type, 4, "the input", _IMAGES)
    wanted = pair("size", size, 1)
    return upsample(x, [_factor(large, small, size) for large, small in zip(wanted, x.shape[2:], strict=True)])


def _factor(large: int, small: Size, size: Any) -> int:
    if not isinstance(small, int) or small == 0 or large % small:
        raise ArgumentError(f"size {size!r} must be a whole multiple of the input's, which is {small} along one axis")
    return large // small
