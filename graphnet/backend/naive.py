"""Kernels as plain loops, written straight from the formulas: what a reader checks by eye and tests compare with.

Arrays become nested lists of Python numbers, so that every sum is in double precision and no line is NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graphnet.backend.base import Bound, own_workspace
from graphnet.backend.base import Kernel as BoundKernel
from graphnet.backend.ready import Ready, Wanted
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient, Convolution
from graphnet.ops.linear import Matmul
from graphnet.ops.pooling import (
    AveragePooling,
    AvgPool2d,
    AvgPool2dGradient,
    MaxPool2d,
    MaxPool2dGather,
    MaxPool2dGradient,
    MaxPool2dPlaces,
    MaxPooling,
)
from graphnet.ops.resampling import AdaptiveAvgPool2d, AdaptiveAvgPool2dGradient, Upsample, adaptive_windows
from graphnet.rewrite.driver import Log, Rule
from graphnet.rewrite.fusion import fuse
from graphnet.schedule import Schedule

if TYPE_CHECKING:
    from graphnet.lower import Lowered

Kernel: TypeAlias = Callable[..., None]

KERNELS: dict[type[Op], Kernel] = {}
"""What computes each op: called with the op, the array to fill, and the arrays of its inputs."""


def computes(op: type[Op]) -> Callable[[Kernel], Kernel]:
    """Registers the kernel of `op`."""

    def register(kernel: Kernel) -> Kernel:
        KERNELS[op] = kernel
        return kernel

    return register


# -- matrix product -------------------------------------------------------------------------------------------------


@computes(Matmul)
def matmul(op: Matmul, out: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """out[n, m] = sum over k of a[n, k] * b[k, m], for each matrix of the batch."""
    for batch in np.ndindex(out.shape[:-2]):
        left, right = _matrix(a, batch), _matrix(b, batch)
        for n in range(out.shape[-2]):
            for m in range(out.shape[-1]):
                total = 0
                for k in range(a.shape[-1]):
                    total += left[n][k] * right[k][m]
                out[(*batch, n, m)] = total


def _matrix(a: np.ndarray, batch: tuple[int, ...]) -> list[list[Any]]:
    """The matrix of `a` that goes with one index of the batch; axes of size 1, and missing ones, are broadcast."""
    own = batch[len(batch) - (a.ndim - 2) :]
    return a[tuple(0 if size == 1 else i for i, size in zip(own, a.shape, strict=False))].tolist()


# -- convolution ----------------------------------------------------------------------------------------------------


@computes(Conv2d)
def conv2d(op: Conv2d, out: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
    """y[n, o, h, v] = sum over c, i, j of x[n, c, h*stride + i*dilation - top, ...] * w[o, c, i, j]."""
    pixels, weights = x.tolist(), w.tolist()
    (down, right), (spread_down, spread_right), (top, _), (left, _) = op.stride, op.dilation, *op.padding
    height, width = x.shape[2:]
    channels, kernel_height, kernel_width = w.shape[1:]
    for n, o, h, v in product(*map(range, out.shape)):
        first = _first_channel(op, o, w.shape)
        total = 0.0
        for c in range(channels):
            for i in range(kernel_height):
                row = h * down + i * spread_down - top
                if not 0 <= row < height:
                    continue
                for j in range(kernel_width):
                    column = v * right + j * spread_right - left
                    if 0 <= column < width:
                        total += pixels[n][first + c][row][column] * weights[o][c][i][j]
        out[n, o, h, v] = total


@computes(Conv2dInputGradient)
def conv2d_input_gradient(op: Conv2dInputGradient, out: np.ndarray, dy: np.ndarray, w: np.ndarray) -> None:
    """dx[n, c, h*stride + i*dilation - top, ...] += dy[n, o, h, v] * w[o, c, i, j]."""
    total, gradients, weights = _zeros(out.shape), dy.tolist(), w.tolist()
    (down, right), (spread_down, spread_right), (top, _), (left, _) = op.stride, op.dilation, *op.padding
    height, width = out.shape[2:]
    channels, kernel_height, kernel_width = w.shape[1:]
    for n, o, h, v in product(*map(range, dy.shape)):
        first = _first_channel(op, o, w.shape)
        for c in range(channels):
            for i in range(kernel_height):
                row = h * down + i * spread_down - top
                if not 0 <= row < height:
                    continue
                for j in range(kernel_width):
                    column = v * right + j * spread_right - left
                    if 0 <= column < width:
                        total[n][first + c][row][column] += gradients[n][o][h][v] * weights[o][c][i][j]
    out[...] = total


@computes(Conv2dFilterGradient)
def conv2d_filter_gradient(op: Conv2dFilterGradient, out: np.ndarray, x: np.ndarray, dy: np.ndarray) -> None:
    """dw[o, c, i, j] += dy[n, o, h, v] * x[n, c, h*stride + i*dilation - top, ...]."""
    total, gradients, pixels = _zeros(out.shape), dy.tolist(), x.tolist()
    (down, right), (spread_down, spread_right), (top, _), (left, _) = op.stride, op.dilation, *op.padding
    height, width = x.shape[2:]
    channels, kernel_height, kernel_width = out.shape[1:]
    for n, o, h, v in product(*map(range, dy.shape)):
        first = _first_channel(op, o, out.shape)
        for c in range(channels):
            for i in range(kernel_height):
                row = h * down + i * spread_down - top
                if not 0 <= row < height:
                    continue
                for j in range(kernel_width):
                    column = v * right + j * spread_right - left
                    if 0 <= column < width:
                        total[o][c][i][j] += gradients[n][o][h][v] * pixels[n][first + c][row][column]
    out[...] = total


def _first_channel(op: Convolution, o: int, weight_shape: tuple[int, ...]) -> int:
    """The first input channel of the group that output channel `o` belongs to."""
    outputs, channels = weight_shape[:2]
    return o // (outputs // op.groups) * channels


def _zeros(shape: tuple[int, ...]) -> Any:
    """Nested lists of 0.0, to add to."""
    return np.zeros(shape).tolist()


# -- pooling --------------------------------------------------------------------------------------------------------


@computes(MaxPool2d)
def max_pool2d(op: MaxPool2d, out: np.ndarray, x: np.ndarray) -> None:
    """The largest element of each window; NaN where the window has one."""
    lowest = -np.inf if out.dtype.kind == "f" else np.iinfo(out.dtype).min
    for image in np.ndindex(out.shape[:2]):
        pixels = x[image].tolist()
        for h, v in np.ndindex(out[image].shape):
            values = [pixels[row][column] for row, column in _window(op, h, v, x[image].shape)]
            out[image][h, v] = np.nan if any(value != value for value in values) else max(values, default=lowest)


@computes(MaxPool2dPlaces)
def max_pool2d_places(op: MaxPool2dPlaces, out: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Where each window has its maximum first, counted down from the first position; 0 if it has a NaN."""
    for image in np.ndindex(out.shape[:2]):
        pixels = x[image].tolist()
        for h, v in np.ndindex(out[image].shape):
            seen = [
                (pixels[row][column], place)
                for place in range(op.kernel[0] * op.kernel[1], 0, -1)
                for row, column in _at_place(op, h, v, place, x[image].shape)
            ]
            has_nan = any(value != value for value, _ in seen)
            out[image][h, v] = 0 if has_nan else max(seen, key=lambda pair: pair[0], default=(0.0, 0))[1]


