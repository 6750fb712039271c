"""Dropout layers: noise in training, nothing in evaluation."""

from __future__ import annotations

from graphnet.graph.node import Node
from graphnet.nn.arguments import PLANNED, fraction, refuse
from graphnet.nn.module import Module
from graphnet.ops.random import dropout, dropout2d


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        name = type(self).__name__
        refuse(name, "inplace", inplace, False, PLANNED)
        self.p = fraction(name, "p", p, "a probability")

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
