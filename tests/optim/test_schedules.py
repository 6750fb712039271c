"""Schedules against PyTorch's schedulers, step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim
from graphnet.errors import ArgumentError

torch = pytest.importorskip("torch")
schedulers = torch.optim.lr_scheduler

CASES = {
    "step": (optim.step(0.1, 7, 0.3), lambda o: schedulers.StepLR(o, 7, 0.3)),
    "multi_step": (optim.multi_step(0.1, [3, 11, 20], 0.5), lambda o: schedulers.MultiStepLR(o, [3, 11, 20], 0.5)),
    "exponential": (optim.exponential(0.1, 0.9), lambda o: schedulers.ExponentialLR(o, 0.9)),
    "polynomial": (optim.polynomial(0.1, 20, 2.0), lambda o: schedulers.PolynomialLR(o, 20, 2.0)),
    "cosine": (optim.cosine(0.1, 30, 0.01), lambda o: schedulers.CosineAnnealingLR(o, 30, 0.01)),
    "warmup": (optim.linear_warmup(0.1, 10, 0.25), lambda o: schedulers.LinearLR(o, 0.25, total_iters=10)),
    "warmup-cosine": (
        optim.linear_warmup(optim.cosine(0.1, 20), 10),
        lambda o: schedulers.SequentialLR(
            o, [schedulers.LinearLR(o, total_iters=10), schedulers.CosineAnnealingLR(o, 20)], [10]
        ),
    ),
    "restarts": (optim.cosine_warm_restarts(0.1, 7), lambda o: schedulers.CosineAnnealingWarmRestarts(o, 7)),
    "restarts-longer": (
        optim.cosine_warm_restarts(0.1, 3, 2, 0.01),
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.01),
    ),
    "restarts-each-step": (
        optim.cosine_warm_restarts(0.1, T_0=1, T_mult=3),
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 1, 3),
    ),
    "one_cycle": (
        optim.one_cycle(0.1, 40),
        lambda o: schedulers.OneCycleLR(o, 0.1, 40, cycle_momentum=False),
    ),
    "one_cycle-linear": (
        optim.one_cycle(0.1, epochs=4, steps_per_epoch=8, anneal_strategy="linear", pct_start=0.25, div_factor=5.0),
        lambda o: schedulers.OneCycleLR(
            o, 0.1, 32, pct_start=0.25, anneal_strategy="linear", div_factor=5.0, cycle_momentum=False
        ),
    ),
    "one_cycle-three": (
        optim.one_cycle(0.1, 35, pct_start=0.4, final_div_factor=7.0, three_phase=True),
        lambda o: schedulers.OneCycleLR(
            o, 0.1, 35, pct_start=0.4, final_div_factor=7.0, three_phase=True, cycle_momentum=False
        ),
    ),
    "one_cycle-three-linear": (
        optim.one_cycle(0.1, 33, pct_start=0.45, anneal_strategy="linear", three_phase=True),
        lambda o: schedulers.OneCycleLR(
            o, 0.1, 33, pct_start=0.45, anneal_strategy="linear", three_phase=True, cycle_momentum=False
        ),
    ),
    "one_cycle-down": (
        optim.one_cycle(0.1, 31, pct_start=0.0),
        lambda o: schedulers.OneCycleLR(o, 0.1, 31, pct_start=0.0, cycle_momentum=False),
    ),
    "one_cycle-up": (
        optim.one_cycle(0.1, 32, pct_start=1.0),
        lambda o: schedulers.OneCycleLR(o, 0.1, 32, pct_start=1.0, cycle_momentum=False),
    ),
    "sequential": (
        optim.sequential([optim.linear_warmup(0.1, 5, 0.25), optim.exponential(0.1, 0.8), 0.1], [5, 20]),
        lambda o: schedulers.SequentialLR(
            o,
            [
                schedulers.LinearLR(o, 0.25, total_iters=5),
                schedulers.ExponentialLR(o, 0.8),
                schedulers.LambdaLR(o, lambda t: 1.0),
            ],
            [5, 20],
        ),
    ),
    "constant": (optim.constant(0.1), lambda o: schedulers.LambdaLR(o, lambda t: 1.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_step_has_torchs_rate(name):
    schedule, make = CASES[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make(optimizer)
    for t in range(31):
        assert schedule.value(t) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-15), t
        optimizer.step()
        scheduler.step()


def test_cosine_stays_at_its_end():
    assert optim.cosine(0.1, 10, 0.02).value(1000) == pytest.approx(0.02, rel=1e-12)


def test_schedules_print_what_they_are():
    assert str(optim.linear_warmup(optim.cosine(0.1, 20), 10)) == "linear_warmup(cosine(0.1, 20, 0), 10, 0.333333)"


@pytest.mark.parametrize("growth", [2, 3, 7])
def test_warm_restarts_begin_where_they_should_however_late(growth):
    """Where a wave begins, a logarithm may be off by a rounding; the rate there is the highest, just before it low."""
    schedule = optim.cosine_warm_restarts(1.0, 10, growth)
    start, length = 0, 10
    while start < 10**7:
        assert schedule.value(start) == 1.0
        start, length = start + length, length * growth
        assert schedule.value(start - 1) < 0.1


def test_one_cycle_begins_at_the_top_where_it_has_one_step_to_rise_and_stays_at_its_end():
    schedule = optim.one_cycle(0.1, 10, pct_start=0.1)  # PyTorch divides by zero here
    assert schedule.value(0) == 0.1
    for late in (9, 10, 1000):
        assert schedule.value(late) == pytest.approx(0.1 / 25 / 1e4, rel=1e-12)


def test_what_comes_after_a_sequence_starts_at_its_own_beginning():
    schedule = optim.sequential([0.5, optim.step(1.0, 2)], [3])
    assert [schedule.value(t) for t in range(7)] == [0.5, 0.5, 0.5, 1.0, 1.0, 0.1, 0.1]
    assert str(schedule) == "sequential([constant(0.5), step(1, 2, 0.1)], [3])"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.constant(None), "constant: a learning rate must be a number >= 0, got None"),
        (lambda: optim.cosine(-1.0, 10), "cosine: a learning rate must be a number >= 0, got -1.0"),
        (lambda: optim.cosine(0.1, 0), "cosine: steps must be a positive integer, got 0"),
        (lambda: optim.cosine(0.1, 5, math.nan), "cosine: a learning rate must be a number >= 0, got nan"),
        (lambda: optim.step(0.1, 2.5), "step: step_size must be a positive integer, got 2.5"),
        (lambda: optim.step(0.1, 2, "x"), "step: gamma must be a finite number >= 0, got 'x'"),
        (lambda: optim.multi_step(0.1, []), "multi_step: milestones must name at least one step"),
        (lambda: optim.multi_step(0.1, 5), "multi_step: milestones must name at least one step, got 5"),
        (lambda: optim.multi_step(0.1, [0.5]), "multi_step: milestones must be a positive integer, got 0.5"),
        (lambda: optim.multi_step(0.1, [5], -1), "multi_step: gamma must be a finite number >= 0, got -1"),
        (lambda: optim.exponential(0.1, math.inf), "exponential: gamma must be a finite number >= 0, got inf"),
        (lambda: optim.polynomial(0.1, 5, -2), "polynomial: power must be a finite number >= 0, got -2"),
        (lambda: optim.polynomial(0.1, True), "polynomial: steps must be a positive integer, got True"),
        (lambda: optim.linear_warmup(0.1, 10, 0.0), r"start_factor must be a number in \(0, 1\], got 0.0"),
        (lambda: optim.linear_warmup(0.1, 10, "x"), r"start_factor must be a number in \(0, 1\], got 'x'"),
        (lambda: optim.linear_warmup("x", 10), "a learning rate must be a number >= 0, got 'x'"),
        (lambda: optim.cosine_warm_restarts(0.1, 0), "T_0 must be a positive integer, got 0"),
        (lambda: optim.cosine_warm_restarts(0.1, 5, 1.5), "T_mult must be a positive integer, got 1.5"),
        (lambda: optim.cosine_warm_restarts(0.1, 5, 1, -1), "a learning rate must be a number >= 0, got -1"),
        (lambda: optim.one_cycle(0.1), "one_cycle: expected total_steps, or epochs and steps_per_epoch"),
        (lambda: optim.one_cycle(0.1, epochs=3), "one_cycle: expected total_steps, or epochs and steps_per_epoch"),
        (lambda: optim.one_cycle(0.1, 0), "total_steps must be a positive integer, got 0"),
        (lambda: optim.one_cycle(0.1, epochs=2, steps_per_epoch=0), "steps_per_epoch must be a positive integer"),
        (lambda: optim.one_cycle(0.1, 9, pct_start=2), r"pct_start must be a number in \[0, 1\], got 2"),
        (lambda: optim.one_cycle(0.1, 9, anneal_strategy="x"), "anneal_strategy must be one of cos, linear, got 'x'"),
        (lambda: optim.one_cycle(0.1, 9, cycle_momentum=True), "cycle_momentum=True is not supported"),
        (lambda: optim.one_cycle(0.1, 9, div_factor=0), "div_factor must be a number > 0, got 0"),
        (lambda: optim.one_cycle(0.1, 9, final_div_factor=-1), "final_div_factor must be a number > 0, got -1"),
        (lambda: optim.one_cycle(0.1, 9, three_phase=3), "three_phase must be True or False, got 3"),
        (lambda: optim.sequential([], []), "schedules must be a list of at least one"),
        (lambda: optim.sequential([0.1, 0.2], []), "milestones must be 1 different steps"),
        (lambda: optim.sequential([0.1, 0.2, 0.3], [5, 5]), "milestones must be 2 different steps"),
        (lambda: optim.sequential([0.1, 0.2, 0.3], [5, 3]), "milestones must rise"),
        (lambda: optim.sequential([0.1, 0.2], 5), "milestones must be a list of steps, got 5"),
        (lambda: optim.sequential([0.1, "x"], [5]), "a learning rate must be a number >= 0, got 'x'"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_numpys_integers_count_steps():
    five = np.int64(5)
    for numpys, plain in (
        (optim.step(0.1, five), optim.step(0.1, 5)),
        (optim.multi_step(0.1, [five]), optim.multi_step(0.1, [5])),
        (optim.cosine(0.1, steps=five), optim.cosine(0.1, steps=5)),
        (optim.cosine_warm_restarts(0.1, five, np.int64(2)), optim.cosine_warm_restarts(0.1, 5, 2)),
        (optim.one_cycle(0.1, epochs=five, steps_per_epoch=five), optim.one_cycle(0.1, 25)),
        (optim.linear_warmup(0.1, five), optim.linear_warmup(0.1, 5)),
    ):
        assert str(numpys) == str(plain) and numpys.value(7) == plain.value(7)


def test_a_schedule_drives_an_optimizer_by_its_step_counter():
    w = gn.parameter([1.0], "w")
    sgd = optim.SGD([w], lr=optim.step(1.0, 1, 0.5))
    run = gn.compile([], None, sgd.updates(gn.sum(w)))
    values = []
    for _ in range(3):
        run()
        values.append(float(w.value[0]))
    assert values == [0.0, -0.5, -0.75]
