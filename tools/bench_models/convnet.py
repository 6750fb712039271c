"""The net of models/cifar_convnet.py, trained by Adam at a steady rate: a row of the benchmark."""

from graphnet import nn
from models.cifar_convnet import CLASSES as CLASSES
from models.cifar_convnet import INPUT_SHAPE as INPUT_SHAPE
from models.cifar_convnet import build as build_convnet

RECIPE = {"optimizer": "Adam", "lr": 1e-3, "batch_size": 64}


def build() -> nn.Sequential:
    """As models/cifar_convnet.py has it: filters 32, 64 and 128, then 1024 units."""
    return build_convnet()
