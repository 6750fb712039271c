"""Loops over rows: sums, maxima and what is built of them, such as softmax. A row is what is reduced to one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from graphnet.backend.native.elementwise import VECTOR, divided
from graphnet.backend.native.loops import (
    BOOLEAN,
    ELEMENTS,
    Affine,
    Apply,
    Const,
    For,
    Kernel,
    Load,
    Position,
    Register,
    Set,
    Splat,
    Statement,
    Store,
    Value,
    Var,
    affine,
)
from graphnet.backend.native.views import View, merged_axes

Element: TypeAlias = "Callable[[Sequence[Value]], Value]"
Strides: TypeAlias = "tuple[int, ...]"  # one a view
Loops: TypeAlias = "tuple[tuple[Var, Strides], ...]"
_AT_ONCE = 4  # vectors reduced side by side, so that an addition need not wait for the one before it
_BLOCK = 128  # additions into one sum, before that is added to a sum of sums: what keeps long sums exact


@dataclass(frozen=True)
class Fold:
    """How elements become one: `name` is the operation, `first` what it begins with."""

    name: str
    first: float


SUM, LARGEST, LEAST = Fold("add", 0.0), Fold("max", -math.inf), Fold("min", math.inf)


@dataclass(frozen=True)
class Row:
    """One row; or as many neighbouring rows as a vector has lanes, where `lane` says the strides from one to the next.

    views: all of one shape, with stride 0 along reduced axes where they hold one number a row. outer: the loops around
    the row. inner: size and strides of the axes within it. active: lanes that count, where not all do.
    """

    views: tuple[View, ...]
    outer: Loops
    inner: tuple[tuple[int, Strides], ...]
    lanes: int
    lane: Strides | None = None
    offset: Strides = ()
    active: int | None = None

    # -- reducing ----------------------------------------------------------------------------------------------------

    def fold(self, fold: Fold, element: Element, dtype: str) -> tuple[list[Statement], Value]:
        """Statements that reduce element(the views' values) over the row, and the result: one number, or one a lane."""
        width = self.lanes
        vectors, left = self._cut()
        total, rest = Register("total", dtype, width), Register("rest", dtype)
        slower = self._slower()
        body: list[Statement] = []
        for first, count, blocks in _blocks(vectors):
            body += self._block(fold, element, total, slower, first, count, blocks)
        found: Value = Apply(f"across_{fold.name}", (total,)) if self.lane is None and width > 1 else total
        start: list[Statement] = [Set(total, Const(fold.first, dtype, width))]
        if left:
            tail = Var("t", left)
            value = element(self._loads((*slower, (tail, self._strides)), vectors * width, 1))
            body.append(For(tail, (Set(rest, Apply(fold.name, (rest, value))),)))
            start.append(Set(rest, Const(fold.first, dtype)))
            found = Apply(fold.name, (found, rest))
        result = Register("result", dtype, 1 if self.lane is None else width)
        return [*start, *_nested(slower, body), Set(result, found)], result

    def _block(
        self, fold: Fold, element: Element, total: Register, slower: Loops, first: int, count: int, blocks: int
    ) -> list[Statement]:
        """From vector `first` of the innermost axis on `blocks` times `count` vectors, each time reduced by themselves,
        then into `total`."""
        together = _AT_ONCE if count % _AT_ONCE == 0 else 1
        step = self.lanes if self.lane is None else 1
        parts = [Register(f"part{u}", total.dtype, total.width) for u in range(together)]
        around = (Var("block", blocks), tuple(stride * step * count for stride in self._strides))
        loop = (Var("v", count // together), tuple(stride * step * together for stride in self._strides))
        loops = (*slower, around, loop)
        body = [
            Set(part, Apply(fold.name, (part, element(self._loads(loops, (first + u) * step, self.lanes)))))
            for u, part in enumerate(parts)
        ]
        joined: Value = parts[0]
        for part in parts[1:]:
            joined = Apply(fold.name, (joined, part))
        start = [Set(part, Const(fold.first, total.dtype, total.width)) for part in parts]
        block: list[Statement] = [*start, For(loop[0], tuple(body)), Set(total, Apply(fold.name, (total, joined)))]
        return _nested([around], block)

    # -- writing -----------------------------------------------------------------------------------------------------

    def each(self, out: int, element: Element) -> list[Statement]:
        """Statements that store element(the views' values) to view number `out`, all along the row."""
        vectors, left = self._cut()
        slower = self._slower()
        body: list[Statement] = []
        for name, count, at, width in (("v", vectors, 0, self.lanes), ("t", left, vectors * self.lanes, 1)):
            if count:
                step = width if self.lane is None else 1
                loop = (Var(name, count), tuple(stride * step for stride in self._strides))
                value = element(self._loads((*slower, loop), at, width))
                body.append(For(loop[0], (self._store(out, (*slower, loop), at, value),)))
        return _nested(slower, body)

    def number(self, view: int, width: int) -> Value:
        """The row's number (or the rows' numbers) in a view that has stride 0 along the row."""
        index = self._index(view, (), 0)
        if width > 1 and self.lane is not None and self.lane[view] == 0:
            return Splat(Load(self.views[view].buffer, index), width)
        return Load(self.views[view].buffer, index, width, self._active(width))

    def store(self, out: int, value: Value) -> Statement:
        """The row's one number (or numbers) to view number `out`."""
        return self._store(out, (), 0, value)

    def _store(self, out: int, around: Loops, at: int, value: Value) -> Statement:
        if self.views[out].is_bool:
            value = Apply("cast", (value,), "u8")
        return Store(self.views[out].buffer, self._index(out, around, at), value, self._active(value.width))

    # -- where things are --------------------------------------------------------------------------------------------

    @property
    def _strides(self) -> Strides:
        return self.inner[-1][1]

    def _cut(self) -> tuple[int, int]:
        """Steps along the innermost axis, and elements that are left over."""
        size = self.inner[-1][0]
        return divmod(size, self.lanes) if self.lane is None else (size, 0)

    def _slower(self) -> Loops:
        return tuple((Var(f"r{n}", size), strides) for n, (size, strides) in enumerate(self.inner[:-1]))

    def _loads(self, around: Loops, at: int, width: int) -> list[Value]:
        """The value of each view, `at` elements further along the innermost axis."""
        lanes = self._strides if self.lane is None else self.lane
        found: list[Value] = []
        for number, view in enumerate(self.views):
            index = self._index(number, around, at)
            if width > 1 and lanes[number] == 0:
                value: Value = Splat(Load(view.buffer, index), width)
            else:
                value = Load(view.buffer, index, width, self._active(width))
            found.append(Apply("ne", (value, Const(0, "u8", width)), BOOLEAN) if view.is_bool else value)
        return [*found, self._position(around, at, width)]

    def _position(self, around: Loops, at: int, width: int) -> Value:
        """Which element of its row it is, counted along the innermost axis: behind the views' values."""
        terms = {
            var: strides[0] // self._strides[0] for var, strides in around[len(self.inner) - 1 :] if self._strides[0]
        }
        return Position(affine(terms, at), width, 1 if self.lane is None else 0)

    def _active(self, width: int) -> int | None:
        return self.active if self.lane is not None and width > 1 else None

    def _index(self, number: int, around: Loops, at: int) -> Affine:
        terms = {var: strides[number] for var, strides in (*self.outer, *around)}
        return affine(terms, self.views[number].offset + self.offset[number] + at * self._strides[number])


def row_kernels(
    name: str, views: Sequence[View], reduced: Iterable[int], make: Callable[[Row], list[Statement]]
) -> list[Kernel]:
    """The kernels that run `make`'s statements for every row of `views`, whose first is read (or written) in full."""
    inside = set(reduced)
    kept = merged_axes(views, [axis for axis in range(len(views[0].shape)) if axis not in inside])
    inner = tuple(merged_axes(views, inside)) or ((1, (0,) * len(views)),)
    lanes = VECTOR // max(ELEMENTS[view.dtype] for view in views)
    none = (0,) * len(views)
    buffers = tuple(dict.fromkeys(view.buffer for view in views))

    def kernel(row: Row) -> Kernel:
        (chunk, _), *loops = row.outer
        body = make(row)
        return Kernel(name, buffers, chunk, tuple(_nested(loops, body)))

    size, strides = inner[-1]
    if strides[0] == 1 and size >= lanes and _are_vectors(strides):
        return [kernel(Row(tuple(views), _outer(kept, len(views), inner), inner, lanes, None, none))]
    if kept and kept[-1][1][0] == 1 and _are_vectors(kept[-1][1]):
        count, lane = kept[-1]
        vectors, left = divmod(count, lanes)
        found = []
        if vectors:
            outer = _outer([*kept[:-1], (vectors, tuple(stride * lanes for stride in lane))], len(views), inner)
            found.append(kernel(Row(tuple(views), outer, inner, lanes, lane, none)))
        if left:
            offset = tuple(stride * vectors * lanes for stride in lane)
            outer = _outer(kept[:-1], len(views), inner)
            found.append(kernel(Row(tuple(views), outer, inner, lanes, lane, offset, left)))
        return found
    return [kernel(Row(tuple(views), _outer(kept, len(views), inner), inner, 1, None, none))]


def _are_vectors(strides: Strides) -> bool:
    return all(stride in (0, 1) for stride in strides)


def _outer(kept: Sequence[tuple[int, Strides]], views: int, inner: Sequence[tuple[int, Strides]]) -> Loops:
    """The loops over rows, the chunk's first."""
    if not kept:
        return ((Var("chunk", 1), (0,) * views),)
    (size, strides), *others = kept
    below = math.prod(count for count, _ in (*others, *inner))
    loops = [(Var(f"k{n}", count), along) for n, (count, along) in enumerate(others)]
    return (*divided(size, strides, below), *loops)


def _nested(loops: Sequence[tuple[Var, Strides]], body: list[Statement]) -> list[Statement]:
    for var, _ in reversed(loops):
        body = [For(var, tuple(body))]
    return body


def _blocks(vectors: int) -> list[tuple[int, int, int]]:
    """(first, count, times): blocks of _BLOCK groups of _AT_ONCE vectors, what is left in groups, then single ones."""
    whole, left = divmod(vectors, _BLOCK * _AT_ONCE)
    grouped = left // _AT_ONCE * _AT_ONCE
    first = vectors - left
    found = [(0, _BLOCK * _AT_ONCE, whole), (first, grouped, 1), (first + grouped, left - grouped, 1)]
    return [(first, count, times) for first, count, times in found if count and times]
