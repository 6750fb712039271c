"""A whole graph: what is wanted of it, and how to make another from it node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from graphnet.graph.layout import layouts
from graphnet.graph.node import Node, applied_again
from graphnet.graph.provenance import deriving
from graphnet.graph.traversal import topological, users

Replace: TypeAlias = "Callable[[Node, tuple[Node, ...]], Node]"


@dataclass(frozen=True)
class Graph:
    """The values asked for, and the assign nodes to carry out once they are there."""

    outputs: tuple[Node, ...]
    updates: tuple[Node, ...] = ()

    @property
    def roots(self) -> tuple[Node, ...]:
        return self.outputs + self.updates

    @cached_property
    def nodes(self) -> list[Node]:
        """Every node, inputs before users."""
        return topological(self.roots)

    @cached_property
    def users(self) -> dict[Node, list[Node]]:
        """For each node, the nodes that read it."""
        return users(self.nodes)

    @cached_property
    def layouts(self) -> dict[Node, np.ndarray]:
        """The strides that each value of a static graph will have, see `graphnet.graph.layout`."""
        return layouts(self.nodes)

    def map(self, replace: Replace) -> Graph:
        """The graph with each node replaced, see `rebuild`."""
        return self.substitute(rebuild(self.nodes, replace))

    def substitute(self, replaced: Mapping[Node, Node]) -> Graph:
        """The graph whose roots are what `replaced` says of today's."""
        return Graph(tuple(replaced[n] for n in self.outputs), tuple(replaced[n] for n in self.updates))

    def bind(self, sizes: Mapping[str, int]) -> Graph:
        """The same graph with each named dimension replaced by its number. Shape errors surface here, located."""
        return self.map(lambda node, inputs: reapply(node, inputs, sizes))


def rebuild(nodes: Iterable[Node], replace: Replace) -> dict[Node, Node]:
    """What each of `nodes`, inputs first, becomes: `replace(node, new inputs)`, with its provenance carried over."""
    replaced: dict[Node, Node] = {}
    for node in nodes:
        inputs = tuple([replaced.get(value, value) for value in node.inputs])
        with deriving(node):
            replaced[node] = replace(node, inputs)
    return replaced


def reapply(node: Node, inputs: Sequence[Node], sizes: Mapping[str, int] | None = None) -> Node:
    """`node`'s op applied to other inputs; the node itself where nothing changed."""
    op = node.op.bind(sizes) if sizes else node.op
    if op is node.op:
        if all([a is b for a, b in zip(inputs, node.inputs, strict=True)]):
            return node
        if all([a.type == b.type for a, b in zip(inputs, node.inputs, strict=True)]):
            return applied_again(node, tuple(inputs))
    return op(*inputs)