@computes(MaxPool2dGradient)
def max_pool2d_gradient(op: MaxPool2dGradient, out: np.ndarray, places: np.ndarray, dy: np.ndarray) -> None:
    """dx at the place of each window += the window's dy."""
    for image in np.ndindex(out.shape[:2]):
        gradients, total = dy[image].tolist(), _zeros(out[image].shape)
        for h, v in np.ndindex(dy[image].shape):
            for row, column in _at_place(op, h, v, int(places[image][h, v]), out[image].shape):
                total[row][column] += gradients[h][v]
        out[image][...] = total


@computes(MaxPool2dGather)
def max_pool2d_gather(op: MaxPool2dGather, out: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """The element of `values` at the place of each window."""
    for image in np.ndindex(out.shape[:2]):
        chosen = values[image].tolist()
        for h, v in np.ndindex(out[image].shape):
            out[image][h, v] = 0.0
            for row, column in _at_place(op, h, v, int(places[image][h, v]), values[image].shape):
                out[image][h, v] = chosen[row][column]


def _at_place(op: MaxPooling, h: int, v: int, place: int, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The row and column that window (h, v) has at `place`, if it has one and that is inside the image."""
    if place == 0:
        return []
    i, j = divmod(op.kernel[0] * op.kernel[1] - place, op.kernel[1])
    row = h * op.stride[0] + i * op.dilation[0] - op.padding[0][0]
    column = v * op.stride[1] + j * op.dilation[1] - op.padding[1][0]
    return [(row, column)] if 0 <= row < shape[0] and 0 <= column < shape[1] else []


@computes(AvgPool2d)
def avg_pool2d(op: AvgPool2d, out: np.ndarray, x: np.ndarray) -> None:
    """The sum of each window over its divisor."""
    for image in np.ndindex(out.shape[:2]):
        pixels = x[image].tolist()
        for h, v in np.ndindex(out[image].shape):
            total = sum(pixels[row][column] for row, column in _window(op, h, v, x[image].shape))
            out[image][h, v] = total / _divisor(op, h, v, x[image].shape)


@computes(AvgPool2dGradient)
def avg_pool2d_gradient(op: AvgPool2dGradient, out: np.ndarray, dy: np.ndarray) -> None:
    """dx at each element of a window += the window's dy over its divisor."""
    for image in np.ndindex(out.shape[:2]):
        gradients, total = dy[image].tolist(), _zeros(out[image].shape)
        for h, v in np.ndindex(dy[image].shape):
            for row, column in _window(op, h, v, out[image].shape):
                total[row][column] += gradients[h][v] / _divisor(op, h, v, out[image].shape)
        out[image][...] = total


def _window(op: Any, h: int, v: int, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """The elements of an image that window (h, v) sees, in row-major order."""
    down, right = op.window.dilation
    for i in range(op.kernel[0]):
        for j in range(op.kernel[1]):
            row = h * op.stride[0] + i * down - op.padding[0][0]
            column = v * op.stride[1] + j * right - op.padding[1][0]
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                yield row, column


def _divisor(op: AveragePooling, h: int, v: int, shape: tuple[int, ...]) -> int:
    """The number of elements of window (h, v): with padding or without, or the op's own number."""
    if op.divisor is not None:
        return op.divisor
    count = 1
    for position, size, kernel, stride, sides in zip((h, v), shape, op.kernel, op.stride, op.padding, strict=True):
        before, after = sides
        low, high = (-before, size + after) if op.count_include_pad else (0, size)
        start = position * stride - before
        count *= min(start + kernel, high) - max(start, low)
    return count


# -- resampling -----------------------------------------------------------------------------------------------------


@computes(AdaptiveAvgPool2d)
def adaptive_avg_pool2d(op: AdaptiveAvgPool2d, out: np.ndarray, x: np.ndarray) -> None:
    """The mean of each window, a range of rows by a range of columns."""
    pixels = x.tolist()
    for (n, c), (h, rows), (v, columns) in product(np.ndindex(x.shape[:2]), *_ranges(x, out)):
        total = sum(pixels[n][c][row][column] for row in rows for column in columns)
        out[n, c, h, v] = total / (len(rows) * len(columns))


@computes(AdaptiveAvgPool2dGradient)
def adaptive_avg_pool2d_gradient(op: AdaptiveAvgPool2dGradient, out: np.ndarray, dy: np.ndarray) -> None:
    """dx at each element of a window += the window's dy over the number of its elements."""
    total, gradients = _zeros(out.shape), dy.tolist()
    for (n, c), (h, rows), (v, columns) in product(np.ndindex(out.shape[:2]), *_ranges(out, dy)):
        for row in rows:
            for column in columns:
                total[n][c][row][column] += gradients[n][c][h][v] / (len(rows) * len(columns))
    out[...] = total


def _ranges(x: np.ndarray, y: np.ndarray) -> list[list[tuple[int, range]]]:
    """For rows and for columns: the windows, numbered."""
    return [
        [(i, range(*bounds)) for i, bounds in enumerate(adaptive_windows(x.shape[axis], y.shape[axis]))]
        for axis in (2, 3)
    ]


@computes(Upsample)
def upsample(op: Upsample, out: np.ndarray, x: np.ndarray) -> None:
    """y[h, v] = x[h // scale, v // scale]."""
    for n, c, h, v in np.ndindex(out.shape):
        out[n, c, h, v] = x[n, c, h // op.scale[0], v // op.scale[1]]


class NaiveBackend:
    """Loops for convolution, pooling and matrix products; the ops' own NumPy kernels for all else. Rewrites nothing."""

    name = "naive"
    rules: Sequence[Rule] = ()

    def fuse(self, graph: Graph, log: Log) -> Graph:
        """Elementwise work, tile by tile."""
        return fuse(graph, log)

    def is_certain(self, node: Node) -> bool:
        """No: its loops are Python's."""
        return False

    def tune(self, order: Schedule) -> None:
        """Nothing: there is one way to do each step."""

    def notes(self, order: Schedule) -> Sequence[str]:
        """None."""
        return ()

    def workspace(self, node: Node, layouts: Mapping[Node, np.ndarray]) -> Sequence[TensorType]:
        """What the op says."""
        return own_workspace(node)

    def held(self, order: Schedule) -> Mapping[Node, int]:
        """None: each step is over before the next begins."""
        return {}

    def kernels(self, steps: Sequence[Bound]) -> Sequence[BoundKernel | None]:
        """The loops for each op that has any."""
        return [self._kernel(step) for step in steps]

    def _kernel(self, step: Bound) -> BoundKernel | None:
        kernel = KERNELS.get(type(step.op))
        return None if kernel is None else partial(kernel, step.op, step.out, *step.inputs)

    def joined(self, kernels: Sequence[BoundKernel]) -> list[tuple[int, BoundKernel]]:
        """Each by itself."""
        return list(enumerate(kernels))

    def recall(self, wanted: Wanted) -> None:
        """Nothing is compiled, so nothing is kept."""

    def remember(self, wanted: Wanted, lowered: Lowered, ready: Ready) -> None:
        """Nothing is compiled, so nothing is kept."""
