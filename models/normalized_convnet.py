"""A convolutional net whose channels are normalized over the batch, or in groups within each image.

Ioffe and Szegedy, "Batch normalization", 2015, section 3.2 (one mean and variance a channel, over all places); Wu and
He, "Group normalization", 2018 (over groups of channels of one image, so that the size of the batch does not matter).
Strided convolutions take the place of pooling: Springenberg et al., "Striving for simplicity", 2015.
"""

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import random_shift

INPUT_SHAPE = (1, 28, 28)
CLASSES = 10
RECIPE = {
    "optimizer": "AdamW",
    "lr": optim.cosine(5e-3, steps=615),  # 15 epochs of 41 batches
    "epochs": 15,
    "batch_size": 32,
    "transform": random_shift(1),
}
NORMS = ("batch", "group", "none")


class Block(nn.Sequential):
    """Convolution 3x3, normalization, ReLU: (N, channels, H, W) to (N, filters, H / stride, W / stride)."""

    def __init__(self, channels: int, filters: int, stride: int, norm: str, groups: int) -> None:
        if norm not in NORMS:
            raise gn.ArgumentError(f"Block: norm must be one of {', '.join(NORMS)}, got {norm!r}")
        layers = [nn.Conv2d(channels, filters, 3, stride, padding=1, bias=norm == "none")]
        if norm != "none":
            layers.append(nn.BatchNorm2d(filters) if norm == "batch" else nn.GroupNorm(groups, filters))
        super().__init__(*layers, nn.ReLU())


def build(
    channels: int = 1, width: int = 32, norm: str = "batch", groups: int = 8, classes: int = CLASSES
) -> nn.Sequential:
    """Images (N, channels, H, W) to scores of `classes` classes. norm: "batch", "group" (of `groups`) or "none"."""
    return nn.Sequential(
        Block(channels, width, 1, norm, groups),
        Block(width, width, 2, norm, groups),
        Block(width, 2 * width, 2, norm, groups),
        Block(2 * width, 2 * width, 2, norm, groups),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, classes),
    )


def small() -> nn.Sequential:
    """Half the width."""
    return build(width=16)


def grouped() -> nn.Sequential:
    """With group normalization."""
    return build(norm="group")
