"""Overfitting a few samples: what a sound model is told, and what is found in broken ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError
from graphnet.training import can_overfit

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 6)).astype("float32"), RNG.integers(0, 4, 12)


def fast(parameters):
    return optim.Adam(parameters, lr=0.02)


def net(*layers):
    return lambda: nn.Sequential(nn.Linear(6, 32), *layers, nn.ReLU(), nn.Linear(32, 4))


def check(builder, loss=gn.cross_entropy, batch=(X, Y), **options):
    return can_overfit(builder, loss, batch, **{"optimizer": fast, "steps": 60, "classes": 4, **options})


def test_a_sound_net_learns_a_few_samples_by_heart():
    found = check(net(nn.BatchNorm1d(32)))
    assert found.could and found.sound
    assert found.first_loss == pytest.approx(math.log(4), rel=0.5) and found.expected_loss == math.log(4)
    assert found.reached_loss < 0.1 * found.first_loss and len(found.losses) == 60
    text = str(found)
    assert "log(classes) is 1.386: as it should be" in text and "it learned them by heart" in text
    assert "after 60 steps on 12 samples" in text and "every parameter has one" in text


def test_the_same_seed_gives_the_same_report():
    assert str(check(net(nn.Dropout(0.2)), seed=3)) == str(check(net(nn.Dropout(0.2)), seed=3))


class Blind(nn.Module):
    """Sees nothing of its input; one layer is never used, another is behind a product with zero."""

    def __init__(self):
        super().__init__()
        self.used, self.unused, self.dead = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x):
        return self.used(x * 0.0) + self.dead(x) * 0.0


def test_what_gets_no_gradient_is_named():
    found = check(Blind)
    assert not found.could and not found.sound
    assert found.zero == ["used.weight", "dead.weight", "dead.bias"]
    assert found.unused == ["unused.weight", "unused.bias"]
    assert not found.nan
    text = str(found)
    assert "it could NOT learn them" in text
    assert "zero gradients in the first 5 steps: used.weight, dead.weight, dead.bias" in text
    assert "the loss does not depend on them: unused.weight, unused.bias" in text


def test_what_is_zero_at_the_first_step_only_is_no_fault():
    def zeros():
        model = net()()
        for value in model[2].parameters():
            value.set_value(np.zeros(value.shape, "float32"))
        return model

    found = check(zeros)
    assert found.sound and found.first_loss == pytest.approx(math.log(4), rel=1e-6)


class Norm(nn.Module):
    """The norm of a vector that begins as zero, where it has no gradient."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(6, 4, bias=False)
        self.scale.weight.set_value(np.zeros((4, 6), "float32"))

    def forward(self, x):
        y = self.scale(x)
        return y + gn.sqrt(gn.sum(gn.square(y), axis=1, keepdims=True))


def test_gradients_that_are_nan_are_named():
    found = check(Norm)
    assert found.nan == ["scale.weight"] and not found.could
    assert "NaN or infinite gradients: scale.weight" in str(found)


def test_a_first_loss_far_from_what_knows_nothing_is_told():
    def wild():
        model = net()()
        model[2].weight.set_value(model[2].weight.value * 100)
        return model

    assert "log(classes) is 1.386: far from it" in str(check(wild, steps=2))


def test_other_losses_have_a_floor_and_several_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, a, b):
            return self.layer(a + b), self.layer(a)

    def loss(outputs, target):
        return gn.mse_loss(outputs[0], target) + 3.0

    target = (X + X) @ RNG.normal(size=(6, 2))
    found = check(Sum, loss, (X, X, target), floor=3.0, classes=None, steps=400)
    assert found.sound and 3.0 <= found.reached_loss < found.goal < found.first_loss and found.expected_loss is None
    assert "log(classes)" not in str(found)
    assert not check(Sum, loss, (X, X, target), classes=None, steps=5).could


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "can_overfit: steps must be an integer >= 1, got 0"),
        ({"classes": 1}, "can_overfit: classes must be an integer >= 2, got 1"),
        ({"share": 0.0}, "can_overfit: share must be a number > 0, got 0.0"),
        ({"floor": math.nan}, "can_overfit: floor must be a finite number, got nan"),
        ({"builder": lambda: 3}, "can_overfit: model_builder must give a Module, got 3"),
        ({"loss": lambda o, t: o}, "can_overfit: loss must give a scalar node"),
        ({"loss": lambda o, t: gn.mean(gn.cast(t, "float32"))}, "the loss depends on no parameter that is trained"),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(ArgumentError, match=message):
        check(options.pop("builder", net()), **options)
