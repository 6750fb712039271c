"""Dropout layers: noise in training, nothing in evaluation."""

from __future__ import annotations

from graphnet.errors import ShapeError
from graphnet.graph.node import Node
from graphnet.nn.arguments import PLANNED, fraction, refuse
from graphnet.nn.module import Module
from graphnet.nn.unbatched import on_batch
from graphnet.ops.random import alpha_dropout, dropout, dropout2d


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        name = type(self).__name__
        refuse(name, "inplace", inplace, False, PLANNED)
        self.p = fraction(name, "p", p, "a probability")

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace=False"


class Dropout(_Dropout):
    """In training each element is 0 with probability p, and divided by 1 - p otherwise. Srivastava et al., 2014."""

    def forward(self, x: Node) -> Node:
        return dropout(x, self.p, self.training)


class Dropout1d(_Dropout):
    """Dropout of whole channels of (N, C, L), or of one example (C, L). Tompson et al., 2015."""

    def forward(self, x: Node) -> Node:
        if x.ndim not in (2, 3):
            raise ShapeError(f"Dropout1d: expected 2 or 3 dimensions, got {x.type}")
        return on_batch(x, 3, lambda batch: dropout2d(batch, self.p, self.training))


class Dropout2d(_Dropout):
    """Dropout of whole channels of (N, C, H, W). Tompson et al., 2015.

    PyTorch reads three axes as (N, C, L), with a warning that it will read them as (C, H, W); here they are refused.
    """

    def forward(self, x: Node) -> Node:
        if x.ndim != 4:
            raise ShapeError(f"Dropout2d: expected 4 dimensions, got {x.type} (Dropout1d takes sequences)")
        return dropout2d(x, self.p, self.training)


class AlphaDropout(_Dropout):
    """Dropout for SELU: what is dropped takes its lowest value; mean and variance stay. Klambauer et al., 2017."""

    def forward(self, x: Node) -> Node:
        return alpha_dropout(x, self.p, self.training)
