"""Activations as modules, each the function of the same name."""

from __future__ import annotations

import numpy as np

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike
from graphnet.nn.arguments import PLANNED, float_dtype, number, positive, refuse
from graphnet.nn.module import Module
from graphnet.ops import activations, reductions, unary
from graphnet.ops.comparison import greater, where
from graphnet.ops.shaping import reshape
from graphnet.ops.sources import Parameter, parameter


class ReLU(Module):
    """max(x, 0)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        refuse("ReLU", "inplace", inplace, False, PLANNED)

    def forward(self, x: Node) -> Node:
        return activations.relu(x)


class LeakyReLU(Module):
    """x where x > 0, negative_slope * x elsewhere."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        refuse("LeakyReLU", "inplace", inplace, False, PLANNED)
        self.negative_slope = negative_slope

    def forward(self, x: Node) -> Node:
        return activations.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


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
        slope = reshape(self.weight, (self.num_parameters, *[1] * (x.ndim - 2)))
        return where(greater(x, 0), x, x * (reshape(slope, ()) if x.ndim == 0 else slope))

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class ELU(Module):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        refuse("ELU", "inplace", inplace, False, PLANNED)
        self.alpha = alpha

    def forward(self, x: Node) -> Node:
        return activations.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class SELU(Module):
    """The scaled ELU that keeps mean 0 and variance 1: Klambauer et al., 2017."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        refuse("SELU", "inplace", inplace, False, PLANNED)

    def forward(self, x: Node) -> Node:
        return activations.selu(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Node) -> Node:
        return activations.sigmoid(x)


class Tanh(Module):
    """tanh(x)."""

    def forward(self, x: Node) -> Node:
        return unary.tanh(x)


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta, and x where beta * x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Node) -> Node:
        return activations.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class SiLU(Module):
    """x * sigmoid(x)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        refuse("SiLU", "inplace", inplace, False, PLANNED)

    def forward(self, x: Node) -> Node:
        return activations.silu(x)


class GELU(Module):
    """x times the normal distribution function of x; approximate="tanh" for the formula with tanh."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ArgumentError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Node) -> Node:
        return activations.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """exp(x) / sum(exp(x)) along `dim`, which must be said."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = _axis("Softmax", dim)

    def forward(self, x: Node) -> Node:
        return reductions.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """log(softmax(x)) along `dim`, which must be said."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = _axis("LogSoftmax", dim)

    def forward(self, x: Node) -> Node:
        return reductions.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def _axis(layer: str, dim: int | None) -> int:
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise ArgumentError(f"{layer}: dim must be an integer, got {dim!r} (PyTorch's guess for None is deprecated)")
    return dim
