"""The work that every rival does: one model, the same weights, the same batches, the same rule to train by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graphnet.cli.models import ModelFile, find_model
from graphnet.cli.rivals import TRAIN
from graphnet.cli.steps import SEED, TrainingGraph, check_scores, make_optimizer, random_arrays, steady_rate
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.nn.flops import flops
from graphnet.ops.random import manual_seed
from graphnet.optim import Optimizer

BATCHES = 4
"""Different batches that steps go round, so that none finds its own still in the cache as the only one would."""


@dataclass(frozen=True)
class Work:
    """What to do, as it is told to each process: a model's name, "train" or "predict", examples a step, threads."""

    model: str
    mode: str
    batch: int
    threads: int


@dataclass(frozen=True)
class Task:
    """The work at hand: the graph as declared for this batch size, and what it is fed.

    loss: of training; None for prediction. outputs: in training those that the loss is of.
    """

    work: Work
    graph: TrainingGraph
    outputs: tuple[Node, ...]
    loss: Node | None
    optimizer: Optimizer | None
    batches: Sequence[tuple[np.ndarray, ...]]

    @property
    def inputs(self) -> tuple[Node, ...]:
        """What a step is given: in training the targets too."""
        return self.graph.inputs if self.loss is None else (*self.graph.inputs, self.graph.target)

    @property
    def wanted(self) -> tuple[Node, ...]:
        """What a step gives back."""
        return self.outputs if self.loss is None else (self.loss,)

    @property
    def sizes(self) -> dict[str, int]:
        return {"N": self.work.batch}

    @property
    def flops(self) -> int:
        """Floating-point operations of a step: of the declared graph, and as usual three times that in training.

        The two gradients of a contraction cost what it costs itself; that the first layer needs no gradient by its
        input is, as usual, not taken off.
        """
        bound = Graph(self.wanted).bind(self.sizes)
        counts = [flops(node) for node in bound.nodes]
        once = sum(count for count in counts if isinstance(count, int))  # all of them: sizes are bound
        return once if self.loss is None else 3 * once

    @property
    def digest(self) -> str:
        """A hash of weights and batches: equal for all who do the same work."""
        hashed = hashlib.sha256()
        for array in [*self.graph.model.state_dict().values(), *(a for batch in self.batches for a in batch)]:
            hashed.update(np.ascontiguousarray(array).data)
        return hashed.hexdigest()


class Engine(Protocol):
    """One library at work."""

    def step(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        """One step from NumPy arrays to NumPy arrays, all done when it returns: the loss, or the outputs."""

    def state(self) -> Mapping[str, np.ndarray]:
        """Parameters and running statistics by name, as they are now."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Versions of what it stands on, and how it was set up."""


def task_of(work: Work) -> Task:
    """The task, from weights and batches that are always the same."""
    file = find_model(work.model)
    manual_seed(SEED)
    model = file.build()
    training = work.mode == TRAIN
    inputs, target = file.input_nodes(), file.target_node()
    outputs = file.outputs(model.train(training), inputs)
    if file.gives_scores:
        check_scores(file, outputs)
    listed = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = file.loss_of(model)(outputs, target) if training else None
    optimizer = make_optimizer(file, model, lr=steady_rate(file)) if training else None
    graph = TrainingGraph(file, model, inputs, target, outputs, loss if loss is not None else listed[0], ())
    return Task(work, graph, listed, loss, optimizer, _batches(file, graph, work.batch, training))


def _batches(file: ModelFile, graph: TrainingGraph, count: int, with_target: bool) -> list[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(SEED)
    nodes = (*graph.inputs, graph.target) if with_target else graph.inputs
    return [random_arrays(rng, nodes, count, graph.classes) for _ in range(BATCHES)]
