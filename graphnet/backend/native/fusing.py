"""Few passes over memory, in the graph: elementwise work goes into the reductions that read it, and reductions of the
same arrays become one.

A value that is little work and comes from one array is worked out again by each of its readers, who read that array in
its place, so that it is never stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphnet.backend.native.cropping import crop_padded
from graphnet.backend.native.statistics import Moments, Sums
from graphnet.graph.graph import Graph, reapply
from graphnet.graph.node import Node
from graphnet.graph.provenance import deriving
from graphnet.ops.comparison import Where
from graphnet.ops.elementwise import Add, Divide, Multiply, Subtract
from graphnet.ops.fused import Part
from graphnet.ops.reductions import Mean
from graphnet.ops.shaping import Cast, Sum, reshape
from graphnet.ops.sources import size_of
from graphnet.ops.unary import Negative, Square
from graphnet.rewrite.driver import Any, Apply, Context, Firing, Log, Rule, rule
from graphnet.rewrite.fusion import fused

LEAST = 4096  # elements of what is worth it
MOST_PARTS = 24
_MOST_COPIED = 6  # parts of a value that is worked out again
_MOST_RESULTS = 6  # sums of one pass: their partial sums have to stay in registers
# What each reader of a value works out for itself.
LITTLE = (Add, Subtract, Multiply, Divide, Negative, Square, Cast, Where)

_EQUATION = "sum(f(x)), sum(g(x, y))  -->  sums(x, y)    where f and g are elementwise: one pass, which stores neither"

x, y, factor = Any("x"), Any("y"), Any("factor")


@rule(Apply(Sum, Apply(Square, Apply(Subtract, x, Apply(Mean, x, name="mean"))), name="node"))
def moments_in_one_pass(x: Node, mean: Node, node: Node) -> Node | None:
    """sum(square(x - mean(x)))  -->  moments(x)[1]    which reads x once"""
    axes = _axes(node)
    if axes != _axes(mean) or mean.type != mean.op.kept(x.type):  # type: ignore[attr-defined]
        return None
    return reshape(Moments(axes)(x)[1], node.shape)


@rule(Apply(Mean, x, name="node"))
def mean_of_moments(x: Node, node: Node, context: Context) -> Node | None:
    """mean(x)  -->  moments(x)[0]    where the moments are wanted"""
    op = Moments(_axes(node))  # those of x as it was when the round began count as well: they are about to be x's
    wanted = any(reader.op == op for reader in context.users(x))
    return reshape(op(x)[0], node.shape) if wanted else None


@rule(Apply((Sum, Mean), Apply(Multiply, x, factor, either_order=True, name="product"), name="node"))
def factor_out_of_sum(x: Node, factor: Node, product: Node, node: Node, context: Context) -> Node | None:
    """sum(x * c)  -->  sum(x) * c    where c is one number for all that is summed, and x is read anyway"""
    read = context.is_read_once(product) or len(context.users(x)) > 1
    return _factored(node, x, factor) if read else None


@rule(
    Apply((Sum, Mean), Apply(Multiply, Apply(Multiply, x, factor, either_order=True), y, name="product"), name="node")
)
def factor_out_of_products(x: Node, factor: Node, y: Node, product: Node, node: Node, context: Context) -> Node | None:
    """sum((x * c) * y)  -->  sum(x * y) * c    where c is one number for all that is summed

    The gradients of a normalization and of its scale are then made of the same two sums.
    """
    return _factored(node, x * y, factor) if x.shape == y.shape and context.is_read_once(product) else None


def _factored(node: Node, rest: Node, factor: Node) -> Node | None:
    """The reduction of rest * factor as one Sum, whatever the reduction, so that others of `rest` are the same node."""
    axes = _axes(node)
    whole = node.inputs[0]
    missing = whole.ndim - factor.ndim
    alike = all(axis < missing or factor.shape[axis - missing] == 1 for axis in axes)
    if rest.type != whole.type or factor.shape == whole.shape or not alike or not _is_reduction(node):
        return None
    total = reshape(Sum(axes, False)(rest), node.shape)
    if isinstance(node.op, Mean):
        total = total / size_of(math.prod(whole.type.static_shape[axis] for axis in axes), node.dtype)
    if node.ndim < whole.ndim:
        factor = reshape(factor, [size for axis, size in enumerate(factor.shape, missing) if axis not in axes])
    return total * factor


MOMENTS: list[Rule] = [moments_in_one_pass, mean_of_moments]
FACTORS: list[Rule] = [factor_out_of_products, factor_out_of_sum]


def fuse_passes(graph: Graph, log: Log) -> Graph:
    """`graph` with elementwise work fused into the elementwise work and the reductions that read it."""
    return _Passes(crop_padded(graph, log, is_fusible, _reads_elements), log).graph_after()


def _reads_elements(node: Node, value: Node) -> bool:
    """Whether the node reads each element of `value` for itself, wherever it lies."""
    return _is_reduction(node) or (is_fusible(node) and node.shape == value.shape)


def _axes(node: Node) -> tuple[int, ...]:
    """The axes of a reduction, counted from the front, in order."""
    return tuple(sorted(axis % node.inputs[0].ndim for axis in node.op.attributes["axes"]))


def _size(node: Node) -> int:
    return node.type.static_size


def is_fusible(node: Node) -> bool:
    """Whether the node may be worked out with other elementwise nodes."""
    return node.op.elementwise and not node.op.can_fail and _size(node) > LEAST


def _is_reduction(node: Node) -> bool:
    if not isinstance(node.op, (Sum, Mean)):
        return False
    (value,) = node.inputs
    return value.dtype.name in ("float32", "float64") and _size(value) > LEAST and bool(_axes(node))


@dataclass
class _Together:
    """Reductions that become one."""

    nodes: list[Node]
    sources: set[Node] = field(default_factory=set)


class _Passes:
    """A graph as it is fused: for each node, those that are worked out with it."""

    def __init__(self, graph: Graph, log: Log) -> None:
        self.graph, self.log = graph, log
        self.roots = set(graph.roots)
        self.place = {node: place for place, node in enumerate(graph.nodes)}
        self.copied: dict[Node, Node] = {}  # what every reader works out, and the array that it comes from
        self.members: dict[Node, list[Node]] = {}  # the elementwise nodes of each fusible node or reduction, in order
        self.together: dict[Node, _Together] = {}
        self.replaced: dict[Node, Node] = {}
        for node in graph.nodes:
            if is_fusible(node):
                self._note_copied(node)
                self.members[node] = self._with_inputs(node)
            elif _is_reduction(node):
                (value,) = node.inputs
                takes = is_fusible(value) and (value in self.copied or self._is_only_for(value, node))
                self.members[node] = self.members[value] if takes else []

    def graph_after(self) -> Graph:
        wanted = self._wanted()
        for node in self.graph.nodes:
            if node in wanted and _is_reduction(node):
                self._join(node)
        stack = list(reversed(self.graph.roots))
        while stack:
            missing = [value for value in self._reads(stack[-1]) if value not in self.replaced]
            if missing:
                stack += reversed(missing)
                continue
            node = stack.pop()
            if node not in self.replaced:
                self._replace(node)
        return self.graph.substitute(self.replaced)

    # -- what goes where ---------------------------------------------------------------------------------------------

    def _note_copied(self, node: Node) -> None:
        """Whether each of the node's several readers had better work it out from the one array that it comes from."""
        readers = self.graph.users[node]
        if len(readers) < 2 or node in self.roots or not isinstance(node.op, LITTLE):
            return
        if not all(_is_reduction(r) or (is_fusible(r) and r.shape == node.shape) for r in readers):
            return
        expression = self._with_inputs(node, only_copied=True)
        if len(expression) > _MOST_COPIED or not all(isinstance(part.op, LITTLE) for part in expression):
            return
        arrays = [value for value in _outside(expression) if _size(value) * 2 > _size(node)]
        if len(arrays) == 1 and arrays[0].type.nbytes <= node.type.nbytes:
            self.copied[node] = arrays[0]

    def _with_inputs(self, node: Node, *, only_copied: bool = False) -> list[Node]:
        """The node, last, and those of its inputs that are worked out with it, in the order of the graph."""
        members = [node]
        for value in dict.fromkeys(node.inputs):
            goes = value in self.copied or (not only_copied and self._is_only_for(value, node))
            if goes and is_fusible(value) and value.shape == node.shape:  # a reduction is a pass of its own
                more = [member for member in self.members[value] if member not in members]
                if len(members) + len(more) <= MOST_PARTS:
                    members += more
        return sorted(members, key=self.place.__getitem__)

    def _is_only_for(self, value: Node, reader: Node) -> bool:
        return self.graph.users[value] == [reader] and value not in self.roots

    def _wanted(self) -> set[Node]:
        """The nodes that are not just worked out inside others."""
        wanted = set(self.graph.roots)
        for node in reversed(self.graph.nodes):
            if node in wanted:
                wanted.update(self._arrays(node))
        return wanted

    def _arrays(self, node: Node) -> Sequence[Node]:
        """What the node, with what is worked out inside it, reads."""
        members = self.members.get(node, [])
        return _outside(members) if members else node.inputs

    # -- reductions together -----------------------------------------------------------------------------------------

    def _join(self, node: Node) -> None:
        """Put a reduction to an earlier one of the same axes that reads the same array, if neither waits for it."""
        value = node.inputs[0]
        sources = {array for array in self._arrays(node) if array.shape == value.shape}
        for known in dict.fromkeys(id(group) for group in self.together.values()):
            group = next(g for g in self.together.values() if id(g) == known)
            first = group.nodes[0]
            like = (first.inputs[0].type, _axes(first)) == (value.type, _axes(node))
            if like and len(group.nodes) < _MOST_RESULTS and group.sources & sources and self._is_apart(node, group):
                group.nodes.append(node)
                group.sources |= sources
                self.together[node] = group
                return
        self.together[node] = _Together([node], sources)

    def _is_apart(self, node: Node, group: _Together) -> bool:
        """Whether the node does not wait for the group, also by way of what else is done together."""
        stack, seen = list(self._arrays(node)), set[Node]()
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            others = self.together.get(value)
            if others is group:
                return False
            stack += self._reads(value)
        return True

    def _reads(self, node: Node) -> list[Node]:
        """What has to be there before the node, and those that are done together with it."""
        nodes = self.together[node].nodes if node in self.together else [node]
        return [value for each in nodes for value in self._arrays(each)]

    # -- the nodes that stand there then -----------------------------------------------------------------------------

    def _replace(self, node: Node) -> None:
        members = self.members.get(node, [])
        if node in self.together and (members or len(self.together[node].nodes) > 1):
            self._replace_reductions(self.together[node].nodes)
        elif len(members) > 1:
            with deriving(node, rule="fuse"):
                self.replaced[node] = fused(members, self.replaced)
            self._tell("f(g(x), y)  -->  fused(x, y)    where f and g are elementwise, of one shape", node)
        else:
            with deriving(node):
                self.replaced[node] = reapply(node, [self.replaced[value] for value in node.inputs])

    def _replace_reductions(self, nodes: Sequence[Node]) -> None:
        members = sorted({member for node in nodes for member in self.members[node]}, key=self.place.__getitem__)
        arrays = list(dict.fromkeys([*_outside(members), *(n.inputs[0] for n in nodes if not self.members[n])]))
        numbers = {value: number for number, value in enumerate([*arrays, *members])}
        parts: list[Part] = [(part.op, tuple(numbers[value] for value in part.inputs)) for part in members]
        results = tuple(dict.fromkeys(numbers[node.inputs[0]] for node in nodes))
        op = Sums(len(arrays), tuple(parts), results, _axes(nodes[0]))
        for node in nodes:
            with deriving(node, rule="sums_in_one_pass"):
                place = results.index(numbers[node.inputs[0]])
                total = reshape(op(*(self.replaced[value] for value in arrays))[place], node.shape)
                if isinstance(node.op, Mean):
                    total = total / size_of(
                        math.prod(node.inputs[0].type.static_shape[a] for a in _axes(node)), node.dtype
                    )
                self.replaced[node] = total
            self._tell(_EQUATION, node)

    def _tell(self, equation: str, node: Node) -> None:
        name = "sums_in_one_pass" if node in self.together else "fuse"
        self.log.firings.append(Firing(name, equation, node, self.replaced[node]))


def _outside(members: Sequence[Node]) -> list[Node]:
    """What the members read of others."""
    inside = set(members)
    return list(dict.fromkeys(value for member in members for value in member.inputs if value not in inside))
