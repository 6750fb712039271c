"""Whether two rivals did the same work: results are compared before times are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphnet.cli.rivals import TRAIN

LOSS_BOUNDS = (1e-4, 1e-3, 1e-2, 1e-2, 1e-2)
OUTPUT_BOUND = 1e-3
MOVE_BOUND = 0.1
BUFFER_BOUND = 2e-3
_NOISE = 1e-5
BOUNDS = {
    "losses of the first five steps, each relative to the referee's": LOSS_BOUNDS,
    "weights' moves in the first step, each array's as a whole, relative to the referee's": MOVE_BOUND,
    "running statistics after the first step, relative to the largest": BUFFER_BOUND,
    "outputs, relative to the largest": OUTPUT_BOUND,
}
"""How far apart float32 results may be. A sum in another order moves a loss by some 1e-6 of itself. From there on
differences grow: a rounding opens a ReLU, a small batch is normalized by its own variance, Adam makes steps of the same
length of all gradients, tiny ones too; NumPy's kernels and torch's, both right, were seen 3e-3 apart after five steps
of a ResNet on batches of four. A wrong gradient shows in the first step's moves, whatever the losses say."""


def disagreement(mode: str, wanted: Mapping[str, Any], got: Mapping[str, Any]) -> str | None:
    """What differs beyond the bounds between what the referee and another gave for the same steps; None for nothing."""
    if got["digest"] != wanted["digest"]:
        return "it began with other weights or batches"
    if mode != TRAIN:
        return _outputs_differ(wanted["results"], got["results"])
    steps = zip(wanted["results"], got["results"], LOSS_BOUNDS, strict=True)
    for step, ((true,), (loss,), bound) in enumerate(steps, 1):
        if not abs(float(loss) - float(true)) <= bound * abs(float(true)):
            return f"the loss of step {step} is {float(loss):.6g}, not {float(true):.6g}"
    return _moves_differ(wanted, got) or _buffers_differ(wanted, got)


def _outputs_differ(wanted: list[list[np.ndarray]], got: list[list[np.ndarray]]) -> str | None:
    for step, (truths, results) in enumerate(zip(wanted, got, strict=True), 1):
        for true, result in zip(truths, results, strict=True):
            scale = float(np.abs(true).max(initial=1e-6))
            if result.shape != true.shape or not np.allclose(result, true, rtol=0, atol=OUTPUT_BOUND * scale):
                apart = "of another shape" if result.shape != true.shape else _farthest(result, true, scale)
                return f"an output of batch {step} is {apart}"
    return None


def _moves_differ(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> str | None:
    """Of each array of weights, how it moved in the first step.

    Left out are elements whose gradient is nothing but rounding, which Adam's first step makes as long as any other;
    and the rounding of the weights themselves is allowed for.
    """
    found = wanted["gradients"]
    largest = max((float(np.abs(g).max(initial=0)) for g in found.values()), default=0.0)
    for name, gradient in found.items():
        counts = np.abs(gradient) > _NOISE * largest
        if name not in got["after"] or not counts.any():
            continue
        before, after = wanted["before"][name], wanted["after"][name]
        true, move = (after - before)[counts], (got["after"][name] - before)[counts]
        rounding = 2.0**-22 * float(np.linalg.norm(before[counts]))
        apart, length = float(np.linalg.norm(move - true)), float(np.linalg.norm(true))
        if not apart <= MOVE_BOUND * length + rounding:
            return f"the first step moved {name} otherwise: {apart:.3g} beside a move of {length:.3g}"
    return None


def _buffers_differ(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> str | None:
    for name, true in wanted["after"].items():
        if name in wanted["gradients"] or name not in got["after"]:
            continue
        scale, result = float(np.abs(true).max(initial=1e-6)), got["after"][name]
        if not np.allclose(result, true, rtol=0, atol=BUFFER_BOUND * scale):
            return f"{name} after the first step is {_farthest(result, true, scale)}"
    return None


def _farthest(result: np.ndarray, true: np.ndarray, scale: float) -> str:
    return f"off by up to {float(np.abs(result - true).max()) / scale:.3g} of the largest"
