"""A rate that falls when a metric stalls: torch's numbers, set from outside, saved with the optimizer."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim
from graphnet.errors import ArgumentError, WeightsError
from tests.optim.torch_pair import torch

CASES = {
    "default": dict(),
    "patience": dict(patience=0, factor=0.5),
    "max": dict(mode="max", patience=1, factor=0.5, threshold=0.05),
    "abs": dict(threshold_mode="abs", threshold=0.02, patience=1),
    "max-abs": dict(mode="max", threshold_mode="abs", threshold=0.02, patience=2),
    "cooldown": dict(patience=1, cooldown=3, factor=0.5),
    "min_lr": dict(patience=0, factor=0.3, min_lr=0.01),
    "eps": dict(patience=0, factor=0.5, eps=0.02),
    "factor-0": dict(patience=3, factor=0.0, min_lr=0.001),
}


@pytest.mark.parametrize("name", CASES)
def test_rates_are_torchs(name):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **CASES[name])
    ours = optim.ReduceLROnPlateau(0.1, **CASES[name])
    metrics = np.abs(np.random.default_rng(0).normal(size=60)) + np.linspace(1.0, 0.0, 60)
    metrics[[7, 8]] = np.nan, np.inf
    for metric in metrics:
        ours.step(metric)
        theirs.step(metric)
        assert ours.get_last_lr() == optimizer.param_groups[0]["lr"]
        assert [ours.state[n].value for n in ("best", "num_bad_epochs", "cooldown_counter")] == [
            theirs.best, theirs.num_bad_epochs, theirs.cooldown_counter,
        ]  # fmt: skip


def test_a_compiled_step_follows():
    w = gn.parameter([0.0], "w")
    rate = optim.ReduceLROnPlateau(1.0, factor=0.5, patience=0)
    step = gn.compile([], None, optim.SGD([w], lr=rate).updates(gn.sum(w)))
    step()
    rate.step(1.0)
    step()
    rate.step(1.0)
    step()
    assert w.value[0] == -2.5
    assert repr(rate) == "ReduceLROnPlateau(lr=0.5, mode='min', patience=0)"


def test_it_is_saved_with_the_optimizer_and_once_for_groups_that_share_it():
    def make():
        rate = optim.ReduceLROnPlateau(1.0, factor=0.5, patience=1)
        other = optim.ReduceLROnPlateau(2.0)
        a, b, c = (gn.parameter([1.0], name) for name in "abc")
        groups = [{"params": a}, {"params": b}, {"params": c, "lr": other}]
        return rate, optim.Accumulate(optim.SGD(groups, lr=rate), 2)

    rate, optimizer = make()
    for metric in (1.0, 2.0, 3.0, 4.0):
        rate.step(metric)
    state = optimizer.state_dict()
    assert {key: value.item() for key, value in state.items() if key.startswith("plateau")} == {
        "plateau.lr": 0.5, "plateau.best": 1.0, "plateau.num_bad_epochs": 1, "plateau.cooldown_counter": 0,
        "plateau:1.lr": 2.0, "plateau:1.best": np.inf, "plateau:1.num_bad_epochs": 0, "plateau:1.cooldown_counter": 0,
    }  # fmt: skip
    resumed, second = make()
    second.load_state_dict(state)
    for metric in (5.0, 6.0):
        rate.step(metric)
        resumed.step(metric)
        assert resumed.state_dict() == rate.state_dict()
    assert resumed.get_last_lr() == 0.25


def test_it_has_a_state_of_its_own():
    rate, other = optim.ReduceLROnPlateau(1.0, patience=0), optim.ReduceLROnPlateau(1.0, patience=0)
    rate.step(1.0)
    rate.step(1.0)
    other.load_state_dict(rate.state_dict())
    assert other.state_dict() == rate.state_dict()
    with pytest.raises(WeightsError, match="missing: best"):
        other.load_state_dict({"lr": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.ReduceLROnPlateau(-1.0), "lr must be a number >= 0, got -1.0"),
        (lambda: optim.ReduceLROnPlateau(optim.SGD), "lr must be a number >= 0"),
        (lambda: optim.ReduceLROnPlateau(0.1, "least"), "mode must be one of min, max, got 'least'"),
        (lambda: optim.ReduceLROnPlateau(0.1, factor=1.0), r"factor must be a number in \[0, 1\), got 1.0"),
        (lambda: optim.ReduceLROnPlateau(0.1, patience=-1), "patience must be an integer >= 0, got -1"),
        (lambda: optim.ReduceLROnPlateau(0.1, patience=1.5), "patience must be an integer >= 0, got 1.5"),
        (lambda: optim.ReduceLROnPlateau(0.1, threshold=np.nan), "threshold must be a finite number >= 0"),
        (lambda: optim.ReduceLROnPlateau(0.1, threshold_mode="x"), "threshold_mode must be one of rel, abs, got 'x'"),
        (lambda: optim.ReduceLROnPlateau(0.1, cooldown=-1), "cooldown must be an integer >= 0, got -1"),
        (lambda: optim.ReduceLROnPlateau(0.1, min_lr=[0.1]), r"min_lr must be a number >= 0, got \[0.1\]"),
        (lambda: optim.ReduceLROnPlateau(0.1, eps=-1), "eps must be a number >= 0, got -1"),
        (lambda: optim.ReduceLROnPlateau(0.1).step("bad"), "metrics must be a number, got 'bad'"),
        (lambda: optim.ReduceLROnPlateau(0.1).step(None), "metrics must be a number, got None"),
        (lambda: optim.linear_warmup(optim.ReduceLROnPlateau(0.1), 3), "a learning rate must be a number >= 0"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
