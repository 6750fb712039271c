"""The scale of the first weights, over four decades, in three and five layers, with and without batch norm.

Weights are normal with standard deviation s, biases 0. Through a layer of n inputs and ReLU, root mean squares are
multiplied by s * sqrt(n / 2) (K. He et al., "Delving deep into rectifiers", 2015): signals vanish or explode
unless s is near sqrt(2 / n), and gradients with them. Batch norm divides s out again (Ioffe and Szegedy, 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from graphnet.compiler import compile
from graphnet.experiments.learning import CLASSES, SIDE, Learner, dense, outputs_of, small_digits
from graphnet.experiments.picture import label, looks, panels
from graphnet.experiments.result import Claim, Result, Row, pick
from graphnet.nn import BatchNorm1d, ReLU
from graphnet.ops.reductions import mean
from graphnet.ops.sources import input
from graphnet.ops.unary import sqrt, square
from graphnet.optim import SGD
from graphnet.training import Digits

NAME = "initialization"
_WIDTH = 100
_NETS = [(3, "no"), (3, "batch"), (5, "no"), (5, "batch")]  # layers, and the norm
_RATE, _BATCH = 0.1, 50
_SPREADS = (-3.0, -2.0, math.log10(math.sqrt(2 / _WIDTH)), 0.0)  # log10 of the scales that the last panel shows


def run(seed: int = 0, quick: bool = False) -> Result:
    """Train each net from each scale; measure signals layer by layer before any training."""
    data = small_digits(seed)
    scales = [-4.0, -2.0, -1.0, 0.0] if quick else [step / 2 for step in range(-8, 1)]
    repeats, epochs = (1, 4) if quick else (3, 10)
    rows: list[Row] = []
    for layers, norm in _NETS:
        model = dense([_WIDTH] * (layers - 1), BatchNorm1d if norm == "batch" else None)
        learner = Learner(model, partial(SGD, lr=_RATE))
        for repeat in range(repeats):
            rows += [_trained(learner, layers, norm, scale, seed + repeat, data, epochs) for scale in scales]
        if layers == 5:
            rows += _signals(learner, norm, seed, data)
    settings: dict[str, float] = {"seed": seed, "quick": quick, "repeats": repeats, "epochs": epochs}
    settings |= {"width": _WIDTH, "lr": _RATE, "batch_size": _BATCH}
    claims = _claims(rows, least=0.5 if quick else 0.8)
    return Result(NAME, settings, rows, claims, _sentences(rows, claims), partial(_paint, rows))


def _trained(learner: Learner, layers: int, norm: str, scale: float, seed: int, data: Digits, epochs: int) -> Row:
    learner.start(seed, std=10.0**scale)
    losses = list(learner.learn(data.train, epochs, _BATCH, seed))
    where: Row = {"part": "training", "layers": layers, "norm": norm, "log10_scale": scale, "seed": seed}
    return {**where, "loss": losses[-1], "accuracy": learner.score(data.test).accuracy}


def _signals(learner: Learner, norm: str, seed: int, data: Digits) -> list[Row]:
    """Root mean squares after each ReLU, of the training images, before training; batch norm as in training."""
    images = input("images", ("N", 1, SIDE, SIDE))
    signals = outputs_of(learner.model.train(), ReLU, images)
    measure = compile(images, [sqrt(mean(square(signal))) for signal in signals])
    rows: list[Row] = []
    for scale in _SPREADS:
        learner.start(seed, std=10.0**scale)
        found = measure(data.train.images)
        where: Row = {"part": "signals", "layers": 5, "norm": norm, "log10_scale": scale}
        rows += [{**where, "layer": index + 1, "rms": float(value)} for index, value in enumerate(found)]
    return rows


def _accuracy(rows: Sequence[Row], layers: int, norm: str, scale: float) -> float:
    """The median of the repeats."""
    return float(np.median(pick(rows, "accuracy", layers=layers, norm=norm, log10_scale=scale)))


def _scales(rows: Sequence[Row]) -> list[float]:
    return sorted(set(pick(rows, "log10_scale", part="training")))


def _rms(rows: Sequence[Row], norm: str, scale: float) -> list[float]:
    """Layer by layer."""
    return pick(rows, "rms", norm=norm, log10_scale=scale)


def _claims(rows: Sequence[Row], least: float) -> list[Claim]:
    normed = [_accuracy(rows, layers, "batch", scale) for layers in (3, 5) for scale in _scales(rows)]
    factors = []
    for scale in _SPREADS:
        wanted, rms = 10**scale * math.sqrt(_WIDTH / 2), _rms(rows, "no", scale)
        factors += [after / before / wanted for before, after in pairwise(rms)]
    # From smaller scales a layer's variance is no longer large beside the eps, 1e-5, that batch norm adds to it.
    held = [rms for scale in _SPREADS if scale >= -2 for rms in _rms(rows, "batch", scale)]
    plain = "the accuracy of five layers without norm from scale"
    ratio = "factor of a signal through a layer without norm, over s * sqrt(n / 2),"
    return [
        Claim("the lowest accuracy with batch norm, over all scales, in three and five layers", min(normed), low=least),
        Claim(f"{plain} 0.1", _accuracy(rows, 5, "no", -1.0), low=least),
        Claim(f"{plain} 0.01", _accuracy(rows, 5, "no", -2.0), high=0.3),
        Claim(f"{plain} 1", _accuracy(rows, 5, "no", 0.0), high=0.5),
        Claim(f"the smallest {ratio}", min(factors), low=0.65),
        Claim(f"the largest {ratio}", max(factors), high=1.4),
        Claim("the smallest signal with batch norm, from scales of 0.01 and more", min(held), low=0.6),
        Claim("the largest signal with batch norm, from scales of 0.01 and more", max(held), high=0.8),
    ]


def _sentences(rows: Sequence[Row], claims: Sequence[Claim]) -> tuple[str, str]:
    scales = _scales(rows)
    learn = {n: [s for s in scales if _accuracy(rows, n, "no", s) >= 0.9] for n in (3, 5)}
    signal = _rms(rows, "no", -2.0)
    low, high = claims[6].value, claims[7].value
    return (
        f"With batch norm three and five layers reach a test accuracy of {claims[0].value:.1%} or more from every one "
        f"of {len(scales)} weight scales from 10^{min(scales):g} to 1; without it three layers reach 90% from "
        f"{len(learn[3])} of the {len(scales)} and five from {len(learn[5])} of the {len(scales)}, and five stay at "
        f"{claims[2].value:.1%} from 0.01.",
        f"The reason is seen before any training: at 0.01 the root mean square of activations falls from "
        f"{signal[0]:.2g} after the first layer to {signal[-1]:.2g} after the fourth without norm, by theory to "
        f"{0.01 * math.sqrt(_WIDTH / 2):.2g} of itself in a layer, and stays between {low:.2f} and {high:.2f} with it.",
    )


def _paint(rows: Sequence[Row], figure: Any) -> None:
    left, middle, right = panels(figure, "The scale of the first weights, with and without batch norm", 3)
    scales = _scales(rows)
    for (layers, norm), look in zip(_NETS, looks(), strict=False):
        name = f"{layers} layers, {norm} norm"
        runs = [pick(rows, "accuracy", layers=layers, norm=norm, log10_scale=scale) for scale in scales]
        left.plot(scales, np.median(runs, axis=1), label=name, **look)
        left.fill_between(scales, np.min(runs, axis=1), np.max(runs, axis=1), color=look["color"], alpha=0.2)
        losses = [np.median(pick(rows, "loss", layers=layers, norm=norm, log10_scale=scale)) for scale in scales]
        middle.plot(scales, losses, label=name, **look)
        lost = [scale for scale, loss in zip(scales, losses, strict=True) if not math.isfinite(loss)]
        middle.plot(lost, [0.97] * len(lost), "x", color=look["color"], transform=middle.get_xaxis_transform())
    for axes in (left, middle):
        axes.axvline(math.log10(math.sqrt(2 / _WIDTH)), color="0.5", linewidth=1, label="sqrt(2 / n), He et al.")
    left.axhline(1 / CLASSES, color="0.5", linewidth=1, linestyle=":")
    left.set_ylim(0, 1.02)
    middle.set_yscale("log")
    x = "log10 of the first weights' standard deviation"
    label(left, "after training: test accuracy (median, range)", x, "share of test digits classified right")
    label(middle, "training loss (x: overflowed)", x, "cross-entropy of the last epoch, nats", legend=None)
    for scale, look in zip(_SPREADS, looks(), strict=False):
        layers_in = range(1, 5)
        plain = f"s = {10**scale:.2g}"
        right.plot(layers_in, _rms(rows, "no", scale), label=plain, **(look | {"linestyle": "-"}))
        right.plot(layers_in, _rms(rows, "batch", scale), label=f"{plain}, batch norm", **(look | {"linestyle": "--"}))
    right.set_yscale("log")
    right.set_ylim(1e-14, 1e4)  # room for the legend below
    right.set_xticks([1, 2, 3, 4])
    label(right, "before training: signals in five layers", "hidden layer", "root mean square of activations", None)
    right.legend(fontsize=8, loc="lower center", ncols=2)
