"""A plain convolutional net for CIFAR-10: three 3x3 convolutions of 32, 64 and 128 filters, then 1024 units.

In the manner of Krizhevsky's cuda-convnet nets for CIFAR-10 (2012), with the 3x3 filters that double at each pooling
of Simonyan and Zisserman, 2014. Trained on the digits it sees grey as three equal channels.
"""

import numpy as np

from graphnet import nn, optim
from graphnet.training import random_shift

INPUT_SHAPE = (3, 32, 32)
CLASSES = 10
RECIPE = {
    "optimizer": "Adam",
    "lr": optim.cosine(2e-3, steps=615),  # 15 epochs of 41 batches
    "epochs": 15,
    "batch_size": 32,
    "transform": random_shift(2),
}


def build(channels: int = 3, width: int = 32, hidden: int = 1024, classes: int = CLASSES) -> nn.Sequential:
    """Images (N, channels, 32, 32) to scores of `classes` classes; width: filters of the first convolution."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width * 4 * 4, hidden), nn.ReLU(),
        nn.Linear(hidden, classes),
    )  # fmt: skip


def small() -> nn.Sequential:
    """Half the width, and 128 units."""
    return build(width=16, hidden=128)


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Grey images as three equal channels; coloured ones as they are."""
    return np.repeat(images, 3 // images.shape[1], axis=1), labels
