"""Six optimizers on one net, each over the same learning rates, and how Adagrad's steps fade.

A five-layer net, deep enough that plain SGD is slow. Every optimizer is tried with the same rates, and compared at
the one that gave it the lowest training loss, for the best rate of one is no rate for another.

Adagrad divides by the root of the sum of all squared gradients (Duchi, Hazan and Singer, "Adaptive subgradient
methods", 2011): where gradients keep their size, its effective step, rate / sqrt(sum), falls as 1 / sqrt(t).
RMSprop's moving average forgets, so that its step levels off. Both are measured on gradients that never settle, those
of (w - x)^2 / 2 for x drawn anew each step, and Adagrad's also on the net.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, islice, repeat
from typing import Any

import numpy as np

from graphnet.autodiff import gradients
from graphnet.compiler import compile
from graphnet.executable import Executable
from graphnet.experiments.learning import SIDE, Learner, MakeOptimizer, dense, small_digits
from graphnet.experiments.picture import label, looks, panels
from graphnet.experiments.result import Claim, Result, Row, pick
from graphnet.ops.losses import cross_entropy
from graphnet.ops.random import manual_seed, normal
from graphnet.ops.shaping import sum
from graphnet.ops.sources import Parameter, input, parameter
from graphnet.ops.unary import square
from graphnet.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from graphnet.training import DataLoader, Digits

NAME = "optimizers"
_OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "SGD": (SGD, {}),
    "momentum 0.9": (SGD, {"momentum": 0.9}),
    "Adagrad": (Adagrad, {}),
    "RMSprop": (RMSprop, {}),
    "Adam": (Adam, {}),
    "AdamW": (AdamW, {}),
}
_WIDTH, _LAYERS, _BATCH = 100, 5, 50
_FADING_RATE, _NOISE_WIDTH = 0.01, 200
_SETTLED = 500  # iterations after which RMSprop's average, of some 100, has forgotten the start


def run(seed: int = 0, quick: bool = False) -> Result:
    """Train by each optimizer at each rate; then follow the effective steps."""
    data = small_digits(seed)
    rates = [-2.5, -1.5, -1.0] if quick else [step / 2 for step in range(-7, 0)]
    repeats, epochs, count = (1, 5, 1500) if quick else (3, 8, 3000)
    rows: list[Row] = []
    for name, (made, options) in _OPTIMIZERS.items():
        rate = parameter(np.float64(0.0), "rate", requires_grad=False)
        learner = Learner(dense([_WIDTH] * (_LAYERS - 1)), partial(made, lr=rate, **options))
        for log_rate in rates:
            rate.set_value(10.0**log_rate)
            for start in range(seed, seed + repeats):
                rows += _trained(learner, name, log_rate, start, data, epochs)
    settings: dict[str, float] = {"seed": seed, "quick": quick, "repeats": repeats, "epochs": epochs}
    settings |= {"width": _WIDTH, "layers": _LAYERS, "batch_size": _BATCH}
    settings |= {"fading_steps": count, "fading_lr": _FADING_RATE}
    rows += _steps_on_noise("Adagrad", partial(Adagrad, lr=_FADING_RATE), seed, count)
    rows += _steps_on_noise("RMSprop", partial(RMSprop, lr=_FADING_RATE), seed, count)
    rows += _steps_on_net(data, seed, count)
    claims = _claims(rows, epochs, most=0.8)
    return Result(NAME, settings, rows, claims, _sentences(rows, claims, epochs), partial(_paint, rows, epochs))


def _trained(learner: Learner, name: str, log_rate: float, seed: int, data: Digits, epochs: int) -> list[Row]:
    learner.start(seed)
    where: Row = {"part": "training", "optimizer": name, "log10_rate": log_rate, "seed": seed}
    rows: list[Row] = []
    for epoch, loss in enumerate(learner.learn(data.train, epochs, _BATCH, seed)):
        rows.append({**where, "epoch": epoch + 1, "loss": loss})
    rows[-1]["accuracy"] = learner.score(data.test).accuracy
    return rows


def _steps_on_noise(name: str, optimizer: MakeOptimizer, seed: int, count: int) -> list[Row]:
    """Effective steps where the gradient of each of many weights w is w - x, for x normal and drawn anew each time."""
    manual_seed(seed)
    w = parameter(np.zeros(_NOISE_WIDTH, np.float32), "w")
    loss = sum(square(w - normal(w.shape))) * 0.5
    step = compile([], gradients(loss, [w]), optimizer([w]).updates(loss))
    return _effective_steps(f"{name}, steady noise", step, [w], repeat(()), count)


def _steps_on_net(data: Digits, seed: int, count: int) -> list[Row]:
    """Adagrad's effective steps on the net that all were compared on."""
    manual_seed(seed)
    model = dense([_WIDTH] * (_LAYERS - 1))
    images, labels = input("images", ("N", 1, SIDE, SIDE)), input("labels", ("N",), "int64")
    loss, trained = cross_entropy(model(images), labels), list(model.parameters())
    step = compile([images, labels], gradients(loss, trained), Adagrad(trained, lr=_FADING_RATE).updates(loss))
    loader = DataLoader(tuple(data.train), _BATCH, shuffle=True, seed=seed, drop_last=True)
    epochs = repeat(loader)  # each turn of a loader has an order of its own
    return _effective_steps("Adagrad, the net", step, trained, chain.from_iterable(epochs), count)


