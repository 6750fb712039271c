"""The whole pipeline changes how a result is computed, not the result: models, and random graphs."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import graphnet as gn
from graphnet import optim
from tools.fuzz import NATIVE, WAYS, differences, draw, main

MODELS = ["lenet", "mlp", "deep_mlp"]
OTHERS = [way for way in WAYS if way != "checked"]


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_agrees_in_every_way(name: str) -> None:
    """Losses, gradients and what the step leaves in every parameter, running statistics included."""
    module = importlib.import_module(f"models.{name}")
    model = module.build().to("float64")
    x, labels = gn.input("x", ("N", *module.INPUT_SHAPE), "float64"), gn.input("labels", ("N",), "int64")
    loss = gn.cross_entropy(model(x), labels)
    updates = optim.SGD(model.parameters(), lr=0.1).updates(loss)
    rng = np.random.default_rng(0)
    arrays = rng.random((5, *module.INPUT_SHAPE)), rng.integers(0, module.CLASSES, 5)
    start = model.state_dict()
    results = {}
    for way, options in WAYS.items():
        model.load_state_dict(start)
        gn.manual_seed(0)
        value = gn.compile([x, labels], loss, updates, **options)(*arrays)
        results[way] = (value, model.state_dict())
    wanted, state = results.pop("as declared")
    for way, (value, left) in results.items():
        np.testing.assert_allclose(value, wanted, rtol=1e-12, err_msg=way)
        for key in state:
            np.testing.assert_allclose(left[key], state[key], rtol=1e-9, atol=1e-12, err_msg=f"{way}: {key}")


@pytest.mark.parametrize("name", MODELS)
def test_evaluation_agrees_in_every_way(name: str) -> None:
    module = importlib.import_module(f"models.{name}")
    model = module.build().to("float64").eval()
    x = gn.input("x", ("N", *module.INPUT_SHAPE), "float64")
    scores = model(x)
    array = np.random.default_rng(0).random((3, *module.INPUT_SHAPE))
    wanted = gn.compile([x], scores, rewrite=False)(array)
    for way, options in WAYS.items():
        found = gn.compile([x], scores, **options)(array)
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13, err_msg=way)


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_agree(seed: int) -> None:
    """Each checked step by step, and in one other way; `python -m tools.fuzz` goes on for as long as you like."""
    assert not differences(draw(seed, nodes=8), ["checked", OTHERS[seed % len(OTHERS)]])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_random_graphs_agree_natively(dtype: str) -> None:
    pytest.importorskip("llvmlite")
    assert not differences(draw(3, 6, dtype), list(NATIVE))


def test_the_fuzzer_compares_bits_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llvmlite")
    monkeypatch.setattr("tools.fuzz._same_bits", lambda a, b: False)
    found = differences(draw(3, 1), ["native, 1 thread", "native, 5 threads"])
    assert found and all("has other bits" in line for line in found)


def test_the_fuzzer_draws_the_same_graph_again_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = draw(7, nodes=5), draw(7, nodes=5)
    assert [node.op.name for node in first.outputs] == [node.op.name for node in second.outputs]
    for a, b in zip(first.arrays, second.arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    assert main(["--seconds", "0", "--nodes", "3"]) == 0
    assert "1 graphs, each compiled in 7 ways: no difference" in capsys.readouterr().out


def test_the_fuzzer_sees_a_difference(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tools.fuzz.evaluate", lambda nodes, feeds: [np.full(n.type.static_shape, 0.5) for n in nodes])
    assert main(["--seconds", "0", "--nodes", "3"]) == 1
    assert "seed 0, 3 nodes, float64:" in capsys.readouterr().out
