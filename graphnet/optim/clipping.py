"""Transformations of gradients before the optimizer sees them: functions from gradient nodes to gradient nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.arguments import refuse
from graphnet.ops import reductions
from graphnet.ops.comparison import clip, maximum, minimum
from graphnet.ops.linear import matmul
from graphnet.ops.powers import power
from graphnet.ops.shaping import cast, reshape, sum
from graphnet.ops.sources import constant
from graphnet.ops.unary import abs, sqrt

Transform: TypeAlias = "Callable[[list[Node]], list[Node]]"


def global_norm(gradients: Sequence[Node], norm_type: float = 2.0) -> Node:
    """The norm of all elements together, a float64 scalar: the norm_type-th root of the sum of |g| ** norm_type.

    norm_type is a positive number or inf, for the largest |g|. `torch.nn.utils.get_total_norm`.
    """
    order = _positive("global_norm", "norm_type", norm_type)
    total = constant(0.0, "float64")
    for gradient in gradients:
        if order == math.inf:
            # An empty parameter has no largest element.
            total = maximum(total, cast(reductions.max(abs(gradient)), "float64")) if 0 not in gradient.shape else total
        else:
            total = total + cast(_sum_of_powers(gradient, order), "float64")
    if order in (1.0, math.inf):
        return total
    return sqrt(total) if order == 2.0 else power(total, 1.0 / order)


def clip_grad_norm(
    max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Transform:
    """g * min(1, max_norm / (global_norm + 1e-6)) for every gradient: `torch.nn.utils.clip_grad_norm_`.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    bound = _positive("clip_grad_norm", "max_norm", max_norm)
    order = _positive("clip_grad_norm", "norm_type", norm_type)
    refuse("clip_grad_norm", "error_if_nonfinite", error_if_nonfinite, False, "a norm that is NaN makes gradients NaN")
    refuse("clip_grad_norm", "foreach", foreach, None, "the step is compiled as a whole")

    def transform(gradients: list[Node]) -> list[Node]:
        factor = minimum(bound / (global_norm(gradients, order) + 1e-6), 1.0)
        return [gradient * cast(factor, gradient.dtype) for gradient in gradients]

    return transform


def clip_grad_value(clip_value: float, foreach: bool | None = None) -> Transform:
    """Every element of every gradient clamped to ±clip_value: `torch.nn.utils.clip_grad_value_`."""
    bound = _positive("clip_grad_value", "clip_value", clip_value)
    refuse("clip_grad_value", "foreach", foreach, None, "the step is compiled as a whole")

    def transform(gradients: list[Node]) -> list[Node]:
        return [clip(gradient, -bound, bound) for gradient in gradients]

    return transform


def _sum_of_powers(x: Node, order: float) -> Node:
    if order == 2.0:
        flat = reshape(x, (-1,))
        return matmul(flat, flat)  # one pass, where squares and their sum are two
    return sum(abs(x) if order == 1.0 else power(abs(x), order))


def _positive(name: str, argument: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not value > 0:
        raise ArgumentError(f"{name}: {argument} must be a number > 0, got {value!r}")
    return float(value)
