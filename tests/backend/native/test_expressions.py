"""Elementwise ops as native expressions: every one has one, and the values that hurt come out as NumPy has them."""

from __future__ import annotations

import importlib
import itertools
import pkgutil

import numpy as np
import pytest

import graphnet.ops
from graphnet.backend.native.expressions import EXPRESSIONS
from graphnet.errors import DataError
from graphnet.graph.node import Op
from graphnet.ops import activations, comparison, elementwise, powers, shaping, unary
from graphnet.ops.fused import Fused
from tests.backend.native.kernels import native

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 7.5, 1e-30, 1e30, -1e30, np.inf, -np.inf, np.nan]


def concrete(kind: type[Op]) -> list[type[Op]]:
    below = [found for sub in kind.__subclasses__() for found in concrete(sub)]
    return below or [kind]


def test_every_elementwise_op_has_an_expression():
    for module in pkgutil.iter_modules(graphnet.ops.__path__):
        importlib.import_module(f"graphnet.ops.{module.name}")
    ours = [op for op in concrete(Op) if op.elementwise and op.__module__.startswith("graphnet.") and op is not Fused]
    assert len(ours) > 50
    assert [op.__name__ for op in ours if op not in EXPRESSIONS] == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "op",
    [powers.Power(), elementwise.FloorDivide(), elementwise.Remainder(), comparison.Fmax()],
    ids=lambda op: op.name,
)
def test_special_values_of_two_operands(op, dtype):
    a, b = np.array(list(itertools.product(SPECIAL, repeat=2)), dtype).T.copy()
    expected, out = np.empty_like(a), np.empty_like(a)
    with np.errstate(all="ignore"):
        op.compute(expected, a, b)
    native(op, out, [a, b])
    for x, y, found, wanted in zip(a, b, out, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=4e-7 if dtype == "float32" else 4e-16, err_msg=f"{x} and {y}")
        zero = found == 0 and not isinstance(op, comparison.Fmax)
        assert not zero or np.signbit(found) == np.signbit(wanted), f"{x} and {y}: {found}, expected {wanted}"


@pytest.mark.parametrize(("dtype", "ulp"), [("float32", 2.0**-23), ("float64", 2.0**-52)])
def test_powers(dtype, ulp):
    generator = np.random.default_rng(0)
    a, b = generator.uniform(0, 20, 5000).astype(dtype), generator.uniform(-25, 25, 5000).astype(dtype)
    out = np.empty_like(a)
    native(powers.Power(), out, [a, b])
    exact = a.astype(np.longdouble) ** b.astype(np.longdouble)
    inside = (np.abs(exact) < np.finfo(dtype).max) & (np.abs(exact) > np.finfo(dtype).tiny)
    assert inside.sum() > 4000
    assert (np.abs(out - exact)[inside] <= ulp * np.abs(exact)[inside]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [unary.Sin(), unary.Cos(), unary.Tan()], ids=lambda op: op.name)
def test_sines_of_far_arguments(op, dtype):
    """Beyond 1e9 the system's mathematical library answers, lane by lane."""
    generator = np.random.default_rng(0)
    x = (generator.uniform(-1, 1, 203) * 10.0 ** generator.uniform(-3, 37, 203)).astype(dtype)
    x[:40] = generator.uniform(-1, 1, 40)
    out = np.empty_like(x)
    native(op, out, [x])
    exact = op.ufunc(x.astype(np.longdouble))
    np.testing.assert_allclose(out, exact.astype(dtype), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["int64", "int16", "uint8", "uint64"])
