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
from graphnet.nn.arguments import flag, fraction, number, one_of, positive, refuse
from graphnet.ops.comparison import greater, greater_equal, less, less_equal, maximum, minimum, where
from graphnet.ops.elementwise import remainder
from graphnet.ops.evaluate import evaluate
from graphnet.ops.powers import power
from graphnet.ops.shaping import cast
from graphnet.ops.sources import constant
from graphnet.ops.unary import cos, floor, log


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
    step_size = positive("step", "step_size", step_size)
    _check_number("step", "gamma", gamma)
    return Schedule(f"step({lr:g}, {step_size}, {gamma:g})", lambda t: lr * power(gamma, floor(t / step_size)))


def multi_step(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """lr * gamma ** (how many milestones are <= t): MultiStepLR."""
    _check_rate("multi_step", lr)
    _check_number("multi_step", "gamma", gamma)
    if not isinstance(milestones, (list, tuple)) or not milestones:
        raise ArgumentError(f"multi_step: milestones must name at least one step, got {milestones!r}")
    milestones = [positive("multi_step", "milestones", milestone) for milestone in milestones]

    def rule(t: Node) -> Node:
        passed = constant(0.0, "float64")
        for milestone in milestones:
            passed = passed + cast(greater_equal(t, float(milestone)), "float64")
        return lr * power(gamma, passed)

    return Schedule(f"multi_step({lr:g}, {milestones}, {gamma:g})", rule)


def exponential(lr: float, gamma: float) -> Schedule:
    """lr * gamma ** t: ExponentialLR."""
    _check_rate("exponential", lr)
    _check_number("exponential", "gamma", gamma)
    return Schedule(f"exponential({lr:g}, {gamma:g})", lambda t: lr * power(gamma, t))


def polynomial(lr: float, steps: int, power: float = 1.0) -> Schedule:
    """lr * (1 - min(t, steps) / steps) ** power: PolynomialLR."""
    _check_rate("polynomial", lr)
    steps = positive("polynomial", "steps", steps)
    _check_number("polynomial", "power", power)
    return Schedule(
        f"polynomial({lr:g}, {steps}, {power:g})", lambda t: lr * (1.0 - minimum(t, float(steps)) / steps) ** power
    )


def cosine(lr: float, steps: int, eta_min: float = 0.0) -> Schedule:
    """eta_min + (lr - eta_min) * (1 + cos(pi * t / steps)) / 2, then eta_min.

    CosineAnnealingLR up to `steps`; where PyTorch's would rise again, this one stays. Loshchilov and Hutter, 2017.
    """
    _check_rate("cosine", lr)
    _check_rate("cosine", eta_min)
    steps = positive("cosine", "steps", steps)

    def rule(t: Node) -> Node:
        return eta_min + (lr - eta_min) * 0.5 * (1.0 + cos(minimum(t, float(steps)) * (math.pi / steps)))

    return Schedule(f"cosine({lr:g}, {steps}, {eta_min:g})", rule)


def linear_warmup(lr: float | Schedule, steps: int, start_factor: float = 1 / 3) -> Schedule:
    """From start_factor * lr up to lr in `steps` steps; then the schedule `lr` begins, as at its own step 0.

    LinearLR(start_factor, total_iters=steps) for a number, SequentialLR of that and the schedule otherwise.
    """
    after = lr if isinstance(lr, Schedule) else constant_rate(lr)
    steps = positive("linear_warmup", "steps", steps)
    good = isinstance(start_factor, (int, float, np.floating)) and not isinstance(start_factor, bool)
    if not good or not 0 < start_factor <= 1:
        raise ArgumentError(f"linear_warmup: start_factor must be a number in (0, 1], got {start_factor!r}")

    def rule(t: Node) -> Node:
        factor = start_factor + (1.0 - start_factor) * (minimum(t, float(steps)) / steps)
        return factor * after.rule(maximum(t - float(steps), 0.0))

    return Schedule(f"linear_warmup({after}, {steps}, {start_factor:g})", rule)


def cosine_warm_restarts(lr: float, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> Schedule:  # noqa: N803
    """`cosine` again and again: the first time in T_0 steps, each other in T_mult times as many as the one before.

    CosineAnnealingWarmRestarts. Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """
    name = "cosine_warm_restarts"
    _check_rate(name, lr)
    _check_rate(name, eta_min)
    positive(name, "T_0", T_0)
    positive(name, "T_mult", T_mult)

    def start(wave: Node) -> Node:
        """The step at which a wave begins: T_0 * (1 + T_mult + T_mult**2 + ...)."""
        return (floor(power(float(T_mult), wave) + 0.5) - 1.0) * (T_0 / (T_mult - 1))

    def rule(t: Node) -> Node:
        if T_mult == 1:
            passed, length = remainder(t, float(T_0)), constant(float(T_0), "float64")
        else:
            guess = floor(log(t * ((T_mult - 1) / T_0) + 1.0) * (1.0 / math.log(T_mult)))
            # The logarithm may be off by a rounding where a wave begins, and the guess by one.
            wave = guess - cast(greater(start(guess), t), "float64")
            wave = wave + cast(greater_equal(t, start(wave + 1.0)), "float64")
            passed, length = t - start(wave), power(float(T_mult), wave) * float(T_0)
        return eta_min + (lr - eta_min) * 0.5 * (1.0 + cos(passed / length * math.pi))

    return Schedule(f"cosine_warm_restarts({lr:g}, {T_0}, {T_mult}, {eta_min:g})", rule)


def one_cycle(
    max_lr: float,
    total_steps: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    cycle_momentum: bool = False,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """From max_lr / div_factor up to max_lr in the share pct_start of the steps, then down to a final_div_factor-th of
    where it began; three_phase: down to where it began in as many steps as up, then to the end. OneCycleLR.

    After total_steps, which may be given as epochs and steps_per_epoch, it stays. anneal_strategy is "cos" or
    "linear". PyTorch's cycle of the momentum is not there. Smith and Topin, "Super-convergence", 2018.
    """
    name = "one_cycle"
    _check_rate(name, max_lr)
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ArgumentError(f"{name}: expected total_steps, or epochs and steps_per_epoch")
        total_steps = positive(name, "epochs", epochs) * positive(name, "steps_per_epoch", steps_per_epoch)
    total_steps = positive(name, "total_steps", total_steps)
    fraction(name, "pct_start", pct_start)
    one_of(name, "anneal_strategy", anneal_strategy, ("cos", "linear"))
    refuse(name, "cycle_momentum", cycle_momentum, False, "an optimizer's momentum is a number")
    for argument, factor in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
        if isinstance(factor, bool) or not isinstance(factor, (int, float, np.floating)) or not factor > 0:
            raise ArgumentError(f"{name}: {argument} must be a number > 0, got {factor!r}")
    first = max_lr / div_factor
    ends = [(pct_start * total_steps - 1, max_lr), (total_steps - 1.0, first / final_div_factor)]
    if flag(name, "three_phase", three_phase):
        ends.insert(1, (2 * pct_start * total_steps - 2, first))

    return Schedule(f"one_cycle({max_lr:g}, {total_steps})", lambda t: _phases(t, first, ends, anneal_strategy))


def _phases(t: Node, rate: float, ends: Sequence[tuple[float, float]], anneal_strategy: str) -> Node:
    """The rate at step t that starts as `rate` and goes to that of each (step, rate) of `ends`, where it then stays."""
    t = minimum(t, ends[-1][0])
    begin, phases = 0.0, []
    for end, goal in ends:
        share = (t - begin) / (end - begin) if end > begin else constant(1.0, "float64")
        if anneal_strategy == "cos":
            share = 0.5 - 0.5 * cos(share * math.pi)
        phases.append((end, rate + (goal - rate) * share))
        begin, rate = end, goal
    value = phases[-1][1]
    for end, within in reversed(phases[:-1]):
        value = where(less_equal(t, end), within, value)
    return value


def sequential(schedules: Sequence[float | Schedule], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other: the second begins, as at its own step 0, at step milestones[0], and so on.

    SequentialLR. A number among the schedules is that rate.
    """
    if not isinstance(schedules, (list, tuple)) or not schedules:
        raise ArgumentError(f"sequential: schedules must be a list of at least one, got {schedules!r}")
    parts = [part if isinstance(part, Schedule) else constant_rate(part) for part in schedules]
    steps = _check_milestones("sequential", milestones)
    if len(steps) != len(parts) - 1 or len(set(steps)) != len(steps):
        wanted = f"{len(parts) - 1} different steps, one between each two schedules"
        raise ArgumentError(f"sequential: milestones must be {wanted}, got {milestones!r}")

    def rule(t: Node) -> Node:
        value = parts[0].rule(t)
        for start, part in zip(steps, parts[1:], strict=True):
            value = where(less(t, float(start)), value, part.rule(maximum(t - float(start), 0.0)))
        return value

    return Schedule(f"sequential([{', '.join(map(str, parts))}], {steps})", rule)


def _check_milestones(name: str, milestones: Sequence[int]) -> list[int]:
    """`milestones` as positive integers that rise. Raises `ArgumentError`."""
    if not isinstance(milestones, (list, tuple)):
        raise ArgumentError(f"{name}: milestones must be a list of steps, got {milestones!r}")
    listed = [positive(name, "milestones", milestone) for milestone in milestones]
    if listed != sorted(listed):
        raise ArgumentError(f"{name}: milestones must rise, got {milestones!r}")
    return listed


def _check_number(name: str, argument: str, value: float) -> float:
    """`value`, a finite number of at least 0. Raises `ArgumentError`."""
    return number(name, argument, value, least=0.0)


def _check_rate(name: str, lr: float) -> None:
    if isinstance(lr, bool) or not isinstance(lr, (int, float, np.floating)) or not 0 <= lr < math.inf:
        raise ArgumentError(f"{name}: a learning rate must be a number >= 0, got {lr!r}")
