"""Reductions where the table has no column: errors, names, dtypes, empty axes, ties."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.dims import Dim
from graphnet.graph.node import Node
from graphnet.ops.evaluate import evaluate

X = gn.input("x", (2, 3), "float64")
NAMED = gn.input("named", ("N", "H", 3))
N, H = Dim("N"), Dim("H")


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min", "prod", "logsumexp"])
def test_named_dims(name: str) -> None:
    reduce = getattr(gn, name)
    assert reduce(NAMED).shape == ()
    assert reduce(NAMED, axis=1).shape == (N, 3)
    assert reduce(NAMED, axis=(0, -1), keepdims=True).shape == (1, H, 1)
    (gradient,) = gn.gradients(gn.sum(reduce(NAMED, axis=(0, 1))), [NAMED])
    assert gradient.type == NAMED.type


def test_a_mean_over_a_name_divides_by_its_number() -> None:
    mean = gn.compile([NAMED], gn.mean(NAMED, axis=(0, 1)))
    for n, h in ((2, 5), (4, 1)):
        array = np.random.default_rng(n).random((n, h, 3)).astype("float32")
        np.testing.assert_allclose(mean(array), array.mean((0, 1)), rtol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cumsum"])
def test_along_a_named_axis(name: str) -> None:
    assert getattr(gn, name)(NAMED, axis=1).type == NAMED.type
    (gradient,) = gn.gradients(gn.sum(getattr(gn, name)(NAMED, axis=0)), [NAMED])
    assert gradient.type == NAMED.type


def test_positions_in_named_arrays() -> None:
    assert gn.argmax(NAMED).type == gn.argmin(NAMED).type
    assert str(gn.argmax(NAMED, axis=-1).type) == "int64[N, H]"
    assert gn.argmax(NAMED, keepdims=True).shape == (1, 1, 1)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "prod", "logsumexp", "argmax", "softmax", "cumsum"])
@pytest.mark.parametrize(
    ("axis", "message"), [(2, "axis 2 is out of range"), (-3, "axis -3"), (True, "an integer"), (0.5, "integer")]
)
def test_wrong_axes(name: str, axis: object, message: str) -> None:
    with pytest.raises(gn.ShapeError, match=rf"{name}\(float64\[2, 3\]\): .*{message}") as caught:
        getattr(gn, name)(X, axis=axis)
    assert "test_reductions.py:" in str(caught.value)


def test_an_axis_twice_and_too_many() -> None:
    with pytest.raises(gn.ShapeError, match=r"axes \(0, -2\) name an axis twice"):
        gn.mean(X, axis=(0, -2))
    with pytest.raises(gn.ShapeError, match="expected one axis, got"):
        gn.softmax(X, axis=(0, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_no_extreme_of_nothing(name: str) -> None:
    empty = gn.input("empty", (2, 0))
    with pytest.raises(gn.ShapeError, match="of no elements"):
        getattr(gn, name)(empty, axis=1)
    assert getattr(gn, name)(empty, axis=0).shape == (0,)


def test_empty_sums_products_and_means() -> None:
    empty = gn.input("none", (2, 0), "float64")
    outputs = [gn.sum(empty, 1), gn.prod(empty, 1), gn.mean(empty, 1), gn.logsumexp(empty, 1), gn.softmax(empty, 1)]
    total, product, mean, logsumexp, softmax = evaluate(outputs, {empty: np.zeros((2, 0))})
    assert total.tolist() == [0, 0]
    assert product.tolist() == [1, 1]
    assert np.isnan(mean).all()
    assert logsumexp.tolist() == [-np.inf, -np.inf]
    assert softmax.shape == (2, 0)


@pytest.mark.parametrize(
    ("node", "dtype"),
    [
        (gn.sum(gn.input("i", (2,), "int32")), "int64"),
        (gn.prod(gn.input("i", (2,), "bool")), "int64"),
        (gn.mean(gn.input("i", (2,), "int64")), "float32"),
        (gn.max(gn.input("i", (2,), "uint8")), "uint8"),
        (gn.cumsum(gn.input("i", (2,), "int32"), 0), "int64"),
        (gn.softmax(gn.input("i", (2,), "int64")), "float32"),
        (gn.argmax(X), "int64"),
        (gn.mean(X), "float64"),
    ],
)
def test_dtypes(node: Node, dtype: str) -> None:
    assert node.dtype == np.dtype(dtype)


def test_the_default_variance_is_torchs() -> None:
    array = np.arange(6.0).reshape(2, 3)
    default, biased = evaluate([gn.var(X), gn.var(X, correction=0)], {X: array})
    assert default == np.var(array, ddof=1)
    assert biased == np.var(array)


def test_the_gradient_of_a_maximum_is_shared_by_equal_elements() -> None:
    (gradient,) = gn.gradients(gn.sum(gn.max(X, axis=1)), [X])
    (found,) = evaluate([gradient], {X: np.array([[1.0, 5.0, 5.0], [2.0, 2.0, 2.0]])})
    np.testing.assert_allclose(found, [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])


def test_float32_sums_of_many_stay_accurate() -> None:
    x = gn.input("many", (1_000_000,))
    (mean,) = evaluate([gn.mean(x)], {x: np.full(1_000_000, 0.1, "float32")})
    assert abs(float(mean) - 0.1) < 1e-6
