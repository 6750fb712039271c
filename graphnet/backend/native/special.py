"""erf, tanh, log1p, sines and powers on vectors. Errors are in units in the last place (ulp), as in `functions`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphnet.backend.native.functions import (
    add,
    at_least,
    at_most,
    by_pairs,
    const,
    div,
    exp,
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

# tools/fit_functions.py prints numerators and denominators, the highest powers first. At the bounds they give 1.
_ERF_IS_ONE = {"f32": 3.93, "f64": 5.93}
_TANH_IS_ONE = {"f32": 9.02, "f64": 19.1}
_ERF = {
    "f32": (
        (
            2.0408288173205726e-06, 0.0002847398198596266, 0.0037800853811914186, 0.052791875356402326,
            0.19080587799537063, 1.1283791454141194,
        ),
        (
            3.7988488934970394e-05, 0.0011651713069765607, 0.014998596523133475, 0.11426539508377345,
            0.5024300408763134, 1.0,
        ),
    ),
    "f64": (
        (
            1.5714247618499382e-17, 2.2269152235493917e-14, 3.336301863807358e-12, 1.719563528807272e-10,
            6.759151306306574e-09, 1.69458693210932e-07, 3.900066678535772e-06, 5.693762896827729e-05,
            0.0008556100516766623, 0.006889025976669877, 0.06611980081549722, 0.22016277717417254,
            1.1283791670955126,
        ),
        (
            8.851411615162437e-16, 3.319125547566867e-13, 2.549144979766104e-11, 1.124437006451461e-09,
            3.5151261216168025e-08, 8.349317479455535e-07, 1.5497131087941785e-05, 0.00022607657660753556,
            0.0025645709306449725, 0.021985452432203005, 0.13474631927081246, 0.5284475144475385, 1.0,
        ),
    ),
}  # fmt: skip
_TANH = {
    "f32": (
        (
            1.3314710112048958e-08, 2.0579800412628806e-05, 0.0034937823364275867, 0.13379493932122852,
            0.9999999769032359,
        ),
        (
            7.760085267230015e-07, 0.0003282701625793889, 0.025870079005531, 0.4671280827565477, 1.0,
        ),
    ),
    "f64": (
        (
            1.7069650781805634e-26, 7.041962431965855e-22, 4.179350187521562e-18, 8.454216261756173e-15,
            7.645748572271936e-12, 3.477726464355515e-09, 8.311313931200982e-07, 0.00010328782180157724,
            0.006223904820162699, 0.15345423966867852, 1.0,
        ),
        (
            4.991307976421329e-24, 6.38472650803344e-20, 2.1030070657858658e-16, 2.7848103739799227e-13,
            1.76967083664716e-10, 5.8233323934527894e-08, 1.0082075288822114e-05, 0.0008842306633984008,
            0.03515309582083332, 0.48678757300201186, 1.0,
        ),
    ),
}  # fmt: skip


def erf(x: Value) -> Value:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, within 6 ulp (7 in float64)."""
    return _odd(at_least(at_most(x, _ERF_IS_ONE[x.dtype]), -_ERF_IS_ONE[x.dtype]), *_ERF[x.dtype])


def tanh(x: Value) -> Value:
    """(e**2x - 1) / (e**2x + 1) within 6 ulp."""
    return _odd(at_least(at_most(x, _TANH_IS_ONE[x.dtype]), -_TANH_IS_ONE[x.dtype]), *_TANH[x.dtype])


def _odd(x: Value, above: Sequence[float], below: Sequence[float]) -> Value:
    """x times a quotient of polynomials in x^2, between -1 and 1."""
    square = mul(x, x)
    fourth = mul(square, square)
    found = div(mul(x, by_pairs(square, fourth, above)), by_pairs(square, fourth, below))
    return at_least(at_most(found, 1.0), -1.0)


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
