"""Rows for elementwise arithmetic, comparisons, choices and functions of one operand."""

from __future__ import annotations

import math

import graphnet as gn
from tests.ops.case import Arg, Case, torch

INF, NAN = math.inf, math.nan
MATRIX, ROW, COLUMN = Arg((3, 4)), Arg((4,)), Arg((3, 1))
APART = Arg((3, 4), low=0.5, high=2.5)
SPECIAL = Arg((8,), values=(-INF, -1e4, -1.0, -0.0, 0.0, 1.0, 1e4, INF))


def exact(name, build, reference, *args: Arg) -> Case:  # type: ignore[no-untyped-def]
    """A row without a gradient."""
    return Case(name, build, args, torch=reference, differentiable=False)


ARITHMETIC = [
    Case("add", lambda a, b: a + b, (MATRIX, MATRIX), torch=lambda a, b: a + b),
    Case("add-broadcast", lambda a, b: a + b, (COLUMN, ROW), torch=lambda a, b: a + b),
    Case("add-scalar", lambda a: 1.5 + a, (MATRIX,), torch=lambda a: a + 1.5),
    Case("add-0d", lambda a, b: a + b, (Arg(()), MATRIX), torch=lambda a, b: a + b),
    Case("add-itself", lambda a: a + a, (MATRIX,), torch=lambda a: a + a),
    Case("subtract-broadcast", lambda a, b: a - b, (Arg((2, 1, 4)), COLUMN), torch=lambda a, b: a - b),
    Case("subtract-from-number", lambda a: 2 - a, (ROW,), torch=lambda a: 2 - a),
    Case("multiply", lambda a, b: a * b, (MATRIX, MATRIX), torch=lambda a, b: a * b),
    Case("multiply-broadcast", lambda a, b: a * b, (ROW, Arg((3, 1))), torch=lambda a, b: a * b),
    Case("multiply-itself", lambda a: a * a, (MATRIX,), torch=lambda a: a * a),
    Case("multiply-size-1", lambda a, b: a * b, (Arg((1, 1)), Arg((1,))), torch=lambda a, b: a * b),
    Case("divide", lambda a, b: a / b, (MATRIX, APART), torch=lambda a, b: a / b),
    Case("divide-broadcast", lambda a, b: a / b, (ROW, Arg((3, 1), low=0.5)), torch=lambda a, b: a / b),
    Case("divide-number", lambda a: 3 / a, (APART,), torch=lambda a: 3 / a),
    Case("floor-divide", lambda a, b: a // b, (MATRIX, APART), torch=lambda a, b: a // b, differentiable=False),
    Case("remainder", lambda a, b: a % b, (Arg((3, 4), low=-5, high=5), APART), torch=lambda a, b: a % b),
    Case("remainder-negative", lambda a: a % -1.7, (Arg((3, 4), low=-5, high=5),), torch=lambda a: a % -1.7),
    Case("power", lambda a, b: a**b, (APART, MATRIX), torch=lambda a, b: a**b),
    Case("power-broadcast", lambda a, b: a**b, (Arg((3, 1), low=0.5), ROW), torch=lambda a, b: a**b),
    Case("power-3", lambda a: a**3, (MATRIX,), torch=lambda a: a**3),
    Case("power-2", lambda a: a**2, (MATRIX,), torch=lambda a: a**2),
    Case("power-1", lambda a: a**1, (MATRIX,), torch=lambda a: a**1),
    Case("power-0", lambda a: a + a**0, (MATRIX,), torch=lambda a: a + a**0),
    Case("power-minus-1", lambda a: a**-1, (APART,), torch=lambda a: a**-1),
    Case("power-half", lambda a: a**0.5, (APART,), torch=lambda a: a**0.5),
    Case("power-of-2", lambda a: 2**a, (MATRIX,), torch=lambda a: 2**a),
    Case(
        "power-at-zero",
        lambda a, b: a**b,
        (Arg((4,), values=(0.0, 0.0, 2.0, 0.0)), Arg((4,), values=(0.0, 2.0, 0.0, 1.0))),
        torch=lambda a, b: a**b,
        smooth=False,
    ),
]

INTEGERS = [
    Case(
        f"{name}-{dtype}",
        build,
        (Arg((3, 4), dtype, 0 if dtype == "uint8" else -9, 9), Arg((4,), dtype, 1, 9)),
        torch=build,
    )
    for dtype in ("int64", "int32", "uint8")
    for name, build in (
        ("add", lambda a, b: a + b),
        ("subtract", lambda a, b: a - b),
        ("multiply", lambda a, b: a * b),
        ("divide", lambda a, b: a / b),
        ("floor-divide", lambda a, b: a // b),
        ("remainder", lambda a, b: a % b),
        ("power", lambda a, b: a ** (b % 3)),
    )
    if not (name == "power" and dtype == "uint8")
]

COMPARISONS = (
    [
        exact(
            f"{name}{suffix}",
            lambda a, b, f=name: getattr(gn, f)(a, b),
            lambda a, b, f=other: getattr(torch, f)(a, b),
            *args,
        )
        for name, other in (
            ("equal", "eq"),
            ("not_equal", "ne"),
            ("less", "lt"),
            ("less_equal", "le"),
            ("greater", "gt"),
            ("greater_equal", "ge"),
        )
        for suffix, args in (
            ("", (MATRIX, ROW)),
            ("-int", (Arg((3, 4), "int64", -2, 2), Arg((4,), "int64", -2, 2))),
            ("-special", (Arg((4,), values=(NAN, INF, 0.0, -INF)), Arg((4,), values=(NAN, INF, -0.0, INF)))),
        )
    ]
    + [
        exact(
            f"logical_{f}",
            lambda a, b, f=f: getattr(gn, f"logical_{f}")(a, b),
            lambda a, b, f=f: getattr(torch, f"logical_{f}")(a, b),
            Arg((3, 4), "bool"),
            Arg((4,), "bool"),
        )
        for f in ("and", "or", "xor")
    ]
    + [
        exact("logical_not", lambda a: ~a, lambda a: ~a, Arg((3, 4), "bool")),
        exact(
            "logical-of-numbers",
            lambda a, b: gn.logical_and(a, b),
            lambda a, b: torch.logical_and(a, b),
            Arg((9,), "int64", -2, 2),
            Arg((9,), values=(0.0, -0.0, 1.0, NAN, INF, 0.5, 0.0, 2.0, -1.0)),
        ),
        exact(
            "comparison-operators",
            lambda a, b: (a < b) & (a <= b) | (b > a) ^ (b >= a),
            lambda a, b: (a < b) & (a <= b) | (b > a) ^ (b >= a),
            MATRIX,
            ROW,
        ),
        exact("isnan", lambda a: gn.isnan(a), lambda a: torch.isnan(a), Arg((4,), values=(NAN, INF, 0.0, -1.0))),
        exact(
            "isfinite", lambda a: gn.isfinite(a), lambda a: torch.isfinite(a), Arg((4,), values=(NAN, INF, 0.0, -1.0))
        ),
    ]
)

CHOICES = [
    Case(
        "where",
        lambda c, a, b: gn.where(c, a, b),
        (Arg((3, 4), "bool"), MATRIX, MATRIX),
        torch=lambda c, a, b: torch.where(c, a, b),
    ),
    Case(
        "where-broadcast",
        lambda c, a, b: gn.where(c, a, b),
        (Arg((3, 1), "bool"), ROW, Arg(())),
        torch=lambda c, a, b: torch.where(c, a, b),
    ),
    Case(
        "where-number",
        lambda c, a: gn.where(c, a, 0.5),
        (Arg((4,), "bool"), MATRIX),
        torch=lambda c, a: torch.where(c, a, 0.5),
    ),
    Case(
        "where-special",
        lambda c, a, b: gn.where(c, a, b),
        (
            Arg((4,), "bool", values=(True, False, True, False)),
            Arg((4,), values=(NAN, NAN, -0.0, INF)),
            Arg((4,), values=(INF, 1.0, NAN, -INF)),
        ),
        torch=lambda c, a, b: torch.where(c, a, b),
        smooth=False,
    ),
    exact(
        "where-int",
        lambda c, a, b: gn.where(c, a, b),
        lambda c, a, b: torch.where(c, a, b),
        Arg((6,), "bool"),
        Arg((6,), "int32", -9, 9),
        Arg((6,), "int32", -9, 9),
    ),
    exact(
        "where-bool", lambda c, a, b: gn.where(c, a, b), lambda c, a, b: torch.where(c, a, b), *[Arg((8,), "bool")] * 3
    ),
    Case("maximum", lambda a, b: gn.maximum(a, b), (MATRIX, ROW), torch=lambda a, b: torch.maximum(a, b)),
    Case("minimum", lambda a, b: gn.minimum(a, b), (COLUMN, ROW), torch=lambda a, b: torch.minimum(a, b)),
    Case(
        "maximum-ties",
        lambda a, b: gn.maximum(a, b),
        (Arg((3,), values=(1.0, 2.0, -0.0)), Arg((3,), values=(1.0, 1.0, 0.0))),
        torch=lambda a, b: torch.maximum(a, b),
        smooth=False,
    ),
    Case(
        "minimum-ties",
        lambda a, b: gn.minimum(a, b),
        (Arg((3,), values=(1.0, 2.0, -0.0)), Arg((3,), values=(1.0, 1.0, 0.0))),
        torch=lambda a, b: torch.minimum(a, b),
        smooth=False,
    ),
    exact(
        "maximum-nan",
        lambda a, b: gn.maximum(a, b),
        lambda a, b: torch.maximum(a, b),
        Arg((3,), values=(NAN, 1.0, INF)),
        Arg((3,), values=(1.0, NAN, 2.0)),
    ),
    Case("fmax", lambda a, b: gn.fmax(a, b), (MATRIX, ROW), torch=lambda a, b: torch.fmax(a, b)),
    Case(
        "fmax-ties",
        lambda a, b: gn.fmax(a, b),
        (Arg((3,), values=(1.0, 2.0, -1.0)), Arg((3,), values=(1.0, 1.0, 0.0))),
        torch=lambda a, b: torch.fmax(a, b),
        smooth=False,
    ),
    exact(
        "fmax-nan",
        lambda a, b: gn.fmax(a, b),
        lambda a, b: torch.fmax(a, b),
        Arg((4,), values=(NAN, 1.0, INF, NAN)),
        Arg((4,), values=(1.0, NAN, 2.0, NAN)),
    ),
    exact(
        "maximum-int",
        lambda a, b: gn.maximum(a, b),
        lambda a, b: torch.maximum(a, b),
        Arg((9,), "int64", -9, 9),
        Arg((9,), "int64", -9, 9),
    ),
    Case("clip", lambda a: gn.clip(a, -1, 0.5), (Arg((5, 4)),), torch=lambda a: torch.clamp(a, -1, 0.5)),
    Case("clip-low", lambda a: gn.clip(a, 0.25), (MATRIX,), torch=lambda a: torch.clamp(a, min=0.25)),
    Case("clip-high", lambda a: gn.clip(a, max=0.25), (MATRIX,), torch=lambda a: torch.clamp(a, max=0.25)),
    Case(
        "clip-on-the-bounds",
        lambda a: gn.clip(a, -1, 1),
        (Arg((4,), values=(-1.0, 1.0, 0.0, 3.0)),),
        torch=lambda a: torch.clamp(a, -1, 1),
        smooth=False,
    ),
    Case(
        "clip-to-nodes",
        lambda a, low, high: gn.clip(a, low, high),
        (MATRIX, Arg((4,), high=-1), Arg((3, 1), low=1)),
        torch=lambda a, low, high: torch.clamp(a, low, high),
    ),
    exact("clip-int", lambda a: gn.clip(a, -3, 4), lambda a: torch.clamp(a, -3, 4), Arg((9,), "int64", -9, 9)),
]


def function(name: str, low: float = -2.0, high: float = 2.0, special: bool = True) -> list[Case]:
    """Rows for a function of one operand that torch has under the same name."""
    build = lambda x: getattr(gn, name)(x)  # noqa: E731
    reference = lambda x: getattr(torch, name)(x)  # noqa: E731
    rows = [
        Case(name, build, (Arg((3, 4), low=low, high=high),), torch=reference),
        Case(f"{name}-0d", build, (Arg((), low=low, high=high),), torch=reference),
    ]
    return [*rows, exact(f"{name}-special", build, reference, SPECIAL)] if special else rows


def flat(name: str) -> list[Case]:
    """Rows for a step function, whose gradient is 0 where there is one; x is added, since gradients need a way."""
    build = lambda x: getattr(gn, name)(x * 3) + x  # noqa: E731
    reference = lambda x: getattr(torch, name)(x * 3) + x  # noqa: E731
    values = Arg((8,), values=(-2.5, -1.5, -0.5, -0.0, 0.5, 1.5, 2.5, 1e4))
    special = exact(f"{name}-special", lambda x: getattr(gn, name)(x), lambda x: getattr(torch, name)(x), values)
    return [Case(name, build, (MATRIX,), torch=reference), special]


FUNCTIONS = [
    *function("negative"),
    *function("abs"),
    *function("square", special=False),
    *function("exp", special=False),
    *function("expm1"),
    *function("sin", special=False),
    *function("cos", special=False),
    *function("tan", -1.0, 1.0, special=False),
    *function("tanh"),
    *function("erf"),
    *function("log", 0.5, 3.0),
    *function("log1p", -0.5, 3.0),
    *function("sqrt", 0.5, 3.0),
    *function("rsqrt", 0.5, 3.0),
    *function("reciprocal", 0.5, 3.0),
    *flat("floor"),
    *flat("ceil"),
    *flat("round"),
    *flat("sign"),
    Case("negative-operator", lambda x: -x, (MATRIX,), torch=lambda x: -x),
    Case("abs-operator", lambda x: abs(x), (MATRIX,), torch=lambda x: abs(x)),
    Case(
        "abs-at-zero", lambda x: gn.abs(x), (Arg((3,), values=(0.0, -0.0, 1.0)),), torch=lambda x: abs(x), smooth=False
    ),
    Case(
        "sqrt-at-zero",
        lambda x: gn.sqrt(x),
        (Arg((2,), values=(0.0, 4.0)),),
        torch=lambda x: torch.sqrt(x),
        smooth=False,
    ),
    Case(
        "expm1-tiny",
        lambda x: gn.expm1(x),
        (Arg((5,), low=-1e-9, high=1e-9),),
        numpy=lambda x: x + x * x / 2,
        second=False,
    ),
    Case(
        "log1p-tiny",
        lambda x: gn.log1p(x),
        (Arg((5,), low=-1e-9, high=1e-9),),
        numpy=lambda x: x - x * x / 2,
        second=False,
    ),
    Case("erf-wide", lambda x: gn.erf(x), (Arg((40,), low=-7, high=7),), torch=lambda x: torch.erf(x)),
    Case("erf-strided", lambda x: gn.erf(x.T), (MATRIX,), torch=lambda x: torch.erf(x.T)),
    *[
        exact(
            f"{f}-int", lambda x, f=f: getattr(gn, f)(x), lambda x, f=f: getattr(torch, f)(x), Arg((9,), "int32", -9, 9)
        )
        for f in ("negative", "abs", "sign", "square", "floor")
    ],
    Case("exp-int", lambda x: gn.exp(x), (Arg((9,), "int64", -5, 5),), torch=lambda x: torch.exp(x)),
]

CASES = [*ARITHMETIC, *INTEGERS, *COMPARISONS, *CHOICES, *FUNCTIONS]
