"""Fusion: elementwise ops that only feed one another become one step that works tile by tile.

What lies between them then needs a tile of memory each instead of whole arrays. Smaller values than a tile are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphnet.graph.graph import Graph, reapply
from graphnet.graph.node import Node
from graphnet.graph.provenance import deriving
from graphnet.ops.fused import TILE, Fused, Part
from graphnet.rewrite.driver import Firing, Log

_MOST_PARTS = 24

_EQUATION = "f(g(x), y)  -->  fused(x, y)    where f and g are elementwise, of one shape, and f alone reads g(x)"


def fuse(graph: Graph, log: Log) -> Graph:
    """f(g(x), y)  -->  fused(x, y)    where f and g are elementwise, of one shape, and f alone reads g(x)"""
    group: dict[Node, list[Node]] = {}  # a node that is computed, with those computed inside it, in order
    inside: set[Node] = set()
    for node in graph.nodes:
        if not _fusible(node):
            continue
        members = [node]
        for value in dict.fromkeys(node.inputs):
            if value in group and _only_for(value, node, graph) and len(members) + len(group[value]) <= _MOST_PARTS:
                members = [*(m for m in group[value] if m not in members), *members]
                inside.add(value)
        group[node] = members
    replaced: dict[Node, Node] = {}
    for node in graph.nodes:
        if node in inside:
            continue
        members = group.get(node, [node])
        with deriving(node, rule="fuse" if len(members) > 1 else None):
            if len(members) == 1:
                replaced[node] = reapply(node, [replaced[value] for value in node.inputs])
            else:
                replaced[node] = fused(members, replaced)
                log.firings.append(Firing("fuse", _EQUATION, node, replaced[node]))
    return graph.substitute(replaced)


def _fusible(node: Node) -> bool:
    return node.op.elementwise and not node.op.can_fail and node.type.static_size > TILE


def _only_for(value: Node, reader: Node, graph: Graph) -> bool:
    return graph.users[value] == [reader] and value.shape == reader.shape and value not in graph.outputs


def fused(members: Sequence[Node], replaced: Mapping[Node, Node], kind: type[Fused] = Fused) -> Node:
    """The last of `members` as one node with the others, on what `replaced` says of what they read."""
    outside = list(dict.fromkeys(v for member in members for v in member.inputs if v not in members))
    numbers = {node: number for number, node in enumerate([*outside, *members])}
    parts: list[Part] = [(member.op, tuple(numbers[value] for value in member.inputs)) for member in members]
    return kind(len(outside), tuple(parts))(*(replaced[value] for value in outside))
