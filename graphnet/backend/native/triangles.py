"""Causal attention: products with the zeros that a mask leaves above the diagonal, and for scores that it hides, are
not worked out.

Softmax of scores whose mask is -inf above the diagonal is 0 there, and so is what it is multiplied with: the weights
of causal attention, and the gradients of its scores. A product reads of such a matrix what is not 0, and what becomes
a score, or the gradient of a weight, is made where it is not hidden.

Equal where all is finite. Infinities and NaN that the mask hides become NaN in fewer places: 0 times infinity is left
out, too.
"""

from __future__ import annotations

import numpy as np

from graphnet.graph.graph import Graph, reapply, rebuild
from graphnet.graph.node import Node
from graphnet.ops.elementwise import Add, Multiply, Subtract
from graphnet.ops.layout import Transpose
from graphnet.ops.linear import Matmul
from graphnet.ops.reductions import Softmax
from graphnet.ops.sources import Constant
from graphnet.rewrite.driver import Firing, Log

LEFT_LOWER, LEFT_UPPER, OUT_LOWER = "left_lower", "left_upper", "out_lower"
_LEAST = 32  # rows: for fewer, little is spared
_EQUATION = (
    "a @ b  -->  triangular(a @ b)    where a is 0 above or below its diagonal, or what is above is not looked at"
)


class TriangularMatmul(Matmul):
    """a @ b where `kind` is left_lower or left_upper: a is 0 above or below its diagonal; or is out_lower: nobody looks
    at what is above the result's diagonal, which may be any finite number."""

    kind: str


def spare_zeros(graph: Graph, log: Log) -> Graph:
    """The graph with products of triangles as such; see the text of this module."""
    lower, upper = _triangles(graph)
    hidden = _hidden(graph, lower)
    kinds: dict[Node, str] = {}
    for node in graph.nodes:
        if type(node.op) is Matmul and node.type.is_float:
            a = node.inputs[0]
            kind = LEFT_LOWER if a in lower else LEFT_UPPER if a in upper else None
            if kind is None and node in hidden:
                kind = OUT_LOWER
            if kind is not None:
                kinds[node] = kind
    if not kinds:
        return graph

    def replace(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node not in kinds:
            return reapply(node, inputs)
        made = TriangularMatmul(kinds[node])(*inputs)
        log.firings.append(Firing("spare_zeros", _EQUATION, node, made))
        return made

    return graph.substitute(rebuild(graph.nodes, replace))


def _triangles(graph: Graph) -> tuple[set[Node], set[Node]]:
    """The values that are 0 above their diagonal, and those that are 0 below."""
    lower, upper = set[Node](), set[Node]()
    for node in graph.nodes:
        if not _is_square(node):
            continue
        if isinstance(node.op, Transpose):
            if node.op.axes[-2:] in ((node.ndim - 1, node.ndim - 2), (node.ndim - 2, node.ndim - 1)):
                turned = node.op.axes[-1] == node.ndim - 2
                for known, becomes in ((lower, upper if turned else lower), (upper, lower if turned else upper)):
                    if node.inputs[0] in known:
                        becomes.add(node)
        elif _is_masked_softmax(node) or _is_product_with(node, lower):
            lower.add(node)
        elif _is_product_with(node, upper):
            upper.add(node)
    return lower, upper


def _is_masked_softmax(node: Node) -> bool:
    along_rows = isinstance(node.op, Softmax) and node.op.attributes["axis"] == node.ndim - 1
    return along_rows and isinstance(node.inputs[0].op, Add) and any(map(_hides, node.inputs[0].inputs))


def _is_product_with(node: Node, known: set[Node]) -> bool:
    return isinstance(node.op, Multiply) and any(value in known for value in node.inputs)


def _is_square(node: Node) -> bool:
    return node.ndim > 2 and node.shape[-1] == node.shape[-2] and node.type.static_shape[-1] >= _LEAST


def _hides(mask: Node) -> bool:
    """Whether it is -inf wherever it lies above the diagonal of a square, and nowhere NaN."""
    if not isinstance(mask.op, Constant) or mask.ndim < 2 or mask.shape[-1] != mask.shape[-2]:
        return False
    value = mask.op.value
    if value.shape[-1] == 1:  # one number for the whole square: there is nothing above its own diagonal
        return False
    rows, columns = np.triu_indices(value.shape[-1], 1)
    return bool(np.isneginf(value[..., rows, columns]).all() and not np.isnan(value).any())


def _hidden(graph: Graph, lower: set[Node]) -> set[Node]:
    """The values of which nobody looks at what is above the diagonal, as long as it is finite."""
    found, shown = set[Node](), set(graph.roots)

    def hides(user: Node, node: Node) -> bool:
        if user.shape != node.shape:
            return False
        others = [value for value in user.inputs if value is not node]
        if isinstance(user.op, Add) and any(map(_hides, others)):
            return True
        if isinstance(user.op, Multiply) and any(value in lower for value in others):
            return True
        scaled = isinstance(user.op, Multiply) and all(_is_finite_number(value) for value in others)
        return (scaled or isinstance(user.op, Subtract)) and user in found

    for node in reversed(graph.nodes):
        users = graph.users[node]
        if users and _is_square(node) and node not in shown and all(hides(user, node) for user in users):
            found.add(node)
    return found


def _is_finite_number(value: Node) -> bool:
    return isinstance(value.op, Constant) and value.type.static_size == 1 and bool(np.isfinite(value.op.value).all())
