"""Identities: graph against graph, to the bit where they promise it, and silent where they would be wrong."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.ops.comparison import Maximum, Minimum
from graphnet.ops.evaluate import evaluate
from graphnet.ops.powers import Power
from graphnet.ops.unary import Absolute, Log, Negative
from graphnet.rewrite import algebra
from graphnet.rewrite.driver import rewrite
from graphnet.rewrite.folding import FOLDING
from tests.rewrite.row import Row, assert_same_bits, awkward, check, check_exact, once


def _full(number: float, like: Node, shape: tuple[int, ...] = ()) -> Node:
    return gn.constant(np.full(shape, number, like.dtype))


def _power(number: float, shape: tuple[int, ...] = ()):
    """Power itself: `gn.power` already writes some exponents otherwise."""
    return lambda x: Power()(x, _full(number, x, shape))


EXACT = [
    Row(algebra.multiply_by_one, lambda x: x * 1, lambda x: x, kinds="fiu"),
    Row(algebra.multiply_by_one, lambda x: 1 * x, lambda x: x, kinds="fiu"),
    Row(
        algebra.multiply_by_one,
        lambda x: x * _full(1, x, (2, 3)),
        lambda x: gn.broadcast_to(x, (2, 3)),
        kinds="fi",
        shapes=((3,),),
    ),
    Row(algebra.multiply_by_one, lambda x: x * -1, None),
    Row(algebra.multiply_by_one, lambda x: x * gn.constant(np.array([1.0, 1.0, 2.0])), None),
    Row(algebra.divide_by_one, lambda x: x / 1, lambda x: x),
    Row(algebra.divide_by_one, lambda x: 1 / x, None),
    Row(algebra.add_negative_zero, lambda x: x + -0.0, lambda x: x),
    Row(algebra.add_negative_zero, lambda x: -0.0 + x, lambda x: x),
    Row(algebra.add_negative_zero, lambda x: x + 0.0, None),
    Row(algebra.add_integer_zero, lambda x: x + 0, lambda x: x, kinds="iu"),
    Row(algebra.add_integer_zero, lambda x: 0 + x, lambda x: x, kinds="iu"),
    Row(algebra.add_integer_zero, lambda x: x + 0.0, None),
    Row(algebra.subtract_zero, lambda x: x - 0, lambda x: x, kinds="fiu"),
    Row(algebra.subtract_zero, lambda x: x - -0.0, None),
    Row(algebra.subtract_zero, lambda x: 0 - x, None),
    Row(algebra.multiply_by_minus_one, lambda x: x * -1, lambda x: -x, kinds="fi"),
    Row(algebra.multiply_by_minus_one, lambda x: -1 * x, lambda x: -x, kinds="fi"),
    Row(
        algebra.multiply_by_minus_one,
        lambda x: x * _full(-1, x, (2, 3)),
        lambda x: gn.broadcast_to(-x, (2, 3)),
        shapes=((3,),),
    ),
    Row(algebra.divide_by_power_of_two, lambda x: x / 4, lambda x: x * 0.25),
    Row(algebra.divide_by_power_of_two, lambda x: x / -0.5, lambda x: x * -2),
    Row(algebra.divide_by_power_of_two, lambda x: x / 2.0**100, lambda x: x * 2.0**-100),
    Row(algebra.divide_by_power_of_two, lambda x: x / 2.0**-100, lambda x: x * 2.0**100),
    Row(algebra.divide_by_power_of_two, lambda x: x / 3, None),
    Row(algebra.divide_by_power_of_two, lambda x: x / 0, None),
    Row(algebra.divide_by_power_of_two, lambda x: x / np.inf, None),
    Row(algebra.divide_by_power_of_two, lambda x: x / np.nan, None),
    Row(algebra.divide_by_power_of_two, lambda x: x / 2.0**1023, None),
    Row(algebra.divide_by_power_of_two, lambda x: x / 2.0**-1074, None),
    Row(algebra.power_one, _power(1), lambda x: x),
    Row(algebra.power_one, _power(1, (2, 3)), lambda x: gn.broadcast_to(x, (2, 3)), shapes=((3,),)),
    Row(algebra.power_one, _power(-1), None),
    Row(algebra.power_two, _power(2), lambda x: gn.square(x)),
    Row(algebra.power_two, _power(2, (1, 1)), lambda x: gn.broadcast_to(gn.square(x), (1, 3)), shapes=((3,),)),
    Row(algebra.power_two, _power(2, (2, 3)), None),
    Row(algebra.power_two, _power(3), None),
    Row(algebra.multiply_by_itself, lambda x: x * x, lambda x: gn.square(x), kinds="fiu"),
    Row(algebra.multiply_by_itself, lambda x, y: x * y, None, inputs=2),
    Row(algebra.negate_twice, lambda x: gn.negative(gn.negative(x)), lambda x: x, kinds="fiu"),
    Row(algebra.negate_twice, lambda x: -x, None),
    Row(algebra.add_negated, lambda x, y: x + -y, lambda x, y: x - y, inputs=2, kinds="fiu"),
    Row(algebra.add_negated, lambda x, y: -y + x, lambda x, y: x - y, inputs=2, kinds="fiu"),
    Row(algebra.subtract_negated, lambda x, y: x - -y, lambda x, y: x + y, inputs=2, kinds="fiu"),
    Row(algebra.subtract_negated, lambda x, y: -x - y, None, inputs=2),
    Row(algebra.multiply_negated, lambda x, y: -x * -y, lambda x, y: x * y, inputs=2, kinds="fiu"),
    Row(algebra.multiply_negated, lambda x, y: -x * y, None, inputs=2),
    Row(algebra.square_forgets_sign, lambda x: gn.square(-x), lambda x: gn.square(x), kinds="fiu"),
    Row(algebra.square_forgets_sign, lambda x: gn.square(gn.abs(x)), lambda x: gn.square(x), kinds="fiu"),
    Row(algebra.square_forgets_sign, lambda x: -gn.square(x), None),
    Row(algebra.absolute_forgets_sign, lambda x: gn.abs(-x), lambda x: gn.abs(x), kinds="fi"),
    Row(algebra.absolute_forgets_sign, lambda x: gn.abs(gn.abs(x)), lambda x: gn.abs(x), kinds="fi"),
    Row(algebra.absolute_forgets_sign, lambda x: Absolute()(Negative()(x)), None, kinds="u"),
    Row(algebra.relu_of_relu, lambda x: gn.relu(gn.relu(x)), lambda x: gn.relu(x), kinds="fiu"),
    Row(algebra.relu_of_relu, lambda x: gn.relu(-gn.relu(x)), None),
    Row(algebra.extremum_of_itself, lambda x: Maximum()(x, x), lambda x: x, kinds="fiub"),
    Row(algebra.extremum_of_itself, lambda x: Minimum()(x, x), lambda x: x, kinds="fiub"),
    Row(algebra.extremum_of_itself, lambda x, y: gn.maximum(x, y), None, inputs=2),
    Row(algebra.where_both_alike, lambda x, y: gn.where(y > 0, x, x), lambda x, y: x, inputs=2),
    Row(algebra.where_both_alike, lambda x, y: gn.where(y > 0, x, y), None, inputs=2),
    Row(algebra.not_twice, lambda x: ~~x, lambda x: x, kinds="b"),
]  # fmt: skip

FAST_MATH = [
    Row(algebra.multiply_by_zero, lambda x: x * 0, lambda x: gn.broadcast_to(_full(0, x), (2, 3))),
    Row(algebra.multiply_by_zero, lambda x: x * 1, None),
    Row(algebra.add_zero, lambda x: 0 + x, lambda x: x),
    Row(algebra.add_zero, lambda x: x + 1, None),
    Row(algebra.subtract_itself, lambda x: x - x, lambda x: gn.broadcast_to(_full(0, x), (2, 3))),
    Row(algebra.subtract_itself, lambda x, y: x - y, None, inputs=2),
    Row(algebra.divide_by_itself, lambda x: x / x, lambda x: gn.broadcast_to(_full(1, x), (2, 3))),
    Row(algebra.divide_by_itself, lambda x, y: x / y, None, inputs=2),
    Row(algebra.divide_by_constant, lambda x: x / 3, lambda x: x * (1 / 3)),
    Row(
        algebra.divide_by_constant,
        lambda x: x / gn.broadcast_to(_full(3, x), (2, 3)),
        lambda x: gn.broadcast_to(x * (1 / 3), (2, 3)),
        shapes=((3,),),
    ),
    Row(algebra.divide_by_constant, lambda x: x / 0, None),
    Row(algebra.divide_by_constant, lambda x: x / 5e-324, None),
    Row(
        algebra.multiply_by_two_constants,
        lambda x: 3 * (x * 2),
        lambda x: x * 6,
    ),
    Row(algebra.multiply_by_two_constants, lambda x, y: (x * 2) * y, None, inputs=2),
    Row(algebra.add_two_constants, lambda x: 3 + (x + 2), lambda x: x + 5),
    Row(algebra.add_two_constants, lambda x: (x * 2) + 3, None),
    Row(algebra.log_of_exp, lambda x: gn.log(gn.exp(x)), lambda x: x),
    Row(algebra.log_of_exp, lambda x: gn.log(gn.expm1(x)), None),
    Row(algebra.exp_of_log, lambda x: gn.exp(Log()(x)), lambda x: x),
    Row(algebra.exp_of_log, lambda x: gn.exp(gn.log1p(x)), None),
    Row(algebra.sqrt_of_square, lambda x: gn.sqrt(gn.square(x)), lambda x: gn.abs(x)),
    Row(algebra.sqrt_of_square, lambda x: gn.square(gn.sqrt(x)), None),
    Row(algebra.sum_of_one_number, lambda x: gn.sum(x, 0), lambda x: x.reshape(3), shapes=((1, 3),)),
    Row(algebra.sum_of_one_number, lambda x: gn.sum(x, 0), None),
    Row(algebra.sum_of_one_number, lambda x: gn.sum(x, 0), None, kinds="b", shapes=((1, 3),)),
]

ROWS = [*EXACT, *FAST_MATH]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("row", [row for row in EXACT if row.after or row.kinds == "u"], ids=str)
def test_to_the_bit(row: Row) -> None:
    check_exact(row)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dividing_by_any_power_of_two(dtype: str) -> None:
    """From the smallest subnormal number to the largest power: where the reciprocal is not exact, nothing fires."""
    limits, x = np.finfo(dtype), gn.input("x", (500,), dtype)
    array = awkward(np.random.default_rng(0), (500,), dtype)
    lowest, highest = limits.minexp - 1, limits.maxexp - 2
    for exponent in (limits.minexp - limits.nmant, lowest - 1, lowest, -1, highest, highest + 1):
        before = x / gn.constant(np.ldexp(np.ones((), dtype), exponent))
        after = once(before, algebra.divide_by_power_of_two)
        assert (after is not before) == (lowest <= exponent <= highest)
        assert_same_bits(*evaluate([before, after], {x: array}), f"2**{exponent}")


def test_numbers_that_are_views_come_to_rest() -> None:
    """They are not folded, so that a rule that moves them about would go on for ever."""
    number = gn.broadcast_to(gn.constant(3.0, "float64"), (4, 5))
    for sum_or_product in (number + number * 1 + 2.0 + number, number * (number * number) * 2.0):
        rewrite(Graph((sum_or_product,)), [*algebra.FAST_MATH, *algebra.EXACT, *FOLDING])


def test_long_chains_of_constants_come_to_rest() -> None:
    x = gn.input("x", (3,), "float64")
    y = z = x
    for _ in range(500):
        y, z = y / 3.0 * 2.0, z + 1.0
    for end in (y, z):
        graph = rewrite(Graph((end,)), [*FOLDING, *algebra.FAST_MATH, *algebra.EXACT])
        assert len(graph.nodes) == 3
