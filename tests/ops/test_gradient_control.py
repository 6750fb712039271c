"""stop_gradient and custom_gradient: what they refuse, and that they reach what they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.ops.evaluate import evaluate

X = gn.input("x", (3,), "float64")
DATA = {X: np.array([-2.0, 0.5, 3.0])}


def test_a_stopped_path_has_no_gradient() -> None:
    with pytest.raises(gn.GradientError, match="does not depend on"):
        gn.gradients(gn.sum(gn.stop_gradient(X * X)), [X])


def test_a_gradient_may_be_another_than_the_true_one() -> None:
    @gn.custom_gradient
    def straight_through(x: gn.Node) -> tuple[gn.Node, Any]:
        return gn.round(x), lambda dy: dy

    y = straight_through(X)
    value, gradient = evaluate([y, *gn.gradients(gn.sum(y * X), [X])], DATA)
    np.testing.assert_array_equal(value, np.round(DATA[X]))
    np.testing.assert_array_equal(gradient, np.round(DATA[X]) + DATA[X])


def test_arguments_may_be_numbers_and_have_no_gradient() -> None:
    @gn.custom_gradient
    def scaled(x: gn.Node, factor: gn.Node, *, power: int) -> tuple[gn.Node, Any]:
        return x * factor, lambda dy: (dy * power, None)

    y = scaled(X, np.float64(2.0), power=7)
    (gradient,) = evaluate(gn.gradients(gn.sum(y), [X]), DATA)
    np.testing.assert_array_equal(gradient, [7.0] * 3)


def test_it_compiles() -> None:
    @gn.custom_gradient
    def tripled(x: gn.Node) -> tuple[gn.Node, Any]:
        return x * 3.0, lambda dy: dy * 5.0

    n = gn.input("n", ("N",), "float64")
    run = gn.compile([n], [tripled(n), *gn.gradients(gn.sum(tripled(n)), [n])])
    value, gradient = run(np.ones(2))
    assert value.tolist() == [3.0, 3.0] and gradient.tolist() == [5.0, 5.0]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda dy: (dy, dy), "each of 1 arguments"),
        (lambda dy: 1.0, "expected a node or None"),
        (lambda dy: gn.sum(dy), r"expected float64\[3\], got float64\[\]"),
        (lambda dy: gn.cast(dy, "float32"), r"got float32\[3\]"),
    ],
)
def test_gradients_must_fit(returned: Any, message: str) -> None:
    y = gn.custom_gradient(lambda x: (x * 2.0, returned))(X)
    with pytest.raises(gn.GradientError, match=message):
        gn.gradients(gn.sum(y), [X])


@pytest.mark.parametrize("returned", [lambda x: x, lambda x: (x, x), lambda x: (1.0, lambda dy: dy), lambda x: (x,)])
def test_the_function_must_return_a_node_and_a_function(returned: Any) -> None:
    with pytest.raises(gn.ArgumentError, match="gradient function"):
        gn.custom_gradient(returned)(X)
