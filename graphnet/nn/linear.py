"""Fully connected layers, and how their weights and those of convolutions start."""

from __future__ import annotations

import math

import numpy as np

from graphnet.errors import ShapeError
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike
from graphnet.nn import init
from graphnet.nn.arguments import flag, float_dtype, positive
from graphnet.nn.module import Module
from graphnet.ops.einsum import einsum
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


class Bilinear(Module):
    """sum over i, j of input1[..., i] * weight[o, i, j] * input2[..., j], plus bias: (..., out_features).

    weight is (out_features, in1_features, in2_features); it and the bias start uniform in ±1/sqrt(in1_features).
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        self.in1_features = positive("Bilinear", "in1_features", in1_features)
        self.in2_features = positive("Bilinear", "in2_features", in2_features)
        self.out_features = positive("Bilinear", "out_features", out_features)
        kind, bound = float_dtype("Bilinear", dtype), 1 / math.sqrt(in1_features)
        self.weight = parameter(np.zeros((out_features, in1_features, in2_features), kind), "weight")
        wanted = flag("Bilinear", "bias", bias)
        self.register_parameter("bias", parameter(np.zeros(out_features, kind), "bias") if wanted else None)
        for own in self.parameters():
            init.uniform_(own, -bound, bound)

    def forward(self, input1: Node, input2: Node) -> Node:
        last = (input1.shape[-1:], input2.shape[-1:])
        if last != ((self.in1_features,), (self.in2_features,)) or input1.shape[:-1] != input2.shape[:-1]:
            raise ShapeError(
                f"Bilinear: expected (..., {self.in1_features}) and (..., {self.in2_features}), alike but for the last "
                f"axis, got {input1.type} and {input2.type}"
            )
        y = einsum("...i,oij,...j->...o", input1, self.weight, input2)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


def make_weight_and_bias(
    module: Module, shape: tuple[int, ...], bias: bool, dtype: DtypeLike, features: int | None = None
) -> None:
    """Give a layer its weight and its bias (`features`, or the weight's first size), initially as in PyTorch.

    Both are uniform in ±1/sqrt(fan_in), fan_in being the product of all sizes of the weight but its first.
    """
    name = type(module).__name__
    kind, wanted = float_dtype(name, dtype), flag(name, "bias", bias)
    count = shape[0] if features is None else features
    module.register_parameter("weight", parameter(np.zeros(shape, kind), "weight"))
    module.register_parameter("bias", parameter(np.zeros(count, kind), "bias") if wanted else None)
    init.kaiming_uniform_(module.weight, a=math.sqrt(5))
    if wanted:
        bound = 1 / math.sqrt(init.fans(module.weight)[0])
        init.uniform_(module.bias, -bound, bound)
