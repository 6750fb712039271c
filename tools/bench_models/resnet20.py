"""ResNet-20 with 1x1 convolutions in its shortcuts, trained by momentum at a steady rate: a row of the benchmark."""

from graphnet import nn
from models.resnet20 import CLASSES as CLASSES
from models.resnet20 import INPUT_SHAPE as INPUT_SHAPE
from models.resnet20 import build as build_resnet

RECIPE = {"optimizer": "SGD", "options": {"momentum": 0.9}, "lr": 0.01, "batch_size": 64}


def build() -> nn.Module:
    """As models/resnet20.py has it, with option B."""
    return build_resnet(shortcut="B")
