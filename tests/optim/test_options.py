"""Every option of every optimizer: mistakes are named, what steers torch's engine is refused; names for the shell."""

from __future__ import annotations

import argparse
import inspect
from types import SimpleNamespace

import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.cli import values
from graphnet.cli.steps import make_optimizer
from graphnet.errors import ArgumentError
from tests.optim.torch_pair import torch

BAD = {
    bool: [1, "yes", None],
    float: [-0.5, float("nan"), float("inf"), "0.1", None, True, 1j, [0.1]],
    tuple: [0.9, (0.9,), (0.9, 0.9, 0.9), (0.9, 1.0), (-0.1, 0.9), ("a", 0.9), None],
}
BELOW_ONE = {"alpha", "rho"}
ENGINE = {"foreach": True, "fused": True, "capturable": True, "differentiable": True}


def options(name):
    found = inspect.signature(optim.OPTIMIZERS[name]).parameters.values()
    return {p.name: p.default for p in found if p.default is not p.empty}


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_bad_values_of_each_option_are_named(name):
    p = gn.parameter([1.0], "p")
    for option, default in options(name).items():
        for value in [*BAD[type(default)], *([1.0] if option in BELOW_ONE else [])]:
            for who, params in ((name, [p]), (f"{name}, group 0", [{"params": p, option: value}])):
                given = {} if isinstance(params[0], dict) else {option: value}
                with pytest.raises(ArgumentError, match=rf"{who}: {option}(\[\d\])? must be .+, got ."):
                    optim.OPTIMIZERS[name](params, **given)


@pytest.mark.parametrize("name", [name for name in optim.OPTIMIZERS if hasattr(torch.optim, name)])
def test_options_and_defaults_are_torchs(name):
    theirs = inspect.signature(getattr(torch.optim, name)).parameters.values()
    wanted = {p.name: p.default for p in theirs if p.name not in ("params", *ENGINE)}
    assert options(name) == wanted
    positional = [p.name for p in theirs if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in (*ENGINE, "maximize")]
    ours = inspect.signature(optim.OPTIMIZERS[name]).parameters.values()
    assert [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD] == positional
    parameter = gn.parameter([1.0], "p")
    for option, value in ENGINE.items():
        with pytest.raises(ArgumentError, match=f"{name}: {option}=True is not supported"):
            optim.OPTIMIZERS[name]([parameter], **{option: value})
    optim.OPTIMIZERS[name]([parameter], foreach=None, fused=None, capturable=False, differentiable=False)


def test_numbers_that_are_nodes_stay_rates_only():
    p = gn.parameter([1.0], "p")
    with pytest.raises(ArgumentError, match="SGD: momentum must be a number"):
        optim.SGD([p], momentum=gn.parameter(0.9))


def test_every_optimizer_has_a_name_in_the_shell_and_in_a_recipe():
    for name, made in optim.OPTIMIZERS.items():
        assert values.optimizer(name.lower()) == values.optimizer(name) == name
        file = SimpleNamespace(name="net", recipe={"optimizer": name, "options": {"weight_decay": 0.1}, "lr": 0.5})
        optimizer = make_optimizer(file, nn.Linear(2, 2))
        assert type(optimizer) is made and optimizer.param_groups[0]["weight_decay"] == 0.1
        assert type(make_optimizer(file, nn.Linear(2, 2), name="Adagrad")) is optim.Adagrad
    every = {name for name in optim.__all__ if isinstance(getattr(optim, name), type)}
    assert every - set(optim.OPTIMIZERS) == {"Accumulate", "EMA", "Optimizer", "ReduceLROnPlateau", "Schedule"}


@pytest.mark.parametrize("name", ["EMA", "accumulate", "Optimizer", "cosine", ""])
def test_what_is_no_plain_optimizer_has_none(name):
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected one of SGD, Adagrad, .*LAMB, got"):
        values.optimizer(name)
    with pytest.raises(ArgumentError, match=r"which graphnet\.optim does not have"):
        make_optimizer(SimpleNamespace(name="net", recipe={"optimizer": name}), nn.Linear(2, 2))
