"""A deep autoencoder, 784-1000-500-250-30 and back: Hinton and Salakhutdinov, "Reducing the dimensionality of data with
neural networks", 2006.

The code is linear, as theirs; hidden layers are rectified where theirs were logistic, so that it trains from random
weights without their pretraining. The loss is the squared error of the pixels.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

import graphnet as gn
from graphnet import nn

INPUT_SHAPE = (1, 28, 28)
TARGET = ((1, 28, 28), "float32")
RECIPE = {"optimizer": "Adam", "lr": 1e-3, "epochs": 15, "batch_size": 32}


def stack(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from each width to the next, with ReLU between."""
    layers: list[nn.Module] = []
    for before, width in pairwise(widths):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    """Images (N, 1, 28, 28) to images, by way of `codes` (N, widths[-1])."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder = stack([784, *widths])
        self.decoder = stack([*widths[::-1], 784])

    def codes(self, images: gn.Node) -> gn.Node:
        """What is left of each image: (N, widths[-1])."""
        return self.encoder(gn.flatten(images, 1))

    def forward(self, images: gn.Node) -> gn.Node:
        return gn.reshape(gn.sigmoid(self.decoder(self.codes(images))), images.shape)


def build(widths: Sequence[int] = (1000, 500, 250, 30)) -> Autoencoder:
    """widths: of the encoder's layers, the last being the code; the decoder has them in reverse."""
    return Autoencoder(widths)


def small() -> Autoencoder:
    """One hidden layer, and a code of 32 numbers."""
    return build((256, 32))


def loss(outputs: gn.Node, target: gn.Node) -> gn.Node:
    """The squared error, the mean over all pixels."""
    return gn.mse_loss(outputs, target)


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The image is its own target."""
    return images, images
