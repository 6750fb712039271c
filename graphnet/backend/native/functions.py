"""exp, log and what follows from them, as polynomials on vectors. Errors are stated in units in the last place (ulp).

The method is the classic one: reduce the argument to a short interval by exact steps, approximate there by a
polynomial, undo the reduction through the exponent's bits. See Muller, "Elementary functions", 2016, chapters 4 and 11.
Where coefficients are not Taylor's, tools/fit_functions.py prints them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphnet.backend.native.loops import Apply, Const, Value

_LN2 = {"f32": (0.693359375, -2.12194440e-4), "f64": (6.93145751953125e-1, 1.42860682030941723212e-6)}
_INT = {"f32": "i32", "f64": "i64"}
_MANTISSA, _BIAS = {"f32": 23, "f64": 52}, {"f32": 127, "f64": 1023}
_EXP = {  # of e**r, the highest power first, down to r^2
    "f32": (0.0013814485823054035, 0.00836875000882401, 0.04166839190870679, 0.1666652034629265, 0.4999999342658449),
    "f64": (
        2.5000132040138487e-08, 2.7630307120547577e-07, 2.7557586456521876e-06, 2.480149294664821e-05,
        0.0001984126950615007, 0.0013888888943763536, 0.00833333333349481, 0.04166666666652971, 0.1666666666666641,
        0.5000000000000011,
    ),
}  # fmt: skip
_LARGEST, _LEAST = {"f32": 88.72284, "f64": 709.7827128933841}, {"f32": -103.97209, "f64": -745.1332191019412}
_LEAST_NORMAL = {"f32": -87.33654, "f64": -708.3964185322641}


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


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """Horner's scheme, the highest power first."""
    found: Value = const(x, coefficients[0])
    for coefficient in coefficients[1:]:
        found = fma(found, x, const(x, coefficient))
    return found


def by_pairs(x: Value, square: Value, coefficients: Sequence[float]) -> Value:
    """A polynomial in x as one in x^2 of pairs of its terms: half as many roundings, one after the other."""
    pairs = [coefficients[max(0, at - 2) : at] for at in range(len(coefficients), 0, -2)]
    found = polynomial(x, pairs.pop())
    while pairs:
        found = fma(found, square, polynomial(x, pairs.pop()))
    return found


def _integer(like: Value, value: int) -> Const:
    return Const(value, _INT[like.dtype], like.width)


def _bits(value: Value) -> Value:
    return Apply("bits", (value,), _INT[value.dtype])


def at_most(x: Value, bound: float) -> Value:
    """The smaller of both; NaN for NaN, for which min() takes three instructions more."""
    limit = const(x, bound)
    return select(less(limit, x), limit, x)


def between(x: Value, bound: float) -> Value:
    """x, but at most `bound` and at least -`bound`; NaN for NaN."""
    return at_least(at_most(x, bound), -bound)


def at_least(x: Value, bound: float) -> Value:
    """The larger of both; NaN for NaN."""
    limit = const(x, bound)
    return select(less(x, limit), limit, x)


def _split(x: Value, bias: int) -> tuple[Value, Value]:
    """x = n ln 2 + r with |r| <= ln 2 / 2: r, and as an integer n + bias. NaN gives any n and a NaN for r.

    Above the bits of n + bias are others, of which the lowest 9 (12 in float64) are 0: a shift by the mantissa's bits
    loses them.
    """
    shifted = fma(x, const(x, 1 / math.log(2)), _magic(x, bias))
    return _rest(x, sub(shifted, _magic(x, bias))), _bits(shifted)


def _magic(like: Value, bias: int) -> Const:
    """Added to it, n stands in the lowest bits of the sum: an integer without a conversion, which NaN breaks."""
    return const(like, 1.5 * 2.0 ** _MANTISSA[like.dtype] + bias)


def _rest(x: Value, n: Value) -> Value:
    """x - n ln 2."""
    high, low = _LN2[x.dtype]
    return fma(n, const(x, -low), fma(n, const(x, -high), x))


def _exponent(biased: Value, like: Value) -> Value:
    """2**n for n + the bias of the exponent, in the range of normal numbers; what stands above is lost."""
    return Apply("bits", (Apply("shl", (biased, _integer(like, _MANTISSA[like.dtype]))),), like.dtype)


def exp(x: Value) -> Value:
    """e**x within 1 ulp (2 where the result is subnormal); infinity and 0 beyond the range; NaN for NaN."""
    zero = const(x, 0.0)
    # Where the result is 0 that is chosen, not worked out: a product that becomes too small takes processors long.
    lost = less(x, const(x, _LEAST[x.dtype]))
    # 2**n itself may be beyond the range where the result is not: two factors, each with a bias of its own.
    r, n = _split(select(lost, zero, at_most(x, _LARGEST[x.dtype] + 1)), 2 * _BIAS[x.dtype])
    half = Apply("shr", (n, _integer(x, 1)))
    return select(lost, zero, mul(mul(_exp_of_rest(r), _exponent(half, x)), _exponent(sub(n, half), x)))


def exp_of_negative(x: Value) -> Value:
    """e**x within 1 ulp for x <= 0, but 0 where that is less than the least normal number; NaN for NaN."""
    zero = const(x, 0.0)
    lost = less(x, const(x, _LEAST_NORMAL[x.dtype]))
    r, n = _split(select(lost, zero, x), _BIAS[x.dtype])
    return select(lost, zero, mul(_exp_of_rest(r), _exponent(n, x)))


def exp_of_half(square: Value) -> tuple[Value, Value]:
    """Two factors of e**(-square / 2) within 2 ulp, where that is a normal number; NaN for NaN. Elsewhere anything.

    Written so that little of it waits for the rest: what comes of it has more to wait for.
    """
    magic = _magic(square, _BIAS[square.dtype])
    shifted = fma(square, const(square, -0.5 / math.log(2)), magic)
    r = _rest(mul(square, const(square, -0.5)), sub(shifted, magic))
    power = mul(r, r)
    found = fma(power, by_pairs(r, power, _EXP[r.dtype]), add(r, const(r, 1.0)))
    return found, _exponent(_bits(shifted), square)


def _exp_of_rest(r: Value) -> Value:
    """e**r for |r| <= ln 2 / 2."""
    return polynomial(r, [*_EXP[r.dtype], 1.0, 1.0])


def expm1(x: Value) -> Value:
    """e**x - 1 within 3 ulp; -0 for -0."""
    r, n = _split(at_least(at_most(x, _LARGEST[x.dtype] + 1), -50.0), 2 * _BIAS[x.dtype])
    degree = 8 if x.dtype == "f32" else 14
    tail = mul(r, polynomial(r, [1 / math.factorial(power) for power in range(degree, 0, -1)]))
    half: Value = Apply("shr", (n, _integer(x, 1)))
    other = sub(n, half)
    first, second = _exponent(half, x), _exponent(other, x)
    inverse = _exponent(sub(_integer(x, 2 * _BIAS[x.dtype]), other), x)
    # 2**n (1 + tail) - 1, the 1 brought inside: 2**n itself may be infinite. For n = 0 that is tail itself, exactly.
    found = mul(fma(tail, first, sub(first, inverse)), second)
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


def sigmoid(x: Value) -> Value:
    """1 / (1 + e**-x) within 3 ulp: for x < 0 as e**x / (1 + e**x), which does not lose the small values."""
    e = exp(Apply("neg", (Apply("abs", (x,)),)))
    top = select(less(x, const(x, 0.0)), e, const(x, 1.0))
    return div(top, add(const(x, 1.0), e))
