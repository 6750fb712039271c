"""Softmax and cross-entropy with class labels as one op, whose gradient is softmax minus one-hot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graphnet.errors import DtypeError, ShapeError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.comparison import keep, not_equal
from graphnet.ops.indexing import check_range, flat_places
from graphnet.ops.layout import expand_dims
from graphnet.ops.reductions import softmax
from graphnet.ops.shaping import shape_text
from graphnet.ops.shaping import sum as sum_of


class LabelOp(Op):
    """An op on logits x, (N, C, ...), and int64 labels, (N, ...), that are in [0, C) or `ignore_index`.

    `label_smoothing` e makes a target of 1 - e + e/C for the label and of e/C for each other class.
    """

    ignore_index: int
    label_smoothing: float
    can_fail: ClassVar[bool] = True

    def infer(self, x: TensorType, labels: TensorType) -> TensorType:
        if not x.is_float or labels.dtype != np.dtype("int64"):
            raise DtypeError(f"expected floating-point logits and int64 labels, got {x} and {labels}")
        if x.ndim < 2 or labels.shape != (x.shape[0], *x.shape[2:]):
            shapes = f"{shape_text(x.shape)} and {shape_text(labels.shape)}"
            raise ShapeError(f"expected logits (N, C, ...) and labels (N, ...), got {shapes}")
        return x

    def checked(self, x: np.ndarray, labels: np.ndarray) -> None:
        check_range(labels, x.shape[1], ignore=self.ignore_index, what="label")


class SoftmaxCrossEntropy(LabelOp):
    """For each label l, log(sum(exp(x))) - (1 - e) x[l] - e mean(x) along axis 1; 0 where l is ignored.

    The gradient by x is dy * (softmax(x) - target), and 0 where l is ignored.
    """

    def infer(self, x: TensorType, labels: TensorType) -> TensorType:
        return super().infer(x, labels).with_shape(labels.shape)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, labels = node.inputs
        difference = SoftmaxMinusTarget(self.ignore_index, self.label_smoothing)(x, labels)
        return [expand_dims(dy, 1) * difference, None]

    def workspace(self, x: TensorType, labels: TensorType) -> tuple[TensorType, ...]:
        return (x, _row(x), labels, labels.with_dtype("bool"))

    def compute(self, out: np.ndarray, x: np.ndarray, labels: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        self.checked(x, labels)
        shifted, row, places, ignored = work
        loss = out[:, None]
        np.maximum.reduce(x, axis=1, out=row, keepdims=True, initial=-np.inf)
        np.subtract(x, row, shifted)
        _label_places(places, labels, shifted.shape)
        np.take(shifted.reshape(-1), places, out=out, mode="clip")
        np.multiply(out, self.label_smoothing - 1, out)
        if self.label_smoothing:
            np.add.reduce(shifted, axis=1, out=row, keepdims=True)
            np.multiply(row, self.label_smoothing / x.shape[1], row)
            np.subtract(loss, row, loss)
        np.exp(shifted, shifted)
        np.add.reduce(shifted, axis=1, out=row, keepdims=True)
        np.log(row, row)
        np.add(loss, row, loss)
        np.equal(labels, self.ignore_index, ignored)
        np.copyto(out, 0, where=ignored)


class SoftmaxMinusTarget(LabelOp):
    """softmax(x) - target along axis 1, where the target is the smoothed one-hot vector of the label; 0 where ignored.

    The gradient by x is that of the softmax: p * (dy - sum(p * dy)).
    """

    inplace: ClassVar[tuple[int, ...]] = (0,)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, labels = node.inputs
        dy = keep(expand_dims(not_equal(labels, self.ignore_index), 1), dy)
        p = softmax(x, axis=1)
        return [p * (dy - sum_of(p * dy, axis=1, keepdims=True)), None]

    def workspace(self, x: TensorType, labels: TensorType) -> tuple[TensorType, ...]:
        return (_row(x), labels, labels.with_dtype("bool"))

    def compute(self, out: np.ndarray, x: np.ndarray, labels: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        self.checked(x, labels)
        row, places, ignored = work
        np.maximum.reduce(x, axis=1, out=row, keepdims=True, initial=-np.inf)
        np.subtract(x, row, out)
        np.exp(out, out)
        np.add.reduce(out, axis=1, out=row, keepdims=True)
        np.divide(out, row, out)
        if self.label_smoothing:
            np.subtract(out, self.label_smoothing / x.shape[1], out)
        _label_places(places, labels, out.shape)
        np.subtract.at(out.reshape(-1), places.reshape(-1), out.dtype.type(1 - self.label_smoothing))
        np.equal(labels, self.ignore_index, ignored)
        np.copyto(out, 0, where=ignored[:, None])


def _row(x: TensorType) -> TensorType:
    return x.with_shape((x.shape[0], 1, *x.shape[2:]))


def _label_places(places: np.ndarray, labels: np.ndarray, shape: tuple[int, ...]) -> None:
    """Where the logit of each label is in a row-major array of `shape`; an ignored one gives some place in its row."""
    flat_places(places[:, None], labels[:, None], shape, axis=1)
