"""Merging of what only moves or relabels data, and folding of what is known: the same bits in fewer steps."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.ops.layout import Transpose
from graphnet.ops.shaping import BroadcastTo, Cast, Contiguous, Reshape
from graphnet.ops.sources import SizeOf, constant
from graphnet.rewrite import folding, merging
from graphnet.rewrite.driver import rewrite
from tests.rewrite.row import Row, check, check_exact

MATRIX = ((2, 3),)
THIN = ((2, 1, 3),)


def _cast(*dtypes: str):
    def build(x: Node) -> Node:
        for dtype in dtypes:
            x = Cast(np.dtype(dtype))(x)
        return x

    return build


def _doubled(x: Node) -> Node:
    return gn.custom_gradient(lambda value: (value * 2, lambda dy: dy))(x)


MERGING = [
    Row(merging.gradients_are_built, lambda x: gn.stop_gradient(x), lambda x: x, kinds="fiub"),
    Row(merging.gradients_are_built, _doubled, lambda x: x * 2, kinds="fi"),
    Row(merging.reshape_of_reshape, lambda x: x.reshape(3, 2).reshape(6), lambda x: x.reshape(6), shapes=MATRIX),
    Row(merging.reshape_of_reshape, lambda x: x.reshape(3, 2).T, None, shapes=MATRIX),
    Row(merging.reshape_to_itself, lambda x: Reshape((2, 3))(x), lambda x: x, shapes=MATRIX, kinds="fiub"),
    Row(merging.reshape_to_itself, lambda x: x.reshape(3, 2), None, shapes=MATRIX),
    Row(
        merging.transpose_of_transpose,
        lambda x: gn.transpose(gn.transpose(x, (1, 2, 0)), (0, 2, 1)),
        lambda x: gn.transpose(x, (1, 0, 2)),
        shapes=((2, 3, 4),),
    ),
    Row(merging.transpose_of_transpose, lambda x: x.T.T, lambda x: x, shapes=((2, 3, 4),), kinds="fiub"),
    Row(merging.transpose_to_itself, lambda x: Transpose((0, 1))(x), lambda x: x, shapes=MATRIX),
    Row(merging.transpose_to_itself, lambda x: x.T, None, shapes=MATRIX),
    Row(
        merging.transpose_that_moves_nothing,
        lambda x: gn.transpose(x, (1, 0, 2)),
        lambda x: x.reshape(1, 2, 3),
        shapes=THIN,
    ),
    Row(merging.transpose_that_moves_nothing, lambda x: gn.transpose(x, (2, 1, 0)), None, shapes=THIN),
    Row(
        merging.broadcast_of_broadcast,
        lambda x: gn.broadcast_to(gn.broadcast_to(x, (2, 3)), (4, 2, 3)),
        lambda x: gn.broadcast_to(x, (4, 2, 3)),
        shapes=((3,),),
    ),
    Row(merging.broadcast_to_itself, lambda x: BroadcastTo((2, 3))(x), lambda x: x, shapes=MATRIX),
    Row(merging.broadcast_to_itself, lambda x: BroadcastTo((2, 3))(x), None, shapes=((3,),)),
    Row(merging.copy_of_copy, lambda x: Contiguous()(Contiguous()(x)), lambda x: Contiguous()(x), kinds="fiub"),
    Row(merging.copy_of_copy, lambda x: Contiguous()(x), None),
    Row(merging.cast_to_itself, _cast("float64"), None, kinds="i"),
    Row(merging.cast_to_itself, _cast("bool"), lambda x: x, kinds="b"),
    Row(merging.cast_of_widening_cast, _cast("int64", "uint8"), lambda x: x, kinds="u"),
    Row(merging.cast_of_widening_cast, _cast("float64", "float32"), _cast("float32"), kinds="b"),
    Row(merging.cast_of_widening_cast, _cast("float64", "bool"), _cast("bool"), kinds="f"),
    Row(merging.cast_of_widening_cast, _cast("float32", "float64"), None, kinds="f"),
    Row(merging.cast_of_widening_cast, _cast("float64", "float32"), None, kinds="i"),
    Row(merging.cast_of_widening_cast, _cast("bool", "float32"), None, kinds="u"),
]
NOT_NARROWED = [("uint64", "float64", "float32"), ("int64", "float64", "float32"), ("int32", "float32", "float64")]


def _known(*values: float) -> Node:
    return constant(np.array(values, "float64"))


FOLDING = [
    Row(folding.size_known, lambda x: SizeOf(7, np.dtype("float32"))(), lambda x: gn.constant(7.0)),
    Row(folding.fold_constants, lambda x: _known(1, 2) + _known(3, 4), lambda x: _known(4, 6)),
    Row(folding.fold_constants, lambda x: gn.exp(_known(0)).reshape(()), lambda x: constant(np.float64(1))),
    Row(folding.fold_constants, lambda x: x + _known(1, 2, 3), None),
    Row(folding.fold_constants, lambda x: gn.broadcast_to(_known(1), (5,)), None),
    Row(folding.fold_constants, lambda x: gn.cast(_known(np.nan), "int64"), None),
    Row(folding.fold_constants, lambda x: constant(np.ones(1 << 18)) + 1.0, None),
]
ROWS = [*MERGING, *FOLDING]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("row", [row for row in MERGING if row.after], ids=str)
def test_to_the_bit(row: Row) -> None:
    check_exact(Row(row.rule, row.before, None, row.inputs, row.kinds, row.shapes))


@pytest.mark.parametrize("dtypes", NOT_NARROWED, ids=str)
def test_a_cast_that_rounds_stays(dtypes: tuple[str, ...]) -> None:
    x = gn.input("x", (3,), dtypes[0])
    before = _cast(*dtypes[1:])(x)
    assert rewrite(Graph((before,)), merging.MERGING).outputs[0] is before


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_what_is_folded_is_what_would_be_computed(dtype: str) -> None:
    """NaN, infinity and overflow included: folding is the op's own kernel, called earlier."""
    values = np.array([0, 1, -1, 3, 100] if dtype == "int64" else [np.nan, np.inf, -0.0, 1e30, 3], dtype)
    x = gn.input("x", (5,), dtype)

    def expressions(a: Node) -> list[Node]:
        return [a * a, -a, a + a, gn.maximum(a, 1), gn.where(a > 0, a, -a), gn.sum(a), a / a, gn.exp(a), a * 0]

    graph = rewrite(Graph(tuple(expressions(gn.constant(values)))), folding.FOLDING)
    computed = gn.compile([x], expressions(x), rewrite=False)(values)
    for folded, wanted in zip(graph.outputs, computed, strict=True):
        np.testing.assert_array_equal(folded.op.attributes["value"], wanted)
        np.testing.assert_array_equal(np.signbit(folded.op.attributes["value"]), np.signbit(wanted))


def test_a_view_of_a_known_number_is_a_number() -> None:
    assert gn.compile([], gn.stop_gradient(gn.constant(2.0)) * 3)() == 6


def test_what_may_fail_fails_when_run() -> None:
    step = gn.compile([], gn.cast(gn.constant(np.array([np.nan])), "int64"))
    with pytest.raises(gn.DataError):
        step()


def test_sum_of_minus_zero_keeps_its_sign() -> None:
    """The sum of -0.0 alone is 0.0, so a sum over an axis of size 1 is not a reshape."""
    x = gn.input("x", (1, 2), "float64")
    step = gn.compile([x], gn.sum(x, 0))
    assert not np.signbit(step(np.array([[-0.0, -0.0]]))).any()
