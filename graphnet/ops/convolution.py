"""Convolution and its two gradients. It is bilinear, so each of the three is a gradient of the others: closed forms.

Images are (N, C, H, W), weights (out channels, in channels / groups, kernel rows, kernel columns), as PyTorch has them.
"Convolution" is, as in PyTorch, the correlation: the kernel is not turned round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError, ShapeError, names_itself
from graphnet.graph.dims import Size
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.joining import pad
from graphnet.ops.shaping import operands, reshape, shape_text
from graphnet.ops.sources import NodeLike, as_node
from graphnet.ops.windows import (
    NO_PADDING,
    Pair,
    Sides,
    Sizes,
    Window,
    adding_windows,
    expect_axes,
    expect_floats,
    pair,
    placing,
    sides,
)

_IMAGES = "(batch, channels, height, width)"
_WEIGHTS = "(out channels, in channels / groups, kernel height, kernel width)"


class Convolution(Op):
    """The three share their geometry, and one matrix product for each group between three matrices:

    weights (groups, O / groups, C / groups * kernel), columns (groups, C / groups * kernel, windows * N) and
    images (groups, O / groups, windows * N). Each op is the product that gives the one of the three it lacks.
    """

    stride: Pair
    padding: Sides
    dilation: Pair
    groups: int

    def _window(self, kernel: Sequence[Size]) -> Window:
        rows, columns = kernel
        if not isinstance(rows, int) or not isinstance(columns, int):
            raise ShapeError(f"the kernel's height and width must be numbers, got {shape_text(kernel)}")
        return Window((rows, columns), self.stride, self.padding, self.dilation)

    def _matrices(self, x: TensorType, w: TensorType) -> tuple[TensorType, TensorType, TensorType]:
        """Types of the weights, columns and images, laid out as the products want them."""
        batch, channels, height, width = x.shape
        out_channels, kernel = w.shape[0], w.shape[2:]
        counts = self._window(kernel).counts((height, width))
        return (
            w,
            x.with_shape((channels, *kernel, *counts, batch)),
            x.with_shape((out_channels, *counts, batch)),
        )

    def _padded(self, x: TensorType, w: TensorType) -> TensorType:
        """The type of the input with its batch innermost and its padding around it."""
        return x.with_shape((x.shape[1], *self._window(w.shape[2:]).padded(x.shape[2:]), x.shape[0]))

    def _grouped(self, matrix: np.ndarray, rows: int) -> np.ndarray:
        """Scratch memory as `groups` matrices that share its `rows`, the product of its leading axes."""
        return matrix.reshape(self.groups, rows // self.groups, -1)

    def _fill_columns(self, columns: np.ndarray, x: np.ndarray, padded: np.ndarray) -> np.ndarray:
        """The windows of x as one matrix for each group; see `Im2col` for why this way round."""
        for call in placing(padded, x.transpose(1, 2, 3, 0), self.padding):
            call()
        np.copyto(columns, self._window(columns.shape[1:3]).view(padded, columns.shape[3:5]))
        return self._grouped(columns, columns.shape[0] * columns.shape[1] * columns.shape[2])


class Conv2d(Convolution):
    """y[n, o, h, w] = sum over c, i, j of x[n, c, h * stride + i * dilation - top, ...] * weight[o, c, i, j].

    x outside its bounds is 0; c runs over the channels of o's group. Inputs: x, weight.
    """

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        expect_floats(x, w)
        expect_axes(x, 4, "the input", _IMAGES)
        expect_axes(w, 4, "the weight", _WEIGHTS)
        _expect_channels(x.shape[1], w, self.groups)
        return x.with_shape((x.shape[0], w.shape[0], *self._window(w.shape[2:]).counts(x.shape[2:])))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, w = node.inputs
        return [_input_gradient(self, dy, w, x.shape[2:]), _filter_gradient(self, x, dy, w.shape[2:])]

    def workspace(self, x: TensorType, w: TensorType) -> tuple[TensorType, ...]:
        return (self._padded(x, w), *self._matrices(x, w))

    def compute(self, out: np.ndarray, x: np.ndarray, w: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        padded, weights, columns, images = work
        np.copyto(weights, w)
        matrix = self._fill_columns(columns, x, padded)
        np.matmul(self._grouped(weights, len(w)), matrix, out=self._grouped(images, len(images)))
        np.copyto(out, images.transpose(3, 0, 1, 2))


class Conv2dInputGradient(Convolution):
    """The gradient of `Conv2d` by its input of spatial `size`; forwards, it is the transposed convolution.

    dx[n, c, h * stride + i * dilation - top, ...] = sum over o, i, j of dy[n, o, h, w] * weight[o, c, i, j].
    Inputs: dy, weight.
    """

    size: Sizes

    def infer(self, dy: TensorType, w: TensorType) -> TensorType:
        expect_floats(dy, w)
        expect_axes(dy, 4, "the gradient", _IMAGES)
        expect_axes(w, 4, "the weight", _WEIGHTS)
        _expect_groups("output", w.shape[0], self.groups, w)
        if dy.shape[1] != w.shape[0]:
            raise ShapeError(f"weight {shape_text(w.shape)} takes {w.shape[0]} channels, got {shape_text(dy.shape)}")
        _expect_windows(dy, self._window(w.shape[2:]).counts(self.size))
        return dy.with_shape((dy.shape[0], w.shape[1] * self.groups, *self.size))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        images, w = node.inputs
        return [_convolution(self, dy, w), _filter_gradient(self, dy, images, w.shape[2:])]

    def workspace(self, dy: TensorType, w: TensorType) -> tuple[TensorType, ...]:
        x = self.infer(dy, w)
        return (x.with_shape((*x.shape[1:], x.shape[0])), *self._matrices(x, w))

    def compute(self, out: np.ndarray, dy: np.ndarray, w: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        total, weights, columns, images = work
        np.copyto(weights, w)
        np.copyto(images, dy.transpose(1, 2, 3, 0))
        matrix = self._grouped(columns, columns.shape[0] * columns.shape[1] * columns.shape[2])
        transposed = self._grouped(weights, len(w)).swapaxes(1, 2)
        np.matmul(transposed, self._grouped(images, len(images)), out=matrix)
        for call in adding_windows(total, columns, self._window(w.shape[2:])):
            call()
        np.copyto(out, total.transpose(3, 0, 1, 2))


class Conv2dFilterGradient(Convolution):
    """The gradient of `Conv2d` by its weight, whose kernel is `kernel`.

    dweight[o, c, i, j] = sum over n, h, w of dy[n, o, h, w] * x[n, c, h * stride + i * dilation - top, ...].
    Inputs: x, dy.
    """

    kernel: Pair

    def infer(self, x: TensorType, dy: TensorType) -> TensorType:
        expect_floats(x, dy)
        expect_axes(x, 4, "the input", _IMAGES)
        expect_axes(dy, 4, "the gradient", _IMAGES)
        _expect_groups("input", x.shape[1], self.groups, x)
        _expect_groups("output", dy.shape[1], self.groups, dy)
        if x.shape[0] != dy.shape[0]:
            raise ShapeError(f"batches of {x.shape[0]} and {dy.shape[0]} images do not go together")
        _expect_windows(dy, self._window(self.kernel).counts(x.shape[2:]))
        return x.with_shape((dy.shape[1], x.shape[1] // self.groups, *self.kernel))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, images = node.inputs
        return [_input_gradient(self, images, dy, x.shape[2:]), _convolution(self, x, dy)]

    def workspace(self, x: TensorType, dy: TensorType) -> tuple[TensorType, ...]:
        w = self.infer(x, dy)
        return (self._padded(x, w), *self._matrices(x, w))

    def compute(self, out: np.ndarray, x: np.ndarray, dy: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        padded, weights, columns, images = work
        np.copyto(images, dy.transpose(1, 2, 3, 0))
        matrix = self._fill_columns(columns, x, padded)
        np.matmul(self._grouped(images, len(images)), matrix.swapaxes(1, 2), out=self._grouped(weights, len(weights)))
        np.copyto(out, weights)


def _convolution(op: Convolution, x: Node, w: Node) -> Node:
    return Conv2d(op.stride, op.padding, op.dilation, op.groups)(x, w)


def _input_gradient(op: Convolution, dy: Node, w: Node, size: Sequence[Size]) -> Node:
    return Conv2dInputGradient(op.stride, op.padding, op.dilation, op.groups, tuple(size))(dy, w)


def _filter_gradient(op: Convolution, x: Node, dy: Node, kernel: Sequence[Size]) -> Node:
    rows, columns = op._window(kernel).kernel
    return Conv2dFilterGradient(op.stride, op.padding, op.dilation, op.groups, (rows, columns))(x, dy)


def _expect_channels(channels: Size, w: TensorType, groups: int) -> None:
    _expect_groups("output", w.shape[0], groups, w)
    if isinstance(channels, int) and channels % groups:
        raise ShapeError(f"groups={groups} does not divide the {channels} input channels")
    if w.shape[1] * groups != channels:
        within = f"{w.shape[1]} channels in each of {groups} groups" if groups > 1 else f"{w.shape[1]} input channels"
        raise ShapeError(f"weight {shape_text(w.shape)} expects {within}, the input has {channels} channels")


def _expect_groups(which: str, channels: Size, groups: int, of: TensorType) -> None:
    if isinstance(channels, int) and channels % groups:
        raise ShapeError(f"groups={groups} does not divide the {channels} {which} channels of {shape_text(of.shape)}")


def _expect_windows(dy: TensorType, counts: Sizes) -> None:
    if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(dy.shape[2:], counts, strict=True)):
        raise ShapeError(f"a gradient of {shape_text(dy.shape[2:])} does not belong to {shape_text(counts)} windows")


# -- public functions -----------------------------------------------------------------------------------------------


@names_itself
def conv2d(
    input: NodeLike,
    weight: NodeLike,
    bias: NodeLike | None = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Node:
    """The convolution of images (N, C, H, W) with `weight` (O, C / groups, rows, columns), plus `bias` (O,).

    Gives (N, O, (H + top + bottom - dilation * (rows - 1) - 1) // stride + 1, ...). padding: a number, a pair (rows,
    columns), a pair of pairs ((top, bottom), (left, right)), "valid" or "same" (stride 1 only; the odd one goes below
    and to the right). padding_mode: zeros, reflect, replicate or circular. Raises `ArgumentError` for an argument,
    `ShapeError` for shapes that do not fit, such as a kernel larger than its input.
    """
    x, w = operands(input, weight)
    steps, spread = pair("stride", stride, 1), pair("dilation", dilation, 1)
    expect_axes(w.type, 4, "the weight", _WEIGHTS)
    around = _padding(padding, w.shape[2:], steps, spread)
    x, around = _padded_by_mode(x, around, padding_mode)
    return _with_bias(Conv2d(steps, around, spread, _groups(groups))(x, w), bias)


@names_itself
def conv1d(
    input: NodeLike,
    weight: NodeLike,
    bias: NodeLike | None = None,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Node:
    """The convolution of sequences (N, C, L) with `weight` (O, C / groups, K), plus `bias` (O,): as `conv2d`.

    padding: a number, a pair (before, after), "valid" or "same".
    """
    x, w = operands(input, weight)
    expect_axes(x.type, 3, "the input", "(batch, channels, length)")
    expect_axes(w.type, 3, "the weight", "(out channels, in channels / groups, kernel length)")
    around = padding if isinstance(padding, str) else ((0, 0), pair("padding", _unwrapped(padding), 0))
    steps, spread = pair("stride", _unwrapped(stride), 1), pair("dilation", _unwrapped(dilation), 1)
    y = conv2d(as_rows(x), as_rows(w), bias, (1, steps[1]), around, (1, spread[1]), groups, padding_mode)
    return reshape(y, (y.shape[0], y.shape[1], y.shape[3]))


@names_itself
def conv_transpose2d(
    input: NodeLike,
    weight: NodeLike,
    bias: NodeLike | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Node:
    """The transposed convolution of images (N, C, H, W) with `weight` (C, O / groups, rows, columns), plus `bias` (O,).

    It is the gradient of `conv2d` by its input. Gives (N, O, (H - 1) * stride - 2 * padding + dilation * (rows - 1) +
    output_padding + 1, ...). Raises `ArgumentError` for an output padding not below the stride or the dilation.
    """
    x, w = operands(input, weight)
    expect_axes(x.type, 4, "the input", _IMAGES)
    expect_axes(w.type, 4, "the weight", "(in channels, out channels / groups, kernel height, width)")
    steps, spread = pair("stride", stride, 1), pair("dilation", dilation, 1)
    border, extra = pair("padding", padding, 0), pair("output_padding", output_padding, 0)
    if any(more >= max(step, wide) for more, step, wide in zip(extra, steps, spread, strict=True)):
        raise ArgumentError(f"output_padding {extra} must be below the stride {steps} or the dilation {spread}")
    # Output padding widens the result below and to the right: as an input of `Conv2d`, it needs that much less padding.
    around = tuple((before, before - more) for before, more in zip(border, extra, strict=True))
    op = Conv2d(steps, around, spread, _groups(groups))  # type: ignore[arg-type]
    spans = op._window(w.shape[2:]).span
    size = tuple(
        (count - 1) * step + span - before - after
        for count, step, span, (before, after) in zip(x.shape[2:], steps, spans, around, strict=True)
    )
    if any(isinstance(length, int) and length < 1 for length in size):
        raise ShapeError(f"padding {border} leaves an output of {shape_text(size)}")
    return _with_bias(_input_gradient(op, x, w, size), bias)


def as_rows(x: Node) -> Node:
    """(A, B, L) as (A, B, 1, L): a sequence as an image of one row."""
    return reshape(x, (*x.shape[:2], 1, x.shape[2]))


def _unwrapped(value: Any) -> Any:
    """A number that PyTorch also takes as a tuple of one."""
    return value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value


def _groups(groups: int) -> int:
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"groups must be an integer >= 1, got {groups!r}")
    return groups


def _padding(padding: Any, kernel: Sequence[Size], stride: Pair, dilation: Pair) -> Sides:
    if not isinstance(padding, str):
        return sides("padding", padding)
    if padding == "valid":
        return NO_PADDING
    if padding != "same":
        raise ArgumentError(f"padding must be numbers, 'same' or 'valid', got {padding!r}")
    if stride != (1, 1):
        raise ArgumentError(f"padding='same' needs a stride of 1, got {stride}")
    total = [wide * (size - 1) for size, wide in zip(kernel, dilation, strict=True)]
    if not all(isinstance(length, int) for length in total):
        raise ArgumentError(f"padding='same' needs a kernel of known size, got {shape_text(kernel)}")
    (top, bottom), (left, right) = ((length // 2, length - length // 2) for length in total)
    return ((top, bottom), (left, right))  # type: ignore[return-value]


def _padded_by_mode(x: Node, around: Sides, mode: str) -> tuple[Node, Sides]:
    """Zeros are a field of the op; any other padding is a node before it."""
    if mode not in ("zeros", "reflect", "replicate", "circular"):
        raise ArgumentError(f"padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if mode == "zeros" or around == NO_PADDING:
        return x, around
    expect_axes(x.type, 4, "the input", _IMAGES)
    return pad(x, ((0, 0), (0, 0), *around), mode), NO_PADDING


def _with_bias(y: Node, bias: NodeLike | None) -> Node:
    if bias is None:
        return y
    b = as_node(bias, None if isinstance(bias, Node) else y.dtype)
    if b.shape != (y.shape[1],):
        raise ShapeError(
            f"the bias must have shape ({y.shape[1]},), a number for each channel, got {shape_text(b.shape)}"
        )
    return y + reshape(b, (y.shape[1], 1, 1))
