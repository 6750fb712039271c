"""Where a node came from: the user's line, the layer it belongs to, its part in the step, the rule that made it.

Kept in a side table, never in a node's identity: two equal expressions on two lines are one node, which keeps the
first line. Differentiation and rewriting work inside `deriving(node)`, so that what they build points back to the
line of the model that it came from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from graphnet.graph.node import Node

_PACKAGE = str(Path(__file__).resolve().parent.parent) + "/"
_COMMANDS = _PACKAGE + "cli/"

FORWARD, BACKWARD, UPDATE = "forward", "backward", "update"


@dataclass(frozen=True, slots=True)
class Provenance:
    """The story of one node.

    file, line: the user's, nearest to the declaration. scope: names of the enclosing layers, outermost first.
    role: forward, backward or update. rule: the rewrite rule that made it, "" if it was declared.
    """

    file: str
    line: int
    scope: tuple[str, ...] = ()
    role: str = FORWARD
    rule: str = ""

    @property
    def location(self) -> str:
        """`file:line`, as editors take it."""
        return f"{self.file}:{self.line}"


_UNKNOWN = Provenance("<unknown>", 0)
_table: WeakKeyDictionary[Node, Provenance] = WeakKeyDictionary()
_current: ContextVar[Provenance | None] = ContextVar("graphnet_provenance", default=None)
_scope: ContextVar[tuple[str, ...]] = ContextVar("graphnet_scope", default=())
_role: ContextVar[str] = ContextVar("graphnet_role", default=FORWARD)
_made_at: ContextVar[tuple[str, int] | None] = ContextVar("graphnet_made_at", default=None)
_layer_calls: set[CodeType] = set()


def record(node: Node) -> None:
    """Remember where `node`, just made, came from."""
    _table[node] = _current.get() or here()


def provenance(node: Node) -> Provenance:
    """Where `node` came from."""
    return _table.get(node, _UNKNOWN)


def belongs_here(node: Node) -> None:
    """Move `node`, declared before its layer was called, into the scope in force now: how parameters find theirs."""
    _table[node] = replace(provenance(node), scope=_scope.get())


def here() -> Provenance:
    """The user's line that is being executed, with the scope and role in force.

    A layer that no line of the user's calls, since a container or a command does, stands for the line that made it.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_code.co_filename):
        made_at = _made_at.get() if frame.f_code in _layer_calls else None
        if made_at is not None and frame.f_back.f_code.co_filename.startswith(_PACKAGE):
            return Provenance(*made_at, _scope.get(), _role.get())
        frame = frame.f_back
    return Provenance(frame.f_code.co_filename, frame.f_lineno, _scope.get(), _role.get())


@cache
def _is_ours(file: str) -> bool:
    """Whether a file is the system's; the command line stands where a user's own program would."""
    return file.startswith(_PACKAGE) and not file.startswith(_COMMANDS)


def current_location() -> str:
    """`file:line` for an error about what is being declared or derived now."""
    return (_current.get() or here()).location


@contextmanager
def deriving(node: Node, *, role: str | None = None, rule: str | None = None) -> Iterator[None]:
    """Nodes made inside take `node`'s line and scope; `role` and `rule`, where given, are their own."""
    origin = provenance(node)
    if role is not None:
        origin = replace(origin, role=role)
    if rule is not None:
        origin = replace(origin, rule=rule)
    token = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def made_at(file: str, line: int, call: CodeType) -> Iterator[None]:
    """Inside, a layer made at this line runs, called by the function whose code is `call`."""
    _layer_calls.add(call)
    token = _made_at.set((file, line))
    try:
        yield
    finally:
        _made_at.reset(token)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Nodes declared inside belong to the layer `name` of the layers around it."""
    token = _scope.set((*_scope.get(), name))
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def acting_as(role: str) -> Iterator[None]:
    """Nodes declared inside have this role: an optimizer's are the update's."""
    token = _role.set(role)
    try:
        yield
    finally:
        _role.reset(token)
