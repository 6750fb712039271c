"""Callbacks about the learning rate: it is shown in the history, or lowered where a measure stops getting better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphnet.errors import ArgumentError
from graphnet.ops.evaluate import evaluate
from graphnet.optim import Optimizer, ReduceLROnPlateau
from graphnet.optim.rates import rate_at
from graphnet.training.callbacks import Callback, Monitor

if TYPE_CHECKING:
    from graphnet.training.trainer import Trainer


class LearningRate(Callback):
    """Adds a column "lr" to the history: the rate that the optimizer's next step will have, after each epoch.

    Of several parameter groups it is the first's. What lowers the rate, and what writes the history, belong before and
    after it in the list of callbacks.
    """

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        row["lr"] = learning_rate(trainer.optimizer)


class Plateau(Callback):
    """Lowers the rate where the column `monitor` has not got better for a while.

    The optimizer's lr must be an `optim.ReduceLROnPlateau`, which says how long a while is, by how much, and whether
    "min" or "max" is better; it is told the measure after each epoch. Of several groups, each rate of that kind is.
    Raises `ArgumentError` when `fit` begins where there is none.
    """

    def __init__(self, monitor: str = "validation_loss") -> None:
        self._monitor = Monitor("Plateau", monitor, "min", 0.0)

    def on_fit_begin(self, trainer: Trainer) -> None:
        if not _plateaus(trainer.optimizer):
            lr = trainer.optimizer.lr
            raise ArgumentError(f"Plateau: the optimizer's lr must be an optim.ReduceLROnPlateau, got {lr!r}")

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        for rate in _plateaus(trainer.optimizer):
            rate.step(self._monitor.value(row))


def learning_rate(optimizer: Optimizer) -> float:
    """The rate that the next step will have, of the first group."""
    return float(evaluate([rate_at(optimizer.lr, optimizer.steps_made)], {})[0])


def _plateaus(optimizer: Optimizer) -> list[ReduceLROnPlateau]:
    """Those of the groups' rates, each once."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return list(dict.fromkeys(rate for rate in rates if isinstance(rate, ReduceLROnPlateau)))
