"""A declared graph as a function for JAX: loss, gradients and running statistics as graphnet's own."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.autodiff import gradients
from graphnet.cli.steps import training_graph
from tests.models.common import NAMES, small

jax = pytest.importorskip("jax")
to_function = pytest.importorskip("graphnet.interop.jax").to_function

RANDOM = {"deep_mlp", "vae"}  # draw random numbers, which every library has of its own
SIZE = 3
QUICK = {"char_transformer", "hinge_classifier", "lenet", "resnet20"}  # each op is compiled on its own: seconds a model
MODELS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(set(NAMES) - RANDOM)]


@pytest.fixture(autouse=True)
def wide_integers():
    """Labels are int64, as graphnet has them."""
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_graphnets_loss_and_running_statistics(name):
    graph = training_graph(small(name))
    inputs, batch = [*graph.inputs, graph.target], graph.random_batch(SIZE)
    apply, parameters = to_function(inputs, graph.loss, sizes={"N": SIZE})
    wanted = float(gn.compile(inputs, graph.loss, rewrite=False)(*batch))
    loss, updated = apply(parameters, *batch)
    assert float(loss) == pytest.approx(wanted, rel=1e-5)
    for key, value in updated.items():
        np.testing.assert_allclose(value, graph.model.state_dict()[key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_gradients_are_graphnets():
    graph = training_graph(small("lenet"))
    inputs, batch = [*graph.inputs, graph.target], graph.random_batch(SIZE)
    apply, parameters = to_function(inputs, graph.loss, sizes={"N": SIZE})
    found = jax.grad(lambda weights: apply(weights, *batch)[0])(parameters)
    weights = dict(graph.model.named_parameters())
    wanted = gn.compile(inputs, dict(zip(weights, gradients(graph.loss, list(weights.values())), strict=True)))(*batch)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=2e-3 * np.abs(value).max(), err_msg=key)


CASES = {
    "slices backwards": lambda x: x[:, ::-1, 1:4:2],
    "pads": lambda x: gn.pad(x, ((0, 0), (1, 2), (0, 3)), value=7.0),
    "reduces": lambda x: gn.var(x, axis=1) + gn.max(x, axis=1) + gn.min(x, axis=1) + gn.sum(x, axis=1),
    "compares": lambda x: gn.where(gn.less(x, 0.2), gn.maximum(x, -0.5), gn.minimum(0.1, x)),
    "bounds": lambda x: gn.clip(x, -0.3, 0.4) + gn.sign(x) * gn.floor(x) + gn.power(gn.abs(x), 2.5),
    "activates": lambda x: gn.silu(x) + gn.softplus(x) + gn.elu(x) + gn.leaky_relu(x, 0.1) + gn.gelu(x),
    "derives": lambda x: gn.gradients(gn.sum(gn.gelu(x) * gn.gelu(2 * x, "tanh")), [x])[0],
    "pools": lambda x: nn.AvgPool1d(2, padding=1)(x) + nn.AvgPool1d(2, padding=1, count_include_pad=False)(x),
}


@pytest.mark.parametrize("what", CASES)
def test_ops_are_graphnets(what):
    x = gn.input("x", ("N", 4, 5))
    y = CASES[what](x)
    array = np.random.default_rng(1).standard_normal((3, 4, 5)).astype("f")
    apply, parameters = to_function(x, y, sizes={"N": 3})
    np.testing.assert_allclose(apply(parameters, array)[0], gn.compile(x, y)(array), rtol=1e-5, atol=1e-6)


def test_an_op_without_translation_names_itself_and_its_line():
    x = gn.input("x", ("N", 4))
    with pytest.raises(gn.ArgumentError, match=r"the op cumsum has no translation to JAX\n  declared at .*test_jax"):
        to_function(x, gn.cumsum(x, axis=1), sizes={"N": 2})
