"""Convolutions in groups, as the native backend has them: images with channels innermost, (N, H, W, C)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from graphnet.backend.native.ops import Direct, DirectFilterGradient, Native
from graphnet.graph.dims import Size
from graphnet.graph.types import TensorType
from graphnet.ops.windows import Pair, Sides, Window


class Depthwise(Native):
    """A convolution with one filter for each channel, or a gradient of one. What lies outside the image is 0."""

    stride: Pair
    padding: Sides
    dilation: Pair

    def window(self, kernel: Sequence[Size]) -> Window:
        """The windows of a kernel of this size."""
        return Window((int(kernel[0]), int(kernel[1])), self.stride, self.padding, self.dilation)  # type: ignore[arg-type]

    def _seen(
        self, image: np.ndarray, kernel: Sequence[int], windows: np.ndarray
    ) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """For each position of the kernel, what the windows see of the image, and the windows that see something."""
        for o in self.window(kernel).offsets(image.shape[1:3], windows.shape[1:3]):
            yield o.i, o.j, image[:, o.input_rows, o.input_columns], windows[:, o.rows, o.columns]


class DepthwiseConvolution(Depthwise):
    """y[n, h, w, c] = sum over i, j of x[n, h * stride + i * dilation - top, ..., c] * weight[i, j, c]."""

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        return x.with_shape((x.shape[0], *self.window(w.shape[:2]).counts(x.shape[1:3]), x.shape[3]))

    def compute(self, out: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        out[...] = 0
        for i, j, seen, windows in self._seen(x, w.shape[:2], out):
            windows += seen * w[i, j]


class DepthwiseInputGradient(Depthwise):
    """dx[n, h * stride + i * dilation - top, ..., c] = sum over i, j of dy[n, h, w, c] * weight[i, j, c].

    Inputs: dy, weight.
    """

    size: Pair

    def infer(self, dy: TensorType, w: TensorType) -> TensorType:
        return dy.with_shape((dy.shape[0], *self.size, dy.shape[3]))

    def compute(self, out: np.ndarray, dy: np.ndarray, w: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        out[...] = 0
        for i, j, seen, windows in self._seen(out, w.shape[:2], dy):
            seen += windows * w[i, j]


class DepthwiseFilterGradient(Depthwise):
    """dweight[i, j, c] = sum over n, h, w of dy[n, h, w, c] * x[n, h * stride + i * dilation - top, ..., c].

    Inputs: x, dy.
    """

    kernel: Pair

    def infer(self, x: TensorType, dy: TensorType) -> TensorType:
        return x.with_shape((*self.kernel, x.shape[3]))

    def compute(self, out: np.ndarray, x: np.ndarray, dy: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        for i, j, seen, windows in self._seen(x, self.kernel, dy):
            out[i, j] = np.einsum("nhwc,nhwc->c", windows, seen)


class Grouped(Native):
    """`op`, a direct convolution or a gradient of one, for each of `groups` groups of channels by itself.

    Inputs: as op's, with the channels of all groups; a weight, which is `Panels`, has its groups as axis 1. The filter
    gradient has them one after the other along axis 0.
    """

    op: Direct
    groups: int

    @property
    def has_weight(self) -> bool:
        """Whether the second input is a weight, and not an image."""
        return not isinstance(self.op, DirectFilterGradient)

    def infer(self, x: TensorType, other: TensorType) -> TensorType:
        one = self.op.infer(self._part(x), self._without_groups(other) if self.has_weight else self._part(other))
        axis = 3 if self.has_weight else 0
        return one.with_shape(tuple(n * self.groups if i == axis else n for i, n in enumerate(one.static_shape)))

    def _part(self, image: TensorType) -> TensorType:
        *rest, channels = image.static_shape
        return image.with_shape((*rest, channels // self.groups))

    def _without_groups(self, weight: TensorType) -> TensorType:
        panels, _, *rest = weight.static_shape
        return weight.with_shape((panels, *rest))

    def compute(self, out: np.ndarray, x: np.ndarray, other: np.ndarray) -> None:
        """For checking: group by group."""
        results = np.split(out, self.groups, 3 if self.has_weight else 0)
        others = list(np.moveaxis(other, 1, 0)) if self.has_weight else np.split(other, self.groups, 3)
        for result, seen, given in zip(results, np.split(x, self.groups, 3), others, strict=True):
            self.op.compute(result, seen, given)
