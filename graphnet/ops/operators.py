"""What Python's operators and methods on nodes do. Importing this module makes them work."""

from __future__ import annotations

from graphnet.graph.node import OPERATORS
from graphnet.ops import comparison, elementwise, layout, linear, powers, reductions, shaping, slicing, unary

OPERATORS.update(
    {
        "add": elementwise.add,
        "subtract": elementwise.subtract,
        "multiply": elementwise.multiply,
        "divide": elementwise.divide,
        "floor_divide": elementwise.floor_divide,
        "remainder": elementwise.remainder,
        "power": powers.power,
        "negative": unary.negative,
        "absolute": unary.abs,
        "less": comparison.less,
        "less_equal": comparison.less_equal,
        "greater": comparison.greater,
        "greater_equal": comparison.greater_equal,
        "logical_and": comparison.logical_and,
        "logical_or": comparison.logical_or,
        "logical_xor": comparison.logical_xor,
        "logical_not": comparison.logical_not,
        "cast": shaping.cast,
        "getitem": slicing.getitem,
        "matmul": linear.matmul,
        "mean": reductions.mean,
        "reshape": shaping.reshape,
        "transpose": layout.transpose,
        "sum": shaping.sum,
    }
)
