"""Parameter groups as optimizers take them, and checks of options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.arguments import refuse
from graphnet.ops.sources import Parameter

Params: TypeAlias = "Iterable[Parameter] | Iterable[Mapping[str, Any]]"
Options: TypeAlias = SimpleNamespace

_ENGINE = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}
"""Arguments that say how PyTorch carries out a step, with their defaults."""


@dataclass(frozen=True, eq=False)
class Group:
    """Parameters that share options; `kept` are scalars that the optimizer keeps for all of them."""

    params: tuple[Parameter, ...]
    options: Options
    kept: dict[str, Parameter] = field(default_factory=dict)


def refuse_engine(name: str, engine: Mapping[str, object]) -> None:
    """Raise for arguments that steer PyTorch's engine, unless they are at their defaults, and for unknown ones."""
    for argument, value in engine.items():
        if argument not in _ENGINE:
            raise TypeError(f"{name}.__init__() got an unexpected keyword argument {argument!r}")
        refuse(name, argument, value, _ENGINE[argument], "the step is compiled as a whole")


def listed_groups(name: str, params: Params) -> list[Mapping[str, Any]]:
    """`params` as groups: parameters become one group without options. Raises `ArgumentError`."""
    if isinstance(params, (Node, Mapping)) or not isinstance(params, Iterable):
        raise ArgumentError(f"{name}: params must be parameters, such as model.parameters(), got {params!r}")
    listed = list(params)
    if not listed:
        raise ArgumentError(f"{name}: got no parameters (an iterator that was already used up gives none)")
    if not isinstance(listed[0], Mapping):
        return [{"params": listed}]
    for group in listed:
        if not isinstance(group, Mapping):
            raise ArgumentError(f"{name}: groups and parameters cannot be mixed, got {group!r} among groups")
    return listed  # type: ignore[return-value]


def members(
    who: str, group: Mapping[str, Any], known: Mapping[str, Any], taken: Sequence[Parameter]
) -> list[Parameter]:
    """The parameters of a group. Raises `ArgumentError` for those in `taken`, and for options that are not `known`."""
    if not isinstance(group, Mapping) or "params" not in group:
        raise ArgumentError(f'{who}: a group must be a mapping with "params", got {group!r}')
    unknown = [option for option in group if option != "params" and option not in known]
    if unknown:
        raise ArgumentError(f"{who}: unknown option {unknown[0]!r}; a group may have {', '.join(known)}")
    params = group["params"]
    listed = [params] if isinstance(params, Parameter) else params
    if not isinstance(listed, Iterable) or isinstance(listed, (Node, Mapping, str)):
        raise ArgumentError(f"{who}: params must be parameters, such as model.parameters(), got {params!r}")
    listed = list(listed)
    if not listed:
        raise ArgumentError(f"{who}: got no parameters (an iterator that was already used up gives none)")
    for value in listed:
        if not isinstance(value, Parameter):
            raise ArgumentError(f"{who}: params must hold parameters only (no names), got {value!r}")
        if not value.type.is_float:
            raise ArgumentError(f"{who}: {value.name!r} is {value.dtype}; only floating-point parameters are trained")
    every = [*taken, *listed]
    if len(set(every)) != len(every):
        twice = next(value for value in listed if every.count(value) > 1)
        raise ArgumentError(f"{who}: {twice.name!r} is given twice")
    return listed


def check_number(name: str, argument: str, value: object, below: float = math.inf) -> float:
    """`value` as a float in [0, below). Raises `ArgumentError`."""
    good = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not good or not 0 <= value < below:  # type: ignore[operator]
        wanted = ">= 0" if below == math.inf else f"in [0, {below:g})"
        raise ArgumentError(f"{name}: {argument} must be a number {wanted}, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def check_betas(name: str, betas: object) -> tuple[float, float]:
    """`betas` as two floats in [0, 1). Raises `ArgumentError`."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ArgumentError(f"{name}: betas must be two numbers, got {betas!r}")
    first, second = (check_number(name, f"betas[{place}]", beta, 1.0) for place, beta in enumerate(betas))
    return first, second
