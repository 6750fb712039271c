"""Activations made of pieces: ReLU and its kin, and what shrinks or cuts off."""

from __future__ import annotations

import numpy as np

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike
from graphnet.nn.arguments import PLANNED, float_dtype, number, positive, refuse
from graphnet.nn.module import Module
from graphnet.ops.activations import elu, leaky_relu, relu, selu
from graphnet.ops.comparison import clip, greater, keep, less, less_equal, logical_and, logical_not, where
from graphnet.ops.gradient_control import stop_gradient
from graphnet.ops.random import uniform
from graphnet.ops.shaping import reshape
from graphnet.ops.sources import Parameter, parameter
from graphnet.ops.unary import abs as absolute


class _Rectifier(Module):
    """An activation without arguments of its own."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        refuse(type(self).__name__, "inplace", inplace, False, PLANNED)


class ReLU(_Rectifier):
    """max(x, 0)."""

    def forward(self, x: Node) -> Node:
        return relu(x)


class ReLU6(_Rectifier):
    """min(max(x, 0), 6)."""

    def forward(self, x: Node) -> Node:
        return _between(x, 0.0, 6.0)


class SELU(_Rectifier):
    """The scaled ELU that keeps mean 0 and variance 1: Klambauer et al., 2017."""

    def forward(self, x: Node) -> Node:
        return selu(x)


class Hardsigmoid(_Rectifier):
    """min(max(x + 3, 0), 6) / 6: a sigmoid of three straight pieces."""

    def forward(self, x: Node) -> Node:
        return _between(x + 3, 0.0, 6.0) * (1 / 6)


class Hardswish(_Rectifier):
    """x * min(max(x + 3, 0), 6) / 6. Howard et al., "Searching for MobileNetV3", 2019."""

    def forward(self, x: Node) -> Node:
        return x * _between(x + 3, 0.0, 6.0) * (1 / 6)


class LeakyReLU(Module):
    """x where x > 0, negative_slope * x elsewhere."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        refuse("LeakyReLU", "inplace", inplace, False, PLANNED)
        self.negative_slope = number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: Node) -> Node:
        return leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class RReLU(Module):
    """LeakyReLU whose slope is drawn for each element from [lower, upper) in training, and their mean in evaluation.

    B. Xu et al., "Empirical Evaluation of Rectified Activations in Convolutional Network", 2015.
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        refuse("RReLU", "inplace", inplace, False, PLANNED)
        self.lower, self.upper = number("RReLU", "lower", lower), number("RReLU", "upper", upper)
        if self.lower > self.upper:
            raise ArgumentError(f"RReLU: lower={lower!r} must not be above upper={upper!r}")

    def forward(self, x: Node) -> Node:
        if not self.training:
            return leaky_relu(x, (self.lower + self.upper) / 2)
        slope = uniform(x.shape, self.lower, self.upper, x.dtype)
        return where(less(x, 0), x * slope, x)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


class PReLU(Module):
    """x where x > 0, weight * x elsewhere: a slope that is learnt, one for all or one a channel (axis 1).

    K. He et al., "Delving Deep into Rectifiers", 2015.
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: DtypeLike = "float32") -> None:
        super().__init__()
        self.num_parameters = positive("PReLU", "num_parameters", num_parameters)
        self.init = number("PReLU", "init", init)
        self.weight = parameter(np.full(num_parameters, self.init, float_dtype("PReLU", dtype)), "weight")

    def forward(self, x: Node) -> Node:
        channels = x.shape[1] if x.ndim > 1 else 1
        if self.num_parameters not in (1, channels):
            raise ShapeError(f"PReLU: expected {self.num_parameters} channels on axis 1, got {x.type}")
        slope = reshape(self.weight, (self.num_parameters, *[1] * (x.ndim - 2)) if x.ndim else ())
        return where(greater(x, 0), x, x * slope)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class ELU(Module):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere. Clevert et al., 2015."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        refuse("ELU", "inplace", inplace, False, PLANNED)
        self.alpha = number("ELU", "alpha", alpha)

    def forward(self, x: Node) -> Node:
        return elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class CELU(Module):
    """x where x > 0, alpha * (exp(x / alpha) - 1) elsewhere: an ELU of slope 1 on both sides of 0. Barron, 2017."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        refuse("CELU", "inplace", inplace, False, PLANNED)
        self.alpha = number("CELU", "alpha", alpha)
        if self.alpha == 0:
            raise ArgumentError("CELU: alpha must not be 0")

    def forward(self, x: Node) -> Node:
        return where(greater(x, 0), x, elu(x * (1 / self.alpha)) * self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Hardtanh(Module):
    """min(max(x, min_val), max_val)."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: None = None,
        max_value: None = None,
    ) -> None:
        super().__init__()
        refuse("Hardtanh", "inplace", inplace, False, PLANNED)
        refuse("Hardtanh", "min_value", min_value, None, "it is deprecated; use min_val")
        refuse("Hardtanh", "max_value", max_value, None, "it is deprecated; use max_val")
        self.min_val, self.max_val = number("Hardtanh", "min_val", min_val), number("Hardtanh", "max_val", max_val)
        if not self.min_val < self.max_val:
            raise ArgumentError(f"Hardtanh: min_val={min_val!r} must be below max_val={max_val!r}")

    def forward(self, x: Node) -> Node:
        return _between(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Hardshrink(Module):
    """x, but 0 where |x| <= lambd."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = number("Hardshrink", "lambd", lambd, least=0)

    def forward(self, x: Node) -> Node:
        return keep(logical_not(less_equal(absolute(x), self.lambd)), x)  # so that NaN stays

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softshrink(Module):
    """x moved towards 0 by lambd, and 0 where |x| <= lambd."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = number("Softshrink", "lambd", lambd, least=0)

    def forward(self, x: Node) -> Node:
        return x - clip(x, -self.lambd, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Threshold(Module):
    """x where x > threshold, `value` elsewhere."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        refuse("Threshold", "inplace", inplace, False, PLANNED)
        self.threshold = number("Threshold", "threshold", threshold)
        self.value = number("Threshold", "value", value)

    def forward(self, x: Node) -> Node:
        return where(less_equal(x, self.threshold), self.value, x)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


def _between(x: Node, low: float, high: float) -> Node:
    """x with what is beyond a bound replaced by it. Unlike that of `clip`, and as in PyTorch, the gradient on a bound
    is 0."""
    inside = logical_and(greater(x, low), less(x, high))
    return where(inside, x, stop_gradient(clip(x, low, high)))
