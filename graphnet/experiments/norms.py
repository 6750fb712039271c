"""Batch, layer, group and instance norm side by side, in a small convnet, and what each makes of faint images.

All four subtract a mean and divide by a standard deviation, and differ in what these are taken over (Wu and He, "Group
normalization", 2018): a channel of the whole batch, all channels of an example, a group of them, or one. The last
three are of the image itself, so that an image times a constant gives the same scores; batch norm evaluates with the
statistics of training, and does not know of a faint image that it is faint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from graphnet.experiments.learning import CLASSES, Learner, small_digits
from graphnet.experiments.picture import label, looks, panels
from graphnet.experiments.result import Claim, Result, Row, pick
from graphnet.nn import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GroupNorm,
    InstanceNorm2d,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from graphnet.optim import SGD
from graphnet.training import Digits, Split

NAME = "norms"
_GROUPS = 4
_NORMS: dict[str, Callable[[int], Module] | None] = {
    "no norm": None,
    "batch norm": BatchNorm2d,
    "layer norm": partial(GroupNorm, 1),  # one group: all channels and places of an example
    "group norm": partial(GroupNorm, _GROUPS),
    "instance norm": partial(InstanceNorm2d, affine=True),
}
_OWN = ("layer norm", "group norm", "instance norm")  # those that take statistics of the image itself
_RATE, _BATCH = 0.02, 50
_CONTRASTS = (1.0, 0.5, 0.25, 0.1)


def run(seed: int = 0, quick: bool = False) -> Result:
    """Train the same convnet with each norm and without; then show it the test digits fainter than it ever saw them."""
    data = small_digits(seed)
    repeats, epochs = (1, 3) if quick else (3, 8)
    rows: list[Row] = []
    for name, norm in _NORMS.items():
        learner = Learner(_net(norm), partial(SGD, lr=_RATE, momentum=0.9))
        for start in range(seed, seed + repeats):
            rows += _trained(learner, name, start, data, epochs)
    settings: dict[str, float] = {"seed": seed, "quick": quick, "repeats": repeats, "epochs": epochs}
    settings |= {"lr": _RATE, "momentum": 0.9, "batch_size": _BATCH, "groups": _GROUPS}
    claims = _claims(rows, 0.8 if quick else 0.9)
    return Result(NAME, settings, rows, claims, _sentences(rows, claims), partial(_paint, rows))


def _net(norm: Callable[[int], Module] | None) -> Sequential:
    """Two convolutions, each normalized, rectified and pooled, and a linear layer. Norms bring the bias themselves."""
    model = Sequential()
    for before, channels in ((1, 16), (16, 32)):
        model.append(Conv2d(before, channels, 3, padding=1, bias=norm is None))
        if norm is not None:
            model.append(norm(channels))
        model.append(ReLU())
        model.append(MaxPool2d(2))
    model.append(Flatten())
    return model.append(Linear(32 * 2 * 2, CLASSES))


def _trained(learner: Learner, name: str, seed: int, data: Digits, epochs: int) -> list[Row]:
    learner.start(seed)
    where: Row = {"norm": name, "seed": seed}
    rows: list[Row] = []
    for epoch, loss in enumerate(learner.learn(data.train, epochs, _BATCH, seed)):
        score = learner.score(data.test)
        rows.append({"part": "training", **where, "epoch": epoch + 1, "loss": loss, "accuracy": score.accuracy})
    for contrast in _CONTRASTS:
        faint = Split(data.test.images * np.float32(contrast), data.test.labels)
        rows.append({"part": "contrast", **where, "contrast": contrast, "accuracy": learner.score(faint).accuracy})
    return rows


def _faint(rows: Sequence[Row], name: str, contrast: float) -> float:
    """The median test accuracy of the repeats at this contrast."""
    return float(np.median(pick(rows, "accuracy", norm=name, contrast=contrast)))


def _early(rows: Sequence[Row], name: str) -> float:
    """The median training loss of the second epoch."""
    return float(np.median(pick(rows, "loss", norm=name, epoch=2)))


def _claims(rows: Sequence[Row], least: float) -> list[Claim]:
    normed = [name for name in _NORMS if name != "no norm"]
    slowest = max(_early(rows, name) for name in normed) / _early(rows, "no norm")
    lost = [abs(_faint(rows, name, contrast) - _faint(rows, name, 1.0)) for name in _OWN for contrast in _CONTRASTS]
    quarter = "the test accuracy at a quarter of the contrast"
    return [
        Claim("the lowest test accuracy with a norm", min(_faint(rows, name, 1.0) for name in normed), low=least),
        Claim("the highest training loss of the second epoch with a norm over that without", slowest, high=0.95),
        Claim("the most that layer, group or instance norm's accuracy changes with contrast", max(lost), high=0.02),
        Claim(f"{quarter} with batch norm", _faint(rows, "batch norm", 0.25), high=0.6),
        Claim(f"{quarter} with layer norm", _faint(rows, "layer norm", 0.25), low=least),
    ]


def _sentences(rows: Sequence[Row], claims: Sequence[Claim]) -> tuple[str, str]:
    _, slowest, lost, batch, _ = (claim.value for claim in claims)
    plain = _faint(rows, "no norm", 0.25)
    early = ", ".join(f"{name} {_early(rows, name):.2f}" for name in _NORMS)
    ends = [_faint(rows, name, 1.0) for name in _NORMS]
    return (
        f"With any norm the convnet learns faster (training loss of the second epoch: {early}; at most {slowest:.0%} "
        f"of that without), and all end between {min(ends):.1%} and {max(ends):.1%} on the test, too close to rank.",
        f"With layer, group and instance norm the test accuracy changes by at most {lost:.1%} while contrast falls to "
        f"a tenth, since their statistics are of the image itself; at a quarter of the contrast batch norm, which "
        f"evaluates with those of training, gets {batch:.1%} right and no norm {plain:.1%}.",
    )


def _paint(rows: Sequence[Row], figure: Any) -> None:
    left, middle, right = panels(figure, "Batch, layer, group and instance norm in a small convnet", 3)
    for name, look in zip(_NORMS, looks(), strict=False):
        epochs = sorted(set(pick(rows, "epoch", norm=name)))
        for axes, column in ((left, "loss"), (middle, "accuracy")):
            axes.plot(epochs, [np.median(pick(rows, column, norm=name, epoch=n)) for n in epochs], label=name, **look)
        runs = [pick(rows, "accuracy", norm=name, contrast=contrast) for contrast in _CONTRASTS]
        right.plot(_CONTRASTS, np.median(runs, axis=1), label=name, **look)
        right.fill_between(_CONTRASTS, np.min(runs, axis=1), np.max(runs, axis=1), color=look["color"], alpha=0.2)
    left.set_yscale("log")
    for axes in (left, middle):
        axes.xaxis.get_major_locator().set_params(integer=True)
    right.set_xscale("log")
    right.set_xticks(_CONTRASTS, [f"{contrast:g}" for contrast in _CONTRASTS])
    right.minorticks_off()
    right.invert_xaxis()
    right.set_ylim(0, 1.02)
    share = "share of test digits classified right"
    label(left, "training loss (median)", "epoch", "cross-entropy, nats")
    label(middle, "test accuracy (median)", "epoch", share, None)
    label(right, "fainter test digits (median, range)", "contrast: factor on the pixels", share, None)
