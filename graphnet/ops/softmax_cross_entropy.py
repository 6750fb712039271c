"""Softmax and cross-entropy with class labels as one op, whose gradient is softmax minus one-hot."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from graphnet.errors import DtypeError, ShapeError
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.ops.comparison import keep, not_equal
from graphnet.ops.indexing import check_range, finding_places
from graphnet.ops.layout import expand_dims
from graphnet.ops.reductions import softmax
from graphnet.ops.shaping import shape_text
from graphnet.ops.shaping import sum as sum_of
from graphnet.ops.unrolled import Call, Unrolled


class LabelOp(Unrolled):
    """An op on logits x, (N, C, ...), and int64 labels, (N, ...), that are in [0, C) or `ignore_index`.

    `label_smoothing` e makes a target of 1 - e + e/C for the label and of e/C for each other class.
    """

    ignore_index: int
    label_smoothing: float
    can_fail: ClassVar[bool] = True
    checks: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, x: TensorType, labels: TensorType) -> TensorType:
        if not x.is_float or labels.dtype != np.dtype("int64"):
            raise DtypeError(f"expected floating-point logits and int64 labels, got {x} and {labels}")
        if x.ndim < 2 or labels.shape != (x.shape[0], *x.shape[2:]):
            shapes = f"{shape_text(x.shape)} and {shape_text(labels.shape)}"
            raise ShapeError(f"expected logits (N, C, ...) and labels (N, ...), got {shapes}")
        return x

    def checked(self, *inputs: np.ndarray) -> None:
        x, labels = inputs
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
        # The mean over no labels at all divides by 0: what comes back from there is not for those that are ignored.
        counted = keep(not_equal(labels, self.ignore_index), dy)
        return [expand_dims(counted, 1) * difference, None]

    def workspace(self, x: TensorType, labels: TensorType) -> tuple[TensorType, ...]:
        return (x, _row(x), labels, labels.with_dtype("bool"))

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        x, labels = inputs
        shifted, row, places, ignored = work
        loss = out[:, None]
        smoothed: list[Call] = [
            partial(np.add.reduce, shifted, axis=1, out=row, keepdims=True),
            partial(np.multiply, row, self.label_smoothing / x.shape[1], out=row),
            partial(np.subtract, loss, row, out=loss),
        ]
        return [
            partial(self.checked, x, labels),
            partial(np.maximum.reduce, x, axis=1, out=row, keepdims=True, initial=-np.inf),
            partial(np.subtract, x, row, out=shifted),
            *_finding_labels(places, labels, shifted.shape),
            partial(shifted.reshape(-1).take, places, out=out, mode="clip"),
            partial(np.multiply, out, self.label_smoothing - 1, out=out),
            *(smoothed if self.label_smoothing else ()),
            partial(np.exp, shifted, out=shifted),
            partial(np.add.reduce, shifted, axis=1, out=row, keepdims=True),
            partial(np.log, row, out=row),
            partial(np.add, loss, row, out=loss),
            partial(np.equal, labels, self.ignore_index, out=ignored),
            partial(np.copyto, out, 0, where=ignored),
        ]


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

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        x, labels = inputs
        row, places, ignored = work
        smoothing = partial(np.subtract, out, self.label_smoothing / x.shape[1], out=out)
        target = out.dtype.type(1 - self.label_smoothing)
        return [
            partial(self.checked, x, labels),
            partial(np.maximum.reduce, x, axis=1, out=row, keepdims=True, initial=-np.inf),
            partial(np.subtract, x, row, out=out),
            partial(np.exp, out, out=out),
            partial(np.add.reduce, out, axis=1, out=row, keepdims=True),
            partial(np.divide, out, row, out=out),
            *((smoothing,) if self.label_smoothing else ()),
            *_finding_labels(places, labels, out.shape),
            partial(np.subtract.at, np.reshape(out, -1, copy=False), places.reshape(-1), target),
            partial(np.equal, labels, self.ignore_index, out=ignored),
            partial(np.copyto, out, 0, where=ignored[:, None]),
        ]


def _row(x: TensorType) -> TensorType:
    return x.with_shape((x.shape[0], 1, *x.shape[2:]))


def _finding_labels(places: np.ndarray, labels: np.ndarray, shape: tuple[int, ...]) -> list[Call]:
    """Where the logit of each label is in a row-major array of `shape`; an ignored one gives some place in its row."""
    return finding_places(places[:, None], labels[:, None], shape, axis=1)
