"""Convolutions in groups: the loops of one group, repeated for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from graphnet.backend.native.convolution import direct
from graphnet.backend.native.grouped_ops import Grouped
from graphnet.backend.native.loops import (
    Affine,
    Apply,
    Buffer,
    For,
    Kernel,
    Load,
    Pick,
    Prefetch,
    Set,
    Shuffle,
    Splat,
    Statement,
    Value,
    Var,
    affine,
    parts,
)
from graphnet.backend.native.views import Scratch, View

Step: TypeAlias = "tuple[Buffer, int, int]"  # the buffer to use, from one group to the next in it, and to the first


def grouped(op: Grouped, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel] | None:
    """Kernels that fill `out`; None where a group has none."""
    x, other = inputs
    axis = 3 if op.has_weight else 0
    views = [_first(out, axis, op.groups), _first(x, 3, op.groups)]
    views.append(_without_groups(other) if op.has_weight else _first(other, 3, op.groups))
    along = [
        _along(out, axis, op.groups),
        _along(x, 3, op.groups),
        other.strides[1] if op.has_weight else _along(other, 3, op.groups),
    ]
    own = Scratch()
    made = direct(op.op, views[0], views[1:], own)
    if made is None:
        return None
    shared = [scratch.array(buffer.dtype, (op.groups * buffer.size,)).buffer for buffer in own.buffers]
    steps: dict[Buffer, Step] = {}
    for view, step in zip(views, along, strict=True):
        if steps.setdefault(view.buffer, (view.buffer, step, 0)) != (view.buffer, step, 0):
            return _apart(op, views, along, shared)
    for buffer, whole in zip(own.buffers, shared, strict=True):
        steps[buffer] = (whole, buffer.size, 0)
    return [_repeated(kernel, op.groups, steps) for kernel in made]


def _apart(op: Grouped, views: Sequence[View], along: Sequence[int], shared: Sequence[Buffer]) -> list[Kernel] | None:
    """Loops for each group, written out: the images lie in one memory, through which their groups go in other steps."""
    found: list[Kernel] = []
    for group in range(op.groups):
        own = Scratch()
        moved = [replace(view, offset=view.offset + group * step) for view, step in zip(views, along, strict=True)]
        steps: dict[Buffer, Step] = {view.buffer: (view.buffer, 0, 0) for view in views}
        made = direct(op.op, moved[0], moved[1:], own)
        if made is None:
            return None
        for buffer, whole in zip(own.buffers, shared, strict=True):
            steps[buffer] = (whole, 0, group * buffer.size)
        found += [_repeated(kernel, 1, steps) for kernel in made]
    return found


def _first(view: View, axis: int, groups: int) -> View:
    shape = tuple(n // groups if i == axis else n for i, n in enumerate(view.shape))
    strides = tuple(0 if n == 1 else stride for n, stride in zip(shape, view.strides, strict=True))
    return replace(view, shape=shape, strides=strides)


def _along(view: View, axis: int, groups: int) -> int:
    """From one group to the next."""
    return view.strides[axis] * (view.shape[axis] // groups)


def _without_groups(weight: View) -> View:
    shape, strides = list(weight.shape), list(weight.strides)
    del shape[1], strides[1]
    return replace(weight, shape=tuple(shape), strides=tuple(strides))


# -- kernels rewritten -----------------------------------------------------------------------------------------------


def _repeated(kernel: Kernel, groups: int, steps: Mapping[Buffer, Step]) -> Kernel:
    """The kernel, for each group in turn within its chunks."""
    group = Var("group", groups)
    body = _Moved(group, steps).body(kernel.body)
    buffers = tuple(dict.fromkeys(steps[buffer][0] for buffer in kernel.buffers))
    aligned = {buffer: size for buffer, size in kernel.aligned.items() if buffer in buffers}
    return Kernel(kernel.name, buffers, kernel.chunk, (For(group, body),), aligned)


class _Moved:
    """Statements with each of their addresses moved on by group."""

    def __init__(self, group: Var, steps: Mapping[Buffer, Step]) -> None:
        self.group, self.steps = group, steps
        self.known: dict[Value, Value] = {}

    def body(self, body: Sequence[Statement]) -> tuple[Statement, ...]:
        return tuple(self.statement(statement) for statement in body)

    def statement(self, statement: Statement) -> Statement:
        if isinstance(statement, For):
            return replace(statement, body=self.body(statement.body))
        if isinstance(statement, Pick):
            return Pick(statement.var, self.value(statement.value), self.body(statement.body))
        value = self.value(statement.value)
        if isinstance(statement, Set):
            return Set(statement.register, value)
        if isinstance(statement, Prefetch):
            assert isinstance(value, Load)
            return Prefetch(value, statement.ahead)
        buffer, index = self.place(statement.buffer, statement.index)
        return replace(statement, buffer=buffer, index=index, value=value)

    def place(self, buffer: Buffer, index: Affine) -> tuple[Buffer, Affine]:
        moved, step, start = self.steps[buffer]
        return moved, index + affine({self.group: step}, start)

    def value(self, value: Value) -> Value:
        """Shared parts stay shared."""
        waiting = [value]
        while waiting:
            missing = [part for part in parts(waiting[-1]) if part not in self.known]
            if missing:
                waiting += missing
                continue
            one = waiting.pop()
            self.known[one] = self.rebuilt(one)
        return self.known[value]

    def rebuilt(self, value: Value) -> Value:
        if isinstance(value, Load):
            buffer, index = self.place(value.buffer, value.index)
            return replace(value, buffer=buffer, index=index)
        if isinstance(value, Apply):
            return Apply(value.name, tuple(self.known[part] for part in value.operands), value.to)
        if isinstance(value, Splat):
            return Splat(self.known[value.value], value.width)
        if isinstance(value, Shuffle):
            return Shuffle(self.known[value.first], self.known[value.second], value.lanes)
        return value
