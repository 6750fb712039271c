"""Times of steps, as numbers and as a table."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.profile import Profile


def test_a_profile_times_each_step_and_changes_nothing():
    x = gn.input("x", ("N", 3))
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    step = gn.compile(x, gn.sum(model(x)))
    before = model.state_dict()
    profile = step.profile(np.ones((5, 3), np.float32), repeats=3)
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())
    assert tuple(profile.steps) == step.schedule.steps and all(seconds > 0 for seconds in profile.seconds)
    assert profile.total == pytest.approx(sum(profile.of(node) for node in profile.steps))
    assert 2 in step.profile(x=np.ones((2, 3), np.float32), repeats=1).steps[0].shape  # it may lie transposed


def test_a_failing_profile_puts_parameters_back():
    labels = gn.input("labels", (2,), "int64")
    w = gn.parameter(np.zeros(3, np.float32), "w")
    step = gn.compile(labels, gn.one_hot(labels, 3), gn.assign(w, w + 1.0))
    with pytest.raises(gn.DataError):
        step.profile(np.array([0, 5]))
    assert w.value.tolist() == [0, 0, 0]


def test_text_is_sorted_by_time():
    x = gn.input("timed", (2,))
    steps = [gn.exp(x), gn.sin(x), gn.cos(x)]
    lines = str(Profile(steps, [1e-6, 3e-6, 6e-6])).splitlines()
    assert lines[0] == "3 steps, 0.010 ms"
    assert re.match(r" +6\.0 us +60\.0% +2 cos float32\[2\]  forward +\S*test_profile\.py:\d+$", lines[1])
    assert [line.split()[4] for line in lines[1:]] == ["cos", "sin", "exp"]


def test_nothing_to_time():
    x = gn.input("x", (2,))
    assert str(gn.compile(x, None).profile(np.ones(2, np.float32))) == "0 steps, 0.000 ms"
