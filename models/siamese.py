"""A siamese net, which says how far apart two images are: one encoder, called on both.

Bromley et al., "Signature verification using a 'Siamese' time delay neural network", 1993; the contrastive loss is that
of Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping", 2006. Images are a pair
where they show the same digit.
"""

import numpy as np

import graphnet as gn
from graphnet import nn

INPUTS = {"left": ((1, 28, 28), "float32"), "right": ((1, 28, 28), "float32")}
TARGET = ((), "float32")  # 1: the same digit, 0: different ones
RECIPE = {"optimizer": "Adam", "lr": 1e-3, "epochs": 15, "batch_size": 32}
MARGIN = 1.0


class Siamese(nn.Module):
    """Two images (N, 1, 28, 28) each to the distance (N) of what the encoder makes of them, (N, features)."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * 25, features, bias=False),  # a bias would cancel in the difference
        )  # fmt: skip

    def forward(self, left: gn.Node, right: gn.Node) -> gn.Node:
        difference = self.encoder(left) - self.encoder(right)
        # The root of 0 has no slope: two equal images would make a NaN of the gradient without the small term.
        return gn.sqrt(gn.sum(gn.square(difference), axis=1) + 1e-12)


def build(width: int = 8, features: int = 32) -> Siamese:
    """width: filters of the first convolution. features: how many numbers describe an image."""
    return Siamese(width, features)


def loss(outputs: gn.Node, target: gn.Node) -> gn.Node:
    """distance^2 for a pair, max(0, MARGIN - distance)^2 for two that are none; halved, the mean over examples."""
    apart = gn.square(gn.maximum(MARGIN - outputs, 0.0))
    return gn.mean(0.5 * (target * gn.square(outputs) + (1.0 - target) * apart))


def pair_accuracy(outputs: gn.Node, target: gn.Node) -> gn.Node:
    """The share of examples whose distance is on the right side of half the margin."""
    return gn.mean(gn.cast(gn.equal(gn.less(outputs, MARGIN / 2), gn.greater(target, 0.5)), "float32"))


METRICS = {"accuracy": pair_accuracy}


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Each image with one other, drawn by a fixed seed: every second with one of its own class, where there is one."""
    rng = np.random.Generator(np.random.Philox(0))
    partners = rng.permutation(len(labels))
    for label in np.unique(labels):
        own = np.flatnonzero(labels[::2] == label) * 2
        partners[own] = rng.permutation(np.flatnonzero(labels == label))[: len(own)]
    return images, images[partners], (labels == labels[partners]).astype(np.float32)
