"""Indices out of range, wrong shapes and dtypes, named sizes, and adjoints on more data than one chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.ops.evaluate import evaluate

X = gn.input("x", (3, 4))
I = gn.input("i", (2,), "int64")  # noqa: E741
J = gn.input("j", (2, 4), "int64")


@pytest.mark.parametrize(
    ("build", "bad", "allowed"),
    [
        (lambda i: gn.take(X, i, 0), 3, r"\[-3, 3\)"),
        (lambda i: gn.take(X, i, 0), -4, r"\[-3, 3\)"),
        (lambda i: gn.embedding(i, X), -1, r"\[0, 3\)"),
        (lambda i: gn.one_hot(i, 5), 5, r"\[0, 5\)"),
        (lambda i: gn.one_hot(i, 5), -1, r"\[0, 5\)"),
        (lambda i: gn.take_along_axis(X, gn.expand_dims(i, 1), 0), 3, r"\[-3, 3\)"),
        (lambda i: gn.gather(X, 0, gn.expand_dims(i, 1)), -1, r"\[0, 3\)"),
        (lambda i: gn.scatter_add(X, 0, gn.expand_dims(i, 1), X[:2, :1]), 3, r"\[0, 3\)"),
        (lambda i: gn.index_add(X, 0, i, X[:2]), 3, r"\[0, 3\)"),
    ],
)
def test_an_index_out_of_range_is_named(build: Callable[[gn.Node], gn.Node], bad: int, allowed: str) -> None:
    try:
        node = build(I)
    except gn.ShapeError:  # other axes do not broadcast: give every column the indices
        node = build(J[:, 0])
    feeds = {X: np.zeros((3, 4), "float32"), I: np.array([0, bad]), J: np.array([[0] * 4, [bad] * 4])}
    with pytest.raises(gn.DataError, match=rf"index {bad} at position \(1,.*expected {allowed}"):
        evaluate([node], feeds)


def test_compiled_the_error_names_the_line_and_changes_nothing() -> None:
    weight = gn.parameter(np.ones((3, 2)), "weight")
    step = gn.compile([I], gn.embedding(I, weight), updates=[gn.assign(weight, weight * 2.0)])
    with pytest.raises(gn.DataError, match=r"index 7 at position \(0,\)[\s\S]*test_indexing.py"):
        step(np.array([7, 0]))
    np.testing.assert_array_equal(weight.value, np.ones((3, 2)))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: gn.take(X, [0.5], 0), gn.DtypeError, "must be integers"),
        (lambda: gn.take(X, I, 2), gn.ShapeError, "axis 2 is out of range"),
        (lambda: gn.embedding(I, I), gn.ShapeError, "count, features"),
        (lambda: gn.gather(X, 0, I), gn.ShapeError, "as many axes"),
        (lambda: gn.gather(X, 0, np.zeros((2, 5), "int64")), gn.ShapeError, "do not go along axis 0"),
        (lambda: gn.take_along_axis(X, np.zeros((2, 3), "int64"), 0), gn.ShapeError, "do not broadcast"),
        (lambda: gn.scatter_add(X, 0, J, X), gn.ShapeError, "do not match"),
        (lambda: gn.index_add(X, 0, I, X), gn.ShapeError, "do not match"),
        (lambda: gn.one_hot(I, 0), gn.ArgumentError, "positive"),
    ],
)
def test_refusals(build: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def test_named_sizes() -> None:
    weight = gn.input("weight", ("V", 8))
    tokens = gn.input("tokens", ("N", "T"), "int64")
    rows = gn.embedding(tokens, weight)
    assert rows.shape == (gn.Dim("N"), gn.Dim("T"), 8)
    (gradient,) = gn.gradients(gn.sum(rows), [weight])
    assert gradient.shape == weight.shape
    assert gn.one_hot(tokens, "V").shape == (gn.Dim("N"), gn.Dim("T"), gn.Dim("V"))
    found = gn.compile([weight, tokens], gradient)(np.zeros((3, 8), "float32"), np.array([[0, 0], [2, 0]]))
    np.testing.assert_array_equal(found, np.repeat([[3.0], [0.0], [1.0]], 8, axis=1))


def test_a_large_gradient_is_added_chunk_by_chunk() -> None:
    weight = gn.input("weight", (50, 300), "float64")
    tokens = gn.input("tokens", (700,), "int64")
    rng = np.random.default_rng(0)
    picks, dy = rng.integers(0, 50, 700), rng.random((700, 300))
    (gradient,) = gn.gradients(gn.sum(gn.embedding(tokens, weight) * dy), [weight])
    (found,) = evaluate([gradient], {weight: np.zeros((50, 300)), tokens: picks})
    expected = np.zeros((50, 300))
    np.add.at(expected, picks, dy)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
