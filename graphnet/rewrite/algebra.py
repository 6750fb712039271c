"""Algebraic identities. Those in `EXACT` keep every bit of an IEEE result, NaN, infinity and signed zero included;
those in `FAST_MATH` do not, and fire only where `compile(fast_math=True)` asks for them."""

from __future__ import annotations

import math

import numpy as np

from graphnet.graph.node import Node
from graphnet.ops.activations import Relu
from graphnet.ops.comparison import LogicalNot, Maximum, Minimum, Where
from graphnet.ops.elementwise import Add, Divide, Multiply, Subtract
from graphnet.ops.evaluate import apply_op
from graphnet.ops.powers import Power
from graphnet.ops.shaping import Sum, broadcast_to, reshape
from graphnet.ops.sources import constant
from graphnet.ops.unary import Absolute, Exp, Log, Negative, Sqrt, Square
from graphnet.rewrite.driver import Any, Apply, Number, Rule, number_of, rule

x, y, z = Any("x"), Any("y"), Any("z")


def _shaped(value: Node, like: Node) -> Node:
    """`value` broadcast to the shape of `like`, whose other operand may have been larger."""
    return broadcast_to(value, like.shape)


def _is_normal(number: float, dtype: np.dtype) -> bool:
    """Whether `number` lies in the range in which `dtype` has all its digits."""
    limits = np.finfo(dtype)
    return float(limits.tiny) <= abs(number) <= float(limits.max)


# -- exact -------------------------------------------------------------------------------------------------------------


@rule(Apply(Multiply, x, Number(1), name="node", either_order=True))
def multiply_by_one(x: Node, node: Node) -> Node:
    """x * 1  -->  x"""
    return _shaped(x, node)


@rule(Apply(Divide, x, Number(1), name="node"))
def divide_by_one(x: Node, node: Node) -> Node:
    """x / 1  -->  x"""
    return _shaped(x, node)


@rule(Apply(Add, x, Number(-0.0), name="node", either_order=True))
def add_negative_zero(x: Node, node: Node) -> Node:
    """x + -0.0  -->  x    (x + 0.0 would turn -0.0 into 0.0)"""
    return _shaped(x, node)


@rule(Apply(Add, x, Number(0), name="node", either_order=True))
def add_integer_zero(x: Node, node: Node) -> Node | None:
    """x + 0  -->  x    for integers"""
    return _shaped(x, node) if x.type.is_integer else None


@rule(Apply(Subtract, x, Number(0.0), name="node"))
def subtract_zero(x: Node, node: Node) -> Node:
    """x - 0.0  -->  x"""
    return _shaped(x, node)


@rule(Apply(Multiply, x, Number(-1), name="node", either_order=True))
def multiply_by_minus_one(x: Node, node: Node) -> Node:
    """x * -1  -->  -x"""
    return _shaped(Negative()(x), node)


@rule(Apply(Divide, x, Number(name="c"), name="node"))
def divide_by_power_of_two(x: Node, c: Node, node: Node) -> Node | None:
    """x / 2**k  -->  x * 2**-k"""
    number = number_of(c)
    if not number or not math.isfinite(number) or abs(math.frexp(number)[0]) != 0.5:
        return None
    if not _is_normal(1 / number, x.dtype):
        return None
    return _shaped(Multiply()(x, constant(1 / number, x.dtype)), node)


@rule(Apply(Power, x, Number(1), name="node"))
def power_one(x: Node, node: Node) -> Node:
    """x ** 1  -->  x"""
    return _shaped(x, node)


@rule(Apply(Power, x, Number(2, name="c"), name="node"))
def power_two(x: Node, c: Node, node: Node) -> Node | None:
    """x ** 2  -->  square(x)    where 2 is one number; an array of them goes through pow, which may round once more"""
    return _shaped(Square()(x), node) if c.type.size == 1 else None


@rule(Apply(Multiply, x, x))
def multiply_by_itself(x: Node) -> Node:
    """x * x  -->  square(x)"""
    return Square()(x)


@rule(Apply(Negative, Apply(Negative, x)))
def negate_twice(x: Node) -> Node:
    """-(-x)  -->  x"""
    return x


@rule(Apply(Add, x, Apply(Negative, y), either_order=True))
def add_negated(x: Node, y: Node) -> Node:
    """x + -y  -->  x - y"""
    return Subtract()(x, y)


@rule(Apply(Subtract, x, Apply(Negative, y)))
def subtract_negated(x: Node, y: Node) -> Node:
    """x - -y  -->  x + y"""
    return Add()(x, y)


@rule(Apply(Multiply, Apply(Negative, x), Apply(Negative, y)))
def multiply_negated(x: Node, y: Node) -> Node:
    """-x * -y  -->  x * y"""
    return Multiply()(x, y)


@rule(Apply(Square, Apply((Negative, Absolute), x)))
def square_forgets_sign(x: Node) -> Node:
    """square(-x), square(|x|)  -->  square(x)"""
    return Square()(x)


@rule(Apply(Absolute, Apply((Negative, Absolute), x)))
def absolute_forgets_sign(x: Node) -> Node | None:
    """|-x|, ||x||  -->  |x|    (unsigned, -1 is the largest number)"""
    return None if x.dtype.kind == "u" else Absolute()(x)


