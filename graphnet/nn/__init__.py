"""Modules, layers and initialisers, with PyTorch's names, arguments, weight layouts and state_dict keys."""

from graphnet.nn import init
from graphnet.nn.activation import (
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from graphnet.nn.convolution import Conv1d, Conv2d
from graphnet.nn.dropout import Dropout, Dropout2d
from graphnet.nn.linear import Flatten, Linear
from graphnet.nn.loss import CrossEntropyLoss, MSELoss
from graphnet.nn.module import Module
from graphnet.nn.normalization import BatchNorm1d, BatchNorm2d
from graphnet.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from graphnet.nn.sequential import Identity, Sequential

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
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "init",
]
