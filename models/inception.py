"""GoogLeNet's nine Inception modules: Szegedy et al., "Going deeper with convolutions", 2014, table 1.

Each module runs four branches side by side (1x1; 1x1 then 3x3; 1x1 then 5x5; pooling then 1x1) and joins their
channels. For images of 32 by 32 the stem is two convolutions and a pooling; each convolution is batch-normalized, and
the two auxiliary classifiers are left out, as has been usual since Ioffe and Szegedy, 2015.
"""

import numpy as np

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import random_shift

INPUT_SHAPE = (3, 32, 32)
CLASSES = 10
RECIPE = {
    "optimizer": "AdamW",
    "lr": optim.cosine(3e-3, steps=615),  # 15 epochs of 41 batches
    "epochs": 15,
    "batch_size": 32,
    "transform": random_shift(2),
}
# Filters: 1x1; 1x1 before and 3x3; 1x1 before and 5x5; 1x1 after pooling.
MODULES = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), "pool",
    (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), "pool",
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip
SMALL = (MODULES[0], MODULES[1], "pool", MODULES[3])


def convolution(channels: int, filters: int, kernel_size: int) -> nn.Sequential:
    """A convolution that keeps height and width, batch-normalized and rectified."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
    )


class Inception(nn.Module):
    """(N, channels, H, W) to (N, self.channels, H, W): four branches, joined."""

    def __init__(self, channels: int, one: int, before3: int, three: int, before5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.branch1 = convolution(channels, one, 1)
        self.branch2 = nn.Sequential(convolution(channels, before3, 1), convolution(before3, three, 3))
        self.branch3 = nn.Sequential(convolution(channels, before5, 1), convolution(before5, five, 5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), convolution(channels, pooled, 1))
        self.channels = one + three + five + pooled

    def forward(self, x: gn.Node) -> gn.Node:
        return gn.concatenate([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], axis=1)


def build(
    classes: int = CLASSES, divide: int = 1, modules: tuple[tuple[int, ...] | str, ...] = MODULES
) -> nn.Sequential:
    """Images (N, 3, H, W) to scores of `classes` classes; `divide` makes every layer so many times narrower."""
    channels = 192 // divide
    model = nn.Sequential(convolution(3, 64 // divide, 3), nn.MaxPool2d(2), convolution(64 // divide, channels, 3))
    for module in modules:
        if isinstance(module, str):
            model.append(nn.MaxPool2d(3, stride=2, padding=1))
        else:
            made = Inception(channels, *(filters // divide for filters in module))
            model.append(made)
            channels = made.channels
    for layer in (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)):
        model.append(layer)
    return model


def small() -> nn.Sequential:
    """Three modules, an eighth as wide."""
    return build(divide=8, modules=SMALL)


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Grey images as three equal channels; coloured ones as they are."""
    return np.repeat(images, 3 // images.shape[1], axis=1), labels
