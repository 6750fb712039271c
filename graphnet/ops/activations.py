"""Activation functions, each elementwise and stable over the whole range of its argument."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.comparison import as_bits, clip, greater, minimum, where
from graphnet.ops.elementwise import elementwise_type, float_operands
from graphnet.ops.shaping import operands
from graphnet.ops.sources import NodeLike
from graphnet.ops.unary import erf_into, exp, square, tanh


class Activation(Op):
    """An elementwise op on floats."""

    inplace: ClassVar[tuple[int, ...]] = (0,)
    layout_free: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        return elementwise_type("f", x)


class Relu(Op):
    """max(x, 0). The gradient at 0 is 0."""

    inplace: ClassVar[tuple[int, ...]] = (0,)
    layout_free: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        return elementwise_type("fiu", x)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        # The result says as much as the argument, and so the argument's bytes can be given to the result.
        return [ReluGradient()(node, dy)]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        if out.dtype.kind == "f":
            x.clip(0, np.inf, out)  # NumPy's maximum of an array and a number takes three times as long
        else:
            np.maximum(x, 0, out=out)


class ReluGradient(Op):
    """dy where y = relu(x) is positive or NaN, else 0.

    A boolean times the bits of dy, as integers: fastest of a dozen ways measured, and 0 * inf does not come up.
    """

    inplace: ClassVar[tuple[int, ...]] = (0, 1)
    layout_free: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    def infer(self, y: TensorType, dy: TensorType) -> TensorType:
        return elementwise_type("f", y, dy)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None, ReluGradient()(node.inputs[0], dy)]

    def workspace(self, y: TensorType, dy: TensorType) -> tuple[TensorType, ...]:
        return (y.with_dtype("bool"),)

    def compute(self, out: np.ndarray, y: np.ndarray, dy: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        (mask,) = work
        np.less_equal(y, 0, mask)
        np.logical_not(mask, mask)
        np.multiply(mask.view(np.uint8), as_bits(dy), as_bits(out))


class LeakyRelu(Activation):
    """x where x > 0, else slope * x."""

    slope: float

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [where(greater(node.inputs[0], 0), dy, dy * self.slope)]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x,)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        np.multiply(x, self.slope, work[0])
        # Of x and slope * x, the larger is right on both sides of 0 where the slope is at most 1, else the smaller.
        (np.maximum if self.slope <= 1 else np.minimum)(x, work[0], out=out)


class Elu(Activation):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    alpha: float

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [dy * where(greater(x, 0), 1, exp(minimum(x, 0)) * self.alpha)]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x,)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        (below,) = work
        np.minimum(x, 0, out=below)
        np.expm1(below, below)
        np.multiply(below, self.alpha, below)
        np.maximum(x, 0, out=out)
        np.add(out, below, out)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)); where exp overflows, its infinity gives the 0 that is right."""

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy * (node * (1 - node))]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.negative(x, out)
        np.exp(out, out)
        np.add(out, 1, out)
        np.reciprocal(out, out)


class LogSigmoid(Activation):
    """log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|))."""

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy * sigmoid(-node.inputs[0])]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x,)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        (tail,) = work
        _log1p_exp_of_minus_magnitude(x, tail)
        np.minimum(x, 0, out=out)
        np.subtract(out, tail, out)


class Softplus(Activation):
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold, as in torch."""

    beta: float
    threshold: float
    inplace: ClassVar[tuple[int, ...]] = ()

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        scaled = node.inputs[0] * self.beta
        return [dy * where(greater(scaled, self.threshold), 1, sigmoid(scaled))]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x, x.with_dtype("bool"))

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        scaled, linear = work
        np.multiply(x, self.beta, scaled)
        np.greater(scaled, self.threshold, linear)
        _log1p_exp_of_minus_magnitude(scaled, out)
        np.maximum(scaled, 0, out=scaled)
        np.add(out, scaled, out)
        np.divide(out, self.beta, out)
        np.copyto(out, x, where=linear)


class Silu(Activation):
    """x * sigmoid(x)."""

    inplace: ClassVar[tuple[int, ...]] = ()

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        gate = sigmoid(x)
        return [dy * (gate * (x * (1 - gate) + 1))]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.negative(x, out)
        np.exp(out, out)
        np.add(out, 1, out)
        np.divide(x, out, out)


_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)
GELU_IS_LINEAR = 20.0
"""Where tanh and erf are 1 to the last bit of a float64, and still nothing overflows."""


def _twice_phi_into(x: np.ndarray, out: np.ndarray, work: tuple[np.ndarray, ...]) -> None:
    """out = 1 + erf(x / sqrt(2)), twice the normal distribution."""
    np.multiply(x, math.sqrt(0.5), out)
    erf_into(out, out, work)
    np.add(out, 1, out)


class Gelu(Activation):
    """x * Phi(x) = x / 2 * (1 + erf(x / sqrt(2))), with Phi the normal distribution.

    D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units (GELUs)", 2016.
    """

    inplace: ClassVar[tuple[int, ...]] = ()

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy * GeluSlope()(*node.inputs)]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x, x, x)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        _twice_phi_into(x, out, work)
        np.multiply(out, x, out)
        np.multiply(out, 0.5, out)


class GeluSlope(Activation):
    """The derivative of x * Phi(x): Phi(x) + x * phi(x), with phi = Phi' the density of the normal distribution."""

    inplace: ClassVar[tuple[int, ...]] = ()

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        squared = square(clip(node.inputs[0], -GELU_IS_LINEAR, GELU_IS_LINEAR))  # beyond, 0 times infinity would be NaN
        return [dy * (exp(squared * -0.5) * (2 - squared) * _DENSITY_AT_0)]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x, x, x)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        _twice_phi_into(x, out, work)
        np.multiply(out, 0.5, out)
        near, density, _ = work
        np.clip(x, -GELU_IS_LINEAR, GELU_IS_LINEAR, out=near)
        np.square(near, density)
        np.multiply(density, -0.5, density)
        np.exp(density, density)
        np.multiply(density, _DENSITY_AT_0, density)
        np.multiply(density, near, density)
        np.add(out, density, out)


