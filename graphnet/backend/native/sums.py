"""Several sums over the same arrays, of whatever is made of each element; and mean and variance; in one pass each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphnet.backend.native import functions as f
from graphnet.backend.native.blocks import Blocks, Folding, Numbers
from graphnet.backend.native.elementwise import expressions
from graphnet.backend.native.loops import BOOLEAN, Kernel, Register, Set, Statement, Value
from graphnet.backend.native.reductions import stretched, wide
from graphnet.backend.native.rows import SUM, Row
from graphnet.backend.native.statistics import Moments, Sums
from graphnet.backend.native.views import Scratch, View


def statistics(op: Sums | Moments, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel] | None:
    """Kernels that fill `out`; None where a part of what is summed has no expression."""
    if isinstance(op, Moments):
        return _moments(op, out, inputs[0], scratch)
    return _sums(op, out, inputs, scratch)


def _sums(op: Sums, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel] | None:
    """Kernels of several sums; None where a part has no expression."""
    shape = np.broadcast_shapes(*(view.shape for view in inputs))
    order = sorted(range(len(inputs)), key=lambda number: -math.prod(inputs[number].shape))  # the first is read in full
    operands = [inputs[number].broadcast(shape) for number in order]
    results = [stretched(_result(out, place), op.axes, False, shape) for place in range(len(op.results))]

    def elements(values: Sequence[Value]) -> list[Value]:
        known = expressions(op.parts, [values[order.index(number)] for number in range(len(inputs))])
        return [] if known is None else [known[number] for number in op.results]

    if not elements([Register("x", BOOLEAN if view.is_bool else view.dtype) for view in operands]):
        return None
    views = (*operands, *results)
    return Folding(op.name, views, op.axes, SUM, elements, results=len(results)).kernels(scratch)


def _result(out: View, place: int) -> View:
    """One of the arrays that `out` is."""
    return replace(out, offset=out.offset + place * out.strides[0], shape=out.shape[1:], strides=out.strides[1:])


def _moments(op: Moments, out: View, x: View, scratch: Scratch) -> list[Kernel]:
    """Kernels of mean and squared deviations.

    A block's deviations are from its own mean, while it is in the cache; those of the whole are theirs and, for each
    element of a block, that of its mean from the mean of all (Chan, Golub and LeVeque, 1983, "Algorithms for computing
    the sample variance").
    """
    results = [stretched(_result(out, place), op.axes, False, x.shape) for place in range(2)]
    count = math.prod(x.shape[axis] for axis in op.axes)

    def sum_and_squares(row: Row) -> tuple[list[Statement], Value, Value, Value]:
        statements, total = row.fold(SUM, lambda values: values[0], x.dtype)
        size = f.const(total, row.size)
        mean = Register("mean", x.dtype, total.width)
        more, squares = row.fold(SUM, lambda values: _squared(values[0], mean), x.dtype)
        return [*statements, Set(mean, f.div(total, size)), *more], total, mean, squares

    def whole(row: Row) -> Numbers:
        statements, _, mean, squares = sum_and_squares(row)
        return statements, [mean, squares]

    def part(row: Row) -> Numbers:
        statements, total, _, squares = sum_and_squares(row)
        return statements, [total, squares, f.const(total, row.size)]

    def again(row: Row) -> Numbers:
        statements, total = row.fold(SUM, lambda values: values[0], x.dtype)
        mean = Register("mean", x.dtype, total.width)

        def of_block(values: Sequence[Value]) -> Value:
            of_all, squares, size = values[:3]
            return f.add(squares, f.mul(size, _squared(f.div(of_all, size), mean)))

        more, squares = row.fold(SUM, of_block, x.dtype)
        return [*statements, Set(mean, f.div(total, f.const(total, count))), *more], [mean, squares]

    return Blocks(op.name, (x, *results), op.axes, 2, 3, whole, part, again).kernels(scratch)


def _squared(value: Value, mean: Register) -> Value:
    centered = f.sub(value, wide(mean, value))
    return f.mul(centered, centered)
