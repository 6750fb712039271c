"""What is stored with a border, for a convolution, is not stored without one as well."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphnet.graph.graph import Graph, reapply
from graphnet.graph.node import Node
from graphnet.graph.provenance import deriving
from graphnet.ops.layout import Transpose, transpose
from graphnet.ops.slicing import Pad, Slice
from graphnet.rewrite.driver import Firing, Log

_EQUATION = "f(x), pad(x)  -->  f(crop(pad(x))), pad(x)    where f, like all that reads x, is elementwise or a sum"


def crop_padded(graph: Graph, log: Log, fits: Callable[[Node], bool], reads: Callable[[Node, Node], bool]) -> Graph:
    """f(x), pad(x)  -->  f(crop(pad(x))), pad(x)    where `fits(x)`, and `reads(f(x), x)` for all that reads x

    So nobody looks for x but its border, and one pass works it out and stores it there.
    """
    cropped: dict[Node, Node] = {}
    for pad in graph.nodes:
        if not isinstance(pad.op, Pad) or set(pad.op.steps) != {1}:
            continue
        (inside,) = pad.inputs
        turned = isinstance(inside.op, Transpose)
        x = inside.inputs[0] if turned else inside
        way = inside if turned else pad
        others = [user for user in graph.users[x] if user is not way]
        alone = x not in graph.roots and graph.users[inside] == [pad] if turned else x not in graph.roots
        if others and alone and x not in cropped and fits(x) and all(reads(user, x) for user in others):
            crop = Slice(pad.op.starts, pad.op.steps, inside.shape)(pad)
            cropped[x] = transpose(crop, tuple(np.argsort(inside.op.axes).tolist())) if turned else crop  # type: ignore[attr-defined]
            log.firings.append(Firing("crop_padded", _EQUATION, x, cropped[x]))
    return _reading(graph, cropped) if cropped else graph


def _reading(graph: Graph, cropped: dict[Node, Node]) -> Graph:
    """`graph` with what `cropped` says read in place of each value, but on the way to its border."""
    replaced: dict[Node, Node] = {}

    def read(node: Node) -> list[Node]:
        keeps = isinstance(node.op, (Pad, Transpose))
        return [value if keeps else cropped.get(value, value) for value in node.inputs]

    stack = list(reversed(graph.roots))
    while stack:
        missing = [value for value in read(stack[-1]) if value not in replaced]
        if missing:
            stack += reversed(missing)
            continue
        node = stack.pop()
        if node not in replaced:
            with deriving(node):
                replaced[node] = reapply(node, [replaced[value] for value in read(node)])
    return graph.substitute(replaced)
