"""graphnet: a static graph compiler for deep learning on the CPU. The public names, nothing else."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from graphnet import nn, optim
from graphnet.autodiff import gradients
from graphnet.compiler import compile
from graphnet.errors import (
    ArgumentError,
    CopyError,
    DataError,
    DimError,
    DtypeError,
    FeedError,
    GradientError,
    GraphnetError,
    MissingExtraError,
    PlanError,
    RewriteError,
    ShapeError,
    WeightsError,
)
from graphnet.gradient_check import check_gradients
from graphnet.graph.dims import Dim
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.ops import operators as _operators  # noqa: F401  (makes Python's operators on nodes work)
from graphnet.ops import random
from graphnet.ops.activations import elu, gelu, leaky_relu, log_sigmoid, relu, selu, sigmoid, silu, softplus
from graphnet.ops.attention import scaled_dot_product_attention
from graphnet.ops.comparison import (
    clip,
    equal,
    fmax,
    greater,
    greater_equal,
    isfinite,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    not_equal,
    where,
)
from graphnet.ops.convolution import conv1d, conv2d, conv_transpose2d
from graphnet.ops.einsum import einsum
from graphnet.ops.elementwise import add, divide, floor_divide, multiply, remainder, subtract
from graphnet.ops.gradient_control import custom_gradient, stop_gradient
from graphnet.ops.indexing import embedding, gather, index_add, one_hot, scatter_add, take, take_along_axis
from graphnet.ops.joining import concatenate, pad, repeat, stack, tile
from graphnet.ops.layout import diagonal, expand_dims, flatten, moveaxis, squeeze, swapaxes, transpose
from graphnet.ops.linear import linear, matmul
from graphnet.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    multi_margin_loss,
    nll_loss,
    smooth_l1_loss,
)
from graphnet.ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from graphnet.ops.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from graphnet.ops.powers import power
from graphnet.ops.random import Generator, alpha_dropout, dropout, dropout2d, manual_seed
from graphnet.ops.reductions import argmax, argmin, cumsum, log_softmax, logsumexp, max, mean, min, prod, softmax, var
from graphnet.ops.resampling import adaptive_avg_pool2d, global_avg_pool2d, interpolate, upsample
from graphnet.ops.shaping import broadcast_to, cast, reshape, sum
from graphnet.ops.slicing import flip, split
from graphnet.ops.sources import Parameter, assign, constant, input, parameter
from graphnet.ops.unary import (
    abs,
    ceil,
    cos,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    negative,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    sqrt,
    square,
    tan,
    tanh,
)

if TYPE_CHECKING:
    from graphnet import interop, training

__all__ = [
    "ArgumentError",
    "CopyError",
    "DataError",
    "Dim",
    "DimError",
    "DtypeError",
    "FeedError",
    "Generator",
    "GradientError",
    "GraphnetError",
    "MissingExtraError",
    "Node",
    "Parameter",
    "PlanError",
    "RewriteError",
    "ShapeError",
    "TensorType",
    "WeightsError",
    "abs",
    "adaptive_avg_pool2d",
    "add",
    "alpha_dropout",
    "argmax",
    "argmin",
    "assign",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "broadcast_to",
    "cast",
    "ceil",
    "check_gradients",
    "clip",
    "compile",
    "concatenate",
    "constant",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cos",
    "cross_entropy",
    "cumsum",
    "custom_gradient",
    "diagonal",
    "divide",
    "dropout",
    "dropout2d",
    "einsum",
    "elu",
    "embedding",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "flatten",
    "flip",
    "floor",
    "floor_divide",
    "fmax",
    "gather",
    "gelu",
    "global_avg_pool2d",
    "gradients",
    "greater",
    "greater_equal",
    "group_norm",
    "huber_loss",
    "index_add",
    "input",
    "instance_norm",
    "interop",
    "interpolate",
    "isfinite",
    "isnan",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "less",
    "less_equal",
    "linear",
    "log",
    "log1p",
    "log_sigmoid",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "manual_seed",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "mse_loss",
    "multi_margin_loss",
    "multiply",
    "negative",
    "nll_loss",
    "nn",
    "not_equal",
    "one_hot",
    "optim",
    "pad",
    "parameter",
    "power",
    "prod",
    "random",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "rms_norm",
    "round",
    "rsqrt",
    "scaled_dot_product_attention",
    "scatter_add",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "stop_gradient",
    "subtract",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tile",
    "training",
    "transpose",
    "upsample",
    "var",
    "where",
]


def __getattr__(name: str) -> ModuleType:
    """`graphnet.training` and `graphnet.interop`, loaded when first asked for: serving a model needs neither."""
    if name in ("interop", "training"):
        return import_module(f"graphnet.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
