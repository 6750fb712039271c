"""Prints coefficients, found with 60 digits by mpmath (`pip install mpmath`).

Those of `graphnet.ops.unary.Erf`: g(t) = -log(1 - erf(sqrt(t))^2) / t is interpolated by a quotient of two polynomials
of one degree, at the squares of Chebyshev nodes: dense near 0, where erf(x) = sign(x) sqrt(1 - exp(-t g(t))) depends
most on g.

Those of the native backend: erf(x) / x and tanh(x) / x as quotients of two polynomials in x^2, and e^r as a polynomial,
whose relative errors are as small as they can be. That is found by weighted least squares: errors are weighted by what
they were the round before (C. L. Lawson, 1961), a quotient's denominator by what it was then (C. Sanathanan and
J. Koerner, "Transfer function synthesis as a ratio of two complex polynomials", 1963).
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath

ROUNDS = 20


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


def chebyshev(count: int, low: mpmath.mpf, high: mpmath.mpf) -> list[mpmath.mpf]:
    """Nodes from `low` to `high`, dense at both."""
    return [low + (high - low) * (1 - mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * count))) / 2 for i in range(count)]


def solve(rows: list[list[mpmath.mpf]], values: list[mpmath.mpf], weights: list[mpmath.mpf]) -> list[mpmath.mpf]:
    """The least squares of weight * (row . solution - value)^2."""
    scaled = mpmath.matrix([[mpmath.sqrt(w) * x for x in row] for w, row in zip(weights, rows, strict=True)])
    right = mpmath.matrix([mpmath.sqrt(w) * value for w, value in zip(weights, values, strict=True)])
    return list(mpmath.lu_solve(scaled.T * scaled, scaled.T * right))


def quotient(
    function: Callable[[mpmath.mpf], mpmath.mpf], degree: int, largest: str
) -> tuple[list[float], list[float], float]:
    """Numerator and denominator of function(x) / x in x^2 up to `largest`, the highest powers first, and the error."""
    nodes = chebyshev(14 * degree, mpmath.mpf(0), mpmath.mpf(largest) ** 2)
    values = [function(mpmath.sqrt(t)) / mpmath.sqrt(t) for t in nodes]
    weights, below = [mpmath.mpf(1)] * len(nodes), [mpmath.mpf(1)] * len(nodes)
    best: tuple[list[float], list[float], float] = ([], [], mpmath.inf)
    for _ in range(ROUNDS):
        rows = [
            [t**k / (v * q) for k in range(degree + 1)] + [-(t**k) / q for k in range(1, degree + 1)]
            for t, v, q in zip(nodes, values, below, strict=True)
        ]
        solution = solve(rows, [1 / q for q in below], weights)
        above, under = solution[degree::-1], [*solution[:degree:-1], mpmath.mpf(1)]
        below = [mpmath.polyval(under, t) for t in nodes]
        errors = [abs(mpmath.polyval(above, t) / q / v - 1) for t, v, q in zip(nodes, values, below, strict=True)]
        if max(errors) < best[2]:
            best = [float(c) for c in above], [float(c) for c in under], float(max(errors))
        weights = [w * error / max(errors) for w, error in zip(weights, errors, strict=True)]
    return best


def exponential(degree: int) -> tuple[list[float], float]:
    """(e^r - 1 - r) / r^2 for |r| <= log(2) / 2, the highest power first, and the relative error of e^r."""
    reach = mpmath.log(2) / 2 * mpmath.mpf("1.0005")
    nodes = chebyshev(12 * degree, -reach, reach)
    rows = [[r ** (k + 2) / mpmath.exp(r) for k in range(degree - 1)] for r in nodes]
    values = [(mpmath.exp(r) - 1 - r) / mpmath.exp(r) for r in nodes]
    weights = [mpmath.mpf(1)] * len(nodes)
    best: tuple[list[float], float] = ([], mpmath.inf)
    for _ in range(2 * ROUNDS):
        solution = solve(rows, values, weights)
        errors = [
            abs(sum(c * x for c, x in zip(solution, row, strict=True)) - v) for row, v in zip(rows, values, strict=True)
        ]
        if max(errors) < best[1]:
            best = [float(c) for c in reversed(solution)], float(max(errors))
        weights = [w * error / max(errors) for w, error in zip(weights, errors, strict=True)]
    return best


def main() -> None:
    mpmath.mp.dps = 60
    for name, function, f32, f64 in (
        ("erf", mpmath.erf, (5, "3.93"), (12, "5.93")),
        ("tanh", mpmath.tanh, (4, "9.02"), (10, "19.1")),
    ):
        for kind, (degree, largest) in (("f32", f32), ("f64", f64)):
            print(name, kind, *quotient(function, degree, largest))
    for kind, degree in (("f32", 6), ("f64", 11)):
        print("exp", kind, *exponential(degree))
    for dtype, degree, largest in (("float64", 9, "4"), ("float32", 3, "3.25")):
        numerator, denominator = fit(degree, mpmath.mpf(largest))
        print(dtype, "numerator  ", numerator)
        print(dtype, "denominator", denominator)


if __name__ == "__main__":
    main()
