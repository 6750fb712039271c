"""Transpose, slicing, joining and padding: named sizes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.traversal import topological
from graphnet.ops.evaluate import evaluate

X = gn.input("x", (3, 4, 5), "float64")
N, T = gn.Dim("N"), gn.Dim("T")
NAMED = gn.input("named", ("N", "T", 4))
PAIRS = ((0, 0), (3, 4), (1, 2))


def test_what_changes_nothing_is_the_node_itself() -> None:
    assert gn.transpose(X, (0, 1, 2)) is X and X[...] is X and X[:, 0:10] is X and gn.flip(X, ()) is X
    assert gn.pad(X, (0, 0)) is X and gn.concatenate([X]) is X and gn.tile(X, 1) is X and gn.split(X, 1)[0] is X
    assert X[1:] is X[1:3] and X[::-1][::-1].op == X[::-1].op


@pytest.mark.parametrize(
    ("build", "shape", "expected"),
    [
        (lambda x: x.T, (4, T, N), np.transpose),
        (lambda x: x[:, 1:], (N, T - 1, 4), lambda x: x[:, 1:]),
        (lambda x: x[:, :-1], (N, T - 1, 4), lambda x: x[:, :-1]),
        (lambda x: x[::-1], (N, T, 4), lambda x: x[::-1]),
        (lambda x: x[::2], ((N + 1) // 2, T, 4), lambda x: x[::2]),
        (lambda x: x[-2::-1], (N - 1, T, 4), lambda x: x[-2::-1]),
        (lambda x: x[0], (T, 4), lambda x: x[0]),
        (lambda x: x[:, -1], (N, 4), lambda x: x[:, -1]),
        (lambda x: x[-3:], (3, T, 4), lambda x: x[-3:]),
        (lambda x: x[:, :N], (N, N, 4), lambda x: x[:, :4]),
        (lambda x: gn.flatten(x, 1), (N, T * 4), lambda x: x.reshape(4, 24)),
        (lambda x: gn.concatenate([x, x[1:]]), (N * 2 - 1, T, 4), lambda x: np.concatenate([x, x[1:]])),
        (lambda x: gn.stack([x, x], 1), (N, 2, T, 4), lambda x: np.stack([x, x], 1)),
        (lambda x: gn.tile(x, (2, 3, 1)), (N * 2, T * 3, 4), lambda x: np.tile(x, (2, 3, 1))),
        (lambda x: gn.repeat(x, 3, 0), (N * 3, T, 4), lambda x: np.repeat(x, 3, 0)),
        (lambda x: gn.pad(x, ((1, 2), (0, 0), (1, 1))), (N + 3, T, 6), lambda x: np.pad(x, ((1, 2), (0, 0), (1, 1)))),
        (lambda x: gn.pad(x, (1, 2, 3, 4), "circular"), (N, T + 7, 7), lambda x: np.pad(x, PAIRS, "wrap")),
        (lambda x: gn.split(x, (1, N - 1), 0)[1], (N - 1, T, 4), lambda x: x[1:]),
        (lambda x: gn.split(gn.tile(x, (2, 1, 1)), 2)[1], (N, T, 4), lambda x: x),
    ],
)
def test_named_sizes(
    build: Callable[[gn.Node], gn.Node], shape: tuple[Any, ...], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    node = build(NAMED)
    assert node.shape == shape
    array = np.random.default_rng(0).random((4, 6, 4), "float32")
    sizes = {"N": 4, "T": 6}
    (value,) = evaluate([_bound(node, sizes)], {_bound(NAMED, sizes): array})
    np.testing.assert_array_equal(value, expected(array))


def _bound(node: gn.Node, sizes: dict[str, int]) -> gn.Node:
    found: dict[gn.Node, gn.Node] = {}
    for n in topological([node]):
        found[n] = n.op.bind(sizes)(*(found[value] for value in n.inputs))
    return found[node]


def test_a_size_that_is_too_small_for_a_bound_slice_is_named() -> None:
    with pytest.raises(gn.ShapeError, match="5 elements from 0 in steps of 1 do not lie within axis 0 of size 3"):
        _bound(NAMED[:5], {"N": 3, "T": 1})


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: X[3], gn.ShapeError, r"index 3 is out of range for axis 0 of float64\[3, 4, 5\]"),
        (lambda: X[:, -5], gn.ShapeError, "index -5 is out of range for axis 1"),
        (lambda: X[0, 0, 0, 0], gn.ShapeError, "takes 4 axes"),
        (lambda: X[..., ...], gn.ArgumentError, "only one"),
        (lambda: X[True], gn.ArgumentError, "gn.where by a mask"),
        (lambda: X[[0, 1]], gn.ArgumentError, "gn.take"),
        (lambda: X[np.array([0])], gn.ArgumentError, "gn.take"),
        (lambda: X[1.0], gn.ArgumentError, "index 1.0"),
        (lambda: X[::0], gn.ArgumentError, "step"),
        (lambda: X[:1.5], gn.ArgumentError, "bound must be an integer"),
        (lambda: gn.transpose(X, (0, 1)), gn.ShapeError, "do not order 3 axes"),
        (lambda: gn.transpose(X, (0, 1, 1)), gn.ShapeError, "twice"),
        (lambda: gn.transpose(X, (0, 1, 3)), gn.ShapeError, "axis 3 is out of range"),
        (lambda: gn.moveaxis(X, (0, 1), 0), gn.ShapeError, "as many axes"),
        (lambda: gn.squeeze(X, 1), gn.ShapeError, "axis 1 has size 4"),
        (lambda: gn.flatten(X, 2, 1), gn.ShapeError, "lies behind"),
        (lambda: gn.diagonal(X), gn.ShapeError, "3 and 4"),
        (lambda: gn.diagonal(X, 1, -2), gn.ShapeError, "both 1"),
        (lambda: gn.split(X, 2), gn.ShapeError, "does not divide evenly"),
        (lambda: gn.split(NAMED, 2), gn.DimError, "depends on the name"),
        (lambda: gn.split(X, (1, 1)), gn.ShapeError, r"add up to 2, but axis 0 has 3"),
        (lambda: gn.split(X, 0), gn.ArgumentError, "positive number of sections"),
        (lambda: gn.concatenate([]), gn.ArgumentError, "non-empty list"),
        (lambda: gn.concatenate([X, X[:, 1:]]), gn.ShapeError, "all but axis 0 must be equal"),
        (lambda: gn.stack([X, X[1:]]), gn.ShapeError, "array 1 has shape"),
        (lambda: gn.tile(X, (-1,)), gn.ArgumentError, "not negative"),
        (lambda: gn.repeat(X, 1.5, 0), gn.ArgumentError, "integers"),
        (lambda: gn.pad(X, (5, 0), "reflect"), gn.ShapeError, "at most 4"),
        (lambda: gn.pad(X, (0, 6), "circular"), gn.ShapeError, "at most 5"),
        (lambda: gn.pad(X, (1, 1), "edge"), gn.ArgumentError, "'replicate'"),
        (lambda: gn.pad(X, (1, 1), "reflect", 2.0), gn.ArgumentError, "only for mode 'constant'"),
        (lambda: gn.pad(X, ((1, 1),)), gn.ArgumentError, "3 .before, after. pairs"),
        (lambda: gn.pad(X, (1,)), gn.ArgumentError, "of up to 3 axes"),
        (lambda: gn.pad(X, (-1, 0)), gn.ArgumentError, "not negative"),
        (lambda: gn.pad(gn.cast(X, "bool"), (1, 0), value=2), gn.DtypeError, "that bool holds"),
        (lambda: gn.pad(gn.cast(X, "int8"), (1, 0), value=128), gn.DtypeError, "that int8 holds"),
    ],
)
def test_refusals(build: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()
