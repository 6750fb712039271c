"""Running statistics against torch, what is shared in the graph, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.traversal import topological
from graphnet.ops.reductions import Mean, Var
from tests.ops.case import torch

needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")


def vector(value: float, name: str) -> gn.Parameter:
    return gn.parameter(np.full(3, value, "float64"), name)


@needs_torch
@pytest.mark.parametrize(
    ("function", "shape"),
    [
        ("batch_norm", ("N", 3)),
        ("batch_norm", ("N", 3, 5)),
        ("batch_norm", ("N", 3, 4, 2)),
        ("instance_norm", ("N", 3, 5)),
        ("instance_norm", ("N", 3, 4, 2)),
    ],
)
def test_running_statistics_follow_torch(function: str, shape: tuple[Any, ...]) -> None:
    mean, var = vector(0.5, "mean"), vector(2.0, "var")
    t_mean, t_var = torch.full((3,), 0.5, dtype=torch.float64), torch.full((3,), 2.0, dtype=torch.float64)
    x = gn.input("x", shape, "float64")
    options = {"training": True} if function == "batch_norm" else {"use_input_stats": True}
    step = gn.compile([x], getattr(gn, function)(x, mean, var, momentum=0.3, **options))
    rng = np.random.default_rng(0)
    for n in (4, 4, 2):
        array = rng.normal(1, 3, (n, *shape[1:]))
        judge = getattr(torch.nn.functional, function)
        expected = judge(torch.from_numpy(array), t_mean, t_var, momentum=0.3, **options)
        np.testing.assert_allclose(step(array), expected.numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(mean.value, t_mean.numpy(), rtol=1e-12)
        np.testing.assert_allclose(var.value, t_var.numpy(), rtol=1e-12)
    name = "training" if function == "batch_norm" else "use_input_stats"
    infer = gn.compile([x], getattr(gn, function)(x, mean, var, **{name: False}))
    array = rng.normal(1, 3, (4, *shape[1:]))
    expected = getattr(torch.nn.functional, function)(torch.from_numpy(array), t_mean, t_var, **{name: False})
    np.testing.assert_allclose(infer(array), expected.numpy(), rtol=1e-10, atol=1e-12)


def test_running_statistics_and_gradient_stand_on_the_same_mean_and_variance() -> None:
    x = gn.input("x", ("N", 3), "float64")
    y = gn.batch_norm(x, vector(0, "mean"), vector(1, "var"), training=True)
    nodes = topological([y, *gn.gradients(gn.sum(y * y), [x])])
    of_x = [node for node in nodes if isinstance(node.op, (Mean, Var)) and node.inputs == (x,)]
    assert sorted(type(node.op).__name__ for node in of_x) == ["Mean", "Var"]


def test_float32_far_from_zero_keeps_its_digits() -> None:
    rng = np.random.default_rng(0)
    array = (rng.normal(0, 1, (64, 3)) + 1000).astype("float32")
    x = gn.input("x", ("N", 3))
    found = gn.compile([x], gn.batch_norm(x, None, None, training=True))(array)
    wide = array.astype("float64")
    np.testing.assert_allclose(found, (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5), atol=2e-4)


def test_one_value_per_channel_is_refused_also_when_the_batch_shrinks() -> None:
    x = gn.input("x", ("N", 3), "float64")
    step = gn.compile([x], gn.batch_norm(x, vector(0, "mean"), vector(1, "var"), training=True))
    step(np.zeros((2, 3)))
    with pytest.raises(gn.ShapeError, match="more than one value"):
        step(np.zeros((1, 3)))
    with pytest.raises(gn.ShapeError, match="more than one value"):
        gn.instance_norm(gn.input("x", (2, 3), "float64"))


X = gn.input("x", (4, 6, 2), "float64")
SIX = np.ones(6)
FIVE = np.ones(5)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: gn.batch_norm(gn.input("v", (3,)), SIX, SIX), gn.ShapeError, "batch_norm takes"),
        (lambda: gn.batch_norm(gn.cast(X, "int64"), None, None, training=True), gn.DtypeError, "expected floats"),
        (lambda: gn.batch_norm(X, None, None), gn.ArgumentError, "needed where training is False"),
        (lambda: gn.batch_norm(X, SIX, None), gn.ArgumentError, "together"),
        (lambda: gn.batch_norm(X, SIX, SIX, training=True), gn.ArgumentError, "must be a parameter"),
        (lambda: gn.batch_norm(X, FIVE, SIX), gn.ShapeError, r"running_mean must have shape \(6,\)"),
        (lambda: gn.batch_norm(X, SIX, SIX, FIVE), gn.ShapeError, r"weight must have shape \(6,\)"),
        (lambda: gn.batch_norm(X, SIX, SIX, SIX, FIVE), gn.ShapeError, r"bias must have shape \(6,\)"),
        (
            lambda: gn.batch_norm(X, gn.parameter(FIVE, "m"), gn.parameter(SIX, "v"), training=True),
            gn.ShapeError,
            r"running_mean must have shape \(6,\)",
        ),
        (lambda: gn.layer_norm(X, (6, 3)), gn.ShapeError, "does not end the shape"),
        (lambda: gn.layer_norm(X, ()), gn.ShapeError, "does not end the shape"),
        (lambda: gn.layer_norm(X, 2, SIX), gn.ShapeError, "weight must have shape"),
        (lambda: gn.group_norm(X, 4), gn.ArgumentError, "num_groups 4"),
        (lambda: gn.group_norm(X, 0), gn.ArgumentError, "num_groups 0"),
        (lambda: gn.instance_norm(X, SIX), gn.ArgumentError, "together"),
        (lambda: gn.instance_norm(X, use_input_stats=False), gn.ArgumentError, "needed"),
    ],
)
def test_refusals(build: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()
