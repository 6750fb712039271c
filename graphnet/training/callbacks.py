"""Callbacks: what is asked while a `Trainer` trains; early stopping, and learning rates that follow a measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphnet.errors import ArgumentError

if TYPE_CHECKING:
    from graphnet.training.trainer import Trainer


class Callback:
    """Base of all callbacks: override what is of interest. An error that one raises ends training.

    saves: whether it saves the run; those that do are asked last, when the others have changed what they will change.
    """

    saves = False

    def on_fit_begin(self, trainer: Trainer) -> None:
        """`fit` begins; a run that is resumed takes up its state right after this."""

    def on_resume(self, trainer: Trainer) -> None:
        """The state of the run that is resumed was taken up."""

    def on_batch_end(self, trainer: Trainer, measures: Mapping[str, float]) -> None:
        """A batch was trained; `measures` are its "loss" and its metrics."""

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """An epoch is over; `row` is its row in the history, to which more may be added."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """`fit` came to its end, by epochs or by `trainer.stop()`; it is not called after an error."""

    def state_dict(self) -> dict[str, Any]:
        """What it must know to go on in a run that is resumed: numbers, texts, None, and arrays."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""


class Callbacks:
    """Several callbacks as one. Raises `ArgumentError` for what is no `Callback`."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        if isinstance(callbacks, Callback) or not isinstance(callbacks, Sequence):
            raise ArgumentError(f"fit: callbacks must be a list of callbacks, got {callbacks!r}")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(f"fit: callbacks must be of class graphnet.training.Callback, got {callback!r}")
        self._all = sorted(callbacks, key=lambda callback: callback.saves)  # stable: the order given, but for those

    def __len__(self) -> int:
        return len(self._all)

    def on_fit_begin(self, trainer: Trainer) -> None:
        for callback in self._all:
            callback.on_fit_begin(trainer)

    def on_batch_end(self, trainer: Trainer, measures: Mapping[str, float]) -> None:
        for callback in self._all:
            callback.on_batch_end(trainer, measures)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        for callback in self._all:
            callback.on_epoch_end(trainer, row)

    def on_fit_end(self, trainer: Trainer) -> None:
        for callback in self._all:
            callback.on_fit_end(trainer)

    def _named(self) -> dict[str, Callback]:
        """Each by its class and its place among those of its class."""
        names: dict[str, Callback] = {}
        for callback in self._all:
            kind = type(callback).__name__
            names[f"{kind}.{sum(name.startswith(f'{kind}.') for name in names)}"] = callback
        return names

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """The states of those that have one."""
        states = {name: callback.state_dict() for name, callback in self._named().items()}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Each goes on from the state of its name; one that was not there before begins afresh."""
        for name, callback in self._named().items():
            if name in states:
                callback.load_state_dict(states[name])

    def on_resume(self, trainer: Trainer) -> None:
        for callback in self._all:
            callback.on_resume(trainer)


class Monitor:
    """Watches one column of the history for its best value. NaN is never the best.

    mode: "min" or "max". min_delta: by how much at least a value must be better than the best so far.
    """

    def __init__(self, owner: str, monitor: str, mode: str, min_delta: float) -> None:
        if not isinstance(monitor, str) or not monitor:
            raise ArgumentError(f"{owner}: monitor must name a column such as 'validation_loss', got {monitor!r}")
        if mode not in ("min", "max"):
            raise ArgumentError(f"{owner}: mode must be 'min' or 'max', got {mode!r}")
        self._owner, self.column = owner, monitor
        self.min_delta = number(owner, "min_delta", min_delta, 0.0)
        self._sign = -1.0 if mode == "max" else 1.0
        self.best = math.inf * self._sign

    def reset(self) -> None:
        """Forget the best."""
        self.best = math.inf * self._sign

    def value(self, row: Mapping[str, float]) -> float:
        """The watched value. Raises `ArgumentError` where the row has no such column."""
        if self.column not in row:
            raise ArgumentError(f"{self._owner}: there is no {self.column!r} to watch; a row has {', '.join(row)}")
        return row[self.column]

    def improves(self, row: Mapping[str, float]) -> bool:
        """Whether this row has the best value so far, which is then remembered."""
        value = self.value(row)
        better = self._sign * (self.best - value) > self.min_delta
        if better:
            self.best = value
        return better


class EarlyStopping(Callback):
    """Stops after `patience` epochs in a row in which the column `monitor` did not improve by more than `min_delta`.

    restore_best: when `fit` ends, however it does but by an error, the weights and buffers of the best epoch are put
    back; they are kept in memory. best_epoch, best: which it was, and its value. Prechelt, "Early stopping, but when?",
    1998.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        mode: str = "min",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self.patience = whole("EarlyStopping", "patience", patience, 1)
        self.restore_best = flag("EarlyStopping", "restore_best", restore_best)
        self.best_epoch, self._waited = 0, 0
        self._weights: dict[str, np.ndarray] = {}

    @property
    def best(self) -> float:
        """The best value so far."""
        return self._monitor.best

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._monitor.reset()
        self.best_epoch, self._waited, self._weights = 0, 0, {}

    def on_resume(self, trainer: Trainer) -> None:
        self._stop_in_time(trainer)  # a run that was saved as it stopped

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        self._waited += 1
        if self._monitor.improves(row):
            self.best_epoch, self._waited = int(row["epoch"]), 0
            self._weights = trainer.model.state_dict() if self.restore_best else {}
        self._stop_in_time(trainer)

    def _stop_in_time(self, trainer: Trainer) -> None:
        if self._waited >= self.patience:
            trainer.stop()

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._weights:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        weights = {f"weights/{name}": array for name, array in self._weights.items()}
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self._waited, **weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._monitor.best = float(state["best"])
        self.best_epoch, self._waited = int(state["best_epoch"]), int(state["waited"])
        arrays = {name: value for name, value in state.items() if name.startswith("weights/")}
        self._weights = {name.removeprefix("weights/"): array for name, array in arrays.items()}


def number(owner: str, argument: str, value: object, least: float = -math.inf, *, above: bool = False) -> float:
    """`value` as a finite float of at least (`above`: above) `least`. Raises `ArgumentError`."""
    fits = isinstance(value, (int, float, np.floating, np.integer)) and not isinstance(value, bool)
    if not fits or not math.isfinite(value) or value < least or (above and value == least):  # type: ignore[arg-type, operator]
        wanted = "a finite number" if least == -math.inf else f"a number {'>' if above else '>='} {least:g}"
        raise ArgumentError(f"{owner}: {argument} must be {wanted}, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def whole(owner: str, argument: str, value: object, least: int) -> int:
    """`value` as an integer of at least `least`. Raises `ArgumentError`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{owner}: {argument} must be an integer >= {least}, got {value!r}")
    return int(value)


def flag(owner: str, argument: str, value: object) -> bool:
    """`value`, True or False. Raises `ArgumentError`."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{owner}: {argument} must be True or False, got {value!r}")
    return value
