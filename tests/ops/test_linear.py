"""Matrix products and einsum: what they are made of, named sizes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.traversal import topological
from graphnet.ops.linear import Matmul

A, B = gn.input("a", (2, 3)), gn.input("b", (4, 5))


def products(*nodes: gn.Node) -> list[gn.Node]:
    return [node for node in topological(nodes) if isinstance(node.op, Matmul)]


def test_rows_of_a_batch_times_a_matrix_are_one_product_forward_and_backward() -> None:
    x, w = gn.input("x", ("N", 7, 3)), gn.input("w", (4, 3))
    y = gn.linear(x, w)
    assert y.shape == (gn.Dim("N"), 7, 4)
    found = products(y, *gn.gradients(gn.sum(y * y), [x, w]))
    assert len(found) == 3 and all(node.ndim == 2 for node in found)


def test_a_contraction_is_one_product() -> None:
    q, k = gn.input("q", ("N", 2, "T", 8)), gn.input("k", ("N", 2, "S", 8))
    scores = gn.einsum("bhqd,bhkd->bhqk", q, k)
    assert scores.shape == (gn.Dim("N"), 2, gn.Dim("T"), gn.Dim("S")) and len(products(scores)) == 1


def test_what_has_no_contraction_has_no_product() -> None:
    assert not products(gn.einsum("ij,j->ij", A, gn.input("v", (3,))))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: A @ B, gn.ShapeError, "3 columns, the second 4 rows"),
        (lambda: A @ 2.0, gn.ShapeError, "use . for scalars"),
        (lambda: gn.input("c", (2, 2, 3)) @ gn.input("d", (3, 3, 4)), gn.ShapeError, "broadcast"),
        (lambda: gn.cast(A, "bool") @ gn.cast(A.T, "bool"), gn.DtypeError, "floats or integers"),
        (lambda: gn.linear(A, B), gn.ShapeError, r"expected input \(\.\.\., in\)"),
        (lambda: gn.linear(A, gn.input("w", (4, 3)), A[0]), gn.ShapeError, r"bias must have shape \(4,\)"),
        (lambda: gn.einsum("ij,jk", A), gn.ArgumentError, "2 operands, got 1"),
        (lambda: gn.einsum("ij,jk", A, B), gn.ShapeError, "'j' has size 3 and"),
        (lambda: gn.einsum("i", A), gn.ShapeError, "does not label"),
        (lambda: gn.einsum("ijk", A), gn.ShapeError, "does not label"),
        (lambda: gn.einsum("ij->ii", A), gn.ArgumentError, "'i' twice in the result"),
        (lambda: gn.einsum("ij->k", A), gn.ArgumentError, "in no operand"),
        (lambda: gn.einsum("i1", A), gn.ArgumentError, "expected letters"),
        (lambda: gn.einsum("...j->j", A), gn.ArgumentError, "not in the result"),
        (lambda: gn.einsum("...j,...j->...", A, gn.input("d", (3, 3))), gn.ShapeError, "has size 2 and"),
        (lambda: gn.einsum(A, "ij"), gn.ArgumentError, "must be a string"),
    ],
)
def test_refusals(build: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def test_named_sizes_give_the_numbers() -> None:
    x, y = gn.input("x", ("N", "T"), "float64"), gn.input("y", ("T", "M"), "float64")
    run = gn.compile([x, y], [x @ y, gn.einsum("nt,tm->mn", x, y)])
    rng = np.random.default_rng(0)
    for n in (3, 1):
        a, b = rng.random((n, 4)), rng.random((4, 2))
        product, transposed = run(a, b)
        np.testing.assert_allclose(product, a @ b)
        np.testing.assert_allclose(transposed, (a @ b).T)
