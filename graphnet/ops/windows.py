"""Sliding windows: where they lie, and `Im2col`, which lays them out as the columns of one matrix.

Spatial axes come in pairs, (rows, columns): `kernel`, `stride` and `dilation` are pairs of numbers, `padding` is a pair
of sides ((top, bottom), (left, right)). A negative side crops, as the transposed convolution's output padding does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from graphnet.errors import ArgumentError, DtypeError, ShapeError
from graphnet.graph.dims import Size, product
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.ops.shaping import shape_text
from graphnet.ops.unrolled import Call, Unrolled

Pair: TypeAlias = tuple[int, int]
Sizes: TypeAlias = tuple[Size, ...]
Sides: TypeAlias = tuple[Pair, Pair]

NO_PADDING: Sides = ((0, 0), (0, 0))


class Offset(NamedTuple):
    """One position (i, j) of the kernel: the windows for which it falls inside the input, and where it falls.

    `rows` and `columns` are slices of the windows, `input_rows` and `input_columns` the slices of the input they see.
    """

    i: int
    j: int
    rows: slice
    columns: slice
    input_rows: slice
    input_columns: slice


@dataclass(frozen=True, slots=True)
class Window:
    """The geometry of windows of size `kernel` that slide over two axes."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Sides = NO_PADDING
    dilation: Pair = (1, 1)

    @property
    def span(self) -> Pair:
        """How far a window reaches: dilation * (kernel - 1) + 1."""
        return (self.dilation[0] * (self.kernel[0] - 1) + 1, self.dilation[1] * (self.kernel[1] - 1) + 1)

    @property
    def overlaps(self) -> bool:
        """Whether two windows may see the same element."""
        return any(stride < span for stride, span in zip(self.stride, self.span, strict=True))

    def counts(self, sizes: Sequence[Size], ceil_mode: bool = False) -> Sizes:
        """How many windows fit along each axis. Raises `ShapeError` where none does.

        `ceil_mode` counts a last window that hangs over the end, unless it would start past the input.
        """
        counts = tuple(
            _count(size, span, stride, sides, ceil_mode)
            for size, span, stride, sides in zip(sizes, self.span, self.stride, self.padding, strict=True)
        )
        if any(isinstance(count, int) and count < 1 for count in counts):
            spread = f" with dilation {self.dilation}, which spans {self.span}," if self.span != self.kernel else ""
            given = f", {shape_text(sizes)} before padding" if self.padding != NO_PADDING else ""
            padded = shape_text(self.padded(sizes))
            raise ShapeError(f"a kernel of {self.kernel}{spread} is larger than its input of {padded}{given}")
        return counts

    def offsets(self, sizes: Sequence[int], counts: Sequence[int]) -> tuple[Offset, ...]:
        """Every position of the kernel, in row-major order, for `counts` windows over an input of `sizes`."""
        return _offsets(self, tuple(sizes), tuple(counts))

    def padded(self, sizes: Sequence[Size]) -> Sizes:
        """The sizes of an input with its padding around it."""
        (top, bottom), (left, right) = self.padding
        return sizes[0] + top + bottom, sizes[1] + left + right

    def view(self, x: np.ndarray, counts: Sequence[int]) -> np.ndarray:
        """The windows over axes 1 and 2 of x, padded already, of shape (C, kernel rows, kernel columns, *counts, N)."""
        channel, row, column, image = x.strides
        (down, right), (stride_down, stride_right) = self.dilation, self.stride
        shape = (x.shape[0], *self.kernel, *counts, x.shape[3])
        strides = (channel, row * down, column * right, row * stride_down, column * stride_right, image)
        return as_strided(x, shape, strides, writeable=False)


def _count(size: Size, span: int, stride: int, sides: Pair, ceil_mode: bool) -> Size:
    before, after = sides
    if not ceil_mode:
        return (size + (before + after - span)) // stride + 1
    # min(ceil((size + before + after - span) / stride), (size + before - 1) // stride) + 1, for names too.
    reach = min(after - span + stride, 0)
    return (size + (before - 1 + reach)) // stride + 1


@lru_cache(maxsize=4096)
def _offsets(window: Window, sizes: Pair, counts: Pair) -> tuple[Offset, ...]:
    rows, columns = (
        [_visible(position * spread - before, size, count, stride) for position in range(length)]
        for length, spread, (before, _), size, count, stride in zip(
            window.kernel, window.dilation, window.padding, sizes, counts, window.stride, strict=True
        )
    )
    return tuple(
        Offset(i, j, down, right, input_down, input_right)
        for i, (down, input_down) in enumerate(rows)
        for j, (right, input_right) in enumerate(columns)
    )


