"""Normalization: shared statistics in training; in evaluation nothing is left but weights and biases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.executable import Executable
from graphnet.graph.node import Node
from graphnet.ops.normalization import Standardize
from graphnet.ops.reductions import Mean, Var
from graphnet.rewrite import normalization
from tests.rewrite.row import Row, check

RNG = np.random.default_rng(0)


def _stored(name: str, *shape: int) -> Node:
    return gn.parameter(RNG.uniform(0.5, 2, shape), name)


FILTERS, TURNED, MATRIX = _stored("filters", 4, 3, 3, 3), _stored("turned", 3, 4, 3, 3), _stored("matrix", 5, 4)
SCALE, SHIFT = _stored("scale", 4), _stored("shift", 4)
IMAGES, VECTORS = ((2, 3, 6, 6), (4, 3, 3, 3)), ((2, 5), (5, 4))


def _wide(vector: Node) -> Node:
    return vector.reshape(4, 1, 1)


def _by_filter(vector: Node) -> Node:
    return vector.reshape(4, 1, 1, 1)


def _turned_scaled() -> Node:
    return (TURNED.reshape(1, 3, 4, 3, 3) * _wide(SCALE).reshape(1, 1, 4, 1, 1)).reshape(3, 4, 3, 3)


def _flat(y: Node) -> Node:
    return y.reshape(2, 4, 4)


SEQUENCES = ((2, 3, 1, 6),)
ROW_FILTERS = _stored("row filters", 4, 3, 1, 3)
into_weights, past_bias = normalization.scale_into_weights, normalization.scale_past_bias
one_bias, before_reshape = normalization.two_biases_into_one, normalization.scale_before_reshape

ROWS = [
    Row(
        normalization.standardize_in_parts,
        lambda x: Standardize((0,), 0.5)(x),
        lambda x: (x - Mean((0,), True)(x)) * gn.rsqrt(Var((0,), True, 0)(x) + 0.5),
    ),
    Row(
        normalization.var_in_parts,
        lambda x: gn.var(x, 1),
        lambda x: gn.sum(gn.square(x - gn.mean(x, 1, keepdims=True)), 1) / 2,
    ),
    Row(normalization.var_in_parts, lambda x: gn.var(x, 1, correction=3), None),
    Row(
        into_weights,
        lambda x: gn.conv2d(x, FILTERS) * _wide(SCALE),
        lambda x: gn.conv2d(x, FILTERS * _by_filter(_wide(SCALE))),
        shapes=IMAGES,
    ),
    Row(
        into_weights,
        lambda x: _wide(SCALE) * gn.conv_transpose2d(x, TURNED),
        lambda x: gn.conv_transpose2d(x, _turned_scaled()),
        shapes=IMAGES,
    ),
    Row(into_weights, lambda x: (x @ MATRIX) * SCALE, lambda x: x @ (MATRIX * SCALE), shapes=VECTORS),
    # Neither a number for each channel, nor for each column; weights or scale that come from outside; read twice.
    Row(into_weights, lambda x: gn.conv2d(x, FILTERS) * SCALE, None, shapes=IMAGES),
    Row(into_weights, lambda x: (x @ MATRIX) * _stored("rows", 2, 1), None, shapes=VECTORS),
    Row(into_weights, lambda x: (x @ MATRIX) * _stored("outer", 1, 1, 4), None, shapes=VECTORS),
    Row(into_weights, lambda x, w: (x @ w) * SCALE, None, inputs=2, shapes=VECTORS),
    Row(into_weights, lambda x, s: (x @ MATRIX) * s, None, inputs=2, shapes=((2, 5), (4,))),
    Row(into_weights, lambda x: (x @ MATRIX) * SCALE + gn.exp(x @ MATRIX), None, shapes=VECTORS),
    Row(
        past_bias,
        lambda x: (gn.conv2d(x, FILTERS) + _wide(SHIFT)) * _wide(SCALE),
        lambda x: gn.conv2d(x, FILTERS * _by_filter(_wide(SCALE))) + _wide(SHIFT) * _wide(SCALE),
        shapes=IMAGES,
    ),
    Row(
        past_bias,
        lambda x: SCALE * (SHIFT + x @ MATRIX),
        lambda x: x @ (MATRIX * SCALE) + SHIFT * SCALE,
        shapes=VECTORS,
    ),
    Row(past_bias, lambda x, b: (x @ MATRIX + b) * SCALE, None, inputs=2, shapes=((2, 5), (4,))),
    Row(
        one_bias,
        lambda x: x @ MATRIX + SHIFT + SCALE,
        lambda x: x @ MATRIX + (SHIFT + SCALE),
        shapes=VECTORS,
    ),
    Row(one_bias, lambda x, b: x @ MATRIX + SHIFT + b, None, inputs=2, shapes=((2, 5), (4,))),
    Row(
        before_reshape,
        lambda x: _flat(gn.conv2d(x, ROW_FILTERS)) * SCALE.reshape(4, 1),
        lambda x: _flat(gn.conv2d(x, ROW_FILTERS) * SCALE.reshape(4, 1).reshape(4, 1, 1)),
        shapes=SEQUENCES,
    ),
    Row(
        before_reshape,
        lambda x: SHIFT.reshape(4, 1) + _flat(gn.conv2d(x, ROW_FILTERS)),
        lambda x: _flat(gn.conv2d(x, ROW_FILTERS) + SHIFT.reshape(4, 1).reshape(4, 1, 1)),
        shapes=SEQUENCES,
    ),
    Row(before_reshape, lambda x: _flat(gn.conv2d(x, ROW_FILTERS)) * SCALE, None, shapes=SEQUENCES),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Row) -> None:
    check(row)


def test_sums_of_products_of_parameters_come_to_rest() -> None:
    """Each of them is a product, and a bias to the others."""
    x, products = gn.input("x", (2, 4)), [_stored(f"row {number}", 1, 5) @ MATRIX for number in range(3)]
    y = x * (products[0] + products[1] + SHIFT + products[2])
    value = RNG.uniform(1, 2, (2, 4)).astype("f")
    wanted = gn.compile([x], y, rewrite=False)(value)
    np.testing.assert_allclose(gn.compile([x], y)(value), wanted, rtol=1e-5)


class Turned(nn.Module):
    """A transposed convolution with groups, which has no layer of its own yet."""

    def __init__(self, groups: int, bias: bool) -> None:
        super().__init__()
        self.groups = groups
        self.weight = gn.parameter(RNG.normal(size=(4, 6 // groups, 3, 3)), "weight")
        self.bias = gn.parameter(RNG.normal(size=6), "bias") if bias else None

    def forward(self, x: Node) -> Node:
        return gn.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1, output_padding=1, groups=self.groups)


PAIRS: dict[str, tuple[Callable[[], list[nn.Module]], tuple[int, ...]]] = {
    "conv": (lambda: [nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6)], (4, 7, 7)),
    "conv with bias": (lambda: [nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)], (4, 7, 7)),
    "conv to one channel": (lambda: [nn.Conv2d(4, 1, 3), nn.BatchNorm2d(1)], (4, 7, 7)),
    "1x1": (lambda: [nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)], (4, 7, 7)),
    "groups": (lambda: [nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)], (4, 7, 7)),
    "depthwise": (lambda: [nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.BatchNorm2d(8)], (4, 7, 7)),
    "affine off": (lambda: [nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False)], (4, 7, 7)),
    "reflected": (lambda: [nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(6)], (4, 7, 7)),
    "conv1d": (lambda: [nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)], (4, 9)),
    "conv1d without bias": (lambda: [nn.Conv1d(4, 6, 3, bias=False), nn.BatchNorm1d(6)], (4, 9)),
    "transposed": (lambda: [Turned(1, False), nn.BatchNorm2d(6)], (4, 5, 5)),
    "transposed with groups": (lambda: [Turned(2, True), nn.BatchNorm2d(6)], (4, 5, 5)),
    "linear": (lambda: [nn.Linear(5, 6), nn.BatchNorm1d(6)], (5,)),
    "linear without bias": (lambda: [nn.Linear(5, 6, bias=False), nn.BatchNorm1d(6)], (5,)),
    "two in a row": (lambda: [nn.Linear(5, 6), nn.BatchNorm1d(6), nn.BatchNorm1d(6)], (5,)),
}


def _model(name: str) -> nn.Sequential:
    model = nn.Sequential(*PAIRS[name][0]()).to("float64")
    _shuffle(model)
    return model.eval()


def _shuffle(model: nn.Module) -> None:
    """Other weights and running statistics."""
    state = {k: v if v.dtype.kind == "i" else RNG.uniform(0.5, 2, v.shape) for k, v in model.state_dict().items()}
    model.load_state_dict(state)


def _large_ops(step: Executable, batch: int) -> Counter[str]:
    """How often each op stands on something that has the batch in it, before fusion."""
    step.specialize(N=batch)
    simplified = next(after for name, _, after in step.program.log.passes if name == "simplify")
    inputs = [node for node in simplified.nodes if type(node.op).__name__ == "Input"]
    from_input = set(inputs)
    for node in simplified.nodes:
        if any(value in from_input for value in node.inputs):
            from_input.add(node)
    return Counter(node.op.name for node in from_input)


@pytest.mark.parametrize("name", PAIRS)
def test_evaluation_folds_into_the_layer_before(name: str) -> None:
    model = _model(name)
    x = gn.input("x", ("N", *PAIRS[name][1]), "float64")
    y = model(x)
    folded, plain = gn.compile([x], y, check=2), gn.compile([x], y, rewrite=False)
    array = RNG.normal(size=(3, *PAIRS[name][1]))
    np.testing.assert_allclose(folded(array), plain(array), rtol=1e-12, atol=1e-12)
    ops = _large_ops(folded, 3)
    assert (ops["multiply"], ops["add"]) == (0, 1), ops
    before = folded(array)
    _shuffle(model)
    np.testing.assert_allclose(folded(array), plain(array), rtol=1e-12, atol=1e-12)
    assert not np.allclose(before, folded(array))


@pytest.mark.parametrize("name", ["conv", "conv with bias", "linear", "conv1d"])
def test_training_does_not_fold(name: str) -> None:
    model = _model(name).train()
    x = gn.input("x", ("N", *PAIRS[name][1]), "float64")
    step = gn.compile([x], model(x), check=2)
    assert _large_ops(step, 4)["multiply"] > 0
    step(RNG.normal(size=(4, *PAIRS[name][1])))
    assert not any(firing.rule.startswith("scale_") for firing in step.program.log.firings)


@pytest.mark.parametrize("name", ["conv", "conv with bias", "linear", "transposed"])
@pytest.mark.parametrize("how", ["result", "another reader"])
def test_a_layer_that_is_read_elsewhere_stays_as_it_is(name: str, how: str) -> None:
    layer, norm = _model(name)
    x = gn.input("x", ("N", *PAIRS[name][1]), "float64")
    between = layer(x)
    outputs = [norm(between), between if how == "result" else gn.sum(gn.tanh(between))]
    step = gn.compile([x], outputs, check=2)
    array = RNG.normal(size=(3, *PAIRS[name][1]))
    for found, wanted in zip(step(array), gn.compile([x], outputs, rewrite=False)(array), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
    ops = _large_ops(step, 3)
    assert ops["multiply"] == 1
    assert ops["conv2d"] + ops["matmul"] + ops["conv2d_input_gradient"] == 1


def test_frozen_statistics_can_still_be_differentiated() -> None:
    """The gradient by the scale reads the convolution, so it is not folded; everything agrees all the same."""
    model = _model("conv")
    x = gn.input("x", (3, 4, 7, 7), "float64")
    loss = gn.sum(gn.square(model(x)))
    outputs = [loss, *gn.gradients(loss, [x, *model.parameters()])]
    array = RNG.normal(size=(3, 4, 7, 7))
    for found, wanted in zip(
        gn.compile([x], outputs, check=2)(array), gn.compile([x], outputs, rewrite=False)(array), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_training_shares_its_statistics() -> None:
    """Forward, running statistics and gradient stand on one mean and one sum of squares."""
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6)).to("float64")
    x = gn.input("x", (4, 5), "float64")
    loss = gn.sum(gn.tanh(model(x)))
    step = gn.compile([x], [loss, *gn.gradients(loss, list(model.parameters()))], check=2)
    step(RNG.normal(size=(4, 5)))
    simplified = next(after for name, _, after in step.program.log.passes if name == "simplify")
    centered = [node for node in simplified.nodes if node.op.name == "square" and node.shape == (4, 6)]
    assert Counter(node.op.name for node in simplified.nodes)["rsqrt"] == 1
    assert sum("mean" in value.op.name for node in centered for value in node.inputs[0].inputs) <= 1
