"""Transformations of gradients before the optimizer sees them: functions from gradient nodes to gradient nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.ops.comparison import clip, minimum
from graphnet.ops.shaping import cast, sum
from graphnet.ops.sources import constant
from graphnet.ops.unary import sqrt, square

Transform: TypeAlias = "Callable[[list[Node]], list[Node]]"


def global_norm(gradients: Sequence[Node]) -> Node:
    """The square root of the sum of all squares, a float64 scalar."""
    total = constant(0.0, "float64")
    for gradient in gradients:
        total = total + cast(sum(square(gradient)), "float64")
    return sqrt(total)


def clip_grad_norm(max_norm: float) -> Transform:
    """g * min(1, max_norm / (global_norm + 1e-6)) for every gradient: `torch.nn.utils.clip_grad_norm_`.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    _check("clip_grad_norm", "max_norm", max_norm)

    def transform(gradients: list[Node]) -> list[Node]:
        factor = minimum(float(max_norm) / (global_norm(gradients) + 1e-6), 1.0)
        return [gradient * cast(factor, gradient.dtype) for gradient in gradients]

    return transform


def clip_grad_value(clip_value: float) -> Transform:
    """Every element of every gradient clamped to ±clip_value: `torch.nn.utils.clip_grad_value_`."""
    _check("clip_grad_value", "clip_value", clip_value)

    def transform(gradients: list[Node]) -> list[Node]:
        return [clip(gradient, -float(clip_value), float(clip_value)) for gradient in gradients]

    return transform


def _check(name: str, argument: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ArgumentError(f"{name}: {argument} must be a number > 0, got {value!r}")
