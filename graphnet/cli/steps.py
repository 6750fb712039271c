"""The graphs that the commands work on: a model's training step and its predictions."""

from __future__ import annotations

from dataclasses import dataclass

from graphnet import optim
from graphnet.cli.models import ModelFile
from graphnet.compiler import compile
from graphnet.errors import ArgumentError
from graphnet.executable import Executable
from graphnet.graph.node import Node
from graphnet.nn.module import Module
from graphnet.ops.losses import cross_entropy
from graphnet.ops.random import manual_seed
from graphnet.ops.sources import input

SEED = 0


@dataclass(frozen=True)
class TrainingGraph:
    """A model's training step as declared: inputs, what it gives, and the updates of its optimizer."""

    model: Module
    inputs: tuple[Node, Node]
    scores: Node
    loss: Node
    updates: tuple[Node, ...]

    @property
    def classes(self) -> int:
        size = self.scores.shape[1]
        assert isinstance(size, int)
        return size

    def compile(self, *, backend: str | None = None, rewrite: bool = True, reuse: bool = True) -> Executable:
        """The compiled step: images and labels in, the loss out, parameters updated."""
        return compile(self.inputs, self.loss, self.updates, backend=backend, rewrite=rewrite, reuse=reuse)


def training_graph(file: ModelFile, seed: int = SEED) -> TrainingGraph:
    """A new model of `file` with weights from `seed`, its cross-entropy, and its recipe's updates."""
    manual_seed(seed)
    model = file.build()
    images = input("images", ("N", *file.input_shape))
    labels = input("labels", ("N",), dtype="int64")
    scores = model.train()(images)
    check_scores(file, scores)
    loss = cross_entropy(scores, labels)
    updates = tuple(make_optimizer(file, model).updates(loss))
    return TrainingGraph(model, (images, labels), scores, loss, updates)


def make_optimizer(file: ModelFile, model: Module, name: str | None = None, lr: float | None = None) -> optim.Optimizer:
    """The optimizer that the recipe of `file` names, with its options, or the one named; Adam where neither says."""
    own = str(file.recipe.get("optimizer", "Adam"))
    options = file.recipe.get("options", {}) if name in (None, own) else {}
    name = name or own
    rate = lr if lr is not None else file.recipe.get("lr", 1e-3)
    made = getattr(optim, name, None)
    if not isinstance(made, type) or not issubclass(made, optim.Optimizer):
        raise ArgumentError(f"{file.name}: RECIPE names the optimizer {name!r}, which graphnet.optim does not have")
    try:
        optimizer: optim.Optimizer = made(model.parameters(), lr=rate, **options)
    except TypeError as error:
        raise ArgumentError(f"{file.name}: RECIPE's options do not fit {name}: {error}") from None
    return optimizer


def check_scores(file: ModelFile, scores: object) -> None:
    """Raise `ArgumentError` unless the model gives one score a class: (N, classes)."""
    if not isinstance(scores, Node) or scores.ndim != 2 or not isinstance(scores.shape[1], int):
        got = scores.type if isinstance(scores, Node) else type(scores).__name__
        raise ArgumentError(f"{file.name}: a model must give scores (N, classes), got {got}")
