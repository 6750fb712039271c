"""Dropout: what it does to the gap between training and test, and what goes wrong where kept values are not rescaled.

Each activation is kept with a probability, the keep ratio k, and set to 0 otherwise (Srivastava et al., "Dropout",
2014). Inverted dropout divides what it keeps by k, so that means are the same in training and in evaluation, which
drops nothing. Without that, evaluation sees means 1 / k times too large after one layer and about 1 / k^l after l.
(About, and deeper layers do not agree exactly either where kept values are rescaled: a ReLU is convex, so that the
noise of dropout before it raises its mean in training.)

On so few and so clean digits a net that learns them by heart still tests well, and dropout has little to gain; it
shows its worth where some labels are wrong, and the experiment measures both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from graphnet.compiler import compile
from graphnet.experiments.learning import CLASSES, PIXELS, SIDE, Learner, outputs_of, small_digits
from graphnet.experiments.picture import label, looks, panels
from graphnet.experiments.result import Claim, Result, Row, pick
from graphnet.graph.node import Node
from graphnet.nn import Dropout, Flatten, Linear, Module, ReLU, Sequential
from graphnet.ops.random import bernoulli
from graphnet.ops.reductions import mean
from graphnet.ops.sources import input
from graphnet.optim import Adam
from graphnet.training import Digits, Split

NAME = "dropout"
_WIDTH, _RATE, _BATCH = 256, 1e-3, 50
_EXAMPLES, _WRONG = 300, 0.3  # training digits, and the share of them whose label is another one
_KEEP = 0.5  # the keep ratio of the second part
_KINDS = ("rescaled", "not rescaled")
_LABELS = ("right", f"{_WRONG:.0%} wrong")


class BareDropout(Module):
    """Keeps each element with probability `keep` in training and does not rescale it."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Node) -> Node:
        return x * bernoulli(self.keep, x.shape) if self.training else x


def run(seed: int = 0, quick: bool = False) -> Result:
    """Train on few digits with several keep ratios; then on all of them with and without rescaling."""
    data = small_digits(seed)
    keeps = (1.0, 0.5) if quick else (1.0, 0.75, 0.5, 0.25)
    repeats, epochs, epochs_of_all = (1, 60, 4) if quick else (3, 60, 15)
    rows: list[Row] = []
    for keep in keeps:
        learner = Learner(_net(2, partial(Dropout, 1 - keep)), partial(Adam, lr=_RATE))
        for repeat in range(seed, seed + repeats):
            rows += [_overfitted(learner, keep, labels, repeat, data, epochs) for labels in _LABELS]
    ways: list[Callable[[], Module]] = [partial(Dropout, 1 - _KEEP), partial(BareDropout, _KEEP)]
    for kind, made in zip(_KINDS, ways, strict=True):
        learner = Learner(_net(3, made), partial(Adam, lr=_RATE))
        learner.start(seed)
        list(learner.learn(data.train, epochs_of_all, _BATCH, seed))
        rows += _mismatch(learner, kind, type(made()), data.test)
    settings: dict[str, float] = {"seed": seed, "quick": quick, "repeats": repeats, "epochs": epochs}
    settings |= {"width": _WIDTH, "lr": _RATE, "batch_size": _BATCH, "examples": _EXAMPLES, "wrong_labels": _WRONG}
    settings |= {"epochs_of_all": epochs_of_all, "keep_of_all": _KEEP}
    claims = _claims(rows)
    return Result(NAME, settings, rows, claims, _sentences(rows, claims), partial(_paint, rows))


def _net(hidden: int, dropout: Callable[[], Module]) -> Sequential:
    """`hidden` layers, each rectified and thinned."""
    model = Sequential(Flatten())
    for width in [PIXELS, *[_WIDTH] * (hidden - 1)]:
        for layer in (Linear(width, _WIDTH), ReLU(), dropout()):
            model.append(layer)
    return model.append(Linear(_WIDTH, CLASSES))


def _overfitted(learner: Learner, keep: float, labels: str, seed: int, data: Digits, epochs: int) -> Row:
    """Accuracy and loss on the few training digits, under the labels that were learnt, and on the test digits."""
    rng = np.random.Generator(np.random.Philox(seed))
    chosen = rng.permutation(len(data.train.labels))[:_EXAMPLES]
    learnt = data.train.labels[chosen]
    if labels != "right":
        changed = rng.permutation(_EXAMPLES)[: round(_WRONG * _EXAMPLES)]
        learnt[changed] = (learnt[changed] + rng.integers(1, CLASSES, len(changed))) % CLASSES
    few = Split(data.train.images[chosen], learnt)
    learner.start(seed)
    list(learner.learn(few, epochs, _BATCH, seed))
    train, test = learner.score(few), learner.score(data.test)
    where: Row = {"part": "keep ratio", "labels": labels, "keep": keep, "seed": seed}
    measured: Row = {"train_accuracy": train.accuracy, "test_accuracy": test.accuracy}
    return where | measured | {"train_loss": train.loss, "test_loss": test.loss}


