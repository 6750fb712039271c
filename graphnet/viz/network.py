"""A graph as a networkx graph: for its algorithms, and for every format that networkx writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphnet.graph.node import Node
from graphnet.graph.text import field_texts, number
from graphnet.viz.columns import downward
from graphnet.viz.diagram import Diagram

if TYPE_CHECKING:
    import networkx


def to_networkx(outputs: Node | Sequence[Node]) -> networkx.MultiDiGraph:
    """Everything `outputs` depend on: a vertex a node, numbered as in the text form, an edge an input.

    Vertices have op, fields, dtype, shape, role, layer, location and rule; edges have the position of the input and
    its type. All are strings and integers, so that the graph can be written to GraphML and the like.
    """
    import networkx

    graph = networkx.MultiDiGraph()
    numbers = number([outputs] if isinstance(outputs, Node) else outputs)
    for node, key in numbers.items():
        graph.add_node(key, **_attributes(node))
        for position, value in enumerate(node.inputs):
            graph.add_edge(numbers[value], key, key=position, position=position, type=str(value.type))
    return graph


def _attributes(node: Node) -> dict[str, Any]:
    origin = node.provenance
    return {
        "op": node.op.name,
        "fields": ", ".join(field_texts(node)),
        "dtype": node.dtype.name,
        "shape": ", ".join(map(str, node.shape)),
        "role": origin.role,
        "layer": ".".join(origin.scope),
        "location": origin.location,
        "rule": origin.rule,
    }


def cycles(diagram: Diagram) -> list[list[str]]:
    """Boxes of a picture that depend on each other: a layer that is called twice makes one, nodes alone never do."""
    import networkx

    graph = networkx.DiGraph(downward(diagram, diagram.boxes))
    return [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1]
