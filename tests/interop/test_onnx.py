"""A declared graph as an ONNX model: valid, with the names it was given, and with graphnet's own values."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from tests.models.common import small

onnx = pytest.importorskip("onnx")
export = pytest.importorskip("graphnet.interop.onnx").export

MODELS = ["char_transformer", "inception", "lenet", "resnet20", "unet"]  # between them every layer of models/


def evaluated(model, arrays):
    """The model's outputs: by a runtime where one is installed, or else by ONNX's own definitions in Python."""
    names = [value.name for value in model.graph.input]
    feeds = dict(zip(names, arrays, strict=True))
    try:
        from onnxruntime import InferenceSession
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(model).run(None, feeds)
    return InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_graphnets(name):
    file = small(name)
    gn.manual_seed(0)
    model = file.build().eval()
    (node,) = inputs = file.input_nodes()
    outputs = file.outputs(model, inputs)
    rng = np.random.default_rng(0)
    shape = (1, *node.shape[1:])
    array = rng.random(shape).astype("f") if node.type.is_float else rng.integers(0, 9, shape)
    made = export(node, outputs, sizes={"N": 1})
    (got,) = evaluated(made, [array])
    np.testing.assert_allclose(got, gn.compile(node, outputs, rewrite=False)(array), rtol=1e-4, atol=1e-5)


def test_layers_are_one_operator_and_weights_keep_their_names():
    x = gn.input("x", ("N", 3, 8, 8))
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5),
        nn.LayerNorm(5), nn.GELU(),
    ).eval()  # fmt: skip
    made = export(x, {"scores": model(x)}, sizes={"N": 2})
    kinds = [node.op_type for node in made.graph.node]
    assert kinds == [
        "Conv", "BatchNormalization", "Relu", "MaxPool", "Reshape", "Gemm", "LayerNormalization", "Gelu", "Identity",
    ]  # fmt: skip
    assert [value.name for value in made.graph.input] == ["x"]
    assert [value.name for value in made.graph.output] == ["scores"]
    assert set(model.state_dict()) - {"1.num_batches_tracked"} <= {value.name for value in made.graph.initializer}


CASES = {
    "slices backwards": lambda x: x[:, ::-1, 1:4:2],
    "pads": lambda x: gn.pad(x, ((0, 0), (1, 2), (0, 3)), value=7.0),
    "reduces": lambda x: gn.var(x, axis=1) + gn.max(x, axis=1) + gn.min(x, axis=1) + gn.sum(x, axis=1),
    "compares": lambda x: gn.where(gn.less(x, 0.2), gn.maximum(x, -0.5), gn.minimum(0.1, x)),
    "bounds": lambda x: gn.clip(x, -0.3, 0.4) + gn.sign(x) * gn.floor(x) + gn.power(gn.abs(x), 2.5),
    "activates": lambda x: gn.silu(x) + gn.softplus(x) + gn.elu(x) + gn.leaky_relu(x, 0.1),
    "derives": lambda x: gn.gradients(gn.sum(gn.gelu(x) * gn.gelu(2 * x, "tanh")), [x])[0],
    "joins": lambda x: gn.concatenate([x, gn.log_softmax(x, axis=2)], axis=1),
    "finds": lambda x: gn.argmax(x, axis=2),
}


@pytest.mark.parametrize("what", CASES)
def test_ops_are_graphnets(what):
    x = gn.input("x", ("N", 4, 5))
    y = CASES[what](x)
    array = np.random.default_rng(1).standard_normal((3, 4, 5)).astype("f")
    (got,) = evaluated(export(x, y, sizes={"N": 3}), [array])
    np.testing.assert_allclose(got, gn.compile(x, y)(array), rtol=1e-5, atol=1e-6)


def test_a_file_is_written_that_loads_and_checks(tmp_path):
    x = gn.input("x", (2, 3))
    export(x, [x + 1, x * 2], tmp_path / "net.onnx")
    read = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(read, full_check=True)
    assert [value.name for value in read.graph.output] == ["output_0", "output_1"]


def test_what_cannot_be_exported_says_why():
    x = gn.input("x", ("N", 4))
    with pytest.raises(gn.ArgumentError, match=r"export needs numbers for the dimensions N, such as sizes=\{'N': 1\}"):
        export(x, x + 1)
    with pytest.raises(gn.ArgumentError, match=r"updates parameters has no ONNX form(.|\n)*test_onnx"):
        export(x, nn.BatchNorm1d(4)(x), sizes={"N": 2})
    with pytest.raises(gn.ArgumentError, match=r"the op cumsum has no translation to ONNX\n  declared at .*test_onnx"):
        export(x, gn.cumsum(x, axis=1), sizes={"N": 2})