def _effective_steps(
    kind: str, step: Executable, trained: list[Parameter], batches: Iterable[Any], count: int
) -> list[Row]:
    """How far weights move for a gradient of 1: the median of |change / gradient|, some 20 times a decade of steps."""
    measured = set(np.geomspace(1, count, round(20 * math.log10(count))).round().astype(int).tolist())
    rows: list[Row] = []
    for iteration, batch in enumerate(islice(batches, count), start=1):
        before = [value.value for value in trained] if iteration in measured else []
        found = step(*batch)
        if before:
            slopes = np.concatenate([slope.ravel() for slope in found]).astype(np.float64)
            moved = np.concatenate([(old - new.value).ravel() for old, new in zip(before, trained, strict=True)])
            size = float(np.median(np.abs(moved[slopes != 0] / slopes[slopes != 0])))
            rows.append({"part": "step", "kind": kind, "iteration": iteration, "effective_step": size})
    return rows


def _slope(rows: Sequence[Row], kind: str, first: int) -> float:
    """By how many powers of ten the step changes while iterations grow tenfold, from iteration `first` on."""
    t, steps = (np.array(pick(rows, column, kind=kind)) for column in ("iteration", "effective_step"))
    return float(np.polyfit(np.log10(t[t >= first]), np.log10(steps[t >= first]), 1)[0])


def _final_loss(rows: Sequence[Row], name: str, log_rate: float, epochs: int) -> float:
    """The median of the repeats; infinite where one overflowed."""
    found = pick(rows, "loss", optimizer=name, log10_rate=log_rate, epoch=epochs)
    return float(np.median(np.nan_to_num(found, nan=np.inf)))


def _best(rows: Sequence[Row], name: str, epochs: int) -> tuple[float, float]:
    """The lowest final training loss of an optimizer, and log10 of the rate that gave it."""
    rates = sorted(set(pick(rows, "log10_rate", optimizer=name)))
    return min((_final_loss(rows, name, rate, epochs), rate) for rate in rates)


