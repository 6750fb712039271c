"""The last pass, which always runs: a copy where a view cannot be a view, and where a result looks at a source.

After it every view op is a view of memory that exists, so whoever plans or lowers need not ask again.
"""

from __future__ import annotations

import numpy as np

from graphnet.graph.graph import Graph, reapply
from graphnet.graph.layout import layout
from graphnet.graph.node import Node
from graphnet.graph.provenance import deriving
from graphnet.ops.shaping import Contiguous
from graphnet.ops.sources import Assign, Constant, Input, Stored


def materialize(graph: Graph) -> Graph:
    """Put `Contiguous` where it is needed.

    view(x)  -->  view(contiguous(x))    where x's strides do not allow the view (a reshape of a transpose)
    output   -->  contiguous(output)     where the output, or a value to assign, is a source or a view of one: the
                                         caller's results are his own, and the old value is read before it changes
    """
    layouts: dict[Node, np.ndarray] = {}
    replaced: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple([replaced[value] for value in node.inputs])
        with deriving(node, rule="materialize"):
            if node.op.is_view and not _can_view(node, layouts[inputs[0]]):
                copied = Contiguous()(inputs[0])
                layouts[copied] = layout(copied, [layouts[inputs[0]]])
                inputs = (copied, *inputs[1:])
            if isinstance(node.op, Assign) and _looks_at_source(inputs[1]):
                copied = Contiguous()(inputs[1])
                layouts[copied] = layout(copied, [layouts[inputs[1]]])
                inputs = (inputs[0], copied)
            current = reapply(node, inputs)
        layouts[current] = layout(current, [layouts[value] for value in inputs])
        replaced[node] = current
    outputs = []
    for node in graph.outputs:
        with deriving(node, rule="materialize"):
            outputs.append(Contiguous()(replaced[node]) if _looks_at_source(replaced[node]) else replaced[node])
    return Graph(tuple(outputs), tuple(replaced[node] for node in graph.updates))


def _can_view(node: Node, x: np.ndarray) -> bool:
    try:
        node.op.view(x)
    except ValueError:
        return False
    return True


def _looks_at_source(node: Node) -> bool:
    while node.op.is_view:
        node = node.inputs[0]
    return isinstance(node.op, (Input, Constant, Stored))
