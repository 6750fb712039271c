"""Elementwise functions of one operand: signs and rounding, exponentials and logarithms, trigonometry, erf."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.elementwise import Elementwise, elementwise_type, float_operands
from graphnet.ops.sources import NodeLike, as_node


class Unary(Elementwise):
    """An elementwise op on floats whose gradient is dy times its derivative."""

    inplace: ClassVar[tuple[int, ...]] = (0,)

    def derivative(self, x: Node, y: Node) -> Node:
        """dy/dx as a node, given x and y = f(x)."""
        raise TypeError(f"{type(self).__name__} does not say its derivative")

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy * self.derivative(node.inputs[0], node)]


class Flat(Elementwise):
    """An elementwise op that is constant between its jumps: no gradient passes."""

    inplace: ClassVar[tuple[int, ...]] = (0,)
    kinds: ClassVar[str] = "fiu"

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None]


class Negative(Elementwise):
    """-x."""

    ufunc = np.negative
    kinds = "fiu"
    inplace = (0,)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [-dy]


class Absolute(Unary):
    """|x|. The gradient at 0 is 0."""

    ufunc = np.absolute
    kinds = "fiu"

    def derivative(self, x: Node, y: Node) -> Node:
        return sign(x)


class Sign(Flat):
    """-1, 0 or 1; NaN for NaN."""

    ufunc = np.sign


class Floor(Flat):
    """The largest integer that is not above x."""

    ufunc = np.floor


class Ceil(Flat):
    """The smallest integer that is not below x."""

    ufunc = np.ceil


class Round(Flat):
    """The nearest integer, the even one of two."""

    ufunc = np.rint
    kinds = "f"


class Square(Unary):
    """x * x."""

    ufunc = np.square
    kinds = "fiu"

    def derivative(self, x: Node, y: Node) -> Node:
        return x * 2


class Sqrt(Unary):
    """The square root; NaN below 0."""

    ufunc = np.sqrt

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy / (node * 2)]


class Rsqrt(Op):
    """1 / sqrt(x)."""

    inplace: ClassVar[tuple[int, ...]] = (0,)
    layout_free: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        return elementwise_type("f", x)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy * (node * square(node) * -0.5)]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.sqrt(x, out)
        np.reciprocal(out, out)


class Reciprocal(Unary):
    """1 / x."""

    ufunc = np.reciprocal

    def derivative(self, x: Node, y: Node) -> Node:
        return -square(y)


class Exp(Unary):
    """e ** x."""

    ufunc = np.exp

    def derivative(self, x: Node, y: Node) -> Node:
        return y


class Expm1(Unary):
    """e ** x - 1, exact near 0."""

    ufunc = np.expm1

    def derivative(self, x: Node, y: Node) -> Node:
        return y + 1


class Log(Unary):
    """The natural logarithm; -inf at 0, NaN below."""

    ufunc = np.log

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy / node.inputs[0]]


class Log1p(Unary):
    """log(1 + x), exact near 0."""

    ufunc = np.log1p

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy / (node.inputs[0] + 1)]


class Sin(Unary):
    """The sine of x radians."""

    ufunc = np.sin

    def derivative(self, x: Node, y: Node) -> Node:
        return cos(x)


class Cos(Unary):
    """The cosine of x radians."""

    ufunc = np.cos

    def derivative(self, x: Node, y: Node) -> Node:
        return -sin(x)


class Tan(Unary):
    """The tangent of x radians."""

    ufunc = np.tan

    def derivative(self, x: Node, y: Node) -> Node:
        return square(y) + 1


class Tanh(Unary):
    """The hyperbolic tangent."""

    ufunc = np.tanh

    def derivative(self, x: Node, y: Node) -> Node:
        return 1 - square(y)


class Erf(Op):
    """2 / sqrt(pi) times the integral of exp(-t^2) for t from 0 to x, within 5e-16 (float32: 2e-7) relative.

    erf(x) = sign(x) sqrt(1 - exp(-t g(t))) with t = x^2, where g(t) = -log(1 - erf(x)^2) / t is so nearly constant
    that a quotient of two polynomials gives it; tools/fit_functions.py prints the coefficients. The shape of the
    formula is that of S. Winitzki, "A handy approximation for the error function and its inverse", 2008.
    Arguments whose square is below the smallest number give 0.
    """

    inplace: ClassVar[tuple[int, ...]] = (0,)
    layout_free: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        return elementwise_type("f", x)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy * (exp(-square(node.inputs[0])) * (2 / math.sqrt(math.pi)))]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x, x, x)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        erf_into(out, x, work)


_ERF_NUMERATOR = {
    "float64": (
        1.2732395447351628, 0.5424204428352328, 0.15950912812376658, 0.029087580755680475, 0.003986794323413637,
        0.0003856362298161741, 2.788791771013989e-05, 1.4233634518838356e-06, 4.6057604902289017e-08,
        5.344517296686102e-10,
    ),
    "float32": (1.2732395452573029, 0.2960419648048484, 0.05001318310884924, 0.002889407846751543),
}  # fmt: skip
_ERF_DENOMINATOR = {
    "float64": (
        1.0, 0.4560629138911078, 0.1363170563941495, 0.025685470389117837, 0.0035680303334746817,
        0.00035312968697968016, 2.5870825591761315e-05, 1.345847115931351e-06, 4.467177784753e-08,
        5.333733388629381e-10,
    ),
    "float32": (1.0, 0.26255796100556383, 0.044502376251910544, 0.0028712919439928316),
}  # fmt: skip
_ERF_IS_ONE = {"float64": 6.0, "float32": 4.1}
"""From here on erf(x) rounds to 1."""


def erf_into(out: np.ndarray, x: np.ndarray, work: tuple[np.ndarray, ...]) -> None:
    """Fill `out`, which may be `x` itself, with erf(x), using three scratch arrays of its type."""
    t, numerator, denominator = work
    limit = _ERF_IS_ONE[out.dtype.name]
    np.minimum(x, limit, out=t)
    np.maximum(t, -limit, out=t)
    np.copyto(out, t)  # keeps the sign until the end
    np.square(t, t)
    _polynomial_into(numerator, t, _ERF_NUMERATOR[out.dtype.name])
    _polynomial_into(denominator, t, _ERF_DENOMINATOR[out.dtype.name])
    np.divide(numerator, denominator, numerator)
    np.multiply(numerator, t, t)
    np.negative(t, t)
    np.expm1(t, t)
    np.negative(t, t)
    np.sqrt(t, t)
    np.copysign(t, out, out)


def _polynomial_into(out: np.ndarray, t: np.ndarray, coefficients: tuple[float, ...]) -> None:
    """Horner's rule, the constant coefficient first."""
    *rest, last = coefficients
    np.multiply(t, last, out)
    for coefficient in reversed(rest[1:]):
        np.add(out, coefficient, out)
        np.multiply(out, t, out)
    np.add(out, rest[0], out)