class GeluTanh(Activation):
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), the approximation given in the paper on `Gelu`."""

    inplace: ClassVar[tuple[int, ...]] = ()

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy * GeluTanhSlope()(*node.inputs)]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.square(x, out)
        np.multiply(out, _ROOT_2_OVER_PI * _CUBIC, out)
        np.add(out, _ROOT_2_OVER_PI, out)
        np.multiply(out, x, out)
        np.tanh(out, out)
        np.add(out, 1, out)
        np.multiply(out, x, out)
        np.multiply(out, 0.5, out)


class GeluTanhSlope(Activation):
    """The derivative of `GeluTanh`: (1 + t) / 2 + x / 2 * (1 - t^2) * u', with t = tanh(u), u = a * (x + b x^3)."""

    inplace: ClassVar[tuple[int, ...]] = ()

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x = clip(node.inputs[0], -GELU_IS_LINEAR, GELU_IS_LINEAR)
        bent = tanh(x * (square(x) * (_ROOT_2_OVER_PI * _CUBIC) + _ROOT_2_OVER_PI))
        slope = square(x) * (3 * _ROOT_2_OVER_PI * _CUBIC) + _ROOT_2_OVER_PI
        more = square(x) * (3 * _ROOT_2_OVER_PI * _CUBIC) - x * bent * square(slope)
        return [dy * ((1 - square(bent)) * (slope + more))]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x, x)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        near, slope = work
        np.clip(x, -GELU_IS_LINEAR, GELU_IS_LINEAR, out=near)
        np.square(near, out)
        np.multiply(out, 3 * _ROOT_2_OVER_PI * _CUBIC, slope)
        np.add(slope, _ROOT_2_OVER_PI, slope)
        np.multiply(slope, near, slope)
        np.multiply(out, _ROOT_2_OVER_PI * _CUBIC, out)
        np.add(out, _ROOT_2_OVER_PI, out)
        np.multiply(out, near, out)
        np.tanh(out, out)
        np.square(out, near)
        np.subtract(1, near, near)
        np.multiply(near, slope, near)
        np.add(out, 1, out)
        np.add(out, near, out)
        np.multiply(out, 0.5, out)


def _log1p_exp_of_minus_magnitude(x: np.ndarray, out: np.ndarray) -> None:
    """out = log(1 + exp(-|x|)), whose argument never overflows."""
    np.absolute(x, out)
    np.negative(out, out)
    np.exp(out, out)
    np.log1p(out, out)


# -- functions ------------------------------------------------------------------------------------------------------


def relu(x: NodeLike) -> Node:
    """max(x, 0), elementwise. The gradient at 0 is 0."""
    return Relu()(*operands(x))


def leaky_relu(x: NodeLike, negative_slope: float = 0.01) -> Node:
    """x where x > 0, else negative_slope * x, elementwise."""
    return LeakyRelu(float(negative_slope))(*float_operands(x))


def elu(x: NodeLike, alpha: float = 1.0) -> Node:
    """x where x > 0, else alpha * (exp(x) - 1), elementwise."""
    return Elu(float(alpha))(*float_operands(x))


def selu(x: NodeLike) -> Node:
    """elu, scaled so that means and variances settle at 0 and 1.

    G. Klambauer et al., "Self-Normalizing Neural Networks", 2017.
    """
    return elu(x, 1.6732632423543772848170429916717) * 1.0507009873554804934193349852946


def sigmoid(x: NodeLike) -> Node:
    """1 / (1 + exp(-x)), elementwise."""
    return Sigmoid()(*float_operands(x))


def log_sigmoid(x: NodeLike) -> Node:
    """log(sigmoid(x)), elementwise, without overflow."""
    return LogSigmoid()(*float_operands(x))


def softplus(x: NodeLike, beta: float = 1.0, threshold: float = 20.0) -> Node:
    """log(1 + exp(beta * x)) / beta, elementwise, and x itself where beta * x > threshold."""
    if not beta > 0:
        raise ArgumentError(f"softplus: expected beta > 0, got {beta!r}")
    return Softplus(float(beta), float(threshold))(*float_operands(x))


def silu(x: NodeLike) -> Node:
    """x * sigmoid(x), elementwise (also known as swish)."""
    return Silu()(*float_operands(x))


def gelu(x: NodeLike, approximate: str = "none") -> Node:
    """x * Phi(x), elementwise, Phi being the normal distribution: exact ("none"), or by a "tanh" that is faster."""
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: expected approximate='none' or 'tanh', got {approximate!r}")
    return (Gelu() if approximate == "none" else GeluTanh())(*float_operands(x))
