"""Modules, layers and initialisers, with PyTorch's names, arguments, weight layouts and state_dict keys."""

from graphnet.nn import init
from graphnet.nn.activation import (
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from graphnet.nn.containers import Identity, ModuleDict, ModuleList, Sequential
from graphnet.nn.convolution import Conv1d, Conv2d, ConvTranspose2d
from graphnet.nn.dropout import Dropout, Dropout2d
from graphnet.nn.embedding import Embedding
from graphnet.nn.linear import Linear
from graphnet.nn.loss import CrossEntropyLoss, MSELoss
from graphnet.nn.module import Module
from graphnet.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
)
from graphnet.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from graphnet.nn.shaping import Flatten, PixelShuffle, PixelUnshuffle, Unflatten, Upsample

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "PReLU",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unflatten",
    "Upsample",
    "init",
]
