"""Reverse-mode differentiation, graph to graph: gradients are nodes, so gradients of gradients work."""

from __future__ import annotations

from collections.abc import Iterable

from graphnet.errors import GradientError
from graphnet.graph.node import Node
from graphnet.graph.provenance import BACKWARD, deriving
from graphnet.graph.traversal import reaching, topological
from graphnet.ops.sources import constant


def gradients(loss: Node, nodes: Iterable[Node]) -> list[Node]:
    """d loss / d node for each of `nodes`, as nodes of the same shapes.

    Only what lies between `nodes` and `loss` is built. Raises `GradientError` for a loss that is not a floating-point
    scalar, and, naming it, for a node that the loss does not depend on.
    """
    _check_loss(loss)
    wanted = _checked(nodes)
    order = topological([loss])
    between = reaching(order, wanted)
    adjoint: dict[Node, Node] = {}
    with deriving(loss, role=BACKWARD):
        adjoint[loss] = constant(1, loss.dtype)
    for node in reversed(order):
        if node in adjoint and node in between:
            _push(node, adjoint, between)
    return [_found(node, loss, adjoint) for node in wanted]


def _check_loss(loss: Node) -> None:
    if not isinstance(loss, Node):
        raise GradientError(f"gradients: the loss must be a graph node, got {loss!r}")
    if loss.shape != () or not loss.type.is_float:
        raise GradientError(
            f"the loss must be a floating-point scalar, got {loss.type} from {loss!r} "
            f"(reduce it with mean or sum)\n  declared at {loss.provenance.location}"
        )


def _checked(nodes: Iterable[Node]) -> list[Node]:
    if isinstance(nodes, Node) or not isinstance(nodes, Iterable):
        raise GradientError(f"gradients: expected a list of nodes to differentiate by, got {nodes!r}")
    wanted = list(nodes)
    for node in wanted:
        if not isinstance(node, Node):
            raise GradientError(f"gradients: expected nodes to differentiate by, got {node!r}")
    return wanted


def _push(node: Node, adjoint: dict[Node, Node], between: set[Node]) -> None:
    """Add the gradient that reaches `node` to the gradients of its inputs."""
    if not any(value in between for value in node.inputs):
        return
    with deriving(node, role=BACKWARD):
        contributions = node.op.gradient(node, adjoint[node])
        for value, contribution in zip(node.inputs, contributions, strict=True):
            if contribution is None or value not in between:
                continue
            if contribution.type != value.type:
                raise GradientError(
                    f"the gradient rule of {node.op.name} gave {contribution.type} for an input of {value.type}"
                    f"\n  declared at {node.provenance.location}"
                )
            adjoint[value] = adjoint[value] + contribution if value in adjoint else contribution


def _found(node: Node, loss: Node, adjoint: dict[Node, Node]) -> Node:
    if node not in adjoint:
        label = getattr(node.op, "label", None)
        named = f"{label!r} ({node.type})" if label else f"{node!r}"
        raise GradientError(
            f"the loss does not depend on {named} in a differentiable way"
            f"\n  {named} was declared at {node.provenance.location}"
            f"\n  the loss was declared at {loss.provenance.location}"
        )
    return adjoint[node]
