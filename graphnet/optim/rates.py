"""What may be a learning rate: a number, a node, a schedule, or `ReduceLROnPlateau`."""

from __future__ import annotations

from typing import TypeAlias

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.ops.shaping import cast
from graphnet.ops.sources import Parameter, constant
from graphnet.optim.groups import check_number
from graphnet.optim.plateau import ReduceLROnPlateau
from graphnet.optim.schedules import Schedule

Rate: TypeAlias = "float | Node | Schedule | ReduceLROnPlateau"


def checked_rate(who: str, lr: Rate) -> Rate:
    """`lr`, numbers as floats. Raises `ArgumentError` that begins with `who`."""
    if isinstance(lr, Node):
        if lr.shape != () or not lr.type.is_float:
            raise ArgumentError(f"{who}: lr must be a floating-point scalar, got {lr.type}")
        return lr
    return lr if isinstance(lr, (Schedule, ReduceLROnPlateau)) else check_number(who, "lr", lr)


def rate_at(lr: Rate, steps_made: Parameter) -> Node:
    """The rate of the step after `steps_made` steps, a float64 scalar node."""
    if isinstance(lr, Schedule):
        return lr(steps_made)
    if isinstance(lr, ReduceLROnPlateau):
        return lr.lr
    return cast(lr, "float64") if isinstance(lr, Node) else constant(lr, "float64")