@rule(Apply(Relu, Apply(Relu, x, name="inner")))
def relu_of_relu(x: Node, inner: Node) -> Node:
    """relu(relu(x))  -->  relu(x)"""
    return inner


@rule(Apply((Maximum, Minimum), x, x))
def extremum_of_itself(x: Node) -> Node:
    """max(x, x), min(x, x)  -->  x"""
    return x


@rule(Apply(Where, z, x, x, name="node"))
def where_both_alike(x: Node, z: Node, node: Node) -> Node:
    """where(c, x, x)  -->  x"""
    return _shaped(x, node)


@rule(Apply(LogicalNot, Apply(LogicalNot, x)))
def not_twice(x: Node) -> Node:
    """not not x  -->  x"""
    return x


EXACT: list[Rule] = [
    multiply_by_one,
    divide_by_one,
    add_negative_zero,
    add_integer_zero,
    subtract_zero,
    multiply_by_minus_one,
    divide_by_power_of_two,
    power_one,
    power_two,
    multiply_by_itself,
    negate_twice,
    add_negated,
    subtract_negated,
    multiply_negated,
    square_forgets_sign,
    absolute_forgets_sign,
    relu_of_relu,
    extremum_of_itself,
    where_both_alike,
    not_twice,
]


# -- only where asked for ----------------------------------------------------------------------------------------------


@rule(Apply(Multiply, x, Number(0.0), name="node", either_order=True))
def multiply_by_zero(x: Node, node: Node) -> Node:
    """x * 0  -->  0    (wrong for NaN, infinity and the sign of zero)"""
    return _shaped(constant(0, node.dtype), node)


@rule(Apply(Add, x, Number(0.0), name="node", either_order=True))
def add_zero(x: Node, node: Node) -> Node:
    """x + 0.0  -->  x    (wrong for -0.0)"""
    return _shaped(x, node)


@rule(Apply(Subtract, x, x, name="node"))
def subtract_itself(x: Node, node: Node) -> Node:
    """x - x  -->  0    (wrong for NaN and infinity)"""
    return _shaped(constant(0, node.dtype), node)


@rule(Apply(Divide, x, x, name="node"))
def divide_by_itself(x: Node, node: Node) -> Node:
    """x / x  -->  1    (wrong for 0, NaN and infinity)"""
    return _shaped(constant(1, node.dtype), node)


@rule(Apply(Divide, x, Number(name="c"), name="node"))
def divide_by_constant(x: Node, c: Node, node: Node) -> Node | None:
    """x / c  -->  x * (1 / c)    (rounded twice), where 1 / c is neither infinite nor subnormal"""
    number = number_of(c)
    if not number or not math.isfinite(number) or not _is_normal(1 / number, x.dtype):
        return None
    return _shaped(Multiply()(x, constant(1 / number, x.dtype)), node)


def _with_numbers(x: Node, a: Node, b: Node, node: Node) -> Node:
    """x with the two numbers taken together, by the op that `node` applies to each of them."""
    numbers = [np.array(number_of(number), node.dtype) for number in (a, b)]
    return _shaped(node.op(x, constant(apply_op(node.op, *numbers))), node)


_times_number = Apply(Multiply, x, Number(name="a"), either_order=True)
_plus_number = Apply(Add, x, Number(name="a"), either_order=True)


@rule(Apply(Multiply, _times_number, Number(name="b"), name="node", either_order=True))
def multiply_by_two_constants(x: Node, a: Node, b: Node, node: Node) -> Node:
    """(x * a) * b  -->  x * (a * b)    (rounded in another order)"""
    return _with_numbers(x, a, b, node)


@rule(Apply(Add, _plus_number, Number(name="b"), name="node", either_order=True))
def add_two_constants(x: Node, a: Node, b: Node, node: Node) -> Node:
    """(x + a) + b  -->  x + (a + b)    (rounded in another order)"""
    return _with_numbers(x, a, b, node)


@rule(Apply(Log, Apply(Exp, x)))
def log_of_exp(x: Node) -> Node:
    """log(exp(x))  -->  x    (does not overflow)"""
    return x


@rule(Apply(Exp, Apply(Log, x)))
def exp_of_log(x: Node) -> Node:
    """exp(log(x))  -->  x    (wrong below 0)"""
    return x


@rule(Apply(Sqrt, Apply(Square, x)))
def sqrt_of_square(x: Node) -> Node:
    """sqrt(square(x))  -->  |x|    (does not overflow)"""
    return Absolute()(x)


@rule(Apply(Sum, x, name="total"))
def sum_of_one_number(x: Node, total: Node) -> Node | None:
    """sum(x, axes of size 1)  -->  reshape(x)    (wrong for -0.0, whose sum is 0.0)"""
    return reshape(x, total.shape) if x.dtype == total.dtype and x.type.size == total.type.size else None


FAST_MATH: list[Rule] = [
    multiply_by_zero,
    add_zero,
    subtract_itself,
    divide_by_itself,
    divide_by_constant,
    multiply_by_two_constants,
    add_two_constants,
    log_of_exp,
    exp_of_log,
    sqrt_of_square,
    sum_of_one_number,
]
