"""One op on arrays, by its own reference `compute` or `view`: what folding, checking and testing compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from graphnet.graph.node import Node, Op
from graphnet.graph.traversal import topological
from graphnet.graph.types import type_of
from graphnet.ops.sources import Assign, Constant, Stored


def apply_op(op: Op, *inputs: np.ndarray) -> np.ndarray:
    """What `op` gives for `inputs`, in a new array."""
    if op.is_view:
        return op.view(np.asarray(inputs[0], order="C")).copy()
    types = [type_of(array) for array in inputs]
    out_type = op.infer(*types)
    out = np.empty(out_type.static_shape, out_type.dtype)
    scratch = tuple(np.empty(t.static_shape, t.dtype) for t in op.workspace(*types))
    with np.errstate(all="ignore"):
        if scratch:
            op.compute(out, *inputs, work=scratch)  # type: ignore[call-arg]
        else:
            op.compute(out, *inputs)
    return out


def evaluate(outputs: Iterable[Node], feeds: Mapping[Node, np.ndarray]) -> list[np.ndarray]:
    """The values of `outputs` by the reference kernels, one array a node; parameters are read, never changed.

    `feeds` gives arrays to input nodes (or to any other node, in place of computing it); types must be static.
    """
    outputs = list(outputs)
    values: dict[Node, np.ndarray] = dict(feeds)
    for node in topological(outputs):
        if node not in values:
            values[node] = evaluate_one(node, values)
    return [values[node] for node in outputs]


def evaluate_one(node: Node, values: Mapping[Node, np.ndarray]) -> np.ndarray:
    """The value of a node by its reference kernel; `values` has those of its inputs."""
    if isinstance(node.op, Constant):
        return node.op.value
    if isinstance(node.op, Stored):
        return node.op.storage.array.copy()
    if isinstance(node.op, Assign):
        return values[node.inputs[1]]
    return apply_op(node.op, *(values[value] for value in node.inputs))
