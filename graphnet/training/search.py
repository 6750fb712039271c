"""Search for hyper-parameters: many trials on little, then the best few on all of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from graphnet.errors import ArgumentError, GraphnetError
from graphnet.extras import extra
from graphnet.training.callbacks import whole
from graphnet.training.search_result import DIVERGED, FAILED, FINISHED, SearchResult, Trial
from graphnet.training.spaces import Space, Value

Settings: TypeAlias = "dict[str, Value]"
Objective: TypeAlias = "Callable[[Settings, bool], float]"
SAMPLERS = ("random", "optuna")


def search(
    objective: Objective,
    spaces: Mapping[str, Space],
    trials: int = 20,
    finalists: int = 3,
    *,
    mode: str = "max",
    seed: int = 0,
    sampler: str = "random",
    measure: str = "value",
    tell: Callable[[Trial], object] | None = None,
) -> SearchResult:
    """Try `trials` settings from `spaces` on little, then the best `finalists` of them on all.

    objective: a function (settings, full) that trains and gives the measure to raise (mode "max") or to lower ("min"):
    on a small part of the data where not `full`, on all of it where `full`. A measure that is not finite is a trial
    that diverged; an error of graphnet's is one that failed; both are recorded, and the search goes on. An interrupt
    ends it, with what is done so far. measure: what the measure is called. tell: called with each trial when it is
    over. sampler: "random", in which case all settings depend on `seed` alone, or "optuna", whose sampler (TPE) learns
    from the trials before. Raises the first trial's error where every trial fails.
    """
    trials, finalists = whole("search", "trials", trials, 1), whole("search", "finalists", finalists, 0)
    seed = whole("search", "seed", seed, 0)
    _check(objective, spaces, mode, sampler)
    draws: _Sampler = _Random(spaces, seed) if sampler == "random" else _Optuna(spaces, seed, mode, trials)
    result = SearchResult(dict(spaces), mode, measure)
    errors: list[GraphnetError] = []

    def run(number: int, settings: Settings, full: bool) -> Trial:
        trial, error = _tried(objective, number, settings, full)
        if error is not None:
            errors.append(error)
        result.trials.append(trial)
        if tell is not None:
            tell(trial)
        return trial

    try:
        for number in range(1, trials + 1):
            draws.learn(run(number, draws.draw(), False))
        for trial in result.ranked()[:finalists]:
            run(trial.number, dict(trial.settings), True)
    except KeyboardInterrupt:
        result.interrupted = True
    if len(errors) == len(result.trials) > 0:
        raise errors[0]
    return result


def _check(objective: object, spaces: object, mode: object, sampler: object) -> None:
    if not isinstance(spaces, Mapping) or not spaces or not all(isinstance(s, Space) for s in spaces.values()):
        raise ArgumentError(f"search: spaces must be a dict from names to spaces, at least one, got {spaces!r}")
    if not callable(objective):
        raise ArgumentError(f"search: objective must be a function of settings and whether on all, got {objective!r}")
    if mode not in ("min", "max"):
        raise ArgumentError(f"search: mode must be 'min' or 'max', got {mode!r}")
    if sampler not in SAMPLERS:
        raise ArgumentError(f"search: sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")


def _tried(objective: Objective, number: int, settings: Settings, full: bool) -> tuple[Trial, GraphnetError | None]:
    """One trial, and why it failed where it did."""
    try:
        with np.errstate(all="ignore"):
            value = float(objective(dict(settings), full))
    except GraphnetError as error:
        return Trial(number, full, settings, FAILED, math.nan, error.problem.splitlines()[0]), error
    if not math.isfinite(value):
        return Trial(number, full, settings, DIVERGED, math.nan), None
    return Trial(number, full, settings, FINISHED, value), None


class _Sampler(ABC):
    """Where settings come from."""

    @abstractmethod
    def draw(self) -> Settings:
        """The settings of the next trial."""

    @abstractmethod
    def learn(self, trial: Trial) -> None:
        """The trial of the latest settings is over."""


class _Random(_Sampler):
    """Settings that depend on the seed and the number of the trial alone."""

    def __init__(self, spaces: Mapping[str, Space], seed: int) -> None:
        self._spaces, self._seed, self._drawn = spaces, seed, 0

    def draw(self) -> Settings:
        rng = np.random.Generator(np.random.Philox([self._seed, self._drawn]))
        self._drawn += 1
        return {name: space.draw(rng) for name, space in self._spaces.items()}

    def learn(self, trial: Trial) -> None:
        pass


class _Optuna(_Sampler):
    """Optuna's tree-structured Parzen estimator. Akiba et al., "Optuna", 2019."""

    def __init__(self, spaces: Mapping[str, Space], seed: int, mode: str, trials: int) -> None:
        self._optuna = optuna = extra("optuna")
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # its lines would stand between ours
        try:
            # As many random trials as it begins with otherwise, but never more than half of a short search.
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(1, trials // 2)))
            direction = {"min": "minimize", "max": "maximize"}[mode]
            self._study = optuna.create_study(sampler=sampler, direction=direction)
        finally:
            optuna.logging.set_verbosity(before)
        self._spaces = spaces
        self._trial: Any = None

    def draw(self) -> Settings:
        self._trial = self._study.ask()
        return {name: space.suggest(self._trial, name) for name, space in self._spaces.items()}

    def learn(self, trial: Trial) -> None:
        if trial.state == FINISHED:
            self._study.tell(self._trial, trial.value)
        else:
            self._study.tell(self._trial, state=self._optuna.trial.TrialState.FAIL)
