"""What the elementwise ops compute, as values of the loop language: one expression an op.

Booleans are lanes of one bit here (`BOOLEAN`). An op without an expression runs its reference kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from graphnet.backend.native import functions as f
from graphnet.backend.native import special
from graphnet.backend.native.loops import BOOLEAN, Apply, Const, Value
from graphnet.backend.native.views import DTYPES
from graphnet.graph.node import Op
from graphnet.ops import activations, comparison, elementwise, powers, shaping, unary

Expression: TypeAlias = "Callable[[Any, Sequence[Value]], Value]"


def _apply(name: str, to: str | None = None) -> Expression:
    return lambda op, x: Apply(name, tuple(x), to)


def _swapped(name: str) -> Expression:
    return lambda op, x: Apply(name, (x[1], x[0]), BOOLEAN)


def _rounded(name: str) -> Expression:
    return lambda op, x: Apply(name, (x[0],)) if x[0].dtype[0] == "f" else x[0]


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
    half = f.mul(v, f.const(v, 0.5))
    return f.fma(half, _inner_tanh(v), half)


def _gelu_tanh_slope(op: Op, x: Sequence[Value]) -> Value:
    bent, near = _inner_tanh(x[0]), f.between(x[0], activations.GELU_IS_LINEAR)
    half, one = f.const(near, 0.5), f.const(near, 1.0)
    slope = f.mul(near, f.fma(f.mul(near, near), f.const(near, 3 * _ROOT * _CUBIC), f.const(near, _ROOT)))
    rest = f.mul(f.sub(one, f.mul(bent, bent)), slope)
    return f.fma(f.add(bent, rest), half, half)


def _inner_tanh(v: Value) -> Value:
    """tanh(sqrt(2 / pi) * (v + 0.044715 v^3)), of which the approximate GELU and its slope are made."""
    return special.tanh(f.mul(v, f.fma(f.mul(v, v), f.const(v, _ROOT * _CUBIC), f.const(v, _ROOT))))


_ROOT, _CUBIC = math.sqrt(2 / math.pi), 0.044715


def _gelu(op: Op, x: Sequence[Value]) -> Value:
    half = f.mul(x[0], f.const(x[0], 0.5))
    return f.fma(half, _scaled_erf(x[0]), half)


def _gelu_slope(op: Op, x: Sequence[Value]) -> Value:
    half, near = f.const(x[0], 0.5), f.between(x[0], _BELL_IS_NORMAL[x[0].dtype])
    first, second = f.exp_of_half(f.mul(near, near))
    density = f.mul(f.mul(near, f.const(near, 1 / math.sqrt(2 * math.pi))), second)
    return f.fma(density, first, f.fma(half, _scaled_erf(x[0]), half))


_BELL_IS_NORMAL = {"f32": 13.2, "f64": 37.6}  # e^(-x^2 / 2), up to there; beyond, x times it is as good as 0


def _scaled_erf(v: Value) -> Value:
    """erf(v / sqrt(2)), of which GELU and its slope are made."""
    return special.erf(f.mul(v, f.const(v, math.sqrt(0.5))))


def _elu(op: activations.Elu, x: Sequence[Value]) -> Value:
    zero = f.const(x[0], 0.0)
    below = f.mul(f.expm1(Apply("min", (x[0], zero))), f.const(x[0], op.alpha))
    return f.add(Apply("max", (x[0], zero)), below)


def _log_sigmoid(op: Op, x: Sequence[Value]) -> Value:
    return f.sub(Apply("min", (x[0], f.const(x[0], 0.0))), _tail(x[0]))


def _softplus(op: activations.Softplus, x: Sequence[Value]) -> Value:
    beta = f.const(x[0], op.beta)
    scaled = f.mul(x[0], beta)
    soft = f.div(f.add(_tail(scaled), Apply("max", (scaled, f.const(scaled, 0.0)))), beta)
    return f.select(f.less(f.const(scaled, op.threshold), scaled), x[0], soft)


def _tail(x: Value) -> Value:
    """log(1 + exp(-|x|))."""
    return special.log1p(f.exp(Apply("neg", (Apply("abs", (x,)),))))


def _absolute(op: Op, x: Sequence[Value]) -> Value:
    (v,) = x
    if v.dtype[0] == "f":
        return Apply("abs", (v,))
    return v if v.dtype[0] == "u" else f.select(f.less(v, f.const(v, 0)), f.sub(f.const(v, 0), v), v)


def _fmax(op: Op, x: Sequence[Value]) -> Value:
    a, b = x
    larger = Apply("max", (a, b))
    if a.dtype[0] != "f":
        return larger
    return f.select(_is_nan(b), a, f.select(_is_nan(a), b, larger))


def _is_nan(x: Value) -> Value:
    return Apply("ne", (x, x), BOOLEAN)


def _floor_divide(op: Op, x: Sequence[Value]) -> Value:
    """As NumPy: by the exact remainder, since the quotient may be rounded up to a whole number."""
    a, b = x
    zero, one = f.const(a, 0.0), f.const(a, 1.0)
    rest = Apply("rem", (a, b))
    quotient = f.div(f.sub(a, rest), b)
    quotient = f.select(_apart(rest, b), f.sub(quotient, one), quotient)
    below = Apply("floor", (quotient,))
    whole = f.select(f.less(f.const(a, 0.5), f.sub(quotient, below)), f.add(below, one), below)
    plain = f.div(a, b)
    found = f.select(Apply("eq", (quotient, zero), BOOLEAN), Apply("copysign", (zero, plain)), whole)
    return f.select(Apply("eq", (b, zero), BOOLEAN), plain, found)


def _remainder(op: Op, x: Sequence[Value]) -> Value:
    a, b = x
    rest = Apply("rem", (a, b))
    found = f.select(_apart(rest, b), f.add(rest, b), rest)
    return f.select(Apply("eq", (rest, f.const(a, 0.0)), BOOLEAN), Apply("copysign", (rest, b)), found)


def _integer_floor_divide(op: Op, x: Sequence[Value]) -> Value:
    quotient, rest = _divided(*x)
    return f.select(_apart(rest, x[1]), f.sub(quotient, f.const(quotient, 1)), quotient)


def _integer_remainder(op: Op, x: Sequence[Value]) -> Value:
    _, rest = _divided(*x)
    return f.select(_apart(rest, x[1]), f.add(rest, x[1]), rest)


def _divided(a: Value, b: Value) -> tuple[Value, Value]:
    """a / b towards 0, and the rest. What a processor refuses to divide by is not: 0, which was found before (but in
    lanes that do not count), and -1, by which the least integer has no quotient."""
    if a.dtype[0] == "u":
        quotient: Value = f.div(a, f.select(Apply("eq", (b, f.const(b, 0)), BOOLEAN), f.const(b, 1), b))
        return quotient, f.sub(a, f.mul(quotient, b))
    minus = Apply("eq", (b, f.const(b, -1)), BOOLEAN)
    refused = Apply("or", (minus, Apply("eq", (b, f.const(b, 0)), BOOLEAN)))
    plain = f.div(a, f.select(refused, f.const(b, 1), b))
    quotient = f.select(minus, f.sub(f.const(a, 0), a), plain)
    return quotient, f.sub(a, f.mul(quotient, b))


def _apart(rest: Value, b: Value) -> Value:
    """Whether a remainder is not 0 and has not the sign of b."""
    zero = f.const(rest, 0)
    apart = Apply("xor", (f.less(rest, zero), f.less(b, zero)))
    return Apply("and", (apart, Apply("ne", (rest, zero), BOOLEAN)))


def _sign(op: Op, x: Sequence[Value]) -> Value:
    (v,) = x
    zero = f.const(v, 0)
    if v.dtype[0] == "u":
        return f.select(f.less(zero, v), f.const(v, 1), zero)
    below = f.select(f.less(v, zero), f.const(v, -1), f.add(v, zero))  # 0, which -0 becomes as well, or NaN
    return f.select(f.less(zero, v), f.const(v, 1), below)


EXPRESSIONS: dict[type[Op], Expression] = {
    elementwise.Add: _apply("add"),
    elementwise.Subtract: _apply("sub"),
    elementwise.Multiply: _apply("mul"),
    elementwise.Divide: _apply("div"),
    elementwise.FloorDivide: _floor_divide,
    elementwise.Remainder: _remainder,
    elementwise.IntegerFloorDivide: _integer_floor_divide,
    elementwise.IntegerRemainder: _integer_remainder,
    powers.Power: lambda op, x: special.power(x[0], x[1]),
    powers.IntegerPower: lambda op, x: special.integer_power(x[0], x[1]),
    unary.Negative: lambda op, x: Apply("neg", (x[0],)) if x[0].dtype[0] == "f" else f.sub(f.const(x[0], 0), x[0]),
    unary.Square: lambda op, x: f.mul(x[0], x[0]),
    unary.Sign: _sign,
    unary.Sqrt: _apply("sqrt"),
    unary.Rsqrt: lambda op, x: f.div(f.const(x[0], 1.0), Apply("sqrt", (x[0],))),
    unary.Reciprocal: lambda op, x: f.div(f.const(x[0], 1.0), x[0]),
    unary.Exp: lambda op, x: f.exp(x[0]),
    unary.Absolute: _absolute,
    unary.Floor: _rounded("floor"),
    unary.Ceil: _rounded("ceil"),
    unary.Round: _rounded("rint"),
    unary.Log1p: lambda op, x: special.log1p(x[0]),
    unary.Sin: lambda op, x: special.sin(x[0]),
    unary.Cos: lambda op, x: special.cos(x[0]),
    unary.Tan: lambda op, x: special.tan(x[0]),
    unary.Erf: lambda op, x: special.erf(x[0]),
    unary.Expm1: lambda op, x: f.expm1(x[0]),
    unary.Log: lambda op, x: f.log(x[0]),
    unary.Tanh: lambda op, x: special.tanh(x[0]),
    comparison.Equal: _apply("eq", BOOLEAN),
    comparison.NotEqual: _apply("ne", BOOLEAN),
    comparison.Less: _apply("lt", BOOLEAN),
    comparison.LessEqual: _apply("le", BOOLEAN),
    comparison.Greater: _swapped("lt"),
    comparison.GreaterEqual: _swapped("le"),
    comparison.IsNan: lambda op, x: _is_nan(x[0]),
    comparison.IsFinite: lambda op, x: f.less(Apply("abs", (x[0],)), f.const(x[0], math.inf)),
    comparison.Fmax: _fmax,
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
    shaping.Truncate: lambda op, x: Apply("cast", (x[0],), DTYPES[op.dtype.name]),
    shaping.Contiguous: lambda op, x: x[0],
    activations.Relu: _relu,
    activations.ReluGradient: _relu_gradient,
    activations.LeakyRelu: _leaky_relu,
    activations.Elu: _elu,
    activations.Gelu: _gelu,
    activations.LogSigmoid: _log_sigmoid,
    activations.Softplus: _softplus,
    activations.Sigmoid: lambda op, x: f.sigmoid(x[0]),
    activations.Silu: lambda op, x: f.mul(x[0], f.sigmoid(x[0])),
    activations.GeluSlope: _gelu_slope,
    activations.GeluTanh: _gelu_tanh,
    activations.GeluTanhSlope: _gelu_tanh_slope,
}


def expression(op: Op, operands: Sequence[Value]) -> Value | None:
    """What `op` makes of operands of one width; None where the loop language does not say it."""
    found = EXPRESSIONS.get(type(op))
    if found is None:
        return None
    if type(op) in (comparison.Maximum, comparison.Minimum) and operands[0].dtype == BOOLEAN:
        return Apply("or" if type(op) is comparison.Maximum else "and", tuple(operands))
    return found(op, operands)
