"""`Trainer`: epochs of compiled steps, with progress, measures, history, callbacks and checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError, WeightsError
from graphnet.executable import Executable
from graphnet.nn.module import Module
from graphnet.ops.random import default_generator
from graphnet.ops.sources import Parameter
from graphnet.optim import Optimizer
from graphnet.optim.clipping import Transform
from graphnet.training.callbacks import Callback, Callbacks
from graphnet.training.checkpoint import Run, load_run, read_run, save_run
from graphnet.training.data import Batch, DataLoader
from graphnet.training.history import History
from graphnet.training.progress import Progress
from graphnet.training.steps import Measure, Step, Totals, declare, scalars


class Trainer:
    """Trains `model` on batches (input, ..., target): loss_fn(model(input, ...), target) is lowered by `optimizer`.

    loss_fn: a function of what the model gives (a node, or a tuple of nodes) and the target. metrics: further measures,
    such as {"accuracy": gn.training.accuracy}: a `Metric`, or a function of outputs and targets that gives a scalar
    node, whose means over batches are averaged over examples, as the loss is. transform: changes gradients, as in
    `Optimizer.updates`. Steps are compiled at the first batch: `train_step` and `evaluation_step` are then there to
    draw and profile. measured: all measures of the latest epoch, those too that are no numbers.
    """

    def __init__(
        self,
        model: Module,
        loss_fn: Measure,
        optimizer: Optimizer,
        *,
        metrics: Mapping[str, Measure] | None = None,
        transform: Transform | None = None,
        backend: str | None = None,
    ) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(f"Trainer: model must be a Module, got {model!r}")
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"Trainer: optimizer must be an optim.Optimizer, got {optimizer!r}")
        if not callable(loss_fn):
            raise ArgumentError(f"Trainer: loss_fn must be a function of outputs and targets, got {loss_fn!r}")
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.metrics = _checked_metrics(metrics)
        self.transform, self.backend = transform, backend
        self.history = History()
        self.measured: dict[str, float | np.ndarray] = {}
        self._train: Step | None = None
        self._evaluation: Step | None = None
        self._stream = 0  # the random stream that the training step's nodes began with
        self._epoch = Totals()  # the epoch that is being trained
        self._loaders: dict[str, DataLoader] = {}
        self._callbacks = Callbacks(())
        self._resumed: Run | None = None
        self._stopping = False

    @property
    def train_step(self) -> Executable:
        """The compiled training step. Raises `ArgumentError` before the first batch."""
        return _made(self._train, "fit")

    @property
    def evaluation_step(self) -> Executable:
        """The compiled evaluation step. Raises `ArgumentError` before the first batch."""
        return _made(self._evaluation, "evaluate")

    @property
    def epochs_done(self) -> int:
        """How many epochs were trained, by this run and those that it goes on from."""
        return len(self.history)

    @property
    def batches_done(self) -> int:
        """How many batches of the present epoch were trained."""
        return self._epoch.batches

    def fit(
        self,
        train_loader: DataLoader,
        validation_loader: DataLoader | None = None,
        epochs: int = 1,
        *,
        progress: bool | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train for `epochs` more epochs; after each, a row is added to the history, which is returned.

        A row has "epoch", "train_loss" and each metric as "train_…" over the batches as they were trained, and
        "validation_…" over all of `validation_loader` after the epoch. progress: False is silent; None shows a bar on a
        terminal and a line an epoch elsewhere; True always shows the bar. callbacks: asked in their order, those that
        save the run last; an error in one ends training, with the weights as the latest step left them.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ArgumentError(f"fit: epochs must be a positive integer, got {epochs!r}")
        _check_loader("fit", "train_loader", train_loader)
        if validation_loader is not None:
            _check_loader("fit", "validation_loader", validation_loader)
        self._begin(train_loader, validation_loader, Callbacks(callbacks))
        last = self.epochs_done + epochs
        with Progress(progress, _length(train_loader)) as shown:
            while self.epochs_done < last and not self._stopping:
                shown.begin(self.epochs_done + 1, last)
                self._train_epoch(train_loader, shown)
                measured = _named("train_", self._epoch.results(self._train))
                if validation_loader is not None:
                    measured |= _named("validation_", self.evaluate(validation_loader))
                self._epoch, self.measured = Totals(), measured
                self.history.append({"epoch": self.epochs_done + 1, **scalars(measured)})
                self._callbacks.on_epoch_end(self, self.history[-1])
                shown.end(self.history[-1])
        self._callbacks.on_fit_end(self)
        return self.history

    def evaluate(self, loader: DataLoader) -> dict[str, Any]:
        """The loss and the metrics over all examples of `loader`, in eval mode; numbers, but for a confusion matrix."""
        _check_loader("evaluate", "loader", loader)
        totals = Totals()
        for batch in loader:
            if self._evaluation is None:
                self._evaluation = self._declare(batch, training=False)
            totals.add(self._evaluation(batch))
        return totals.results(self._evaluation)

    def stop(self) -> None:
        """End training after this epoch; called in `on_batch_end`, after this batch, where the epoch then ends."""
        self._stopping = True

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that the run needs to go on to `path`, a safetensors file that appears whole or not at all.

        The weights are in it under PyTorch's names. Raises `ArgumentError` before the first batch.
        """
        if self._train is None:
            raise ArgumentError("Trainer.save: there is no run to save yet; call fit first")
        run = Run(
            inputs=self._train.signature,
            stream=self._stream,
            history=self.history.rows,
            loaders={name: loader.state_dict() for name, loader in self._loaders.items() if _is_loader(loader)},
            epoch=self._epoch,
            callbacks=self._callbacks.state_dict(),
        )
        save_run(path, run, self.model, self._kept(self._train))

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Go on from what `save` or a `Checkpoint` wrote: the next `fit` gives the bits that the run would have given.

        The trainer, the loaders and the callbacks that `fit` is then given must be made as they were for that run.
        epochs: `fit` counts those yet to do, `epochs - trainer.epochs_done`. Raises `WeightsError`, and changes no
        parameter, for a file that is missing, damaged, no checkpoint, or of another model or optimizer.
        """
        run, arrays = read_run(path)
        before, streams = self._train, default_generator.streams
        try:
            if self._train is None:
                default_generator.streams = run.stream
                batch = tuple(np.empty((0, *shape), dtype) for dtype, shape in run.inputs)
                self._train = self._declare(batch, training=True)
            _check_unfinished(path, run, self._train)
            load_run(path, arrays, self.model, self._kept(self._train))
        except BaseException:
            self._train, default_generator.streams = before, streams
            raise
        self.history.rows[:] = run.history
        self._resumed = run

    def _begin(self, train: DataLoader, validation: DataLoader | None, callbacks: Callbacks) -> None:
        """Take up loaders and callbacks, where the run that was resumed left them."""
        self._loaders = {"train": train} if validation is None else {"train": train, "validation": validation}
        self._callbacks, self._epoch, self._stopping = callbacks, Totals(), False
        self._callbacks.on_fit_begin(self)
        if self._resumed is not None:
            run, self._resumed = self._resumed, None
            for name, loader in self._loaders.items():
                if name in run.loaders and _is_loader(loader):
                    loader.load_state_dict(run.loaders[name])
            self._callbacks.load_state_dict(run.callbacks)
            self._callbacks.on_resume(self)
            self._epoch = run.epoch
            if self._epoch.batches and _is_loader(train):
                # The epoch that was begun is begun again, and its first batches are passed over.
                train.epoch -= 1

    def _train_epoch(self, loader: DataLoader, shown: Progress) -> None:
        for batch in islice(loader, self._epoch.batches, None):
            if self._train is None:
                self._train = self._declare(batch, training=True)
            found = self._train(batch)
            self._epoch.add(found)
            if shown.has_bar:
                shown.advance(scalars(self._epoch.results(self._train), "train_"))
            if self._callbacks:
                self._callbacks.on_batch_end(self, scalars(self._train.results(found)))
            if self._stopping:
                return

    def _kept(self, step: Step) -> tuple[Parameter, ...]:
        """All that is saved but for the model: also what the optimizer remembers outside of the step."""
        return (*step.parameters, *self.optimizer.state.values())

    def _declare(self, batch: Batch, *, training: bool) -> Step:
        if training:
            self._stream = default_generator.streams
        return declare(
            self.model,
            self.loss_fn,
            batch,
            self.metrics,
            optimizer=self.optimizer if training else None,
            transform=self.transform,
            backend=self.backend,
        )


def _checked_metrics(metrics: Mapping[str, Measure] | None) -> dict[str, Measure]:
    if metrics is not None and not isinstance(metrics, Mapping):
        raise ArgumentError(f"Trainer: metrics must be a dict such as {{'accuracy': accuracy}}, got {metrics!r}")
    for name, metric in (metrics or {}).items():
        if not isinstance(name, str) or not name or name == "loss":
            raise ArgumentError(f"Trainer: a metric's name must be a string other than 'loss', got {name!r}")
        if not callable(metric):
            raise ArgumentError(f"Trainer: the metric {name!r} must be a function of outputs, targets; got {metric!r}")
    return dict(metrics or {})


def _check_unfinished(path: str | os.PathLike[str], run: Run, step: Step) -> None:
    """Raise `WeightsError` where an epoch was begun with other metrics than it would be ended with."""
    had, has = sorted(run.epoch.sums), sorted(step.measures)
    if run.epoch.batches and had != has:
        began = f"was saved within an epoch, measuring {', '.join(had)}"
        raise WeightsError(f"{os.fspath(path)}: {began}; this trainer measures {', '.join(has)}")


def _named(prefix: str, measures: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in measures.items()}


def _check_loader(method: str, argument: str, loader: object) -> None:
    if any(isinstance(part, np.ndarray) for part in (loader, *(loader if isinstance(loader, tuple) else ()))):
        raise ArgumentError(f"{method}: {argument} must be a DataLoader((x, y), batch_size=64), got arrays themselves")
    if not isinstance(loader, Iterable):
        raise ArgumentError(f"{method}: {argument} must be a DataLoader, or an iterable of batches, got {loader!r}")


def _is_loader(loader: object) -> bool:
    """Whether it knows where it is; any iterable of batches will do, but begins each epoch where it likes."""
    return isinstance(loader, DataLoader)


def _length(loader: DataLoader) -> int | None:
    return loader.batches if _is_loader(loader) else None


def _made(step: Step | None, method: str) -> Executable:
    if step is None:
        raise ArgumentError(f"Trainer: the step is compiled at the first batch; call {method} first")
    return step.run
