"""`Embedding`: a table of vectors, looked up by integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike, type_of
from graphnet.nn import init
from graphnet.nn.arguments import flag, float_dtype, integer, positive, refuse
from graphnet.nn.module import Module
from graphnet.ops.comparison import equal, where
from graphnet.ops.gradient_control import stop_gradient
from graphnet.ops.indexing import embedding
from graphnet.ops.layout import expand_dims
from graphnet.ops.sources import Parameter, numbers, parameter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Embedding(Module):
    """Integers (...) in [0, num_embeddings) to the rows of weight that they name, (..., embedding_dim).

    weight is (num_embeddings, embedding_dim) and starts normal, with mean 0 and variance 1. padding_idx: the row of
    this number starts at 0 and gets no gradient; it may count from the end.
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        self.num_embeddings = positive("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = positive("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = None if padding_idx is None else _row(padding_idx, num_embeddings)
        refuse("Embedding", "max_norm", max_norm, None)
        refuse("Embedding", "norm_type", norm_type, 2.0, "it belongs to max_norm")
        refuse("Embedding", "scale_grad_by_freq", scale_grad_by_freq, False)
        refuse("Embedding", "sparse", sparse, False)
        zeros = np.zeros((num_embeddings, embedding_dim), float_dtype("Embedding", dtype))
        self.weight = parameter(zeros, "weight")
        init.normal_(self.weight)
        if self.padding_idx is not None:
            value = self.weight.value
            value[self.padding_idx] = 0
            self.weight.set_value(value)

    @classmethod
    def from_pretrained(cls, embeddings: ArrayLike, freeze: bool = True, padding_idx: int | None = None) -> Self:
        """The layer whose table is `embeddings`, (count, features); it is not trained where `freeze`."""
        table = numbers(embeddings)
        if table.ndim != 2 or table.dtype.kind != "f":
            raise ShapeError(f"Embedding: expected a table of floats (count, features), got {type_of(table)}")
        layer = cls(table.shape[0], table.shape[1], padding_idx, dtype=table.dtype)
        layer.weight.set_value(table)
        layer.weight.requires_grad_(not flag("Embedding", "freeze", freeze))
        return layer

    def forward(self, input: Node) -> Node:
        rows = embedding(input, self.weight)
        if self.padding_idx is None:
            return rows
        return where(expand_dims(equal(input, self.padding_idx), -1), stop_gradient(rows), rows)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"


def _row(padding_idx: int, count: int) -> int:
    row = integer("Embedding", "padding_idx", padding_idx)
    if not -count <= row < count:
        raise ArgumentError(f"Embedding: padding_idx must be in [-{count}, {count}), got {padding_idx}")
    return row % count
