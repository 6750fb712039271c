"""Update formulas against torch.optim: the same gradients in, the same parameters out, in every option."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim
from tests.optim.torch_pair import DTYPES, assert_same, compare, our_loss, pair, their_step, torch

CASES = {
    "sgd": ("SGD", dict(lr=0.1)),
    "sgd-momentum": ("SGD", dict(lr=0.1, momentum=0.9)),
    "sgd-dampening": ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.3)),
    "sgd-nesterov-decay": ("SGD", dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.02)),
    "sgd-maximize": ("SGD", dict(lr=0.01, momentum=0.5, weight_decay=0.1, maximize=True)),
    "adagrad": ("Adagrad", dict()),
    "adagrad-all": (
        "Adagrad",
        dict(lr=0.1, lr_decay=0.05, weight_decay=0.02, initial_accumulator_value=0.3, eps=1e-6, maximize=True),
    ),
    "adadelta": ("Adadelta", dict()),
    "adadelta-all": ("Adadelta", dict(lr=0.5, rho=0.7, eps=1e-4, weight_decay=0.02, maximize=True)),
    "adadelta-no-memory": ("Adadelta", dict(rho=0.0)),
    "rmsprop": ("RMSprop", dict()),
    "rmsprop-momentum": ("RMSprop", dict(momentum=0.9)),
    "rmsprop-centered": ("RMSprop", dict(centered=True, maximize=True)),
    "rmsprop-centered-momentum": ("RMSprop", dict(lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.01)),
    "rmsprop-eps": ("RMSprop", dict(alpha=0.0, eps=0.1)),
    "adam": ("Adam", dict()),
    "adam-decay-betas": ("Adam", dict(lr=0.03, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05)),
    "adam-amsgrad": ("Adam", dict(lr=0.03, amsgrad=True)),
    "adam-no-first-moment": ("Adam", dict(betas=(0.0, 0.99))),
    "adam-decoupled": ("Adam", dict(weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    "adamw": ("AdamW", dict()),
    "adamw-decay": ("AdamW", dict(lr=0.05, weight_decay=0.3, amsgrad=True)),
    "adamw-maximize": ("AdamW", dict(maximize=True, betas=(0.5, 0.9), eps=1e-3)),
    "nadam": ("NAdam", dict()),
    "nadam-all": ("NAdam", dict(lr=0.03, betas=(0.8, 0.95), eps=1e-5, weight_decay=0.05, momentum_decay=0.1)),
    "nadam-decoupled": ("NAdam", dict(weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    "radam": ("RAdam", dict()),
    "radam-soon": ("RAdam", dict(lr=0.03, betas=(0.8, 0.95), eps=1e-5, weight_decay=0.05)),
    "radam-never": ("RAdam", dict(betas=(0.5, 0.6))),
    "radam-decoupled": ("RAdam", dict(weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    "adamax": ("Adamax", dict()),
    "adamax-all": ("Adamax", dict(lr=0.03, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.05, maximize=True)),
}
CLIPPING = {
    "norm-active": (optim.clip_grad_norm(0.5), lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5)),
    "norm-idle": (optim.clip_grad_norm(1e3), lambda p: torch.nn.utils.clip_grad_norm_(p, 1e3)),
    "norm-1": (optim.clip_grad_norm(2.0, 1), lambda p: torch.nn.utils.clip_grad_norm_(p, 2.0, 1)),
    "norm-3": (optim.clip_grad_norm(0.5, norm_type=3.0), lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5, 3.0)),
    "norm-inf": (optim.clip_grad_norm(0.5, math.inf), lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5, math.inf)),
    "value": (optim.clip_grad_value(0.1), lambda p: torch.nn.utils.clip_grad_value_(p, 0.1)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_steps_follow_torch(name, dtype):
    kind, options = CASES[name]
    ours, theirs = pair(dtype)
    optimizer, rival = getattr(optim, kind)(ours, **options), getattr(torch.optim, kind)(theirs, **options)
    compare(ours, theirs, optimizer, rival, DTYPES[dtype])


@pytest.mark.parametrize("name", CASES)
def test_large_parameters_step_in_tiles_as_torch_does(name):
    """Above a tile ops are fused and run in place: checked against the reference step by step, in two groups."""
    kind, options = CASES[name]
    ours, theirs = pair("float64", shapes=((301, 300), (2, 3)))
    mine, its = (
        made([{"params": [a]}, {"params": [b], "lr": 0.02}], **options)
        for made, (a, b) in ((getattr(optim, kind), ours), (getattr(torch.optim, kind), theirs))
    )
    step = gn.compile([], None, mine.updates(our_loss(ours)), check=2)
    for _ in range(2):
        step()
        their_step(theirs, its)
        assert_same(ours, theirs, 1e-12)


@pytest.mark.parametrize("name", CLIPPING)
def test_clipping_follows_torch(name):
    transform, change = CLIPPING[name]
    ours, theirs = pair("float64")
    optimizer, rival = optim.SGD(ours, lr=0.1), torch.optim.SGD(theirs, lr=0.1)
    compare(ours, theirs, optimizer, rival, 1e-12, transform, change)


def test_state_is_torchs_but_for_a_factor():
    """Sums are kept where torch keeps averages: m / (1 - beta1) and v / (1 - beta2)."""
    ours, theirs = pair("float64")
    adam, rival = optim.Adam(ours), torch.optim.Adam(theirs)
    compare(ours, theirs, adam, rival, 1e-12)
    state = adam.state_dict()
    assert state["step"] == 25
    for mine, its in zip(ours, theirs, strict=True):
        for name, factor in (("exp_sum", 1 - 0.9), ("exp_sum_sq", 1 - 0.999)):
            wanted = rival.state[its][name.replace("sum", "avg")].numpy()
            np.testing.assert_allclose(factor * state[f"{mine.name}.{name}"], wanted, rtol=1e-11)


def test_bias_correction_is_exact_in_float32():
    """With a constant gradient every Adam step has length lr, from the first: nothing cancels."""
    w = gn.parameter(np.zeros(1, "float32"), "w")
    adam = optim.Adam([w], lr=1e-3, betas=(0.9, 0.9999), eps=0.0)
    step = gn.compile([], None, adam.updates_from([gn.constant(np.full(1, 3.0, "float32"))]))
    for t in range(1, 6):
        step()
        assert w.value[0] == pytest.approx(-1e-3 * t, rel=2e-7)
