"""Fused steps: where their parts' results lie, in memory of their own and over an input."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.errors import ShapeError
from graphnet.graph.node import Op
from graphnet.graph.types import tensor_type
from graphnet.ops.activations import Softplus
from graphnet.ops.elementwise import Add, Divide, Multiply, Subtract
from graphnet.ops.fused import TILE, Fused
from graphnet.ops.unary import Exp, Sqrt, Square, Tanh
from tests.ops.cases_fused import BIAS_RELU, LEAKY_CHOICE

UNARY: tuple[Op, ...] = (Square(), Tanh(), Exp(), Softplus(1.0, 20.0))
BINARY: tuple[Op, ...] = (Add(), Subtract(), Multiply(), Divide())


def random_op(rng: np.random.Generator) -> Fused:
    """A random expression of up to three inputs in which every part but the last is read."""
    arity = int(rng.integers(1, 4))
    parts: list[tuple[Op, tuple[int, ...]]] = []
    for count in range(int(rng.integers(2, 9))):
        fresh = arity + count - 1 if count else int(rng.integers(arity))  # the part before, so that none is idle
        if rng.random() < 0.4:
            parts.append((UNARY[rng.integers(len(UNARY))], (fresh,)))
        else:
            pair = (fresh, int(rng.integers(arity + count)))
            parts.append((BINARY[rng.integers(len(BINARY))], pair if rng.random() < 0.5 else pair[::-1]))
    return Fused(arity, tuple(parts))


def one_by_one(op: Fused, inputs: list[np.ndarray]) -> np.ndarray:
    values = list(inputs)
    for part, operands in op.parts:
        of = [values[i] for i in operands]
        out = np.empty(np.broadcast_shapes(*(x.shape for x in of)), of[0].dtype)
        types = part.workspace(*(tensor_type(x.shape, x.dtype) for x in of))
        work = tuple(np.empty(t.static_shape, t.dtype) for t in types)
        part.compute(out, *of, **({"work": work} if work else {}))
        values.append(out)
    return values[-1]


def scratch_for(op: Fused, inputs: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    types = op.workspace(*(tensor_type(x.shape, x.dtype) for x in inputs))
    return tuple(np.full(t.static_shape, 0xFF, t.dtype) for t in types)


@pytest.mark.parametrize("seed", range(150))
def test_parts_give_what_they_give_one_by_one_into_any_memory_they_may_have(seed: int) -> None:
    rng = np.random.default_rng(seed)
    op = random_op(rng)
    shape = (3, TILE // 2 - 5) if seed % 10 == 0 else (4, 5)
    inputs = [rng.uniform(0.5, 1.5, shape) for _ in range(op.arity)]
    with np.errstate(all="ignore"):
        expected = one_by_one(op, inputs)
        out = np.full(shape, np.nan)
        op.compute(out, *inputs, work=scratch_for(op, inputs))
        np.testing.assert_array_equal(out, expected)
        for number in op.inplace:
            given = [x.copy() for x in inputs]
            op.compute(given[number], *given, work=scratch_for(op, inputs))
            np.testing.assert_array_equal(given[number], expected, err_msg=f"over input {number}")


def test_a_result_that_lies_across_an_input_is_written_by_the_last_part_only() -> None:
    """Such memory is never planned; a parameter may still be read as its transpose while it is written."""
    memory = np.random.default_rng(0).uniform(0.5, 1.5, (6, 6))
    op = Fused(1, ((Square(), (0,)), (Sqrt(), (1,)), (Add(), (2, 0))))
    expected = one_by_one(op, [memory.T.copy()])
    op.compute(memory, memory.T, work=scratch_for(op, [memory]))
    np.testing.assert_array_equal(memory, expected)


def test_the_tile_of_the_result_spares_scratch() -> None:
    """Adam's second moment, b * v + c * g**2, written over v."""
    op = Fused(4, ((Square(), (0,)), (Multiply(), (1, 4)), (Multiply(), (2, 3)), (Add(), (6, 5))))
    g, v = np.ones(8, np.float32), np.ones(8, np.float32)
    b, c = np.array(0.9, np.float32), np.array(0.1, np.float32)
    memory = scratch_for(op, [g, c, b, v])
    outs = [call.keywords["out"] for call in op.calls(v, [g, c, b, v], memory)]  # type: ignore[attr-defined]
    assert [np.shares_memory(out, v) for out in outs] == [False, False, True, True]


def test_plain_parts_are_ufuncs_only() -> None:
    assert Fused(1, ((Square(), (0,)), (Exp(), (1,)))).is_plain
    assert not BIAS_RELU.is_plain and not LEAKY_CHOICE.is_plain


def test_shapes_and_counts_are_checked() -> None:
    matrix, row = tensor_type((3, 4)), tensor_type((4,))
    with pytest.raises(ShapeError, match="expected 2 inputs, got 1"):
        BIAS_RELU.infer(matrix)
    grows = Fused(2, ((Square(), (1,)), (Add(), (0, 2))))
    with pytest.raises(ShapeError, match="differ in shape"):
        grows.infer(matrix, row)
