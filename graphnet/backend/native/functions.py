"""exp, log and what follows from them, as polynomials on vectors. Errors are stated in units in the last place (ulp).

The method is the classic one: reduce the argument to a short interval by exact steps, approximate there by a
polynomial, undo the reduction through the exponent's bits. See Muller, "Elementary functions", 2016, chapters 4 and 11.
Coefficients are Taylor's, with one term more than a minimax polynomial would need.
"""

from __future__ import annotations

import math

from graphnet.backend.native.loops import Apply, Const, Value

_LN2 = {"f32": (0.693359375, -2.12194440e-4), "f64": (6.93145751953125e-1, 1.42860682030941723212e-6)}
_INT = {"f32": "i32", "f64": "i64"}
_MANTISSA, _BIAS = {"f32": 23, "f64": 52}, {"f32": 127, "f64": 1023}
_LARGEST, _LEAST = {"f32": 88.72284, "f64": 709.7827128933841}, {"f32": -103.97209, "f64": -745.1332191019412}


def const(like: Value, value: float) -> Const:
    """A constant of the dtype and width of another value."""
    return Const(value, like.dtype, like.width)


def add(a: Value, b: Value) -> Value:
    """a + b."""
    return Apply("add", (a, b))


def sub(a: Value, b: Value) -> Value:
    """a - b."""
    return Apply("sub", (a, b))


def mul(a: Value, b: Value) -> Value:
    """a * b."""
    return Apply("mul", (a, b))


def div(a: Value, b: Value) -> Value:
    """a / b."""
    return Apply("div", (a, b))


def fma(a: Value, b: Value, c: Value) -> Value:
    """a * b + c, rounded once."""
    return Apply("fma", (a, b, c))


def less(a: Value, b: Value) -> Value:
    """Whether a < b; never so for NaN."""
    return Apply("lt", (a, b), "b1")


def select(condition: Value, yes: Value, no: Value) -> Value:
    """yes in the lanes where the condition holds, else no."""
    return Apply("select", (condition, yes, no))


def polynomial(x: Value, coefficients: list[float]) -> Value:
    """Horner's scheme, the highest power first."""
    found: Value = const(x, coefficients[0])
    for coefficient in coefficients[1:]:
        found = fma(found, x, const(x, coefficient))
    return found


def _integer(like: Value, value: int) -> Const:
    return Const(value, _INT[like.dtype], like.width)


def _bits(value: Value) -> Value:
    return Apply("bits", (value,), _INT[value.dtype])


def _split(x: Value) -> tuple[Value, Value]:
    """x = n ln 2 + r with |r| <= ln 2 / 2: r, and n as an integer. NaN gives any n and a NaN for r."""
    # Added to this number, n stands in the lowest bits of the sum: an integer without a conversion, which NaN breaks.
    magic = 1.5 * 2.0 ** _MANTISSA[x.dtype]
    shifted = fma(x, const(x, 1 / math.log(2)), const(x, magic))
    n = sub(shifted, const(x, magic))
    high, low = _LN2[x.dtype]
    r = fma(n, const(x, -low), fma(n, const(x, -high), x))
    return r, sub(_bits(shifted), _bits(const(x, magic)))


def _power_of_two(n: Value, like: Value) -> Value:
    """2**n for an integer n in the range of normal numbers."""
    biased = add(n, _integer(like, _BIAS[like.dtype]))
    return Apply("bits", (Apply("shl", (biased, _integer(like, _MANTISSA[like.dtype]))),), like.dtype)


def exp(x: Value) -> Value:
    """e**x within 1 ulp (2 where the result is subnormal); infinity and 0 beyond the range; NaN for NaN."""
    bounded = Apply("max", (Apply("min", (x, const(x, _LARGEST[x.dtype] + 1))), const(x, _LEAST[x.dtype] - 1)))
    found, n = _exp_of_rest(bounded)
    # 2**n itself may be beyond the range where the result is not: two factors.
    half = Apply("shr", (n, _integer(x, 1)))
    return mul(mul(found, _power_of_two(half, x)), _power_of_two(sub(n, half), x))


def exp_within(x: Value) -> Value:
    """e**x within 1 ulp, for x where that is a normal number; NaN for NaN."""
    found, n = _exp_of_rest(x)
    return mul(found, _power_of_two(n, x))


