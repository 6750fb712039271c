"""Initial values: the same on every run, of torch's distributions."""

from __future__ import annotations

import math
import subprocess
import sys

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
    ("layer", "fan"),
    [
        (lambda: nn.Linear(400, 300), 400),
        (lambda: nn.Conv2d(32, 64, 5, groups=2), 400),
        (lambda: nn.Conv1d(100, 200, 4), 400),
        # PyTorch takes the weight's second axis for the inputs here too, though it holds the outputs.
        (lambda: nn.ConvTranspose2d(64, 128, 5, groups=8), 400),
        (lambda: nn.Bilinear(400, 5, 300), 400),
    ],
)
def test_layers_start_uniform_as_in_torch(layer, fan):
    made = layer()
    for name in ("weight", "bias"):
        value, bound = made.state_dict()[name], 1 / math.sqrt(fan)
        assert np.abs(value).max() <= bound
        assert value.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_an_embedding_starts_normal_but_for_its_padding():
    value = nn.Embedding(100, 200, padding_idx=7).weight.value
    assert (value[7] == 0).all() and (value[8] != 0).all()
    assert value.std() == pytest.approx(1, rel=0.02) and value.mean() == pytest.approx(0, abs=0.02)


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


def test_every_process_starts_from_the_same_numbers():
    code = "from graphnet import nn; w = nn.Linear(3, 2).weight; print(*w.value[0], *nn.init.trunc_normal_(w).value[1])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    gn.manual_seed(0)
    weight = nn.Linear(3, 2).weight
    expected = (*weight.value[0], *nn.init.trunc_normal_(weight).value[1])
    assert result.stdout.split() == [str(number) for number in expected]


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0, 1, -2, 2), (0, 0.02, -2, 2), (1, 2, 0, 1.5), (0, 1, 3, 9), (0, 1, -40, -20), (5, 1, -1, 0.5), (0, 1, 0, 0.01)],
)
def test_a_truncated_normal_lies_within_and_has_its_moments(mean, std, a, b):
    gn.manual_seed(1)
    weight = gn.parameter(np.zeros((200, 300)), "w")
    values = nn.init.trunc_normal_(weight, mean, std, a, b).value
    assert a <= values.min() and values.max() <= b
    # The moments by a sum over a fine grid; density relative to its greatest value.
    nearest = np.clip(mean, a, b)
    grid = np.linspace(max(a, nearest - 12 * std), min(b, nearest + 12 * std), 200_001)
    density = np.exp(((nearest - mean) ** 2 - (grid - mean) ** 2) / (2 * std**2))
    middle = (grid * density).sum() / density.sum()
    spread = math.sqrt(((grid - middle) ** 2 * density).sum() / density.sum())
    assert values.mean() == pytest.approx(middle, abs=4 * spread / math.sqrt(values.size))
    assert values.std() == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (6, 2, 3, 3), (2, 6, 3)])
def test_orthogonal_rows_or_columns(shape):
    gn.manual_seed(2)
    weight = nn.init.orthogonal_(gn.parameter(np.zeros(shape), "w"), gain=3.0).value.reshape(shape[0], -1)
    short = weight if shape[0] <= weight.shape[1] else weight.T
    np.testing.assert_allclose(short @ short.T, 9 * np.eye(len(short)), atol=1e-12)


def test_orthogonal_matrices_are_uniform():
    """Of a uniform orthogonal matrix each element has mean 0, which QR without its signs set has not."""
    gn.manual_seed(3)
    many = np.stack([nn.init.orthogonal_(gn.parameter(np.zeros((2, 2)), "w")).value for _ in range(400)])
    assert np.abs(many.mean(axis=0)).max() < 4 * math.sqrt(0.5 / 400)


def test_sparse_columns_have_their_zeros():
    gn.manual_seed(4)
    weight = nn.init.sparse_(gn.parameter(np.zeros((10, 50)), "w"), 0.25, std=2.0).value
    assert ((weight == 0).sum(axis=0) == 3).all()
    assert len({tuple(np.flatnonzero(column == 0)) for column in weight.T}) > 20
    assert weight[weight != 0].std() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("eye_", (3, 5), {}),
        ("dirac_", (4, 2, 3), {}),
        ("dirac_", (2, 4, 3, 4), {}),
        ("dirac_", (6, 2, 3, 3), {"groups": 3}),
        ("constant_", (2, 2), {"val": 0.3}),
    ],
)
def test_what_is_not_drawn_is_torchs(name, shape, options):
    torch = pytest.importorskip("torch")
    mine = getattr(nn.init, name)(gn.parameter(np.ones(shape), "w"), **options).value
    its = getattr(torch.nn.init, name)(torch.ones(shape, dtype=torch.float64), **options).numpy()
    np.testing.assert_array_equal(mine, its)


WEIGHT, VECTOR, COUNTS = (
    gn.parameter(np.zeros(s, k), n) for s, k, n in [((2, 3), "f", "w"), (3, "f", "b"), (3, int, "c")]
)
MISTAKES = [
    (lambda: nn.init.kaiming_normal_(WEIGHT, mode="fan"), "mode must be"),
    (lambda: nn.init.kaiming_normal_(WEIGHT, nonlinearity="swish"), "got 'swish'"),
    (
        lambda: nn.init.xavier_normal_(VECTOR),
        r"fan in and fan out: expected a weight of 2 or more axes, got 'b' of shape",
    ),
    (lambda: nn.init.zeros_(np.zeros(3)), "constant_: expected a parameter, such as layer.weight, got array"),
    (lambda: nn.init.zeros_(nn.Linear(2, 3, bias=False).bias), "constant_: expected a parameter, .* got None"),
    (lambda: nn.init.normal_(COUNTS), r"normal_: expected a parameter of floats, got 'c', int64\[3\]"),
    (lambda: nn.init.normal_(WEIGHT, std=-1), "normal_: std must be a finite number >= 0, got -1"),
    (lambda: nn.init.uniform_(WEIGHT, 1.0, 0.0), "uniform_: a=1.0 must not be above b=0.0"),
    (lambda: nn.init.constant_(WEIGHT, "0"), "constant_: val must be a finite number, got '0'"),
    (lambda: nn.init.trunc_normal_(WEIGHT, std=0), "trunc_normal_: std must be positive, got 0"),
    (lambda: nn.init.trunc_normal_(WEIGHT, a=1, b=1), "trunc_normal_: a=1 must be below b=1"),
    (lambda: nn.init.orthogonal_(VECTOR), "orthogonal_: expected a weight of 2 or more axes"),
    (lambda: nn.init.orthogonal_(WEIGHT, gain=None), "orthogonal_: gain must be a finite number, got None"),
    (lambda: nn.init.eye_(VECTOR), "eye_: expected a weight of 2 axes, got 'b'"),
    (lambda: nn.init.dirac_(WEIGHT), "dirac_: expected a weight of 3 or 4 or 5 axes"),
    (lambda: nn.init.dirac_(nn.Conv1d(2, 3, 3).weight, groups=2), "groups=2 must divide the 3 output channels"),
    (lambda: nn.init.sparse_(WEIGHT, 2), r"sparse_: sparsity must be a number in \[0, 1\], got 2"),
]


@pytest.mark.parametrize(("fill", "message"), MISTAKES)
def test_mistakes_are_named_and_change_nothing(fill, message):
    before = WEIGHT.value
    with pytest.raises(ArgumentError, match=message):
        fill()
    np.testing.assert_array_equal(WEIGHT.value, before)
