"""Prints the coefficients of `graphnet.ops.unary.Erf`, found with 60 digits by mpmath (`pip install mpmath`).

And those of the native backend's erf, whose polynomials are erf(x) / x - 1 in x^2 up to 1, interpolated at Chebyshev
nodes, and -log(1 - erf(x)) in x - 1 from there to where erf rounds to 1.

g(t) = -log(1 - erf(sqrt(t))^2) / t is interpolated by a quotient of two polynomials of one degree, at the squares of
Chebyshev nodes: dense near 0, where erf(x) = sign(x) sqrt(1 - exp(-t g(t))) depends most on g.
"""

from __future__ import annotations

import mpmath


def smooth_part(t: mpmath.mpf) -> mpmath.mpf:
    """g(t)."""
    x = mpmath.sqrt(t)
    return -mpmath.log(mpmath.erfc(x) * (1 + mpmath.erf(x))) / t


def fit(degree: int, largest: mpmath.mpf) -> tuple[list[float], list[float]]:
    """Numerator and denominator of the quotient that is g at 2 * degree + 1 points, constants first."""
    count = 2 * degree + 1
    nodes = [(largest * (1 - mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * count))) / 2) ** 2 for i in range(count)]
    values = [smooth_part(t) for t in nodes]
    # p(t) - g(t) (q(t) - 1) = g(t), with q(0) = 1
    rows = [
        [t**k for k in range(degree + 1)] + [-g * t**k for k in range(1, degree + 1)]
        for t, g in zip(nodes, values, strict=True)
    ]
    solution = [float(c) for c in mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(values))]
    return solution[: degree + 1], [1.0, *solution[degree + 1 :]]


def near(degree: int) -> list[float]:
    """erf(x) / x - 1 in s = x^2 from 0 to 1, the highest power first."""
    count = degree + 1
    nodes = [(1 + mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * count))) / 2 for i in range(count)]
    powers = mpmath.matrix([[s**k for k in range(degree, -1, -1)] for s in nodes])
    values = mpmath.matrix([mpmath.erf(mpmath.sqrt(s)) / mpmath.sqrt(s) - 1 for s in nodes])
    return [float(c) for c in mpmath.lu_solve(powers, values)]


def far(degree: int, largest: int) -> list[float]:
    """-log(1 - erf(x)) in x - 1 from 1 to `largest`, the highest power first: least squares of what 1 - erf then is."""
    count = 4 * degree
    nodes = [(largest - 1) * (1 + mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * count))) / 2 for i in range(count)]
    weights = [mpmath.erfc(1 + v) for v in nodes]
    powers = mpmath.matrix([[w * v**k for k in range(degree, -1, -1)] for v, w in zip(nodes, weights, strict=True)])
    solution, _ = mpmath.qr_solve(powers, mpmath.matrix([-w * mpmath.log(w) for w in weights]))
    return [float(c) for c in solution]


def main() -> None:
    mpmath.mp.dps = 60
    for kind, near_degree, far_degree, top in (("f32", 6, 6, 4), ("f64", 11, 17, 6)):
        print(kind, "near", near(near_degree))
        print(kind, "far ", far(far_degree, top))
    for dtype, degree, largest in (("float64", 9, "4"), ("float32", 3, "3.25")):
        numerator, denominator = fit(degree, mpmath.mpf(largest))
        print(dtype, "numerator  ", numerator)
        print(dtype, "denominator", denominator)


if __name__ == "__main__":
    main()