def _visible(start: int, size: int, count: int, stride: int) -> tuple[slice, slice]:
    """The windows w with 0 <= w * stride + start < size, and the input positions they see."""
    first = max(0, -(start // stride))
    stop = min(count, (size - 1 - start) // stride + 1)
    if stop <= first:
        return slice(0, 0), slice(0, 0)
    return slice(first, stop), slice(first * stride + start, (stop - 1) * stride + start + 1, stride)


def placing(target: np.ndarray, x: np.ndarray, padding: Sides) -> list[Call]:
    """What fills `target` with x, of shape (C, H, W, N), and `padding` zeros around its axes 1 and 2."""
    inner: list[slice] = []
    outer: list[slice] = []
    for size, (before, after) in zip(x.shape[1:3], padding, strict=True):
        inner.append(slice(max(0, -before), size + min(0, after)))
        outer.append(slice(max(0, before), max(0, before) + inner[-1].stop - inner[-1].start))
    copied = partial(np.copyto, target[:, outer[0], outer[1]], x[:, inner[0], inner[1]])
    return [copied] if padding == NO_PADDING else [partial(target.fill, 0), copied]


def adding_windows(total: np.ndarray, columns: np.ndarray, window: Window) -> list[Call]:
    """What makes total[:, h, w] the sum of what the windows have there; `columns` is (C, *kernel, *counts, N)."""
    calls: list[Call] = [partial(total.fill, 0)]
    for offset in window.offsets(total.shape[1:3], columns.shape[3:5]):
        seen = total[:, offset.input_rows, offset.input_columns]
        given = columns[:, offset.i, offset.j, offset.rows, offset.columns]
        calls.append(partial(np.add, seen, given, out=seen))
    return calls


class Im2col(Unrolled):
    """The windows of x, (C, H, W, N), as columns of a matrix: (C * kernel size, windows * N).

    columns[(c, i, j), (h, w, n)] = x[c, h * stride + i * dilation - top, w * stride + j * dilation - left, n]
    Chellapilla, Puri, Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006.
    """

    # Why the batch is innermost, and one product serves the whole batch. LeNet's second convolution, batch 64, one
    # core, in microseconds: columns (N, C*k*k, windows) take 760 to lay out and 2300 to add up again, columns
    # (C*k*k, N*windows) 750 and 1800, these 145 and 495; the products differ by no more than their spread, and a
    # transposition of the batch takes 30. NumPy's inner loop is one row of the image in the first two and many rows
    # of the batch in the third. One strided copy is as fast as a copy for each kernel position on large images and
    # up to 8 times as fast on small ones.

    kernel: Pair
    stride: Pair
    padding: Sides
    dilation: Pair

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, self.dilation)

    def infer(self, x: TensorType) -> TensorType:
        expect_axes(x, 4, "the input", "(channels, height, width, batch)")
        channels, height, width, batch = x.shape
        counts = self.window.counts((height, width))
        return x.with_shape((channels * product(self.kernel), product(counts) * batch))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [Col2im(self.kernel, self.stride, self.padding, self.dilation, x.shape)(dy) if x.type.is_float else None]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        if self.padding == NO_PADDING:
            return ()
        return (x.with_shape((x.shape[0], *self.window.padded(x.shape[1:3]), x.shape[3])),)

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        (x,) = inputs
        calls = placing(work[0], x, self.padding) if work else []
        padded = work[0] if work else x
        counts = Window(self.kernel, self.stride, NO_PADDING, self.dilation).counts(padded.shape[1:3])
        windows = self.window.view(padded, counts)  # type: ignore[arg-type]
        return [*calls, partial(np.copyto, np.reshape(out, windows.shape, copy=False), windows)]


class Col2im(Unrolled):
    """The adjoint of `Im2col`: an element of the image, of `shape` (C, H, W, N), is the sum of its columns' entries."""

    kernel: Pair
    stride: Pair
    padding: Sides
    dilation: Pair
    shape: Sizes

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, self.dilation)

    def infer(self, columns: TensorType) -> TensorType:
        channels, height, width, batch = self.shape
        counts = self.window.counts((height, width))
        expected = (channels * product(self.kernel), product(counts) * batch)
        if columns.shape != expected:
            raise ShapeError(f"expected columns of shape {shape_text(expected)}, got {shape_text(columns.shape)}")
        return columns.with_shape(self.shape)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [Im2col(self.kernel, self.stride, self.padding, self.dilation)(dy)]

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        shape = (out.shape[0], *self.kernel, *self.window.counts(out.shape[1:3]), out.shape[3])
        return adding_windows(out, np.reshape(inputs[0], shape, copy=False), self.window)


# -- what a user writes, made canonical -----------------------------------------------------------------------------


def pair(argument: str, value: Any, minimum: int) -> Pair:
    """A number for both axes, or one for each. Raises `ArgumentError` for anything else or below `minimum`."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(numbers) != 2 or not all(_is_integer(number) and number >= minimum for number in numbers):
        raise ArgumentError(f"{argument} must be an integer >= {minimum} or a pair of them, got {value!r}")
    return int(numbers[0]), int(numbers[1])


def sides(argument: str, value: Any) -> Sides:
    """Padding as ((top, bottom), (left, right)), from a number, a number for each axis, or a pair for each axis."""
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(side, (tuple, list)) for side in value):
        return pair(f"{argument}[0]", value[0], 0), pair(f"{argument}[1]", value[1], 0)
    try:
        rows, columns = pair(argument, value, 0)
    except ArgumentError:
        raise ArgumentError(
            f"{argument} must be an integer >= 0, a pair of them, or a pair of pairs ((top, bottom), (left, right)), "
            f"got {value!r}"
        ) from None
    return (rows, rows), (columns, columns)


def expect_axes(x: TensorType, ndim: int, what: str, axes: str) -> None:
    """Raise `ShapeError` unless x has `ndim` axes."""
    if x.ndim != ndim:
        raise ShapeError(f"expected {what} to have {ndim} dimensions {axes}, got shape {shape_text(x.shape)}")


def expect_floats(*types: TensorType) -> None:
    """Raise `DtypeError` unless all types are of one floating-point dtype."""
    if len({t.dtype for t in types}) > 1 or not types[0].is_float:
        raise DtypeError(f"expected floats of one dtype, got {' and '.join(t.dtype.name for t in types)}")


def _is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)
