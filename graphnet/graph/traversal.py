"""Walking a graph: always with an explicit stack, so that depth costs no recursion; always in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphnet.graph.node import Node


def topological(roots: Iterable[Node]) -> list[Node]:
    """Every node that `roots` depend on, inputs before users, inputs left to right: one order, always the same."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((value, False) for value in reversed(node.inputs) if value not in seen)
    return order


def users(order: Sequence[Node]) -> dict[Node, list[Node]]:
    """For each node, the nodes that read it, each once, in order."""
    readers: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        for value in dict.fromkeys(node.inputs):
            readers[value].append(node)
    return readers


def reaching(order: Sequence[Node], targets: Iterable[Node]) -> set[Node]:
    """The nodes of `order` (inputs first) that depend on any of `targets`, the targets included."""
    found = set(targets)
    for node in order:
        if node not in found and any(value in found for value in node.inputs):
            found.add(node)
    return found
