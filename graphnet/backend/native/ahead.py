"""Derivatives beside the forward pass: what takes long and needs nothing but an array that waits for it is worked out
where that array is read anyway, and waits in its place.

The gradient of x -> gelu(x + b), say, is dy * d(x + b). x is kept for d alone; d needs the erf that gelu has just
worked out, and is as large as x. So the backward pass is left with one multiplication, which rides with the product
that makes dy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphnet.backend.native.fusing import LITTLE, MOST_PARTS, is_fusible
from graphnet.graph.graph import Graph, reapply
from graphnet.graph.node import Node
from graphnet.graph.provenance import deriving
from graphnet.graph.traversal import reaching
from graphnet.ops import unary
from graphnet.ops.activations import (
    Elu,
    Gelu,
    GeluSlope,
    GeluTanh,
    GeluTanhSlope,
    LogSigmoid,
    Sigmoid,
    Silu,
    Softplus,
)
from graphnet.ops.fused import FusedAhead
from graphnet.ops.powers import Power
from graphnet.ops.unary import Cos, Erf, Exp, Expm1, Log1p, Sin, Tan, Tanh
from graphnet.rewrite.driver import Firing, Log
from graphnet.rewrite.fusion import fused
from graphnet.schedule import base, is_step, prepared_steps

_LONG = (
    *(Cos, Erf, Exp, Expm1, unary.Log, Log1p, Power, Sin, Tan, Tanh),
    *(Elu, Gelu, GeluSlope, GeluTanh, GeluTanhSlope, LogSigmoid, Sigmoid, Silu, Softplus),
)

_EQUATION = "f(x), dy * g(x)  -->  f(x), dy * ahead(x)    where g takes long, and x waits for it alone: in place of x"


def work_out_ahead(graph: Graph, log: Log) -> Graph:
    """f(x), dy * g(x)  -->  f(x), dy * ahead(x)    where g takes long, and x waits for it alone

    No more bytes wait for the backward pass than before: what is worked out ahead is of x's type and lies where x lay.
    """
    values = _Values(graph)
    found = {value: members for node in graph.nodes for value, members in values.waiting(node)}
    if not found:
        return graph
    replaced: dict[Node, Node] = {}
    for node in graph.nodes:
        if node in found:
            with deriving(node, rule="ahead"):
                replaced[node] = fused(found[node], replaced, FusedAhead)
            log.firings.append(Firing("ahead", _EQUATION, node, replaced[node]))
        else:
            with deriving(node):
                replaced[node] = reapply(node, [replaced[value] for value in node.inputs])
    return graph.substitute(replaced)


class _Values:
    """What waits for what, in a graph as it is."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.roots = set(graph.roots)
        self.place = {node: place for place, node in enumerate(graph.nodes)}
        self.prepared = prepared_steps(graph)  # these wait from one call to the next, whoever reads them

    def waiting(self, reader: Node) -> Iterator[tuple[Node, list[Node]]]:
        """The inputs of an elementwise node that had better be worked out ahead, each with what that takes."""
        if not is_fusible(reader):
            return
        for value in dict.fromkeys(reader.inputs):
            alone = self.graph.users[value] == [reader] and value not in self.roots
            if alone and is_fusible(value) and value.type == reader.type and value.type.is_float:
                members = self._members(value)
                pays = len(members) <= MOST_PARTS and any(isinstance(member.op, _LONG) for member in members)
                array = _only_array(value, members) if pays else None
                if array is not None and self._waits(array, value, members, reader):
                    yield value, members

    def _members(self, value: Node) -> list[Node]:
        """What can be worked out with a value: what is for it alone, and little work on an array that is there anyway.

        In the order of the graph.
        """
        members = {value}
        waiting = set(value.inputs)
        while waiting:
            part = max(waiting, key=self.place.__getitem__)  # of those that read it, the members are known by now
            waiting.remove(part)
            if part not in self.roots and part.shape == value.shape and is_fusible(part):
                alone = all(user in members for user in self.graph.users[part])
                if alone or (isinstance(part.op, LITTLE) and self._is_worked_out_again(part)):
                    members.add(part)
                    waiting.update(part.inputs)
        return sorted(members, key=self.place.__getitem__)

    def _is_worked_out_again(self, value: Node) -> bool:
        """Whether each reader of the value may do so, reading the one array that it comes from."""
        arrays = [part for part in value.inputs if part.type.static_size * 2 > value.type.static_size]
        fits = all(is_fusible(user) and user.shape == value.shape for user in self.graph.users[value])
        return fits and len(arrays) == 1 and arrays[0].type == value.type

    def _waits(self, array: Node, value: Node, members: Sequence[Node], reader: Node) -> bool:
        """Whether the array waits for the value alone, from a forward pass over its elements until the reader comes."""
        whole = base(array)
        if not is_step(whole) or array.type != value.type or whole.type.nbytes != array.type.nbytes:
            return False
        if whole in self.prepared:
            return False
        others = self._other_readers(whole, value, set(members))
        if others is None or not others or not all(is_fusible(o) and o.shape == value.shape for o in others):
            return False
        behind = self._behind(whole, reader)
        before = self._before(reader, behind)
        late = any(not _is_local(node) for node in before)
        return late and all(o in before and all(map(_is_local, self._before(o, behind))) for o in others)

    def _other_readers(self, whole: Node, value: Node, members: set[Node]) -> set[Node] | None:
        """Who else reads an array, or what members make of it; None where it is a result."""
        found: set[Node] = set()
        stack = [whole]
        while stack:
            node = stack.pop()
            if node in self.roots:
                return None
            for user in self.graph.users[node]:
                if user is value:
                    continue
                if user.op.is_view or user in members or self._is_worked_out_by_readers(user):
                    stack.append(user)
                else:
                    found.add(user)
        return found

    def _is_worked_out_by_readers(self, value: Node) -> bool:
        """Whether there will be no such array: who reads the value reads what it is made of, as late as that is."""
        users = self.graph.users[value]
        if value in self.roots or not is_fusible(value):
            return False
        alone = len(users) == 1 and is_fusible(users[0]) and users[0].shape == value.shape
        return alone or (isinstance(value.op, LITTLE) and self._is_worked_out_again(value))

    def _behind(self, whole: Node, last: Node) -> set[Node]:
        """The nodes up to `last` that depend on an array."""
        return reaching(self.graph.nodes[self.place[whole] : self.place[last]], [whole]) - {whole}

    def _before(self, node: Node, within: set[Node]) -> set[Node]:
        """The nodes of some that a node depends on, if only others of them lie in between."""
        found: set[Node] = set()
        stack = [node]
        while stack:
            for value in stack.pop().inputs:
                if value in within and value not in found:
                    found.add(value)
                    stack.append(value)
        return found


def _is_local(node: Node) -> bool:
    """Whether a pass over the elements of what the node reads goes on at it."""
    return node.op.is_view or node.op.elementwise


def _only_array(value: Node, members: Sequence[Node]) -> Node | None:
    """The one array of about the value's size that its members read; None where there are more."""
    outside = {part for member in members for part in member.inputs if part not in members}
    arrays = [part for part in outside if part.type.static_size * 2 > value.type.static_size]
    return arrays[0] if len(arrays) == 1 else None
