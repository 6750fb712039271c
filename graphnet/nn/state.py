"""Many parameters overwritten by arrays under names: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from graphnet.errors import WeightsError
from graphnet.ops.sources import Parameter


class LoadResult(NamedTuple):
    """What loading with `strict=False` left alone: names that were not given, and names that nobody has."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_arrays(
    own: Mapping[str, Parameter], given: Mapping[str, Any], owner: str, *, strict: bool = True
) -> LoadResult:
    """Overwrite each parameter of `own` by what is given under its name; arrays are cast between float dtypes.

    Raises `WeightsError` that lists missing and unexpected names (where `strict`) and every array whose shape or
    dtype does not fit, and then changes nothing.
    """
    if not isinstance(given, Mapping):
        raise WeightsError(f"expected a mapping from names to arrays for {owner}, got {given!r}")
    arrays = {name: np.asarray(value) for name, value in given.items()}
    result = LoadResult([name for name in own if name not in arrays], [name for name in arrays if name not in own])
    problems = [_misfit(name, own[name], array) for name, array in arrays.items() if name in own]
    lines = [problem for problem in problems if problem]
    if strict:
        missing = [f"missing: {name} {own[name].type}" for name in result.missing_keys]
        lines = [*missing, *(f"unexpected: {name}" for name in result.unexpected_keys), *lines]
    if lines:
        raise WeightsError(f"these weights do not fit {owner}:\n  " + "\n  ".join(lines))
    for name, parameter in own.items():
        if name in arrays:
            parameter.set_value(arrays[name])
    return result


def _misfit(name: str, own: Parameter, array: np.ndarray) -> str:
    if array.shape != own.shape:
        return f"misshapen: {name} has shape {own.shape} here, {array.shape} in the weights"
    if not np.can_cast(array.dtype, own.dtype, casting="same_kind"):
        return f"wrong dtype: {name} is {own.dtype} here, {array.dtype} in the weights"
    return ""
