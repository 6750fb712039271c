"""VGG-11 in the form for CIFAR: Simonyan and Zisserman, "Very deep convolutional networks", 2014, configuration A.

Its five poolings take 32 by 32 pixels to one, so one linear layer on 512 numbers is all that is left of the three at
the end; batch normalization follows each convolution, without which it hardly begins to learn. Liu and Deng, "Very deep
convolutional neural network based image classification using small training sample size", 2015, do both to VGG-16.
Keys of `state_dict` are those of torchvision's vgg11_bn, but for the classifier's.
"""

import numpy as np

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import random_shift

INPUT_SHAPE = (3, 32, 32)
CLASSES = 10
RECIPE = {
    "optimizer": "AdamW",
    "lr": optim.cosine(2e-3, steps=615),  # 15 epochs of 41 batches
    "epochs": 15,
    "batch_size": 32,
    "transform": random_shift(2),
}
CONFIGURATION = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")


class VGG(nn.Module):
    """Images (N, channels, 32, 32) to scores (N, classes); `width` in place of the 64 filters of the first layer."""

    def __init__(self, channels: int = 3, width: int = 64, classes: int = CLASSES) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for item in CONFIGURATION:
            if isinstance(item, str):
                self.features.append(nn.MaxPool2d(2))
                continue
            filters = item * width // 64
            for layer in (nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()):
                self.features.append(layer)
            channels = filters
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: gn.Node) -> gn.Node:
        return self.classifier(gn.flatten(self.features(x), 1))


def build(channels: int = 3, width: int = 64, classes: int = CLASSES) -> VGG:
    """As `VGG` says."""
    return VGG(channels, width, classes)


def small() -> VGG:
    """An eighth of the width."""
    return build(width=8)


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Grey images as three equal channels; coloured ones as they are."""
    return np.repeat(images, 3 // images.shape[1], axis=1), labels
