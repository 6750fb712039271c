"""Graphs that the tests of pictures draw."""

import graphnet as gn
from graphnet import nn, optim


class Residual(nn.Module):
    """A branch, a layer called twice, and a name that needs escaping."""

    def __init__(self, name='<b> & "é"'):
        super().__init__()
        self.add_module(name, nn.Linear(4, 4))
        self.shared = getattr(self, name)
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        return self.last(x + gn.relu(self.shared(gn.relu(self.shared(x)))))


def small_net():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3)
    )


def training(model, shape, prefix="", **options):
    """Loss and updates of a step of Adam on images of `shape`.

    Equal nodes are one object and keep the layer that first declared them, be it in another test: with a `prefix` of
    their own the inputs, and so what is made of them, are nobody else's.
    """
    images = gn.input(f"{prefix}images", ("N", *shape))
    labels = gn.input(f"{prefix}labels", ("N",), dtype="int64")
    loss = gn.cross_entropy(model(images), labels)
    updates = tuple(optim.Adam(model.parameters(), **options).updates(loss))
    return [images, labels], loss, updates
