"""A learning rate that falls when a measure stops getting better, driven from outside the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.nn.arguments import integer, number, one_of
from graphnet.nn.state import LoadResult, load_arrays
from graphnet.ops.sources import Parameter, parameter
from graphnet.optim.groups import check_number


class ReduceLROnPlateau:
    """An optimizer's `lr`, which `step(metric)`, called once an epoch or so, lowers when the metric stalls.

        rate = optim.ReduceLROnPlateau(0.1, patience=3)
        sgd = optim.SGD(model.parameters(), lr=rate)

    After more than `patience` steps without a new best it becomes max(lr * factor, min_lr), unless that is a change
    of at most `eps`; then `cooldown` steps are let pass. A new best is below best * (1 - threshold) (mode "min"), or
    above best * (1 + threshold) ("max"); with threshold_mode "abs" below best - threshold, or above best + threshold.
    Defaults as `torch.optim.lr_scheduler.ReduceLROnPlateau`, which takes an optimizer where this takes its rate.

    What it remembers is part of the optimizer's state.
    """

    def __init__(
        self,
        lr: float,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        self.mode = one_of(name, "mode", mode, ("min", "max"))
        self.factor = check_number(name, "factor", factor, 1.0)
        self.patience = integer(name, "patience", patience, least=0)
        self.threshold = number(name, "threshold", threshold, least=0.0)
        self.threshold_mode = one_of(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = integer(name, "cooldown", cooldown, least=0)
        self.min_lr = check_number(name, "min_lr", min_lr)
        self.eps = check_number(name, "eps", eps)
        worst = math.inf if mode == "min" else -math.inf
        self.lr = _number("lr", check_number(name, "lr", lr))
        self.state: dict[str, Parameter] = {
            "lr": self.lr,
            "best": _number("best", worst),
            "num_bad_epochs": _number("num_bad_epochs", 0),
            "cooldown_counter": _number("cooldown_counter", 0),
        }

    def step(self, metrics: float) -> None:
        """Take note of the measure. Raises `ArgumentError` for what is no number."""
        try:
            current = float(metrics)
        except (TypeError, ValueError):
            raise ArgumentError(f"ReduceLROnPlateau.step: metrics must be a number, got {metrics!r}") from None
        best, bad, waiting = (self.state[name].value.item() for name in ("best", "num_bad_epochs", "cooldown_counter"))
        best, bad = (current, 0) if self._is_better(current, best) else (best, bad + 1)
        if waiting > 0:
            waiting, bad = waiting - 1, 0
        if bad > self.patience:
            old = self.lr.value.item()
            new = max(old * self.factor, self.min_lr)
            if old - new > self.eps:
                self.lr.set_value(new)
            waiting, bad = self.cooldown, 0
        for name, value in (("best", best), ("num_bad_epochs", bad), ("cooldown_counter", waiting)):
            self.state[name].set_value(value)

    def get_last_lr(self) -> float:
        """The rate now."""
        return self.lr.value.item()

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of what it remembers."""
        return {name: value.value for name, value in self.state.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> LoadResult:
        """Continue from a saved state. Raises `WeightsError`, and changes nothing, where names or shapes differ."""
        return load_arrays(self.state, state_dict, "ReduceLROnPlateau")

    def __repr__(self) -> str:
        return f"ReduceLROnPlateau(lr={self.get_last_lr():g}, mode={self.mode!r}, patience={self.patience})"

    def _is_better(self, current: float, best: float) -> bool:
        if self.threshold_mode == "rel":
            bar = best * (1.0 - self.threshold if self.mode == "min" else 1.0 + self.threshold)
        else:
            bar = best - self.threshold if self.mode == "min" else best + self.threshold
        return current < bar if self.mode == "min" else current > bar


def _number(name: str, value: float) -> Parameter:
    """A parameter of one number: float64, counters int64."""
    return parameter(np.int64(value) if isinstance(value, int) else np.float64(value), name, requires_grad=False)
