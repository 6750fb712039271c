"""Averages of weights: torch's, kept in the step, and put in and taken out again."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError
from graphnet.training import DataLoader, Trainer
from tests.optim.torch_pair import assert_same, our_loss, pair, their_step, torch


class Weights(torch.nn.Module):
    def __init__(self, values):
        super().__init__()
        self.values = torch.nn.ParameterList(values)


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999, 1.0])
def test_averages_are_torchs(decay):
    ours, theirs = pair()
    ema, rival = optim.EMA(optim.NAdam(ours, lr=0.05), decay), torch.optim.NAdam(theirs, lr=0.05)
    averaged = torch.optim.swa_utils.AveragedModel(
        Weights(theirs), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay)
    )
    step = gn.compile([], None, ema.updates(our_loss(ours)))
    for _ in range(20):
        step()
        their_step(theirs, rival)
        averaged.update_parameters(Weights(theirs))
        assert_same(ours, theirs, 1e-12)
        with ema.averaged():
            assert_same(ours, averaged.module.values, 1e-12)


def trained(steps=3):
    """A parameter and an EMA after some steps, and one more step to make."""
    w = gn.parameter([1.0, -2.0], "w")
    ema = optim.EMA(optim.SGD([w], lr=0.1), 0.5)
    step = gn.compile([], None, ema.updates(gn.sum(w * w)))
    for _ in range(steps):
        step()
    return w, ema, step


def test_parameters_are_put_back_also_after_an_error():
    w, ema, _ = trained()
    before = w.value
    with pytest.raises(KeyError), ema.averaged():
        assert (w.value != before).all()
        raise KeyError
    np.testing.assert_array_equal(w.value, before)


def test_inside_one_another_the_outermost_puts_back():
    w, ema, _ = trained()
    before = w.value
    with ema.averaged():
        average = w.value
        with ema.averaged():
            np.testing.assert_array_equal(w.value, average)
        np.testing.assert_array_equal(w.value, average)
    np.testing.assert_array_equal(w.value, before)


def test_state_saved_inside_is_the_same_and_the_models_is_the_average():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ema = optim.EMA(optim.Adam(model.parameters(), lr=0.1), 0.5)
    x = gn.input("x", ("N", 3))
    step = gn.compile([x], None, ema.updates(gn.sum(gn.square(model(x)))))
    for seed in range(3):
        step(np.random.default_rng(seed).normal(size=(4, 3)).astype("float32"))
    weights, state = model.state_dict(), ema.state_dict()
    with ema.averaged():
        inside, inside_state = model.state_dict(), ema.state_dict()
    for key, value in state.items():
        np.testing.assert_array_equal(inside_state[key], value)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        np.testing.assert_array_equal(inside[name], state[f"{name}.average"])
        assert (inside[name] != weights[name]).any()
    np.testing.assert_array_equal(inside["1.running_mean"], weights["1.running_mean"])  # buffers are the model's own


def test_before_the_first_step_nothing_changes():
    w = gn.parameter([1.0], "w")
    ema = optim.EMA(optim.SGD([w]), 0.5)
    ema.updates(gn.sum(w))
    w.set_value([5.0])  # such as weights that were loaded after the step was declared
    with ema.averaged():
        assert w.value[0] == 5.0


def test_a_step_inside_is_an_error_at_the_end():
    w, ema, step = trained()
    before = w.value
    with pytest.raises(ArgumentError, match=r"a training step was made inside averaged\(\)"), ema.averaged():
        step()
    np.testing.assert_array_equal(w.value, before)


def test_a_frozen_parameter_has_no_average():
    a, b = gn.parameter([1.0], "a").requires_grad_(False), gn.parameter([1.0], "b")
    ema = optim.EMA(optim.SGD([a, b], lr=0.5), 0.5)
    gn.compile([], None, ema.updates(gn.sum(a * b)))()
    assert list(ema.state) == ["step", "averaged", "b.average"]
    with ema.averaged():
        assert (a.value[0], b.value[0]) == (1.0, 0.5)


def test_a_resumed_run_gives_the_same_bits():
    whole, _, _ = trained(6)
    first, ema, _ = trained(3)
    w = gn.parameter(first.value, "w")
    resumed = optim.EMA(optim.SGD([w], lr=0.1), 0.5)
    resumed.load_state_dict(ema.state_dict())  # before there is a step
    step = gn.compile([], None, resumed.updates(gn.sum(w * w)))
    for _ in range(3):
        step()
    np.testing.assert_array_equal(w.value, whole.value)


def test_accumulated_steps_are_averaged_once_each():
    w, v = gn.parameter([1.0], "w"), gn.parameter([1.0], "v")
    often, once = optim.EMA(optim.SGD([w], lr=0.1), 0.5), optim.EMA(optim.SGD([v], lr=0.1), 0.5)
    step = gn.compile([], None, optim.Accumulate(often, 2).updates(gn.sum(w * w)))
    rival = gn.compile([], None, once.updates(gn.sum(v * v)))
    for _ in range(3):
        step()
        step()
        rival()
    with often.averaged(), once.averaged():
        np.testing.assert_array_equal(w.value, v.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda sgd: optim.EMA(sgd, 1.5), r"EMA: decay must be a number in \[0, 1\], got 1.5"),
        (lambda sgd: optim.EMA(sgd, "0.9"), r"EMA: decay must be a number in \[0, 1\], got '0.9'"),
        (lambda sgd: optim.EMA(3), "EMA: optimizer must be an optimizer, such as"),
        (lambda sgd: optim.EMA(optim.EMA(sgd)), "around a plain optimizer, got an EMA"),
        (lambda sgd: optim.EMA(optim.Accumulate(sgd, 2)), r"write Accumulate\(EMA\(...\), steps\)"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make(optim.SGD([gn.parameter([1.0], "p")]))


def test_a_trainer_takes_wrappers_as_they_are_and_resumes_to_the_same_bits(tmp_path):
    def make():
        gn.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        rate = optim.ReduceLROnPlateau(0.05, patience=0, factor=0.5)
        weights, biases = (
            [p for name, p in model.named_parameters() if name.endswith(kind)] for kind in ("weight", "bias")
        )
        ema = optim.EMA(optim.AdamW([{"params": weights}, {"params": biases, "weight_decay": 0.0}], lr=rate), 0.9)
        generator = np.random.default_rng(0)
        arrays = generator.normal(size=(24, 4)).astype("float32"), generator.integers(0, 3, 24)
        loader = DataLoader(arrays, 4, shuffle=True, seed=1)
        return rate, ema, Trainer(model, gn.cross_entropy, optim.Accumulate(ema, 4)), loader

    rate, ema, trainer, loader = make()
    trainer.fit(loader, epochs=1, progress=False)  # six batches: one update, and half of the next
    rate.step(1.0)
    trainer.save(tmp_path / "run.safetensors")
    trainer.fit(loader, epochs=1, progress=False)
    rate.step(1.0)
    in_order = DataLoader(loader.arrays, 4)  # each evaluation adds the same losses up, in the same order
    plain = trainer.evaluate(in_order)
    with ema.averaged():
        assert trainer.evaluate(in_order) != plain
    assert trainer.evaluate(in_order) == plain

    rate_again, _, resumed, loader = make()
    resumed.resume(tmp_path / "run.safetensors")
    resumed.fit(loader, epochs=1, progress=False)
    rate_again.step(1.0)
    pairs = [(trainer.optimizer, resumed.optimizer), (trainer.model, resumed.model)]
    for wanted, came in ((a.state_dict(), b.state_dict()) for a, b in pairs):
        assert list(wanted) == list(came)
        for name, value in wanted.items():
            np.testing.assert_array_equal(came[name], value, err_msg=name)
