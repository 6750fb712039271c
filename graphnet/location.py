"""The user's line: the one being executed, nearest to where we are, that is no part of graphnet."""

from __future__ import annotations

import os.path
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import CodeType

_PACKAGE = os.path.dirname(os.path.realpath(__file__)) + os.sep  # not pathlib, whose import takes longer than ours
_COMMANDS = _PACKAGE + "cli/"
_WITH = contextmanager.__code__.co_filename  # whose frames lie between a `with` and what it enters

_made_at: ContextVar[tuple[str, int] | None] = ContextVar("graphnet_made_at", default=None)
_layer_calls: set[CodeType] = set()


def users_line() -> tuple[str, int]:
    """File and line; the command line, which is ours, stands where a user's own program would.

    A layer that no line of the user's calls, since a container or a command does, stands for the line that made it.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_code.co_filename):
        made_at = _made_at.get() if frame.f_code in _layer_calls else None
        if made_at is not None and frame.f_back.f_code.co_filename.startswith(_PACKAGE):
            return made_at
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


@cache
def _is_ours(file: str) -> bool:
    return file == _WITH or (file.startswith(_PACKAGE) and not file.startswith(_COMMANDS))


def is_command(file: str) -> bool:
    """Whether a file belongs to the command line, whose users have no line of their own."""
    return file.startswith(_COMMANDS)


@contextmanager
def made_at(file: str, line: int, call: CodeType) -> Iterator[None]:
    """Inside, a layer made at this line runs, called by the function whose code is `call`."""
    _layer_calls.add(call)
    token = _made_at.set((file, line))
    try:
        yield
    finally:
        _made_at.reset(token)
