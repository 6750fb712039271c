"""A small run that the tests of training share: dropout, batch normalization, moments and shuffled batches."""

from __future__ import annotations

import numpy as np

import graphnet as gn
from graphnet import nn, optim
from graphnet.training import Callback, DataLoader, Trainer, accuracy


def problem(count=96):
    """Points in a plane, labelled by the angle's third."""
    points = np.random.default_rng(0).normal(size=(count, 2))
    labels = ((np.arctan2(points[:, 1], points[:, 0]) + np.pi) / (2 * np.pi) * 3).astype("int64") % 3
    return points.astype("float32"), labels


def make_trainer(lr=0.02, **options):
    gn.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    adam = optim.Adam(model.parameters(), lr=lr)
    return Trainer(model, nn.CrossEntropyLoss(), adam, metrics={"accuracy": accuracy}, **options)


def make_loaders():
    """Six batches an epoch, and two to validate on, in another order each time.

    Batches have one size, so that there is one program of each step to compile.
    """
    data = problem()
    return DataLoader(data, 16, shuffle=True, seed=5), DataLoader(data, 48, shuffle=True, seed=6)


def bits(trainer):
    """All that training changes, as bytes."""
    state = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    state["random"] = gn.random.default_generator.state.value
    return {name: array.tobytes() for name, array in state.items()}


class At(Callback):
    """Calls `action(trainer)` after the batch or the epoch of this number."""

    def __init__(self, action, *, epoch=0, batch=0):
        self.action, self.epoch, self.batch = action, epoch, batch

    def on_batch_end(self, trainer, measures):
        if (trainer.epochs_done + 1, trainer.batches_done) == (self.epoch, self.batch):
            self.action(trainer)

    def on_epoch_end(self, trainer, row):
        if row["epoch"] == self.epoch and not self.batch:
            self.action(trainer)
