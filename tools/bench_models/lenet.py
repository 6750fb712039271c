"""LeNet-5 of models/lenet.py, trained by plain momentum at a steady rate: a row of the benchmark."""

from graphnet import nn
from models.lenet import CLASSES as CLASSES
from models.lenet import INPUT_SHAPE as INPUT_SHAPE
from models.lenet import build as build_lenet

RECIPE = {"optimizer": "SGD", "options": {"momentum": 0.9}, "lr": 0.01, "batch_size": 64}


def build() -> nn.Sequential:
    """As models/lenet.py has it."""
    return build_lenet()
