"""Pooling: the maximum and the mean of sliding windows. Everything else spatial without weights is in `resampling`.

A kernel is a loop over the positions of the window; each turn looks at all windows at once, through strided slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np

from graphnet.errors import ArgumentError, DtypeError, ShapeError, names_itself
from graphnet.graph.layout import axis_order, in_order
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.ops.convolution import as_rows
from graphnet.ops.shaping import reshape, shape_text
from graphnet.ops.sources import NodeLike, as_node
from graphnet.ops.unrolled import Call, Unrolled
from graphnet.ops.windows import Pair, Sides, Sizes, Window, expect_axes, expect_floats, pair

_BITS = {4: np.int32, 8: np.int64}


class Pooling(Unrolled):
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
    """What `MaxPool2d`, the place of its maxima, and the two ops that use these places share: the geometry.

    A window's place says which of its K positions, in row-major order, holds its first maximum: K for the first, 1 for
    the last, 0 for a window with a NaN. A byte a window, mostly: the backward pass needs nothing else of x.
    """

    dilation: Pair

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, self.dilation)

    @property
    def places(self) -> np.dtype:
        """The dtype of places."""
        return np.min_scalar_type(self.kernel[0] * self.kernel[1])

    def _positions(
        self, images: Sequence[np.ndarray], windows: Sequence[np.ndarray]
    ) -> Iterator[tuple[Any, list[np.ndarray]]]:
        """`_regions` with the place of each position."""
        regions = self._regions(images, windows)
        place_of = self.places.type
        return ((place_of(len(regions) - index), region) for index, region in enumerate(regions))

    def _geometry(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in MaxPool2d.field_names}

    def _expect_places(self, places: TensorType, pooled: TensorType) -> None:
        if places != pooled.with_dtype(self.places):
            raise ShapeError(f"expected places of type {pooled.with_dtype(self.places)}, got {places}")


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
        if not x.type.is_float:
            return [None]
        places = MaxPool2dPlaces(**self._geometry())(x, node)
        return [MaxPool2dGradient(**self._geometry(), size=x.shape[2:])(places, dy)]

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        regions = self._regions(inputs, (out,))
        if all(windows.shape == out.shape for _, windows in regions):
            start: Call = partial(np.copyto, out, regions.pop(0)[0])
        else:
            start = partial(out.fill, -np.inf if out.dtype.kind == "f" else np.iinfo(out.dtype).min)
        return [start, *(partial(np.maximum, windows, seen, out=windows) for seen, windows in regions)]


class MaxPool2dPlaces(MaxPooling):
    """The place of each window's first maximum; see `MaxPooling`. Inputs: x and y = max_pool2d(x)."""

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        expect_floats(x, y)
        _expect_shapes(self._pooled(x), y)
        return y.with_dtype(self.places)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None, None]

    def workspace(self, x: TensorType, y: TensorType) -> tuple[TensorType, ...]:
        return (y.with_dtype("bool"), y.with_dtype(self.places))

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        x, y = inputs
        is_maximum, candidates = (lying_like(out, scratch) for scratch in work)
        calls: list[Call] = [partial(out.fill, 0)]
        for place, (seen, maxima, best, mask, candidate) in self._positions((x,), (y, out, is_maximum, candidates)):
            calls.append(partial(np.equal, seen, maxima, out=mask))
            calls.append(partial(np.multiply, mask.view(np.uint8), place, out=candidate))  # booleans would be cast
            calls.append(partial(np.maximum, best, candidate, out=best))
        return calls


class MaxPool2dGradient(MaxPooling):
    """The gradient of `MaxPool2d` by its input of spatial `size`: dy of each window, added at the window's place.

    Inputs: places, dy.
    """

    size: Sizes

    def infer(self, places: TensorType, dy: TensorType) -> TensorType:
        expect_floats(dy)
        self._expect_places(places, dy)
        x = dy.with_shape((*dy.shape[:2], *self.size))
        _expect_shapes(self._pooled(x), dy)
        return x

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None, MaxPool2dGather(**self._geometry())(node.inputs[0], dy)]

    def workspace(self, places: TensorType, dy: TensorType) -> tuple[TensorType, ...]:
        return (dy.with_dtype("bool"), dy, *([dy] if self.window.overlaps else ()))

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        # A product of the bits as integers is exact for every float, where infinity * 0.0 would be NaN, and ten times
        # as fast as NumPy's `where=`.
        bits = _BITS[out.dtype.itemsize]
        places, dy = inputs
        is_place, ordered, *parts = (lying_like(places, scratch) for scratch in work)
        calls: list[Call] = []
        if axis_order(dy) != axis_order(places):  # what comes from a row-major layer above
            calls.append(partial(np.copyto, ordered, dy))
            dy = ordered
        if not self._tiles(out, dy):
            calls.append(partial(out.fill, 0))
        for place, (total, chosen, mask, given, *part) in self._positions((out,), (places, is_place, dy, *parts)):
            taken = part[0] if part else total
            calls.append(partial(np.equal, chosen, place, out=mask))
            calls.append(partial(np.multiply, given.view(bits), mask.view(np.int8), out=taken.view(bits)))
            if part:
                calls.append(partial(np.add, total, taken, out=total))
        return calls


class MaxPool2dGather(MaxPooling):
    """For each window, the element of `values` at its place: the adjoint of `MaxPool2dGradient`, and so its gradient.

    Inputs: places, values.
    """

    def infer(self, places: TensorType, values: TensorType) -> TensorType:
        expect_floats(values)
        y = self._pooled(values)
        self._expect_places(places, y)
        return y

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        places, values = node.inputs
        return [None, MaxPool2dGradient(**self._geometry(), size=values.shape[2:])(places, dy)]

    def workspace(self, places: TensorType, values: TensorType) -> tuple[TensorType, ...]:
        y = self._pooled(values)
        return (y.with_dtype("bool"), y)

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        places, values = inputs
        bits = _BITS[out.dtype.itemsize]
        is_place, parts = (lying_like(out, scratch) for scratch in work)
        calls: list[Call] = [partial(out.fill, 0)]
        for place, (seen, chosen, total, mask, part) in self._positions((values,), (places, out, is_place, parts)):
            calls.append(partial(np.equal, chosen, place, out=mask))
            calls.append(partial(np.multiply, seen.view(bits), mask.view(np.int8), out=part.view(bits)))
            calls.append(partial(np.add, total, part, out=total))
        return calls


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

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        regions = self._regions(inputs, (out,))
        if all(windows.shape == out.shape for _, windows in regions):
            start: Call = partial(np.copyto, out, regions.pop(0)[0])
        else:
            start = partial(out.fill, 0)
        added = [partial(np.add, windows, seen, out=windows) for seen, windows in regions]
        return [start, *added, partial(np.divide, out, self._divisor(inputs[0], out), out=out)]


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

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        (dy,) = inputs
        share = lying_like(dy, work[0])
        calls: list[Call] = [partial(np.divide, dy, self._divisor(out, dy), out=share)]
        if not self._tiles(out, dy):
            calls.append(partial(out.fill, 0))
        overlaps = self.window.overlaps
        for total, windows in self._regions((out,), (share,)):
            calls.append(partial(np.add, total, windows, out=total) if overlaps else partial(np.copyto, total, windows))
        return calls


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
