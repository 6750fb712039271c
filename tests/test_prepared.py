"""Steps that read parameters only: run once, and again when somebody has changed one of these."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import GraphnetError
from graphnet.executable import Executable
from graphnet.schedule import base

X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)


def _predict(layer: nn.Linear, backend: str) -> Executable:
    """x @ (weight * weight).T: the square is prepared."""
    x = gn.input("x", ("N", 3))
    return gn.compile([x], x @ gn.transpose(gn.square(layer.weight)), backend=backend)


def _expected(layer: nn.Linear) -> np.ndarray:
    return X @ (layer.weight.value**2).T


@pytest.mark.parametrize("backend", ["numpy", "native", "naive"])
def test_a_changed_parameter_is_seen(backend: str) -> None:
    layer = nn.Linear(3, 2)
    predict = _predict(layer, backend)
    assert np.allclose(predict(X), _expected(layer))
    assert predict.schedule.prepared and predict.schedule.lasting
    layer.weight.set_value(np.full((2, 3), 3.0))
    assert np.allclose(predict(X), _expected(layer))
    x = gn.input("x", ("N", 3))
    loss = gn.sum(layer(x))
    step = gn.compile([x], loss, optim.SGD(layer.parameters(), lr=0.1).updates(loss), backend=backend)
    step(X)
    assert not np.array_equal(layer.weight.value, np.full((2, 3), 3.0))
    assert np.allclose(predict(X), _expected(layer))
    read_first = {base(value) for node in step.schedule.steps[: step.schedule.prepared] for value in node.inputs}
    assert not read_first & {layer.weight, layer.bias}, "what the step itself changes is worked out in every call"


def test_prepared_steps_run_once() -> None:
    layer = nn.Linear(3, 2)
    predict = _predict(layer, "numpy")
    predict(X)
    lasting = [predict.program.lowered.arrays[node] for node in predict.schedule.lasting]
    assert lasting
    for array in lasting:
        array[...] = 0  # not worked out again, so the zeros stay
    assert not predict(X).any()
    layer.weight.set_value(layer.weight.value)
    assert np.allclose(predict(X), _expected(layer))


def test_profile_and_checked_runs_leave_prepared_values_right() -> None:
    layer = nn.Linear(3, 2)
    x = gn.input("x", ("N", 3))
    predict = gn.compile([x], x @ gn.transpose(gn.square(layer.weight)), check=2)
    assert np.allclose(predict(X), _expected(layer))
    predict.profile(X, repeats=2)
    layer.weight.set_value(np.ones((2, 3)))
    assert np.allclose(predict(X), _expected(layer))


def test_a_failing_prepared_step_fails_in_every_call() -> None:
    """Labels out of range are found where the loss is worked out, also when that happens before the step."""
    logits = gn.parameter(np.zeros((2, 3), "float32"), "logits")
    labels = gn.parameter(np.array([0, 7]), "labels", requires_grad=False)
    x = gn.input("x", ("N",))
    step = gn.compile([x], gn.sum(x) + gn.cross_entropy(logits, labels))
    for _ in range(2):
        with pytest.raises(GraphnetError, match="7"):
            step(np.ones(2, "float32"))
    labels.set_value(np.array([0, 2]))
    assert np.isclose(step(np.ones(2, "float32")), 2 + np.log(3))


def test_what_another_prepares_during_a_profile_is_prepared_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiling carries out updates and takes them back; another thread may call between any two steps of it."""
    layer = nn.Linear(3, 2)
    x = gn.input("x", ("N", 3))
    loss = gn.sum(layer(x))
    step = gn.compile([x], loss, optim.SGD(layer.parameters(), lr=0.1).updates(loss), backend="numpy")
    step(X)
    predict = _predict(layer, "numpy")
    times = iter(range(10_000))

    def clock() -> float:
        layer.weight.op.storage.writes += 1  # as of a set_value elsewhere, so that it prepares at each look
        predict(X)
        return float(next(times))

    monkeypatch.setattr("graphnet.program.time.perf_counter", clock)
    step.profile(X, repeats=2)
    monkeypatch.undo()
    assert np.allclose(predict(X), _expected(layer))
