"""Smooth activations, and those along an axis, as modules."""

from __future__ import annotations

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.graph.types import normalize_axis
from graphnet.nn.arguments import PLANNED, integer, number, one_of, refuse
from graphnet.nn.module import Module
from graphnet.ops.activations import gelu, log_sigmoid, sigmoid, silu, softplus
from graphnet.ops.reductions import log_softmax, softmax
from graphnet.ops.slicing import split
from graphnet.ops.unary import abs as absolute
from graphnet.ops.unary import tanh


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Node) -> Node:
        return sigmoid(x)


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))), without overflow."""

    def forward(self, x: Node) -> Node:
        return log_sigmoid(x)


class Tanh(Module):
    """tanh(x)."""

    def forward(self, x: Node) -> Node:
        return tanh(x)


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, x: Node) -> Node:
        return x - tanh(x)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, x: Node) -> Node:
        return x / (1 + absolute(x))


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta, and x where beta * x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = number("Softplus", "beta", beta), number("Softplus", "threshold", threshold)
        if self.beta <= 0:
            raise ArgumentError(f"Softplus: beta must be positive, got {beta!r}")

    def forward(self, x: Node) -> Node:
        return softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class SiLU(Module):
    """x * sigmoid(x)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        refuse("SiLU", "inplace", inplace, False, PLANNED)

    def forward(self, x: Node) -> Node:
        return silu(x)


class Mish(Module):
    """x * tanh(log(1 + exp(x))). D. Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", 2019."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        refuse("Mish", "inplace", inplace, False, PLANNED)

    def forward(self, x: Node) -> Node:
        return x * tanh(softplus(x))


class GELU(Module):
    """x times the normal distribution function of x; approximate="tanh" for the formula with tanh."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = one_of("GELU", "approximate", approximate, ("none", "tanh"))

    def forward(self, x: Node) -> Node:
        return gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class GLU(Module):
    """a * sigmoid(b), a and b being the halves of x along `dim`. Dauphin et al., 2016."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = integer("GLU", "dim", dim)

    def forward(self, x: Node) -> Node:
        axis = normalize_axis(self.dim, x.ndim)
        if x.shape[axis] % 2 != 0:
            raise ShapeError(f"GLU: axis {axis} must have an even size, got {x.type}")
        value, gate = split(x, 2, axis)
        return value * sigmoid(gate)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class _AlongDim(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        if dim is None:
            raise ArgumentError(
                f"{type(self).__name__}: dim must be an integer, got None (PyTorch's guess for it is deprecated)"
            )
        self.dim = integer(type(self).__name__, "dim", dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """exp(x) / sum(exp(x)) along `dim`, which must be said."""

    def forward(self, x: Node) -> Node:
        return softmax(x, self.dim)


class Softmin(_AlongDim):
    """softmax(-x) along `dim`, which must be said."""

    def forward(self, x: Node) -> Node:
        return softmax(-x, self.dim)


class LogSoftmax(_AlongDim):
    """log(softmax(x)) along `dim`, which must be said."""

    def forward(self, x: Node) -> Node:
        return log_softmax(x, self.dim)


class Softmax2d(Module):
    """The softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, x: Node) -> Node:
        if x.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: expected 3 or 4 dimensions, got {x.type}")
        return softmax(x, -3)
