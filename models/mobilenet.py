"""MobileNet: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017.

Each 3x3 convolution is split in two: one filter for each channel by itself, then a 1x1 convolution that mixes the
channels. Table 1 of the paper, but with the first two strides left out, so that images of 32 by 32 end as 2 by 2.
"""

import numpy as np

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import random_shift

INPUT_SHAPE = (3, 32, 32)
CLASSES = 10
RECIPE = {
    "optimizer": "AdamW",
    "lr": optim.cosine(5e-3, steps=615),  # 15 epochs of 41 batches
    "epochs": 15,
    "batch_size": 32,
    "transform": random_shift(2),
}
LAYERS = (
    (64, 1), (128, 1), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class Separable(nn.Sequential):
    """Depthwise 3x3, then pointwise, each normalized and rectified: (N, channels, H, W) to (N, filters, H', W')."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, filters, 1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
        )


class MobileNet(nn.Module):
    """Images (N, 3, H, W) to scores (N, classes). layers: filters and stride of each separable convolution."""

    def __init__(self, classes: int, width: float, layers: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        channels = int(32 * width)
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.features = nn.Sequential()
        for filters, stride in layers:
            self.features.append(Separable(channels, int(filters * width), stride))
            channels = int(filters * width)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: gn.Node) -> gn.Node:
        return self.fc(gn.mean(self.features(self.stem(x)), axis=(2, 3)))


def build(classes: int = CLASSES, width: float = 1.0, layers: tuple[tuple[int, int], ...] = LAYERS) -> MobileNet:
    """width: the paper's multiplier alpha, which makes every layer narrower."""
    return MobileNet(classes, width, layers)


def small() -> MobileNet:
    """A quarter of the width, and six separable convolutions in place of thirteen."""
    return build(width=0.25, layers=((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)))


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Grey images as three equal channels; coloured ones as they are."""
    return np.repeat(images, 3 // images.shape[1], axis=1), labels
