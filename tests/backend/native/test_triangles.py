"""Products of causal attention leave out what a mask hides, and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native.triangles import LEFT_LOWER, LEFT_UPPER, OUT_LOWER, TriangularMatmul, spare_zeros
from graphnet.graph.graph import Graph
from graphnet.rewrite.driver import Log
from tests.backend.native.kernels import native


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 16, 33, 64, 70])
@pytest.mark.parametrize("kind", [LEFT_LOWER, LEFT_UPPER, OUT_LOWER])
def test_kernels_of_triangles(kind, rows, dtype):
    generator = np.random.default_rng(rows)
    for columns, turned in ((32, False), (7, True), (80, True)):
        depth = rows if kind != OUT_LOWER else columns
        width = rows if kind == OUT_LOWER else columns
        a = generator.standard_normal((2, 3, rows, depth)).astype(dtype)
        b = generator.standard_normal((2, 3, depth, width)).astype(dtype)
        if kind != OUT_LOWER:
            a = np.tril(a) if kind == LEFT_LOWER else np.triu(a)
        operands = [x.swapaxes(-1, -2).copy().swapaxes(-1, -2) for x in (a, b)] if turned else [a, b]
        out = np.full((2, 3, rows, width), np.nan, dtype)
        native(TriangularMatmul(kind), out, operands, threads=2)
        exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
        scale = np.abs(a).astype(np.longdouble) @ np.abs(b).astype(np.longdouble)
        assert np.isfinite(out).all()
        if kind == OUT_LOWER:
            out, exact, scale = np.tril(out), np.tril(exact), np.tril(scale)
        # Each of so many products and additions rounds once.
        assert (np.abs(out - exact) <= depth * np.finfo(dtype).eps * scale).all(), (columns, turned)


def attention(size, dtype="float32", bias=None, wanted=lambda scores, weights, y: y):
    """Inputs and what is wanted, with its gradients, of attention over `size` places, causal where `bias` is None."""
    q, k, v = (gn.input(name, (2, 3, size, 8), dtype) for name in "qkv")
    if bias is None:
        bias = np.where(np.tri(size, dtype=bool), 0.0, -np.inf)
    scores = (q @ gn.swapaxes(k, -1, -2)) * 0.5 + gn.constant(bias.astype(dtype))
    weights = gn.softmax(scores, -1)
    y = wanted(scores, weights, weights @ v)
    return [q, k, v], [y, *gn.gradients(gn.sum(gn.tanh(y)), [q, k, v])]


def kinds(step):
    step.specialize()
    found = (node.op for node in step.schedule.steps)
    return Counter(op.kind for op in found if isinstance(op, TriangularMatmul))


@pytest.mark.parametrize(("size", "dtype"), [(32, "float32"), (45, "float64"), (64, "float32"), (100, "float32")])
def test_causal_attention_and_its_gradients(size, dtype):
    inputs, results = attention(size, dtype)
    step = gn.compile(inputs, results, backend="native", threads=2)
    # Scores and the gradient of the weights; weights @ v and the gradients of q; those of k and v.
    assert kinds(step) == {OUT_LOWER: 2, LEFT_LOWER: 2, LEFT_UPPER: 2}
    generator = np.random.default_rng(size)
    arrays = [generator.standard_normal((2, 3, size, 8)).astype(dtype) for _ in inputs]
    for found, expected in zip(step(*arrays), gn.compile(inputs, results, backend="numpy")(*arrays), strict=True):
        # Sums of `size` terms of about 1, and four such products in a row.
        np.testing.assert_allclose(found, expected, rtol=0, atol=4 * size * np.finfo(dtype).eps * 4)


def test_what_is_hidden_stays_hidden():
    """An infinite key or value does not reach the blocks of places before its own, as 0 times infinity would."""
    inputs, results = attention(40)
    step = gn.compile(inputs, results[0], backend="native")
    q, k, v = np.random.default_rng(0).standard_normal((3, 2, 3, 40, 8)).astype("f")
    plain = step(q, k, v)
    k[..., 30, :], v[..., 35, :] = np.nan, np.inf
    found = step(q, k, v)
    np.testing.assert_array_equal(found[..., :16, :], plain[..., :16, :])
    assert not np.isfinite(found[..., 35:, :]).any()


def test_other_masks_sizes_and_readers_take_whole_products():
    banded = np.where(np.abs(np.subtract.outer(range(40), range(40))) < 5, 0.0, -np.inf)
    holed = np.where(np.tri(40, dtype=bool), 0.0, -np.inf)
    holed[3, 30] = -1e9
    for size, bias in ((31, None), (40, holed), (40, np.zeros((40, 40)))):
        assert not kinds(gn.compile(*attention(size, bias=bias), backend="native")), size
    narrow = np.minimum(banded, np.where(np.tri(40), 0, -np.inf))
    assert kinds(gn.compile(*attention(40, bias=narrow), backend="native"))
    seen = attention(40, wanted=lambda scores, weights, y: y + gn.sum(gn.where(scores > -1e30, scores, 0.0)))
    assert kinds(gn.compile(*seen, backend="native"))[OUT_LOWER] == 2  # the mask is in what is read: -inf hides it


def test_scores_that_are_read_without_their_mask_are_worked_out():
    q, k = (gn.input(name, (2, 3, 40, 8)) for name in "qk")
    product = q @ gn.swapaxes(k, -1, -2)
    mask = np.where(np.tri(40, dtype=bool), 0.0, -np.inf).astype("f")
    weights = gn.softmax(product + gn.constant(mask), -1)
    assert not kinds(gn.compile([q, k], [weights, gn.max(product)], backend="native"))
    assert not kinds(gn.compile([q, k], [weights, product], backend="native"))
    assert kinds(gn.compile([q, k], weights, backend="native")) == {OUT_LOWER: 1}


def test_one_number_added_to_a_whole_square_hides_nothing():
    a, b = (gn.input(name, (2, 40, 40)) for name in "ab")
    half = gn.constant(np.full((1, 1), 0.5, "f"))
    results = [gn.relu(a @ b + half), gn.softmax(b + half, -1) @ a]
    step = gn.compile([a, b], results, backend="native")
    assert not kinds(step)
    arrays = np.random.default_rng(0).standard_normal((2, 2, 40, 40)).astype("f")
    for found, expected in zip(step(*arrays), gn.compile([a, b], results, backend="numpy")(*arrays), strict=True):
        # Sums of 40 terms of about 1, up to 4 each.
        np.testing.assert_allclose(found, expected, rtol=0, atol=40 * 4 * np.finfo("f").eps)


def test_long_chains_between_a_product_and_its_mask():
    """Longer than calls may be nested, and with more paths than can be walked along one by one."""
    inputs = [gn.input(f"x{n}", (2, 32, 32)) for n in range(400)]
    y = inputs[0] @ inputs[1]
    for x in inputs[2:]:
        y = (y - x) - y * 0.5
    weights = gn.softmax(y + gn.constant(np.where(np.tri(32, dtype=bool), 0.0, -np.inf).astype("f")), -1)
    graph = spare_zeros(Graph((weights,)), Log())
    assert [node.op.kind for node in graph.nodes if isinstance(node.op, TriangularMatmul)] == [OUT_LOWER]
