"""`Trainer`: epochs of compiled steps, with progress, measures and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from graphnet.compiler import compile
from graphnet.errors import ArgumentError, DataError
from graphnet.executable import Executable
from graphnet.graph.node import Node
from graphnet.nn.module import Module
from graphnet.ops.sources import input
from graphnet.optim import Optimizer
from graphnet.optim.clipping import Transform
from graphnet.training.data import Batch, DataLoader
from graphnet.training.history import History
from graphnet.training.progress import Progress


@dataclass(frozen=True)
class _Step:
    """A compiled step, and the dtype and shape of each array that it takes (without the first axis)."""

    run: Executable
    inputs: tuple[Node, ...]

    def __call__(self, batch: Batch) -> dict[str, float]:
        """The measures of one batch; arrays are cast to the dtypes of the inputs, floats and integers never mixed."""
        if len(batch) != len(self.inputs):
            raise DataError(f"expected batches of {len(self.inputs)} arrays as at first, got one of {len(batch)}")
        feeds = [_cast(array, node.dtype) for array, node in zip(batch, self.inputs, strict=True)]
        return {name: float(value) for name, value in self.run(*feeds).items()}


class Trainer:
    """Trains `model` on batches (input, ..., target): loss_fn(model(input, ...), target) is lowered by `optimizer`.

    metrics: further measures of a batch, such as {"accuracy": gn.training.accuracy}; functions of outputs and targets
    that give a scalar node. transform: changes gradients, as in `Optimizer.updates`. Steps are compiled at the first
    batch: `train_step` and `evaluation_step` are then there to draw and profile.
    """

    def __init__(
        self,
        model: Module,
        loss_fn: Callable[[Node, Node], Node],
        optimizer: Optimizer,
        *,
        metrics: Mapping[str, Callable[[Node, Node], Node]] | None = None,
        transform: Transform | None = None,
        backend: str | None = None,
    ) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(f"Trainer: model must be a Module, got {model!r}")
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"Trainer: optimizer must be an optim.Optimizer, got {optimizer!r}")
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.metrics = dict(metrics or {})
        self.history = History()
        self._transform, self._backend = transform, backend
        self._train: _Step | None = None
        self._evaluation: _Step | None = None

    @property
    def train_step(self) -> Executable:
        """The compiled training step. Raises `ArgumentError` before the first batch."""
        return _made(self._train, "fit")

    @property
    def evaluation_step(self) -> Executable:
        """The compiled evaluation step. Raises `ArgumentError` before the first batch."""
        return _made(self._evaluation, "evaluate")

    def fit(
        self,
        train_loader: DataLoader,
        validation_loader: DataLoader | None = None,
        epochs: int = 1,
        *,
        progress: bool | None = None,
    ) -> History:
        """Train for `epochs` more epochs; after each, a row is added to the history, which is returned.

        A row has "epoch", "train_loss" and each metric as "train_…" over the batches as they were trained, and
        "validation_…" over all of `validation_loader` after the epoch. progress: False is silent; None shows a bar on a
        terminal and a line an epoch elsewhere; True always shows the bar.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ArgumentError(f"fit: epochs must be a positive integer, got {epochs!r}")
        first = len(self.history) + 1
        with Progress(progress, _length(train_loader)) as shown:
            for epoch in range(first, first + epochs):
                shown.begin(epoch, first + epochs - 1)
                totals = _Means("train_")
                for batch in train_loader:
                    if self._train is None:
                        self._train = self._declare(batch, training=True)
                    totals.add(self._train(batch), len(batch[0]))
                    shown.advance(totals.means)
                row = {"epoch": epoch, **totals.checked()}
                if validation_loader is not None:
                    found = self.evaluate(validation_loader)
                    row.update({f"validation_{name}": value for name, value in found.items()})
                self.history.append(row)
                shown.end(row)
        return self.history

    def evaluate(self, loader: DataLoader) -> dict[str, float]:
        """The mean loss and metrics over all examples of `loader`, in eval mode."""
        totals = _Means("")
        for batch in loader:
            if self._evaluation is None:
                self._evaluation = self._declare(batch, training=False)
            totals.add(self._evaluation(batch), len(batch[0]))
        return totals.checked()

    def _declare(self, batch: Batch, *, training: bool) -> _Step:
        """The compiled step for batches like this one, of any size."""
        if len(batch) < 2:
            raise DataError(f"Trainer: a batch must be (input, ..., target), got {len(batch)} array")
        *given, targets = inputs = self._inputs(batch)
        before = self.model.training
        self.model.train(training)
        try:
            outputs = self.model(*given)
        finally:
            self.model.train(before)
        loss = self.loss_fn(outputs, targets)
        measures = {"loss": loss, **{name: metric(outputs, targets) for name, metric in self.metrics.items()}}
        for name, measure in measures.items():
            if not isinstance(measure, Node) or measure.shape != ():
                raise ArgumentError(f"Trainer: {name} must give a scalar node, got {measure!r}")
        updates = self.optimizer.updates(loss, self._transform) if training else ()
        return _Step(compile(inputs, measures, updates, backend=self._backend), tuple(inputs))

    def _inputs(self, batch: Batch) -> list[Node]:
        floating = next((value.dtype for value in self.model.parameters() if value.type.is_float), np.dtype("float32"))
        names = ["input" if len(batch) == 2 else f"input{i}" for i in range(len(batch) - 1)]
        return [
            input(name, ("N", *array.shape[1:]), floating if array.dtype.kind == "f" else array.dtype)
            for name, array in zip([*names, "target"], batch, strict=True)
        ]


class _Means:
    """Means over examples of measures that are means over batches."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, measures: Mapping[str, float], examples: int) -> None:
        self._count += examples
        for name, value in measures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * examples

    @property
    def means(self) -> dict[str, float]:
        return {self._prefix + name: total / self._count for name, total in self._sums.items()}

    def checked(self) -> dict[str, float]:
        """The means. Raises `DataError` where there was no batch."""
        if not self._count:
            raise DataError("Trainer: the loader gave no batches")
        return self.means


def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return array.astype(dtype) if array.dtype.kind == dtype.kind and array.dtype != dtype else array


def _length(loader: DataLoader) -> int | None:
    return loader.batches if isinstance(loader, DataLoader) else None


def _made(step: _Step | None, method: str) -> Executable:
    if step is None:
        raise ArgumentError(f"Trainer: the step is compiled at the first batch; call {method} first")
    return step.run
