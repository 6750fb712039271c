"""Derivatives that are worked out in the forward pass: which, where they lie, and that gradients are what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native import backend
from graphnet.executable import Executable
from graphnet.graph.node import Node
from graphnet.ops.fused import FusedAhead
from tests.ops.case import torch

N, WIDE = 53, 83  # 4399 elements: more than what is too little to be worth it
LONG: dict[str, Callable[[Node], Node]] = {
    "gelu": gn.gelu,
    "gelu-tanh": lambda x: gn.gelu(x, "tanh"),
    "silu": gn.silu,
    "softplus": gn.softplus,
    "elu": gn.elu,
    "log_sigmoid": gn.log_sigmoid,
    "sin": gn.sin,
}


def _square(z: Node, y: Node) -> Node:
    return gn.mean(y * y)


def _step(
    activations: Iterable[Callable[[Node], Node]],
    dtype: str = "float32",
    loss_of: Callable[[Node, Node], Node] = _square,
    **options: Any,
) -> tuple[Executable, list[np.ndarray]]:
    """What makes the gradients by the weights of act(x @ w + b) @ v, for several activations, and feeds for it."""
    x = gn.input("x", (N, 7), dtype)
    given: list[Node] = []
    wanted: list[Node] = []
    for number, activation in enumerate(activations):
        shapes = ((7, WIDE), (WIDE,), (WIDE, WIDE))
        own = [gn.input(f"{part}{number}", shape, dtype) for part, shape in zip("wbv", shapes, strict=True)]
        z = x @ own[0] + own[1]
        wanted += gn.gradients(loss_of(z, activation(z) @ own[2]), own)
        given += own
    rng = np.random.default_rng(0)
    feeds = [rng.standard_normal(node.shape).astype(dtype) * 0.7 for node in (x, *given)]
    return gn.compile([x, *given], wanted, **{"backend": "native", **options}), feeds


def _gradients(*args: Any, **options: Any) -> list[np.ndarray]:
    step, feeds = _step(*args, **options)
    return step(*feeds)


def _planned(*args: Any, **options: Any) -> Executable:
    """The step, planned: with steps that are to be checked nothing is compiled before it runs."""
    step, _ = _step(*args, check=2, **options)
    step.specialize()
    return step


def _ahead(step: Executable) -> list[Node]:
    return [node for node in step.schedule.steps if isinstance(node.op, FusedAhead)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_those_of_the_reference(dtype: str) -> None:
    step, feeds = _step(LONG.values(), dtype)
    found = step(*feeds)
    assert len(_ahead(step)) == len(LONG)
    for a, b in zip(found, _gradients(LONG.values(), dtype, backend="numpy"), strict=True):
        # Sums of 53 and 83 products of numbers that are within 20 roundings of each other's.
        np.testing.assert_allclose(a, b, rtol=0, atol=100 * np.finfo(dtype).eps * np.abs(b).max())


@pytest.mark.skipif(torch is None, reason="torch is not installed")
def test_gradients_are_those_of_torch() -> None:
    functional = torch.nn.functional
    step, feeds = _step([gn.gelu, lambda x: gn.gelu(x, "tanh"), gn.silu], "float64")
    x, *given = (torch.tensor(feed, requires_grad=True) for feed in feeds)
    others = (functional.gelu, lambda z: functional.gelu(z, approximate="tanh"), functional.silu)
    for number, activation in enumerate(others):
        w, b, v = given[3 * number : 3 * number + 3]
        ((activation(x @ w + b) @ v) ** 2).mean().backward()
    for a, b in zip(step(*feeds), given, strict=True):
        np.testing.assert_allclose(a, b.grad.numpy(), rtol=0, atol=1e-13 * float(b.grad.abs().max()))


def test_a_derivative_is_made_beside_the_activation_and_lies_where_its_argument_lay() -> None:
    step, feeds = _step([gn.gelu])
    step(*feeds)
    (ahead,) = _ahead(step)
    order, place = step.schedule.steps, step.schedule.position[ahead]
    product = step.plan.reused[ahead]
    assert product.op.name == "matmul" and step.schedule.position[product] == place - 2
    passes = [{order[number].op.name for number in numbers} for numbers in step.program.lowered.merged]
    assert {"fused", "fused_ahead"} in passes  # one walk makes both
    assert {"matmul", "multiply"} in passes  # and the product of the gradient is finished by a multiplication
    assert "in place of x" in step.explain()


@pytest.mark.parametrize("activation", [gn.gelu, gn.silu])
def test_no_more_bytes_live(activation: Callable[[Node], Node], monkeypatch: pytest.MonkeyPatch) -> None:
    step = _planned([activation, activation])
    monkeypatch.setattr(backend, "work_out_ahead", lambda graph, log: graph)
    before = _planned([activation, activation])
    assert _ahead(step) and not _ahead(before)
    assert step.plan.live_bytes <= before.plan.live_bytes


def test_what_takes_little_or_waits_for_more_stays() -> None:
    little = [gn.relu, gn.leaky_relu, gn.tanh, gn.sigmoid, gn.exp, gn.square]
    assert not _ahead(_planned(little))
    assert not _ahead(_planned([gn.gelu], loss_of=lambda z, y: gn.mean(y * z)))  # z is read once more, late
    assert not _ahead(_planned([lambda x: x + gn.stop_gradient(gn.gelu(x))]))  # there is no derivative to wait for
    assert len(_ahead(_planned([gn.gelu]))) == 1


@pytest.mark.parametrize(
    "activation",
    [
        lambda x: gn.gelu(x + 1) + gn.silu(2 * (x + 1)),  # each of the four works x + 1 out for itself
        lambda x: gn.gelu(x + 1) @ np.ones((WIDE, WIDE), "f") + gn.gelu(x + 2),
        lambda x: gn.gelu(x) + gn.square(x) * gn.mean(gn.tanh(x), axis=1, keepdims=True),  # x is read late
    ],
)
def test_what_readers_work_out_for_themselves_waits_for_more(
    activation: Callable[[Node], Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = _planned([activation])
    monkeypatch.setattr(backend, "work_out_ahead", lambda graph, log: graph)
    assert step.plan.live_bytes <= _planned([activation]).plan.live_bytes
    assert not _ahead(step)


def test_what_lasts_from_call_to_call_is_not_replaced() -> None:
    """The product of two parameters that stay is there anyway: a derivative would need bytes of its own."""
    p, q = (gn.parameter(np.ones(shape, "f"), name) for shape, name in (((N, 7), "p"), ((7, WIDE), "q")))
    b, v = gn.input("b", (WIDE,)), gn.input("v", (WIDE, WIDE))
    y = gn.gelu(p @ q + b) @ v
    step = gn.compile([b, v], gn.gradients(gn.mean(y * y), [b, v]), backend="native", check=2)
    step.specialize()
    assert step.schedule.prepared == 1 and not _ahead(step)


def test_predictions_and_results_are_left_alone() -> None:
    x, w = gn.input("x", (N, 7)), gn.input("w", (7, WIDE))
    z = x @ w
    y = gn.gelu(z)
    (dw,) = gn.gradients(gn.mean((y @ gn.transpose(w)) ** 2), [w])
    for outputs, ahead in (([y], 0), ([dw, z], 0), ([dw, y], 1)):
        step = gn.compile([x, w], outputs, backend="native", check=2)
        step.specialize()
        assert len(_ahead(step)) == ahead


def test_the_same_bits_on_any_number_of_threads() -> None:
    one, three = (_gradients([gn.gelu], threads=threads) for threads in (1, 3))
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


@pytest.mark.parametrize("name", ["native", "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slopes_far_out_are_0_and_1(name: str, dtype: str) -> None:
    largest = float(np.finfo(dtype).max)
    x = gn.input("x", ("N",), dtype)
    wanted = [gn.gradients(gn.sum(gn.gelu(x, how)), [x])[0] for how in ("none", "tanh")]
    array = np.array([-np.inf, -largest, -1e4, -50, 50, 1e4, largest, np.inf], dtype)
    for found in gn.compile([x], wanted, backend=name)(array):
        np.testing.assert_allclose(found, [0, 0, 0, 0, 1, 1, 1, 1], rtol=0, atol=1e-30)
    second = [gn.gradients(gn.sum(slope), [x])[0] for slope in wanted]
    for found in gn.compile([x], second, backend=name)(array):
        np.testing.assert_allclose(found, 0, rtol=0, atol=1e-30)
