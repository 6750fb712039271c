"""A declared graph as a module of torch: values, gradients and running statistics as graphnet's own."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.autodiff import gradients
from graphnet.cli.steps import training_graph
from tests.models.common import NAMES, small

torch = pytest.importorskip("torch")
to_module = pytest.importorskip("graphnet.interop.torch").to_module

RANDOM = {"deep_mlp", "vae"}  # draw random numbers, which every library has of its own
SIZE = 3


def tensors(arrays):
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("name", sorted(set(NAMES) - RANDOM))
def test_every_model_has_graphnets_loss_and_running_statistics(name):
    graph = training_graph(small(name))
    inputs, batch = [*graph.inputs, graph.target], graph.random_batch(SIZE)
    module = to_module(inputs, graph.loss, sizes={"N": SIZE})
    wanted = float(gn.compile(inputs, graph.loss, rewrite=False)(*batch))
    assert module(*tensors(batch)).item() == pytest.approx(wanted, rel=1e-5)
    running = {key: value.value for key, value in graph.model.named_buffers()}
    state = {key: value.numpy() for key, value in module.named_buffers() if key in running}
    assert set(state) == {key for key in running if "random" not in key}
    for key, value in state.items():
        np.testing.assert_allclose(value, running[key], rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", ["lenet", "resnet20", "lstm_lm"])
def test_gradients_are_graphnets(name):
    graph = training_graph(small(name))
    inputs, batch = [*graph.inputs, graph.target], graph.random_batch(SIZE)
    weights = {key: value for key, value in graph.model.named_parameters() if value.requires_grad}
    module = to_module(inputs, graph.loss, sizes={"N": SIZE})
    found = gradients(graph.loss, list(weights.values()))
    wanted = gn.compile(inputs, dict(zip(weights, found, strict=True)), rewrite=False)(*batch)
    module(*tensors(batch)).backward()
    largest = max(np.abs(gradient).max() for gradient in wanted.values())
    assert {key for key, _ in module.named_parameters()} == set(weights)
    for key, value in module.named_parameters():
        # Sums in another order, through up to 20 layers of float32: some 1e-4 of the gradient's largest element; and
        # where a gradient is 0 but for rounding, as before a batch normalization, 1e-5 of the largest of all.
        bound = 2e-3 * np.abs(wanted[key]).max() + 1e-5 * largest
        np.testing.assert_allclose(value.grad.numpy(), wanted[key], rtol=0, atol=bound, err_msg=key)


@pytest.mark.parametrize("name", ["resnet20", "char_transformer"])
def test_predictions_are_graphnets(name):
    file = small(name)
    gn.manual_seed(0)
    model = file.build().eval()
    inputs = file.input_nodes()
    outputs = file.outputs(model, inputs)
    rng = np.random.default_rng(0)
    batch = [
        rng.random((SIZE, *node.shape[1:])).astype("f") if node.type.is_float else rng.integers(0, 9, (SIZE, 64))
        for node in inputs
    ]
    module = to_module(list(inputs), outputs, sizes={"N": SIZE})
    with torch.inference_mode():
        got = module(*tensors(batch)).numpy()
    np.testing.assert_allclose(got, gn.compile(list(inputs), outputs)(*batch), rtol=1e-4, atol=1e-5)


def targets(module):
    return [getattr(node.target, "__name__", node.target) for node in module.graph.nodes if "call" in node.op]


def test_layers_are_the_one_function_that_torch_has_for_them():
    x, labels = gn.input("x", ("N", 8, 6, 6)), gn.input("labels", ("N",), "int64")
    model = nn.Sequential(
        nn.Conv2d(8, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4, affine=True), nn.Flatten(), nn.Linear(144, 10), nn.LayerNorm(10), nn.GELU(),
    )  # fmt: skip
    loss = gn.cross_entropy(model(x), labels)
    layers = ["conv2d", "batch_norm", "relu", "group_norm", "instance_norm", "reshape", "linear", "layer_norm", "gelu"]
    assert targets(to_module([x, labels], loss, sizes={"N": 2})) == [*layers, "cross_entropy", "add_"]


def test_attention_is_one_function_and_a_causal_mask_a_flag():
    x = gn.input("x", ("N", 5, 8))
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    module = to_module([x], layer(x, is_causal=True), sizes={"N": 2})
    (call,) = [node for node in module.graph.nodes if "scaled_dot_product" in str(node.target)]
    assert call.kwargs["is_causal"]
    assert call.args[3] is None
    assert "softmax" not in targets(module)
    array = np.random.default_rng(0).standard_normal((2, 5, 8)).astype("f")
    got = module(torch.from_numpy(array)).detach().numpy()
    np.testing.assert_allclose(got, gn.compile([x], layer(x, is_causal=True))(array), rtol=1e-4, atol=1e-5)


def test_a_layer_called_twice_moves_its_statistics_twice():
    x = gn.input("x", ("N", 3))
    layer = nn.BatchNorm1d(3)
    y = layer(layer(x) * 2 + 1)
    module = to_module([x], y, sizes={"N": 4})
    array = np.random.default_rng(0).standard_normal((4, 3)).astype("f")
    got = module(torch.from_numpy(array)).detach().numpy()
    np.testing.assert_allclose(got, gn.compile([x], y)(array), rtol=1e-4, atol=1e-5)
    for name, value in layer.named_buffers():
        np.testing.assert_allclose(module.state_dict()[name].numpy(), value.value, rtol=1e-5, err_msg=name)


CASES = {
    "slices backwards": lambda x: x[:, ::-1, 1:4:2],
    "pads": lambda x: gn.pad(x, ((0, 0), (1, 2), (0, 3)), value=7.0),
    "reduces": lambda x: gn.var(x, axis=1) + gn.max(x, axis=1) + gn.min(x, axis=1) + gn.mean(x, axis=1),
    "compares": lambda x: gn.where(gn.less(x, 0.2), gn.maximum(x, -0.5), gn.minimum(0.1, x)),
    "picks": lambda x: gn.take(x, np.array([[-1, 0], [2, 1]]), axis=1),
    "bounds": lambda x: gn.clip(x, -0.3, 0.4) + gn.sign(x) * gn.floor(x) + gn.power(gn.abs(x), 2.5),
    "activates": lambda x: gn.silu(x) + gn.softplus(x) + gn.elu(x) + gn.leaky_relu(x, 0.1) + gn.gelu(x),
    "derives": lambda x: gn.gradients(gn.sum(gn.gelu(x) * gn.gelu(2 * x, "tanh")), [x])[0],
    "joins": lambda x: gn.concatenate([x, gn.log_softmax(x, axis=2)], axis=1),
    "finds": lambda x: gn.argmax(x, axis=2),
    "multiplies": lambda x: gn.matmul(x, gn.swapaxes(x, 1, 2)),
}


@pytest.mark.parametrize("what", CASES)
def test_ops_are_graphnets(what):
    x = gn.input("x", ("N", 4, 5))
    y = CASES[what](x)
    array = np.random.default_rng(1).standard_normal((3, 4, 5)).astype("f")
    got = to_module([x], y, sizes={"N": 3})(torch.from_numpy(array)).numpy()
    np.testing.assert_allclose(got, gn.compile([x], y)(array), rtol=1e-5, atol=1e-6)


def test_several_outputs_are_a_tuple():
    x = gn.input("x", ("N",))
    first, second, third = to_module([x], [x + 1, x * 2, gn.constant(3.0)], sizes={"N": 2})(torch.ones(2))
    assert (first.tolist(), second.tolist(), third.item()) == ([2, 2], [2, 2], 3)


def test_an_op_without_translation_names_itself_and_its_line():
    x = gn.input("x", ("N", 4))
    y = gn.random.uniform(("N", 4)) + x
    with pytest.raises(gn.ArgumentError, match=r"the op uniform has no translation to torch: random(.|\n)*test_torch"):
        to_module([x], y, sizes={"N": 2})
