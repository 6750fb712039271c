"""graphnet: a static graph compiler for deep learning on the CPU. The public names, nothing else."""

from graphnet.autodiff import gradients
from graphnet.compiler import compile
from graphnet.errors import (
    ArgumentError,
    DataError,
    DimError,
    DtypeError,
    FeedError,
    GradientError,
    GraphnetError,
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
from graphnet.ops.indexing import embedding, gather, index_add, one_hot, scatter_add, take, take_along_axis
from graphnet.ops.joining import concatenate, pad, repeat, stack, tile
from graphnet.ops.layout import diagonal, expand_dims, flatten, moveaxis, squeeze, swapaxes, transpose
from graphnet.ops.shaping import broadcast_to, cast, reshape, sum
from graphnet.ops.slicing import flip, split
from graphnet.ops.sources import Parameter, assign, constant, input, parameter

__all__ = [
    "ArgumentError",
    "DataError",
    "Dim",
    "DimError",
    "DtypeError",
    "FeedError",
    "GradientError",
    "GraphnetError",
    "Node",
    "Parameter",
    "PlanError",
    "RewriteError",
    "ShapeError",
    "TensorType",
    "WeightsError",
    "assign",
    "broadcast_to",
    "cast",
    "check_gradients",
    "compile",
    "concatenate",
    "constant",
    "diagonal",
    "embedding",
    "expand_dims",
    "flatten",
    "flip",
    "gather",
    "gradients",
    "index_add",
    "input",
    "moveaxis",
    "one_hot",
    "pad",
    "parameter",
    "repeat",
    "reshape",
    "scatter_add",
    "split",
    "squeeze",
    "stack",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tile",
    "transpose",
]
