"""Elements brought to other places: layouts changed, arrays joined, edges padded and, adding, taken back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphnet.backend.native.elementwise import divided, pointwise
from graphnet.backend.native.loops import (
    ELEMENTS,
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
)
from graphnet.backend.native.target import target
from graphnet.backend.native.transposition import transposition
from graphnet.backend.native.views import View, merged_axes
from graphnet.graph.node import Op
from graphnet.ops.joining import Concatenate, FoldEdges, PadEdges
from graphnet.ops.layout import DiagonalEmbed
from graphnet.ops.shaping import Contiguous

Loops: TypeAlias = "list[tuple[Var, tuple[int, ...]]]"  # a loop's variable, and the strides of result and source
Segment: TypeAlias = "tuple[int, int, int, int]"  # along an axis: first of the padded, how many, first inside, step


def copies(op: Op, out: View, inputs: Sequence[View]) -> list[Kernel] | None:
    """Kernels of the ops that only move elements; None for another op."""
    out, inputs = replace(out, is_bool=False), [replace(view, is_bool=False) for view in inputs]
    if isinstance(op, Contiguous):
        return copied(op.name, out, inputs[0])
    if isinstance(op, Concatenate):
        return _joined(op, out, inputs)
    if isinstance(op, PadEdges):
        moves = [Move(padded, inside) for padded, inside in _segments(op, out, inputs[0])]
        return _together(op.name, moves, _untouched(op))
    if isinstance(op, FoldEdges):
        # The inside itself comes first, and sets what the others are added to.
        pairs = _segments(op, inputs[0], out)
        moves = [Move(inside, padded, adds=number > 0) for number, (padded, inside) in enumerate(pairs)]
        return _together(op.name, moves, _untouched(op))
    if isinstance(op, DiagonalEmbed):
        return _diagonal(op, out, inputs[0])
    return None


def copied(name: str, out: View, x: View) -> list[Kernel]:
    """out <- x, in whatever order each lies in memory."""
    return transposition(name, out, x) or Move(out, x).kernels(name)


@dataclass(frozen=True)
class Move:
    """out <- x, or out <- out + x where it `adds`: views of one shape, in memory of their own."""

    out: View
    x: View
    adds: bool = False

    def kernels(self, name: str) -> list[Kernel]:
        """The move on its own, split among threads along its slowest axis."""
        axes = merged_axes([self.out, self.x])
        if len(axes) < 2:
            return pointwise(name, [self.out], [self.x], lambda values: [values[0]]) or []
        (size, strides), *others = axes
        around = divided(size, strides, math.prod(count for count, _ in others))
        return [_kernel(name, [self], around, self._nest(around, others))]

    def loops(self, around: Loops) -> list[Statement]:
        """The statements inside the loops `around`."""
        return self._nest(around, merged_axes([self.out, self.x]))

    def _nest(self, around: Loops, axes: Sequence[tuple[int, tuple[int, ...]]]) -> list[Statement]:
        *outer, (count, (to, of)) = axes or [(1, (0, 0))]
        loops = [(Var(f"c{n}", size), strides) for n, (size, strides) in enumerate(outer)]
        lanes = target().within(ELEMENTS[self.out.dtype], count) if to == 1 and of in (0, 1) else 1
        inside, step, left = [*around, *loops], Var("v", count // lanes), count % lanes
        here, several = (0, 0), (to * lanes, of * lanes)
        body: list[Statement] = [For(step, (self._element([*inside, (step, several)], lanes, here, of == 0),))]
        if left and not self.adds:
            # The last vector begins where it just fits: what it shares with the one before is the same twice.
            body.append(self._element(inside, lanes, (to * (count - lanes), of * (count - lanes)), of == 0))
        elif left:
            tail, first = Var("t", left), count - left
            body.append(For(tail, (self._element([*inside, (tail, (to, of))], 1, (to * first, of * first), False),)))
        return _nested(loops, body)

    def _element(self, loops: Loops, lanes: int, at: tuple[int, int], repeated: bool) -> Statement:
        to = affine({var: strides[0] for var, strides in loops}, self.out.offset + at[0])
        of = affine({var: strides[1] for var, strides in loops}, self.x.offset + at[1])
        same = repeated and lanes > 1
        value: Value = Splat(Load(self.x.buffer, of), lanes) if same else Load(self.x.buffer, of, lanes)
        if self.adds:
            value = Apply("add", (Load(self.out.buffer, to, lanes), value))
        return Store(self.out.buffer, to, value)


def _nested(loops: Loops, body: list[Statement]) -> list[Statement]:
    for var, _ in reversed(loops):
        body = [For(var, tuple(body))]
    return body


def _kernel(name: str, moves: Sequence[Move], around: Loops, body: list[Statement]) -> Kernel:
    (chunk, _), *loops = around
    buffers = tuple(dict.fromkeys(view.buffer for move in moves for view in (move.out, move.x)))
    return Kernel(name, buffers, chunk, tuple(_nested(loops, body)))


def _together(name: str, moves: Sequence[Move], axes: Sequence[int]) -> list[Kernel]:
    """One kernel that makes all moves, in their order, for each index of the longest of `axes`, which are the same for
    all of them."""
    whole = moves[0].out
    axis = max(axes, key=lambda axis: whole.shape[axis], default=None)
    if axis is None or whole.shape[axis] == 1:
        return [_kernel(name, moves, [(Var("chunk", 1), (0, 0))], [s for move in moves for s in move.loops([])])]
    chunk, body = Var("chunk", whole.shape[axis]), list[Statement]()
    for move in moves:
        strides = (move.out.strides[axis], move.x.strides[axis])
        row = replace(move, out=_part(move.out, axis, 0, 1, 1), x=_part(move.x, axis, 0, 1, 1))
        body += row.loops([(chunk, strides)])
    return [_kernel(name, moves, [(chunk, (0, 0))], body)]


def _part(view: View, axis: int, start: int, step: int, count: int) -> View:
    """The elements start + i * step, i < count, along an axis."""
    stride = view.strides[axis]
    shape = (*view.shape[:axis], count, *view.shape[axis + 1 :])
    strides = (*view.strides[:axis], 0 if count == 1 else stride * step, *view.strides[axis + 1 :])
    return replace(view, offset=view.offset + start * stride, shape=shape, strides=strides)


# -- joining ---------------------------------------------------------------------------------------------------------


def _joined(op: Concatenate, out: View, inputs: Sequence[View]) -> list[Kernel]:
    """Where an axis lies outside the one along which they are joined, one kernel for all; else one after the other."""
    moves, start = [], 0
    for x in inputs:
        moves.append(Move(_part(out, op.axis, start, 1, x.shape[op.axis]), x))
        start += x.shape[op.axis]
    slower = [axis for axis, stride in enumerate(out.strides) if abs(stride) > abs(out.strides[op.axis])]
    if math.prod(out.shape[axis] for axis in slower) > 1:
        return _together(op.name, moves, slower)
    return [kernel for move in moves for kernel in copied(op.name, move.out, move.x)]


# -- edges -----------------------------------------------------------------------------------------------------------


def _untouched(op: PadEdges | FoldEdges) -> list[int]:
    return [axis for axis, pair in enumerate(op.pairs) if pair == (0, 0)]


def _segments(op: PadEdges | FoldEdges, padded: View, inside: View) -> list[tuple[View, View]]:
    """Parts of the padded array, with the parts of the one inside that they copy: the inside itself first."""
    found = []
    axes = zip(op.pairs, inside.shape, strict=True)
    for combination in itertools.product(*(_along(op.mode, pair, size) for pair, size in axes)):
        outer, inner = padded, inside
        for axis, (start, count, first, step) in enumerate(combination):
            outer, inner = _part(outer, axis, start, 1, count), _part(inner, axis, first, step, count)
        found.append((outer, inner))
    return found


def _along(mode: str, pair: tuple[int, int], size: int) -> list[Segment]:
    (before, after), end = pair, pair[0] + size
    if mode == "circular":
        edges = [(0, before, size - before, 1), (end, after, 0, 1)]
    elif mode == "replicate":
        edges = [(0, before, 0, 0), (end, after, size - 1, 0)]
    else:
        edges = [(0, before, before, -1), (end, after, size - 2, -1)]
    return [(before, size, 0, 1), *(edge for edge in edges if edge[1])]


# -- diagonals -------------------------------------------------------------------------------------------------------


def _diagonal(op: DiagonalEmbed, out: View, x: View) -> list[Kernel]:
    """Zeros everywhere, then x over its diagonal."""
    zeros = pointwise(op.name, [out], [], lambda values: [Const(0, out.dtype, values[0].width)]) or []
    kept = [axis for axis in range(len(out.shape)) if axis not in (op.axis1, op.axis2)]
    along = out.strides[op.axis1] + out.strides[op.axis2]
    strides = (*(out.strides[axis] for axis in kept), along)
    return [*zeros, *Move(replace(out, shape=x.shape, strides=strides), x).kernels(op.name)]
