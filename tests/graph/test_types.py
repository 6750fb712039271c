"""Types: what is supported, how they broadcast, promote, bind and print, and how axes are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnet.errors import DimError, DtypeError, ShapeError
from graphnet.graph.dims import Dim
from graphnet.graph.types import (
    as_dtype,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    promote,
    tensor_type,
    type_of,
)

N = Dim("N")


def test_a_type_prints_binds_and_counts() -> None:
    images = tensor_type(("N", 1, 28, 28))
    assert str(images) == "float32[N, 1, 28, 28]"
    assert images.size == N * 784
    assert not images.is_static
    assert images.names() == {"N"}
    bound = images.bind({"N": 3})
    assert bound.static_shape == (3, 1, 28, 28)
    assert bound.nbytes == 3 * 784 * 4
    with pytest.raises(DimError, match="still has named dimensions"):
        _ = images.nbytes


def test_types_are_values() -> None:
    assert tensor_type((2, "N"), "int64") == tensor_type([2, N], np.int64)
    assert hash(tensor_type(3)) == hash(tensor_type((3,)))
    assert type_of(np.zeros((2, 3))) == tensor_type((2, 3), "float64")


@pytest.mark.parametrize("dtype", ["float16", "complex64", "object", "U3", ">f4", "no-such", "datetime64[s]"])
def test_unsupported_dtypes(dtype: str) -> None:
    with pytest.raises(DtypeError, match="float32"):
        as_dtype(dtype)


SHAPES = st.lists(st.integers(1, 3), max_size=4).map(tuple)


@given(SHAPES, SHAPES)
def test_broadcasting_is_numpys(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast"):
            broadcast_shapes(a, b)
    else:
        assert broadcast_shapes(a, b) == expected


def test_names_broadcast_with_themselves_and_with_1() -> None:
    assert broadcast_shapes((N, 1), (3,), ()) == (N, 3)
    assert broadcast_shapes((0, 1), (1, 3)) == (0, 3)
    with pytest.raises(ShapeError, match="two names are two sizes"):
        broadcast_shapes((N,), (Dim("M"),))
    with pytest.raises(ShapeError, match="sizes 3 and N"):
        broadcast_shapes((N,), (3,))


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("int64", "float32"), "float32"),
        (("float32", "float64"), "float64"),
        (("bool", "uint8"), "uint8"),
        (("uint8", "int8"), "int16"),
        (("int32", "int64"), "int64"),
        (("bool", "bool"), "bool"),
    ],
)
def test_promotion(dtypes: tuple[str, ...], expected: str) -> None:
    assert promote(*map(np.dtype, dtypes)) == np.dtype(expected)


def test_no_integer_holds_both() -> None:
    with pytest.raises(DtypeError, match="int64 and uint64"):
        promote(np.dtype("uint64"), np.dtype("int64"))


def test_axes() -> None:
    assert normalize_axis(-1, 3) == 2
    assert normalize_axes(None, 2) == (0, 1)
    assert normalize_axes((-1, 0), 3) == (0, 2)
    assert normalize_axes([], 3) == ()
    with pytest.raises(ShapeError, match="axis 3 is out of range for 3 dimensions"):
        normalize_axis(3, 3)
    with pytest.raises(ShapeError, match="axis 0 is out of range for 0 dimensions"):
        normalize_axis(0, 0)
    with pytest.raises(ShapeError, match="twice"):
        normalize_axes((1, -1), 2)
    for bad in (True, 1.0, "0"):
        with pytest.raises(ShapeError, match="must be an integer"):
            normalize_axis(bad, 2)  # type: ignore[arg-type]