def _claims(rows: Sequence[Row], epochs: int, most: float) -> list[Claim]:
    best = {name: _best(rows, name, epochs) for name in _OPTIMIZERS}
    sgd = best["SGD"]
    others = min(loss for name, (loss, _) in best.items() if name != "SGD")
    tests = [
        float(np.median(pick(rows, "accuracy", optimizer=name, log10_rate=rate))) for name, (_, rate) in best.items()
    ]
    noisy_rmsprop = _slope(rows, "RMSprop, steady noise", _SETTLED)
    slope, later = "the slope of log step on log iteration,", f"from {_SETTLED} on"
    return [
        Claim("the lowest training loss of the five over that of SGD, at best rates", others / sgd[0], high=most),
        Claim("by how many powers of ten SGD's best rate is above Adam's", sgd[1] - best["Adam"][1], low=1.0),
        Claim("the lowest test accuracy of the six at their best rates", min(tests), low=0.85),
        Claim("the highest less the lowest of these test accuracies", max(tests) - min(tests), high=0.1),
        Claim(f"{slope} Adagrad on steady noise, from 10 on", _slope(rows, "Adagrad, steady noise", 10), -0.55, -0.45),
        Claim(f"{slope} RMSprop on steady noise, {later}", noisy_rmsprop, -0.05, 0.05),
        Claim(f"{slope} Adagrad on the net, from 10 on", _slope(rows, "Adagrad, the net", 10), high=-0.3),
        Claim(f"{slope} Adagrad on the net, {later}", _slope(rows, "Adagrad, the net", _SETTLED), low=-0.4),
    ]


def _sentences(rows: Sequence[Row], claims: Sequence[Claim], epochs: int) -> tuple[str, str]:
    best = {name: _best(rows, name, epochs) for name in _OPTIMIZERS}
    losses = ", ".join(f"{name} {loss:.3f} (rate {10**rate:.2g})" for name, (loss, rate) in best.items())
    _, _, lowest, spread, noise, level, net, net_later = (claim.value for claim in claims)
    return (
        f"After {epochs} epochs, each at the best of the same rates, the training losses are {losses}: the five that "
        f"remember past gradients get down to {claims[0].value:.2f} of SGD's at best, while on the test all "
        f"six lie within {spread:.1%} of one another ({lowest:.1%} or more), too close to rank them.",
        f"Adagrad's effective step falls as t^{noise:.2f} where gradients keep their size (RMSprop's as t^{level:.2f} "
        f"after {_SETTLED} steps); on the net it falls as t^{net:.2f}, but as t^{net_later:.2f} after {_SETTLED} "
        f"steps, when there is little left to learn and gradients fade before it does.",
    )


def _paint(rows: Sequence[Row], epochs: int, figure: Any) -> None:
    left, middle, right = panels(figure, "Six optimizers on a net of five layers", 3)
    for name, look in zip(_OPTIMIZERS, looks(), strict=False):
        rates = sorted(set(pick(rows, "log10_rate", optimizer=name)))
        middle.plot(rates, [_final_loss(rows, name, rate, epochs) for rate in rates], label=name, **look)
        best = _best(rows, name, epochs)[1]
        curve = [_final_loss(rows, name, best, epoch) for epoch in range(1, epochs + 1)]
        left.plot(range(1, epochs + 1), curve, label=f"{name}, rate {10**best:.2g}", **look)
    for axes in (left, middle):
        axes.set_yscale("log")
    middle.set_ylim(top=10)
    left.xaxis.get_major_locator().set_params(integer=True)
    label(left, "each at its best rate", "epoch", "training loss, cross-entropy in nats (median)", "lower left")
    title = f"after {epochs} epochs, at every rate"
    label(middle, title, "log10 of the learning rate", "training loss, cross-entropy in nats (median)", None)
    kinds = list(dict.fromkeys(pick(rows, "kind", part="step")))
    for kind, look in zip(kinds, looks(), strict=False):
        t, steps = (np.array(pick(rows, column, kind=kind)) for column in ("iteration", "effective_step"))
        right.plot(t, steps, label=kind, markevery=8, **look)
        if kind.startswith("Adagrad"):
            right.plot(t[20:], steps[20] * np.sqrt(t[20] / t[20:]), color="0.5", linewidth=1)
    right.plot([], [], color="0.5", linewidth=1, label="1 / sqrt(t)")
    right.set_xscale("log")
    right.set_yscale("log")
    title = f"effective steps at rate {_FADING_RATE:g}"
    label(right, title, "iteration t", "median |change of a weight / its gradient|")
