"""The compiled steps of training and of evaluation, declared from a first batch, and what they measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from graphnet.compiler import compile
from graphnet.errors import ArgumentError, DataError
from graphnet.executable import Executable
from graphnet.graph.node import Node
from graphnet.graph.traversal import topological
from graphnet.nn.module import Module
from graphnet.ops.sources import Parameter, input
from graphnet.optim import Optimizer
from graphnet.optim.clipping import Transform
from graphnet.training.data import Batch
from graphnet.training.metrics import Metric

Measure: TypeAlias = "Callable[[Any, Node], Node]"
Sums: TypeAlias = "dict[str, tuple[np.ndarray, ...]]"


class BatchMean(Metric):
    """A function of outputs and targets that gives the mean over a batch: batches count by their examples."""

    def __init__(self, name: str, function: Measure) -> None:
        self._name, self._function = name, function

    def sums(self, outputs: Any, targets: Node) -> tuple[Node, ...]:
        measure = self._function(outputs, targets)
        if not isinstance(measure, Node) or measure.shape != ():
            raise ArgumentError(f"Trainer: {self._name} must give a scalar node, got {measure!r}")
        return (measure,)

    def weighed(self, value: np.ndarray, examples: int) -> tuple[np.ndarray, np.ndarray]:
        """What a batch of so many examples adds: a sum and a count."""
        return np.float64(value) * examples, np.int64(examples)  # type: ignore[return-value]

    def result(self, *sums: np.ndarray) -> float:
        total, count = sums
        return float(total) / int(count) if count else math.nan

    def __call__(self, outputs: Any, targets: Node) -> Node:
        return self.sums(outputs, targets)[0]


@dataclass(frozen=True)
class Step:
    """A compiled step, what it measures, and every parameter that it reads or changes."""

    run: Executable
    inputs: tuple[Node, ...]
    measures: Mapping[str, Metric]
    parameters: tuple[Parameter, ...]

    def __call__(self, batch: Batch) -> Sums:
        """What one batch adds to each measure; arrays are cast to the dtypes of the inputs, floats to floats only."""
        if len(batch) != len(self.inputs):
            raise DataError(f"expected batches of {len(self.inputs)} arrays as at first, got one of {len(batch)}")
        found = self.run(*[_cast(array, node.dtype) for array, node in zip(batch, self.inputs, strict=True)])
        sums: dict[str, list[np.ndarray]] = {}
        for (name, _), value in found.items():
            sums.setdefault(name, []).append(value)
        return {
            name: metric.weighed(sums[name][0], len(batch[0])) if isinstance(metric, BatchMean) else tuple(sums[name])
            for name, metric in self.measures.items()
        }

    @property
    def signature(self) -> list[list[Any]]:
        """Dtype and shape of one example of each array that it takes: what it could be declared from again."""
        return [[node.dtype.name, list(node.shape[1:])] for node in self.inputs]

    def results(self, sums: Sums) -> dict[str, float | np.ndarray]:
        """What the measures come to, given what was added up."""
        return {name: metric.result(*sums[name]) for name, metric in self.measures.items()}


def declare(
    model: Module,
    loss_fn: Measure,
    batch: Batch,
    metrics: Mapping[str, Measure],
    *,
    optimizer: Optimizer | None = None,
    transform: Transform | None = None,
    backend: str | None = None,
) -> Step:
    """The step for batches (input, ..., target) like this one, of any size; of training where there is an optimizer."""
    if len(batch) < 2:
        raise DataError(f"Trainer: a batch must be (input, ..., target), got {len(batch)} array")
    *given, targets = inputs = inputs_for(model, batch)
    outputs = called(model, given, training=optimizer is not None)
    measures: dict[str, Metric] = {
        name: metric if isinstance(metric, Metric) else BatchMean(name, metric)
        for name, metric in {"loss": loss_fn, **metrics}.items()
    }
    nodes = {
        (name, place): node
        for name, metric in measures.items()
        for place, node in enumerate(metric.sums(outputs, targets))
    }
    updates = optimizer.updates(nodes["loss", 0], transform) if optimizer else []
    own = parameters_of([*nodes.values(), *updates])
    return Step(compile(inputs, nodes, updates, backend=backend), tuple(inputs), measures, own)


def called(model: Module, inputs: Iterable[Node], *, training: bool) -> Any:
    """What the model gives in this mode; its own mode is as before."""
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        return model(*inputs)
    finally:
        for module, before in modes:
            module.training = before


def inputs_for(model: Module, batch: Batch) -> list[Node]:
    """Input nodes for batches like this one; floats are taken as what the model computes in."""
    floating = next((value.dtype for value in model.parameters() if value.type.is_float), np.dtype("float32"))
    names = ["input" if len(batch) == 2 else f"input{i}" for i in range(len(batch) - 1)]
    return [
        input(name, ("N", *array.shape[1:]), floating if array.dtype.kind == "f" else array.dtype)
        for name, array in zip([*names, "target"], batch, strict=True)
    ]


def parameters_of(nodes: Iterable[Node]) -> tuple[Parameter, ...]:
    """Every parameter that `nodes` depend on, in the order of the graph."""
    return tuple(node for node in topological(nodes) if isinstance(node, Parameter))


@dataclass
class Totals:
    """What the measures of an epoch have added up to, and after how many batches."""

    sums: Sums = field(default_factory=dict)
    batches: int = 0

    def add(self, found: Sums) -> None:
        """Add what one more batch gave."""
        self.batches += 1
        for name, values in found.items():
            before = self.sums.get(name)
            self.sums[name] = values if before is None else tuple(a + b for a, b in zip(before, values, strict=True))

    def results(self, step: Step | None) -> dict[str, float | np.ndarray]:
        """The measures. Raises `DataError` where there was no batch."""
        if step is None or not self.batches:
            raise DataError("Trainer: the loader gave no batches")
        return step.results(self.sums)


def scalars(measures: Mapping[str, float | np.ndarray], prefix: str = "") -> dict[str, float]:
    """Those of the measures that are numbers."""
    return {prefix + name: value for name, value in measures.items() if not isinstance(value, np.ndarray)}


def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return array.astype(dtype) if array.dtype.kind == dtype.kind and array.dtype != dtype else array
