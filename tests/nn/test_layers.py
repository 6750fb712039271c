"""Layers against torch.nn: constructor arguments, state_dict keys and shapes, printing, values, both modes."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError, ShapeError

torch = pytest.importorskip("torch")

IMAGE, SEQUENCE, ROWS = (4, 6, 9, 8), (4, 6, 11), (7, 6)
CASES = {
    "linear": (lambda n: n.Linear(6, 5), ROWS),
    "linear-no-bias": (lambda n: n.Linear(6, 5, False), ROWS),
    "linear-3d": (lambda n: n.Linear(11, 2), SEQUENCE),
    "conv1d": (lambda n: n.Conv1d(6, 4, 3, 2, 1, 2, 2), SEQUENCE),
    "conv1d-same": (lambda n: n.Conv1d(6, 4, 3, padding="same", padding_mode="circular"), SEQUENCE),
    "conv2d": (lambda n: n.Conv2d(6, 4, 3), IMAGE),
    "conv2d-all": (lambda n: n.Conv2d(6, 9, (3, 2), (2, 1), (1, 2), (1, 2), 3, False), IMAGE),
    "conv2d-reflect": (lambda n: n.Conv2d(6, 4, 3, padding=1, padding_mode="reflect"), IMAGE),
    "max_pool": (lambda n: n.MaxPool2d(2), IMAGE),
    "max_pool-all": (lambda n: n.MaxPool2d(3, 2, 1, 1, ceil_mode=True), IMAGE),
    "avg_pool": (lambda n: n.AvgPool2d((3, 2), 2, 1, count_include_pad=False), IMAGE),
    "avg_pool-divisor": (lambda n: n.AvgPool2d(3, divisor_override=4), IMAGE),
    "adaptive": (lambda n: n.AdaptiveAvgPool2d(1), IMAGE),
    "adaptive-pair": (lambda n: n.AdaptiveAvgPool2d((3, 4)), IMAGE),
    "batch_norm1d": (lambda n: n.BatchNorm1d(6), ROWS),
    "batch_norm1d-3d": (lambda n: n.BatchNorm1d(6, 1e-3, 0.3), SEQUENCE),
    "batch_norm2d": (lambda n: n.BatchNorm2d(6), IMAGE),
    "batch_norm2d-no-bias": (lambda n: n.BatchNorm2d(6, bias=False), IMAGE),
    "batch_norm2d-plain": (lambda n: n.BatchNorm2d(6, affine=False), IMAGE),
    "batch_norm2d-untracked": (lambda n: n.BatchNorm2d(6, track_running_stats=False), IMAGE),
    "relu": (lambda n: n.ReLU(), ROWS),
    "leaky_relu": (lambda n: n.LeakyReLU(0.2), ROWS),
    "elu": (lambda n: n.ELU(0.7), ROWS),
    "selu": (lambda n: n.SELU(), ROWS),
    "sigmoid": (lambda n: n.Sigmoid(), ROWS),
    "tanh": (lambda n: n.Tanh(), ROWS),
    "softplus": (lambda n: n.Softplus(), ROWS),
    "softplus-beta": (lambda n: n.Softplus(2.0, 1.0), ROWS),
    "silu": (lambda n: n.SiLU(), ROWS),
    "gelu": (lambda n: n.GELU(), ROWS),
    "gelu-tanh": (lambda n: n.GELU("tanh"), ROWS),
    "softmax": (lambda n: n.Softmax(1), ROWS),
    "log_softmax": (lambda n: n.LogSoftmax(-1), SEQUENCE),
    "flatten": (lambda n: n.Flatten(), IMAGE),
    "flatten-part": (lambda n: n.Flatten(2, 3), IMAGE),
    "identity": (lambda n: n.Identity(), ROWS),
}
ADDED = {"dtype"}
LEFT_OUT = {"device"}


def _run(model, array, count=1):
    x = gn.input("x", ("N", *array.shape[1:]), "float64")
    function = gn.compile([x], model(x))
    return [function(array) for _ in range(count)]


@pytest.mark.parametrize("name", CASES)
def test_values_and_state_follow_torch_in_both_modes(name):
    make, shape = CASES[name]
    ours, theirs = make(nn).double(), make(torch.nn).double()
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in state.items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(theirs.state_dict())
    array = np.random.default_rng(1).normal(size=shape)
    wanted = [theirs(torch.tensor(array)).detach().numpy() for _ in range(3)]
    for mine, its in zip(_run(ours, array, 3), wanted, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-10, atol=1e-12)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-10, atol=1e-12)
    its = theirs.eval()(torch.tensor(array)).detach().numpy()
    np.testing.assert_allclose(_run(ours.eval(), array)[0], its, rtol=1e-10, atol=1e-12)


LAYERS = sorted(set(nn.__all__) - {"init", "Module", "Sequential"})


@pytest.mark.parametrize("name", LAYERS)
def test_arguments_have_torchs_names_order_and_defaults(name):
    mine = [p for p in inspect.signature(getattr(nn, name)).parameters.values() if p.name not in ADDED]
    its = inspect.signature(getattr(torch.nn, name)).parameters.values()
    wanted = [p for p in its if p.name not in ADDED | LEFT_OUT and not p.name.startswith("_")]
    assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in wanted]


@pytest.mark.parametrize("name", ["conv2d", "conv2d-reflect", "conv2d-all", "linear", "batch_norm2d", "flatten-part"])
def test_layers_print_as_in_torch(name):
    make, _ = CASES[name]
    theirs = make(torch.nn)
    assert repr(make(nn)) == repr(theirs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels=3 must be divisible by groups=2"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "out_channels=3 must be divisible by groups=2"),
        (lambda: nn.Conv2d(3, 4, 0), "kernel_size must be an integer >= 1"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size must be an integer >= 1, or 2 of them"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), "padding must be 'same', 'valid' or numbers"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="edge"), "padding_mode must be one of"),
        (lambda: nn.Conv2d(3, 4, 3, dtype="int64"), "dtype must be float32 or float64"),
        (lambda: nn.Linear(0, 4), "in_features must be a positive integer, got 0"),
        (lambda: nn.Linear(4, 2.0), "out_features must be a positive integer"),
        (lambda: nn.ReLU(inplace=True), "inplace=True is not supported"),
        (lambda: nn.MaxPool2d(2, return_indices=True), "return_indices=True is not supported"),
        (lambda: nn.BatchNorm1d(3, momentum=2), "momentum must be a number"),
        (lambda: nn.Dropout(1.5), "p must be a probability"),
        (lambda: nn.Softmax(), "dim must be an integer"),
        (lambda: nn.GELU("fast"), "approximate must be"),
        (lambda: nn.CrossEntropyLoss(reduce=True), "reduce=True is not supported"),
        (lambda: nn.MSELoss(reduction="max"), "reduction must be one of"),
    ],
)
def test_what_is_not_supported_raises(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_batch_norm_wants_its_dimensions():
    with pytest.raises(ShapeError, match=r"BatchNorm2d: expected 4 dimensions, got float32\[N, 3\]"):
        nn.BatchNorm2d(3)(gn.input("x", ("N", 3)))


def test_two_modes_give_two_graphs_with_the_same_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    x = gn.input("x", ("N", 3))
    train, evaluation = model(x), model.eval()(x)
    assert train is not evaluation and model(x) is evaluation
    run, predict = gn.compile([x], train), gn.compile([x], evaluation)
    array = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    before = predict(array)
    run(array)
    assert int(model[1].num_batches_tracked.value) == 1
    assert not np.allclose(before, predict(array))
    np.testing.assert_array_equal(predict(array), predict(array))


@pytest.mark.parametrize("make", [lambda: nn.Dropout(0.25), lambda: nn.Dropout2d(0.25)])
def test_dropout_drops_its_share_anew_each_step_and_keeps_the_mean(make):
    x = gn.input("x", ("N", 50, 4, 4))
    function = gn.compile([x], make()(x))
    ones = np.ones((40, 50, 4, 4), "float32")
    first, second = function(ones), function(ones)
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert first.mean() == pytest.approx(1, abs=0.05) and (first != second).any()
    whole = first.reshape(-1, 16)
    channels = (whole == whole[:, :1]).all()
    assert channels == isinstance(make(), nn.Dropout2d)


@pytest.mark.parametrize(
    "options",
    [{}, {"reduction": "sum"}, {"label_smoothing": 0.1}, {"ignore_index": 2}, {"weight": np.arange(1.0, 5.0)}],
)
def test_cross_entropy_module_follows_torch(options):
    scores, labels = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) % 4
    x, t = gn.input("x", ("N", 4), "float64"), gn.input("t", ("N",), "int64")
    mine = gn.compile([x, t], nn.CrossEntropyLoss(**options)(x, t))(scores, labels)
    if "weight" in options:
        options = {"weight": torch.tensor(options["weight"])}
    its = torch.nn.CrossEntropyLoss(**options)(torch.tensor(scores), torch.tensor(labels))
    assert float(mine) == pytest.approx(float(its), rel=1e-12)


def test_mse_module_follows_torch():
    a, b = np.random.default_rng(0).normal(size=(2, 9, 4))
    x, t = gn.input("x", ("N", 4), "float64"), gn.input("t", ("N", 4), "float64")
    mine = gn.compile([x, t], nn.MSELoss()(x, t))(a, b)
    assert float(mine) == pytest.approx(float(torch.nn.MSELoss()(torch.tensor(a), torch.tensor(b))), rel=1e-12)
