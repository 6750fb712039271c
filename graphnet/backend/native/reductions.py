"""Reductions, softmax and cross-entropy, as loops over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from graphnet.backend.native import functions as f
from graphnet.backend.native.blocks import Folding, is_cut
from graphnet.backend.native.elementwise import pointwise
from graphnet.backend.native.loops import BOOLEAN, Apply, Kernel, Register, Set, Splat, Statement, Value
from graphnet.backend.native.rows import LARGEST, LARGEST_NUMBER, LEAST, PRODUCT, SUM, Fold, Row, row_kernels
from graphnet.backend.native.views import Scratch, View
from graphnet.graph.node import Op
from graphnet.ops import reductions, shaping
from graphnet.ops.normalization import Standardize

Maker: TypeAlias = "Callable[[Any, View, Sequence[View], Scratch], list[Kernel]]"


def reduction(op: Op, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel] | None:
    """Kernels that fill `out`; None where `op` is no reduction that the loop language says."""
    maker = _MAKERS.get(type(op))
    return None if maker is None else maker(op, out, inputs, scratch)


def stretched(out: View, axes: Sequence[int], keepdims: bool, shape: Sequence[int]) -> View:
    """A reduction's result as a view of its operand's shape, with stride 0 along the reduced axes."""
    strides = list(out.strides)
    if not keepdims:
        for axis in sorted(axis % len(shape) for axis in axes):
            strides.insert(axis, 0)
    inside = {axis % len(shape) for axis in axes}
    found = tuple(0 if axis in inside else stride for axis, stride in enumerate(strides))
    return replace(out, shape=tuple(shape), strides=found)


def _inside(axes: Sequence[int], x: View) -> tuple[int, ...]:
    return tuple(axis % len(x.shape) for axis in axes)


def _folding(fold: Fold, finish: Callable[[Value, int], Value] = lambda value, count: value) -> Maker:
    def make(op: Any, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel]:
        (x,) = inputs
        inside = _inside(op.axes, x)
        count = math.prod(x.shape[axis] for axis in inside)
        result = stretched(out, op.axes, op.keepdims, x.shape)

        def element(values: Sequence[Value]) -> Value:
            return _cast(values[0], out.dtype)

        return Folding(op.name, (x, result), inside, fold, element, lambda v: finish(v, count)).kernels(scratch)

    return make


def _mean(total: Value, count: int) -> Value:
    return f.div(total, f.const(total, count))


def _var(op: reductions.Var, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel]:
    (x,) = inputs
    inside = _inside(op.axes, x)
    count = math.prod(x.shape[axis] for axis in inside)
    result = stretched(out, op.axes, op.keepdims, x.shape)

    def finish(squares: Value) -> Value:
        return f.div(squares, f.const(squares, max(count - op.correction, 0)))

    def squared(values: Sequence[Value]) -> Value:
        centered = f.sub(values[0], wide(values[1], values[0]))
        return f.mul(centered, centered)

    if is_cut((x, result), inside):
        mean = _per_row(x, inside, scratch)
        found = Folding(op.name, (x, mean), inside, SUM, _first, lambda v: _mean(v, count)).kernels(scratch)
        return found + Folding(op.name, (x, mean, result), inside, SUM, squared, finish).kernels(scratch)

    def body(row: Row) -> list[Statement]:
        statements, total = row.fold(SUM, _first, x.dtype)
        mean = Register("mean", x.dtype, total.width)
        more, squares = row.fold(SUM, lambda values: squared([values[0], mean]), x.dtype)
        return [*statements, Set(mean, _mean(total, count)), *more, row.store(1, finish(squares))]

    return row_kernels(op.name, [x, result], inside, body, vectors=4)


def _first(values: Sequence[Value]) -> Value:
    return values[0]


def _per_row(x: View, inside: Sequence[int], scratch: Scratch) -> View:
    """A number a row in memory of its own, in the order of x's, as a view of x's shape."""
    sizes = [1 if axis in inside else size for axis, size in enumerate(x.shape)]
    return scratch.like(x, sizes).broadcast(x.shape)


def wide(number: Value, like: Value) -> Value:
    """A row's number in as many lanes as its elements have."""
    return number if number.width == like.width else Splat(number, like.width)


