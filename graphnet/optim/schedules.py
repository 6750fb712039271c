"""Learning rates as nodes of the step counter. Names and formulas follow `torch.optim.lr_scheduler`.

The value at step t is the one that PyTorch's scheduler has after t calls of its `step`: the first step sees t = 0.
All of it is float64 scalar work, so it costs nothing beside the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.ops.comparison import greater_equal, maximum, minimum
from graphnet.ops.evaluate import evaluate
from graphnet.ops.powers import power
from graphnet.ops.shaping import cast
from graphnet.ops.sources import constant
from graphnet.ops.unary import cos, floor


@dataclass(frozen=True)
class Schedule:
    """A learning rate that depends on how many steps were made before: an optimizer's `lr`.

    text: how it prints. rule: the number of steps made, a float64 scalar node, to the rate, a float64 scalar node.
    """

    text: str
    rule: Callable[[Node], Node] = field(repr=False)

    def __call__(self, step: Node) -> Node:
        """The rate as a float64 scalar node; `step` is an integer or floating-point scalar node."""
        return self.rule(cast(step, "float64"))

    def value(self, step: int) -> float:
        """The rate after `step` steps, as a number, to look at or plot."""
        return float(evaluate([self(constant(step))], {})[0])

    def __str__(self) -> str:
        return self.text


def constant_rate(lr: float) -> Schedule:
    """lr, always."""
    _check_rate("constant", lr)
    return Schedule(f"constant({lr:g})", lambda t: constant(lr, "float64"))


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """lr * gamma ** (t // step_size): StepLR."""
    _check_rate("step", lr)
    _check_count("step", "step_size", step_size)
    return Schedule(f"step({lr:g}, {step_size}, {gamma:g})", lambda t: lr * power(gamma, floor(t / step_size)))


def multi_step(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """lr * gamma ** (how many milestones are <= t): MultiStepLR."""
    _check_rate("multi_step", lr)
    if not milestones:
        raise ArgumentError("multi_step: milestones must name at least one step")

    def rule(t: Node) -> Node:
        passed = constant(0.0, "float64")
        for milestone in milestones:
            passed = passed + cast(greater_equal(t, float(milestone)), "float64")
        return lr * power(gamma, passed)

    return Schedule(f"multi_step({lr:g}, {list(milestones)}, {gamma:g})", rule)


def exponential(lr: float, gamma: float) -> Schedule:
    """lr * gamma ** t: ExponentialLR."""
    _check_rate("exponential", lr)
    return Schedule(f"exponential({lr:g}, {gamma:g})", lambda t: lr * power(gamma, t))


def polynomial(lr: float, steps: int, power: float = 1.0) -> Schedule:
    """lr * (1 - min(t, steps) / steps) ** power: PolynomialLR."""
    _check_rate("polynomial", lr)
    _check_count("polynomial", "steps", steps)
    return Schedule(
        f"polynomial({lr:g}, {steps}, {power:g})", lambda t: lr * (1.0 - minimum(t, float(steps)) / steps) ** power
    )


def cosine(lr: float, steps: int, eta_min: float = 0.0) -> Schedule:
    """eta_min + (lr - eta_min) * (1 + cos(pi * t / steps)) / 2, then eta_min.

    CosineAnnealingLR up to `steps`; where PyTorch's would rise again, this one stays. Loshchilov and Hutter, 2017.
    """
    _check_rate("cosine", lr)
    _check_rate("cosine", eta_min)
    _check_count("cosine", "steps", steps)

    def rule(t: Node) -> Node:
        return eta_min + (lr - eta_min) * 0.5 * (1.0 + cos(minimum(t, float(steps)) * (math.pi / steps)))

    return Schedule(f"cosine({lr:g}, {steps}, {eta_min:g})", rule)


def linear_warmup(lr: float | Schedule, steps: int, start_factor: float = 1 / 3) -> Schedule:
    """From start_factor * lr up to lr in `steps` steps; then the schedule `lr` begins, as at its own step 0.

    LinearLR(start_factor, total_iters=steps) for a number, SequentialLR of that and the schedule otherwise.
    """
    after = lr if isinstance(lr, Schedule) else constant_rate(lr)
    _check_count("linear_warmup", "steps", steps)
    if not 0 < start_factor <= 1:
        raise ArgumentError(f"linear_warmup: start_factor must be in (0, 1], got {start_factor}")

    def rule(t: Node) -> Node:
        factor = start_factor + (1.0 - start_factor) * (minimum(t, float(steps)) / steps)
        return factor * after.rule(maximum(t - float(steps), 0.0))

    return Schedule(f"linear_warmup({after}, {steps}, {start_factor:g})", rule)


def _check_rate(name: str, lr: float) -> None:
    if isinstance(lr, bool) or not isinstance(lr, (int, float, np.floating)) or not 0 <= lr < math.inf:
        raise ArgumentError(f"{name}: a learning rate must be a number >= 0, got {lr!r}")


def _check_count(name: str, argument: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{name}: {argument} must be a positive integer, got {value!r}")
