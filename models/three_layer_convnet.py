"""The three-layer convolutional net of course assignments: conv, ReLU, 2x2 max pool, affine, ReLU, affine.

The shape and sizes of ThreeLayerConvNet in Stanford's CS231n, "Convolutional Neural Networks for Visual Recognition",
assignment 2: 32 filters of 7 by 7 that keep the size of the image, 100 hidden units.
"""

from graphnet import nn, optim
from graphnet.training import random_shift

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
RECIPE = {
    "optimizer": "Adam",
    "lr": optim.cosine(2e-3, steps=615),  # 15 epochs of 41 batches
    "epochs": 15,
    "batch_size": 32,
    "transform": random_shift(2),
}


def build(
    channels: int = 1,
    size: int = 28,
    filters: int = 32,
    kernel_size: int = 7,
    hidden: int = 100,
    classes: int = CLASSES,
) -> nn.Sequential:
    """Images (N, channels, size, size) to scores of `classes` classes; kernel_size is odd, size even."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, kernel_size, padding=kernel_size // 2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(filters * (size // 2) ** 2, hidden), nn.ReLU(),
        nn.Linear(hidden, classes),
    )  # fmt: skip
