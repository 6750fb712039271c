"""One example where a batch is expected: PyTorch's layers take both."""

from __future__ import annotations

from collections.abc import Callable

from graphnet.graph.node import Node
from graphnet.ops.layout import expand_dims, squeeze


def on_batch(x: Node, ndim: int, function: Callable[[Node], Node]) -> Node:
    """`function` of a batch of `ndim` axes; an x of one axis less is one example, and so is then the result."""
    return squeeze(function(expand_dims(x, 0)), 0) if x.ndim == ndim - 1 else function(x)
