"""Pooling: the maximum and the mean of sliding windows. Everything else spatial without weights is in `resampling`.

A kernel is a loop over the positions of the window; each turn looks at all windows at once, through strided slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from graphnet.errors import ArgumentError, DtypeError, ShapeError, names_itself
from graphnet.graph.layout import axis_order, in_order
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.convolution import as_rows
from graphnet.ops.shaping import reshape, shape_text
from graphnet.ops.sources import NodeLike, as_node
from graphnet.ops.windows import Pair, Sides, Sizes, Window, expect_axes, expect_floats, pair

_BITS = {4: np.int32, 8: np.int64}


class Pooling(Op):
    """Windows over the rows and columns of images (N, C, H, W)."""

    kernel: Pair
    stride: Pair
    padding: Sides
    ceil_mode: bool
    layout_free: ClassVar[bool] = True

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding)

    def _pooled(self, x: TensorType) -> TensorType:
        expect_axes(x, 4, "the input", "(batch, channels, height, width)")
        return x.with_shape((*x.shape[:2], *self.window.counts(x.shape[2:], self.ceil_mode)))

    def _regions(self, images: Sequence[np.ndarray], windows: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        """For each position in the window: what it sees of each of `images`, then those of `windows` that see it.

        All are views; `images` have the shape of the input, `windows` that of the output.
        """
        regions = []
        for _, _, rows, columns, input_rows, input_columns in self.window.offsets(
            images[0].shape[2:], windows[0].shape[2:]
        ):
            inside, over = (..., input_rows, input_columns), (..., rows, columns)
            regions.append([*(image[inside] for image in images), *(window[over] for window in windows)])
        return regions

    def _tiles(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Whether every element of x lies in exactly one window."""
        return self.window.span == self.stride and all(
            size == count * step for size, count, step in zip(x.shape[2:], y.shape[2:], self.stride, strict=True)
        )


