"""`gn.check_gradients` passes what is right, and names what is wrong: node, index and both values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType

X = gn.input("x", (3, 4), "float64")
W = gn.input("w", (4,), "float64")
FEEDS = {X: np.linspace(-1.5, 2, 12).reshape(3, 4), W: np.array([0.5, -1.25, 2.0, 0.75])}


class WrongSquare(Op):
    """x * x, with a gradient that is wrong at one element."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        mistake = np.zeros((3, 4))
        mistake[1, 2] = 1e-5
        return [dy * (2 * x + mistake)]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.square(x, out=out)


def test_right_gradients_pass_and_the_error_is_small() -> None:
    assert gn.check_gradients(gn.sigmoid(X * W) / gn.exp(X), [X, W], FEEDS) < 1e-9


def test_a_wrong_gradient_is_named_with_its_index_and_values() -> None:
    with pytest.raises(gn.GradientError) as caught:
        gn.check_gradients(WrongSquare()(X), [X], FEEDS)
    message = str(caught.value)
    assert "gradient by 'x' (float64[3, 4]) at index (1, 2) is " in message
    assert "differences say" in message
    assert "tolerance 1e-07" in message
    assert "test_gradient_check.py:" in message


def test_a_looser_tolerance_lets_it_pass() -> None:
    assert 1e-7 < gn.check_gradients(WrongSquare()(X), [X], FEEDS, tolerance=1e-3) < 1e-4


def test_a_gradient_that_is_nan_fails() -> None:
    x = gn.input("z", (2,), "float64")
    with pytest.raises(gn.GradientError, match="nan"):
        gn.check_gradients(gn.where(x > 0, x, gn.sqrt(x)), [x], {x: np.array([1.0, -1.0])})


def test_parameters_have_their_own_values_and_keep_them() -> None:
    weight = gn.parameter(np.array([1.0, 2.0, 3.0, 4.0]), "weight")
    gn.check_gradients(gn.sum(X * weight * weight), [weight], {X: FEEDS[X]})
    assert weight.value.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_feeds_stay_as_they_are() -> None:
    before = {node: array.copy() for node, array in FEEDS.items()}
    gn.check_gradients(X * W, [X, W], FEEDS)
    assert all((FEEDS[node] == before[node]).all() for node in FEEDS)


def test_large_nodes_are_sampled() -> None:
    x = gn.input("large", (100, 100), "float64")
    assert gn.check_gradients(gn.sum(gn.sin(x)), [x], {x: np.ones((100, 100))}, samples=5) < 1e-7


def test_what_cannot_be_checked() -> None:
    single = gn.input("single", (3,))
    with pytest.raises(gn.ArgumentError, match=r"compares in float64, but 'single' .* is float32"):
        gn.check_gradients(gn.sum(gn.cast(single, "float64")), [single], {single: np.ones(3)})
    with pytest.raises(gn.FeedError, match="needs an array for 'w'"):
        gn.check_gradients(X * W, [W], {X: FEEDS[X]})
    with pytest.raises(gn.GradientError, match="does not depend on 'w'"):
        gn.check_gradients(gn.exp(X), [W], FEEDS)
    with pytest.raises(gn.FeedError, match=r"'x' .* has shape .* got an array of shape"):
        gn.check_gradients(X * W, [X], {X: np.ones((2, 2)), W: FEEDS[W]})
    with pytest.raises(gn.FeedError, match="needs an array for 'x'"):
        gn.check_gradients(X * W, [W], {W: FEEDS[W]})
    with pytest.raises(gn.ArgumentError, match="wrt and feeds must be a list of nodes, and arrays by node"):
        gn.check_gradients(X * W, W, FEEDS)  # type: ignore[arg-type]
    named = gn.input("named", ("N",), "float64")
    with pytest.raises(gn.FeedError, match=r"sizes that are numbers, got <.*'named'"):
        gn.check_gradients(gn.exp(named), [named], {named: np.ones(3)})
