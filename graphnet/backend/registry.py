"""The backends by name."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from graphnet import config
from graphnet.backend.base import Backend
from graphnet.backend.naive import NaiveBackend
from graphnet.backend.numpy import NumpyBackend
from graphnet.errors import ArgumentError

_BACKENDS: dict[str, Callable[[], Backend]] = {"naive": NaiveBackend, "numpy": NumpyBackend}
_NATIVE = "native"
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|)")
_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}


def backend_names() -> list[str]:
    """The names that `compile(backend=...)` and GRAPHNET_BACKEND take."""
    return sorted([*_BACKENDS, _NATIVE])


def native() -> ModuleType:
    """The module of the native backend, which is imported when it is first asked for: it is large."""
    return import_module("graphnet.backend.native.backend")


def get_backend(name: str | None = None, threads: int | None = None, tune: float | str | None = None) -> Backend:
    """The backend called `name`, or the environment's choice, with `threads` threads of its own.

    tune: how long it measures, at most; see `compile`.

    Where native code cannot be made here, a warning says why, and the numpy backend takes its place. Raises
    `ArgumentError` for an unknown name, for no positive number of threads or seconds, and where the backend has no
    threads of its own or nothing to measure.
    """
    wanted = config.backend(backend_names()) if name is None else name
    if wanted not in backend_names():
        raise ArgumentError(f"backend must be one of {', '.join(backend_names())}, got {wanted!r}")
    if threads is not None and wanted != _NATIVE:
        raise ArgumentError(f"the {wanted} backend has no threads of its own: threads={threads!r} has no meaning")
    seconds = None if tune is None else seconds_of(tune)
    if tune is not None and wanted != _NATIVE:
        raise ArgumentError(f"the {wanted} backend has one way to do each step: tune={tune!r} has no meaning")
    if isinstance(threads, bool) or not (threads is None or (isinstance(threads, int) and threads > 0)):
        raise ArgumentError(f"threads must be a positive integer or None, got {threads!r}")
    if wanted != _NATIVE:
        return _BACKENDS[wanted]()
    problem = native().why_not()
    if problem is None:
        made: Backend = native().NativeBackend(threads, seconds)
        return made
    warnings.warn(f"no native code here, the numpy backend does the work: {problem}", RuntimeWarning, stacklevel=3)
    return NumpyBackend()


def seconds_of(tune: float | str) -> float:
    """A time such as 30, "30s" or "2min" in seconds. Raises `ArgumentError` for anything else."""
    match = _TIME.fullmatch(tune.strip()) if isinstance(tune, str) else None
    seconds = float(match[1]) * _UNITS[match[2]] if match else tune
    if isinstance(seconds, (str, bool)) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
        raise ArgumentError(f"tune={tune!r}: expected seconds such as 30, '30s' or '2min', more than none of them")
    return float(seconds)
