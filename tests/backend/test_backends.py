"""What a backend is: chosen by name, asked for a kernel a step, free to leave it to the reference."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import graphnet as gn
from graphnet import config
from graphnet.backend.base import Bound, Calls, reference_kernel
from graphnet.backend.naive import KERNELS
from graphnet.backend.registry import backend_names, get_backend
from graphnet.errors import ArgumentError
from graphnet.ops.evaluate import apply_op


def test_names(monkeypatch):
    assert backend_names() == ["naive", "native", "numpy"]
    assert [get_backend(name).name for name in backend_names()] == backend_names()
    monkeypatch.delenv("GRAPHNET_BACKEND", raising=False)
    assert get_backend().name == config.default_backend()
    monkeypatch.setenv("GRAPHNET_BACKEND", "naive")
    assert get_backend().name == "naive" and get_backend("numpy").name == "numpy"


def test_an_unknown_name(monkeypatch):
    with pytest.raises(ArgumentError, match="backend must be one of naive, native, numpy, got 'tpu'"):
        get_backend("tpu")
    monkeypatch.setenv("GRAPHNET_BACKEND", "tpu")
    with pytest.raises(ArgumentError, match="GRAPHNET_BACKEND must be one of naive, native, numpy, not 'tpu'"):
        get_backend()


def test_the_environment_chooses_what_compile_uses(monkeypatch):
    x = gn.input("x", (2, 2))
    monkeypatch.setenv("GRAPHNET_BACKEND", "naive")
    program = gn.compile(x, x @ x).specialize()
    assert any(getattr(kernel, "func", None) in KERNELS.values() for kernel in program.lowered.body)
    monkeypatch.setenv("GRAPHNET_BACKEND", "numpy")
    program = gn.compile(x, x @ x).specialize()
    assert not any(getattr(kernel, "func", None) in KERNELS.values() for kernel in program.lowered.body)


def test_a_ufunc_is_bound_without_a_python_frame():
    x = gn.input("x", (3,))
    node = x + x
    array, out = np.arange(3, dtype=np.float32), np.empty(3, np.float32)
    kernel = reference_kernel(Bound(node.op, out, (array, array), ()))
    assert kernel.func is np.add
    kernel()
    assert out.tolist() == [0, 2, 4]


def test_a_fused_step_is_several_calls():
    x = gn.input("x", (300, 300))
    program = gn.compile(x, gn.sum(gn.exp(x * 2.0 + 1.0), axis=0)).specialize()
    index = next(i for i, node in enumerate(program.schedule.steps) if node.op.name == "fused")
    kernel, node = program.lowered.body[index], program.schedule.steps[index]
    assert isinstance(kernel, Calls)
    array = np.random.default_rng(0).random((300, 300), np.float32)
    program.run([array])
    inputs = [program.lowered.arrays[value] for value in node.inputs]
    np.testing.assert_array_equal(apply_op(node.op, *inputs).shape, (300, 300))
    np.testing.assert_allclose(program.run([array])[0], np.exp(array * 2 + 1).sum(0), rtol=1e-5)


def test_what_a_backend_cannot_do_falls_back_to_the_reference():
    x = gn.input("x", (4, 4))
    outputs = [gn.softmax(x, axis=1), gn.cumsum(x, axis=0), x @ x, gn.one_hot(gn.argmax(x, axis=1), 4)]
    array = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    naive, plain = (gn.compile(x, outputs, backend=name)(array) for name in ("naive", "numpy"))
    for a, b in zip(naive, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lenet", "deep_mlp"])
def test_backends_agree_on_the_gradients_of_models(name):
    module = importlib.import_module(f"models.{name}")
    model = module.build(**({"hidden": (16, 16), "keep": 1.0} if name == "deep_mlp" else {})).double()
    x, labels = gn.input("x", ("N", *module.INPUT_SHAPE), "float64"), gn.input("labels", ("N",), "int64")
    loss = gn.cross_entropy(model(x), labels)
    gradients = gn.gradients(loss, list(model.parameters()))
    array = np.random.default_rng(0).random((2, *module.INPUT_SHAPE))
    found = [
        gn.compile([x, labels], [loss, *gradients], backend=backend)(array, np.array([3, 7]))
        for backend in backend_names()
    ]
    for values in zip(*found, strict=True):
        for value in values[1:]:
            np.testing.assert_allclose(value, values[0], rtol=1e-9, atol=1e-12)
