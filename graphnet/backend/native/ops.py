"""Ops that only the native backend has, made by its rules. Images lie with their channels innermost: (N, H, W, C)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd
from typing import ClassVar

import numpy as np

from graphnet.errors import GradientError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.windows import Pair

CHANNELS_LAST = (0, 2, 3, 1)  # the axes of (N, C, H, W) in the order (N, H, W, C)
CHANNELS_FIRST = (0, 3, 1, 2)  # and back


class Native(Op):
    """An op that is made after differentiation."""

    layout_free: ClassVar[bool] = False

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        raise GradientError(f"{self.name} is made after differentiation")


class Panels(Native):
    """The last axis in panels of `width`, each with all other axes: (..., n) to (ceil(n / width), ..., width).

    So a kernel that goes through the other axes with a few columns at once finds these side by side. What the last
    panel lacks is 0.
    """

    width: int

    def infer(self, x: TensorType) -> TensorType:
        *rest, n = x.static_shape
        return x.with_shape((-(-n // self.width), *rest, self.width))

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        out[...] = 0
        for panel, first in zip(out, range(0, x.shape[-1], self.width), strict=True):
            panel[..., : x.shape[-1] - first] = x[..., first : first + self.width]


class Direct(Native):
    """A convolution, or one of its gradients, without columns in memory. Its image is padded already."""

    stride: Pair
    dilation: Pair


class DirectConvolution(Direct):
    """y[n, h, w, o] = sum over i, j, c of x[n, h * stride + i * dilation, ..., c] * weight[i, j, c, o].

    Inputs: x, and the weight (kernel rows, kernel columns, C, filters) as `Panels`.
    """

    filters: int

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        batch, *sizes, _ = x.static_shape
        return x.with_shape(
            (batch, *window_counts(sizes, w.static_shape[1:3], self.stride, self.dilation), self.filters)
        )

    def compute(self, out: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        out[...] = 0
        weight = unpaneled(w, self.filters)
        for i, j, part in seen(self, x, weight.shape[:2], out.shape[1:3]):
            out += part @ weight[i, j]


class DirectFilterGradient(Direct):
    """dweight[o, c, i, j] = sum over n, h, w of dy[n, h, w, o] * x[n, h * stride + i * dilation, ..., c].

    Inputs: x, dy.
    """

    kernel: Pair

    def infer(self, x: TensorType, dy: TensorType) -> TensorType:
        return x.with_shape((dy.shape[3], x.shape[3], *self.kernel))

    def compute(self, out: np.ndarray, x: np.ndarray, dy: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        for i, j, part in seen(self, x, self.kernel, dy.shape[1:3]):
            out[:, :, i, j] = np.tensordot(dy, part, axes=([0, 1, 2], [0, 1, 2]))


@dataclass(frozen=True)
class Taps:
    """The positions of a kernel, along one axis, that reach every `stride`-th place of the image from `first` on.

    There are `places` of these; the k-th position is i = start + k * step, and at the a-th place it meets element
    a + offset - k * back of dy.
    """

    first: int
    places: int
    start: int
    step: int
    count: int
    offset: int
    back: int


def taps(size: int, kernel: int, stride: int, dilation: int, top: int) -> list[Taps]:
    """The places of an axis of `size`, in `stride` classes: h = u * stride + i * dilation - top for a position i."""
    found = []
    for first in range(min(stride, size)):
        positions = [i for i in range(kernel) if (first + top - i * dilation) % stride == 0]
        start = positions[0] if positions else 0
        common = gcd(dilation, stride)
        offset = (first + top - start * dilation) // stride
        places = -(-(size - first) // stride)
        found.append(Taps(first, places, start, stride // common, len(positions), offset, dilation // common))
    return found


class DirectInputGradient(Direct):
    """dx[n, h * stride + i * dilation - top, ..., c] = sum over o, i, j of dy[n, h, w, o] * weight[i, j, o, c].

    Element (h, w) of dy lies at (h, w) + before; what is around it is 0.
    Inputs: dy, and the weight (kernel rows, kernel columns, filters, C) as `Panels`.
    """

    top: Pair
    before: Pair
    size: Pair
    channels: int

    def infer(self, dy: TensorType, w: TensorType) -> TensorType:
        return dy.with_shape((dy.shape[0], *self.size, self.channels))

    def taps(self, kernel: Sequence[int]) -> list[tuple[Taps, Taps]]:
        """The classes of places, by row and by column."""
        rows, columns = (
            taps(size, count, stride, dilation, top)
            for size, count, stride, dilation, top in zip(
                self.size, kernel, self.stride, self.dilation, self.top, strict=True
            )
        )
        return list(product(rows, columns))

    def compute(self, out: np.ndarray, dy: np.ndarray, w: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        out[...] = 0
        weight = unpaneled(w, self.channels)
        for rows, columns in self.taps(weight.shape[:2]):
            for k, m in np.ndindex(rows.count, columns.count):
                up, left = (
                    rows.offset - k * rows.back + self.before[0],
                    columns.offset - m * columns.back + self.before[1],
                )
                seen = dy[:, up : up + rows.places, left : left + columns.places]
                place = out[:, rows.first :: self.stride[0], columns.first :: self.stride[1]]
                place += seen @ weight[rows.start + k * rows.step, columns.start + m * columns.step]


class ScatteredInputGradient(DirectInputGradient):
    """The same, of dy without zeros around it: `before` is (0, 0). There is one panel, of one vector."""

    def compute(self, out: np.ndarray, dy: np.ndarray, w: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        weight = unpaneled(w, self.channels)
        sizes = uncropped(self, self.top, self.size, dy.shape[1:3], weight.shape[:2])
        whole = np.zeros((len(dy), *sizes, self.channels), out.dtype)
        for i, j, part in seen(self, whole, weight.shape[:2], dy.shape[1:3]):
            part += dy @ weight[i, j]
        out[...] = whole[:, self.top[0] : self.top[0] + self.size[0], self.top[1] : self.top[1] + self.size[1]]


def uncropped(op: Direct, top: Pair, size: Pair, counts: Sequence[int], kernel: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of an image with its padding, as far as windows reach. counts: of windows."""
    height, width = (
        max(first + own, (count - 1) * stride + (taps - 1) * dilation + 1)
        for first, own, count, stride, taps, dilation in zip(
            top, size, counts, op.stride, kernel, op.dilation, strict=True
        )
    )
    return height, width


def window_counts(sizes: Sequence[int], kernel: Sequence[int], stride: Pair, dilation: Pair) -> tuple[int, ...]:
    """How many windows a padded image has along each axis."""
    spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple((size - span - 1) // s + 1 for size, span, s in zip(sizes, spans, stride, strict=True))


def unpaneled(panels: np.ndarray, size: int) -> np.ndarray:
    """What `Panels` was made of, its last axis of `size`."""
    return np.concatenate(list(panels), axis=-1)[..., :size]


def seen(
    op: Direct, x: np.ndarray, kernel: Sequence[int], counts: Sequence[int]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """For each position of the kernel, what the windows see there: (N, rows, columns, C)."""
    for i, j in np.ndindex(*kernel):
        row, column = i * op.dilation[0], j * op.dilation[1]
        rows = slice(row, row + (counts[0] - 1) * op.stride[0] + 1, op.stride[0])
        columns = slice(column, column + (counts[1] - 1) * op.stride[1] + 1, op.stride[1])
        yield i, j, x[:, rows, columns]
