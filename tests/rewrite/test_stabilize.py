"""Textbook formulas at extreme arguments: values and gradients are those of torch's stable functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.node import Node
from graphnet.ops.indexing import Gather, ScatterAdd
from graphnet.ops.reductions import LogSoftmax, LogSumExp, Softmax
from graphnet.rewrite import stabilize
from tests.ops.case import torch
from tests.rewrite.row import Row, check

if torch is not None:
    F = torch.nn.functional

TWO = ((3, 3), (3, 3))
PICKS = gn.constant(np.array([[0], [1], [2]]))


def _p(x: Node) -> Node:
    return Softmax(1)(x)


def _through(p: Node, d: Node, axis: int = 1, keepdims: bool = True) -> Node:
    """The gradient of the softmax p, given that by its result."""
    return p * (d - gn.sum(d * p, axis, keepdims=keepdims))


def _over_pick(g: Node, x: Node, scatter: int = 1) -> Node:
    return ScatterAdd(scatter, 3, False)(g[:, :1] / Gather(1, False)(_p(x), PICKS), PICKS)


def _slope(x: Node) -> Node:
    s = gn.sigmoid(x)
    return s * (1 - s)


def _spread_pick(g: Node) -> Node:
    return ScatterAdd(1, 3, False)(g[:, :1], PICKS)


def _spread(number: float) -> Node:
    return gn.broadcast_to(gn.broadcast_to(gn.constant(number, "float64"), (1, 3)), (3, 3))


def _ones(*shape: int) -> Node:
    return gn.constant(np.ones(shape))


ROWS = [
    Row(stabilize.log_of_softmax, lambda x: gn.log(_p(x)), lambda x: LogSoftmax(1)(x)),
    Row(stabilize.log_of_softmax, lambda x: gn.log(_p(x) + 1), None),
    Row(
        stabilize.log_of_gathered_softmax,
        lambda x: gn.log(Gather(1, False)(_p(x), PICKS)),
        lambda x: Gather(1, False)(LogSoftmax(1)(x), PICKS),
        shapes=TWO,
    ),
    Row(
        stabilize.gradient_of_log_softmax,
        lambda x, g: _through(_p(x), g / _p(x)),
        lambda x, g: g - _p(x) * gn.sum(g, 1, keepdims=True),
        inputs=2,
        shapes=TWO,
    ),
    Row(stabilize.gradient_of_log_softmax, lambda x, g: _through(_p(x), g / _p(x), 0), None, inputs=2, shapes=TWO),
    Row(
        stabilize.gradient_of_log_softmax,
        lambda x, g: _through(_p(x), g / _p(x), keepdims=False),
        None,
        inputs=2,
        shapes=TWO,
    ),
    Row(stabilize.gradient_of_log_softmax, lambda x, g: _through(_p(x), g / _p(g)), None, inputs=2, shapes=TWO),
    Row(
        stabilize.gradient_of_log_of_gathered_softmax,
        lambda x, g: _through(_p(x), _over_pick(g, x)),
        lambda x, g: _spread_pick(g) - _p(x) * gn.sum(_spread_pick(g), 1, keepdims=True),
        inputs=2,
        shapes=TWO,
    ),
    Row(
        stabilize.gradient_of_softmax_used_often,
        lambda x, g: _through(_p(x), g + g / _p(x)),
        lambda x, g: _through(_p(x), g) + _through(_p(x), g / _p(x)),
        inputs=2,
        shapes=TWO,
    ),
    Row(stabilize.gradient_of_softmax_used_often, lambda x, g: _through(_p(x), g + x), None, inputs=2, shapes=TWO),
    Row(stabilize.log_of_sigmoid, lambda x: gn.log(gn.sigmoid(x)), lambda x: gn.log_sigmoid(x)),
    Row(stabilize.log_of_sigmoid, lambda x: gn.log(gn.tanh(x)), None),
    Row(
        stabilize.gradient_of_log_sigmoid,
        lambda x, g: g / gn.sigmoid(x) * _slope(x),
        lambda x, g: g * gn.sigmoid(-x),
        inputs=2,
    ),
    Row(stabilize.gradient_of_log_sigmoid, lambda x, g: g / gn.sigmoid(g) * _slope(x), None, inputs=2),
    Row(stabilize.log_of_one_minus_sigmoid, lambda x: gn.log(1 - gn.sigmoid(x)), lambda x: gn.log_sigmoid(-x)),
    Row(
        stabilize.log_of_one_minus_sigmoid,
        lambda x: gn.log(_ones(2, 3) - gn.sigmoid(x)),
        lambda x: gn.broadcast_to(gn.log_sigmoid(-x), (2, 3)),
        shapes=((3,),),
    ),
    Row(stabilize.log_of_one_minus_sigmoid, lambda x: gn.log(2 - gn.sigmoid(x)), None),
    Row(
        stabilize.gradient_of_log_one_minus_sigmoid,
        lambda x, g: -(g / (1 - gn.sigmoid(x))) * _slope(x),
        lambda x, g: -(g * gn.sigmoid(x)),
        inputs=2,
    ),
    Row(
        stabilize.gradient_of_sigmoid_used_often,
        lambda x, g: (g / gn.sigmoid(x) + g) * _slope(x),
        lambda x, g: g / gn.sigmoid(x) * _slope(x) + g * _slope(x),
        inputs=2,
    ),
    Row(stabilize.gradient_of_sigmoid_used_often, lambda x, g: (g + x) * _slope(x), None, inputs=2),
    Row(stabilize.log_of_one_plus, lambda x: gn.log(1 + x), lambda x: gn.log1p(x)),
    Row(stabilize.log_of_one_plus, lambda x: gn.log(x + 1), lambda x: gn.log1p(x)),
    Row(
        stabilize.log_of_one_plus,
        lambda x: gn.log(x + _ones(2, 3)),
        lambda x: gn.broadcast_to(gn.log1p(x), (2, 3)),
        shapes=((3,),),
    ),
    Row(stabilize.log_of_one_plus, lambda x: gn.log(x + 2), None),
    Row(stabilize.log_of_one_minus, lambda x: gn.log(1 - x), lambda x: gn.log1p(-x)),
    Row(stabilize.log_of_one_minus, lambda x: gn.log(x - 1), None),
    Row(stabilize.exp_minus_one, lambda x: gn.exp(x) - 1, lambda x: gn.expm1(x)),
    Row(stabilize.exp_minus_one, lambda x: gn.exp(x) - 2, None),
    Row(stabilize.minus_one_plus_exp, lambda x: -1 + gn.exp(x), lambda x: gn.expm1(x)),
    Row(stabilize.minus_one_plus_exp, lambda x: gn.exp(x) + 1, None),
    Row(stabilize.one_minus_exp, lambda x: 1 - gn.exp(x), lambda x: -gn.expm1(x)),
    Row(stabilize.log1p_of_exp, lambda x: gn.log1p(gn.exp(x)), lambda x: -gn.log_sigmoid(-x)),
    Row(
        stabilize.gradient_of_softplus,
        lambda x, g: g / (1 + gn.exp(x)) * gn.exp(x),
        lambda x, g: g * gn.sigmoid(x),
        inputs=2,
    ),
    Row(
        stabilize.gradient_of_softplus,
        lambda x, g: gn.exp(x) * (g / (gn.exp(x) + _ones(2, 3))),
        lambda x, g: gn.broadcast_to(g * gn.sigmoid(x), (2, 3)),
        inputs=2,
        shapes=((3,), (3,)),
    ),
    Row(stabilize.gradient_of_softplus, lambda x, g: g / (1 + gn.exp(g)) * gn.exp(x), None, inputs=2),
    Row(stabilize.log_of_sum_of_exp, lambda x: gn.log(gn.sum(gn.exp(x), 1)), lambda x: LogSumExp((1,), False)(x)),
    Row(stabilize.log_of_sum_of_exp, lambda x: gn.log(gn.sum(x, 1)), None),
    Row(
        stabilize.gradient_of_logsumexp,
        lambda x, g: gn.broadcast_to((g[0] / gn.sum(gn.exp(x), 1)).reshape(3, 1), (3, 3)) * gn.exp(x),
        lambda x, g: gn.broadcast_to(g[0].reshape(3, 1), (3, 3)) * gn.exp(x - LogSumExp((1,), True)(x)),
        inputs=2,
        shapes=TWO,
    ),
    Row(
        stabilize.gradient_of_logsumexp,
        lambda x: gn.broadcast_to(2 / gn.sum(gn.exp(x), 0, keepdims=True), (3, 3)) * gn.exp(x),
        lambda x: _spread(2.0) * gn.exp(x - LogSumExp((0,), True)(x)),
        shapes=TWO,
    ),
    # Sums along rows spread along columns are no gradient of a sum.
    Row(
        stabilize.gradient_of_logsumexp,
        lambda x, g: gn.broadcast_to(g[0] / gn.sum(gn.exp(x), 1), (3, 3)) * gn.exp(x),
        None,
        inputs=2,
        shapes=TWO,
    ),
    Row(
        stabilize.gradient_of_exp_used_often,
        lambda x, g: (g / (1 + gn.exp(x)) + g) * gn.exp(x),
        lambda x, g: g / (1 + gn.exp(x)) * gn.exp(x) + g * gn.exp(x),
        inputs=2,
    ),
    Row(stabilize.gradient_of_exp_used_often, lambda x, g: (g + x) * gn.exp(x), None, inputs=2),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Row) -> None:
    check(row)


EXTREME = (-1e4, -800.0, -90.0, -1.0, 0.0, 0.5, 90.0, 800.0, 1e4)
TINY = (-1e-12, -1e-30, 0.0, 1e-30, 1e-12, 1e-9, 0.25, 3.0)
NEGATIVE = (-1e4, -800.0, -90.0, -1.0, -1e-3, -1e-9, -1e-20)


# name: the formula as textbooks have it, torch's stable one, and the arguments.
Formula = tuple[Callable[[Any], Any], Callable[[Any], Any], tuple[float, ...]]
FORMULAS: dict[str, Formula] = {
    "log(softmax)": (lambda x: gn.log(gn.softmax(x)), lambda x: F.log_softmax(x, -1), EXTREME),
    "log(softmax, 0)": (lambda x: gn.log(gn.softmax(x, 0)), lambda x: F.log_softmax(x, 0), EXTREME),
    "log(sigmoid)": (lambda x: gn.log(gn.sigmoid(x)), lambda x: F.logsigmoid(x), EXTREME),
    "log(1 - sigmoid)": (lambda x: gn.log(1 - gn.sigmoid(x)), lambda x: F.logsigmoid(-x), EXTREME),
    "log(1 + x)": (lambda x: gn.log(1 + x), lambda x: torch.log1p(x), TINY),
    "log(x + 1)": (lambda x: gn.log(x + 1), lambda x: torch.log1p(x), TINY),
    "log(1 - x)": (lambda x: gn.log(1 - x), lambda x: torch.log1p(-x), TINY[:-1]),
    "exp(x) - 1": (lambda x: gn.exp(x) - 1, lambda x: torch.expm1(x), (*TINY, -1e4, -800.0)),
    "-1 + exp(x)": (lambda x: -1 + gn.exp(x), lambda x: torch.expm1(x), (*TINY, -1e4, -800.0)),
    "1 - exp(x)": (lambda x: 1 - gn.exp(x), lambda x: -torch.expm1(x), (*TINY, -1e4, -800.0)),
    "log(1 + exp(x))": (lambda x: gn.log(1 + gn.exp(x)), lambda x: -F.logsigmoid(-x), EXTREME),
    "log(exp(x) + 1)": (lambda x: gn.log(gn.exp(x) + 1), lambda x: -F.logsigmoid(-x), EXTREME),
    "log(1 + exp(-x))": (lambda x: gn.log(1 + gn.exp(-x)), lambda x: -F.logsigmoid(x), EXTREME),
    "log1p(exp(x))": (lambda x: gn.log1p(gn.exp(x)), lambda x: -F.logsigmoid(-x), EXTREME),
    "log(1 - exp(x))": (lambda x: gn.log(1 - gn.exp(x)), lambda x: torch.log(-torch.expm1(x)), NEGATIVE),
    "log(sum(exp), 1)": (lambda x: gn.log(gn.sum(gn.exp(x), 1)), lambda x: torch.logsumexp(x, 1), EXTREME),
    "log(sum(exp), 0)": (lambda x: gn.log(gn.sum(gn.exp(x), 0)), lambda x: torch.logsumexp(x, 0), EXTREME),
    "log(sum(exp))": (lambda x: gn.log(gn.sum(gn.exp(x))), lambda x: torch.logsumexp(x, (0, 1)), EXTREME),
    "log(sum(exp), keepdims)": (
        lambda x: gn.log(gn.sum(gn.exp(x), 1, keepdims=True)),
        lambda x: torch.logsumexp(x, 1, keepdim=True),
        EXTREME,
    ),
    "log(sum(exp)) of one": (
        lambda x: gn.log(gn.sum(gn.exp(x.reshape(-1, 1)), 1)),
        lambda x: torch.logsumexp(x.reshape(-1, 1), 1),
        EXTREME,
    ),
    # The same exponential, sigmoid or softmax in several places.
    "x - log(sum(exp))": (
        lambda x: x - gn.log(gn.sum(gn.exp(x), 1, keepdims=True)),
        lambda x: F.log_softmax(x, 1),
        EXTREME,
    ),
    "both axes": (
        lambda x: gn.log(gn.sum(gn.exp(x), 1, keepdims=True)) + gn.log(gn.sum(gn.exp(x), 0, keepdims=True)),
        lambda x: torch.logsumexp(x, 1, keepdim=True) + torch.logsumexp(x, 0, keepdim=True),
        EXTREME,
    ),
    "cross-entropy of two": (
        lambda x: -(0.3 * gn.log(gn.sigmoid(x)) + (1 - 0.3) * gn.log(1 - gn.sigmoid(x))),
        lambda x: F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.3), reduction="none"),
        EXTREME,
    ),
    "focal": (
        lambda x: (1 - gn.sigmoid(x)) * gn.log(gn.sigmoid(x)) + gn.sigmoid(x) * gn.log(1 - gn.sigmoid(x)),
        lambda x: torch.sigmoid(-x) * F.logsigmoid(x) + torch.sigmoid(x) * F.logsigmoid(-x),
        EXTREME,
    ),
    "entropy": (
        lambda x: gn.softmax(x) * gn.log(gn.softmax(x)),
        lambda x: torch.softmax(x, -1) * F.log_softmax(x, -1),
        EXTREME,
    ),
    "log(picked softmax)": (
        lambda x: gn.log(gn.take_along_axis(gn.softmax(x), np.array([[0], [-1], [3]]), 1)),
        lambda x: F.log_softmax(x, -1).take_along_dim(torch.tensor([[0], [x.shape[1] - 1], [3]]), 1),
        EXTREME,
    ),
    "picked log(softmax)": (
        lambda x: gn.take_along_axis(gn.log(gn.softmax(x)), np.array([[0], [-1], [3]]), 1),
        lambda x: F.log_softmax(x, -1).take_along_dim(torch.tensor([[0], [x.shape[1] - 1], [3]]), 1),
        EXTREME,
    ),
}


@pytest.mark.skipif(torch is None, reason="torch is not installed")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_gradient_at_extreme_arguments(name: str, dtype: str) -> None:
    formula, stable, arguments = FORMULAS[name]
    array = np.array([arguments, arguments[::-1], np.roll(arguments, 3)], dtype)
    x = gn.input("x", array.shape, dtype)
    value = formula(x)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, value.type.static_shape).astype(dtype)
    losses = [gn.sum(value * gn.constant(weights)), gn.mean(value)]
    step = gn.compile([x], [value, *(gn.gradients(loss, [x])[0] for loss in losses)], check=2)
    found = step(array)
    tensor = torch.from_numpy(array).requires_grad_()
    wanted = stable(tensor)
    by_sum, by_mean = ((wanted * torch.from_numpy(np.asarray(weights))).sum(), wanted.mean())
    expected = [wanted, *(torch.autograd.grad(loss, tensor, retain_graph=True)[0] for loss in (by_sum, by_mean))]
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for what, actual, reference in zip(("value", "gradient of sum", "gradient of mean"), found, expected, strict=True):
        reference = reference.detach().numpy()
        assert np.isfinite(actual).all(), f"{name}: {what} {actual}"
        np.testing.assert_allclose(actual, reference, rtol=tolerance, atol=tolerance / 100, err_msg=f"{name}: {what}")


@pytest.mark.skipif(torch is None, reason="torch is not installed")
def test_negative_log_likelihood_of_a_textbook_softmax() -> None:
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 800.0, -800.0]])
    x, labels = gn.input("x", ("N", 3), "float64"), gn.input("labels", ("N",), "int64")
    loss = gn.nll_loss(gn.log(gn.softmax(x)), labels)
    value, gradient = gn.compile([x, labels], [loss, *gn.gradients(loss, [x])])(logits, np.array([1, 1]))
    tensor = torch.from_numpy(logits).requires_grad_()
    wanted = F.cross_entropy(tensor, torch.tensor([1, 1]))
    wanted.backward()
    assert value == wanted.item()
    np.testing.assert_allclose(gradient, tensor.grad.numpy())
