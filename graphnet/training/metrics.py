"""Measures of predictions as graph: exact over any batches, because sums and counts are added up, not means.

A metric is called on a model's outputs and the targets and gives one batch's measure as a node; a `Trainer` adds up
what its `sums` give over all batches, and divides once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.ops.comparison import equal, keep, less, less_equal, logical_and, logical_not, not_equal
from graphnet.ops.indexing import gather, index_add, one_hot
from graphnet.ops.layout import expand_dims
from graphnet.ops.losses import cross_entropy
from graphnet.ops.reductions import argmax
from graphnet.ops.shaping import cast, reshape
from graphnet.ops.shaping import sum as sum_of
from graphnet.ops.sources import constant
from graphnet.ops.unary import exp


class Metric(ABC):
    """A measure over many batches. A subclass says `sums` and `result`, and calling it gives a node for one batch."""

    @abstractmethod
    def sums(self, outputs: Node, targets: Node) -> tuple[Node, ...]:
        """What is added up over the batches: nodes whose shapes do not depend on the batch."""

    @abstractmethod
    def result(self, *sums: np.ndarray) -> float | np.ndarray:
        """What it comes to, given the totals: a number, or an array where it is no scalar measure."""

    @abstractmethod
    def __call__(self, outputs: Node, targets: Node) -> Node:
        """The measure of one batch."""


class _Labelled(Metric):
    """A metric of scores (N, classes, ...) and integer labels (N, ...): targets of `ignore_index` do not count."""

    def __init__(self, ignore_index: int = -100) -> None:
        self.ignore_index = _integer(self._name, "ignore_index", ignore_index)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{self._name}({given})"

    def _counted(self, outputs: Node, targets: Node) -> Node:
        """Which targets count; checks the shapes."""
        fits = isinstance(outputs, Node) and isinstance(targets, Node) and outputs.ndim >= 2
        if not (fits and targets.type.is_integer and (outputs.shape[0], *outputs.shape[2:]) == targets.shape):
            shown = [value.type if isinstance(value, Node) else type(value).__name__ for value in (outputs, targets)]
            wanted = "outputs (N, classes, ...) and integer targets (N, ...)"
            raise ShapeError(f"{self._name}: expected {wanted}, got {shown[0]} and {shown[1]}")
        return not_equal(cast(targets, "int64"), self.ignore_index)

    def _classes(self, outputs: Node) -> int:
        classes = outputs.shape[1]
        if not isinstance(classes, int):
            raise ShapeError(f"{self._name}: the number of classes must be known, got outputs {outputs.type}")
        return classes


class _Share(_Labelled):
    """The share of the targets that count for which something holds."""

    @abstractmethod
    def _holds(self, outputs: Node, labels: Node) -> Node:
        """For which of the labels (int64, those that do not count being 0) it holds."""

    def sums(self, outputs: Node, targets: Node) -> tuple[Node, Node]:
        counted = self._counted(outputs, targets)
        holds = self._holds(outputs, keep(counted, cast(targets, "int64")))
        return sum_of(cast(logical_and(counted, holds), "int64")), sum_of(cast(counted, "int64"))

    def result(self, *sums: np.ndarray) -> float:
        return _quotient(*sums)

    def __call__(self, outputs: Node, targets: Node) -> Node:
        hits, count = self.sums(outputs, targets)
        return cast(hits, "float32") / cast(count, "float32")


class Accuracy(_Share):
    """How often the largest score is at the target; of equal scores the first counts. `accuracy` is one of these.

    outputs: scores (N, classes, ...); targets: integers (N, ...), of which `ignore_index` is left out.
    """

    def _holds(self, outputs: Node, labels: Node) -> Node:
        return equal(argmax(outputs, axis=1), labels)


class TopK(_Share):
    """How often the target is among the k largest scores, as in `torch.topk`.

    Of equal scores the class with the lower number comes first (where torch says nothing), so that k=1 is `Accuracy`;
    a score that is NaN counts as larger than all others, but a target whose own score is NaN is never found.
    Raises `ArgumentError` where k is more than the classes.
    """

    def __init__(self, k: int = 5, ignore_index: int = -100) -> None:
        super().__init__(ignore_index)
        self.k = _integer(self._name, "k", k, 1)

    def _holds(self, outputs: Node, labels: Node) -> Node:
        classes = self._classes(outputs)
        if self.k > classes:
            raise ArgumentError(f"TopK: k is {self.k}, but the model gives scores of {classes} classes")
        at = expand_dims(labels, 1)
        own = gather(outputs, 1, at)
        numbers = constant(np.arange(classes).reshape(1, -1, *[1] * (outputs.ndim - 2)), "int64")
        ahead = cast(logical_not(less_equal(outputs, own)), "int64")
        ties = cast(logical_and(equal(outputs, own), less(numbers, at)), "int64")
        return less(sum_of(ahead, axis=1) + sum_of(ties, axis=1), self.k)


class Perplexity(_Labelled):
    """exp of the mean cross-entropy over all targets that count: how many equally likely tokens it is like."""

    def sums(self, outputs: Node, targets: Node) -> tuple[Node, Node]:
        counted = self._counted(outputs, targets)
        losses = cross_entropy(outputs, targets, ignore_index=self.ignore_index, reduction="none")
        return sum_of(cast(losses, "float64")), sum_of(cast(counted, "int64"))

    def result(self, *sums: np.ndarray) -> float:
        with np.errstate(over="ignore"):
            return float(np.exp(_quotient(*sums)))

    def __call__(self, outputs: Node, targets: Node) -> Node:
        total, count = self.sums(outputs, targets)
        return exp(total / cast(count, "float64"))


class ConfusionMatrix(_Labelled):
    """How many targets of each class (rows) were predicted as each class (columns): (classes, classes), int64.

    As `sklearn.metrics.confusion_matrix`. No scalar, so a `Trainer` keeps it out of its history: it is in what
    `evaluate` gives, and after each epoch in `trainer.measured`. `draw_confusion` makes a picture of it.
    Raises `DataError`, when run, for a target outside [0, classes) that is not `ignore_index`.
    """

    def sums(self, outputs: Node, targets: Node) -> tuple[Node]:
        counted = self._counted(outputs, targets)
        classes = self._classes(outputs)
        predicted = reshape(argmax(outputs, axis=1), (-1,))
        labels = reshape(keep(counted, cast(targets, "int64")), (-1,))
        ones = cast(reshape(counted, (-1, 1)), "int64")
        empty = constant(np.zeros((classes, classes), np.int64))
        return (index_add(empty, 0, labels, one_hot(predicted, classes, "int64") * ones),)

    def result(self, *sums: np.ndarray) -> np.ndarray:
        return sums[0]

    def __call__(self, outputs: Node, targets: Node) -> Node:
        return self.sums(outputs, targets)[0]


def _quotient(total: np.ndarray, count: np.ndarray) -> float:
    """The mean; NaN of nothing."""
    return float(total) / int(count) if count else math.nan


def _integer(name: str, argument: str, value: object, least: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or (least is not None and value < least):
        wanted = "an integer" if least is None else f"an integer >= {least}"
        raise ArgumentError(f"{name}: {argument} must be {wanted}, got {value!r}")
    return int(value)


accuracy = Accuracy()
"""The share of rows whose largest output is at the target; outputs (N, classes, ...), targets (N, ...) integers."""

perplexity = Perplexity()
"""exp of the mean cross-entropy; outputs (N, classes, ...), targets (N, ...) integers."""
