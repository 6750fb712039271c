"""Convolution: what it refuses and how it says so, named sizes, shared columns, no memory of its own."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.traversal import topological
from graphnet.graph.types import type_of
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient
from graphnet.ops.evaluate import apply_op, evaluate
from graphnet.ops.windows import Col2im, Im2col


def _conv2d(x: tuple[object, ...], w: tuple[object, ...], **options: Any) -> gn.Node:
    return gn.conv2d(gn.input("x", x), gn.input("w", w), **options)


@pytest.mark.parametrize(
    ("x", "w", "options", "message"),
    [
        ((1, 1, 4, 4), (1, 1, 5, 5), {}, r"a kernel of \(5, 5\) is larger than its input of \(4, 4\)"),
        (
            (1, 1, 3, 9),
            (1, 1, 6, 2),
            {"padding": 1},
            r"\(6, 2\) is larger than its input of \(5, 11\), \(3, 9\) before",
        ),
        ((1, 1, 4, 4), (1, 1, 3, 3), {"dilation": 2}, r"dilation \(2, 2\), which spans \(5, 5\), is larger than"),
        (("N", 1, "H", 4), (1, 1, 5, 5), {}, r"a kernel of \(5, 5\) is larger than its input of \(H, 4\)"),
        ((1, 4, 4, 4), (6, 1, 3, 3), {"groups": 3}, "groups=3 does not divide the 4 input channels"),
        (
            (1, 4, 4, 4),
            (5, 2, 3, 3),
            {"groups": 2},
            r"groups=2 does not divide the 5 output channels of \(5, 2, 3, 3\)",
        ),
        ((1, 3, 4, 4), (2, 4, 3, 3), {}, r"weight \(2, 4, 3, 3\) expects 4 input channels, the input has 3 channels"),
        ((1, 4, 4, 4), (2, 4, 3, 3), {"groups": 2}, "expects 4 channels in each of 2 groups, the input has 4"),
        ((3, 4, 4), (2, 3, 3, 3), {}, r"expected the input to have 4 dimensions .* got shape \(3, 4, 4\)"),
        ((1, 3, 4, 4), (2, 3, 3), {}, r"weight to have 4 dimensions .* got shape \(2, 3, 3\)"),
        ((1, 3, 4, 4), (2, 3, "K", 3), {}, "kernel's height and width must be numbers"),
        ((1, 1, 4, 4), (3, 1, 3, 3), {"bias": np.zeros(2, "float32")}, r"the bias must have shape \(3,\)"),
        ((1, 1, 2, 2), (1, 1, 3, 3), {"padding": 2, "padding_mode": "reflect"}, "reflect padding .* at most 1"),
    ],
)
def test_shapes_that_do_not_fit(x: Any, w: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(gn.ShapeError, match=message):
        _conv2d(x, w, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride must be an integer >= 1 or a pair of them, got 0"),
        ({"stride": (1, 2, 3)}, r"stride must be .* got \(1, 2, 3\)"),
        ({"stride": 1.5}, "stride must be .* got 1.5"),
        ({"dilation": -1}, "dilation must be .* got -1"),
        ({"padding": -1}, "padding must be .* got -1"),
        ({"padding": ((1, 2), 3)}, r"padding must be .* got \(\(1, 2\), 3\)"),
        ({"padding": ((1, -2), (0, 0))}, r"padding\[0\] must be an integer >= 0"),
        ({"padding": "full"}, "padding must be numbers, 'same' or 'valid', got 'full'"),
        ({"padding": "same", "stride": 2}, "padding='same' needs a stride of 1"),
        ({"padding_mode": "edge"}, "padding_mode must be .* got 'edge'"),
        ({"groups": 0}, "groups must be an integer >= 1, got 0"),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(gn.ArgumentError, match="(?s)conv2d: " + message + ".* at .*test_convolution.py"):
        _conv2d((1, 2, 8, 8), (2, 2, 3, 3), **options)


def test_an_error_names_the_line_of_the_declaration() -> None:
    with pytest.raises(
        gn.ShapeError, match=r"(?s)conv2d\(float32\[1, 1, 4, 4\].*declared at .*test_convolution.py:\d+"
    ):
        _conv2d((1, 1, 4, 4), (1, 1, 5, 5))


def test_integers_are_refused_and_mixed_floats_promoted() -> None:
    w = gn.input("w", (1, 1, 2, 2), "float64")
    assert gn.conv2d(gn.input("x", (1, 1, 4, 4)), w).dtype == np.float64
    with pytest.raises(gn.DtypeError, match="expected floats"):
        gn.conv2d(gn.input("i", (1, 1, 4, 4), "int64"), gn.input("k", (1, 1, 2, 2), "int64"))


def test_transposed_convolution_refuses_output_padding_above_the_stride() -> None:
    x, w = gn.input("x", (1, 2, 4, 4)), gn.input("w", (2, 1, 3, 3))
    with pytest.raises(gn.ArgumentError, match=r"output_padding \(2, 2\) must be below the stride \(2, 2\)"):
        gn.conv_transpose2d(x, w, stride=2, output_padding=2)
    with pytest.raises(gn.ShapeError, match="leaves an output of"):
        gn.conv_transpose2d(gn.input("y", (1, 2, 1, 1)), w, padding=2)
    with pytest.raises(gn.ShapeError, match="takes 2 channels"):
        gn.conv_transpose2d(gn.input("z", (1, 3, 4, 4)), w)


def test_conv1d_refuses_images() -> None:
    with pytest.raises(gn.ShapeError, match="conv1d: expected the input to have 3 dimensions"):
        gn.conv1d(gn.input("x", (1, 2, 4, 4)), gn.input("w", (2, 2, 3)))


def test_named_sizes_go_through_exact_arithmetic() -> None:
    n, h, w = gn.Dim("N"), gn.Dim("H"), gn.Dim("W")
    y = _conv2d(("N", 3, "H", "W"), (8, 3, 3, 5), stride=(2, 1), padding=(1, 2))
    assert y.shape == (n, 8, (h - 1) // 2 + 1, w)
    loss = gn.sum(y * y)
    x, weight = y.inputs
    assert [g.shape for g in gn.gradients(loss, [x, weight])] == [x.shape, weight.shape]
    assert gn.conv_transpose2d(y, gn.input("t", (8, 2, 2, 2)), stride=2).shape == (n, 2, (h - 1) // 2 * 2 + 2, w * 2)
    assert Im2col((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))(gn.input("c", (2, "H", "W", "N"))).shape == (18, h * w * n)


def test_each_is_the_gradient_of_the_others() -> None:
    x, w = gn.input("x", (2, 3, 5, 5)), gn.input("w", (4, 3, 3, 3))
    first = gn.gradients(gn.sum(gn.conv2d(x, w) ** 2.0), [x, w])
    second = gn.gradients(gn.sum(first[0] * first[1].sum()), [x, w])
    ops = {type(node.op) for node in topological(second)}
    assert {Conv2d, Conv2dInputGradient, Conv2dFilterGradient} <= ops


def test_forward_and_filter_gradient_see_the_same_columns() -> None:
    column = Im2col((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))
    x = gn.input("x", (2, 5, 5, 4))
    assert column(x) is Im2col((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))(x)
    (adjoint,) = gn.gradients(gn.sum(column(x)), [x])
    assert isinstance(adjoint.op, Col2im)


def test_an_empty_batch_has_an_empty_result_and_a_zero_filter_gradient() -> None:
    x, w = gn.input("x", (0, 2, 5, 5)), gn.input("w", (3, 2, 3, 3))
    y = gn.conv2d(x, w, padding=1)
    (dw,) = gn.gradients(gn.sum(y), [w])
    value, gradient = evaluate([y, dw], {x: np.empty((0, 2, 5, 5), "float32"), w: np.ones((3, 2, 3, 3), "float32")})
    assert value.shape == (0, 3, 5, 5)
    assert not gradient.any()


def test_kernels_allocate_nothing_the_size_of_the_data() -> None:
    x = np.random.default_rng(0).random((8, 8, 64, 64)).transpose(0, 1, 3, 2)
    w = np.random.default_rng(1).random((3, 3, 8, 16)).transpose(3, 2, 0, 1)
    geometry = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    dy = apply_op(Conv2d(*geometry), x, w)
    for op, inputs in (
        (Conv2d(*geometry), (x, w)),
        (Conv2dInputGradient(*geometry, (64, 64)), (dy, w)),
        (Conv2dFilterGradient(*geometry, (3, 3)), (x, dy)),
    ):
        types = [type_of(array) for array in inputs]
        out = np.empty(op.infer(*types).static_shape)
        work = tuple(np.empty(t.static_shape, t.dtype) for t in op.workspace(*types))
        op.compute(out, *inputs, work=work)
        tracemalloc.start()
        op.compute(out, *inputs, work=work)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # NumPy's iterators may take three buffers of 8192 elements, whatever the size of the arrays.
        assert peak < 3 * 8192 * 8 + 10_000 < x.nbytes / 10, f"{op} allocated {peak} bytes"
