"""Dropout layers: noise in training, nothing in evaluation."""

from __future__ import annotations

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.linear import refuse
from graphnet.nn.module import Module
from graphnet.ops.random import dropout, dropout2d


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        name = type(self).__name__
        refuse(name, "inplace", inplace, False, "the memory planner writes in place wherever it can")
        if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
            raise ArgumentError(f"{name}: p must be a probability in [0, 1], got {p!r}")
        self.p = float(p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training each element is 0 with probability p, and divided by 1 - p otherwise. Srivastava et al., 2014."""

    def forward(self, x: Node) -> Node:
        return dropout(x, self.p, self.training)


class Dropout2d(_Dropout):
    """Dropout of whole channels of (N, C, H, W). Tompson et al., 2015."""

    def forward(self, x: Node) -> Node:
        return dropout2d(x, self.p, self.training)
