"""erf, log1p, sines and powers on vectors. Errors are stated in units in the last place (ulp), as in `functions`."""

from __future__ import annotations

import math

from graphnet.backend.native.functions import (
    add,
    const,
    exp,
    exp_within,
    fma,
    less,
    log,
    logarithm,
    mul,
    polynomial,
    select,
    sub,
)
from graphnet.backend.native.loops import BOOLEAN, ELEMENTS, Apply, Const, Value

# tools/fit_erf.py prints them. Near: erf(x) / x - 1 in x^2 up to 1. Far: -log(1 - erf(x)) in x - 1 from there to where
# erf rounds to 1.
_ERF_IS_ONE = {"f32": 4.0, "f64": 6.0}
_ERF_NEAR = {
    "f32": (
        7.875875062685488e-05, -0.000801686428716587, 0.005189087423433974, -0.026854212010626412,
        0.11283594715160218, -0.37612626666720334, 0.12837916584835093,
    ),
    "f64": (
        -7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871705e-07, 1.6447424703317362e-06,
        -1.492473690741966e-05, 0.00012055294904839707, -0.0008548325975389692, 0.0052239776071164225,
        -0.02686617064323777, 0.11283791670945006, -0.37612638903183543, 0.12837916709551256,
    ),
}  # fmt: skip
_ERF_FAR = {
    "f32": (
        -0.00018655170959909953, 0.0018296356919530953, -0.009895253011698338, 0.041503053475805116,
        0.843117797476498, 2.638966857258258, 1.8496055160142288,
    ),
    "f64": (
        4.7841387941070134e-12, -1.1756291244225365e-10, 1.3019201033622317e-09, -8.419664887250823e-09,
        3.3013941449174867e-08, -5.7010203325599016e-08, -2.0671940943277644e-07, 2.134585285128484e-06,
        -9.67405896444351e-06, 2.720095113932413e-05, -2.6297375124214334e-05, -0.00023731604488850123,
        0.001977901117529822, -0.010033825163216803, 0.04156109802356125, 0.8431072563594868, 2.6389675142347744,
        1.8496055099332482,
    ),
}  # fmt: skip


