"""Every error graphnet raises on purpose. All derive from `GraphnetError` and from the closest built-in."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from graphnet.location import is_command, users_line

P = ParamSpec("P")
T = TypeVar("T")

_NAMES_A_LINE = re.compile(r"^  .*\bat .*:\d+$", re.MULTILINE)


class GraphnetError(Exception):
    """Base of all errors that graphnet raises on purpose.

    problem: what is wrong. The message says it and, where it names no line itself, ends with the user's.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem if _NAMES_A_LINE.search(problem) else problem + _at_users_line())


class ShapeError(GraphnetError, ValueError):
    """Shapes that do not fit an operation."""


class DtypeError(GraphnetError, TypeError):
    """A dtype that an operation does not take."""


class ArgumentError(GraphnetError, ValueError):
    """An argument outside what an operation, layer or option accepts."""


class DimError(GraphnetError, ValueError):
    """A named dimension that has no value, or a question about dimensions that has no answer."""


class GradientError(GraphnetError, ValueError):
    """A gradient that does not exist: a loss that is not scalar, or a node that the loss does not depend on."""


class FeedError(GraphnetError, ValueError):
    """An array given to a compiled function that is missing, unknown, or of the wrong shape or dtype."""


class DataError(GraphnetError, ValueError):
    """A value that an operation met while running and cannot use, such as a label out of range."""


class RewriteError(GraphnetError, RuntimeError):
    """A rewrite rule that changed the type of the node it replaced, or that never stops."""


class PlanError(GraphnetError, RuntimeError):
    """A memory plan in which a step would read or write bytes that are not its own."""


class CopyError(GraphnetError, TypeError):
    """A copy or a pickle of what belongs to one process: machine code, and the memory it runs on."""


class WeightsError(GraphnetError, ValueError):
    """A weights file that is damaged, or that belongs to another model."""


class ClaimError(GraphnetError, AssertionError):
    """An experiment whose numbers do not bear out what it claims."""


class MissingExtraError(GraphnetError, ImportError):
    """A package that only some features need, and that is not installed."""


def _at_users_line() -> str:
    file, line = users_line()
    return "" if is_command(file) else f"\n  at {file}:{line}"


def names_itself(function: Callable[P, T]) -> Callable[P, T]:
    """The public `function`, whose errors begin with its name."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except GraphnetError as error:
            name = function.__name__
            if error.problem.startswith(name):
                raise
            raise type(error)(f"{name}: {error.problem}") from None

    return call
