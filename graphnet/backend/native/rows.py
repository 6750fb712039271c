"""Loops over rows: sums, maxima and what is built of them, such as softmax. A row is what is reduced to one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphnet.backend.native.elementwise import GRAIN, divided
from graphnet.backend.native.jamming import jammed
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
from graphnet.backend.native.target import target
from graphnet.backend.native.views import View, merged_axes

Element: TypeAlias = "Callable[[Sequence[Value]], Value]"
Elements: TypeAlias = "Callable[[Sequence[Value]], list[Value]]"
Strides: TypeAlias = "tuple[int, ...]"  # one a view
Loops: TypeAlias = "tuple[tuple[Var, Strides], ...]"
_AT_ONCE = 8  # vectors reduced side by side where lanes are rows, half as many along a row
_SHORT = 64  # vectors: longer rows fill the time until their sums are there by themselves
_CHUNKS = 16  # as many chunks are enough for the threads of most machines
_BLOCK = 128  # additions into one sum, before that is added to a sum of sums: what keeps long sums exact


@dataclass(frozen=True)
class Fold:
    """How elements become one: `name` is the operation, `first` what it begins with, for integers `integer`."""

    name: str
    first: float
    integer: int

    def start(self, dtype: str, width: int) -> Const:
        """What the operation leaves any element of `dtype` as it is with."""
        bits = 8 * ELEMENTS[dtype]
        low, high = (0, 2**bits - 1) if dtype[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        first = self.first if dtype[0] == "f" else min(max(self.integer, low), high)
        return Const(first, dtype, width)


_HUGE = 2**64
SUM, PRODUCT = Fold("add", 0.0, 0), Fold("mul", 1.0, 1)
LARGEST, LEAST = Fold("max", -math.inf, -_HUGE), Fold("min", math.inf, _HUGE)
LARGEST_NUMBER = Fold("larger", -math.inf, -_HUGE)  # of floats, NaN left aside; takes a third of the instructions


@dataclass(frozen=True)
class Row:
    """One row; or as many neighbouring rows as a vector has lanes, where `lane` says the strides from one to the next.

    views: all of one shape, with stride 0 along reduced axes where they hold one number a row. outer: the loops around
    the row. inner: size and strides of the axes within it. active: lanes that count, where not all do. vectors: machine
    vectors that one of these lanes' values takes. rows: how many of them, one behind the other, are done side by side.
    """

    views: tuple[View, ...]
    outer: Loops
    inner: tuple[tuple[int, Strides], ...]
    lanes: int
    lane: Strides | None = None
    offset: Strides = ()
    active: int | None = None
    vectors: int = 1
    rows: int = 1

    @property
    def size(self) -> int:
        """Elements of the row."""
        return math.prod(size for size, _ in self.inner)

    # -- reducing ----------------------------------------------------------------------------------------------------

    def fold(self, fold: Fold, element: Element, dtype: str) -> tuple[list[Statement], Value]:
        """Statements that reduce element(the views' values) over the row, and the result: one number, or one a lane."""
        statements, (result,) = self.folds(fold, lambda values: [element(values)], 1, dtype)
        return statements, result

    def kept_fold(self, fold: Fold, element: Element, dtype: str, out: int) -> tuple[list[Statement], Value]:
        """The same, where each element(the views' values) is stored to view number `out` as well."""
        statements, (result,) = self.folds(fold, lambda values: [element(values)], 1, dtype, out)
        return statements, result

    def folds(
        self, fold: Fold, elements: Elements, count: int, dtype: str, out: int | None = None
    ) -> tuple[list[Statement], list[Value]]:
        """The same of `count` values of each element, all in one walk; the first is stored to view `out` if given."""
        width = self.lanes
        vectors, left = self._cut()
        totals = [Register(f"total{n}", dtype, width) for n in range(count)]
        slower = self._slower()
        body: list[Statement] = []
        at_once = max(1, self._at_once // count)
        for first, size, blocks in _blocks(vectors, at_once):
            body += self._block(fold, elements, totals, slower, (first, size, blocks, at_once), out)
        if left:
            neutral = fold.start(dtype, width)
            inside = Apply("lt", (Position(Affine(), width, 1), Const(left, "i64", width)), BOOLEAN)
            values = elements(self._loads(slower, vectors * width, width, left))
            body += self._kept(values, out, slower, vectors * width, left)
            for total, value in zip(totals, values, strict=True):
                counted = Apply("select", (inside, _lanes_unknown(value), neutral))
                body.append(Set(total, Apply(fold.name, (total, counted))))
        start: list[Statement] = [Set(total, fold.start(dtype, width)) for total in totals]
        results: list[Value] = [Register(f"result{n}", dtype, 1 if self.lane is None else width) for n in range(count)]
        across = self.lane is None and width > 1
        found = [Apply(f"across_{fold.name}", (total,)) if across else total for total in totals]
        end = [Set(result, value) for result, value in zip(results, found, strict=True) if isinstance(result, Register)]
        return [*start, *_nested(slower, body), *end], results

    def _block(
        self,
        fold: Fold,
        elements: Elements,
        totals: Sequence[Register],
        slower: Loops,
        cut: tuple[int, int, int, int],
        out: int | None,
    ) -> list[Statement]:
        """From vector `first` of the innermost axis on `blocks` times `count` vectors, `at_once` of them side by side,
        each time reduced by themselves, then into `totals`."""
        first, count, blocks, at_once = cut
        together = at_once if count % at_once == 0 else 1
        step = self.lanes if self.lane is None else 1
        dtype, width = totals[0].dtype, totals[0].width
        parts = [[Register(f"part{n}_{u}", dtype, width) for n in range(len(totals))] for u in range(together)]
        around = (Var("block", blocks), tuple(stride * step * count for stride in self._strides))
        loop = (Var("v", count // together), tuple(stride * step * together for stride in self._strides))
        loops = (*slower, around, loop)
        body: list[Statement] = []
        for u, sums in enumerate(parts):
            values = elements(self._loads(loops, (first + u) * step, self.lanes))
            body += self._kept(values, out, loops, (first + u) * step)
            body += [Set(part, Apply(fold.name, (part, value))) for part, value in zip(sums, values, strict=True)]
        block: list[Statement] = [Set(part, fold.start(dtype, width)) for sums in parts for part in sums]
        block.append(For(loop[0], tuple(body)))
        for n, total in enumerate(totals):
            joined: Value = parts[0][n]
            for sums in parts[1:]:
                joined = Apply(fold.name, (joined, sums[n]))
            block.append(Set(total, Apply(fold.name, (total, joined))))
        return _nested([around], block)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _kept(
        self, values: list[Value], out: int | None, around: Loops, at: int, active: int | None = None
    ) -> list[Statement]:
        """Statements that store the first of `values` to view `out`, if given, and stand for it from then on."""
        if out is None:
            return []
        kept = Register("kept", values[0].dtype, values[0].width)
        statements = [Set(kept, values[0]), self._store(out, around, at, kept, active)]
        values[0] = kept
        return statements

    def each(self, out: int, element: Element) -> list[Statement]:
        """Statements that store element(the views' values) to view number `out`, all along the row."""
        vectors, left = self._cut()
        slower = self._slower()
        body: list[Statement] = []
        step = self.lanes if self.lane is None else 1
        if vectors:
            loop = (Var("v", vectors), tuple(stride * step for stride in self._strides))
            value = element(self._loads((*slower, loop), 0, self.lanes))
            body.append(For(loop[0], (self._store(out, (*slower, loop), 0, value),)))
        if left:
            at = vectors * self.lanes
            value = element(self._loads(slower, at, self.lanes, left))
            body.append(self._store(out, slower, at, value, left))
        return _nested(slower, body)

    def scan(self, out: int, running: Register, step: Element) -> list[Statement]:
        """Statements that set `running` to step(the views' values) all along the row, and store it to view `out`."""
        loop = (Var("v", self.inner[-1][0]), self._strides)
        loops = (*self._slower(), loop)
        body = [Set(running, step(self._loads(loops, 0, self.lanes))), self._store(out, loops, 0, running)]
        return _nested(loops, body)

    def number(self, view: int, width: int) -> Value:
        """The row's number (or the rows' numbers) in a view that has stride 0 along the row."""
        index = self._index(view, (), 0)
        if width > 1 and self.lane is not None and self.lane[view] == 0:
            return Splat(Load(self.views[view].buffer, index), width)
        return Load(self.views[view].buffer, index, width, self._active(width))

    def store(self, out: int, value: Value) -> Statement:
        """The row's one number (or numbers) to view number `out`."""
        return self._store(out, (), 0, value)

    def _store(self, out: int, around: Loops, at: int, value: Value, active: int | None = None) -> Statement:
        if self.views[out].is_bool:
            value = Apply("cast", (value,), "u8")
        return Store(self.views[out].buffer, self._index(out, around, at), value, active or self._active(value.width))

    # -- where things are --------------------------------------------------------------------------------------------

    @property
    def _strides(self) -> Strides:
        return self.inner[-1][1]

    @property
    def _at_once(self) -> int:
        """Elements (or vectors of them) reduced side by side, so that an addition need not wait for the one before."""
        return max(1, _AT_ONCE // self.vectors if self.lane is not None else _AT_ONCE // 2 // self.rows)

    def _cut(self) -> tuple[int, int]:
        """Steps along the innermost axis, and elements that are left over."""
        size = self.inner[-1][0]
        return divmod(size, self.lanes) if self.lane is None else (size, 0)

    def _slower(self) -> Loops:
        return tuple((Var(f"r{n}", size), strides) for n, (size, strides) in enumerate(self.inner[:-1]))

    def _loads(self, around: Loops, at: int, width: int, active: int | None = None) -> list[Value]:
        """The value of each view, `at` elements further along the innermost axis, where `active` are left if given."""
        lanes = self._strides if self.lane is None else self.lane
        found: list[Value] = []
        for number, view in enumerate(self.views):
            index = self._index(number, around, at)
            if width > 1 and lanes[number] == 0:
                value: Value = Splat(Load(view.buffer, index), width)
            else:
                value = Load(view.buffer, index, width, active or self._active(width))
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
    name: str,
    views: Sequence[View],
    reduced: Iterable[int],
    make: Callable[[Row], list[Statement]],
    *,
    vectors: int = 1,
    rows: int = 4,
    in_turn: bool = False,
) -> list[Kernel]:
    """The kernels that run `make`'s statements for every row of `views`, whose first is read (or written) in full.

    vectors: where lanes are rows, how many machine vectors of them `make` should get at once; more keep more of memory
    busy as long as there are registers for them. rows: where lanes go along a short row, how many rows are done side
    by side if they can be, so that work need not wait for a row's sum. in_turn: a row's elements come one after the
    other, in their order.
    """
    inside = set(reduced)
    kept = merged_axes(views, [axis for axis in range(len(views[0].shape)) if axis not in inside])
    inner = tuple(merged_axes(views, inside)) or ((1, (0,) * len(views)),)
    lanes = target().lanes(max(ELEMENTS[view.dtype] for view in views), kept[-1][0] if kept else None)
    size, strides = inner[-1]
    if strides[0] == 1 and _are_vectors(strides) and not in_turn:
        # What a row has one of, such as a label, takes no lanes.
        widest = max(ELEMENTS[view.dtype] for view, stride in zip(views, strides, strict=True) if stride)
        along = target().lanes(widest, size)
        if 2 * size > along > 1:
            return _kernels(name, views, kept, inner, [_Lanes(along, 1, 1)], make, rows)
    if kept and kept[-1][1][0] == 1 and _are_vectors(kept[-1][1]) and lanes > 1:
        return _kernels(name, views, kept[:-1], inner, _columns(*kept[-1], lanes, vectors), make)
    return _kernels(name, views, kept, inner, [_Lanes(1, 1, 1)], make)


@dataclass(frozen=True)
class _Lanes:
    """Values of `lanes` elements, each `vectors` machine vectors, of a row; or where `lane` is given of `times` groups
    of neighbouring rows from row `first` on, of which `active` count if not all do."""

    lanes: int
    vectors: int
    times: int
    first: int = 0
    lane: Strides | None = None
    active: int | None = None


def _columns(count: int, lane: Strides, lanes: int, vectors: int) -> list[_Lanes]:
    """`count` neighbouring rows in groups as wide as can be, of whole vectors but for the last."""
    found, first = [], 0
    while vectors and first < count:
        times = (count - first) // (lanes * vectors)
        if times:
            found.append(_Lanes(lanes * vectors, vectors, times, first, lane))
            first += times * lanes * vectors
        vectors //= 2
    return [*found, _Lanes(lanes, 1, 1, first, lane, count - first)] if first < count else found


def _kernels(
    name: str,
    views: Sequence[View],
    kept: Sequence[tuple[int, Strides]],
    inner: Sequence[tuple[int, Strides]],
    groups: Sequence[_Lanes],
    make: Callable[[Row], list[Statement]],
    rows: int = 1,
) -> list[Kernel]:
    """One kernel for all groups, its chunks along an axis of `kept`; or where the groups are what most there is of,
    chunks of groups."""
    buffers = tuple(dict.fromkeys(view.buffer for view in views))
    below = math.prod(size for size, _ in inner)
    most = max(groups, key=lambda group: group.times)
    widest = max((size for size, _ in kept), default=1)
    by_group = most.times > widest and below * most.times * most.lanes * math.prod(n for n, _ in kept) > 2 * GRAIN
    apart = [group for group in groups if by_group and group.times > 1]
    together = [group for group in groups if group not in apart]
    found = []
    for group in apart:
        along = tuple(stride * group.lanes for stride in group.lane or ())
        outer = _outer([(group.times, along), *kept], len(views), below * group.lanes, 0)
        body = make(_row(views, inner, group, outer))
        found.append(Kernel(name, buffers, outer[0][0], tuple(_nested(outer[1:], body))))
    if together:
        outer = _outer(kept, len(views), below * sum(group.lanes * group.times for group in together))
        body = []
        for group in together:
            along = tuple(stride * group.lanes for stride in group.lane or (0,) * len(views))
            loop = (Var("group", group.times), along)
            if group.lane is None:
                body += _along(outer[1:], _row(views, inner, group, outer), make, rows)
            else:
                body += _nested([*outer[1:], loop], make(_row(views, inner, group, (*outer, loop))))
        found.append(Kernel(name, buffers, outer[0][0], tuple(body)))
    return found


def _along(loops: Loops, row: Row, make: Callable[[Row], list[Statement]], rows: int) -> list[Statement]:
    """The loops over rows whose lanes go along them, up to `rows` of the innermost loop's side by side."""
    counted = [loop for loop in loops if loop[0].extent > 1]
    if not counted or row.size > _SHORT * row.lanes:
        return _nested(loops, make(row))
    *outer, (var, _) = counted
    together = next(n for n in range(rows, 0, -1) if var.extent % n == 0)
    return _nested(outer, [jammed(For(var, tuple(make(replace(row, rows=together)))), together)])


def _row(views: Sequence[View], inner: Sequence[tuple[int, Strides]], group: _Lanes, outer: Loops) -> Row:
    offset = tuple(stride * group.first for stride in group.lane or (0,) * len(views))
    return Row(tuple(views), outer, tuple(inner), group.lanes, group.lane, offset, group.active, group.vectors)


def _are_vectors(strides: Strides) -> bool:
    return all(stride in (0, 1) for stride in strides)


def _lanes_unknown(value: Value) -> Value:
    """The value, of which LLVM does not know which lanes are 0.

    LLVM 22 takes 0 / 0 for 0 there, and leaves a choice of 0 out: then it is NaN that is added.
    """
    return Apply("fence", (value,)) if value.dtype[0] == "f" else value


def _outer(kept: Sequence[tuple[int, Strides]], views: int, below: int, chunked: int | None = None) -> Loops:
    """The loops over rows of `below` elements, the chunk's first: the slowest axis, or the longest where that is short;
    or number `chunked`."""
    if not kept:
        return ((Var("chunk", 1), (0,) * views),)
    if chunked is None:
        chunked = 0 if kept[0][0] >= _CHUNKS else max(range(len(kept)), key=lambda n: kept[n][0])
    others = [axis for n, axis in enumerate(kept) if n != chunked]
    size, strides = kept[chunked]
    loops = [(Var(f"k{n}", count), along) for n, (count, along) in enumerate(others)]
    return (*divided(size, strides, below * math.prod(count for count, _ in others)), *loops)


def _nested(loops: Sequence[tuple[Var, Strides]], body: list[Statement]) -> list[Statement]:
    for var, _ in reversed(loops):
        body = [For(var, tuple(body))]
    return body


def _blocks(vectors: int, at_once: int) -> list[tuple[int, int, int]]:
    """(first, count, times): blocks of _BLOCK groups of `at_once` vectors, what is left in groups, then single ones."""
    whole, left = divmod(vectors, _BLOCK * at_once)
    grouped = left // at_once * at_once
    first = vectors - left
    found = [(0, _BLOCK * at_once, whole), (first, grouped, 1), (first + grouped, left - grouped, 1)]
    return [(first, count, times) for first, count, times in found if count and times]
