"""U-Net: Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015.

Four times down and up again, each step up joined with what was there on the way down. As is usual today, convolutions
are padded, so that the map has the size of the image, and batch-normalized. On the digits it says of each pixel whether
it is background or which digit it belongs to, so it must look far beyond the pixel.
"""

import numpy as np

import graphnet as gn
from graphnet import nn, optim

INPUT_SHAPE = (1, 16, 16)
TARGET = ((16, 16), "int64")  # of each pixel: 0 for background, 1 + the digit for ink
CLASSES = 11
RECIPE = {
    "optimizer": "Adam",
    "lr": optim.cosine(5e-3, steps=615),  # 15 epochs of 41 batches
    "epochs": 15,
    "batch_size": 32,
}


def double(channels: int, filters: int) -> nn.Sequential:
    """Two 3x3 convolutions that keep height and width, each normalized and rectified."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(),
        nn.Conv2d(filters, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    """Images (N, channels, H, W) to scores (N, classes, H, W); H and W are multiples of 2 ** depth."""

    def __init__(self, channels: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        filters = [width << level for level in range(depth + 1)]
        self.first = double(channels, width)
        self.down = nn.ModuleList([double(filters[i], filters[i + 1]) for i in range(depth)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(filters[i + 1], filters[i], 2, stride=2) for i in range(depth)])
        self.joined = nn.ModuleList([double(filters[i + 1], filters[i]) for i in range(depth)])
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: gn.Node) -> gn.Node:
        levels = [self.first(x)]
        for block in self.down:
            levels.append(block(gn.max_pool2d(levels[-1], 2)))
        y = levels.pop()
        for level in reversed(range(len(levels))):
            y = self.joined[level](gn.concatenate([levels[level], self.up[level](y)], axis=1))
        return self.last(y)


def build(channels: int = 1, classes: int = CLASSES, width: int = 64, depth: int = 4) -> UNet:
    """width: filters of the topmost level; each level further down has twice as many."""
    return UNet(channels, classes, width, depth)


def small() -> UNet:
    """Three levels below the first, a quarter as wide."""
    return build(width=16, depth=3)


def loss(outputs: gn.Node, target: gn.Node) -> gn.Node:
    """The cross-entropy of the pixels' classes, the mean over all pixels."""
    return gn.cross_entropy(outputs, target)


def pixel_accuracy(outputs: gn.Node, target: gn.Node) -> gn.Node:
    """The share of pixels whose largest score is at their class."""
    return gn.mean(gn.cast(gn.equal(gn.argmax(outputs, axis=1), target), "float32"))


METRICS = {"accuracy": pixel_accuracy}


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Ink, brighter than a half, belongs to the image's digit."""
    ink = images[:, 0] > 0.5
    return images, np.where(ink, labels[:, np.newaxis, np.newaxis] + 1, 0)
