"""Losses as modules, each the function of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.arguments import flag, fraction, integer, number, one_of, refuse
from graphnet.nn.module import Module
from graphnet.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    multi_margin_loss,
    nll_loss,
    smooth_l1_loss,
)
from graphnet.ops.sources import Parameter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class _Loss(Module):
    """What all losses have: a reduction, "mean", "sum" or "none" (one loss for each element or example)."""

    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")

    def __init__(self, size_average: None = None, reduce: None = None, reduction: str = "mean") -> None:
        super().__init__()
        name = type(self).__name__
        for argument, value in (("size_average", size_average), ("reduce", reduce)):
            refuse(name, argument, value, None, "it is deprecated; use reduction")
        self.reduction = one_of(name, "reduction", reduction, self.reductions)


class _WeightedLoss(_Loss):
    """A loss with factors, kept as a buffer: one a class, or what the loss says."""

    weight: Parameter | None

    def __init__(
        self, weight: ArrayLike | None = None, size_average: None = None, reduce: None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_WeightedLoss):
    """-log softmax(input)[target]: input (N, classes, ...), target (N, ...) class numbers, or probabilities.

    weight: one factor a class, kept as a buffer.
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = integer("CrossEntropyLoss", "ignore_index", ignore_index)
        self.label_smoothing = fraction("CrossEntropyLoss", "label_smoothing", label_smoothing)

    def forward(self, input: Node, target: Node) -> Node:
        return cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(_WeightedLoss):
    """-input[target], for log probabilities: `CrossEntropyLoss` after `LogSoftmax`."""

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = integer("NLLLoss", "ignore_index", ignore_index)

    def forward(self, input: Node, target: Node) -> Node:
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class BCELoss(_WeightedLoss):
    """-(t * log(p) + (1 - t) * log(1 - p)) for probabilities p = input; logarithms are at least -100.

    `BCEWithLogitsLoss` is exact where this one, after a sigmoid, has rounded to 0 or 1.
    """

    def forward(self, input: Node, target: Node) -> Node:
        return binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """-(pos_weight * t * log(sigmoid(x)) + (1 - t) * log(1 - sigmoid(x))), times weight, without overflow."""

    pos_weight: Parameter | None

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Node, target: Node) -> Node:
        return binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class KLDivLoss(_Loss):
    """t * (log(t) - input), input being log probabilities; log_target: the target too is a logarithm.

    reduction "batchmean", the sum over the batch size, is the divergence itself; "mean" is over all elements.
    """

    reductions = ("mean", "sum", "none", "batchmean")

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean", log_target: bool = False
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = flag("KLDivLoss", "log_target", log_target)

    def forward(self, input: Node, target: Node) -> Node:
        return kl_div(input, target, self.reduction, self.log_target)


class MSELoss(_Loss):
    """(input - target)**2."""

    def forward(self, input: Node, target: Node) -> Node:
        return mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """|input - target|."""

    def forward(self, input: Node, target: Node) -> Node:
        return l1_loss(input, target, self.reduction)


class HuberLoss(_Loss):
    """d**2 / 2 where |d| < delta, else delta * (|d| - delta / 2), for d = input - target. Huber, 1964."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = number("HuberLoss", "delta", delta)
        if self.delta <= 0:
            raise ArgumentError(f"HuberLoss: delta must be positive, got {delta!r}")

    def forward(self, input: Node, target: Node) -> Node:
        return huber_loss(input, target, self.reduction, self.delta)


class SmoothL1Loss(_Loss):
    """d**2 / (2 * beta) where |d| < beta, else |d| - beta / 2, for d = input - target."""

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean", beta: float = 1.0
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = number("SmoothL1Loss", "beta", beta, least=0)

    def forward(self, input: Node, target: Node) -> Node:
        return smooth_l1_loss(input, target, self.reduction, self.beta)


class MultiMarginLoss(_WeightedLoss):
    """The multi-class hinge: sum over i != y of max(0, margin - x[y] + x[i])**p / classes, p being 1 or 2."""

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: ArrayLike | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ArgumentError(f"MultiMarginLoss: p must be 1 or 2, got {p!r}")
        self.p, self.margin = int(p), number("MultiMarginLoss", "margin", margin)

    def forward(self, input: Node, target: Node) -> Node:
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, self.reduction)