def shifted_exponentials(row: Row, dtype: str, finite: bool = False) -> tuple[list[Statement], Register, Value]:
    """Statements for the largest element (0 where that is infinite, if `finite`) and for the sum of exp(x - it)."""
    statements, largest = row.fold(LARGEST_NUMBER, _first, dtype)  # a NaN shows in the sum
    top = Register("top", dtype, largest.width)
    power = f.exp if finite else f.exp_of_negative
    more, total = row.fold(SUM, lambda values: power(f.sub(values[0], wide(top, values[0]))), dtype)
    return [*statements, Set(top, _finite(largest) if finite else largest), *more], top, total


def stored_exponentials(row: Row, dtype: str, out: int) -> tuple[list[Statement], Value]:
    """Statements that store exp(x - the largest element) to view number `out`, and their sum."""
    statements, largest = row.fold(LARGEST_NUMBER, _first, dtype)  # a NaN shows in the sum
    top = Register("top", dtype, largest.width)
    more, total = row.kept_fold(SUM, lambda v: f.exp_of_negative(f.sub(v[0], wide(top, v[0]))), dtype, out)
    return [*statements, Set(top, largest), *more], total


def _finite(value: Value) -> Value:
    """0 for an infinity."""
    infinite = Apply("eq", (Apply("abs", (value,)), f.const(value, math.inf)), BOOLEAN)
    return f.select(infinite, f.const(value, 0.0), value)


def _logsumexp(op: reductions.LogSumExp, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel]:
    (x,) = inputs
    inside = _inside(op.axes, x)
    result = stretched(out, op.axes, op.keepdims, x.shape)
    if is_cut((x, result), inside):
        top = _per_row(x, inside, scratch)

        def power(values: Sequence[Value]) -> Value:
            return f.exp(f.sub(values[0], values[1]))

        shape = [1 if axis in inside else size for axis, size in enumerate(x.shape)]
        found = Folding(op.name, (x, top), inside, LARGEST, _first, _finite).kernels(scratch)
        found += Folding(op.name, (x, top, result), inside, SUM, power, f.log).kernels(scratch)
        log_total, shift = (replace(view, shape=tuple(shape)) for view in (result, top))
        return found + (pointwise(op.name, [log_total], [log_total, shift], lambda v: [f.add(*v)]) or [])

    def body(row: Row) -> list[Statement]:
        statements, top, total = shifted_exponentials(row, x.dtype, finite=True)
        return [*statements, row.store(1, f.add(f.log(total), top))]

    return row_kernels(op.name, [x, result], inside, body)


def _softmax(op: reductions.Softmax, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel]:
    (x,) = inputs

    def body(row: Row) -> list[Statement]:
        statements, total = stored_exponentials(row, x.dtype, 1)
        scale = Register("scale", x.dtype, total.width)

        def share(values: Sequence[Value]) -> Value:
            return f.mul(values[1], wide(scale, values[1]))

        return [*statements, Set(scale, f.div(f.const(total, 1.0), total)), *row.each(1, share)]

    return row_kernels(op.name, [x, out], [op.axis % len(x.shape)], body)


def _log_softmax(op: reductions.LogSoftmax, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel]:
    (x,) = inputs

    def body(row: Row) -> list[Statement]:
        statements, top, total = shifted_exponentials(row, x.dtype)
        log_total = Register("log_total", x.dtype, total.width)

        def less(values: Sequence[Value]) -> Value:
            return f.sub(f.sub(values[0], wide(top, values[0])), wide(log_total, values[0]))

        return [*statements, Set(log_total, f.log(total)), *row.each(1, less)]

    return row_kernels(op.name, [x, out], [op.axis % len(x.shape)], body)


