"""ResNet-18: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015, table 1.

With `small_images` the first convolution is 3x3 without stride and the max pooling after it is left out, as is usual
for images of 32 by 32 pixels; without it, it is the net for ImageNet, and weights of torchvision's resnet18 load as
they are. Shortcuts are option B, 1x1 convolutions where the shape changes.
"""

import numpy as np

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import random_shift

INPUT_SHAPE = (3, 32, 32)
CLASSES = 10
RECIPE = {
    "optimizer": "SGD",
    "options": {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "lr": optim.cosine(0.05, steps=615),  # 15 epochs of 41 batches
    "epochs": 15,
    "batch_size": 32,
    "transform": random_shift(2),
}


class BasicBlock(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)); `stride` divides height and width."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        shortcut = nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
        self.downsample = nn.Sequential(*shortcut) if (stride, inplanes) != (1, planes) else None

    def forward(self, x: gn.Node) -> gn.Node:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = gn.relu(self.bn1(self.conv1(x)))
        return gn.relu(self.bn2(self.conv2(y)) + shortcut)


class ResNet18(nn.Module):
    """Images (N, 3, H, W) to scores (N, classes); width: filters of the first stage."""

    def __init__(self, classes: int = CLASSES, small_images: bool = True, width: int = 64) -> None:
        super().__init__()
        if small_images:
            self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(width, width), BasicBlock(width, width))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, 2), BasicBlock(4 * width, 4 * width))
        self.layer4 = nn.Sequential(BasicBlock(4 * width, 8 * width, 2), BasicBlock(8 * width, 8 * width))
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, x: gn.Node) -> gn.Node:
        x = self.maxpool(gn.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(gn.mean(x, axis=(2, 3)))


def build(classes: int = CLASSES, small_images: bool = True, width: int = 64) -> ResNet18:
    """As `ResNet18` says; `build(1000, small_images=False)` is the net for ImageNet."""
    return ResNet18(classes, small_images, width)


def small() -> ResNet18:
    """An eighth of the width."""
    return build(width=8)


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Grey images as three equal channels; coloured ones as they are."""
    return np.repeat(images, 3 // images.shape[1], axis=1), labels
