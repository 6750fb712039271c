"""Arithmetic on named dimensions is arithmetic on integers, whatever the names stand for."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graphnet.errors import DimError
from graphnet.graph.dims import Dim, Size, as_size, bind_size, dim_names, product

Expression = tuple[Size, Callable[[dict[str, int]], int]]
SIZES = st.fixed_dictionaries({"N": st.integers(0, 40), "H": st.integers(0, 40), "W": st.integers(0, 40)})


def _leaf(value: int | str) -> Expression:
    if isinstance(value, str):
        return Dim(value), lambda sizes: sizes[value]
    return value, lambda sizes: value


def _join(parts: tuple[Expression, str, Expression]) -> Expression:
    (a, value_of_a), symbol, (b, value_of_b) = parts
    if symbol in ("//", "%"):
        divisor = b if isinstance(b, int) and b > 0 else 3
        function = operator.floordiv if symbol == "//" else operator.mod
        return function(a, divisor), lambda sizes: function(value_of_a(sizes), divisor)
    function = {"+": operator.add, "-": operator.sub, "*": operator.mul}[symbol]
    return function(a, b), lambda sizes: function(value_of_a(sizes), value_of_b(sizes))


EXPRESSIONS = st.recursive(
    st.one_of(st.integers(-6, 6), st.sampled_from(["N", "H", "W"])).map(_leaf),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(_join),
    max_leaves=7,
)


@given(EXPRESSIONS, SIZES)
@settings(max_examples=300, deadline=None)
def test_an_expression_binds_to_what_integers_give(expression: Expression, sizes: dict[str, int]) -> None:
    dim, value = expression
    assert bind_size(dim, sizes) == value(sizes)


@given(EXPRESSIONS, EXPRESSIONS, SIZES)
@settings(max_examples=300, deadline=None)
def test_equal_dims_have_equal_values_hashes_and_texts(a: Expression, b: Expression, sizes: dict[str, int]) -> None:
    if a[0] == b[0]:
        assert hash(a[0]) == hash(b[0])
        assert str(a[0]) == str(b[0])
        assert bind_size(a[0], sizes) == bind_size(b[0], sizes)


@given(EXPRESSIONS, EXPRESSIONS, SIZES)
@settings(max_examples=300, deadline=None)
def test_order_is_right_wherever_it_is_decided(a: Expression, b: Expression, sizes: dict[str, int]) -> None:
    x, y = a[0], b[0]
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        try:
            decided = compare(x, y)
        except DimError:
            continue
        if not _has_quotient(x) and not _has_quotient(y):
            assert decided == compare(bind_size(x, sizes), bind_size(y, sizes))


def _has_quotient(size: Size) -> bool:
    return "//" in str(size)


@given(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS)
@settings(max_examples=200, deadline=None)
def test_the_laws_of_a_ring(a: Expression, b: Expression, c: Expression) -> None:
    x, y, z = a[0], b[0], c[0]
    assert x + y == y + x
    assert x * y == y * x
    assert (x + y) + z == x + (y + z)
    assert x * (y + z) == x * y + x * z
    assert x - x == 0
    assume(not isinstance(y, int) or y != 0)
    if isinstance(y, Dim) and len(y.terms) == 1:
        assert (x * y) // y == x


N, H = Dim("N"), Dim("H")


def test_what_comes_out_constant_is_an_int() -> None:
    assert N - N == 0
    assert isinstance(N - N + 3, int)
    assert (N * 49) // 49 == N
    assert (N * 49 + 50) // 49 == N + 1
    assert (N * H) // N == H
    assert (N * 6) % 3 == 0
    assert (N + 5) - N == 5


def test_nested_quotients_merge() -> None:
    assert (H // 2) // 2 == H // 4
    assert ((H - 3) // 2 + 1) - ((H - 3) // 2) == 1
    assert ((H + 1) // 2).bind({"H": 28}) == 14


def test_texts() -> None:
    assert str(N * 49) == "N*49"
    assert str(N * N - N + 1) == "N**2 - N + 1"
    assert str((H + 1) // 2) == "((H + 1) // 2)"
    assert repr(N) == "Dim(N)"


def test_order_that_depends_on_the_names_is_an_error() -> None:
    assert N + 1 > 0
    assert N >= 0
    with pytest.raises(DimError, match="depends on what the names stand for"):
        bool(N < 5)
    with pytest.raises(DimError, match="depends"):
        bool(N <= H)


def test_a_missing_name_is_named() -> None:
    with pytest.raises(DimError, match="'H' has no value; known are \\['N'\\]"):
        (N * H).bind({"N": 3})


@pytest.mark.parametrize("bad", [-1, 1.5, True, None, "2x", "", "a-b"])
def test_what_is_no_size(bad: object) -> None:
    with pytest.raises(DimError):
        as_size(bad)


def test_division_by_zero() -> None:
    with pytest.raises(DimError, match="divided by zero"):
        N // 0
    with pytest.raises(DimError, match="divides by zero"):
        (N // H).bind({"N": 3, "H": 0})


def test_products_and_names() -> None:
    assert product(()) == 1
    assert product((2, N, 3, H)) == N * H * 6
    assert dim_names((N * 2, 3, (H + 1) // 2)) == {"N", "H"}


@pytest.mark.parametrize("operation", [operator.mul, operator.add, operator.sub, operator.floordiv, operator.lt])
def test_a_fraction_of_a_dimension_is_refused(operation: Callable[[object, object], object]) -> None:
    with pytest.raises(TypeError, match=r"not supported|unsupported operand"):
        operation(Dim("N"), 0.5)
    with pytest.raises(TypeError, match=r"not supported|unsupported operand"):
        operation(0.5, Dim("N"))
