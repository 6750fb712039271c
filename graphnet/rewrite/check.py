"""Did a pass leave a graph that means the same to its caller? What `check=1` asks after every pass."""

from __future__ import annotations

from graphnet.errors import RewriteError
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.ops.sources import Assign, Input, Stored


def check_pass(name: str, before: Graph, after: Graph) -> None:
    """Raise `RewriteError` where pass `name` changed what is computed, by type, or what it is computed from.

    Outputs keep their types, updates their parameters; every type is what its op infers; no input or parameter is new.
    """
    if [node.type for node in after.outputs] != [node.type for node in before.outputs]:
        raise RewriteError(f"pass {name!r} changed the types of the outputs")
    if [_target(node) for node in after.updates] != [_target(node) for node in before.updates]:
        raise RewriteError(f"pass {name!r} changed which parameters are updated")
    known = set(before.nodes)
    for node in after.nodes:
        inferred = node.op.infer(*(value.type for value in node.inputs))
        if inferred != node.type:
            raise RewriteError(f"pass {name!r} left {node!r}, whose op infers {inferred}")
        if isinstance(node.op, (Input, Stored)) and node not in known:
            raise RewriteError(f"pass {name!r} brought in {node!r}, which the graph did not depend on")


def _target(update: Node) -> Node:
    if not isinstance(update.op, Assign):
        raise RewriteError(f"an update became {update!r}, which assigns nothing")
    return update.inputs[0]
