"""Rules that compute now what is known now."""

from __future__ import annotations

from graphnet.graph.node import Node, Op
from graphnet.ops.evaluate import apply_op
from graphnet.ops.shaping import BroadcastTo
from graphnet.ops.sources import Assign, Constant, Input, SizeOf, Stored, constant
from graphnet.rewrite.driver import Apply, Rule, rule

_LARGEST = 1 << 20  # bytes; a larger constant would cost more to keep than to compute again


@rule(Apply(SizeOf, name="size"))
def size_known(size: Node) -> Node:
    """size of a bound dimension  -->  its number"""
    return constant(apply_op(size.op))


@rule(Apply(Op, name="node"))
def fold_constants(node: Node) -> Node | None:
    """op(constants)  -->  constant    where the result is small; broadcasts stay views, what may fail fails when run"""
    if not node.inputs or not all(isinstance(value.op, Constant) for value in node.inputs):
        return None
    if isinstance(node.op, (BroadcastTo, Assign, Input, Stored)) or node.op.can_fail:
        return None
    if node.type.nbytes > _LARGEST:
        return None
    return constant(apply_op(node.op, *(value.op.attributes["value"] for value in node.inputs)))


FOLDING: list[Rule] = [size_known, fold_constants]
