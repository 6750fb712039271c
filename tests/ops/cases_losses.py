"""Rows for the losses."""

from __future__ import annotations

from typing import Any

import graphnet as gn
from tests.ops.case import Arg, Case, torch

LOGITS, LABELS = Arg((4, 5)), Arg((4,), "int64", 0, 5)
IMAGE, PIXELS = Arg((2, 3, 2, 2)), Arg((2, 2, 2), "int64", 0, 3)
SOME_IGNORED = Arg((4,), "int64", values=(3, -100, 0, -100))
WEIGHTS = {"weight": (1.0, 2.0, 0.5, 1.5, 1.0)}
POSITIVE = Arg((4, 5), low=0.1)
CHANCES = Arg((4, 5), low=0.2, high=0.8)


def _loss(
    name: str,
    function: str,
    args: tuple[Arg, ...],
    smooth: bool = True,
    factors: dict[str, tuple[float, ...]] | None = None,
    **options: Any,
) -> Case:
    """A loss of the same name and arguments here and in torch, whose `factors` (weights) have no gradient there."""
    constants = factors or {}

    def build(x: Any, t: Any) -> Any:
        given = {key: gn.constant(value, x.dtype) for key, value in constants.items()}
        return getattr(gn, function)(x, t, **given, **options)

    def judge(x: Any, t: Any) -> Any:
        given = {key: torch.tensor(value, dtype=x.dtype) for key, value in constants.items()}
        return getattr(torch.nn.functional, function)(x, t, **given, **options)

    return Case(f"{function.replace('_', '-')}-{name}", build, args, torch=judge, smooth=smooth)


def _reductions(function: str, args: tuple[Arg, ...], **options: Any) -> list[Case]:
    return [_loss(reduction, function, args, reduction=reduction, **options) for reduction in ("mean", "sum", "none")]


CASES = [
    *_reductions("cross_entropy", (LOGITS, LABELS)),
    _loss("default", "cross_entropy", (LOGITS, LABELS)),
    _loss("images", "cross_entropy", (IMAGE, PIXELS)),
    _loss("images-none", "cross_entropy", (IMAGE, PIXELS), reduction="none"),
    _loss("one-example", "cross_entropy", (Arg((5,)), Arg((), "int64", 0, 5)), reduction="none"),
    _loss("int32-labels", "cross_entropy", (LOGITS, Arg((4,), "uint8", 0, 5))),
    _loss("ignored", "cross_entropy", (LOGITS, SOME_IGNORED)),
    _loss("ignored-none", "cross_entropy", (LOGITS, SOME_IGNORED), reduction="none"),
    _loss("ignored-class", "cross_entropy", (IMAGE, PIXELS), ignore_index=1),
    _loss("smoothed", "cross_entropy", (LOGITS, LABELS), label_smoothing=0.1),
    _loss("smoothed-ignored", "cross_entropy", (LOGITS, SOME_IGNORED), label_smoothing=0.3),
    _loss("fully-smoothed", "cross_entropy", (IMAGE, PIXELS), label_smoothing=1.0),
    _loss("weighted", "cross_entropy", (LOGITS, LABELS), factors=WEIGHTS),
    _loss("weighted-ignored", "cross_entropy", (LOGITS, SOME_IGNORED), factors=WEIGHTS, reduction="none"),
    _loss("weighted-smoothed", "cross_entropy", (LOGITS, SOME_IGNORED), factors=WEIGHTS, label_smoothing=0.2),
    _loss("large-logits", "cross_entropy", (Arg((4, 5), low=-900, high=900), LABELS), smooth=False),
    _loss("probabilities", "cross_entropy", (LOGITS, POSITIVE)),
    _loss("probabilities-images", "cross_entropy", (IMAGE, Arg((2, 3, 2, 2), low=0.1)), reduction="sum"),
    _loss("probabilities-one-example", "cross_entropy", (Arg((5,)), Arg((5,), low=0.1)), reduction="none"),
    _loss("probabilities-smoothed", "cross_entropy", (LOGITS, POSITIVE), label_smoothing=0.1),
    _loss("probabilities-weighted", "cross_entropy", (LOGITS, POSITIVE), factors=WEIGHTS, label_smoothing=0.1),
    *_reductions("nll_loss", (LOGITS, LABELS)),
    _loss("images-ignored", "nll_loss", (IMAGE, PIXELS), ignore_index=2),
    _loss("weighted-ignored", "nll_loss", (LOGITS, SOME_IGNORED), factors=WEIGHTS),
    _loss("one-example", "nll_loss", (Arg((5,)), Arg((), "int64", 0, 5))),
    *_reductions("binary_cross_entropy_with_logits", (LOGITS, Arg((4, 5), low=0.0, high=1.0))),
    _loss("weighted", "binary_cross_entropy_with_logits", (LOGITS, POSITIVE), factors=WEIGHTS),
    _loss(
        "pos-weight",
        "binary_cross_entropy_with_logits",
        (LOGITS, POSITIVE),
        factors={"pos_weight": (1.0, 2.0, 0.5, 1.5, 1.0)},
    ),
    _loss("far", "binary_cross_entropy_with_logits", (Arg((4, 5), low=-300, high=300), POSITIVE), smooth=False),
    *_reductions("binary_cross_entropy", (CHANCES, CHANCES)),
    _loss("weighted", "binary_cross_entropy", (CHANCES, CHANCES), factors=WEIGHTS),
    _loss("sum", "kl_div", (LOGITS, POSITIVE), reduction="sum"),
    _loss("none", "kl_div", (LOGITS, POSITIVE), reduction="none"),
    _loss("batchmean", "kl_div", (LOGITS, POSITIVE), reduction="batchmean"),
    _loss("logarithms", "kl_div", (LOGITS, LOGITS), reduction="batchmean", log_target=True),
    *_reductions("mse_loss", (LOGITS, LOGITS)),
    *_reductions("l1_loss", (LOGITS, LOGITS)),
    *_reductions("huber_loss", (LOGITS, LOGITS)),
    _loss("delta", "huber_loss", (LOGITS, LOGITS), delta=0.4),
    *_reductions("smooth_l1_loss", (LOGITS, LOGITS), beta=0.7),
    _loss("beta-0", "smooth_l1_loss", (LOGITS, LOGITS), beta=0.0),
    *_reductions("multi_margin_loss", (LOGITS, LABELS)),
    _loss("squared", "multi_margin_loss", (LOGITS, LABELS), p=2, margin=0.6),
    _loss("weighted", "multi_margin_loss", (LOGITS, LABELS), factors=WEIGHTS),
]
