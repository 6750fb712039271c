"""Where elements lie in memory: the strides that every value of a static graph will have.

A computed value is row-major, unless its op is `layout_free`: then it lies in the order of its first full-size input,
as NumPy's own `order="K"` would have it, so that elementwise work on the transposed result of a matrix product runs
through memory in one direction. Layouts are found by asking `view` itself, on arrays that have strides but almost no
memory: views of them are taken, never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from graphnet.graph.node import Node
from graphnet.graph.types import TensorType

AxisOrder = tuple[int, ...]


def layouts(nodes: Iterable[Node]) -> dict[Node, np.ndarray]:
    """For each of `nodes`, inputs first, an array with the strides its value will have. Not to be read or written."""
    found: dict[Node, np.ndarray] = {}
    for node in nodes:
        found[node] = layout(node, [found[value] for value in node.inputs])
    return found


def layout(node: Node, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """The layout of one node, given those of its inputs. Raises `ValueError` for a view that strides cannot express."""
    return node.op.view(inputs[0]) if node.op.is_view else _memoryless(node.type, memory_order(node, inputs))


def memory_order(node: Node, inputs: Sequence[np.ndarray]) -> AxisOrder:
    """The axes of a computed value from the slowest to the fastest in memory."""
    if node.op.layout_free:
        for x in inputs:
            if x.ndim == node.ndim and x.size >= max((other.size for other in inputs), default=0):
                return axis_order(x)
    return tuple(range(node.ndim))


def in_order(flat: np.ndarray, shape: Sequence[int], order: Sequence[int]) -> np.ndarray:
    """One-dimensional memory as an array of `shape` whose axes lie in `order`."""
    if list(order) == list(range(len(order))):
        return flat.reshape(shape)
    return flat.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def same_places(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether equal indices of two layouts of one shape are equal offsets."""
    return a.shape == b.shape and all(
        size == 1 or s == t for size, s, t in zip(a.shape, a.strides, b.strides, strict=True)
    )


def axis_order(x: np.ndarray) -> AxisOrder:
    """The axes of an array from the slowest to the fastest in memory; in their own order where it does not matter."""
    if x.flags.c_contiguous or 0 in x.shape or any(s == 0 and n > 1 for n, s in zip(x.shape, x.strides, strict=True)):
        return tuple(range(x.ndim))
    return tuple(sorted(range(x.ndim), key=lambda axis: (x.shape[axis] != 1, -abs(x.strides[axis]))))


@lru_cache(maxsize=4096)
def _memoryless(of: TensorType, order: AxisOrder) -> np.ndarray:
    strides = [0] * of.ndim
    stride = of.dtype.itemsize
    for axis in reversed(order):
        strides[axis] = stride
        stride *= max(of.static_shape[axis], 1)
    return np.lib.stride_tricks.as_strided(np.empty(1, of.dtype), of.static_shape, strides)
