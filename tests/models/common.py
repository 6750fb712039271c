"""What the tests of models/ share: every file of the folder, its data, and a training run by its recipe."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import graphnet as gn
from graphnet.cli.models import ModelFile, find_model
from graphnet.cli.steps import make_optimizer
from graphnet.training import DataLoader, Trainer, datasets

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "models").glob("*.py"))


def small(name: str) -> ModelFile:
    """The model file, building its `small` net where it has one."""
    has_small = hasattr(importlib.import_module(f"models.{name}"), "small")
    return find_model(f"models.{name}:small" if has_small else f"models.{name}")


def data(file: ModelFile) -> Iterator[tuple[np.ndarray, ...]]:
    """Examples for training, then examples for testing, as the model takes them."""
    size = file.input_shape[-1]
    found = getattr(datasets, file.data)(size)
    return (file.examples(*part) for part in (found.train, found.test))


def learn(file: ModelFile, **recipe: object) -> dict[str, float]:
    """Train by the recipe (or what is given in its place); the loss and metrics on the test examples."""
    file = ModelFile(**{**vars(file), "recipe": {**file.recipe, **recipe}})
    train, test = data(file)
    gn.manual_seed(0)
    model = file.build()
    trainer = Trainer(model, file.loss_of(model), make_optimizer(file, model), metrics=file.metrics)
    loader = DataLoader(train, file.recipe["batch_size"], shuffle=True, transform=file.recipe.get("transform"))
    trainer.fit(loader, epochs=file.recipe["epochs"], progress=False)
    return trainer.evaluate(DataLoader(test, 128))
