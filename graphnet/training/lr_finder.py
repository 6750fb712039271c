"""The learning-rate range test: rates that grow from step to step, and the loss at each."""

from __future__ import annotations

import copy
import csv
import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from graphnet.errors import ArgumentError, DataError
from graphnet.interop.safetensors import write_atomically
from graphnet.ops.random import default_generator
from graphnet.ops.sources import parameter
from graphnet.training.callbacks import number, whole
from graphnet.training.data import Batch, DataLoader
from graphnet.training.picture import check_format, new_figure, save_figure
from graphnet.training.steps import declare
from graphnet.training.trainer import Trainer


@dataclass(frozen=True)
class RateRange:
    """What a range test found, step by step: rates, losses, and losses smoothed.

    suggestion: the rate at which the smoothed loss falls steepest, by the logarithm of the rate; None where it never
    falls. diverged: whether the test ended early because the loss grew without bounds.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    diverged: bool

    def __str__(self) -> str:
        reach = f"{len(self.rates)} rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g}"
        ended = ", where the loss diverged" if self.diverged else ""
        if self.suggestion is None:
            return f"{reach}{ended}: the loss never falls, so no rate is suggested"
        return f"{reach}{ended}: the loss falls steepest at {self.suggestion:.3g}"

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a line a rate."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["lr", "loss", "smoothed_loss"])
        writer.writerows(zip(self.rates, self.losses, self.smoothed, strict=True))
        write_atomically(path, text.getvalue().encode())

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the losses over the rates, on a logarithmic axis, with the suggestion; the suffix says the format."""
        check_format(path, "range tests")
        figure = new_figure(6.5, 4)
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color="#94a3b8", linewidth=1, label="loss of each batch")
        axes.plot(self.rates, self.smoothed, color="#1d4ed8", linewidth=2, label="smoothed")
        if self.suggestion is not None:
            label = f"steepest at {self.suggestion:.2g}"
            axes.axvline(self.suggestion, color="#dc2626", linestyle="--", label=label)
        axes.set_xscale("log")
        low, high = min(self.smoothed), max(self.smoothed[0], *self.smoothed[: max(1, _lowest(self.smoothed))])
        # What comes after the loss has grown without bounds would leave nothing of the rest to see.
        axes.set_ylim(low - 0.1 * (high - low + 1e-12), high + 0.6 * (high - low + 1e-12))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.set_title("learning-rate range test")
        axes.grid(alpha=0.3)
        axes.legend()
        save_figure(figure, path, "range tests")


def find_learning_rate(
    trainer: Trainer,
    loader: DataLoader,
    start: float = 1e-7,
    stop: float = 10.0,
    steps: int = 100,
    *,
    smoothing: float = 0.9,
    divergence: float = 4.0,
) -> RateRange:
    """Train a copy of the trainer's model for `steps` batches, at rates that grow evenly in logarithm, and say which
    rate lowers the loss best.

    smoothing: how much of the running mean of losses is kept at each step, in [0, 1); the mean is corrected for its
    start, as in Adam. The test ends where the smoothed loss is over `divergence` times its lowest, or not finite.
    Model, optimizer, buffers, random counters and loader are as they were before, whatever happens, so that training
    afterwards gives the bits that it would have given without the test.
    Smith, "Cyclical learning rates for training neural networks", 2017.
    """
    name = "find_learning_rate"
    if not isinstance(trainer, Trainer):
        raise ArgumentError(f"{name}: trainer must be a Trainer, got {trainer!r}")
    if not isinstance(loader, DataLoader):
        raise ArgumentError(f"{name}: loader must be a DataLoader, got {loader!r}")
    start, steps = number(name, "start", start, 0.0, above=True), whole(name, "steps", steps, 10)
    stop = number(name, "stop", stop, start, above=True)
    smoothing = number(name, "smoothing", smoothing, 0.0)
    if smoothing >= 1:
        raise ArgumentError(f"{name}: smoothing must be in [0, 1), got {smoothing!r}")
    divergence = number(name, "divergence", divergence, 1.0, above=True)
    rates = np.geomspace(start, stop, steps).tolist()
    random, streams, place = default_generator.state.value, default_generator.streams, loader.state_dict()
    try:
        losses = _ramp(trainer, loader, rates, smoothing, divergence)
    finally:
        default_generator.state.set_value(random)
        default_generator.streams = streams
        loader.load_state_dict(place)
    return _found(rates, losses, smoothing, ended=len(losses) < steps)


