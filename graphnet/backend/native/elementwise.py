"""Elementwise steps as loops: one pass over memory, whatever the number of ops fused into it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphnet.backend.native.expressions import expression
from graphnet.backend.native.loops import (
    BOOLEAN,
    ELEMENTS,
    Affine,
    Apply,
    Const,
    For,
    Kernel,
    Load,
    Splat,
    Statement,
    Store,
    Value,
    Var,
    affine,
    operations,
)
from graphnet.backend.native.target import target
from graphnet.backend.native.views import View, merged_axes
from graphnet.graph.node import Op
from graphnet.ops.fused import Fused, Part

Results: TypeAlias = "tuple[list[Statement], list[Value]]"

_LONG = 16  # operations at an element that wait for each other so long that a processor has time for other ones
_TOGETHER = (4, 2)  # vectors that are worked on at once then
GRAIN = 8192  # elements of a chunk: enough that handing it to a thread costs little


@dataclass(frozen=True)
class Nest:
    """Loops over part of the elements: `outer` variables, slowest first and the chunk's at the front, with the stride
    that each view has along them; then elements `start` to `start + count` of the innermost axis."""

    outer: tuple[tuple[Var, tuple[int, ...]], ...]
    start: int
    count: int


def elementwise(op: Op, out: View, inputs: Sequence[View]) -> list[Kernel] | None:
    """Kernels that fill `out`, which may be the very memory of an input; None where an op has no expression."""

    def result(operands: Sequence[Value]) -> list[Value] | None:
        value = compute(op, operands)
        return None if value is None else [value]

    return pointwise(op.name, [out], [view.broadcast(out.shape) for view in inputs], result)


def pointwise(
    name: str, outs: Sequence[View], inputs: Sequence[View], compute: Callable[[Sequence[Value]], list[Value] | None]
) -> list[Kernel] | None:
    """Kernels that fill `outs` by what `compute` makes of `inputs` at the same index; all views have one shape.

    Without inputs, `compute` gets a zero, which shows how many lanes are wanted. None where `compute` gives None.
    """

    def results(operands: Sequence[Value]) -> Results | None:
        values = compute(operands)
        return None if values is None else ([], values)

    return pointwise_statements(name, outs, inputs, results)


def added(name: str, out: View, parts: Sequence[View]) -> list[Kernel]:
    """Kernels that fill `out` by the sum of `parts`, from the first on."""

    def total(values: Sequence[Value]) -> list[Value]:
        found = values[0]
        for value in values[1:]:
            found = Apply("add", (found, value))
        return [found]

    return pointwise(name, [out], parts, total) or []


def pointwise_statements(
    name: str, outs: Sequence[View], inputs: Sequence[View], compute: Callable[[Sequence[Value]], Results | None]
) -> list[Kernel] | None:
    """As `pointwise`, where what is computed needs statements before the results can be stored."""
    views = [*outs, *inputs]
    *outer, (inner, strides) = merged_axes(views) or [(1, (0,) * len(views))]
    lanes = vector_lanes(inner, strides, [ELEMENTS[view.dtype] for view in views], len(outs))
    kernels = []
    for nest in nests(outer, inner, strides, lanes):
        body = _Point(outs, inputs, compute, nest, strides, lanes).rows()
        if body is None:
            return None
        chunk, *loops = (var for var, _ in nest.outer)
        for var in reversed(loops):
            body = [For(var, tuple(body))]
        buffers = tuple(dict.fromkeys(view.buffer for view in views))
        kernels.append(Kernel(name, buffers, chunk, tuple(body)))
    return kernels


def vector_lanes(inner: int, strides: Sequence[int], sizes: Sequence[int], outs: int) -> int:
    """Elements at once along an innermost axis of `inner`, whose strides are in elements of `sizes` bytes; 1 where an
    array cannot be read or, being one of the first `outs`, written by vectors."""
    lanes = target().lanes(max(sizes), inner)
    fits = 2 * inner > lanes and all(stride in (0, 1) for stride in strides) and 0 not in strides[:outs]
    return lanes if fits else 1


def nests(outer: Sequence[tuple[int, tuple[int, ...]]], inner: int, strides: tuple[int, ...], lanes: int) -> list[Nest]:
    """The loops for these axes, cut into chunks of about GRAIN elements. A long single axis needs two: chunks, rest."""
    if outer:
        (size, along), *others = outer
        loops = divided(size, along, inner * math.prod(size for size, _ in others))
        loops += [(Var(f"i{n}", size), along) for n, (size, along) in enumerate(others)]
        return [Nest(tuple(loops), 0, inner)]
    block = GRAIN // lanes * lanes
    chunks = inner // block
    if chunks < 2:
        return [Nest(((Var("chunk", 1), strides),), 0, inner)]
    whole = Nest(((Var("chunk", chunks), tuple(stride * block for stride in strides)),), 0, block)
    rest = Nest(((Var("chunk", 1), strides),), chunks * block, inner - chunks * block)
    return [whole, rest] if rest.count else [whole]


def divided(size: int, strides: tuple[int, ...], below: int) -> list[tuple[Var, tuple[int, ...]]]:
    """An axis as two loops: over chunks of about GRAIN elements, and within one. `below` elements lie at each index."""
    most = max(1, min(size, GRAIN // below))
    together = max(d for d in range(1, most + 1) if size % d == 0)
    chunk = Var("chunk", size // together)
    return [(chunk, tuple(stride * together for stride in strides)), (Var("row", together), strides)]


@dataclass(frozen=True)
class _Point:
    """What happens at one vector of elements."""

    outs: Sequence[View]
    inputs: Sequence[View]
    compute: Callable[[Sequence[Value]], Results | None]
    nest: Nest
    strides: tuple[int, ...]
    lanes: int

    def rows(self) -> list[Statement] | None:
        """The innermost axis: whole vectors in a loop, then what is left as one vector of which some lanes count.

        Where there is much to do with each, several vectors are worked on at once, as one.
        """
        vectors, left = divmod(self.nest.count, self.lanes)
        body: list[Statement] = []
        step = Var("v", vectors)
        made = self._vector(step, self.nest.start, None) if vectors else []
        if made is None:
            return None
        together = next((n for n in _TOGETHER if vectors % n == 0 and vectors > 1), 1)
        if self.lanes > 1 and together > 1 and operations(made) > _LONG:
            step = Var("v", vectors // together)
            made = replace(self, lanes=self.lanes * together)._vector(step, self.nest.start, None) or made
        if made:
            body.append(For(step, tuple(made)))
        if left:
            made = self._vector(None, self.nest.start + vectors * self.lanes, left)
            if made is None:
                return None
            body += made
        return body

    def _vector(self, var: Var | None, at: int, active: int | None) -> list[Statement] | None:
        first = len(self.outs)
        operands = [
            self._load(view, self.strides[number], self._index(number, view, var, at), active)
            for number, view in enumerate(self.inputs, first)
        ]
        made = self.compute(operands or [Const(0, self.outs[0].dtype, self.lanes)])
        if made is None:
            return None
        statements, results = made
        return [*statements] + [
            Store(view.buffer, self._index(number, view, var, at), _in_memory(view, value), active)
            for number, (view, value) in enumerate(zip(self.outs, results, strict=True))
        ]

    def _load(self, view: View, stride: int, index: Affine, active: int | None) -> Value:
        if stride == 0 and self.lanes > 1:
            value: Value = Splat(Load(view.buffer, index), self.lanes)
        else:
            value = Load(view.buffer, index, self.lanes, active)
        return Apply("ne", (value, Const(0, "u8", self.lanes)), BOOLEAN) if view.is_bool else value

    def _index(self, number: int, view: View, var: Var | None, at: int) -> Affine:
        terms = {v: along[number] for v, along in self.nest.outer}
        if var is not None:
            terms[var] = self.lanes * self.strides[number]
        return affine(terms, view.offset + at * self.strides[number])


def _in_memory(view: View, value: Value) -> Value:
    return Apply("cast", (value,), "u8") if view.is_bool else value


def compute(op: Op, operands: Sequence[Value]) -> Value | None:
    """The value of an elementwise op, or of several fused; None where one has no expression."""
    if not isinstance(op, Fused):
        return expression(op, operands)
    known = expressions(op.parts, operands)
    return None if known is None else known[-1]


def expressions(parts: Sequence[Part], operands: Sequence[Value]) -> list[Value] | None:
    """The operands and the value of each part, by the numbers that `Fused` gives them; None as `compute`."""
    known: list[Value] = list(operands)
    for part, numbers in parts:
        value = expression(part, [known[number] for number in numbers])
        if value is None:
            return None
        known.append(value)
    return known
