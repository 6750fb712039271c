"""`Module.summary`: shapes, parameters, operations and bytes, by hand."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError, ShapeError
from graphnet.nn.flops import flops


def _lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(72, 5)
    )


def test_each_layer_is_counted():
    found = _lenet().summary((3, 1, 12, 12))
    rows = {row.name or row.kind: row for row in found.rows}
    assert list(rows) == ["Sequential", "0", "1", "2", "3", "4", "5"]
    assert [str(t) for t in rows["0"].inputs + rows["0"].outputs] == ["float32[3, 1, 12, 12]", "float32[3, 2, 12, 12]"]
    assert [rows[k].parameters for k in "012345"] == [20, 0, 0, 0, 0, 365]
    pixels = 3 * 2 * 12 * 12
    # Two a multiply-add, and one for each addition of the bias.
    assert rows["0"].flops == 2 * pixels * 9 + pixels
    assert [rows[k].flops for k in "1234"] == [pixels, pixels // 4 * 4, 0, 0]
    assert rows["5"].flops == 2 * 3 * 72 * 5 + 3 * 5
    assert [rows[k].bytes for k in "012345"] == [4 * (20 + pixels), 4 * pixels, pixels, 0, 0, 4 * (365 + 15)]
    top = found.rows[0]
    assert found.flops == top.flops == sum(rows[k].flops for k in "012345")
    assert found.parameters == 385 and found.trained == 385
    assert found.bytes == sum(rows[k].bytes for k in "012345")


def test_it_prints_a_table():
    text = str(nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Tanh())).summary((2, 3)))
    assert text == (
        "layer            input   output  parameters  FLOPs  bytes\n"
        "---------------------------------------------------------\n"
        "Sequential       (2, 3)  (2, 4)          16     64    128\n"
        "  0: Linear      (2, 3)  (2, 4)          16     56     96\n"
        "  1: Sequential  (2, 4)  (2, 4)           0      8     32\n"
        "    0: Tanh      (2, 4)  (2, 4)           0      8     32\n"
        "---------------------------------------------------------\n"
        "parameters: 16, of which trained: 16\n"
        "FLOPs: 64\n"
        "bytes: 64 of parameters, 64 of activations"
    )


def test_named_sizes_give_figures_in_terms_of_them():
    model = _lenet()
    found = model.summary(("N", 1, 12, 12))
    assert str(found.flops) == "N*6773" and str(found.rows[0].activation_bytes) == "N*2612"
    numbers = model.summary((7, 1, 12, 12))
    assert found.flops.bind({"N": 7}) == numbers.flops
    node = gn.input("images", ("N", 1, 12, 12))
    assert str(model.summary(node)) == str(found)


class Branches(nn.Module):
    """Two inputs, a layer used twice, an addition of its own, two outputs."""

    def __init__(self) -> None:
        self.shared = nn.Linear(4, 4, bias=False)
        self.frozen = nn.Linear(4, 2).requires_grad_(False)

    def forward(self, left, right):
        a, b = self.shared(left), self.shared(right)
        return {"sum": a + b, "frozen": self.frozen(a)}


def test_shared_layers_branches_and_several_inputs():
    found = Branches().summary([(3, 4), (3, 4)])
    assert [(row.name, row.parameters, row.flops) for row in found.rows] == [
        ("", 26, 96 + 96 + 12 + 54), ("shared", 16, 96), ("shared", 0, 96), ("frozen", 10, 54)
    ]  # fmt: skip
    assert (found.parameters, found.trained) == (26, 16)
    # Each call's result, and the sum, which no layer gives.
    assert [row.activation_bytes for row in found.rows] == [4 * (12 + 12 + 12 + 6), 48, 48, 24]
    assert str(Branches().summary({"right": (3, 4), "left": (3, 4)}).flops) == str(found.flops)
    # Equal nodes are one: the second call costs nothing.
    assert Branches().summary([gn.input("x", (3, 4))] * 2).flops == 96 + 12 + 54


def test_integer_inputs_and_dtypes():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    found = model.summary((3, 5), dtypes="int64")
    assert [row.flops for row in found.rows] == [270, 0, 270]
    assert str(model.summary([(3, 5)], ["int64"])) == str(found)
    assert model.summary((3, 5), "int64").rows[1].outputs[0].shape == (3, 5, 4)


def test_the_model_and_the_random_streams_stay_as_they_were():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.BatchNorm1d(3).eval())
    state = model.state_dict()

    class Noisy(nn.Module):
        def forward(self, x):
            return gn.dropout(x)

    def draws():
        gn.manual_seed(0)
        x = gn.input("x", (100,))
        return gn.compile([x], gn.dropout(x))(np.ones(100, "float32"))

    expected = draws()
    gn.manual_seed(0)
    model.summary((2, 3))
    Noisy().summary((100,))
    x = gn.input("x", (100,))
    np.testing.assert_array_equal(gn.compile([x], gn.dropout(x))(np.ones(100, "float32")), expected)
    assert [m.training for m in model.modules()] == [True, True, True, False]
    assert all((state[k] == v).all() for k, v in model.state_dict().items())


def test_a_failure_leaves_the_modes_too():
    model = _lenet()
    with pytest.raises(ShapeError, match="declared at"):
        model.summary((3, 2, 12, 12))
    assert all(m.training for m in model.modules())


@pytest.mark.parametrize(
    ("given", "dtypes", "message"),
    [
        (28, None, "input_size must be a shape, a node, or some of them, got 28"),
        ([], None, r"conv2d|expected the input"),
        ([(1, 2), 3.0], None, r"expected a shape such as \(1, 3, 32, 32\), or a node, got 3.0"),
        (np.zeros((1, 2)), None, "input_size must be a shape, a node, or some of them, got array"),
        ((1, 1, 12, 12), ["float32", "float32"], "1 inputs need 1 dtypes"),
    ],
)
def test_what_is_no_shape_is_refused(given, dtypes, message):
    with pytest.raises((ArgumentError, ShapeError), match=message):
        _lenet().summary(given, dtypes)


def _of(build, *shapes):
    return flops(build(*(gn.input(f"x{i}", shape) for i, shape in enumerate(shapes))))


def test_contractions_count_two_a_multiply_add():
    assert _of(lambda a, b: a @ b, (2, 3, 4), (2, 4, 5)) == 2 * 2 * 3 * 4 * 5
    assert _of(lambda x, w: gn.conv2d(x, w, groups=2), (1, 4, 5, 5), (6, 2, 3, 3)) == 2 * (6 * 9) * (2 * 9)
    # A transposed convolution multiplies each input element with a kernel for each output channel of its group.
    assert _of(lambda x, w: gn.conv_transpose2d(x, w, stride=2), (1, 4, 5, 5), (4, 3, 2, 2)) == 2 * (4 * 25) * (3 * 4)
    x, w = gn.input("x", (1, 4, 5, 5)), gn.parameter(np.zeros((6, 4, 3, 3), "float32"), "w")
    (slope,) = gn.gradients(gn.sum(gn.conv2d(x, w)), [w])
    assert flops(slope) == 2 * (6 * 4 * 9) * 9
    assert _of(lambda x: gn.avg_pool2d(x, 3, 1), (1, 2, 5, 5)) == 2 * 9 * 9
    assert _of(lambda x: gn.sum(x, 1), (3, 4)) == 12 == _of(gn.exp, (3, 4))
    assert _of(lambda x: gn.concatenate([x, x]), (3, 4)) == 0 == _of(gn.transpose, (3, 4))
