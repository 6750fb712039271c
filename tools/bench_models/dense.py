"""Three dense layers, 784-512-512-10, trained by Adam: a row of the benchmark."""

from graphnet import nn

INPUT_SHAPE = (784,)
CLASSES = 10
RECIPE = {"optimizer": "Adam", "lr": 1e-3, "batch_size": 128}


def build() -> nn.Sequential:
    """784 numbers (N, 784) to scores of ten classes (N, 10)."""
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
