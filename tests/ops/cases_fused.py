"""Rows for fused steps: tiles, broadcast operands, workspaces inside, several dtypes."""

from __future__ import annotations

import numpy as np

from graphnet.graph.node import Node
from graphnet.ops.activations import LeakyRelu, Relu
from graphnet.ops.comparison import Greater, Where
from graphnet.ops.elementwise import Add, Multiply, Subtract
from graphnet.ops.fused import Fused
from graphnet.ops.unary import Square
from tests.ops.case import Arg, Case

BIAS_RELU = Fused(2, ((Add(), (0, 1)), (Relu(), (2,))))
DIFFERENCE_OF_SQUARES = Fused(2, ((Square(), (0,)), (Square(), (1,)), (Subtract(), (2, 3))))
LEAKY_CHOICE = Fused(3, ((LeakyRelu(0.1), (0,)), (Greater(), (1, 2)), (Multiply(), (3, 3)), (Where(), (4, 5, 1))))


def _leaky_choice(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    leaky = np.where(x > 0, x, x.dtype.type(0.1) * x)
    return np.where(a > b, leaky * leaky, a)


def _case(name: str, op: Fused, reference: object, *shapes: tuple[int, ...]) -> Case:
    def build(*inputs: Node) -> Node:
        return op(*inputs)

    return Case(name, build, tuple(Arg(shape) for shape in shapes), numpy=reference, differentiable=False)  # type: ignore[arg-type]


CASES = [
    _case("fused-small", BIAS_RELU, lambda x, b: np.maximum(x + b, 0), (3, 4), (4,)),
    _case("fused-scalar", DIFFERENCE_OF_SQUARES, lambda a, b: a * a - b * b, (), ()),
    _case("fused-empty", BIAS_RELU, lambda x, b: np.maximum(x + b, 0), (0, 4), (4,)),
    _case("fused-tiles-of-rows", BIAS_RELU, lambda x, b: np.maximum(x + b, 0), (300, 401), (401,)),
    _case("fused-tiles-of-columns", BIAS_RELU, lambda x, b: np.maximum(x + b, 0), (2, 70_001), (2, 1)),
    _case("fused-tiles-of-images", BIAS_RELU, lambda x, b: np.maximum(x + b, 0), (5, 3, 70, 80), (3, 1, 1)),
    _case("fused-scalar-operand", BIAS_RELU, lambda x, b: np.maximum(x + b, 0), (100_000,), ()),
    _case("fused-workspaces", LEAKY_CHOICE, _leaky_choice, (70_000,), (70_000,), (70_000,)),
]
