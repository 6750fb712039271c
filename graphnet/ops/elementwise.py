"""Elementwise arithmetic: what NumPy has a ufunc for, one class each. Operands broadcast; gradients are graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graphnet.errors import DtypeError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType, broadcast_shapes
from graphnet.ops.shaping import operands, sum_to
from graphnet.ops.sources import NodeLike


class Elementwise(Op):
    """An op that a ufunc computes element by element, after broadcasting. Operands have one dtype.

    `kinds` are the NumPy dtype kinds it takes: "f" floats, "iu" integers, "b" booleans.
    """

    ufunc: ClassVar[np.ufunc]
    kinds: ClassVar[str] = "f"
    inplace: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def infer(self, *types: TensorType) -> TensorType:
        if len(types) != self.ufunc.nin:
            raise DtypeError(f"expected {self.ufunc.nin} operands, got {len(types)}")
        return elementwise_type(self.kinds, *types)

    def compute(self, out: np.ndarray, *inputs: np.ndarray) -> None:
        self.ufunc(*inputs, out=out)


def elementwise_type(kinds: str, *types: TensorType) -> TensorType:
    """The broadcast type of operands of one dtype. Raises `DtypeError` or `ShapeError`."""
    dtypes = {t.dtype for t in types}
    if len(dtypes) > 1:
        raise DtypeError(f"expected operands of one dtype, got {' and '.join(sorted(d.name for d in dtypes))}")
    (dtype,) = dtypes
    if dtype.kind not in kinds:
        expected = " or ".join(n for k, n in (("f", "floats"), ("i", "integers"), ("b", "booleans")) if k in kinds)
        raise DtypeError(f"expected {expected}, got {dtype.name}")
    return TensorType(dtype, broadcast_shapes(*(t.shape for t in types)))


class Add(Elementwise):
    """a + b."""

    ufunc = np.add
    kinds = "fiu"

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        return [sum_to(dy, a.shape), sum_to(dy, b.shape)]


class Multiply(Elementwise):
    """a * b."""

    ufunc = np.multiply
    kinds = "fiu"

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        return [sum_to(dy * b, a.shape), sum_to(dy * a, b.shape)]


def add(a: NodeLike, b: NodeLike) -> Node:
    """a + b, elementwise."""
    return Add()(*operands(a, b))


def multiply(a: NodeLike, b: NodeLike) -> Node:
    """a * b, elementwise."""
    return Multiply()(*operands(a, b))
