"""A fully connected net, 784-512-512-10.

The layers of the example mnist_mlp.py that came with Keras 2 (Chollet and others), without its dropout.
"""

from graphnet import nn

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
RECIPE = {"optimizer": "Adam", "lr": 2e-3, "epochs": 15, "batch_size": 128}


def build() -> nn.Sequential:
    """28 by 28 pixels (N, 1, 28, 28) to scores of ten classes (N, 10)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512), nn.ReLU(),
        nn.Linear(512, 512), nn.ReLU(),
        nn.Linear(512, 10),
    )  # fmt: skip