def _ramp(trainer: Trainer, loader: DataLoader, rates: list[float], smoothing: float, divergence: float) -> list[float]:
    """The loss at each rate, up to where it diverges."""
    # Copied together, so that the copied optimizer trains the copied model; the trainer's own are never touched.
    model, loss_fn, optimizer, transform = copy.deepcopy(
        (trainer.model, trainer.loss_fn, trainer.optimizer, trainer.transform)
    )
    rate = parameter(np.float64(rates[0]), "lr", requires_grad=False)
    optimizer.lr = rate
    losses: list[float] = []
    step = None
    lowest = math.inf
    for value, batch in zip(rates, _endless(loader), strict=False):
        if step is None:
            step = declare(
                model, loss_fn, batch, {}, optimizer=optimizer, transform=transform, backend=trainer.backend
            )  # fmt: skip
        rate.set_value(value)
        losses.append(step.results(step(batch))["loss"])  # type: ignore[arg-type]
        smoothed = _smoothed(losses, smoothing)[-1]
        if not smoothed <= divergence * lowest and len(losses) > 1:  # also where it is NaN
            break
        lowest = min(lowest, smoothed)
    return losses


def _endless(loader: DataLoader) -> Iterator[Batch]:
    """Batches of epoch after epoch."""
    while True:
        before = None
        for before in loader:
            yield before
        if before is None:
            raise DataError("find_learning_rate: the loader gave no batches")


def _smoothed(losses: list[float], smoothing: float) -> list[float]:
    mean, means = 0.0, []
    for count, loss in enumerate(losses, 1):
        mean = smoothing * mean + (1 - smoothing) * loss
        means.append(mean / (1 - smoothing**count))
    return means


def _found(rates: list[float], losses: list[float], smoothing: float, *, ended: bool) -> RateRange:
    """The test's result; a last loss that is not finite is left out."""
    if not math.isfinite(losses[0]):
        raise DataError(f"find_learning_rate: the loss is {losses[0]} at the first step, before any training")
    is_whole = math.isfinite(losses[-1])
    diverged = ended or not is_whole
    count = len(losses) if is_whole else len(losses) - 1
    rates, losses = rates[:count], losses[:count]
    smoothed = _smoothed(losses, smoothing)
    suggestion = _steepest(rates, smoothed, begin=min(round(1 / (1 - smoothing)), count // 4))
    return RateRange(tuple(rates), tuple(losses), tuple(smoothed), suggestion, diverged)


def _steepest(rates: list[float], smoothed: list[float], begin: int) -> float | None:
    """The rate at which the curve falls steepest before its lowest point; None where it does not fall.

    Slopes are of lines through nine points, so that a single batch decides nothing, and begin where the running mean
    has seen enough batches to be steady.
    """
    reach = min(4, (len(rates) - 1) // 4)
    if not reach:
        return None
    lowest = _lowest(smoothed)
    places = range(max(begin, reach), min(lowest, len(rates) - 1 - reach) + 1)
    around = [slice(place - reach, place + reach + 1) for place in places]
    slopes = [_slope(rates[part], smoothed[part]) for part in around]
    if not slopes or min(slopes) >= 0:
        return None
    return rates[places[int(np.argmin(slopes))]]


def _slope(rates: list[float], values: list[float]) -> float:
    """The slope of the line of least squares through values over logarithms of rates."""
    x = np.log(rates) - np.mean(np.log(rates))
    return float(x @ values / (x @ x))


def _lowest(values: list[float] | tuple[float, ...]) -> int:
    return int(np.argmin(values))
