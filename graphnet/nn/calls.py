"""Watching which module calls which, while a graph is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from graphnet.nn.module import Module

Watcher: TypeAlias = "Callable[[Module, tuple[Any, ...], dict[str, Any]], Any]"

_watcher: ContextVar[Watcher | None] = ContextVar("graphnet_watcher", default=None)


def declared(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `module.forward` gives; whoever watches is told of the call and makes it."""
    watcher = _watcher.get()
    return module.forward(*args, **kwargs) if watcher is None else watcher(module, args, kwargs)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Modules called inside are given to `watcher`, with their arguments; it calls `forward` and returns the result."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
