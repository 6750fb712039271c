"""Where a node came from: the user's line, the layer it belongs to, its part in the step, the rule that made it.

Kept in a side table, never in a node's identity: two equal expressions on two lines are one node, which keeps the
first line. Differentiation and rewriting work inside `deriving(node)`, so that what they build points back to the
line of the model that it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from graphnet.location import users_line

if TYPE_CHECKING:
    from graphnet.graph.node import Node

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
    """The user's line that is being executed, with the scope and role in force."""
    return Provenance(*users_line(), _scope.get(), _role.get())


def current_location() -> str:
    """`file:line` for an error about what is being declared or derived now."""
    return (_current.get() or here()).location


def deriving(node: Node, *, role: str | None = None, rule: str | None = None) -> AbstractContextManager[None]:
    """Nodes made inside take `node`'s line and scope; `role` and `rule`, where given, are their own."""
    at = provenance(node)
    if role is not None or rule is not None:
        own = at.role if role is None else role, at.rule if rule is None else rule
        at = Provenance(at.file, at.line, at.scope, *own)
    return _Deriving(at)


class _Deriving(AbstractContextManager[None]):
    """Nodes made inside come from `origin`. No generator: rewriting enters it for every node, many times over."""

    __slots__ = ("_origin", "_token")

    def __init__(self, origin: Provenance) -> None:
        self._origin = origin

    def __enter__(self) -> None:
        self._token = _current.set(self._origin)

    def __exit__(self, *error: object) -> None:
        _current.reset(self._token)


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
