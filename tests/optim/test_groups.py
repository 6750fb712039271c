"""Parameter groups: options and rates of their own, as in torch."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim
from graphnet.errors import ArgumentError
from tests.optim.torch_pair import compare, pair, torch

CASES = {
    "SGD": [dict(momentum=0.9, lr=0.05), dict(lr=0.01, weight_decay=0.1), dict(momentum=0.5, nesterov=True)],
    "Adagrad": [dict(lr_decay=0.1), dict(eps=0.1, lr=0.1), dict(maximize=True)],
    "Adadelta": [dict(rho=0.5), dict(lr=0.1, eps=1e-3), dict(weight_decay=0.1)],
    "RMSprop": [dict(alpha=0.5), dict(centered=True), dict(momentum=0.9, weight_decay=0.1)],
    "Adam": [dict(lr=0.1, betas=(0.5, 0.9)), dict(amsgrad=True), dict(weight_decay=0.1, eps=1e-3)],
    "AdamW": [dict(weight_decay=0.0), dict(lr=0.1, amsgrad=True), dict(weight_decay=0.5, maximize=True)],
    "NAdam": [dict(betas=(0.5, 0.9)), dict(momentum_decay=0.1), dict(weight_decay=0.1, decoupled_weight_decay=True)],
    "RAdam": [dict(betas=(0.5, 0.9)), dict(lr=0.1), dict(weight_decay=0.1, decoupled_weight_decay=True)],
    "Adamax": [dict(betas=(0.5, 0.9)), dict(eps=1e-2), dict(weight_decay=0.1, maximize=True)],
}


@pytest.mark.parametrize("name", CASES)
def test_each_group_steps_as_torchs(name):
    ours, theirs = pair()
    mine, its = (
        getattr(module, name)([{"params": [p], **o} for p, o in zip(ps, CASES[name], strict=True)], lr=0.03)
        for module, ps in ((optim, ours), (torch.optim, theirs))
    )
    compare(ours, theirs, mine, its, 1e-12)


def test_a_group_may_have_a_schedule_a_node_or_a_number_as_rate():
    a, b, c = (gn.parameter(np.zeros(1), name) for name in "abc")
    rate = gn.parameter(np.float64(0.5), "rate", requires_grad=False)
    groups = [{"params": a}, {"params": b, "lr": rate}, {"params": [c], "lr": optim.step(4.0, 1, 0.5)}]
    sgd = optim.SGD(groups, lr=1.0)
    step = gn.compile([], None, sgd.updates(gn.sum(a + b + c)))
    step()
    rate.set_value(0.25)
    step()
    assert [p.value.item() for p in (a, b, c)] == [-2.0, -0.75, -6.0]


def test_a_group_of_adagrad_may_start_elsewhere():
    """PyTorch takes the constructor's value for every group, without a word about the group's."""
    a, b = gn.parameter(1.0, "a"), gn.parameter(1.0, "b")
    state = optim.Adagrad([{"params": a, "initial_accumulator_value": 0.5}, {"params": b}]).state_dict()
    assert (state["a.sum"], state["b.sum"]) == (0.5, 0.0)


def test_groups_can_be_read_but_not_changed():
    a, b = gn.parameter(1.0, "a"), gn.parameter(1.0, "b")
    adam = optim.Adam([{"params": a, "lr": 0.5}, {"params": [b], "betas": [0, 0.5]}], weight_decay=0.25)
    first, second = adam.param_groups
    assert (first["params"], first["lr"], first["weight_decay"]) == ((a,), 0.5, 0.25)
    assert (second["lr"], second["betas"]) == (1e-3, (0.0, 0.5))
    with pytest.raises(TypeError):
        first["lr"] = 1.0


def test_setting_lr_sets_it_for_every_group():
    a, b = gn.parameter(1.0, "a"), gn.parameter(1.0, "b")
    sgd = optim.SGD([{"params": a, "lr": 0.5}, {"params": b}])
    sgd.lr = 0.25
    gn.compile([], None, sgd.updates(a + b))()
    assert (a.value, b.value, sgd.lr) == (0.75, 0.75, 0.25)
    with pytest.raises(ArgumentError, match="SGD: lr must be a number >= 0, got -1"):
        sgd.lr = -1


def test_a_group_can_be_added():
    a, b = gn.parameter([1.0], "a"), gn.parameter([1.0], "b")
    sgd = optim.SGD([a], lr=0.5)
    sgd.add_param_group({"params": b, "lr": 0.25})
    gn.compile([], None, sgd.updates(gn.sum(a + b)))()
    assert (a.value[0], b.value[0]) == (0.5, 0.75)
    with pytest.raises(ArgumentError, match="SGD, group 2: 'b' is given twice"):
        sgd.add_param_group({"params": b})
    assert len(sgd.param_groups) == 2


def test_state_of_groups_has_names_of_its_own():
    a, b = gn.parameter(1.0, "a"), gn.parameter(1.0, "b")
    nadam = optim.NAdam([{"params": a}, {"params": b, "betas": (0.5, 0.9)}])
    assert list(nadam.state) == [
        "step", "mu_product", "mu_product:1", "a.exp_sum", "a.exp_sum_sq", "b.exp_sum", "b.exp_sum_sq",
    ]  # fmt: skip


def test_a_frozen_group_stays():
    a, b = gn.parameter([1.0], "a").requires_grad_(False), gn.parameter([1.0], "b")
    gn.compile([], None, optim.SGD([{"params": a}, {"params": b}], lr=0.5).updates(gn.sum(a + b)))()
    assert (a.value[0], b.value[0]) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (lambda p: [{"params": p}, p], "SGD: groups and parameters cannot be mixed"),
        (lambda p: [p, {"params": p}], "params must hold parameters only"),
        (lambda p: {"params": p}, "params must be parameters, such as model.parameters"),
        (lambda p: [{"lr": 0.1}], r'SGD, group 0: a group must be a mapping with "params"|SGD: a group must be'),
        (lambda p: [{"params": []}], "SGD: got no parameters"),
        (lambda p: [{"params": 3.0}], "params must be parameters"),
        (lambda p: [{"params": "p"}], "params must be parameters"),
        (lambda p: [{"params": p + 1.0}], "params must be parameters"),
        (lambda p: [{"params": [p + 1.0]}], "params must hold parameters only"),
        (lambda p: [{"params": p}, {"params": [p]}], "SGD, group 1: 'p' is given twice"),
        (lambda p: [{"params": p, "momentun": 0.9}], "unknown option 'momentun'; a group may have lr, momentum,"),
        (lambda p: [{"params": p, "lr": -1.0}], "SGD, group 0: lr must be a number >= 0, got -1.0"),
        (lambda p: [{"params": p, "momentum": None}], "SGD, group 0: momentum must be a number >= 0, got None"),
        (lambda p: [{"params": p, "nesterov": True}], "SGD, group 0: nesterov needs momentum > 0"),
    ],
)
def test_mistakes_in_groups_are_named(groups, message):
    with pytest.raises(ArgumentError, match=message):
        optim.SGD(groups(gn.parameter([1.0], "p")))