def _exp_of_rest(x: Value) -> tuple[Value, Value]:
    """e**r and n, for x = n ln 2 + r."""
    r, n = _split(x)
    degree = 7 if x.dtype == "f32" else 13
    return polynomial(r, [1 / math.factorial(power) for power in range(degree, -1, -1)]), n


def expm1(x: Value) -> Value:
    """e**x - 1 within 3 ulp; -0 for -0."""
    bounded = Apply("max", (Apply("min", (x, const(x, _LARGEST[x.dtype] + 1))), const(x, -50.0)))
    r, n = _split(bounded)
    degree = 8 if x.dtype == "f32" else 14
    tail = mul(r, polynomial(r, [1 / math.factorial(power) for power in range(degree, 0, -1)]))
    half: Value = Apply("shr", (n, _integer(x, 1)))
    first, second = _power_of_two(half, x), _power_of_two(sub(n, half), x)
    # 2**n (1 + tail) - 1, the 1 brought inside: 2**n itself may be infinite. For n = 0 that is tail itself, exactly.
    found = mul(fma(tail, first, sub(first, _power_of_two(sub(half, n), x))), second)
    return Apply("copysign", (found, x))


def log(x: Value) -> Value:
    """The natural logarithm within 2 ulp: -infinity at 0, NaN below."""
    return logarithm(x, None)


def logarithm(x: Value, more: Value | None) -> Value:
    """log(x) + more, where `more` is small beside 1; -infinity at 0, NaN below."""
    mantissa, bias = _MANTISSA[x.dtype], _BIAS[x.dtype]
    smallest = 2.0 ** (1 - bias)
    subnormal = less(x, const(x, smallest))
    scaled = select(subnormal, mul(x, const(x, 2.0**mantissa)), x)
    # The exponent for which the mantissa lies between sqrt(1/2) and sqrt(2).
    root = {"f32": 0x3F3504F3, "f64": 0x3FE6A09E667F3BCD}[x.dtype]
    moved: Value = sub(_bits(scaled), _integer(x, root))
    exponent = Apply("shr", (moved, _integer(x, mantissa)))
    within = Apply("bits", (sub(_bits(scaled), Apply("shl", (exponent, _integer(x, mantissa)))),), x.dtype)
    whole = Apply("cast", (exponent,), x.dtype)
    e = sub(whole, select(subnormal, const(x, float(mantissa)), const(x, 0.0)))
    f = sub(within, const(x, 1.0))
    s = div(f, add(f, const(x, 2.0)))
    z = mul(s, s)
    terms = 5 if x.dtype == "f32" else 11
    series = mul(z, polynomial(z, [2 / (2 * k + 1) for k in range(terms, 0, -1)]))
    # log(1 + f) = 2 s + s series, and 2 s = f - s f exactly enough to keep f's digits.
    high, low = _LN2[x.dtype]
    rest = fma(e, const(x, low), mul(s, sub(series, f)))
    rest = rest if more is None else add(rest, more)
    found = add(mul(e, const(x, high)), add(f, rest))
    found = select(Apply("eq", (x, const(x, 0.0)), "b1"), const(x, -math.inf), found)
    found = select(less(x, const(x, 0.0)), const(x, math.nan), found)
    return select(Apply("ne", (x, x), "b1"), x, select(Apply("eq", (x, const(x, math.inf)), "b1"), x, found))


def tanh(x: Value) -> Value:
    """tanh(x) = (e**2x - 1) / (e**2x + 1) within 4 ulp."""
    bound = 20.0 if x.dtype == "f64" else 10.0
    bounded = Apply("min", (Apply("max", (x, const(x, -bound))), const(x, bound)))
    t = expm1(add(bounded, bounded))
    return div(t, add(t, const(x, 2.0)))


def sigmoid(x: Value) -> Value:
    """1 / (1 + e**-x) within 3 ulp: for x < 0 as e**x / (1 + e**x), which does not lose the small values."""
    e = exp(Apply("neg", (Apply("abs", (x,)),)))
    top = select(less(x, const(x, 0.0)), e, const(x, 1.0))
    return div(top, add(const(x, 1.0), e))
