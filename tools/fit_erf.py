"""Prints the coefficients of `graphnet.ops.unary.Erf`, found with 60 digits by mpmath (`pip install mpmath`).

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


def main() -> None:
    mpmath.mp.dps = 60
    for dtype, degree, largest in (("float64", 9, "4"), ("float32", 3, "3.25")):
        numerator, denominator = fit(degree, mpmath.mpf(largest))
        print(dtype, "numerator  ", numerator)
        print(dtype, "denominator", denominator)


if __name__ == "__main__":
    main()
