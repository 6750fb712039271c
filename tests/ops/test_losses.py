"""Losses: labels out of range, named sizes, the graph of the gradient, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.traversal import topological
from graphnet.ops.evaluate import evaluate

X = gn.input("x", ("N", 5), "float64")
T = gn.input("t", ("N",), "int64")


@pytest.mark.parametrize("function", [gn.cross_entropy, gn.nll_loss, gn.multi_margin_loss])
@pytest.mark.parametrize("label", [5, -1, 1000])
def test_a_label_out_of_range_is_named_and_changes_nothing(function: Callable[..., gn.Node], label: int) -> None:
    weight = gn.parameter(np.ones(5), "weight")
    loss = function(X * weight, T)
    (gradient,) = gn.gradients(loss, [weight])
    step = gn.compile([X, T], loss, updates=[gn.assign(weight, weight - gradient)])
    with pytest.raises(gn.DataError, match=rf"{label} at position \(2.*expected \[0, 5\)[\s\S]*test_losses.py"):
        step(np.zeros((4, 5)), np.array([0, 4, label, 2]))
    np.testing.assert_array_equal(weight.value, np.ones(5))


def test_an_ignored_label_may_be_anything_else() -> None:
    loss = gn.compile([X, T], gn.cross_entropy(X, T, ignore_index=-1))
    kept = np.random.default_rng(0).random((3, 5))
    with_ignored = loss(np.concatenate([kept, np.full((1, 5), 9.0)]), np.array([1, 2, 3, -1]))
    np.testing.assert_allclose(with_ignored, loss(kept, np.array([1, 2, 3])), rtol=1e-14)
    assert np.isnan(loss(kept[:1], np.array([-1])))  # a mean of nothing, as in torch


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_where_all_labels_are_ignored_the_mean_is_nan_and_no_gradient_is(backend: str) -> None:
    """As in PyTorch: a batch of nothing but padding must not ruin the weights."""
    outputs = [gn.cross_entropy(X, T), *gn.gradients(gn.cross_entropy(X, T), [X])]
    mean, gradient = gn.compile([X, T], outputs, backend=backend)(np.ones((3, 5)), np.full(3, -100))
    assert np.isnan(mean)
    np.testing.assert_array_equal(gradient, np.zeros((3, 5)))


def test_an_ignored_example_has_no_gradient_whatever_its_logits() -> None:
    x, t = gn.input("x", (2, 3), "float64"), gn.input("t", (2,), "int64")
    (gradient,) = gn.gradients(gn.cross_entropy(x, t), [x])
    feeds = {x: np.array([[1.0, 2.0, 3.0], [np.nan, np.inf, 0.0]]), t: np.array([0, -100])}
    (found,) = evaluate([gradient], feeds)
    assert np.isfinite(found[0]).all() and not found[1].any()


def test_the_gradient_is_softmax_minus_target() -> None:
    (gradient,) = gn.gradients(gn.cross_entropy(X, T, reduction="sum"), [X])
    names = {node.op.name for node in topological([gradient])}
    assert "softmax_minus_target" in names and not names & {"softmax", "log_softmax", "exp", "log", "one_hot"}


def test_named_sizes_and_short_batches() -> None:
    loss = gn.cross_entropy(X, T)
    run = gn.compile([X, T], [loss, *gn.gradients(loss, [X])])
    for n in (4, 1):
        value, gradient = run(np.zeros((n, 5)), np.zeros(n, "int64"))
        np.testing.assert_allclose(value, np.log(5))
        np.testing.assert_allclose(gradient, np.tile([[-0.8, 0.2, 0.2, 0.2, 0.2]], (n, 1)) / n)


SHORT = gn.input("short", ("M",), "int64")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: gn.cross_entropy(X, T, reduction="max"), gn.ArgumentError, "one of mean, sum, none, got 'max'"),
        (lambda: gn.mse_loss(X, X, reduction="avg"), gn.ArgumentError, "one of mean, sum, none, got 'avg'"),
        (lambda: gn.nll_loss(X, T, reduction=None), gn.ArgumentError, "got None"),
        (lambda: gn.cross_entropy(X, SHORT), gn.ShapeError, r"labels of shape \(N,\), got int64\[M\]"),
        (lambda: gn.cross_entropy(X, X[:, :3]), gn.ShapeError, "of the input's shape"),
        (lambda: gn.cross_entropy(gn.sum(X), T), gn.ShapeError, "cross_entropy takes"),
        (lambda: gn.cross_entropy(T, T), gn.DtypeError, "input must be floating-point"),
        (lambda: gn.cross_entropy(X, gn.cast(T, "bool")), gn.DtypeError, "labels must be integers"),
        (lambda: gn.cross_entropy(X, T, label_smoothing=1.5), gn.ArgumentError, "label_smoothing"),
        (lambda: gn.cross_entropy(X, T, weight=np.ones(4)), gn.ShapeError, r"weight must have shape \(5,\)"),
        (lambda: gn.cross_entropy(X, X, ignore_index=2), gn.ArgumentError, "ignore_index is for class labels"),
        (lambda: gn.nll_loss(X, X), gn.DtypeError, "labels must be integers"),
        (lambda: gn.mse_loss(X, X[:, :1]), gn.ShapeError, "must have one shape"),
        (lambda: gn.mse_loss(T, T), gn.DtypeError, "floating-point"),
        (lambda: gn.huber_loss(X, X, delta=0), gn.ArgumentError, "delta must be positive"),
        (lambda: gn.smooth_l1_loss(X, X, beta=-1), gn.ArgumentError, "beta"),
        (lambda: gn.multi_margin_loss(X, T, p=3), gn.ArgumentError, "p must be 1 or 2"),
        (lambda: gn.multi_margin_loss(np.ones((2, 3, 4)), np.zeros((2, 4), int)), gn.ShapeError, "takes input"),
        (lambda: gn.binary_cross_entropy_with_logits(X, X, weight=np.ones(4)), gn.ShapeError, "weight must broadcast"),
        (lambda: gn.binary_cross_entropy_with_logits(X, X, pos_weight=np.ones((2, 1, 5))), gn.ShapeError, "pos_weight"),
    ],
)
def test_refusals(build: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def test_binary_cross_entropy_is_finite_at_certainty_and_as_in_torch() -> None:
    torch = pytest.importorskip("torch")
    p, t = np.array([0.0, 1.0, 0.0, 1.0, 1e-14]), np.array([0.3, 0.6, 0.0, 0.0, 1.0])
    x, y = gn.parameter(p, "p"), gn.parameter(t, "t")
    losses = gn.binary_cross_entropy(x, y, reduction="none")
    value, by_p, by_t = gn.compile([], [losses, *gn.gradients(gn.sum(losses), [x, y])])()
    its = torch.tensor(p, requires_grad=True)
    there = torch.nn.functional.binary_cross_entropy(its, torch.tensor(t), reduction="none")
    there.sum().backward()
    np.testing.assert_allclose(value, there.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(by_p, its.grad.numpy(), rtol=1e-12)
    assert np.isfinite(by_t).all()  # where torch has infinities: the logarithms of the value are cut, and so are these


def test_divergence_of_what_is_absent_is_nothing() -> None:
    x, t = gn.constant([[-1.0, -2.0]]), gn.parameter([[0.0, 1.0]], "t")
    losses = gn.kl_div(x, t, reduction="none")
    value, slope = gn.compile([], [losses, *gn.gradients(gn.sum(losses), [t])])()
    np.testing.assert_allclose(value, [[0.0, 2.0]])
    assert np.isfinite(slope).all() and slope[0, 1] == 3
