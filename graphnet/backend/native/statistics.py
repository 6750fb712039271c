"""Ops that the native backend makes when it fuses: several sums at once, and mean and variance at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphnet.errors import GradientError, ShapeError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.evaluate import apply_op
from graphnet.ops.fused import Part
from graphnet.ops.shaping import reduced_type


class Sums(Op):
    """Sums over `axes` of several elementwise values of the same arrays, in one pass: (values, *sizes of other axes).

    parts, and the numbers of their operands, are as those of `Fused`; results are the numbers of the values summed.
    """

    arity: int
    parts: tuple[Part, ...]
    results: tuple[int, ...]
    axes: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        if len(types) != self.arity:
            raise ShapeError(f"expected {self.arity} inputs, got {len(types)}")
        known = list(types)
        for op, operands in self.parts:
            known.append(op.infer(*(known[number] for number in operands)))
        summed = [known[number] for number in self.results]
        if len(set(summed)) != 1:
            raise ShapeError(f"the values to be summed differ: {', '.join(map(str, summed))}")
        kept = reduced_type(summed[0], self.axes, False)
        return kept.with_shape((len(summed), *kept.shape))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        raise GradientError(f"{self.name} is made after differentiation")

    def compute(self, out: np.ndarray, *inputs: np.ndarray) -> None:
        """For checking: each value in memory of its own."""
        known = list(inputs)
        for op, operands in self.parts:
            known.append(apply_op(op, *(known[number] for number in operands)))
        for place, number in enumerate(self.results):
            np.add.reduce(known[number], axis=self.axes, out=out[place, ...])


class Moments(Op):
    """The mean of x over `axes`, and the sum of (x - mean)^2: (2, *sizes of other axes)."""

    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        kept = reduced_type(x, self.axes, False)
        return kept.with_shape((2, *kept.shape))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        raise GradientError(f"{self.name} is made after differentiation")

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        """For checking: in two passes."""
        np.add.reduce(np.square(x - np.mean(x, axis=self.axes, keepdims=True)), axis=self.axes, out=out[1, ...])
        np.mean(x, axis=self.axes, out=out[0, ...])
