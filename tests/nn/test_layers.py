"""Layers against torch.nn, row by row: arguments, names, printing, values, gradients, training, saved states."""

from __future__ import annotations

import inspect
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.interop import safetensors
from graphnet.nn import loss as loss_layers
from graphnet.ops import losses
from tests.nn.rows import TABLE, Row

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")

STEPS = 20
ADDED = {"dtype"}
LEFT_OUT = {"device"}
CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}
LAYERS = {name for name in nn.__all__ if inspect.isclass(getattr(nn, name))} - {"Module"}
# Layers over sequences have tables of their own, since they take states and masks.
ELSEWHERE = {n for n in LAYERS if getattr(nn, n).__module__.split(".")[-1] in ("attention", "transformer", "recurrent")}


def _close(mine: Any, its: Any, row: Row, what: str) -> None:
    """Equal to 1e-9 of each element, or to 1e-11 of the largest where sums cancel."""
    expected = its.detach().numpy()
    scale = np.abs(expected).max(initial=0)
    assert np.isfinite(scale), f"{what}: torch gives {scale}, which proves nothing"
    np.testing.assert_allclose(mine, expected, rtol=row.tolerance, atol=row.tolerance / 100 * scale, err_msg=what)


def _pair(row: Row, folder: Any) -> tuple[nn.Module, Any]:
    """The layer here and in torch, in float64, with the weights that torch saved."""
    from safetensors.torch import save_file

    torch.manual_seed(len(row.name))
    theirs = row.make(torch.nn).double()
    save_file(theirs.state_dict(), folder / "state.safetensors")
    ours = row.make(nn).double()
    safetensors.load(ours, folder / "state.safetensors")
    return ours, theirs


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_state_has_torchs_names_order_and_shapes(row):
    ours, theirs = row.make(nn), row.make(torch.nn)
    state = theirs.state_dict()
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [(k, tuple(v.shape)) for k, v in state.items()]
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("row", [row for row in TABLE if not row.random], ids=str)
def test_values_gradients_and_training_follow_torch(row, tmp_path):
    ours, theirs = _pair(row, tmp_path)
    arrays = row.arrays()
    # Floats are trained too, so that every layer has something to train, and so a trajectory.
    mine = [gn.parameter(a, "x") if a.dtype.kind == "f" else gn.input(f"t{i}", a.shape, "int64")
            for i, a in enumerate(arrays)]  # fmt: skip
    its = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    x_mine = [x for x in mine if isinstance(x, gn.Parameter)]
    x_its = [x for x in its if x.requires_grad]

    y = ours(*mine)
    aim = np.random.default_rng(5).normal(size=y.type.static_shape)
    loss = gn.sum(gn.square(y - aim))
    trained = [*ours.parameters(), *x_mine]
    step = gn.compile([x for x in mine if not isinstance(x, gn.Parameter)], [y, *gn.gradients(loss, trained)],
                      updates=optim.SGD(trained, lr=row.rate / y.type.static_size).updates(loss))  # fmt: skip

    trained_there = [*theirs.parameters(), *x_its]
    sgd = torch.optim.SGD(trained_there, lr=row.rate / y.type.static_size)
    for number in range(STEPS):
        value, *gradients = step(*(a for a in arrays if a.dtype.kind != "f"))
        sgd.zero_grad()
        there = theirs(*its)
        ((there - torch.tensor(aim)) ** 2).sum().backward()
        _close(value, there, row, f"the value, step {number}")
        # Later gradients are differences of almost equal numbers; what they did is in the values.
        for mine_, its_ in zip(gradients, trained_there, strict=True) if number == 0 else ():
            _close(mine_, its_.grad, row, "a gradient")
        sgd.step()
    for mine_, its_ in zip(trained, trained_there, strict=True):
        _close(mine_.value, its_, row, "what was trained")
    for key, its_ in theirs.state_dict().items():
        _close(ours.state_dict()[key], its_, row, key)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_evaluation_follows_torch_with_what_torch_saved(row, tmp_path):
    ours, theirs = _pair(row, tmp_path)
    arrays = row.arrays()
    named = [("N", *a.shape[1:]) if row.batch and a.ndim else a.shape for a in arrays]
    inputs = [gn.input(f"x{i}", shape, a.dtype) for i, (a, shape) in enumerate(zip(arrays, named, strict=True))]
    function = gn.compile(inputs, ours.eval()(*inputs))
    _close(function(*arrays), theirs.eval()(*(torch.tensor(a) for a in arrays)), row, "the value")


@pytest.mark.parametrize("name", sorted(LAYERS - ELSEWHERE))
def test_arguments_have_torchs_names_order_and_defaults(name):
    def named(layer):  # without *args and **kwargs: torch's Module takes any, and refuses them when it is called
        found = inspect.signature(layer).parameters.values()
        return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    mine = [p for p in named(getattr(nn, name)) if p.name not in ADDED]
    its = named(getattr(torch.nn, name))
    wanted = [p for p in its if p.name not in ADDED | LEFT_OUT and not p.name.startswith("_")]
    assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in wanted]


def test_every_layer_is_in_the_table():
    counted = Counter(type(row.make(nn)).__name__ for row in TABLE)
    missing = sorted(LAYERS - set(counted) - CONTAINERS - ELSEWHERE)
    assert not missing, f"give these rows in tests/nn/rows.py: {missing}"
    assert len({row.name for row in TABLE}) == len(TABLE)


class _Doubles:
    """graphnet.nn, whose layers are all made with dtype="float64"."""

    def __getattr__(self, name: str) -> Any:
        layer = getattr(nn, name)
        return partial(layer, dtype="float64") if "dtype" in inspect.signature(layer).parameters else layer


def test_dtype_is_that_of_every_weight_and_statistic():
    counted = 0
    for row in TABLE:
        if type(row.make(nn)).__name__.endswith("Loss"):
            continue  # whose factors are the user's
        doubles, singles = row.make(_Doubles()).state_dict(), row.make(nn).state_dict()
        for name, value in doubles.items():
            assert value.dtype == (np.float64 if singles[name].dtype.kind == "f" else singles[name].dtype), row.name
            assert singles[name].dtype in (np.float32, np.int64), row.name
            counted += 1
    assert counted > 80


def test_an_embedding_takes_vectors_that_are_there():
    table = np.random.default_rng(0).normal(size=(4, 3))
    mine, its = nn.Embedding.from_pretrained(table), torch.nn.Embedding.from_pretrained(torch.tensor(table))
    assert repr(mine) == repr(its) and not mine.weight.requires_grad and mine.weight.dtype == np.float64
    np.testing.assert_array_equal(mine.weight.value, table)
    trained = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=-1)
    assert trained.weight.requires_grad and trained.padding_idx == 3
    np.testing.assert_array_equal(trained.weight.value, table)


def test_every_loss_is_a_module_too():
    found = [f for f in vars(losses).values() if inspect.isfunction(f) and f.__module__ == losses.__name__]
    functions = {f.__name__ for f in found if not f.__name__.startswith("_")}
    text = inspect.getsource(loss_layers)
    assert len(functions) >= 10
    assert not [name for name in functions if f"return {name}(" not in text]