def _mismatch(learner: Learner, kind: str, layer: type[Module], test: Split) -> list[Row]:
    """Mean activations after each dropout, of the same digits, as training and as evaluation see them."""
    images = input("images", ("N", 1, SIDE, SIDE))
    seen = [
        compile(images, [mean(x) for x in outputs_of(learner.model.train(training), layer, images)])(test.images)
        for training in (True, False)
    ]
    score = learner.score(test)
    where: Row = {"part": "rescaling", "kind": kind, "test_loss": score.loss, "test_accuracy": score.accuracy}
    return [
        {**where, "layer": index + 1, "train_mean": float(a), "test_mean": float(b), "ratio": float(b / a)}
        for index, (a, b) in enumerate(zip(*seen, strict=True))
    ]


def _median(rows: Sequence[Row], column: str, **where: object) -> float:
    return float(np.median(pick(rows, column, **where)))


def _claims(rows: Sequence[Row]) -> list[Claim]:
    def gain(labels: str) -> float:
        with_and_without = [_median(rows, "test_accuracy", labels=labels, keep=keep) for keep in (0.5, 1.0)]
        return with_and_without[0] - with_and_without[1]

    def gap(keep: float) -> float:
        train, test = (_median(rows, f"{part}_accuracy", labels=_LABELS[1], keep=keep) for part in ("train", "test"))
        return train - test

    scaled, bare = (pick(rows, "ratio", kind=kind) for kind in _KINDS)
    losses = [pick(rows, "test_loss", kind=kind)[0] for kind in _KINDS]
    accuracies = [pick(rows, "test_accuracy", kind=kind)[0] for kind in _KINDS]
    wrong = f"{_LABELS[1]} labels"
    added = "what a keep ratio of 0.5 adds to the test accuracy"
    ratio = "the test mean of activations over the training mean"
    return [
        Claim(f"the training accuracy less the test accuracy without dropout, {wrong}", gap(1.0), low=0.1),
        Claim(f"what a keep ratio of 0.5 takes off that gap, {wrong}", gap(1.0) - gap(0.5), low=0.15),
        Claim(f"{added}, {wrong}", gain(_LABELS[1]), low=0.02),
        Claim(f"{added}, right labels", gain("right"), -0.04, 0.04),
        Claim(f"{ratio} after one layer, rescaled", scaled[0], 0.95, 1.05),
        Claim(f"{ratio} after one layer, not rescaled", bare[0], 1.85, 2.15),
        Claim(f"{ratio} after three layers, rescaled", scaled[-1], 0.5, 1.2),
        Claim(f"{ratio} after three layers, not rescaled", bare[-1], low=4.0),
        Claim("the test loss not rescaled over that rescaled", losses[1] / losses[0], low=1.1),
        Claim("what not rescaling takes off the test accuracy", accuracies[0] - accuracies[1], high=0.1),
    ]


def _sentences(rows: Sequence[Row], claims: Sequence[Claim]) -> tuple[str, str]:
    gap, less, gain, gain_right, _, once, scaled, thrice, _, lost = (claim.value for claim in claims)
    losses = [pick(rows, "test_loss", kind=kind)[0] for kind in _KINDS]
    return (
        f"Where {_WRONG:.0%} of {_EXAMPLES} training labels are wrong, a net without dropout learns them by heart: it "
        f"scores {gap:.1%} more on them than on test digits, with a keep ratio of 0.5 {less - gap:.1%} less, and "
        f"{gain:.1%} more on the test than without dropout; where all labels are right that difference is "
        f"{gain_right:+.1%}, too little to be told from chance.",
        f"Kept values that are not rescaled make activations {once:.2f} times as large in evaluation as in training "
        f"after one layer and {thrice:.1f} times after three ({scaled:.2f} times rescaled), which costs {lost:.1%} of "
        f"accuracy, and takes the test loss from {losses[0]:.2f} to {losses[1]:.2f}.",
    )


def _paint(rows: Sequence[Row], figure: Any) -> None:
    left, middle, right = panels(figure, "Dropout, and dropout that does not rescale what it keeps", 3)
    for axes, column in ((left, "accuracy"), (middle, "loss")):
        lines = [(part, labels) for labels in reversed(_LABELS) for part in ("train", "test")]
        for (part, labels), look in zip(lines, looks(), strict=False):
            keeps = sorted(set(pick(rows, "keep", labels=labels)))
            runs = [pick(rows, f"{part}_{column}", labels=labels, keep=keep) for keep in keeps]
            axes.plot(keeps, np.median(runs, axis=1), label=f"{part}, {labels} labels", **look)
            axes.fill_between(keeps, np.min(runs, axis=1), np.max(runs, axis=1), color=look["color"], alpha=0.15)
    left.set_ylim(0.4, 1.02)  # room for the legend
    title = f"{_EXAMPLES} training digits (median, range)"
    label(left, title, "keep ratio (1: no dropout)", "share classified as labelled", "lower left")
    label(middle, title, "keep ratio (1: no dropout)", "cross-entropy, nats", None)
    for kind, look in zip(_KINDS, looks(), strict=False):
        layers = pick(rows, "layer", kind=kind)
        right.plot(layers, pick(rows, "ratio", kind=kind), label=f"{kind}, measured", **look)
    right.plot(layers, [_KEEP**-layer for layer in layers], color="0.5", linewidth=1, label="1 / k^layer, k = 0.5")
    right.axhline(1, color="0.5", linewidth=1, linestyle=":", label="training and evaluation agree")
    right.set_yscale("log", base=2)
    right.yaxis.set_major_formatter("{x:g}")
    right.set_xticks(layers)
    label(right, f"all training digits, keep ratio {_KEEP:g}", "hidden layer", "mean in evaluation / mean in training")