def erf(x: Value) -> Value:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, within 2 ulp.

    Up to 1 as x + x * (a polynomial in x^2); beyond as 1 - exp(-(a polynomial in x)), whose error 1 - erf scales down.
    """
    one = const(x, 1.0)
    size = Apply("min", (Apply("abs", (x,)), const(x, _ERF_IS_ONE[x.dtype])))
    near = fma(x, polynomial(mul(size, size), list(_ERF_NEAR[x.dtype])), x)
    beyond = polynomial(Apply("max", (sub(size, one), const(x, 0.0))), [-c for c in _ERF_FAR[x.dtype]])
    far = Apply("copysign", (sub(one, exp_within(beyond)), x))
    return select(less(size, one), near, far)


def log1p(x: Value) -> Value:
    """log(1 + x) within 3 ulp: -infinity at -1, NaN below; -0 for -0."""
    one = const(x, 1.0)
    whole = add(one, x)
    # What the addition rounded away: the smaller of 1 and x, less what of it arrived.
    lost = select(less(x, one), sub(x, sub(whole, one)), sub(one, sub(whole, x)))
    finite = less(x, const(x, math.inf))  # not so for NaN
    rest = select(finite, Apply("div", (lost, whole)), const(x, 0.0))
    return Apply("copysign", (logarithm(whole, select(less(const(x, -1.0), x), rest, const(x, 0.0))), x))


def log1p_exp(x: Value) -> Value:
    """log(1 + exp(x)) within 4 ulp for x that is not positive, so that nothing overflows."""
    return log1p(exp(x))


# -- sines -----------------------------------------------------------------------------------------------------------
# "far_sin" and its kin leave arguments beyond 1e9 to the system's mathematical library: up to there what follows loses
# no digit, as n has less than 31 bits, and each part of pi / 2 brings 53 more than the one before it.

_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33)  # their sum, to 160 bits


def _turns(x: Value) -> tuple[Value, Value]:
    """x = n pi / 2 + r with |r| <= pi / 4: r, and n, of which only the lowest bits are right, as an i64."""
    magic = 1.5 * 2.0**52
    shifted = fma(x, const(x, 2 / math.pi), const(x, magic))
    minus_n = sub(const(x, magic), shifted)
    r = x
    for part in _HALF_PI:
        r = fma(minus_n, const(x, part), r)
    return r, Apply("bits", (shifted,), "i64")


def _reduced(x: Value) -> tuple[Value, Value, Value]:
    """sin r, cos r and n for x = n pi / 2 + r. float32 is reduced as float64, which leaves no digits behind."""
    wide = x if x.dtype == "f64" else Apply("cast", (x,), "f64")
    r, n = _turns(wide)
    if x.dtype != "f64":
        r, n = Apply("cast", (r,), x.dtype), Apply("cast", (n,), "i32")
    square = mul(r, r)
    most = 10 if x.dtype == "f32" else 18
    sine = polynomial(square, [(-1) ** k / math.factorial(2 * k + 1) for k in range(most // 2 - 1, 0, -1)])
    cosine = polynomial(square, [(-1) ** k / math.factorial(2 * k) for k in range(most // 2, 0, -1)])
    return fma(mul(r, square), sine, r), fma(square, cosine, const(x, 1.0)), n


def _bit(n: Value, bit: int) -> Value:
    """Whether this bit of n is set."""
    mask = Const(1 << bit, n.dtype, n.width)
    return Apply("ne", (Apply("and", (n, mask)), Const(0, n.dtype, n.width)), BOOLEAN)


def _quarter(n: Value, straight: Value, crossed: Value) -> Value:
    """`straight` in even quarters of the circle, `crossed` in odd ones; negative in the second half."""
    found = select(_bit(n, 0), crossed, straight)
    return select(_bit(n, 1), Apply("neg", (found,)), found)


def sin(x: Value) -> Value:
    """The sine of x radians within 2 ulp; NaN for infinity."""
    sine, cosine, n = _reduced(x)
    return Apply("far_sin", (x, _quarter(n, sine, cosine)))


def cos(x: Value) -> Value:
    """The cosine of x radians within 2 ulp; NaN for infinity."""
    sine, cosine, n = _reduced(x)
    return Apply("far_cos", (x, _quarter(add(n, Const(1, n.dtype, n.width)), sine, cosine)))


def tan(x: Value) -> Value:
    """The tangent of x radians within 4 ulp; NaN for infinity."""
    sine, cosine, n = _reduced(x)
    odd = _bit(n, 0)
    above = select(odd, Apply("neg", (cosine,)), sine)
    return Apply("far_tan", (x, Apply("div", (above, select(odd, sine, cosine)))))


# -- powers ----------------------------------------------------------------------------------------------------------


def power(a: Value, b: Value) -> Value:
    """a ** b with the special cases of C's pow. float32 within 1 ulp, by logarithms in float64; float64 by the system's
    mathematical library, within 1 ulp."""
    if a.dtype == "f64":
        return Apply("pow", (a, b))
    size = Apply("abs", (a,))
    one, zero = const(a, 1.0), const(a, 0.0)
    product = mul(Apply("cast", (b,), "f64"), log(Apply("cast", (size,), "f64")))
    found: Value = Apply("cast", (exp(product),), a.dtype)
    found = select(Apply("eq", (size, one), BOOLEAN), one, found)  # else 0 times infinity
    whole = Apply("eq", (Apply("rint", (b,)), b), BOOLEAN)
    half = mul(b, const(b, 0.5))
    odd = Apply("and", (whole, Apply("ne", (Apply("rint", (half,)), half), BOOLEAN)))
    found = select(odd, Apply("copysign", (found, a)), found)
    negative = Apply("and", (less(a, zero), less(const(a, -math.inf), a)))
    fraction = Apply("and", (negative, Apply("xor", (whole, Const(1, BOOLEAN, a.width)))))
    found = select(fraction, const(a, math.nan), found)
    found = select(Apply("ne", (b, b), BOOLEAN), b, found)
    trivial = Apply("or", (Apply("eq", (a, one), BOOLEAN), Apply("eq", (b, zero), BOOLEAN)))
    return select(trivial, one, found)


def integer_power(a: Value, b: Value) -> Value:
    """a ** b for integers and b >= 0, as NumPy has it: what does not fit loses its upper bits."""
    zero, one = Const(0, a.dtype, a.width), Const(1, a.dtype, a.width)
    found: Value = one
    for bit in range(8 * ELEMENTS[a.dtype] - (a.dtype[0] == "i")):
        mask = Const(1 << bit, a.dtype, a.width)
        is_set = Apply("ne", (Apply("and", (b, mask)), zero), BOOLEAN)
        found = mul(found, select(is_set, a, one))
        a = mul(a, a)
    return found
