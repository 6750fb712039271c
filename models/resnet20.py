"""ResNet-20 for CIFAR-10: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015, section 4.2.

Three stages of three blocks of two 3x3 convolutions, of 16, 32 and 64 filters. Where a stage begins, the shortcut
halves height and width: option A, the paper's for CIFAR and the default here, takes every second pixel and adds
channels of zeros, which needs no parameters; option B is a 1x1 convolution with batch normalization. Keys of
`state_dict` are named as in torchvision's ResNets.
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


class Block(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)); `stride` divides height and width."""

    def __init__(self, channels: int, filters: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.channels, self.filters, self.stride = channels, filters, stride
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        projected = shortcut == "B" and (stride, channels) != (1, filters)
        self.downsample = nn.Sequential(
            nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
        ) if projected else None  # fmt: skip

    def forward(self, x: gn.Node) -> gn.Node:
        y = gn.relu(self.bn1(self.conv1(x)))
        return gn.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    def shortcut(self, x: gn.Node) -> gn.Node:
        """x in the shape of what the block gives."""
        if self.downsample is not None:
            return self.downsample(x)
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        added = self.filters - self.channels
        return gn.pad(x, ((0, 0), (added // 2, added - added // 2), (0, 0), (0, 0))) if added else x


class ResNet(nn.Module):
    """Images (N, channels, H, W) to scores (N, classes): 6 * blocks + 2 layers of weights."""

    def __init__(self, blocks: int, channels: int, width: int, classes: int, shortcut: str) -> None:
        super().__init__()
        if shortcut not in ("A", "B"):
            raise gn.ArgumentError(f"ResNet: shortcut must be 'A' or 'B', got {shortcut!r}")
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        before = width
        for stage in range(3):
            filters = width << stage
            made = [Block(before, filters, 2 if stage else 1, shortcut)]
            made += [Block(filters, filters, 1, shortcut) for _ in range(blocks - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*made))
            before = filters
        self.fc = nn.Linear(before, classes)

    def forward(self, x: gn.Node) -> gn.Node:
        x = gn.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(gn.mean(x, axis=(2, 3)))


def build(blocks: int = 3, channels: int = 3, width: int = 16, classes: int = CLASSES, shortcut: str = "A") -> ResNet:
    """ResNet-20 for 3 `blocks` a stage (5: ResNet-32, 9: ResNet-56); width: filters of the first stage."""
    return ResNet(blocks, channels, width, classes, shortcut)


def small() -> ResNet:
    """Half as wide and with one block a stage: ResNet-8."""
    return build(blocks=1, width=8)


def examples(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Grey images as three equal channels; coloured ones as they are."""
    return np.repeat(images, 3 // images.shape[1], axis=1), labels
