"""Accumulated gradients: several small batches are one large one."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError

PLAIN = [name for name in optim.OPTIMIZERS if name != "SGD"]
OPTIONS = {"SGD": dict(momentum=0.9, dampening=0.1), "RMSprop": dict(centered=True, momentum=0.5)}


def net(optimizer, batch):
    """A compiled training step of a small net on batches of this size, and the net."""
    gn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, dtype="float64"), nn.Tanh(), nn.Linear(8, 3, dtype="float64"))
    x, y = gn.input("x", (batch, 4), "float64"), gn.input("y", (batch,), "int64")
    made = optimizer(model.parameters())
    loss = gn.cross_entropy(model(x), y)
    return model, made, gn.compile([x, y], loss, made.updates(loss, optim.clip_grad_norm(0.5)))


def data(count):
    generator = np.random.default_rng(1)
    return generator.normal(size=(count, 4)), generator.integers(0, 3, count)


@pytest.mark.parametrize("name", ["SGD", *PLAIN])
def test_small_batches_are_one_large_one(name):
    def make(params):
        return optim.OPTIMIZERS[name](params, lr=optim.cosine(0.01, 20), **OPTIONS.get(name, {}))

    large, _, step = net(make, 12)
    small, _, part = net(lambda params: optim.Accumulate(make(params), 3), 4)
    x, y = data(96)
    for at in range(0, 96, 12):
        step(x[at : at + 12], y[at : at + 12])
        for start in range(at, at + 12, 4):
            before = small.state_dict()
            part(x[start : start + 4], y[start : start + 4])
            moved = any((before[key] != value).any() for key, value in small.state_dict().items())
            assert moved == (start == at + 8)
        for key, value in large.state_dict().items():
            np.testing.assert_allclose(small.state_dict()[key], value, rtol=1e-12, atol=1e-12)


def test_state_changes_only_with_the_parameters():
    _, adam, part = net(lambda params: optim.Accumulate(optim.NAdam(params), 2), 4)
    x, y = data(4)
    part(x, y)
    state = adam.state_dict()
    assert (state["step"], state["accumulated"], state["mu_product"]) == (0, 1, 1.0)
    assert not state["0.weight.exp_sum"].any() and state["0.weight.grad_sum"].any()
    part(x, y)
    state = adam.state_dict()
    assert (state["step"], state["accumulated"]) == (1, 0) and state["mu_product"] < 1.0
    assert state["0.weight.exp_sum"].any() and not state["0.weight.grad_sum"].any()


def test_a_run_resumed_between_two_updates_gives_the_same_bits():
    def make(params):
        return optim.Accumulate(optim.EMA(optim.Adam(params, lr=optim.linear_warmup(0.01, 3)), 0.5), 3)

    x, y = data(40)
    batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 40, 4)]
    whole, whole_optimizer, step = net(make, 4)
    for batch in batches:
        step(*batch)
    first, first_optimizer, step = net(make, 4)
    for batch in batches[:5]:
        step(*batch)
    second, second_optimizer, step = net(make, 4)
    second.load_state_dict(first.state_dict())
    second_optimizer.load_state_dict(first_optimizer.state_dict())
    for batch in batches[5:]:
        step(*batch)
    pairs = [(whole.state_dict(), second.state_dict()), (whole_optimizer.state_dict(), second_optimizer.state_dict())]
    for wanted, came in pairs:
        assert list(wanted) == list(came)
        for key, value in wanted.items():
            np.testing.assert_array_equal(came[key], value)


def test_values_that_are_not_taken_may_be_anything():
    """An update that would be NaN in between, here 0 / 0, leaves no trace."""
    w, g = gn.parameter([1.0], "w"), gn.parameter([0.0], "g", requires_grad=False)
    accumulated = optim.Accumulate(optim.RMSprop([w], lr=0.5, alpha=0.0, eps=0.0), 2)
    step = gn.compile([], None, accumulated.updates_from([g]))
    step()
    assert w.value[0] == 1.0
    g.set_value([3.0])
    step()
    assert w.value[0] == 0.5


def test_a_gradient_that_is_nan_is_seen_and_then_gone():
    w, g = gn.parameter([1.0], "w"), gn.parameter([np.nan], "g", requires_grad=False)
    step = gn.compile([], None, optim.Accumulate(optim.SGD([w], lr=1.0), 2).updates_from([g]))
    step()
    assert w.value[0] == 1.0
    step()
    assert np.isnan(w.value[0])
    w.set_value([1.0])
    g.set_value([2.0])
    step()
    step()
    assert w.value[0] == -1.0


def test_one_step_is_the_optimizer_itself():
    w, v = gn.parameter([1.0, -0.0], "w"), gn.parameter([1.0, -0.0], "v")
    gn.compile([], None, optim.Accumulate(optim.SGD([w], lr=0.1), 1).updates(gn.sum(w * w)))()
    gn.compile([], None, optim.SGD([v], lr=0.1).updates(gn.sum(v * v)))()
    assert w.value.tobytes() == v.value.tobytes()


def test_updates_of_large_parameters_are_ufuncs_of_the_commit():
    w = gn.parameter(np.ones(100_000, "float32"), "w")
    step = gn.compile([], None, optim.Accumulate(optim.Adam([w]), 2).updates(gn.sum(gn.sin(w))))
    names = {target.name for target in step.schedule.direct.values()}
    assert {"w", "w.exp_sum", "w.exp_sum_sq", "w.grad_sum"} <= names


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda sgd: optim.Accumulate(sgd, 0), "Accumulate: steps must be a positive integer, got 0"),
        (lambda sgd: optim.Accumulate(sgd, 2.0), "Accumulate: steps must be a positive integer, got 2.0"),
        (lambda sgd: optim.Accumulate(sgd, True), "Accumulate: steps must be a positive integer, got True"),
        (lambda sgd: optim.Accumulate(sgd.parameters, 2), "Accumulate: optimizer must be an optimizer, such as"),
        (lambda sgd: optim.Accumulate(optim.SGD, 2), "Accumulate: optimizer must be an optimizer, such as"),
        (lambda sgd: optim.Accumulate(optim.Accumulate(sgd, 2), 2), "accumulates gradients already"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make(optim.SGD([gn.parameter([1.0], "p")]))