def test_integers_of_every_width(dtype):
    limits = np.iinfo(dtype)
    values = [v for v in (limits.min, limits.min + 1, -7, -2, -1, 0, 1, 2, 3, 9, limits.max) if v >= limits.min]
    a, b = np.array(list(itertools.product(values, repeat=2)), dtype).T.copy()
    ops: list[Op] = [elementwise.Add(), elementwise.Subtract(), elementwise.Multiply(), comparison.Maximum()]
    ops += [elementwise.IntegerFloorDivide(), elementwise.IntegerRemainder(), comparison.Fmax(), powers.IntegerPower()]
    for op in ops:
        counts = np.ones(a.shape, bool)
        if isinstance(op, elementwise.IntegerDivision):
            counts = b != 0
        elif isinstance(op, powers.IntegerPower):
            counts = (b >= 0) & (b < 64)
        x, y = a[counts], b[counts]
        out, expected = np.empty_like(x), np.empty_like(x)
        with np.errstate(all="ignore"):
            op.compute(expected, x, y)
        native(op, out, [x, y])
        np.testing.assert_array_equal(out, expected, err_msg=op.name)
    for op in (unary.Absolute(), unary.Sign(), unary.Negative(), unary.Square(), activations.Relu()):
        out, expected = np.empty_like(a), np.empty_like(a)
        op.compute(expected, a)
        native(op, out, [a])
        np.testing.assert_array_equal(out, expected, err_msg=op.name)
    less = np.empty(a.shape, bool)
    native(comparison.Less(), less, [a, b])
    np.testing.assert_array_equal(less, a < b)
    wide = np.empty(a.shape)
    native(shaping.Cast(np.dtype("float64")), wide, [a])
    np.testing.assert_array_equal(wide, a.astype("float64"))


def test_the_least_integer_divided_by_minus_one_does_not_trap():
    least = np.full(5, np.iinfo("int64").min)
    out = np.empty_like(least)
    native(elementwise.IntegerFloorDivide(), out, [least, np.array(-1)])
    np.testing.assert_array_equal(out, least)
    native(elementwise.IntegerRemainder(), out, [least, np.array(-1)])
    np.testing.assert_array_equal(out, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("integer", ["int64", "int32", "uint8"])
def test_floats_as_integers(dtype, integer):
    """What does not fit raises, by the step's own check; the loops themselves saturate, and give 0 for NaN."""
    limits = np.iinfo(integer)
    x = np.array([0.0, 0.9, 1.0, 2.5, 100.7, 254.9, *([-0.9, -3.99] if limits.min else [])], dtype)
    out = np.empty(x.shape, integer)
    native(shaping.Truncate(np.dtype(integer)), out, [x])
    np.testing.assert_array_equal(out, x.astype(integer))
    for bad in (np.nan, np.inf, -np.inf, 1e30, -1e30, float(limits.max) + 1):
        wrong = x.copy()
        wrong[2] = bad
        with pytest.raises(DataError, match="cannot become"):
            native(shaping.Truncate(np.dtype(integer)), out, [wrong])
    native(shaping.Cast(np.dtype(integer)), out[:4], [np.array([np.nan, np.inf, -np.inf, 7.0], dtype)])
    np.testing.assert_array_equal(out[:4], [0, limits.max, limits.min, 7])


def test_division_by_zero_and_negative_powers_raise():
    out, x = np.empty(3, "int64"), np.array([1, 0, 2])
    with pytest.raises(DataError, match="divided by zero"):
        native(elementwise.IntegerFloorDivide(), out, [x, x])
    with pytest.raises(DataError, match="negative power"):
        native(powers.IntegerPower(), out, [x, -x])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vectors_that_are_worked_on_at_once(dtype):
    """Much work at each element: whatever number of vectors and rest there is, each element comes out the same."""
    x = np.random.default_rng(0).standard_normal((3, 300)).astype(dtype)
    wanted = np.empty_like(x)
    native(activations.Gelu(), wanted, [x])
    for size in (5, 16, 24, 56, 61, 64, 130, 256):
        out = np.empty_like(x[:, :size])
        native(activations.Gelu(), out, [x[:, :size]])
        np.testing.assert_array_equal(out, wanted[:, :size], err_msg=f"{size}")
