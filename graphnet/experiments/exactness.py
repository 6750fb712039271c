"""Why the constant in a log matters: gradients of -log(p + 1e-6) beside those of log-sum-exp, in single precision.

One logit is right, the other leads it by a gap d, so p = 1 / (1 + exp(d)). The loss is log(1 + exp(d)) and its
gradient by the right logit is -1 / (1 + exp(-d)), near -1 for a confident mistake. With a constant c in the log the
gradient is multiplied by p / (p + c): it is halved at d = -log(c), and beyond that a mistake teaches nothing. Without
the constant p itself underflows. The reference is those two formulas in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from graphnet.autodiff import gradients
from graphnet.compiler import compile
from graphnet.experiments.learning import Learner, dense, small_digits
from graphnet.experiments.picture import label, looks, panels
from graphnet.experiments.result import Claim, Result, Row, pick
from graphnet.graph.node import Node
from graphnet.ops.indexing import take_along_axis
from graphnet.ops.layout import expand_dims
from graphnet.ops.losses import cross_entropy
from graphnet.ops.reductions import mean, softmax
from graphnet.ops.shaping import sum
from graphnet.ops.sources import input
from graphnet.ops.unary import log
from graphnet.optim import SGD
from graphnet.training import Digits

NAME = "exactness"
_CONSTANT = 1e-6
_MOST_GAP, _STEP = 112.0, 0.25  # exp(-d) is 0 in float32 from 104 on


_TRAINED = ("log(p + 1e-6)", "log(p + 1e-12)", "log-sum-exp")
_STD, _RATE = 2.0, 0.1  # first scores are then some tens apart


def _log_of_probability(constant: float, scores: Node, labels: Node) -> Node:
    """-log(p + constant) of each example, as one would write it down."""
    p = take_along_axis(softmax(scores, 1), expand_dims(labels, 1), 1)
    return -log(p + constant if constant else p)


def _log_sum_exp(scores: Node, labels: Node) -> Node:
    return cross_entropy(scores, labels, reduction="none")


# Each way with whether the compiler may rewrite what is written.
_WAYS: dict[str, tuple[Callable[[Node, Node], Node], bool]] = {
    "log(p + 1e-6)": (partial(_log_of_probability, _CONSTANT), True),
    "log(p + 1e-12)": (partial(_log_of_probability, _CONSTANT**2), True),
    "log(p), run as written": (partial(_log_of_probability, 0.0), False),
    "log(p), as compiled": (partial(_log_of_probability, 0.0), True),
    "log-sum-exp": (_log_sum_exp, True),
}


def run(seed: int = 0, quick: bool = False) -> Result:
    """Loss and gradient by each way over the gaps; then a network that starts confidently wrong."""
    rows = [row for way in _WAYS for row in _measured(way)]
    data = small_digits(seed)
    epochs, repeats = (5, 1) if quick else (10, 5)
    for way in _TRAINED:
        learner = Learner(dense([100]), partial(SGD, lr=_RATE), partial(_mean_loss, way))
        for repeat in range(seed, seed + repeats):
            rows += _trained(learner, way, data, repeat, epochs)
    settings: dict[str, float] = {"seed": seed, "quick": quick, "repeats": repeats, "epochs": epochs}
    settings |= {"std": _STD, "lr": _RATE, "batch_size": 50}
    claims = _claims(rows, epochs)
    return Result(NAME, settings, rows, claims, _sentences(rows, claims, epochs), partial(_paint, rows))


def _mean_loss(way: str, scores: Node, labels: Node) -> Node:
    return mean(_WAYS[way][0](scores, labels))


def _measured(way: str) -> list[Row]:
    """Loss, and gradient by the right logit, for each gap; logit 0 is right and 0, logit 1 is the gap."""
    loss_of, rewrite = _WAYS[way]
    gaps = np.arange(0.0, _MOST_GAP, _STEP)
    scores, labels = input("scores", ("N", 2)), input("labels", ("N",), "int64")
    losses = loss_of(scores, labels)
    (gradient,) = gradients(sum(losses), [scores])
    measure = compile([scores, labels], [losses, gradient[:, 0]], rewrite=rewrite)
    fed = np.stack([np.zeros_like(gaps), gaps], axis=1).astype(np.float32)  # quarters are exact in float32
    loss, slope = (array.reshape(-1).astype(np.float64) for array in measure(fed, np.zeros(len(gaps), np.int64)))
    error = np.abs(slope - exact_gradient(gaps)) / np.abs(exact_gradient(gaps))
    columns = {"gap": gaps, "exact": exact_loss(gaps), "loss": loss, "gradient": slope, "error": error}
    where: Row = {"part": "gap", "way": way}
    return [where | {name: float(values[i]) for name, values in columns.items()} for i in range(len(gaps))]


def exact_loss(gap: np.ndarray) -> np.ndarray:
    """log(1 + exp(gap)), in double precision."""
    return np.logaddexp(0.0, gap)


def exact_gradient(gap: np.ndarray) -> np.ndarray:
    """-1 / (1 + exp(-gap)): the loss by the right logit, in double precision."""
    return -1 / (1 + np.exp(-gap))


def _trained(learner: Learner, way: str, data: Digits, seed: int, epochs: int) -> list[Row]:
    """The test accuracy before training and after each epoch."""
    learner.start(seed, std=_STD)
    where: Row = {"part": "training", "way": way, "seed": seed}
    rows: list[Row] = [{**where, "epoch": 0, "accuracy": learner.score(data.test).accuracy}]
    for epoch, _ in enumerate(learner.learn(data.train, epochs, 50, seed)):
        rows.append({**where, "epoch": epoch + 1, "accuracy": learner.score(data.test).accuracy})
    return rows


def _halved(rows: Sequence[Row], way: str) -> float:
    """The gap from which on the gradient is less than half of the exact one."""
    gaps, errors = pick(rows, "gap", way=way), pick(rows, "error", way=way)
    return float(next(gap for gap, error in zip(gaps, errors, strict=True) if error > 0.5))


def _worst(rows: Sequence[Row], way: str, below: float = _MOST_GAP) -> float:
    """The largest relative error of the gradient; infinite where there is a NaN."""
    gaps, errors = pick(rows, "gap", way=way), pick(rows, "error", way=way)
    found = [error for gap, error in zip(gaps, errors, strict=True) if gap < below]
    return float(np.nan_to_num(np.max(found), nan=np.inf))


def _claims(rows: Sequence[Row], epochs: int) -> list[Claim]:
    ends = {way: np.array(pick(rows, "accuracy", way=way, epoch=epochs)) for way in _TRAINED}
    lost = [way for way in _WAYS if not math.isfinite(_worst(rows, way))]
    at_40 = pick(rows, "error", way="log(p + 1e-6)", gap=40.0)[0]
    right, less = np.median(ends["log-sum-exp"]), np.median(ends["log-sum-exp"] - ends["log(p + 1e-6)"])
    halved, precision = "the gap at which the gradient is halved by a constant of", 2 * float(np.finfo(np.float32).eps)
    return [
        Claim("the largest relative error of the gradient of log-sum-exp", _worst(rows, "log-sum-exp"), high=precision),
        Claim("that of log(p), which the compiler rewrites", _worst(rows, "log(p), as compiled"), high=precision),
        Claim(f"{halved} 1e-6", _halved(rows, "log(p + 1e-6)"), -math.log(1e-6) - _STEP, -math.log(1e-6) + _STEP),
        Claim(f"{halved} 1e-12", _halved(rows, "log(p + 1e-12)"), -math.log(1e-12) - _STEP, -math.log(1e-12) + _STEP),
        Claim("the relative error with 1e-6 at a gap of 40", at_40, low=0.99999),
        Claim("the number of ways whose gradient becomes NaN: log(p), run as written", len(lost), 1, 1),
        Claim("the test accuracy after training by log-sum-exp", float(right), low=0.8),
        Claim("how much lower it is by log(p + 1e-6)", float(less), low=0.2),
    ]


def _sentences(rows: Sequence[Row], claims: Sequence[Claim], epochs: int) -> tuple[str, str]:
    by_sums, by_rule, half, half_of_smaller, *_, right, _ = (claim.value for claim in claims)
    wrong, smaller = (float(np.median(pick(rows, "accuracy", way=way, epoch=epochs))) for way in _TRAINED[:2])
    return (
        f"The gradient of log(p + 1e-6) is halved where the wrong logit leads by {half:g} and gone beyond (1e-12 only "
        f"moves that to {half_of_smaller:g}), while that of log-sum-exp is exact to {by_sums:.1e} at every gap to "
        f"{_MOST_GAP:g}, as is log(p) once the compiler has rewritten it ({by_rule:.1e}; as written it ends in NaN).",
        f"So a network that starts confidently wrong has a test accuracy of {right:.1%} after {epochs} epochs of "
        f"log-sum-exp, and of {wrong:.1%} with 1e-6 in the log ({smaller:.1%} with 1e-12): its mistakes teach nothing.",
    )


def _paint(rows: Sequence[Row], figure: Any) -> None:
    left, middle, right = panels(figure, "The constant in a log, float32, beside exact formulas", 3)
    styles = dict(zip(_WAYS, looks(), strict=False))
    gaps = np.array(pick(rows, "gap", way="log-sum-exp"))
    left.plot(gaps, exact_loss(gaps), color="0.75", linewidth=6, label="exact")
    for way, look in styles.items():
        dots = look | {"markevery": (8 * list(_WAYS).index(way), 48)}
        left.plot(gaps, pick(rows, "loss", way=way), label=way, **dots)
        middle.plot(gaps, np.maximum(pick(rows, "error", way=way), 1e-9), label=way, **dots)
    first = gaps[np.isnan(pick(rows, "error", way="log(p), run as written"))].min()
    arrow = {"arrowstyle": "->"}
    middle.annotate("as written: NaN", (first, 1e-9), (first, 3e-6), fontsize=8, ha="right", arrowprops=arrow)
    middle.set_yscale("log")
    middle.set_ylim(3e-10, 1e5)  # room for the legend
    gap = "how far a wrong logit leads the right one, d"
    label(left, "loss", gap, "-log p, nats")
    error = "relative error of the gradient"
    label(middle, "gradient by the right logit (no error is drawn as 1e-9)", gap, error)
    for way in _TRAINED:
        epochs = sorted(set(pick(rows, "epoch", way=way)))
        runs = [pick(rows, "accuracy", way=way, epoch=epoch) for epoch in epochs]
        right.plot(epochs, np.median(runs, axis=1), label=way, **styles[way])
        right.fill_between(epochs, np.min(runs, axis=1), np.max(runs, axis=1), color=styles[way]["color"], alpha=0.2)
    right.set_ylim(0, 1.02)
    right.xaxis.get_major_locator().set_params(integer=True)
    label(right, "training from confident mistakes (median, range)", "epoch", "share of test digits classified right")