def _arg_extreme(op: reductions.ArgExtreme, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel]:
    """The least of the places that hold the extreme; or a NaN, which is what the extreme is where there is one."""
    (x,) = inputs
    axis = op.axis % len(x.shape)
    result = stretched(out, (axis,), op.keepdims, x.shape)
    fold = LARGEST if isinstance(op, reductions.ArgMax) else LEAST
    if x.strides[axis] == 0:  # all are equal, and no place is told from another
        return pointwise(op.name, [out], [], lambda values: [f.const(values[0], 0)]) or []
    dtype = BOOLEAN if x.is_bool else x.dtype

    def body(row: Row) -> list[Statement]:
        statements, extreme = row.fold(fold, _number, x.dtype)
        top = Register("top", x.dtype, extreme.width)

        def place(values: Sequence[Value]) -> Value:
            value = _number(values)
            hit: Value = Apply("eq", (value, wide(top, value)), BOOLEAN)
            if dtype[0] == "f":
                hit = Apply("or", (hit, Apply("ne", (value, value), BOOLEAN)))
            return f.select(hit, values[-1], LEAST.start("i64", value.width))

        more, first = row.fold(LEAST, place, "i64")
        return [*statements, Set(top, extreme), *more, row.store(1, first)]

    return row_kernels(op.name, [x, result], [axis], body)


def _number(values: Sequence[Value]) -> Value:
    """The first view's element, a boolean as the byte 0 or 1."""
    return Apply("cast", (values[0],), "u8") if values[0].dtype == BOOLEAN else values[0]


def _cumsum(op: reductions.Cumsum, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel]:
    """One element after the other; other rows are lanes where they lie side by side."""
    axis = op.axis % len(out.shape)
    x, total = (_reversed(view, axis) if op.reverse else view for view in (inputs[0], out))

    def body(row: Row) -> list[Statement]:
        running = Register("running", out.dtype, row.lanes)
        start = SUM.start(out.dtype, row.lanes)
        return [Set(running, start), *row.scan(1, running, lambda values: f.add(running, _cast(values[0], out.dtype)))]

    return row_kernels(op.name, [x, total], [axis], body, in_turn=True)


def _cast(value: Value, dtype: str) -> Value:
    return Apply("cast", (value,), dtype)


def _reversed(view: View, axis: int) -> View:
    """The same elements, that axis from its end to its beginning."""
    stride, size = view.strides[axis], view.shape[axis]
    strides = tuple(-one if number == axis else one for number, one in enumerate(view.strides))
    return replace(view, offset=view.offset + (size - 1) * stride, strides=strides)


def _standardize(op: Standardize, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel]:
    (x,) = inputs
    inside = _inside(op.axes, x)
    count = math.prod(x.shape[axis] for axis in inside)

    def centered(values: Sequence[Value]) -> Value:
        return f.sub(values[0], wide(values[1], values[0]))

    def squared(values: Sequence[Value]) -> Value:
        return f.mul(centered(values), centered(values))

    def inverse(squares: Value) -> Value:
        spread = Apply("sqrt", (f.add(_mean(squares, count), f.const(squares, op.eps)),))
        return f.div(f.const(squares, 1.0), spread)

    if is_cut((x, x), inside):
        mean, scale = _per_row(x, inside, scratch), _per_row(x, inside, scratch)
        found = Folding(op.name, (x, mean), inside, SUM, _first, lambda v: _mean(v, count)).kernels(scratch)
        found += Folding(op.name, (x, mean, scale), inside, SUM, squared, inverse).kernels(scratch)
        return found + (pointwise(op.name, [out], [x, mean, scale], lambda v: [f.mul(centered(v), v[2])]) or [])

    def body(row: Row) -> list[Statement]:
        statements, total = row.fold(SUM, _first, x.dtype)
        mean, scale = (Register(name, x.dtype, total.width) for name in ("mean", "scale"))
        more, squares = row.fold(SUM, lambda values: squared([values[0], mean]), x.dtype)
        last = row.each(1, lambda values: f.mul(centered([values[0], mean]), wide(scale, values[0])))
        return [*statements, Set(mean, _mean(total, count)), *more, Set(scale, inverse(squares)), *last]

    return row_kernels(op.name, [x, out], inside, body)


_MAKERS: dict[type[Op], Maker] = {
    shaping.Sum: _folding(SUM),
    reductions.Mean: _folding(SUM, _mean),
    reductions.Prod: _folding(PRODUCT),
    reductions.Max: _folding(LARGEST),
    reductions.Min: _folding(LEAST),
    reductions.Var: _var,
    reductions.LogSumExp: _logsumexp,
    reductions.ArgMax: _arg_extreme,
    reductions.ArgMin: _arg_extreme,
    reductions.Cumsum: _cumsum,
    Standardize: _standardize,
    reductions.Softmax: _softmax,
    reductions.LogSoftmax: _log_softmax,
}
