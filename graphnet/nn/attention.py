"""Multi-head attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.dims import Size
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike
from graphnet.nn import init
from graphnet.nn.arguments import flag, float_dtype, fraction, positive
from graphnet.nn.linear import Linear
from graphnet.nn.module import Module
from graphnet.ops.attention import as_bias, attend, causal_mask, total_bias
from graphnet.ops.comparison import logical_not
from graphnet.ops.joining import concatenate, pad
from graphnet.ops.layout import expand_dims, squeeze, transpose
from graphnet.ops.linear import linear
from graphnet.ops.reductions import mean
from graphnet.ops.shaping import broadcast_to, reshape, shape_text
from graphnet.ops.slicing import split
from graphnet.ops.sources import Parameter, constant, parameter


class MultiheadAttention(Module):
    """Attention in `num_heads` subspaces at once. Vaswani et al., "Attention is all you need", 2017.

    Queries, keys and values are projected, each head attends in its embed_dim / num_heads of the features, and what the
    heads find, side by side, is projected by `out_proj`. kdim, vdim: the features of keys and values, where they are
    not embed_dim. add_bias_kv: one more key and value, learned; add_zero_attn: one more, zeros; no mask covers them.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        name = "MultiheadAttention"
        self.embed_dim, self.num_heads = positive(name, "embed_dim", embed_dim), positive(name, "num_heads", num_heads)
        if embed_dim % num_heads:
            raise ArgumentError(f"{name}: embed_dim={embed_dim} must be divisible by num_heads={num_heads}")
        self.head_dim = self.embed_dim // self.num_heads
        self.dropout = fraction(name, "dropout", dropout, "a probability")
        self.kdim = self.embed_dim if kdim is None else positive(name, "kdim", kdim)
        self.vdim = self.embed_dim if vdim is None else positive(name, "vdim", vdim)
        self.add_zero_attn = flag(name, "add_zero_attn", add_zero_attn)
        self.batch_first = flag(name, "batch_first", batch_first)
        flag(name, "bias", bias), flag(name, "add_bias_kv", add_bias_kv)
        self._make_parameters(bias, add_bias_kv, float_dtype(name, dtype))

    def _make_parameters(self, bias: bool, bias_kv: bool, kind: np.dtype) -> None:
        """Projections uniform as Glorot's, biases zero, as in PyTorch."""
        e = self.embed_dim
        packed = self.kdim == self.vdim == e
        shapes = {
            "in_proj_weight": (3 * e, e) if packed else None,
            "q_proj_weight": None if packed else (e, e),
            "k_proj_weight": None if packed else (e, self.kdim),
            "v_proj_weight": None if packed else (e, self.vdim),
            "in_proj_bias": (3 * e,) if bias else None,
            "bias_k": (1, 1, e) if bias_kv else None,
            "bias_v": (1, 1, e) if bias_kv else None,
        }
        for name, shape in shapes.items():
            made = None if shape is None else parameter(np.zeros(shape, kind), name)
            self.register_parameter(name, made)
            if made is not None and made.ndim == 2:
                init.xavier_uniform_(made)
            elif made is not None and made.ndim == 3:
                init.xavier_normal_(made)
        self.out_proj = Linear(e, e, bias, dtype=kind)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Node,
        key: Node,
        value: Node,
        key_padding_mask: Node | None = None,
        need_weights: bool = True,
        attn_mask: Node | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Node, Node | None]:
        """(output like the query, weights (N, L, S), or (N, heads, L, S) where not averaged, or None where not needed).

        Shapes: query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim); (N, L, ...) where `batch_first`; without
        N for a single sequence. key_padding_mask: (N, S). attn_mask: (L, S), or (N * heads, L, S). A boolean mask says
        by True what is *not* looked at; a float mask is added to the scores.
        is_causal: query i looks at keys 0 to i only; PyTorch wants that as `attn_mask` too, here either will do.
        A query that may look nowhere finds zeros (in PyTorch, NaN where weights are needed).
        """
        alone = query.ndim == 2
        self._check(query, key, value)
        if alone:
            at = 0 if self.batch_first else 1
            query, key, value = (expand_dims(node, at) for node in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else expand_dims(key_padding_mask, 0)
        q, k, v = (self._in_heads(node) for node in self._projected(query, key, value))
        bias = self._bias(q, k, key_padding_mask, attn_mask, is_causal)
        k, v, bias = self._with_more_keys(k, v, bias)
        found, weights = attend(q, k, v, bias, self.dropout if self.training else 0.0)
        found = transpose(found, (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        output: Node = self.out_proj(reshape(found, (*found.shape[:2], self.embed_dim)))
        if alone:
            output = squeeze(output, 0 if self.batch_first else 1)
        if not need_weights:
            return output, None
        if average_attn_weights:
            weights = mean(weights, 1)
        return output, squeeze(weights, 0) if alone else weights

    def _check(self, query: Node, key: Node, value: Node) -> None:
        given, features = (query, key, value), (self.embed_dim, self.kdim, self.vdim)
        batch = 0 if self.batch_first else 1
        good = query.ndim in (2, 3) and all(node.ndim == query.ndim for node in given)
        good = good and all(node.shape[-1] == size for node, size in zip(given, features, strict=True))
        good = good and key.shape[:-1] == value.shape[:-1]
        if not good or (query.ndim == 3 and query.shape[batch] != key.shape[batch]):
            layout = "(N, {}, {})" if self.batch_first else "({}, N, {})"
            wanted = ", ".join(layout.format(steps, size) for steps, size in zip("LSS", features, strict=True))
            got = ", ".join(str(node.type) for node in given)
            raise ShapeError(f"MultiheadAttention: expected {wanted}, or all of them without N, got {got}")

    def _projected(self, query: Node, key: Node, value: Node) -> list[Node]:
        """Queries, keys and values of all heads, side by side; as few products as what is given allows."""
        e, packed = self.embed_dim, self.in_proj_weight
        if packed is not None and query is key and key is value:
            return split(linear(query, packed, self.in_proj_bias), 3, -1)
        if packed is not None and key is value:
            parts, sizes = [query, key], [e, 2 * e]
        else:
            parts, sizes = [query, key, value], [e, e, e]
        own = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weights: Sequence[Node | None] = own if packed is None else split(packed, sizes)
        biases = [None] * len(parts) if self.in_proj_bias is None else split(self.in_proj_bias, sizes)
        made = [linear(x, w, b) for x, w, b in zip(parts, weights, biases, strict=True) if w is not None]
        return made if len(made) == 3 else [made[0], *split(made[1], 2, -1)]

    def _in_heads(self, x: Node) -> Node:
        """(N, heads, length, head_dim)."""
        heads = reshape(x, (*x.shape[:2], self.num_heads, self.head_dim))
        return transpose(heads, (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))

    def _bias(self, q: Node, k: Node, padding: Node | None, mask: Node | None, is_causal: bool) -> Node | None:
        """All masks as one bias of the scores (N, heads, L, S)."""
        (n, heads, length, _), keys = q.shape, k.shape[2]
        parts = []
        if is_causal:
            parts.append(as_bias(causal_mask(length, keys), q.dtype))
        if mask is not None:
            self._check_mask("attn_mask", mask, [(length, keys), (n * heads, length, keys)])
            bias = as_bias(logical_not(mask) if mask.type.is_bool else mask, q.dtype)
            parts.append(reshape(bias, (n, heads, length, keys)) if mask.ndim == 3 else bias)
        if padding is not None:
            self._check_mask("key_padding_mask", padding, [(n, keys)])
            bias = as_bias(logical_not(padding) if padding.type.is_bool else padding, q.dtype)
            parts.append(reshape(bias, (n, 1, 1, keys)))
        return total_bias(parts)

    def _check_mask(self, name: str, mask: Node, shapes: list[tuple[Size, ...]]) -> None:
        if mask.shape not in shapes:
            wanted = " or ".join(map(shape_text, shapes))
            raise ShapeError(f"MultiheadAttention: {name} must have shape {wanted}, got {mask.type}")

    def _with_more_keys(self, k: Node, v: Node, bias: Node | None) -> tuple[Node, Node, Node | None]:
        """Keys and values with the learned one and the one of zeros behind them, which no mask covers."""
        shape = (k.shape[0], self.num_heads, 1, self.head_dim)
        more: list[tuple[Node, Node]] = []
        if self.bias_k is not None and self.bias_v is not None:
            more.append(tuple(reshape(b, (1, *shape[1:])) for b in (self.bias_k, self.bias_v)))  # type: ignore[arg-type]
        if self.add_zero_attn:
            more.append((constant(0, k.dtype), constant(0, v.dtype)))
        for own_key, own_value in more:
            k = concatenate([k, broadcast_to(own_key, shape)], 2)
            v = concatenate([v, broadcast_to(own_value, shape)], 2)
            bias = None if bias is None else pad(bias, [*[(0, 0)] * (bias.ndim - 1), (0, 1)])
        return k, v, bias
