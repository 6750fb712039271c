"""Elementwise arithmetic: what NumPy has a ufunc for, one class each. Operands broadcast; gradients are graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graphnet.errors import DataError, DtypeError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType, broadcast_shapes
from graphnet.ops.shaping import cast, operands, sum_to
from graphnet.ops.sources import NodeLike


class Elementwise(Op):
    """An op that a ufunc computes element by element, after broadcasting. Operands have one dtype.

    `ufunc` is the whole computation, unless the class has a `compute` of its own.
    `kinds` are the NumPy dtype kinds it takes: "f" floats, "i" signed and "u" unsigned integers, "b" booleans.
    """

    ufunc: ClassVar[np.ufunc]
    kinds: ClassVar[str] = "f"
    inplace: ClassVar[tuple[int, ...]] = (0, 1)
    layout_free: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    def infer(self, *types: TensorType) -> TensorType:
        if len(types) != self.ufunc.nin:
            raise DtypeError(f"expected {self.ufunc.nin} operands, got {len(types)}")
        return elementwise_type(self.kinds, *types)

    def compute(self, out: np.ndarray, *inputs: np.ndarray) -> None:
        self.ufunc(*inputs, out=out)


def is_plain_ufunc(op: Op) -> bool:
    """Whether a ufunc is all there is to the op: it neither fails nor runs Python code."""
    return isinstance(op, Elementwise) and type(op).compute is Elementwise.compute and not op.can_fail


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


# -- two operands -------------------------------------------------------------------------------------------------


class Add(Elementwise):
    """a + b."""

    ufunc = np.add
    kinds = "fiu"

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        return [sum_to(dy, a.shape), sum_to(dy, b.shape)]


class Subtract(Elementwise):
    """a - b."""

    ufunc = np.subtract
    kinds = "fiu"

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        return [sum_to(dy, a.shape), -sum_to(dy, b.shape)]


class Multiply(Elementwise):
    """a * b."""

    ufunc = np.multiply
    kinds = "fiu"

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        return [sum_to(dy * b, a.shape), sum_to(dy * a, b.shape)]


class Divide(Elementwise):
    """a / b for floats: x / 0 is an infinity, 0 / 0 is NaN."""

    ufunc = np.divide

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        return [sum_to(dy / b, a.shape), -sum_to(dy * (node / b), b.shape)]


class FloorDivide(Elementwise):
    """floor(a / b). The gradient is none: it is flat wherever it has one."""

    ufunc = np.floor_divide

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None, None]


class Remainder(Elementwise):
    """a - b * floor(a / b), which has the sign of b."""

    ufunc = np.remainder

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        return [sum_to(dy, a.shape), -sum_to(dy * floor_divide(a, b), b.shape)]


class IntegerDivision(Elementwise):
    """An operation on integers that divides. Raises `DataError` for a divisor of 0."""

    kinds: ClassVar[str] = "iu"
    can_fail: ClassVar[bool] = True
    checks: ClassVar[tuple[int, ...]] = (1,)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None, None]

    def checked(self, *inputs: np.ndarray) -> None:
        _, divisor = inputs
        if not divisor.all():
            raise DataError(f"{self.name}: an integer divided by zero")

    def compute(self, out: np.ndarray, *inputs: np.ndarray) -> None:
        self.checked(*inputs)
        dividend, divisor = inputs
        self.ufunc(dividend, divisor, out=out)


class IntegerFloorDivide(IntegerDivision):
    """floor(a / b) for integers."""

    ufunc = np.floor_divide


class IntegerRemainder(IntegerDivision):
    """a - b * floor(a / b) for integers, which has the sign of b."""

    ufunc = np.remainder


# -- functions ------------------------------------------------------------------------------------------------------


def add(a: NodeLike, b: NodeLike) -> Node:
    """a + b, elementwise."""
    return Add()(*operands(a, b))


def subtract(a: NodeLike, b: NodeLike) -> Node:
    """a - b, elementwise."""
    return Subtract()(*operands(a, b))


def multiply(a: NodeLike, b: NodeLike) -> Node:
    """a * b, elementwise."""
    return Multiply()(*operands(a, b))


def divide(a: NodeLike, b: NodeLike) -> Node:
    """a / b, elementwise; integers are divided as float32."""
    return Divide()(*float_operands(a, b))


def floor_divide(a: NodeLike, b: NodeLike) -> Node:
    """floor(a / b), elementwise. Integers stay integers; one divided by zero raises `DataError` when run."""
    a, b = operands(a, b)
    return (FloorDivide() if a.type.is_float else IntegerFloorDivide())(a, b)


def remainder(a: NodeLike, b: NodeLike) -> Node:
    """a - b * floor(a / b), elementwise, with the sign of b, as Python's %.

    Integers stay integers; one divided by zero raises `DataError` when run.
    """
    a, b = operands(a, b)
    return (Remainder() if a.type.is_float else IntegerRemainder())(a, b)


def float_operands(*values: NodeLike) -> list[Node]:
    """`operands`, integers and booleans as float32."""
    return [node if node.type.is_float else cast(node, "float32") for node in operands(*values)]
