"""Passes that ride along with the product before them: the same values, with no walk of their own, where it is safe."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.backend.native.backend import NativeBackend
from graphnet.executable import Executable
from graphnet.graph.node import Node
from graphnet.ops.convolution import Conv2dInputGradient
from graphnet.schedule import base

N = 5


def _x(*shape: int, dtype: str = "float32") -> Node:
    return gn.input("x", ("N", *shape), dtype)


def _riding(step: Executable) -> list[set[str]]:
    """The ops of each pass that rides along with a product, by their names."""
    steps = step.schedule.steps
    passes = [{steps[number].op.name for number in numbers} for numbers in step.program.lowered.merged]
    heads = {"matmul", "direct_convolution", "direct_input_gradient", "winograd_convolution"}
    return [names for names in passes if names & heads]


def _agree(x: Node, y: Node, dtype: str = "float32") -> Executable:
    """Compile for both backends, compare, and give the native one."""
    array = np.random.default_rng(0).standard_normal((N, *x.shape[1:])).astype(dtype)
    native = gn.compile([x], y, backend="native", threads=2)
    found, exact = native(array), gn.compile([x], y, backend="numpy")(array)
    # Sums of some hundred products of about 1, in another order: as many roundings of the largest.
    np.testing.assert_allclose(found, exact, rtol=0, atol=500 * np.finfo(dtype).eps * np.abs(exact).max())
    return native


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("filters", [1, 6, 17, 40])
def test_bias_and_activation_ride_with_a_convolution(filters: int, dtype: str) -> None:
    gn.manual_seed(0)
    conv = nn.Conv2d(3, filters, 3, padding=1).to(dtype)
    x = _x(3, 9, 11, dtype=dtype)
    step = _agree(x, gn.relu(conv(x)), dtype)
    assert any("direct_convolution" in names for names in _riding(step))


def test_a_residual_rides_and_its_border_is_filled() -> None:
    gn.manual_seed(0)
    first, second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    x = _x(4, 8, 8)
    _agree(x, gn.relu(second(gn.relu(first(x))) + x))


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("columns", [1, 9, 33])
def test_bias_rides_with_a_matrix_product(rows: int, columns: int) -> None:
    gn.manual_seed(0)
    layer = nn.Linear(20, columns)
    x = _x(rows, 20)
    _agree(x, gn.relu(layer(x)))


def test_a_residual_is_asked_for_before_the_sums_that_it_is_added_to() -> None:
    gn.manual_seed(0)
    layer = nn.Linear(20, 21)
    x, r = _x(20), gn.input("r", ("N", 21))
    arrays = [np.random.default_rng(0).standard_normal((35, size)).astype("f") for size in (20, 21)]
    step = gn.compile([x, r], layer(x) + r, backend="native")
    exact = gn.compile([x, r], layer(x) + r, backend="numpy")(*arrays)
    np.testing.assert_allclose(step(*arrays), exact, atol=1e-5)
    assert _riding(step) == [{"matmul", "add"}]
    (product,) = [call for _, call in step.program.lowered.body_calls]
    lines = str(product).splitlines()
    asked = [number for number, line in enumerate(lines) if "prefetch" in line]
    assert asked and asked[0] < next(number for number, line in enumerate(lines) if "muladd" in line)


def test_a_long_sum_in_parts_is_finished_by_the_last() -> None:
    """Weights of 300 channels are passed in parts, between which the result holds what there is of the sums."""
    gn.manual_seed(0)
    conv = nn.Conv2d(300, 20, 3)
    x = _x(300, 5, 5)
    step = _agree(x, gn.relu(conv(x)))
    assert any("direct_convolution" in names for names in _riding(step))


def test_a_result_that_others_read_stays_in_memory() -> None:
    gn.manual_seed(0)
    conv = nn.Conv2d(2, 8, 3)
    x = _x(2, 6, 6)
    y = conv(x)
    _agree(x, gn.relu(y) * gn.sum(y, axis=(2, 3), keepdims=True))


def test_classes_of_places_of_a_strided_gradient() -> None:
    dy, w = gn.input("dy", (2, 6, 4, 4)), gn.input("w", (6, 5, 3, 3))
    y = gn.relu(Conv2dInputGradient((2, 2), ((1, 1), (1, 1)), (1, 1), 1, (8, 8))(dy, w))
    generator = np.random.default_rng(0)
    feeds = [generator.standard_normal(node.shape).astype("f") for node in (dy, w)]
    found = gn.compile([dy, w], y, backend="native")(*feeds)
    np.testing.assert_allclose(found, gn.compile([dy, w], y, backend="numpy")(*feeds), atol=1e-5)


def test_operands_are_held_until_what_rides_is_written() -> None:
    """The planner may not give the operands' bytes to the result that is written while they are read."""
    gn.manual_seed(0)
    x = _x(16, 12, 12)
    y = x
    for _ in range(3):
        y = gn.relu(nn.Conv2d(16, 16, 3, padding=1)(y))
    step = _agree(x, y)
    held = NativeBackend().held(step.schedule)
    assert held and all(
        step.plan.slots[node].last >= number for node, number in held.items() if node in step.plan.slots
    )
    for node, slots in step.plan.scratch.items():  # nor those of the scratch
        assert all(slot.last >= held.get(base(value), 0) for slot in slots for value in node.inputs)
    assert len(_riding(step)) >= 2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_weight_gradient_is_made_with_its_update_and_a_short_one_rides(momentum: float) -> None:
    """The gradient of a weight 96 x 80 from 8 rows. With momentum an update reads too much to ride."""
    x = _x(80)
    losses = []
    for backend in ("native", "numpy"):
        gn.manual_seed(0)
        model = nn.Sequential(nn.Linear(80, 96), nn.ReLU(), nn.Linear(96, 1))
        updates = optim.SGD(model.parameters(), lr=0.1, momentum=momentum).updates(loss := gn.mean(model(x) ** 2))
        step = gn.compile([x], loss, updates, backend=backend)
        array = np.random.default_rng(0).standard_normal((8, 80)).astype("float32")
        losses.append([float(step(array)) for _ in range(4)])
        if backend == "native":
            late = [
                node.shape for node in step.schedule.steps[step.schedule.commit_start :] if node.op.name == "matmul"
            ]
            assert late == [(96, 80)]
            updating = [names for names in _riding(step) if "matmul" in names and names & {"fused", "subtract"}]
            assert bool(updating) == (momentum == 0)
    # Four steps of sums of 96 products in another order, of losses that fall from 0.1.
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5, atol=0)
    assert losses[0][-1] < losses[0][0]
