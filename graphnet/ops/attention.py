"""Scaled dot-product attention, made of products, a softmax and a bias: it needs no op of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from graphnet.errors import ArgumentError, DtypeError, ShapeError, names_itself
from graphnet.graph.dims import Size
from graphnet.graph.node import Node
from graphnet.ops.comparison import greater, keep, less_equal, where
from graphnet.ops.joining import repeat
from graphnet.ops.layout import swapaxes
from graphnet.ops.linear import matmul
from graphnet.ops.random import dropout
from graphnet.ops.reductions import cumsum, max, softmax
from graphnet.ops.shaping import broadcast_to, cast, operands
from graphnet.ops.sources import Constant, NodeLike, as_node, constant


@names_itself
def scaled_dot_product_attention(
    query: NodeLike,
    key: NodeLike,
    value: NodeLike,
    attn_mask: NodeLike | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Node:
    """softmax(scale * query @ key^T + bias) @ value over the last two axes, as torch's function of this name.

    Shapes: query (..., L, E), key (..., S, E), value (..., S, V), the result (..., L, V); leading axes broadcast.
    attn_mask broadcasts to (..., L, S): booleans say where a query may look, floats are added to the scores.
    is_causal: query i may look at the keys 0 to i; not together with a mask. A query that may look nowhere gets zeros.
    dropout_p: the share of weights that is dropped, always: in evaluation give 0. scale: 1/sqrt(E) where None.
    enable_gqa: each head of key and value, on the third axis from the end, serves several heads of query. Vaswani et
    al., "Attention is all you need", 2017; grouped queries: Ainslie et al., 2023. Raises `ShapeError`.
    """
    q, k, v = operands(query, key, value)
    if not q.type.is_float:
        raise DtypeError(f"expected floats, got {q.type}")
    if any(node.ndim < 2 for node in (q, k, v)) or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"expected query (..., L, E), key (..., S, E) and value (..., S, V), got {q.type}, {k.type} and {v.type}"
        )
    if attn_mask is not None and is_causal:
        raise ArgumentError("give attn_mask or is_causal, not both: what is causal can be part of the mask")
    if enable_gqa:
        k, v = _for_each_query_head(q, k), _for_each_query_head(q, v)
    bias = None
    if is_causal:
        bias = as_bias(causal_mask(q.shape[-2], k.shape[-2]), q.dtype)
    elif attn_mask is not None:
        bias = as_bias(as_node(attn_mask), q.dtype)
    return attend(q, k, v, bias, dropout_p, scale)[0]


def attend(
    query: Node, key: Node, value: Node, bias: Node | None, dropout_p: float = 0.0, scale: float | None = None
) -> tuple[Node, Node]:
    """What the queries find, (..., L, V), and the weights by which they find it, (..., L, S), after dropout.

    bias: floats that broadcast to the scores and are added to them, -inf where a query may not look; a query that may
    look nowhere gets zeros, and no gradient. Raises `ShapeError` where it does not fit.
    """
    if scale is None:
        size = query.shape[-1]
        if not isinstance(size, int) or size == 0:
            raise ShapeError(f"attention: the size of the vectors must be a positive number, got {query.type}")
        scale = 1 / math.sqrt(size)
    scores = matmul(query, swapaxes(key, -1, -2)) * scale
    if bias is None:
        weights = softmax(scores, -1)
    else:
        if bias.ndim > scores.ndim or any(
            own not in (1, size) for own, size in zip(bias.shape[::-1], scores.shape[::-1], strict=False)
        ):
            raise ShapeError(f"attention: a mask {bias.type} does not broadcast to the scores {scores.type}")
        weights = _masked_softmax(scores, bias)
    weights = dropout(weights, dropout_p)
    return matmul(weights, value), weights


def as_bias(mask: Node, dtype: np.dtype) -> Node:
    """A mask as what is added to scores: for booleans, 0 where they are True and -inf elsewhere; floats themselves."""
    if mask.type.is_float:
        return cast(mask, dtype)
    if not mask.type.is_bool:
        raise DtypeError(f"a mask must be boolean or floating-point, got {mask.type}")
    if isinstance(mask.op, Constant):
        return constant(np.where(mask.op.value, 0.0, -np.inf), dtype)
    return where(mask, constant(0, dtype), constant(-math.inf, dtype))


def causal_mask(queries: Size, keys: Size) -> Node:
    """(queries, keys) booleans: key j is open to query i where j <= i."""
    if isinstance(queries, int) and isinstance(keys, int):
        return constant(np.tri(queries, keys, dtype=bool))
    one = constant(1, "int32")
    return less_equal(cumsum(broadcast_to(one, (1, keys)), 1), cumsum(broadcast_to(one, (queries, 1)), 0))


def total_bias(parts: Iterable[Node]) -> Node | None:
    """The sum of several biases; None where there are none."""
    total: Node | None = None
    for part in parts:
        total = part if total is None else total + part
    return total


def _masked_softmax(scores: Node, bias: Node) -> Node:
    if isinstance(bias.op, Constant) and np.all(np.any(bias.op.value > -np.inf, axis=-1)):
        return softmax(scores + bias, -1)
    # Where all is forbidden, softmax would be 0 / 0, in its gradient too: such rows are opened here and emptied after.
    looks = greater(max(bias, -1, keepdims=True), -math.inf)
    return keep(looks, softmax(scores + where(looks, bias, 0.0), -1))


def _for_each_query_head(query: Node, x: Node) -> Node:
    if query.ndim < 3 or x.ndim < 3:
        raise ShapeError(f"enable_gqa needs an axis of heads, the third from the end, got {query.type} and {x.type}")
    heads, own = query.shape[-3], x.shape[-3]
    if not (isinstance(heads, int) and isinstance(own, int) and own and heads % own == 0):
        raise ShapeError(f"enable_gqa: {heads} heads of the query do not divide by {own} of {x.type}")
    return x if heads == own else repeat(x, heads // own, x.ndim - 3)
