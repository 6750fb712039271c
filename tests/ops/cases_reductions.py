"""Rows for reductions, softmax and its kin, and cumulative sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import graphnet as gn
from tests.ops.case import Arg, Case, torch

INF, NAN = math.inf, math.nan
CUBE = Arg((3, 4, 2))


def reduction(name: str, reference: Callable[..., Any], arg: Arg = CUBE, **options: Any) -> list[Case]:
    """Rows for a reduction over every kind of axes. `reference` takes a tensor, a tuple of axes and keepdim."""
    build = getattr(gn, name)

    def row(suffix: str, axis: Any, axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]) -> Case:
        return Case(
            f"{name}-{suffix}",
            lambda x: build(x, axis=axis, keepdims=keepdims, **options),
            (Arg(shape, low=arg.low, high=arg.high),),
            torch=lambda x: reference(x, axes, keepdims),
        )

    return [
        row("all", None, (0, 1, 2), False, (3, 4, 2)),
        row("axis-0", 0, (0,), False, (3, 4, 2)),
        row("axis-negative", -2, (1,), False, (3, 4, 2)),
        row("axes", (0, 2), (0, 2), False, (3, 4, 2)),
        row("axes-negative-keepdims", (-1, 0), (0, 2), True, (3, 4, 2)),
        row("all-keepdims", None, (0, 1), True, (3, 4)),
        row("vector", None, (0,), False, (5,)),
    ]


def torch_prod(x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keepdim)
    return x


REDUCTIONS = [
    *reduction("mean", lambda x, axes, keep: torch.mean(x, axes, keep)),
    *reduction("var", lambda x, axes, keep: torch.var(x, axes, keepdim=keep)),
    *reduction("max", lambda x, axes, keep: torch.amax(x, axes, keep)),
    *reduction("min", lambda x, axes, keep: torch.amin(x, axes, keep)),
    *reduction("prod", torch_prod, Arg((), low=0.5, high=1.5)),
    *reduction("logsumexp", lambda x, axes, keep: torch.logsumexp(x, axes, keep)),
    Case("mean-scalar", lambda x: gn.mean(x), (Arg(()),), torch=lambda x: x.mean()),
    Case("mean-size-1", lambda x: gn.mean(x, 1), (Arg((3, 1)),), torch=lambda x: x.mean(1)),
    Case("mean-int", lambda x: gn.mean(x, 1), (Arg((3, 4), "int64", -9, 9),), torch=lambda x: x.float().mean(1)),
    Case("mean-method", lambda x: x.mean(0, True), (CUBE,), torch=lambda x: x.mean(0, True)),
    Case("mean-transposed", lambda x: gn.mean(x.T, 0), (CUBE,), torch=lambda x: x.permute(2, 1, 0).mean(0)),
    Case("var-correction-0", lambda x: gn.var(x, 1, correction=0), (CUBE,), torch=lambda x: x.var(1, correction=0)),
    Case("var-correction-2", lambda x: gn.var(x, 1, correction=2), (CUBE,), torch=lambda x: x.var(1, correction=2)),
    Case(
        "var-far-from-zero",
        lambda x: gn.var(x, 1),
        (Arg((3, 50), low=999.0, high=1001.0),),
        torch=lambda x: x.var(1),
        smooth=False,
        tolerance32=1e-3,
    ),
    Case("max-size-1", lambda x: gn.max(x, 1), (Arg((3, 1)),), torch=lambda x: x.amax(1)),
    Case("max-int", lambda x: gn.max(x, 1), (Arg((3, 4), "int32", -9, 9),), torch=lambda x: x.amax(1)),
    Case("max-bool", lambda x: gn.max(x, 1), (Arg((3, 2), "bool"),), torch=lambda x: x.amax(1)),
    Case("min-int", lambda x: gn.min(x), (Arg((3, 4), "int64", -9, 9),), torch=lambda x: x.amin()),
    *[
        Case(
            f"{name}-ties",
            lambda x, f=name: getattr(gn, f)(x, 1),
            (Arg((3, 4), values=((1.0, 3.0, 3.0, 1.0), (2.0, 2.0, 2.0, 2.0), (0.0, -0.0, -1.0, 1.0))),),
            torch=lambda x, f=name: getattr(torch, f"a{f}")(x, 1),
            smooth=False,
        )
        for name in ("max", "min")
    ],
    *[
        Case(
            f"{name}-special",
            lambda x, f=name: getattr(gn, f)(x, 1),
            (Arg((3, 3), values=((1.0, NAN, 3.0), (-INF, 2.0, INF), (-INF, -INF, -INF))),),
            torch=lambda x, f=name: getattr(torch, f"a{f}")(x, 1),
            differentiable=False,
        )
        for name in ("max", "min")
    ],
    Case("prod-int", lambda x: gn.prod(x, 1), (Arg((3, 4), "int32", -9, 9),), torch=lambda x: x.prod(1)),
    Case(
        "prod-zeros",
        lambda x: gn.prod(x, 1),
        (Arg((4, 3), values=((2.0, 0.0, 3.0), (0.0, 0.0, 3.0), (0.0, 0.0, 0.0), (2.0, 4.0, 3.0))),),
        torch=lambda x: x.prod(1),
    ),
    Case("prod-method-negative", lambda x: gn.prod(x, -1), (CUBE,), torch=lambda x: x.prod(-1)),
    Case(
        "logsumexp-extreme",
        lambda x: gn.logsumexp(x, 1),
        (Arg((5, 2), values=((1e4, 1e4), (-1e4, -1e4), (-INF, 1.0), (-1e4, 1e4), (-INF, -INF))),),
        torch=lambda x: torch.logsumexp(x, 1),
        smooth=False,
        tolerance32=1e-3,  # exp(x - y) has the error of y, which is 1e4 here
    ),
    Case(
        "logsumexp-infinite",
        lambda x: gn.logsumexp(x, 1),
        (Arg((2, 2), values=((INF, 1.0), (INF, -INF))),),
        torch=lambda x: torch.logsumexp(x, 1),
        differentiable=False,
    ),
]

POSITIONS = [
    Case(
        f"{name}-{suffix}",
        lambda x, f=name, o=options: getattr(gn, f)(x, **o),
        (arg,),
        torch=lambda x, f=name, o=options: getattr(torch, f)(x, dim=o.get("axis"), keepdim=o.get("keepdims", False)),
        differentiable=False,
    )
    for name in ("argmax", "argmin")
    for suffix, arg, options in (
        ("all", CUBE, {}),
        ("axis-0", CUBE, {"axis": 0}),
        ("axis-negative", CUBE, {"axis": -1}),
        ("keepdims", CUBE, {"axis": 1, "keepdims": True}),
        ("all-keepdims", Arg((3, 4)), {"keepdims": True}),
        ("int", Arg((3, 9), "int64", -3, 3), {"axis": 1}),
        ("ties", Arg((2, 4), values=((1.0, 2.0, 2.0, 1.0), (3.0, 3.0, 3.0, 3.0))), {"axis": 1}),
        ("nan", Arg((2, 3), values=((1.0, NAN, 3.0), (-INF, NAN, INF))), {"axis": 1}),
    )
]

SOFTMAXES = [
    case
    for name in ("softmax", "log_softmax")
    for case in (
        Case(
            name, lambda x, f=name: getattr(gn, f)(x), (Arg((3, 4)),), torch=lambda x, f=name: getattr(torch, f)(x, -1)
        ),
        Case(
            f"{name}-axis-0",
            lambda x, f=name: getattr(gn, f)(x, axis=0),
            (CUBE,),
            torch=lambda x, f=name: getattr(torch, f)(x, 0),
        ),
        Case(
            f"{name}-axis-middle",
            lambda x, f=name: getattr(gn, f)(x, axis=-2),
            (CUBE,),
            torch=lambda x, f=name: getattr(torch, f)(x, 1),
        ),
        Case(
            f"{name}-size-1",
            lambda x, f=name: getattr(gn, f)(x, axis=1),
            (Arg((3, 1)),),
            torch=lambda x, f=name: getattr(torch, f)(x, 1),
        ),
        Case(
            f"{name}-extreme",
            lambda x, f=name: getattr(gn, f)(x),
            (Arg((4, 3), values=((1e4, -1e4, 0.0), (-1e4, -1e4, -1e4), (-INF, 0.0, 1.0), (700.0, 710.0, -INF))),),
            torch=lambda x, f=name: getattr(torch, f)(x, -1),
            smooth=False,
        ),
        Case(
            f"{name}-infinite",
            lambda x, f=name: getattr(gn, f)(x),
            (Arg((3, 2), values=((INF, 1.0), (-INF, -INF), (NAN, 1.0))),),
            torch=lambda x, f=name: getattr(torch, f)(x, -1),
            differentiable=False,
        ),
    )
]

CUMULATIVE = [
    Case("cumsum", lambda x: gn.cumsum(x, 0), (Arg((5,)),), torch=lambda x: x.cumsum(0)),
    Case("cumsum-axis", lambda x: gn.cumsum(x, 1), (CUBE,), torch=lambda x: x.cumsum(1)),
    Case("cumsum-axis-negative", lambda x: gn.cumsum(x, -1), (CUBE,), torch=lambda x: x.cumsum(-1)),
    Case("cumsum-size-1", lambda x: gn.cumsum(x, 1), (Arg((3, 1)),), torch=lambda x: x.cumsum(1)),
    Case("cumsum-int32", lambda x: gn.cumsum(x, 1), (Arg((3, 4), "int32", -9, 9),), torch=lambda x: x.cumsum(1)),
    Case("cumsum-bool", lambda x: gn.cumsum(x, 0), (Arg((5,), "bool"),), torch=lambda x: x.cumsum(0)),
]

CASES = [*REDUCTIONS, *POSITIONS, *SOFTMAXES, *CUMULATIVE]
