"""What Python's operators and methods on nodes do. Importing this module makes them work."""

from __future__ import annotations

from graphnet.graph.node import OPERATORS
from graphnet.ops import elementwise, layout, shaping, slicing

OPERATORS.update(
    {
        "add": elementwise.add,
        "multiply": elementwise.multiply,
        "cast": shaping.cast,
        "getitem": slicing.getitem,
        "reshape": shaping.reshape,
        "transpose": layout.transpose,
        "sum": shaping.sum,
    }
)
