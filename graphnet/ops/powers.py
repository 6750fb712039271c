"""Powers, whose gradients need comparisons and logarithms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphnet.errors import DataError
from graphnet.graph.node import Node
from graphnet.ops.comparison import equal, greater_equal, keep, logical_and, not_equal
from graphnet.ops.elementwise import Elementwise
from graphnet.ops.shaping import operands, sum_to
from graphnet.ops.sources import Constant, NodeLike
from graphnet.ops.unary import log, reciprocal, sqrt, square


class Power(Elementwise):
    """a ** b for floats. The gradient by a is 0 where b is 0, that by b is 0 where a is 0 and b is not negative."""

    ufunc = np.power

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        number = _number(b)
        if number is not None:
            return [sum_to(dy * (power(a, number - 1) * number), a.shape) if number else None, None]
        by_base = keep(not_equal(b, 0), dy * (power(a, b - 1) * b))
        vanishes = logical_and(equal(a, 0), greater_equal(b, 0))
        by_exponent = keep(~vanishes, dy * (node * log(a)))
        return [sum_to(by_base, a.shape), sum_to(by_exponent, b.shape)]


class IntegerPower(Elementwise):
    """a ** b for integers. Raises `DataError` for a negative exponent, which would give a fraction."""

    ufunc = np.power
    kinds = "iu"
    can_fail = True
    checks = (1,)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None, None]

    def checked(self, *inputs: np.ndarray) -> None:
        _, exponent = inputs
        if exponent.size and exponent.min() < 0:
            raise DataError(f"{self.name}: an integer to the negative power {exponent.min()}; use floats")

    def compute(self, out: np.ndarray, *inputs: np.ndarray) -> None:
        self.checked(*inputs)
        base, exponent = inputs
        np.power(base, exponent, out)


def power(a: NodeLike, b: NodeLike) -> Node:
    """a ** b, elementwise. Integers stay integers; a negative exponent among them raises `DataError` when run."""
    base, exponent = operands(a, b)
    if not base.type.is_float:
        return IntegerPower()(base, exponent)
    number = _number(exponent)
    # NumPy's general power takes some twenty times as long as these. For a scalar 0.5 it takes the square root itself,
    # which differs from C's pow at -inf (NaN, not inf) and at -0 (-0, not 0).
    if number == 1:
        return base
    if number == 2:
        return square(base)
    if number == 0.5:
        return sqrt(base)
    return reciprocal(base) if number == -1 else Power()(base, exponent)


def _number(node: Node) -> float | None:
    """The value of a scalar constant."""
    return float(node.op.value) if isinstance(node.op, Constant) and node.shape == () else None
