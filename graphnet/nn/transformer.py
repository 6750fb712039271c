"""Layers of transformer encoders."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike
from graphnet.nn.arguments import flag, positive
from graphnet.nn.attention import MultiheadAttention
from graphnet.nn.containers import ModuleList
from graphnet.nn.dropout import Dropout
from graphnet.nn.linear import Linear
from graphnet.nn.module import Module
from graphnet.nn.normalization import LayerNorm
from graphnet.ops.activations import gelu, relu

_ACTIVATIONS: dict[str, Callable[[Node], Node]] = {"relu": relu, "gelu": gelu}


class TransformerEncoderLayer(Module):
    """Self-attention and a two-layer perceptron, each added to what it was given. Vaswani et al., 2017.

    Layer normalization stands behind each addition or, with `norm_first`, before attention and perceptron (Xiong et
    al., 2020). activation: "relu", "gelu", or a function from node to node.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Node], Node] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        if not callable(activation) and activation not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise ArgumentError(
                f"TransformerEncoderLayer: activation must be one of {known}, or a function, got {activation!r}"
            )
        self.activation = activation if callable(activation) else _ACTIVATIONS[activation]
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = flag("TransformerEncoderLayer", "norm_first", norm_first)
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)

    def forward(
        self,
        src: Node,
        src_mask: Node | None = None,
        src_key_padding_mask: Node | None = None,
        is_causal: bool = False,
    ) -> Node:
        """src (L, N, d_model), (N, L, d_model) where `batch_first`, to the same. Masks: see `MultiheadAttention`."""

        def attended(x: Node) -> Node:
            found, _ = self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)
            return self.dropout1(found)

        def transformed(x: Node) -> Node:
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        x = src
        if self.norm_first:
            x = x + attended(self.norm1(x))
            return x + transformed(self.norm2(x))
        x = self.norm1(x + attended(x))
        x = self.norm2(x + transformed(x))
        return x


class TransformerEncoder(Module):
    """`num_layers` copies of `encoder_layer`, with its weights to begin with, one after another; then `norm`.

    enable_nested_tensor and mask_check are about a shortcut of PyTorch's that leaves padded positions out; there is no
    such shortcut here, so that either value gives the same.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        name = "TransformerEncoder"
        if not isinstance(encoder_layer, Module):
            raise ArgumentError(f"{name}: encoder_layer must be a Module, got {encoder_layer!r}")
        if norm is not None and not isinstance(norm, Module):
            raise ArgumentError(f"{name}: norm must be a Module or None, got {norm!r}")
        flag(name, "enable_nested_tensor", enable_nested_tensor)
        flag(name, "mask_check", mask_check)
        self.num_layers = positive(name, "num_layers", num_layers)
        self.layers = ModuleList([deepcopy(encoder_layer) for _ in range(self.num_layers)])
        self.norm = norm

    def forward(
        self,
        src: Node,
        mask: Node | None = None,
        src_key_padding_mask: Node | None = None,
        is_causal: bool | None = None,
    ) -> Node:
        """src through every layer. Masks as in `TransformerEncoderLayer`; is_causal: None is False."""
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal))
        return x if self.norm is None else self.norm(x)
