"""The backends by name."""

from __future__ import annotations

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


def backend_names() -> list[str]:
    """The names that `compile(backend=...)` and GRAPHNET_BACKEND take."""
    return sorted([*_BACKENDS, _NATIVE])


def native() -> ModuleType:
    """The module of the native backend, which is imported when it is first asked for: it is large."""
    return import_module("graphnet.backend.native.backend")


def get_backend(name: str | None = None, threads: int | None = None) -> Backend:
    """The backend called `name`, or the environment's choice, with `threads` threads of its own.

    Where native code cannot be made here, a warning says why, and the numpy backend takes its place. Raises
    `ArgumentError` for an unknown name, for no positive number of threads, and where the backend has none of its own.
    """
    wanted = config.backend(backend_names()) if name is None else name
    if wanted not in backend_names():
        raise ArgumentError(f"backend must be one of {', '.join(backend_names())}, got {wanted!r}")
    if threads is not None and wanted != _NATIVE:
        raise ArgumentError(f"the {wanted} backend has no threads of its own: threads={threads!r} has no meaning")
    if isinstance(threads, bool) or not (threads is None or (isinstance(threads, int) and threads > 0)):
        raise ArgumentError(f"threads must be a positive integer or None, got {threads!r}")
    if wanted != _NATIVE:
        return _BACKENDS[wanted]()
    problem = native().why_not()
    if problem is None:
        made: Backend = native().NativeBackend(threads)
        return made
    warnings.warn(f"no native code here, the numpy backend does the work: {problem}", RuntimeWarning, stacklevel=3)
    return NumpyBackend()
