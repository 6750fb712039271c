"""What the elementwise ops compute, as values of the loop language: one expression an op.

Booleans are lanes of one bit here (`BOOLEAN`). An op without an expression runs its reference kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from graphnet.backend.native import functions as f
from graphnet.backend.native.loops import BOOLEAN, Apply, Const, Value
from graphnet.backend.native.views import DTYPES
from graphnet.graph.node import Op
from graphnet.ops import activations, comparison, elementwise, shaping, unary

Expression: TypeAlias = "Callable[[Any, Sequence[Value]], Value]"


def _apply(name: str, to: str | None = None) -> Expression:
    return lambda op, x: Apply(name, tuple(x), to)


def _swapped(name: str) -> Expression:
    return lambda op, x: Apply(name, (x[1], x[0]), BOOLEAN)


def _no(value: Value) -> Value:
    return Apply("xor", (value, Const(1, BOOLEAN, value.width)))


def _cast(op: shaping.Cast, x: Sequence[Value]) -> Value:
    wanted = BOOLEAN if op.dtype == bool else DTYPES[op.dtype.name]
    if wanted == BOOLEAN and x[0].dtype != BOOLEAN:
        return Apply("ne", (x[0], f.const(x[0], 0)), BOOLEAN)
    return Apply("cast", (x[0],), wanted)


def _relu(op: Op, x: Sequence[Value]) -> Value:
    zero = f.const(x[0], 0)
    return f.select(f.less(x[0], zero), zero, x[0])  # a NaN is not less than 0: it stays


def _relu_gradient(op: Op, x: Sequence[Value]) -> Value:
    y, dy = x
    return f.select(Apply("le", (y, f.const(y, 0)), BOOLEAN), f.const(dy, 0), dy)


def _leaky_relu(op: activations.LeakyRelu, x: Sequence[Value]) -> Value:
    scaled = f.mul(x[0], f.const(x[0], op.slope))
    return Apply("max" if op.slope <= 1 else "min", (x[0], scaled))


def _clip(op: comparison.Clip, x: Sequence[Value]) -> Value:
    found = x[0]
    if op.low is not None:
        found = Apply("max", (found, f.const(found, op.low)))
    return found if op.high is None else Apply("min", (found, f.const(found, op.high)))


def _gelu_tanh(op: Op, x: Sequence[Value]) -> Value:
    (v,) = x
    root = math.sqrt(2 / math.pi)
    inner = f.mul(v, f.fma(f.mul(v, v), f.const(v, root * 0.044715), f.const(v, root)))
    half = f.mul(v, f.const(v, 0.5))
    return f.fma(half, f.tanh(inner), half)


def _sign(op: Op, x: Sequence[Value]) -> Value:
    (v,) = x
    zero = f.const(v, 0)
    below = f.select(f.less(v, zero), f.const(v, -1), f.add(v, zero))  # 0, which -0 becomes as well, or NaN
    return f.select(f.less(zero, v), f.const(v, 1), below)


EXPRESSIONS: dict[type[Op], Expression] = {
    elementwise.Add: _apply("add"),
    elementwise.Subtract: _apply("sub"),
    elementwise.Multiply: _apply("mul"),
    elementwise.Divide: _apply("div"),
    unary.Negative: lambda op, x: Apply("neg", (x[0],)) if x[0].dtype[0] == "f" else f.sub(f.const(x[0], 0), x[0]),
    unary.Square: lambda op, x: f.mul(x[0], x[0]),
    unary.Sign: _sign,
    unary.Sqrt: _apply("sqrt"),
    unary.Rsqrt: lambda op, x: f.div(f.const(x[0], 1.0), Apply("sqrt", (x[0],))),
    unary.Reciprocal: lambda op, x: f.div(f.const(x[0], 1.0), x[0]),
    unary.Exp: lambda op, x: f.exp(x[0]),
    unary.Expm1: lambda op, x: f.expm1(x[0]),
    unary.Log: lambda op, x: f.log(x[0]),
    unary.Tanh: lambda op, x: f.tanh(x[0]),
    comparison.Equal: _apply("eq", BOOLEAN),
    comparison.NotEqual: _apply("ne", BOOLEAN),
    comparison.Less: _apply("lt", BOOLEAN),
    comparison.LessEqual: _apply("le", BOOLEAN),
    comparison.Greater: _swapped("lt"),
    comparison.GreaterEqual: _swapped("le"),
    comparison.LogicalAnd: _apply("and"),
    comparison.LogicalOr: _apply("or"),
    comparison.LogicalXor: _apply("xor"),
    comparison.LogicalNot: lambda op, x: _no(x[0]),
    comparison.Where: lambda op, x: f.select(x[0], x[1], x[2]),
    comparison.Keep: lambda op, x: f.select(x[0], x[1], f.const(x[1], 0)),
    comparison.Clip: _clip,
    comparison.Maximum: _apply("max"),
    comparison.Minimum: _apply("min"),
    shaping.Cast: _cast,
    shaping.Contiguous: lambda op, x: x[0],
    activations.Relu: _relu,
    activations.ReluGradient: _relu_gradient,
    activations.LeakyRelu: _leaky_relu,
    activations.Sigmoid: lambda op, x: f.sigmoid(x[0]),
    activations.Silu: lambda op, x: f.mul(x[0], f.sigmoid(x[0])),
    activations.GeluTanh: _gelu_tanh,
}


def expression(op: Op, operands: Sequence[Value]) -> Value | None:
    """What `op` makes of operands of one width; None where the loop language does not say it."""
    found = EXPRESSIONS.get(type(op))
    if found is None or any(value.dtype == "u8" for value in operands):
        return None
    if type(op) in (comparison.Maximum, comparison.Minimum) and operands[0].dtype == BOOLEAN:
        return Apply("or" if type(op) is comparison.Maximum else "and", tuple(operands))
    return found(op, operands)
