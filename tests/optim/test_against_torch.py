"""Update formulas against torch.optim: the same gradients in, the same parameters out, in every option."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim

torch = pytest.importorskip("torch")

CASES = {
    "sgd": ("SGD", dict(lr=0.1)),
    "sgd-momentum": ("SGD", dict(lr=0.1, momentum=0.9)),
    "sgd-dampening": ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.3)),
    "sgd-nesterov-decay": ("SGD", dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.02)),
    "rmsprop": ("RMSprop", dict()),
    "rmsprop-centered-momentum": ("RMSprop", dict(lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.01)),
    "adam": ("Adam", dict()),
    "adam-decay-betas": ("Adam", dict(lr=0.03, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05)),
    "adam-amsgrad": ("Adam", dict(lr=0.03, amsgrad=True)),
    "adam-no-first-moment": ("Adam", dict(betas=(0.0, 0.99))),
    "adamw": ("AdamW", dict()),
    "adamw-decay": ("AdamW", dict(lr=0.05, weight_decay=0.3, amsgrad=True)),
}
CLIPPING = {
    "norm-active": (optim.clip_grad_norm(0.5), lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5)),
    "norm-idle": (optim.clip_grad_norm(1e3), lambda p: torch.nn.utils.clip_grad_norm_(p, 1e3)),
    "value": (optim.clip_grad_value(0.1), lambda p: torch.nn.utils.clip_grad_value_(p, 0.1)),
}
DTYPES = {"float64": 1e-12, "float32": 3e-5}


def _values(dtype):
    generator = np.random.default_rng(0)
    return [generator.normal(size=shape).astype(dtype) for shape in ((3, 4), (5,), ())]


def _ours(parameters):
    """A loss that is not quadratic, so that gradients change in size and sign."""
    return sum((gn.sum(gn.sin(3.0 * p) + p * p) for p in parameters), gn.constant(0, parameters[0].dtype))


def _theirs(parameters):
    return sum((torch.sin(3.0 * p) + p * p).sum() for p in parameters)


def _compare(ours, theirs, optimizer, rival, tolerance, transform=None, change=None):
    step = gn.compile([], None, optimizer.updates(_ours(ours), transform))
    for _ in range(25):
        step()
        rival.zero_grad()
        _theirs(theirs).backward()
        if change is not None:
            change(theirs)
        rival.step()
        for mine, its in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.value, its.detach().numpy(), rtol=tolerance, atol=tolerance)


def _pair(dtype):
    values = _values(dtype)
    ours = [gn.parameter(value, f"p{i}") for i, value in enumerate(values)]
    return ours, [torch.nn.Parameter(torch.tensor(value)) for value in values]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_steps_follow_torch(name, dtype):
    kind, options = CASES[name]
    ours, theirs = _pair(dtype)
    optimizer, rival = getattr(optim, kind)(ours, **options), getattr(torch.optim, kind)(theirs, **options)
    _compare(ours, theirs, optimizer, rival, DTYPES[dtype])


@pytest.mark.parametrize("name", CLIPPING)
def test_clipping_follows_torch(name):
    transform, change = CLIPPING[name]
    ours, theirs = _pair("float64")
    optimizer, rival = optim.SGD(ours, lr=0.1), torch.optim.SGD(theirs, lr=0.1)
    _compare(ours, theirs, optimizer, rival, 1e-12, transform, change)


def test_state_is_torchs_but_for_a_factor():
    """Sums are kept where torch keeps averages: m / (1 - beta1) and v / (1 - beta2)."""
    ours, theirs = _pair("float64")
    adam, rival = optim.Adam(ours), torch.optim.Adam(theirs)
    _compare(ours, theirs, adam, rival, 1e-12)
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
