"""VGG-11 of models/vgg11.py: a row of the benchmark, of predictions."""

from graphnet import nn
from models.vgg11 import CLASSES as CLASSES
from models.vgg11 import INPUT_SHAPE as INPUT_SHAPE
from models.vgg11 import build as build_vgg

RECIPE = {"optimizer": "SGD", "options": {"momentum": 0.9}, "lr": 0.01, "batch_size": 64}


def build() -> nn.Module:
    """As models/vgg11.py has it."""
    return build_vgg()
