"""Elementwise ops where the table has no column: errors, dtypes, scalars, names, special values, accuracy."""

from __future__ import annotations

import math
import operator
import warnings

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.node import Node
from graphnet.graph.traversal import topological
from graphnet.ops.evaluate import evaluate

F32, F64 = gn.input("f32", (2,)), gn.input("f64", (2,), "float64")
I32, I64, U8, B = (gn.input(dtype, (2,), dtype) for dtype in ("int32", "int64", "uint8", "bool"))
N = gn.input("named", ("N", 3))


def value(node: Node, **feeds: object) -> np.ndarray:
    """What `node` gives for the inputs named."""
    inputs = {x.op.attributes["label"]: x for x in topological([node]) if x.op.name == "input"}
    return evaluate([node], {inputs[name]: np.asarray(array, inputs[name].dtype) for name, array in feeds.items()})[0]


@pytest.mark.parametrize(
    ("node", "dtype"),
    [
        (F32 + F64, "float64"),
        (I64 + F32, "float32"),
        (I32 * I64, "int64"),
        (U8 + I32, "int32"),
        (B + I32, "int32"),
        (F32 * 2, "float32"),
        (F32 * 0.1, "float32"),
        (F64 * 0.1, "float64"),
        (I32 * 2, "int32"),
        (I32 * 0.5, "float32"),
        (B * 2, "int64"),
        (B * 0.5, "float32"),
        (I32 / I32, "float32"),
        (I64 / 2, "float32"),
        (F64 / I64, "float64"),
        (I32 // 2, "int32"),
        (I32**2, "int32"),
        (F32**I64, "float32"),
        (gn.sqrt(I64), "float32"),
        (gn.floor(I64), "int64"),
        (gn.where(B, F32, 0), "float32"),
        (gn.where(B, 1, 0), "int64"),
        (gn.clip(I32, 0, 5), "int32"),
        (gn.clip(I32, 0.5, 5), "float32"),
        (F32 * np.float64(2), "float32"),
        (I32 * np.int64(2), "int32"),
        (F32 * np.ones(2), "float64"),
        (gn.maximum(F32, 0), "float32"),
        (F32 < 1, "bool"),
    ],
)
def test_dtypes_of_mixed_operands(node: Node, dtype: str) -> None:
    assert node.dtype == np.dtype(dtype)


def test_a_cast_is_a_node_of_its_own() -> None:
    assert [node.op.name for node in topological([I64 + F32])] == ["input", "cast", "input", "add"]


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: B + B, r"add\(bool\[2\], bool\[2\]\): expected floats or integers, got bool"),
        (lambda: -B, r"negative\(bool\[2\]\): expected floats or integers, got bool"),
        (lambda: gn.where(F32, F32, F32), "where: expected a boolean condition"),
        (lambda: I32 + 3_000_000_000, "3000000000 does not fit int32"),
        (lambda: U8 - (-1), "-1 does not fit uint8"),
        (lambda: F32 + "a", "expected a number or an array of numbers, got 'a'"),
        (lambda: gn.isnan(I32), "expected floats"),
    ],
)
def test_wrong_dtypes(declare: object, message: str) -> None:
    with pytest.raises((gn.DtypeError, ValueError, TypeError), match=message):
        declare()  # type: ignore[operator]


@pytest.mark.parametrize("apply", [operator.add, operator.mul, operator.truediv, operator.lt, gn.maximum, operator.pow])
def test_shapes_that_do_not_broadcast(apply: object) -> None:
    with pytest.raises(gn.ShapeError, match=r"shapes \(2,?\) and \(3,?\) do not broadcast") as caught:
        apply(F32, gn.input("three", (3,)))  # type: ignore[operator]
    assert "test_elementwise.py:" in str(caught.value)


def test_named_dims_broadcast() -> None:
    assert (N + gn.input("row", (3,))).type == N.type
    assert gn.where(N > 0, N, 0).type == N.type
    (gradient,) = gn.gradients(gn.sum(N * gn.input("row", (3,))), [N])
    assert gradient.type == N.type
    with pytest.raises(gn.ShapeError, match="two names are two sizes"):
        N + gn.input("other", ("M", 3))


