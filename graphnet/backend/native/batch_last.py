"""Convolutions of few channels, whose images lie beside one another: (H, W, C, N), so that vectors are of images.

With 6 filters as lanes a quarter of each vector of 8 is idle. A batch fills all lanes, whatever the numbers of channels
and filters are; pooling and elementwise work that follow find whole vectors too.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from graphnet.backend.native.ops import Direct, seen, uncropped, window_counts
from graphnet.backend.native.target import target
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient, Convolution
from graphnet.ops.windows import Pair

IMAGES_LAST = (2, 3, 1, 0)  # the axes of (N, C, H, W) in the order (H, W, C, N)
IMAGES_FIRST = (3, 2, 0, 1)  # and back
_GAIN = 0.93  # of the time: for less, images stay apart
_MOST_FEATURES = 32  # channels, and filters: what a window reads has to stay near
_MOST_BYTES = 512  # from one element of an image to the next: of more, a window's would compete for the same lines
_LEAST_VECTORS = 4  # of images, which have to be whole: others lie across two lines of the cache
_PARTS = 4, 16  # of the rows of a result, at least and at most, each with sums of the filter gradient's
# Times where images lie beside one another, of what a product takes where they are apart and no lane is idle.
_BESIDE: dict[type[Op], float] = {Conv2d: 1.0, Conv2dFilterGradient: 1.1, Conv2dInputGradient: 1.15}
_TURNED = 1.0  # of a product: to turn an element of an image or of a result, which others have in their own order
_SCATTERED = 1.55  # the same for an input gradient whose elements are added to where they came from


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
        sizes = uncropped(self, self.top, self.size, dy.shape[:2], w.shape[2:])
        whole = np.zeros((*sizes, *out.shape[2:]), out.dtype)
        for i, j, part in seen(self, whole[None], w.shape[2:], dy.shape[:2]):
            part[0] += w[:, :, i, j].T @ dy
        out[...] = whole[self.top[0] : self.top[0] + self.size[0], self.top[1] : self.top[1] + self.size[1]]


def images_beside(nodes: Sequence[Node]) -> bool:
    """Whether the convolutions of a graph, and their gradients, take less time with images as lanes.

    All of them do or none: what one has made another one would have to turn.
    """
    if not all(map(_can_lie_beside, nodes)):
        return False
    beside, apart = (sum(map(cost, nodes)) for cost in (_beside, _apart))
    return beside < _GAIN * apart


def _sizes(node: Node) -> tuple[int, int, int, tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Batch, channels, filters; rows and columns of the kernel, of the image and of the result."""
    a, b = (value.type.static_shape for value in node.inputs[:2])
    own = node.type.static_shape
    image, weight, result = {Conv2d: (a, b, own), Conv2dInputGradient: (own, b, a), Conv2dFilterGradient: (a, own, b)}[
        type(node.op)
    ]
    filters, channels, *kernel = weight
    return image[0], channels, filters, (kernel[0], kernel[1]), (image[2], image[3]), (result[2], result[3])


def _can_lie_beside(node: Node) -> bool:
    op, itemsize = node.op, node.dtype.itemsize
    assert isinstance(op, Convolution)
    batch, channels, filters, _, _, (rows, _) = _sizes(node)
    least = _LEAST_VECTORS * target().lanes(itemsize)
    whole = batch % target().lanes(itemsize) == 0 and least <= batch <= _MOST_BYTES // itemsize
    plain = op.groups == 1 and all(side >= 0 for pair in op.padding for side in pair)
    return whole and plain and max(channels, filters) <= _MOST_FEATURES and parts_of(rows) >= _PARTS[0]


def _work(node: Node) -> int:
    _, channels, filters, kernel, _, places = _sizes(node)
    return channels * filters * prod(kernel) * prod(places)


def _beside(node: Node) -> float:
    _, channels, filters, _, image, places = _sizes(node)
    turned = _TURNED * (channels * prod(image) + filters * prod(places))
    return _BESIDE[type(node.op)] * _work(node) + turned


def _apart(node: Node) -> float:
    """Lanes are filters there, or channels; input gradients also meet zeros around dy."""
    op, lanes = node.op, target().lanes(node.dtype.itemsize)
    assert isinstance(op, Convolution)
    _, channels, filters, _, image, places = _sizes(node)
    if not isinstance(op, Conv2dInputGradient):
        return _work(node) * (-(-filters // lanes) * lanes / filters)
    zeros = max(1.0, prod(image) / (prod(places) * prod(op.stride)))
    zeros = min(zeros, _SCATTERED) if channels <= lanes else zeros
    return _work(node) * zeros * (-(-channels // lanes) * lanes / channels)


def parts_of(rows: int) -> int:
    """In how many equal parts the rows of a result are gone through by a filter gradient."""
    return max(d for d in range(1, min(rows, _PARTS[1]) + 1) if rows % d == 0)
