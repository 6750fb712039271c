"""Reductions, softmax and cross-entropy, as loops over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from graphnet.backend.native import functions as f
from graphnet.backend.native.loops import BOOLEAN, Apply, Kernel, Register, Set, Splat, Statement, Value
from graphnet.backend.native.rows import LARGEST, LEAST, SUM, Fold, Row, row_kernels
from graphnet.backend.native.views import View
from graphnet.graph.node import Op
from graphnet.ops import reductions, shaping

Maker = "Callable[[Any, View, Sequence[View]], list[Kernel] | None]"


def reduction(op: Op, out: View, inputs: Sequence[View]) -> list[Kernel] | None:
    """Kernels that fill `out`; None where `op` is no reduction that the loop language says."""
    maker = _MAKERS.get(type(op))
    if maker is None or any(view.dtype not in ("f32", "f64") for view in (out, *inputs)):
        return None
    return maker(op, out, inputs)


def stretched(out: View, axes: Sequence[int], keepdims: bool, shape: Sequence[int]) -> View:
    """A reduction's result as a view of its operand's shape, with stride 0 along the reduced axes."""
    strides = list(out.strides)
    if not keepdims:
        for axis in sorted(axis % len(shape) for axis in axes):
            strides.insert(axis, 0)
    inside = {axis % len(shape) for axis in axes}
    found = tuple(0 if axis in inside else stride for axis, stride in enumerate(strides))
    return replace(out, shape=tuple(shape), strides=found)


def _inside(axes: Sequence[int], x: View) -> list[int]:
    return [axis % len(x.shape) for axis in axes]


def _folding(fold: Fold, finish: Callable[[Value, int], Value] = lambda value, count: value) -> Any:
    def make(op: Any, out: View, inputs: Sequence[View]) -> list[Kernel]:
        (x,) = inputs
        count = math.prod(x.shape[axis] for axis in _inside(op.axes, x))
        result = stretched(out, op.axes, op.keepdims, x.shape)

        def body(row: Row) -> list[Statement]:
            statements, total = row.fold(fold, lambda values: values[0], x.dtype)
            return [*statements, row.store(1, finish(total, count))]

        return row_kernels(op.name, [x, result], _inside(op.axes, x), body)

    return make


def _mean(total: Value, count: int) -> Value:
    return f.div(total, f.const(total, count))


def _var(op: reductions.Var, out: View, inputs: Sequence[View]) -> list[Kernel]:
    (x,) = inputs
    count = math.prod(x.shape[axis] for axis in _inside(op.axes, x))
    result = stretched(out, op.axes, op.keepdims, x.shape)

    def body(row: Row) -> list[Statement]:
        statements, total = row.fold(SUM, lambda values: values[0], x.dtype)
        mean = Register("mean", x.dtype, total.width)

        def squared(values: Sequence[Value]) -> Value:
            centered = f.sub(values[0], wide(mean, values[0]))
            return f.mul(centered, centered)

        more, squares = row.fold(SUM, squared, x.dtype)
        divisor = f.const(squares, max(count - op.correction, 0))
        return [*statements, Set(mean, _mean(total, count)), *more, row.store(1, f.div(squares, divisor))]

    return row_kernels(op.name, [x, result], _inside(op.axes, x), body)


def wide(number: Value, like: Value) -> Value:
    """A row's number in as many lanes as its elements have."""
    return number if number.width == like.width else Splat(number, like.width)


def shifted_exponentials(row: Row, dtype: str, finite: bool = False) -> tuple[list[Statement], Register, Value]:
    """Statements for the largest element (0 where that is infinite, if `finite`) and for the sum of exp(x - it)."""
    statements, largest = row.fold(LARGEST, lambda values: values[0], dtype)
    top = Register("top", dtype, largest.width)
    shift = largest
    if finite:
        infinite = Apply("eq", (Apply("abs", (largest,)), f.const(largest, math.inf)), BOOLEAN)
        shift = f.select(infinite, f.const(largest, 0.0), largest)
    more, total = row.fold(SUM, lambda values: f.exp(f.sub(values[0], wide(top, values[0]))), dtype)
    return [*statements, Set(top, shift), *more], top, total


def _logsumexp(op: reductions.LogSumExp, out: View, inputs: Sequence[View]) -> list[Kernel]:
    (x,) = inputs
    result = stretched(out, op.axes, op.keepdims, x.shape)

    def body(row: Row) -> list[Statement]:
        statements, top, total = shifted_exponentials(row, x.dtype, finite=True)
        return [*statements, row.store(1, f.add(f.log(total), top))]

    return row_kernels(op.name, [x, result], _inside(op.axes, x), body)


def _softmax(op: reductions.Softmax, out: View, inputs: Sequence[View]) -> list[Kernel]:
    (x,) = inputs

    def body(row: Row) -> list[Statement]:
        statements, top, total = shifted_exponentials(row, x.dtype)
        scale = Register("scale", x.dtype, total.width)

        def share(values: Sequence[Value]) -> Value:
            return f.mul(f.exp(f.sub(values[0], wide(top, values[0]))), wide(scale, values[0]))

        return [*statements, Set(scale, f.div(f.const(total, 1.0), total)), *row.each(1, share)]

    return row_kernels(op.name, [x, out], [op.axis % len(x.shape)], body)


def _log_softmax(op: reductions.LogSoftmax, out: View, inputs: Sequence[View]) -> list[Kernel]:
    (x,) = inputs

    def body(row: Row) -> list[Statement]:
        statements, top, total = shifted_exponentials(row, x.dtype)
        log_total = Register("log_total", x.dtype, total.width)

        def less(values: Sequence[Value]) -> Value:
            return f.sub(f.sub(values[0], wide(top, values[0])), wide(log_total, values[0]))

        return [*statements, Set(log_total, f.log(total)), *row.each(1, less)]

    return row_kernels(op.name, [x, out], [op.axis % len(x.shape)], body)


_MAKERS: dict[type[Op], Any] = {
    shaping.Sum: _folding(SUM),
    reductions.Mean: _folding(SUM, _mean),
    reductions.Max: _folding(LARGEST),
    reductions.Min: _folding(LEAST),
    reductions.Var: _var,
    reductions.LogSumExp: _logsumexp,
    reductions.Softmax: _softmax,
    reductions.LogSoftmax: _log_softmax,
}
