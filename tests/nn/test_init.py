"""Initial values: the same on every run, of torch's distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError


def test_a_seed_decides_every_weight():
    gn.manual_seed(3)
    first = nn.Linear(5, 4).state_dict()
    gn.manual_seed(3)
    second, third = nn.Linear(5, 4).state_dict(), nn.Linear(5, 4).state_dict()
    assert all((first[name] == second[name]).all() for name in first)
    assert (first["weight"] != third["weight"]).any()


def test_both_dtypes_start_from_the_same_numbers():
    gn.manual_seed(0)
    single = nn.Conv2d(3, 4, 3).state_dict()
    gn.manual_seed(0)
    double = nn.Conv2d(3, 4, 3, dtype="float64").state_dict()
    for name in single:
        np.testing.assert_array_equal(single[name], double[name].astype("float32"))


@pytest.mark.parametrize(
    ("layer", "fan"), [(lambda: nn.Linear(400, 300), 400), (lambda: nn.Conv2d(32, 64, 5, groups=2), 400)]
)
def test_layers_start_uniform_as_in_torch(layer, fan):
    made = layer()
    for name in ("weight", "bias"):
        value, bound = made.state_dict()[name], 1 / math.sqrt(fan)
        assert np.abs(value).max() <= bound
        assert value.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (nn.init.xavier_uniform_, math.sqrt(2 / (300 + 200))),
        (nn.init.xavier_normal_, math.sqrt(2 / (300 + 200))),
        (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), math.sqrt(2 / 300)),
        (lambda w: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / 200)),
        (lambda w: nn.init.normal_(w, 0.0, 0.3), 0.3),
        (lambda w: nn.init.uniform_(w, -1.0, 1.0), 1 / math.sqrt(3)),
        (nn.init.ones_, 0.0),
    ],
)
def test_spread(fill, std):
    weight = gn.parameter(np.zeros((200, 300), "float32"), "w")
    assert fill(weight) is weight
    assert weight.value.std() == pytest.approx(std, rel=0.02)


def test_gains_are_torchs():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert nn.init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


def test_mistakes_are_named():
    weight = gn.parameter(np.zeros((2, 3)), "w")
    with pytest.raises(ArgumentError, match="mode must be"):
        nn.init.kaiming_normal_(weight, mode="fan")
    with pytest.raises(ArgumentError, match="got 'swish'"):
        nn.init.kaiming_normal_(weight, nonlinearity="swish")
    with pytest.raises(ArgumentError, match="'b' of shape"):
        nn.init.xavier_normal_(gn.parameter(np.zeros(3), "b"))
