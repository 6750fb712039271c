"""Ops that only the native backend has, made by its rules. Images lie with their batch innermost: (C, H, W, N)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from graphnet.errors import GradientError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.windows import Pair


class Direct(Op):
    """A convolution, or its gradient by the weight, without columns in memory. Its image is padded already."""

    stride: Pair
    dilation: Pair
    layout_free: ClassVar[bool] = False

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        raise GradientError(f"{self.name} is made after differentiation")

    def _seen(
        self, x: np.ndarray, kernel: Sequence[int], counts: Sequence[int]
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """For each position of the kernel, what the windows see there: (C, rows, columns, N)."""
        for i, j in np.ndindex(*kernel):
            row, column = i * self.dilation[0], j * self.dilation[1]
            rows = slice(row, row + (counts[0] - 1) * self.stride[0] + 1, self.stride[0])
            columns = slice(column, column + (counts[1] - 1) * self.stride[1] + 1, self.stride[1])
            yield i, j, x[:, rows, columns]


class DirectConvolution(Direct):
    """y[o, h, w, n] = sum over c, i, j of x[c, h * stride + i * dilation, ..., n] * weight[o, c, i, j]."""

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        _, *sizes, batch = x.static_shape
        spans = [d * (k - 1) for d, k in zip(self.dilation, w.static_shape[2:], strict=True)]
        counts = [(size - span - 1) // s + 1 for size, span, s in zip(sizes, spans, self.stride, strict=True)]
        return x.with_shape((w.shape[0], *counts, batch))

    def compute(self, out: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        out[...] = 0
        for i, j, seen in self._seen(x, w.shape[2:], out.shape[1:3]):
            out += np.tensordot(w[:, :, i, j], seen, 1)


class DirectFilterGradient(Direct):
    """dweight[o, c, i, j] = sum over h, w, n of dy[o, h, w, n] * x[c, h * stride + i * dilation, ..., n]."""

    kernel: Pair

    def infer(self, x: TensorType, dy: TensorType) -> TensorType:
        return x.with_shape((dy.shape[0], x.shape[0], *self.kernel))

    def compute(self, out: np.ndarray, x: np.ndarray, dy: np.ndarray) -> None:
        """For checking: a product for each position of the kernel, in memory of its own."""
        for i, j, seen in self._seen(x, self.kernel, dy.shape[1:3]):
            out[:, :, i, j] = np.tensordot(dy, seen, axes=([1, 2, 3], [1, 2, 3]))