def test_integers_divided_by_zero_and_negative_powers() -> None:
    divisor = gn.input("d", (2,), "int32")
    for node in (I32 // divisor, I32 % divisor):
        with pytest.raises(gn.DataError, match="an integer divided by zero"):
            value(node, int32=[1, 2], d=[1, 0])
        assert node.op.can_fail
    with pytest.raises(gn.DataError, match="negative power -1"):
        value(I32**divisor, int32=[1, 2], d=[2, -1])
    assert value(I32 // divisor, int32=[-7, 7], d=[2, -2]).tolist() == [-4, -4]
    assert value(I32 % divisor, int32=[-7, 7], d=[2, -2]).tolist() == [1, -1]


def test_truncation_at_the_edges_of_integers() -> None:
    assert value(gn.cast(F32, "int32"), f32=[-(2.0**31), 2.0**30]).tolist() == [-(2**31), 2**30]
    assert value(gn.cast(F64, "int32"), f64=[-(2.0**31) - 0.5, 2.0**31 - 0.5]).tolist() == [-(2**31), 2**31 - 1]
    assert value(gn.cast(F64, "int64"), f64=[-(2.0**63), 2.0**62]).tolist() == [-(2**63), 2**62]
    for bad in (math.nan, math.inf, 2.0**31, -(2.0**31) - 1):
        with pytest.raises(gn.DataError, match="cannot become int32"):
            value(gn.cast(F64, "int32"), f64=[0, bad])


def test_division_and_logarithms_at_zero_are_ieee() -> None:
    assert value(F64 / 0, f64=[1, -1]).tolist() == [math.inf, -math.inf]
    assert np.isnan(value(gn.log(F64), f64=[-1, -2])).all()
    assert math.copysign(1, value(F64 * -1, f64=[0, 0])[0]) == -1


def test_what_is_not_kept_does_not_leak() -> None:
    """0 * inf is NaN; a gradient that is masked out must not be."""
    x = gn.input("f64", (2,), "float64")
    loss = gn.sum(gn.where(x > 0, gn.sqrt(x), 0))
    (gradient,) = gn.gradients(loss, [x])
    assert value(gradient, f64=[4.0, 0.0])[0] == 0.25
    (inner,) = gn.gradients(gn.sum(gn.relu(x) / 0), [x])
    assert value(inner, f64=[1.0, -1.0]).tolist() == [math.inf, 0.0]


def test_simple_powers_are_simple() -> None:
    assert (F32**2).op.name == "square"
    assert (F32**1) is F32
    assert (F32**-1).op.name == "reciprocal"
    assert (F32**2.0) is (F32**2)
    assert (F32**0.5).op.name == "sqrt"


def test_clip_without_bounds() -> None:
    with pytest.raises(gn.ArgumentError, match="expected min, max or both"):
        gn.clip(F32)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_erf_is_accurate_over_its_whole_range(dtype: str) -> None:
    points = np.concatenate([np.linspace(-7, 7, 20_001), np.geomspace(1e-8, 1, 2_000)]).astype(dtype)
    x = gn.input("points", points.shape, dtype)
    expected = np.array([math.erf(point) for point in points.astype("float64")])
    found = value(gn.erf(x), points=points).astype("float64")
    nonzero = expected != 0
    error = np.abs(found[nonzero] / expected[nonzero] - 1)
    assert error.max() < (5e-16 if dtype == "float64" else 2.5e-7)
    assert np.abs(found).max() <= 1


def test_erf_of_special_values() -> None:
    x = gn.input("s", (5,), "float64")
    found = value(gn.erf(x), s=[math.inf, -math.inf, 0.0, -0.0, math.nan])
    assert found[:2].tolist() == [1, -1]
    assert math.copysign(1, found[3]) == -1
    assert math.isnan(found[4])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["sigmoid", "log_sigmoid", "softplus", "tanh", "erf", "silu", "gelu", "relu", "elu"])
def test_activations_are_finite_and_silent_far_out(name: str, dtype: str) -> None:
    points = np.array([-1e30, -1e4, -104, -88, -1e-30, 0, 1e-30, 20, 89, 710, 1e4, 1e30]).astype(dtype)
    x = gn.input("far", points.shape, dtype)
    y = getattr(gn, name)(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = value(y, far=points)
    assert np.isfinite(found).all()
    assert (np.diff(found[found > 0]) >= 0).all()


def test_bad_activation_arguments() -> None:
    with pytest.raises(gn.ArgumentError, match="approximate='none' or 'tanh', got 'fast'"):
        gn.gelu(F32, "fast")
    with pytest.raises(gn.ArgumentError, match="beta > 0, got 0"):
        gn.softplus(F32, beta=0)


def test_erf_is_one_far_from_zero() -> None:
    x = np.array([-1e30, -100, -6, 6, 100, 1e30], np.float32)
    wide = gn.input("wide", (6,))
    assert value(gn.erf(wide), wide=x).tolist() == [-1, -1, -1, 1, 1, 1]
    assert value(gn.gelu(wide), wide=x)[:3].tolist() == [0, 0, 0]


def test_a_dimension_is_a_number_beside_a_node() -> None:
    x = gn.input("x", ("N", "D"))
    n, total = x.shape[0], gn.sum(x)
    results = [total / n, n * total, n / total, n - total, n + total, gn.maximum(total, n * x.shape[1]), n < total]
    assert [r.dtype.name for r in results] == ["float32"] * 6 + ["bool"]
    found = gn.compile([x], results)(np.ones((4, 3), "float32"))
    assert [float(value) for value in found] == [3, 48, pytest.approx(1 / 3), -8, 16, 12, 1]
    assert float(gn.compile([x], gn.sum(x) / x.shape[0])(np.ones((2, 3), "float32"))) == 3
