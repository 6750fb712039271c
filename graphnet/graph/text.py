"""The text form of a graph: one line a node, the same on every run, so that a file of it can be compared."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping

from graphnet.graph.node import Node, shown
from graphnet.graph.provenance import FORWARD
from graphnet.graph.traversal import topological
from graphnet.graph.types import TensorType


def graph_text(outputs: Iterable[Node], *, provenance: bool = True) -> str:
    """Every node that `outputs` depend on, inputs before users, and last what is returned.

    `provenance` adds where each node came from: its layer, the user's line, its role unless it is forward, and the
    rewrite rule that made it. Without it the text depends on the graph only.
    """
    roots = list(outputs)
    numbers = number(roots)
    lines = [node_text(node, numbers, provenance=provenance) for node in numbers]
    lines.append(f"return {', '.join(f'%{numbers[node]}' for node in roots)}")
    return "\n".join(lines) + "\n"


def number(outputs: Iterable[Node]) -> dict[Node, int]:
    """The number that each node has in the text of a graph, in topological order."""
    return {node: position for position, node in enumerate(topological(outputs))}


def node_text(node: Node, numbers: Mapping[Node, int], *, provenance: bool = True) -> str:
    """`%7 = conv2d(%0, %3, stride=(1, 1)) : float32[N, 6, 28, 28]  # conv1 models/lenet.py:12`."""
    arguments = ", ".join([*(f"%{numbers[value]}" for value in node.inputs), *field_texts(node)])
    line = f"%{numbers[node]} = {node.op.name}({arguments}) : {node.type}"
    return f"{line}  # {origin_text(node)}" if provenance else line


def field_texts(node: Node) -> list[str]:
    """The fields of a node's op as text, without those that repeat its type."""
    texts = []
    for name, value in node.op.attributes.items():
        if isinstance(value, TensorType) and value == node.type:
            continue
        texts.append(shown(value) if name in ("label", "storage", "value") else f"{name}={shown(value)}")
    return texts


def origin_text(node: Node) -> str:
    """Where a node came from: `conv1 models/lenet.py:12 backward, by rule name`."""
    origin = node.provenance
    folder, name = os.path.split(origin.file)
    short = "/".join(filter(None, (os.path.basename(folder), name)))
    words = [".".join(origin.scope), f"{short}:{origin.line}", "" if origin.role == FORWARD else origin.role]
    text = " ".join(filter(None, words))
    return f"{text}, by {origin.rule}" if origin.rule else text
