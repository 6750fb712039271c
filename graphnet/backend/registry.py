"""The backends by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from graphnet import config
from graphnet.backend.base import Backend
from graphnet.backend.naive import NaiveBackend
from graphnet.backend.native.backend import NativeBackend, why_not
from graphnet.backend.numpy import NumpyBackend
from graphnet.errors import ArgumentError

_BACKENDS: dict[str, Callable[[], Backend]] = {
    "naive": NaiveBackend,
    "native": NativeBackend,
    "numpy": NumpyBackend,
}


def backend_names() -> list[str]:
    """The names that `compile(backend=...)` and GRAPHNET_BACKEND take."""
    return sorted(_BACKENDS)


def get_backend(name: str | None = None, threads: int | None = None) -> Backend:
    """The backend called `name`, or the environment's choice, with `threads` threads of its own.

    Where native code cannot be made here, a warning says why, and the numpy backend takes its place. Raises
    `ArgumentError` for an unknown name, for no positive number of threads, and where the backend has none of its own.
    """
    wanted = config.backend(backend_names()) if name is None else name
    if wanted not in _BACKENDS:
        raise ArgumentError(f"backend must be one of {', '.join(backend_names())}, got {wanted!r}")
    if threads is not None and wanted != NativeBackend.name:
        raise ArgumentError(f"the {wanted} backend has no threads of its own: threads={threads!r} has no meaning")
    if isinstance(threads, bool) or not (threads is None or (isinstance(threads, int) and threads > 0)):
        raise ArgumentError(f"threads must be a positive integer or None, got {threads!r}")
    if wanted != NativeBackend.name:
        return _BACKENDS[wanted]()
    problem = why_not()
    if problem is None:
        return NativeBackend(threads)
    warnings.warn(f"no native code here, the numpy backend does the work: {problem}", RuntimeWarning, stacklevel=3)
    return NumpyBackend()
