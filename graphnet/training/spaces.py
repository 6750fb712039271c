"""What a hyper-parameter may be: ranges and choices, drawn at random, written as text such as `1e-4:1e-1:log`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from graphnet.errors import ArgumentError

Value: TypeAlias = "float | int | str | bool"


class Space(ABC):
    """Base of all spaces."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Value:
        """One value."""

    @abstractmethod
    def suggest(self, trial: Any, name: str) -> Value:
        """One value, as a trial of Optuna suggests it."""

    @property
    def is_log(self) -> bool:
        """Whether a picture shows it on a logarithmic axis."""
        return False


@dataclass(frozen=True)
class Uniform(Space):
    """Numbers in [low, high), all equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high)

    def draw(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(self.low, self.high))

    def suggest(self, trial: Any, name: str) -> float:
        return float(trial.suggest_float(name, self.low, self.high))


@dataclass(frozen=True)
class LogUniform(Space):
    """Numbers in [low, high) whose logarithms are all equally likely: for rates, decays and scales.

    Bergstra and Bengio, "Random search for hyper-parameter optimization", 2012.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high)
        if self.low <= 0:
            raise ArgumentError(f"LogUniform: low must be above 0, got {self.low!r}")

    def draw(self, rng: np.random.Generator) -> float:
        return float(np.exp(rng.uniform(math.log(self.low), math.log(self.high))))

    def suggest(self, trial: Any, name: str) -> float:
        return float(trial.suggest_float(name, self.low, self.high, log=True))

    @property
    def is_log(self) -> bool:
        return True


@dataclass(frozen=True)
class Integer(Space):
    """Integers from low to high, both included; all equally likely, or, where `log`, all orders of magnitude."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self, self.low, self.high)
        if not isinstance(self.low, int) or not isinstance(self.high, int):
            raise ArgumentError(f"Integer: low and high must be integers, got {self.low!r} and {self.high!r}")
        if self.log and self.low < 1:
            raise ArgumentError(f"Integer: low must be at least 1 where log is set, got {self.low!r}")

    def draw(self, rng: np.random.Generator) -> int:
        if not self.log:
            return int(rng.integers(self.low, self.high + 1))
        # As if each integer stood for what rounds to it.
        drawn = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(drawn), self.low), self.high)

    def suggest(self, trial: Any, name: str) -> int:
        return int(trial.suggest_int(name, self.low, self.high, log=self.log))

    @property
    def is_log(self) -> bool:
        return self.log


@dataclass(frozen=True)
class Choice(Space):
    """One of some values, all equally likely."""

    values: Sequence[Value]

    def __post_init__(self) -> None:
        fits = isinstance(self.values, (tuple, list)) and self.values
        if not fits or not all(isinstance(value, (bool, int, float, str)) for value in self.values):
            raise ArgumentError(f"Choice: values must be numbers or texts, at least one, got {self.values!r}")
        if len(set(self.values)) < len(self.values):
            raise ArgumentError(f"Choice: values must differ, got {self.values!r}")

    def draw(self, rng: np.random.Generator) -> Value:
        return self.values[int(rng.integers(len(self.values)))]

    def suggest(self, trial: Any, name: str) -> Value:
        chosen: Value = trial.suggest_categorical(name, list(self.values))
        return chosen


def parse_space(text: str) -> Space:
    """The space that `text` writes: `low:high`, `low:high:log`, `low:high:int`, `low:high:int:log`, or `a,b,c`.

    A single value is a choice of one. Raises `ArgumentError`.
    """
    wanted = "low:high, low:high:log, low:high:int, low:high:int:log or values such as 16,32,64"
    parts = [part.strip() for part in text.split(":")]
    if not text.strip() or any(not part for part in parts):
        raise ArgumentError(f"expected {wanted}, got {text!r}")
    if len(parts) == 1:
        values = [part.strip() for part in text.split(",")]
        if not all(values):
            raise ArgumentError(f"expected {wanted}, got {text!r}")
        return Choice(tuple(_value(value) for value in values))
    low, high, *kinds = parts
    if kinds not in ([], ["log"], ["int"], ["int", "log"]):
        raise ArgumentError(f"expected {wanted}, got {text!r}")
    read = int if "int" in kinds else float
    try:
        bounds = read(low), read(high)
    except ValueError:
        kind = "integers" if read is int else "numbers"
        raise ArgumentError(f"expected {kind} on both sides of the colon, got {text!r}") from None
    if read is int:
        return Integer(int(bounds[0]), int(bounds[1]), log="log" in kinds)
    return LogUniform(*bounds) if kinds else Uniform(*bounds)


def _value(text: str) -> Value:
    """A number or truth value where it looks like one."""
    if text in ("True", "False", "true", "false"):
        return text.lower() == "true"
    for read in (int, float):
        try:
            value: float = read(text)
        except ValueError:
            continue
        if not math.isfinite(value):
            raise ArgumentError(f"expected finite numbers, got {text!r}")
        return value
    return text


def _check_range(space: Space, low: object, high: object) -> None:
    name = type(space).__name__
    for argument, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ArgumentError(f"{name}: {argument} must be a finite number, got {value!r}")
    if not low < high:  # type: ignore[operator]
        raise ArgumentError(f"{name}: low must be below high, got {low!r} and {high!r}")
