"""Convolutions of few channels, whose images lie beside one another: (H, W, C, N), so that vectors are of images.

With 6 filters as lanes a quarter of each vector of 8 is idle. A batch fills all lanes, whatever the numbers of channels
and filters are; pooling and elementwise work that follow find whole vectors too.
"""

from __future__ import annotations

import numpy as np

from graphnet.backend.native.ops import Direct, seen, window_counts
from graphnet.backend.native.target import target
from graphnet.graph.types import TensorType
from graphnet.ops.windows import Pair

IMAGES_LAST = (2, 3, 1, 0)  # the axes of (N, C, H, W) in the order (H, W, C, N)
IMAGES_FIRST = (3, 2, 0, 1)  # and back
_GAIN = 0.9  # of the time: for less, images stay apart
_MOST_FEATURES = 32  # channels, and filters: what a window reads has to stay near
_MOST_BYTES = 512  # from one element of an image to the next: of more, a window's would compete for the same lines
_LEAST_VECTORS = 4  # of images, which have to be whole: others lie across two lines of the cache
_PARTS = 4, 16  # of the rows of a result, at least and at most, each with sums of the filter gradient's
# Times, where all lanes are in use, of: convolution and filter gradient; the input gradient, which meets zeros or adds
# to memory; the three where images lie beside one another; and two of these.
_TWO, _THIRD, _ALL_BESIDE, _TWO_BESIDE = 2.0, 1.6, 3.4, 2.1


class BatchLast(Direct):
    """A convolution, or one of its gradients, on images (H, W, C, N). The image is padded already."""


class BatchLastConvolution(BatchLast):
    """y[h, w, o, n] = sum over i, j, c of x[h * stride + i * dilation, ..., c, n] * weight[o, c, i, j].

    Inputs: x, weight.
    """

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        *sizes, _, batch = x.static_shape
        filters, _, *kernel = w.static_shape
        return x.with_shape((*window_counts(sizes, kernel, self.stride, self.dilation), filters, batch))

    def compute(self, out: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        out[...] = 0
        for i, j, part in seen(self, x[None], w.shape[2:], out.shape[:2]):
            out += w[:, :, i, j] @ part[0]


class BatchLastFilterGradient(BatchLast):
    """dweight[o, c, i, j] = sum over h, w, n of dy[h, w, o, n] * x[h * stride + i * dilation, ..., c, n].

    Inputs: x, dy.
    """

    kernel: Pair

    def infer(self, x: TensorType, dy: TensorType) -> TensorType:
        return x.with_shape((dy.shape[2], x.shape[2], *self.kernel))

    def compute(self, out: np.ndarray, x: np.ndarray, dy: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        for i, j, part in seen(self, x[None], self.kernel, dy.shape[:2]):
            out[:, :, i, j] = np.tensordot(dy, part[0], axes=([0, 1, 3], [0, 1, 3]))


class BatchLastInputGradient(BatchLast):
    """dx[h * stride + i * dilation - top, ..., c, n] = sum over o, i, j of dy[h, w, o, n] * weight[o, c, i, j].

    Inputs: dy, weight.
    """

    top: Pair
    size: Pair

    def infer(self, dy: TensorType, w: TensorType) -> TensorType:
        return dy.with_shape((*self.size, w.shape[1], dy.shape[3]))

    def compute(self, out: np.ndarray, dy: np.ndarray, w: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        height, width = (
            max(top + size, (count - 1) * stride + (taps - 1) * dilation + 1)
            for top, size, count, stride, taps, dilation in zip(
                self.top, self.size, dy.shape, self.stride, w.shape[2:], self.dilation, strict=False
            )
        )
        whole = np.zeros((height, width, *out.shape[2:]), out.dtype)
        for i, j, part in seen(self, whole[None], w.shape[2:], dy.shape[:2]):
            part[0] += w[:, :, i, j].T @ dy
        out[...] = whole[self.top[0] : self.top[0] + self.size[0], self.top[1] : self.top[1] + self.size[1]]


def images_beside(batch: int, rows: int, channels: int, filters: int, itemsize: int, is_first: bool) -> bool:
    """Whether a convolution with `rows` of results takes less time with images as lanes.

    is_first: no input gradient is asked for. A convolution and its gradients get the same answer, so that none has to
    turn what another one made.
    """
    lanes = target().lanes(itemsize)
    if batch % lanes or not _LEAST_VECTORS * lanes * itemsize <= batch * itemsize <= _MOST_BYTES:
        return False
    if max(channels, filters) > _MOST_FEATURES or parts_of(rows) < _PARTS[0]:
        return False

    def idle(n: int) -> float:
        return -(-n // lanes) * lanes / n

    apart = _TWO * idle(filters) + (0.0 if is_first else _THIRD * idle(channels))
    return (_TWO_BESIDE if is_first else _ALL_BESIDE) < _GAIN * apart


def parts_of(rows: int) -> int:
    """In how many equal parts the rows of a result are gone through by a filter gradient."""
    return max(d for d in range(1, min(rows, _PARTS[1]) + 1) if rows % d == 0)
