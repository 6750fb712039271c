"""Losses as modules, each the function of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.arguments import refuse
from graphnet.nn.module import Module
from graphnet.ops.losses import cross_entropy, mse_loss
from graphnet.ops.sources import Parameter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_REDUCTIONS = ("mean", "sum", "none")


class CrossEntropyLoss(Module):
    """-log softmax(input)[target]: input (N, classes, ...), target (N, ...) class numbers, or probabilities.

    weight: one factor a class, kept as a buffer.
    """

    weight: Parameter | None

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        for argument, value in (("size_average", size_average), ("reduce", reduce)):
            refuse("CrossEntropyLoss", argument, value, None, "it is deprecated; use reduction")
        self.register_buffer("weight", weight)
        self.reduction = _checked_reduction("CrossEntropyLoss", reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Node, target: Node) -> Node:
        return cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class MSELoss(Module):
    """(input - target)**2."""

    def __init__(self, size_average: None = None, reduce: None = None, reduction: str = "mean") -> None:
        super().__init__()
        for argument, value in (("size_average", size_average), ("reduce", reduce)):
            refuse("MSELoss", argument, value, None, "it is deprecated; use reduction")
        self.reduction = _checked_reduction("MSELoss", reduction)

    def forward(self, input: Node, target: Node) -> Node:
        return mse_loss(input, target, reduction=self.reduction)


def _checked_reduction(layer: str, reduction: str) -> str:
    if reduction not in _REDUCTIONS:
        raise ArgumentError(f"{layer}: reduction must be one of {', '.join(_REDUCTIONS)}, got {reduction!r}")
    return reduction
