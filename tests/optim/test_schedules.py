"""Schedules against PyTorch's schedulers, step by step."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.cosine(-1.0, 10),
        lambda: optim.cosine(0.1, 0),
        lambda: optim.step(0.1, 2.5),
        lambda: optim.multi_step(0.1, []),
        lambda: optim.linear_warmup(0.1, 10, 0.0),
    ],
)
def test_arguments_without_meaning_are_refused(make):
    with pytest.raises(ArgumentError):
        make()


def test_a_schedule_drives_an_optimizer_by_its_step_counter():
    w = gn.parameter([1.0], "w")
    sgd = optim.SGD([w], lr=optim.step(1.0, 1, 0.5))
    run = gn.compile([], None, sgd.updates(gn.sum(w)))
    values = []
    for _ in range(3):
        run()
        values.append(float(w.value[0]))
    assert values == [0.0, -0.5, -0.75]
