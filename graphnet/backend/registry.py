"""The backends by name."""

from __future__ import annotations

from collections.abc import Callable

from graphnet import config
from graphnet.backend.base import Backend
from graphnet.backend.naive import NaiveBackend
from graphnet.backend.numpy import NumpyBackend
from graphnet.errors import ArgumentError

_BACKENDS: dict[str, Callable[[], Backend]] = {"naive": NaiveBackend, "numpy": NumpyBackend}


def backend_names() -> list[str]:
    """The names that `compile(backend=...)` and GRAPHNET_BACKEND take."""
    return sorted(_BACKENDS)


def get_backend(name: str | None = None) -> Backend:
    """The backend called `name`, or the environment's choice. Raises `ArgumentError` for an unknown name."""
    wanted = config.backend(backend_names()) if name is None else name
    if wanted not in _BACKENDS:
        raise ArgumentError(f"backend must be one of {', '.join(backend_names())}, got {wanted!r}")
    return _BACKENDS[wanted]()
