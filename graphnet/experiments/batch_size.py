"""Batch norm against the size of the batch, and layer norm beside it.

Batch norm (Ioffe and Szegedy, 2015) takes mean and variance from the batch: what it makes of an example depends on
the others in it, by an amount that falls as 1 / sqrt(batch size), and of two examples it keeps hardly more than which
has the larger value. Layer norm (Ba, Kiros and Hinton, 2016) takes both from the example alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from graphnet.compiler import compile
from graphnet.experiments.learning import PIXELS, SIDE, Learner, dense, small_digits
from graphnet.experiments.picture import label, looks, panels
from graphnet.experiments.result import Claim, Result, Row, pick
from graphnet.nn import BatchNorm1d, Flatten, LayerNorm, Linear, Module, Sequential
from graphnet.ops.random import manual_seed
from graphnet.ops.sources import input
from graphnet.optim import Adam
from graphnet.training import Digits

NAME = "batch-size"
_BATCH, _LAYER, _NONE = "batch norm", "layer norm", "no norm"
_NORMS: dict[str, Callable[[int], Module] | None] = {_BATCH: BatchNorm1d, _LAYER: LayerNorm, _NONE: None}
_WIDTH, _LAYERS, _RATE = 100, 5, 1e-3
_COMPANIES = 200  # batches that one example is normalized in, each with other examples


def run(seed: int = 0, quick: bool = False) -> Result:
    """Train each net with each batch size, on as many examples; then normalize one example in many batches."""
    data = small_digits(seed)
    sizes = (2, 16) if quick else (2, 4, 8, 16, 50)
    repeats, epochs = (1, 2) if quick else (3, 3)
    rows: list[Row] = []
    for name, norm in _NORMS.items():
        learner = Learner(dense([_WIDTH] * (_LAYERS - 1), norm), partial(Adam, lr=_RATE))
        for size in sizes:
            rows += [_trained(learner, name, size, start, data, epochs) for start in range(seed, seed + repeats)]
    companies = (2, 8, 32, 128) if quick else (2, 4, 8, 16, 32, 64, 128)
    for name in (_BATCH, _LAYER):
        rows += _normalized(name, companies, seed, data)
    settings: dict[str, float] = {"seed": seed, "quick": quick, "repeats": repeats, "epochs": epochs}
    settings |= {"width": _WIDTH, "layers": _LAYERS, "lr": _RATE, "companies": _COMPANIES}
    claims = _claims(rows)
    return Result(NAME, settings, rows, claims, _sentences(rows, claims), partial(_paint, rows))


def _trained(learner: Learner, name: str, size: int, seed: int, data: Digits, epochs: int) -> Row:
    learner.start(seed)
    losses = list(learner.learn(data.train, epochs, size, seed))
    train, test = learner.score(data.train), learner.score(data.test)
    where: Row = {"part": "training", "norm": name, "batch_size": size, "seed": seed}
    measured: Row = {"test_accuracy": test.accuracy, "test_loss": test.loss}
    return where | measured | {"loss": losses[-1], "train_accuracy": train.accuracy, "train_loss": train.loss}


def _normalized(name: str, sizes: Sequence[int], seed: int, data: Digits) -> list[Row]:
    """What the first norm makes of one example: its spread over batches, and the share of values within 5% of ±1."""
    norm = _NORMS[name]
    assert norm is not None
    manual_seed(seed)
    images = input("images", ("N", 1, SIDE, SIDE))
    first = compile(images, Sequential(Flatten(), Linear(PIXELS, _WIDTH), norm(_WIDTH))(images)[0])
    rng = np.random.Generator(np.random.Philox(seed))
    rows: list[Row] = []
    for size in sizes:
        values = []
        for _ in range(_COMPANIES):
            others = rng.choice(np.arange(1, len(data.train.images)), size - 1, replace=False)
            values.append(first(data.train.images[[0, *others]]))
        found = np.array(values, np.float64)
        spread = float(np.sqrt(found.var(axis=0).mean()))
        signs = float((np.abs(np.abs(found) - 1) < 0.05).mean())
        rows.append({"part": "one example", "norm": name, "batch_size": size, "spread": spread, "signs": signs})
    return rows


def _accuracy(rows: Sequence[Row], name: str, size: int) -> float:
    """The median of the repeats."""
    return float(np.median(pick(rows, "test_accuracy", norm=name, batch_size=size)))


def _sizes(rows: Sequence[Row]) -> list[int]:
    return sorted(set(pick(rows, "batch_size", part="training")))


def _claims(rows: Sequence[Row]) -> list[Claim]:
    two = {name: _accuracy(rows, name, 2) for name in _NORMS}
    larger = [_accuracy(rows, _BATCH, size) for size in _sizes(rows) if size >= 8]
    of_one = {"part": "one example", "norm": _BATCH}
    sizes, spreads = (np.log10(pick(rows, column, **of_one)) for column in ("batch_size", "spread"))
    slope = float(np.polyfit(sizes[sizes > 0.9], spreads[sizes > 0.9], 1)[0])
    signs = pick(rows, "signs", norm=_BATCH, batch_size=2)[0]
    return [
        Claim("the test accuracy of batch norm with batches of 2", two[_BATCH], high=0.85),
        Claim("how much higher that of layer norm is", two[_LAYER] - two[_BATCH], low=0.1),
        Claim("the lowest test accuracy of batch norm with batches of 8 and more", min(larger), low=0.8),
        Claim("the lowest test accuracy of layer norm", min(_accuracy(rows, _LAYER, n) for n in _sizes(rows)), low=0.8),
        Claim("the share of values within 5% of +1 or -1 after batch norm of 2", signs, low=0.8),
        Claim("the slope of log spread of an example on log batch size, from 8 on", slope, -0.65, -0.4),
        Claim("the largest spread of an example after layer norm", max(pick(rows, "spread", norm=_LAYER)), high=1e-6),
    ]


def _sentences(rows: Sequence[Row], claims: Sequence[Claim]) -> tuple[str, str]:
    two, more, larger, layer, signs, slope, still = (claim.value for claim in claims)
    spread = {size: pick(rows, "spread", norm=_BATCH, batch_size=size)[0] for size in (8, 128)}
    return (
        f"With batches of 2 batch norm reaches a test accuracy of {two:.1%}, {more:.1%} less than layer norm, with 8 "
        f"and more at least {larger:.1%}; layer norm stays at {layer:.1%} or more with every size (after as many "
        f"examples each, so that large batches make fewer steps).",
        f"Of two examples batch norm keeps little more than signs ({signs:.0%} of values are within 5% of 1 or -1), "
        f"and what it makes of one example varies with the others by {spread[8]:.2f} in batches of 8 and "
        f"{spread[128]:.2f} in batches of 128, as size^{slope:.2f}; after layer norm it varies by {still:.1g}.",
    )


def _paint(rows: Sequence[Row], figure: Any) -> None:
    left, middle, right = panels(figure, "Batch norm and layer norm against the size of the batch", 3)
    sizes = _sizes(rows)
    for name, look in zip(_NORMS, looks(), strict=False):
        for axes, column in ((left, "test_accuracy"), (middle, "test_loss")):
            runs = [pick(rows, column, norm=name, batch_size=size) for size in sizes]
            axes.plot(sizes, np.median(runs, axis=1), label=name, **look)
            axes.fill_between(sizes, np.min(runs, axis=1), np.max(runs, axis=1), color=look["color"], alpha=0.2)
    for name, look in zip((_BATCH, _LAYER), looks(), strict=False):
        seen = pick(rows, "batch_size", norm=name, part="one example")
        right.plot(seen, pick(rows, "spread", norm=name), label=name, **look)
    reference = pick(rows, "spread", norm=_BATCH, batch_size=8)[0]
    right.plot(seen, [reference * np.sqrt(8 / size) for size in seen], color="0.5", linewidth=1, label="1 / sqrt(size)")
    for axes in (left, middle, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes if axes is not right else seen)
        axes.xaxis.set_major_formatter("{x:g}")
    left.set_ylim(0, 1.02)
    middle.set_yscale("log")
    right.set_ylim(bottom=-0.05)
    label(left, "test accuracy (median, range)", "batch size", "share of test digits classified right", "lower right")
    label(middle, "test loss", "batch size", "cross-entropy, nats", None)
    label(right, "one example, normalized in 200 batches", "batch size", "standard deviation of its values")