class MaxPooling(Pooling):
    """What `MaxPool2d`, its gradient and the gradient of that share: the geometry, and where each maximum is."""

    dilation: Pair

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, self.dilation)

    def _scratch(self, y: TensorType) -> tuple[TensorType, ...]:
        return (y.with_dtype("bool"), y.with_dtype("bool"), y)

    def _first_maxima(
        self, x: np.ndarray, y: np.ndarray, image: np.ndarray, windows: np.ndarray, work: tuple[np.ndarray, ...]
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """For each position in the window: 1 where it is its window's first maximum, else 0; then what it sees of
        `image`, those of `windows` that see it, and scratch beside these."""
        is_first, is_open, part = (lying_like(y, scratch) for scratch in work)
        is_open.fill(True)
        for seen, image_seen, maxima, mask, still_open, beside, given in self._regions(
            (x, image), (y, is_first, is_open, part, windows)
        ):
            np.equal(seen, maxima, out=mask)
            np.logical_and(mask, still_open, out=mask)
            np.greater(still_open, mask, out=still_open)
            yield mask.view(np.int8), image_seen, given, beside


class MaxPool2d(MaxPooling):
    """The maximum of each window; padding never wins. NaN where a window has one.

    The gradient goes, whole, to the first maximum of a window in row-major order, as in PyTorch; a window with a NaN
    passes none (PyTorch: to its last NaN).
    """

    def infer(self, x: TensorType) -> TensorType:
        if x.is_bool:
            raise DtypeError(f"expected floats or integers, got {x.dtype.name}")
        return self._pooled(x)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [MaxPool2dGradient(**self.attributes)(x, node, dy) if x.type.is_float else None]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        regions = self._regions((x,), (out,))
        if all(windows.shape == out.shape for _, windows in regions):
            np.copyto(out, regions.pop(0)[0])
        else:
            out.fill(-np.inf if out.dtype.kind == "f" else np.iinfo(out.dtype).min)
        for seen, windows in regions:
            np.maximum(windows, seen, out=windows)


class MaxPool2dGradient(MaxPooling):
    """The gradient of `MaxPool2d`: dy of each window, added where its first maximum is. Inputs: x, y, dy."""

    def infer(self, x: TensorType, y: TensorType, dy: TensorType) -> TensorType:
        expect_floats(x, y, dy)
        _expect_shapes(self._pooled(x), y, dy)
        return x

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, y, _ = node.inputs
        return [None, None, MaxPool2dGather(**self.attributes)(x, y, dy)]

    def workspace(self, x: TensorType, y: TensorType, *rest: TensorType) -> tuple[TensorType, ...]:
        return (y.with_dtype("bool"), y, *([y] if self.window.overlaps else ()))

    def compute(
        self, out: np.ndarray, x: np.ndarray, y: np.ndarray, dy: np.ndarray, *, work: tuple[np.ndarray, ...]
    ) -> None:
        # `rest` is what of dy is not given away yet: the first maximum takes it all, so no later one finds any. Taken
        # and left as integers: a product of the bits is exact for every float, where infinity * 0.0 would be NaN.
        bits = _BITS[out.dtype.itemsize]
        is_maximum, rest, *parts = (lying_like(y, scratch) for scratch in work)
        np.copyto(rest, dy)
        if not self._tiles(out, dy):
            out.fill(0)
        for seen, total, maxima, mask, left, *part in self._regions((x, out), (y, is_maximum, rest, *parts)):
            taken = (part[0] if part else total).view(bits)
            np.equal(seen, maxima, out=mask)
            np.multiply(left.view(bits), mask.view(np.int8), out=taken)
            np.subtract(left.view(bits), taken, out=left.view(bits))
            if part:
                np.add(total, part[0], out=total)


class MaxPool2dGather(MaxPooling):
    """For each window, the element of `values` where x has the window's first maximum. Inputs: x, y, values.

    It is the adjoint of `MaxPool2dGradient`, and so its gradient.
    """

    def infer(self, x: TensorType, y: TensorType, values: TensorType) -> TensorType:
        expect_floats(x, y, values)
        _expect_shapes(self._pooled(x), y)
        _expect_shapes(x, values)
        return y

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, y, _ = node.inputs
        return [None, None, MaxPool2dGradient(**self.attributes)(x, y, dy)]

    def workspace(self, x: TensorType, y: TensorType, *rest: TensorType) -> tuple[TensorType, ...]:
        return self._scratch(y)

    def compute(
        self, out: np.ndarray, x: np.ndarray, y: np.ndarray, values: np.ndarray, *, work: tuple[np.ndarray, ...]
    ) -> None:
        bits = _BITS[out.dtype.itemsize]
        out.fill(0)
        for mask, seen, windows, part in self._first_maxima(x, y, values, out, work):
            chosen = part.view(bits)
            np.copyto(chosen, mask)
            np.multiply(seen.view(bits), chosen, out=chosen)
            np.add(windows, part, out=windows)


class AveragePooling(Pooling):
    """A mean divides by `divisor` where given, else by the size of the window within the input.

    `count_include_pad` counts its padding too, but never what hangs over the padding in ceil mode.
    """

    count_include_pad: bool
    divisor: int | None

    def _divisor(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What to divide each window y of x by: a number, or one for each window of an image."""
        if self.divisor is not None:
            return np.asarray(self.divisor, y.dtype)
        return _window_sizes(self.window, x.shape[2:], y.shape[2:], self.count_include_pad, y.dtype)


class AvgPool2d(AveragePooling):
    """The mean of each window."""

    def infer(self, x: TensorType) -> TensorType:
        expect_floats(x)
        return self._pooled(x)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [AvgPool2dGradient(**self.attributes, size=x.shape[2:])(dy)]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        regions = self._regions((x,), (out,))
        if all(windows.shape == out.shape for _, windows in regions):
            np.copyto(out, regions.pop(0)[0])
        else:
            out.fill(0)
        for seen, windows in regions:
            np.add(windows, seen, out=windows)
        np.divide(out, self._divisor(x, out), out=out)


class AvgPool2dGradient(AveragePooling):
    """The gradient of `AvgPool2d` by its input of spatial `size`: a window spreads its dy evenly over what it saw."""

    size: Sizes

    def infer(self, dy: TensorType) -> TensorType:
        expect_floats(dy)
        expect_axes(dy, 4, "the gradient", "(batch, channels, height, width)")
        x = dy.with_shape((*dy.shape[:2], *self.size))
        _expect_shapes(self._pooled(x), dy)
        return x

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        attributes = self.attributes
        del attributes["size"]
        return [AvgPool2d(**attributes)(dy)]

    def workspace(self, dy: TensorType) -> tuple[TensorType, ...]:
        return (dy,)

    def compute(self, out: np.ndarray, dy: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        share = lying_like(dy, work[0])
        np.divide(dy, self._divisor(out, dy), out=share)
        if not self._tiles(out, dy):
            out.fill(0)
        overlaps = self.window.overlaps
        for total, windows in self._regions((out,), (share,)):
            if overlaps:
                np.add(total, windows, out=total)
            else:
                np.copyto(total, windows)


def lying_like(x: np.ndarray, scratch: np.ndarray) -> np.ndarray:
    """Scratch memory with its axes in the order that x's have in memory.

    NumPy runs through operands of different orders several times as slowly.
    """
    order = sorted(range(x.ndim), key=lambda axis: (x.shape[axis] != 1, -abs(x.strides[axis])))
    return in_order(scratch.transpose(axis_order(scratch)).reshape(-1), scratch.shape, order)


@lru_cache(maxsize=1024)
def _window_sizes(window: Window, sizes: Pair, counts: Pair, include_padding: bool, dtype: np.dtype) -> np.ndarray:
    """How many elements each window has, a number where all have the same."""
    lengths = []
    for size, count, kernel, stride, (before, after) in zip(
        sizes, counts, window.kernel, window.stride, window.padding, strict=True
    ):
        low, high = (-before, size + after) if include_padding else (0, size)
        starts = [position * stride - before for position in range(count)]
        lengths.append([min(start + kernel, high) - max(start, low) for start in starts])
    found = np.multiply.outer(*lengths)
    same = found.size > 0 and bool((found == found.flat[0]).all())
    result = np.asarray(found.flat[0] if same else found, dtype)
    result.flags.writeable = False
    return result


def _expect_shapes(expected: TensorType, *given: TensorType) -> None:
    for found in given:
        if found.is_static and expected.is_static and found.shape != expected.shape:
            raise ShapeError(f"expected shape {shape_text(expected.shape)}, got {shape_text(found.shape)}")


# -- public functions -----------------------------------------------------------------------------------------------


@names_itself
def max_pool2d(
    input: NodeLike,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Node:
    """The maximum of each window of images (N, C, H, W); `stride` is the kernel's size unless given.

    Gives (N, C, (H + 2 * padding - dilation * (rows - 1) - 1) // stride + 1, ...), rounded up in ceil mode. Raises
    `ArgumentError` for padding above half the kernel, `ShapeError` for a kernel larger than its input.
    """
    spread = pair("dilation", dilation, 1)
    geometry = _geometry(kernel_size, stride, padding, spread)
    return MaxPool2d(*geometry, bool(ceil_mode), spread)(as_node(input))


@names_itself
def avg_pool2d(
    input: NodeLike,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Node:
    """The mean of each window of images (N, C, H, W), as `max_pool2d`; `count_include_pad` counts padding's zeros."""
    if divisor_override is not None and (not isinstance(divisor_override, int) or divisor_override == 0):
        raise ArgumentError(f"divisor_override must be an integer other than 0, got {divisor_override!r}")
    geometry = _geometry(kernel_size, stride, padding, (1, 1))
    return AvgPool2d(*geometry, bool(ceil_mode), bool(count_include_pad), divisor_override)(as_node(input))


@names_itself
def max_pool1d(
    input: NodeLike, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Node:
    """The maximum of each window of sequences (N, C, L): `max_pool2d` of images of one row."""
    x = _sequence(input)
    steps = kernel_size if stride is None else stride
    y = max_pool2d(as_rows(x), _row(kernel_size, 1), _row(steps, 1), _row(padding, 0), _row(dilation, 1), ceil_mode)
    return reshape(y, (y.shape[0], y.shape[1], y.shape[3]))


@names_itself
def avg_pool1d(
    input: NodeLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Node:
    """The mean of each window of sequences (N, C, L): `avg_pool2d` of images of one row."""
    x = _sequence(input)
    steps = kernel_size if stride is None else stride
    y = avg_pool2d(as_rows(x), _row(kernel_size, 1), _row(steps, 1), _row(padding, 0), ceil_mode, count_include_pad)
    return reshape(y, (y.shape[0], y.shape[1], y.shape[3]))


def _geometry(kernel_size: Any, stride: Any, padding: Any, dilation: Pair) -> tuple[Pair, Pair, Sides]:
    kernel = pair("kernel_size", kernel_size, 1)
    steps = kernel if stride is None else pair("stride", stride, 1)
    rows, columns = pair("padding", padding, 0)
    around = ((rows, rows), (columns, columns))
    span = Window(kernel, dilation=dilation).span
    if rows > span[0] // 2 or columns > span[1] // 2:
        raise ArgumentError(f"padding {(rows, columns)} must be at most half of the kernel's span {span}")
    return kernel, steps, around


def _sequence(input: NodeLike) -> Node:
    x = as_node(input)
    expect_axes(x.type, 3, "the input", "(batch, channels, length)")
    return x


def _row(value: Any, rows: int) -> tuple[Any, Any]:
    """A one-dimensional argument as one for images of one row."""
    return rows, value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value
