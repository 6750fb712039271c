"""Optimizers as graph: state, names, frozen parameters, rates that are nodes, mistakes."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import ArgumentError, GradientError, WeightsError
from graphnet.graph.provenance import UPDATE


class Two(nn.Module):
    def __init__(self) -> None:
        self.a = gn.parameter([1.0, 2.0], "a")
        self.b = gn.parameter([3.0], "b")

    def forward(self):
        return gn.sum(self.a * self.a) + gn.sum(self.b * self.a)


def test_updates_belong_to_the_update_and_to_the_parameters_layer():
    model = nn.Sequential(Two())
    updates = optim.Adam(model.parameters()).updates(model[0]())
    assert {node.provenance.role for node in updates} == {UPDATE}
    by_target = {node.inputs[0].name: node.provenance.scope for node in updates}
    assert by_target["step"] == ("Adam",)
    assert by_target["0.a"] == by_target["0.a.exp_sum"] == ("0:Two",)


def test_all_updates_read_old_values():
    a, b = gn.parameter([1.0], "a"), gn.parameter([10.0], "b")
    step = gn.compile([], None, optim.SGD([a, b], lr=1.0).updates(gn.sum(a * b)))
    step()
    assert (a.value[0], b.value[0]) == (-9.0, 9.0)


def test_a_frozen_parameter_stays():
    model = Two()
    model.a.requires_grad_(False)
    step = gn.compile([], None, optim.SGD(model.parameters(), lr=0.5).updates(model()))
    step()
    assert model.a.value.tolist() == [1.0, 2.0] and model.b.value.tolist() == [1.5]


def test_the_rate_can_be_a_parameter_that_the_user_sets():
    w, rate = gn.parameter([1.0], "w"), gn.parameter(0.0, "rate")
    step = gn.compile([], None, optim.SGD([w], lr=rate).updates(gn.sum(w)))
    step()
    assert w.value[0] == 1.0
    rate.set_value(0.25)
    step()
    assert w.value[0] == 0.75


def test_a_saved_state_continues_to_the_same_bits():
    def steps(model, optimizer, count):
        run = gn.compile([], None, optimizer.updates(model()))
        for _ in range(count):
            run()

    whole, first = Two(), Two()
    steps(whole, optim.Adam(whole.parameters(), lr=optim.cosine(0.1, 10)), 6)
    adam = optim.Adam(first.parameters(), lr=optim.cosine(0.1, 10))
    steps(first, adam, 3)
    second = Two()
    second.load_state_dict(first.state_dict())
    resumed = optim.Adam(second.parameters(), lr=optim.cosine(0.1, 10))
    resumed.updates(second())
    resumed.load_state_dict(adam.state_dict())
    steps(second, resumed, 3)
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], value)
    with pytest.raises(WeightsError, match=r"missing: a.exp_sum"):
        resumed.load_state_dict({"step": np.int64(3)})


def test_parameters_of_one_name_have_state_of_their_own():
    pair = [gn.parameter([1.0]), gn.parameter([2.0])]
    adam = optim.Adam(pair)
    adam.updates(gn.sum(pair[0] * pair[1]))
    assert len(adam.state) == 5


def test_a_loss_that_leaves_a_parameter_out_names_it():
    model = nn.Sequential(Two(), Two())
    with pytest.raises(GradientError, match=r"'1\.a'"):
        optim.SGD(model.parameters()).updates(model[0]())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD([]), "got no parameters"),
        (lambda p: optim.SGD(p), "such as model.parameters"),
        (lambda p: optim.SGD([p, p]), "'p' is given twice"),
        (lambda p: optim.SGD([("p", p)]), "no names"),
        (lambda p: optim.SGD([gn.parameter([1], "n")]), "'n' is int64"),
        (lambda p: optim.SGD([p], lr=-1.0), "lr must be a number >= 0"),
        (lambda p: optim.SGD([p], lr=gn.input("lr", (2,))), "lr must be a floating-point scalar"),
        (lambda p: optim.SGD([p], nesterov=True), "nesterov needs momentum"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), r"betas\[1\] must be a number in \[0, 1\)"),
        (lambda p: optim.Adam([p], betas=0.9), "betas must be two numbers"),
        (lambda p: optim.Adam([p]).updates_from([]), "expected 1 gradients"),
        (lambda p: optim.SGD([p]).updates_from([gn.constant(1.0)]), r"gradient for 'p' must be a node float32\[1\]"),
        (lambda p: optim.Adam([p]).updates_from([1.0]), "the gradient for 'p' must be a node .*, got 1.0"),
        (lambda p: optim.SGD([p]).updates(gn.sum(p), lambda g: []), "what transform gives must be a gradient for each"),
        (lambda p: optim.SGD([p]).updates(gn.sum(p), lambda g: [gn.sum(p)]), "what transform gives for 'p' must be a"),
        (lambda p: optim.SGD([p]).updates(gn.sum(p), 1.0), "transform must be a function of gradients, .*, got 1.0"),
        (lambda p: optim.SGD([p]).updates(gn.sum(p), lambda g: None), "must give a list of gradients, got None"),
        (lambda p: optim.clip_grad_norm(0), "clip_grad_norm: max_norm must be a number > 0, got 0"),
        (lambda p: optim.clip_grad_norm(1.0, 0), "clip_grad_norm: norm_type must be a number > 0, got 0"),
        (lambda p: optim.clip_grad_norm(1.0, "inf"), "clip_grad_norm: norm_type must be a number > 0, got 'inf'"),
        (lambda p: optim.clip_grad_norm(1.0, error_if_nonfinite=True), "error_if_nonfinite=True is not supported"),
        (lambda p: optim.clip_grad_norm(1.0, foreach=True), "clip_grad_norm: foreach=True is not supported"),
        (lambda p: optim.clip_grad_value(-1), "clip_grad_value: clip_value must be a number > 0, got -1"),
        (lambda p: optim.clip_grad_value(1, foreach=False), "clip_grad_value: foreach=False is not supported"),
        (lambda p: optim.global_norm([p], -1), "global_norm: norm_type must be a number > 0, got -1"),
        (lambda p: optim.Adam([p.requires_grad_(False)]).updates(gn.sum(p)), "no parameter is left to train"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make(gn.parameter([1.0], "p"))


def test_arguments_that_are_not_supported_raise():
    with pytest.raises(ArgumentError, match="Adam: fused=True is not supported; leave it at None"):
        optim.Adam([gn.parameter([1.0])], fused=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'momentum'"):
        optim.Adam([gn.parameter([1.0])], momentum=0.9)


def test_numpys_numbers_are_numbers():
    p = gn.parameter([1.0], "p")
    for lr in (np.float32(0.5), np.float64(0.5), optim.exponential(np.float32(0.5), np.float32(1.0))):
        start = p.value
        gn.compile([], None, optim.SGD([p], lr=lr).updates(gn.sum(p)))()
        assert p.value == start - 0.5
