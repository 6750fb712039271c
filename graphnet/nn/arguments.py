"""Checks of what a layer is made with: the value that is right, or an `ArgumentError` that names layer and argument."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.types import DtypeLike, as_dtype

PLANNED = "the memory planner writes in place wherever it can"
"""Why no layer has `inplace`."""


def integer(layer: str, argument: str, value: object, *, least: int | None = None) -> int:
    """`value` as an int, of at least `least` where that is given."""
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not good or (least is not None and value < least):  # type: ignore[operator]
        wanted = "an integer" if least is None else f"an integer >= {least}"
        raise ArgumentError(f"{layer}: {argument} must be {wanted}, got {value!r}")
    return int(value)  # type: ignore[call-overload]


def positive(layer: str, argument: str, value: object) -> int:
    """`value` as an int >= 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"{layer}: {argument} must be a positive integer, got {value!r}")
    return int(value)


def number(layer: str, argument: str, value: object, *, least: float | None = None) -> float:
    """`value`, a finite number, of at least `least` where that is given; an integer stays one, as in PyTorch."""
    good = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or (least is not None and value < least):  # type: ignore[arg-type,operator]
        wanted = "a finite number" if least is None else f"a finite number >= {least:g}"
        raise ArgumentError(f"{layer}: {argument} must be {wanted}, got {value!r}")
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[return-value]


def fraction(layer: str, argument: str, value: object, what: str = "a number") -> float:
    """`value`, a number in [0, 1], as a float; `what` is what the message calls it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not 0 <= value <= 1:
        raise ArgumentError(f"{layer}: {argument} must be {what} in [0, 1], got {value!r}")
    return float(value)


def flag(layer: str, argument: str, value: object) -> bool:
    """`value`, which must be True or False: 1, "yes" and an argument in the wrong place are mistakes."""
    if not isinstance(value, (bool, np.bool)):
        raise ArgumentError(f"{layer}: {argument} must be True or False, got {value!r}")
    return bool(value)


def one_of(layer: str, argument: str, value: str, choices: Iterable[str]) -> str:
    """`value`, which must be one of a few words."""
    if value not in choices:
        raise ArgumentError(f"{layer}: {argument} must be one of {', '.join(choices)}, got {value!r}")
    return value


def per_axis(layer: str, argument: str, value: int | Sequence[int], axes: int, *, least: int) -> tuple[int, ...]:
    """One integer for each spatial axis, from one for all or one each."""
    values: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    good = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= least for n in values)
    if len(values) != axes or not good:
        several = f", or {axes} of them" if axes > 1 else ""
        raise ArgumentError(f"{layer}: {argument} must be an integer >= {least}{several}, got {value!r}")
    return tuple(int(n) for n in values)


def sizes(layer: str, argument: str, value: int | Iterable[int]) -> tuple[int, ...]:
    """One or more sizes: a positive integer, or some of them."""
    values = (value,) if isinstance(value, (int, np.integer)) else tuple(value) if np.iterable(value) else ()
    good = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in values)
    if not values or not good:
        raise ArgumentError(f"{layer}: {argument} must be a positive integer, or some of them, got {value!r}")
    return tuple(int(n) for n in values)


def float_dtype(layer: str, dtype: DtypeLike) -> np.dtype:
    """The dtype of a layer's parameters, which is floating-point; PyTorch's None is its default, float32."""
    found = as_dtype("float32" if dtype is None else dtype)
    if found.kind != "f":
        raise ArgumentError(f"{layer}: dtype must be float32 or float64, got {found}")
    return found


def refuse(layer: str, argument: str, value: object, supported: object, why: str = "") -> None:
    """Raise `ArgumentError` unless an argument has the one value that is supported."""
    if type(value) is not type(supported) or value != supported:
        because = f" ({why})" if why else ""
        raise ArgumentError(f"{layer}: {argument}={value!r} is not supported; leave it at {supported!r}{because}")
