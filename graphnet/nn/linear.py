"""Fully connected layers, and what stands around them."""

from __future__ import annotations

import math

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike, as_dtype
from graphnet.nn import init
from graphnet.nn.module import Module
from graphnet.ops.layout import flatten
from graphnet.ops.linear import linear
from graphnet.ops.sources import Parameter, parameter


class Linear(Module):
    """x @ weight.T + bias over the last axis: (..., in_features) to (..., out_features).

    weight is (out_features, in_features); it and the bias start uniform in ±1/sqrt(in_features), as in PyTorch.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype: DtypeLike = "float32") -> None:
        super().__init__()
        self.in_features = positive("Linear", "in_features", in_features)
        self.out_features = positive("Linear", "out_features", out_features)
        make_weight_and_bias(self, (out_features, in_features), bias, dtype)

    def forward(self, x: Node) -> Node:
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Flatten(Module):
    """Axes start_dim to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Node) -> Node:
        return flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


def make_weight_and_bias(module: Module, shape: tuple[int, ...], bias: bool, dtype: DtypeLike) -> None:
    """Give a layer its weight (out, in, *kernel) and bias (out), with PyTorch's initial distributions."""
    kind = float_dtype(type(module).__name__, dtype)
    module.register_parameter("weight", parameter(np.zeros(shape, kind), "weight"))
    module.register_parameter("bias", parameter(np.zeros(shape[0], kind), "bias") if bias else None)
    init.kaiming_uniform_(module.weight, a=math.sqrt(5))
    if bias:
        bound = 1 / math.sqrt(init.fans(module.weight)[0])
        init.uniform_(module.bias, -bound, bound)


def positive(layer: str, argument: str, value: object) -> int:
    """`value` as an int >= 1. Raises `ArgumentError`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"{layer}: {argument} must be a positive integer, got {value!r}")
    return int(value)


def float_dtype(layer: str, dtype: DtypeLike) -> np.dtype:
    """The dtype of a layer's parameters. Raises `ArgumentError` for one that is not floating-point."""
    found = as_dtype(dtype)
    if found.kind != "f":
        raise ArgumentError(f"{layer}: dtype must be float32 or float64, got {found}")
    return found


def refuse(layer: str, argument: str, value: object, supported: object, why: str = "") -> None:
    """Raise `ArgumentError` unless an argument has the one value that is supported."""
    if type(value) is not type(supported) or value != supported:
        because = f" ({why})" if why else ""
        raise ArgumentError(f"{layer}: {argument}={value!r} is not supported; leave it at {supported!r}{because}")
