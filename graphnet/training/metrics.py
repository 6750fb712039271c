"""Measures of a batch as graph: a model's outputs and the targets in, one number out."""

from __future__ import annotations

from graphnet.errors import ShapeError
from graphnet.graph.node import Node
from graphnet.ops.comparison import equal
from graphnet.ops.reductions import argmax, mean
from graphnet.ops.shaping import cast


def accuracy(outputs: Node, targets: Node) -> Node:
    """The share of rows whose largest output is at the target; outputs (N, classes), targets (N) integers."""
    if outputs.ndim != 2 or targets.ndim != 1 or not targets.type.is_integer:
        wanted = "outputs (N, classes) and integer targets (N)"
        raise ShapeError(f"accuracy: expected {wanted}, got {outputs.type} and {targets.type}")
    hits = equal(argmax(outputs, axis=1), cast(targets, "int64"))
    return mean(cast(hits, "float32"))
