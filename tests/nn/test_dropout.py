"""Dropout layers: how much they drop, that they keep the mean, and that evaluation leaves everything as it is."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError, ShapeError

P = 0.3
# For each: the shape of what it takes, and the axes over which a choice is shared.
LAYERS = {"Dropout": ((400, 50), ()), "Dropout1d": ((200, 100, 3), (2,)), "Dropout2d": ((200, 100, 2, 2), (2, 3))}


def _runs(layer, array, count=1):
    x = gn.input("x", ("N", *array.shape[1:]))
    function = gn.compile([x], layer(x))
    return [function(array) for _ in range(count)]


@pytest.mark.parametrize("name", LAYERS)
def test_its_share_is_dropped_anew_each_step_and_the_mean_is_kept(name):
    gn.manual_seed(0)
    shape, shared = LAYERS[name]
    first, second = _runs(getattr(nn, name)(P), np.ones(shape, "float32"), 2)
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / (1 - P))}
    choices = int(np.prod([n for axis, n in enumerate(shape) if axis not in shared]))
    error = 4 * np.sqrt(P * (1 - P) / choices)  # four standard deviations of the share
    assert (first == 0).mean() == pytest.approx(P, abs=error)
    assert first.mean() == pytest.approx(1, abs=error / (1 - P))
    assert (first != second).mean() == pytest.approx(2 * P * (1 - P), abs=2 * error)
    for axis in shared:
        assert (first == first.take([0], axis=axis)).all()


def test_alpha_dropout_keeps_mean_and_variance():
    gn.manual_seed(0)
    array = np.random.default_rng(0).normal(size=(400, 200)).astype("float32")
    for p in (0.1, 0.5):
        (y,) = _runs(nn.AlphaDropout(p), array)
        assert y.mean() == pytest.approx(0, abs=0.02) and y.var() == pytest.approx(1, abs=0.03)
        values, counts = np.unique(y, return_counts=True)
        assert counts.max() / y.size == pytest.approx(p, abs=0.01)
        # SELU's lowest value is -1.7581: after the layer's own scale and shift, one value.
        s = -1.7580993408473766
        a = ((1 - p) * (1 + p * s * s)) ** -0.5
        assert values[counts.argmax()] == pytest.approx(a * s - a * p * s, rel=1e-6)


def test_alpha_dropouts_gradient_is_its_scale_where_it_kept():
    gn.manual_seed(0)
    x = gn.input("x", (50, 50))
    y = nn.AlphaDropout(0.4)(x)
    value, slope = gn.compile([x], [y, *gn.gradients(gn.sum(y), [x])])(np.full((50, 50), 3.0, "float32"))
    dropped = value == value.min()
    assert (slope[dropped] == 0).all() and len(np.unique(slope[~dropped])) == 1 and dropped.any()
    assert slope.max() == pytest.approx((0.6 * (1 + 0.4 * 1.7580993408473766**2)) ** -0.5)


def test_rrelu_draws_its_slopes_between_the_bounds():
    gn.manual_seed(0)
    array = -np.ones((100, 100), "float32")
    array[0] = 2
    first, second = _runs(nn.RReLU(0.2, 0.4), array, 2)
    assert (first[0] == 2).all() and (first != second)[1:].mean() > 0.99
    slopes = -first[1:]
    assert slopes.min() >= 0.2 and slopes.max() <= 0.4 and slopes.mean() == pytest.approx(0.3, abs=0.003)


@pytest.mark.parametrize("name", [*LAYERS, "AlphaDropout"])
def test_evaluation_is_the_identity_and_so_is_p_0(name):
    shape = LAYERS.get(name, ((4, 5), ()))[0]
    x = gn.input("x", shape)
    assert getattr(nn, name)(P).eval()(x) is x
    assert getattr(nn, name)(0)(x) is x


def test_dropout_wants_its_dimensions():
    with pytest.raises(ShapeError, match=r"Dropout2d: expected 4 dimensions, got .* \(Dropout1d takes sequences\)"):
        nn.Dropout2d()(gn.input("x", (3, 4, 5)))
    with pytest.raises(ShapeError, match="Dropout1d: expected 2 or 3 dimensions"):
        nn.Dropout1d()(gn.input("x", (3, 4, 5, 6)))
    with pytest.raises(ArgumentError, match=r"p must be a probability in \[0, 1\], got 1.5"):
        nn.Dropout(1.5)
