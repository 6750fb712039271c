"""The graphs that the commands work on: a model's training step, and a batch to run it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphnet import optim
from graphnet.cli.models import ModelFile
from graphnet.compiler import compile
from graphnet.errors import ArgumentError
from graphnet.executable import Executable
from graphnet.graph.node import Node
from graphnet.nn.module import Module
from graphnet.ops.random import manual_seed
from graphnet.optim.schedules import Schedule

SEED = 0


@dataclass(frozen=True)
class TrainingGraph:
    """A model's training step as declared: inputs and target, what it gives, and the updates of its optimizer."""

    file: ModelFile
    model: Module
    inputs: tuple[Node, ...]
    target: Node
    outputs: Any
    loss: Node
    updates: tuple[Node, ...]

    @property
    def named_outputs(self) -> dict[str, Node]:
        """What the model gives, by a name to show."""
        if isinstance(self.outputs, tuple):
            return {f"output {position}": node for position, node in enumerate(self.outputs)}
        return {"scores" if self.file.gives_scores else "output": self.outputs}

    def compile(self, *, backend: str | None = None, rewrite: bool = True, reuse: bool = True) -> Executable:
        """The compiled step: inputs and target in, the loss out, parameters updated."""
        takes = [*self.inputs, self.target]
        return compile(takes, self.loss, self.updates, backend=backend, rewrite=rewrite, reuse=reuse)

    def random_batch(self, count: int) -> tuple[np.ndarray, ...]:
        """Inputs and targets that are always the same: work to measure, nothing to learn.

        Floats are in [0, 1). Integers are below the number of scores, or CLASSES, or 2 where there is neither.
        """
        return random_arrays(np.random.default_rng(0), (*self.inputs, self.target), count, self.classes)

    @property
    def classes(self) -> int:
        """What integers are below: the number of scores, or CLASSES, or 2 where there is neither."""
        scores = self.outputs.shape[1] if self.file.gives_scores else None
        return scores if isinstance(scores, int) else self.file.classes or 2


def random_arrays(rng: np.random.Generator, nodes: Sequence[Node], count: int, below: int) -> tuple[np.ndarray, ...]:
    """Arrays for inputs of `count` examples: floats in [0, 1), integers in [0, below)."""
    return tuple(_random(rng, node, count, below) for node in nodes)


def _random(rng: np.random.Generator, node: Node, count: int, below: int) -> np.ndarray:
    shape = (count, *(size for size in node.shape[1:] if isinstance(size, int)))
    if node.type.is_float:
        return rng.random(shape).astype(node.dtype)
    return rng.integers(0, 2 if node.dtype.kind == "b" else below, shape).astype(node.dtype)


def training_graph(file: ModelFile, seed: int = SEED) -> TrainingGraph:
    """A new model of `file` with weights from `seed`, its loss, and its recipe's updates."""
    manual_seed(seed)
    model = file.build()
    inputs, target = file.input_nodes(), file.target_node()
    outputs = file.outputs(model.train(), inputs)
    if file.gives_scores:
        check_scores(file, outputs)
    loss = file.loss_of(model)(outputs, target)
    updates = tuple(make_optimizer(file, model).updates(loss))
    return TrainingGraph(file, model, inputs, target, outputs, loss, updates)


def make_optimizer(file: ModelFile, model: Module, name: str | None = None, lr: float | None = None) -> optim.Optimizer:
    """The optimizer that the recipe of `file` names, with its options, or the one named; Adam where neither says."""
    own = str(file.recipe.get("optimizer", "Adam"))
    options = file.recipe.get("options", {}) if name in (None, own) else {}
    name = name or own
    rate = lr if lr is not None else file.recipe.get("lr", 1e-3)
    made = optim.OPTIMIZERS.get(name)
    if made is None:
        raise ArgumentError(f"{file.name}: RECIPE names the optimizer {name!r}, which graphnet.optim does not have")
    try:
        optimizer = made(model.parameters(), lr=rate, **options)
    except TypeError as error:
        raise ArgumentError(f"{file.name}: RECIPE's options do not fit {name}: {error}") from None
    return optimizer


def steady_rate(file: ModelFile) -> float:
    """A learning rate that stays the same: the recipe's; of a schedule what it begins with, or 1e-3 where that is 0."""
    rate = file.recipe.get("lr", 1e-3)
    return (rate.value(0) or 1e-3) if isinstance(rate, Schedule) else float(rate)


def check_scores(file: ModelFile, scores: object) -> None:
    """Raise `ArgumentError` unless the model gives one score a class: (N, classes)."""
    if not isinstance(scores, Node) or scores.ndim != 2 or not isinstance(scores.shape[1], int):
        got = scores.type if isinstance(scores, Node) else type(scores).__name__
        raise ArgumentError(f"{file.name}: a model must give scores (N, classes), got {got}")