# -- functions ------------------------------------------------------------------------------------------------------


def negative(x: NodeLike) -> Node:
    """-x, elementwise."""
    return Negative()(as_node(x))


def abs(x: NodeLike) -> Node:
    """|x|, elementwise. The gradient at 0 is 0."""
    return Absolute()(as_node(x))


def sign(x: NodeLike) -> Node:
    """-1, 0 or 1, elementwise; NaN for NaN. No gradient."""
    return Sign()(as_node(x))


def floor(x: NodeLike) -> Node:
    """The largest integer that is not above x, in x's dtype. No gradient."""
    return _rounded(Floor(), x)


def ceil(x: NodeLike) -> Node:
    """The smallest integer that is not below x, in x's dtype. No gradient."""
    return _rounded(Ceil(), x)


def round(x: NodeLike) -> Node:
    """The nearest integer, the even one of two, in x's dtype. No gradient."""
    return _rounded(Round(), x)


def square(x: NodeLike) -> Node:
    """x * x, elementwise."""
    return Square()(as_node(x))


def sqrt(x: NodeLike) -> Node:
    """The square root, elementwise; NaN below 0."""
    return Sqrt()(*float_operands(x))


def rsqrt(x: NodeLike) -> Node:
    """1 / sqrt(x), elementwise."""
    return Rsqrt()(*float_operands(x))


def reciprocal(x: NodeLike) -> Node:
    """1 / x, elementwise."""
    return Reciprocal()(*float_operands(x))


def exp(x: NodeLike) -> Node:
    """e ** x, elementwise."""
    return Exp()(*float_operands(x))


def expm1(x: NodeLike) -> Node:
    """e ** x - 1, elementwise, exact near 0."""
    return Expm1()(*float_operands(x))


def log(x: NodeLike) -> Node:
    """The natural logarithm, elementwise; -inf at 0, NaN below."""
    return Log()(*float_operands(x))


def log1p(x: NodeLike) -> Node:
    """log(1 + x), elementwise, exact near 0."""
    return Log1p()(*float_operands(x))


def sin(x: NodeLike) -> Node:
    """The sine of x radians, elementwise."""
    return Sin()(*float_operands(x))


def cos(x: NodeLike) -> Node:
    """The cosine of x radians, elementwise."""
    return Cos()(*float_operands(x))


def tan(x: NodeLike) -> Node:
    """The tangent of x radians, elementwise."""
    return Tan()(*float_operands(x))


def tanh(x: NodeLike) -> Node:
    """The hyperbolic tangent, elementwise."""
    return Tanh()(*float_operands(x))


def erf(x: NodeLike) -> Node:
    """The error function, elementwise."""
    return Erf()(*float_operands(x))


def _rounded(op: Flat, x: NodeLike) -> Node:
    """Integers are rounded already."""
    node = as_node(x)
    return node if node.type.is_integer else op(node)
