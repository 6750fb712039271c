"""Reductions of much to few numbers, in two steps: blocks of the rows by themselves, then what they gave.

A few rows alone would be few chunks, and where what is kept is fastest in memory each would touch every cache line.
The blocks follow from shapes and strides only, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphnet.backend.native.elementwise import GRAIN
from graphnet.backend.native.loops import ELEMENTS, Kernel, Statement, Value
from graphnet.backend.native.rows import Element, Elements, Fold, Row, row_kernels
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View, merged_axes

_MOST_BLOCKS = 64
_LEAST_ROWS = 8  # of a block, so that the blocks' results are little beside what was read
_ENOUGH_CHUNKS = 16
_WIDE = 8  # machine vectors of neighbouring rows at once
_STREAM = 65_536  # elements: of more than these, one column after the other would not stay in the cache


Numbers: TypeAlias = "tuple[list[Statement], list[Value]]"  # of one row, and the statements that they need
Body: TypeAlias = "Callable[[Row], Numbers]"


@dataclass(frozen=True)
class Blocks:
    """Numbers of each row, by `whole`, the row's axes being `reduced`; of large rows by `part` for each block of one,
    and `again` for the blocks' numbers, which come as views of their own.

    views: all of one shape; the first is read in full, the last `results` are written, with stride 0 along the reduced
    axes. parts: how many numbers a block has.
    """

    name: str
    views: tuple[View, ...]
    reduced: tuple[int, ...]
    results: int
    parts: int
    whole: Body
    part: Body
    again: Body

    def kernels(self, scratch: Scratch) -> list[Kernel]:
        """Loops that fill the results, in blocks where that is better."""
        views, kept = _merged(self.views, self.reduced)
        reduced = tuple(range(kept, len(views[0].shape)))
        cut = _cut(views, kept)
        if cut is None:
            return self._rows(views, reduced, self.results, self.whole)
        axis, count, size = cut
        shape = views[0].shape
        rest = shape[axis] - count * size
        outs, operands = views[-self.results :], views[: -self.results]
        of_blocks = (count + bool(rest), *shape[:kept])
        partial = [scratch.array(outs[0].dtype, of_blocks) for _ in range(self.parts)]
        inside = tuple(one + 1 for one in reduced)
        found = self._rows(_block(operands, partial, axis, 0, count, size), inside, self.parts, self.part)
        if rest:
            last = [_from(view, count) for view in partial]
            found += self._rows(_block(operands, last, axis, count * size, 1, rest), inside, self.parts, self.part)
        results = [replace(out, shape=of_blocks, strides=(0, *out.strides[:kept])) for out in outs]
        return found + self._rows([*partial, *results], (0,), self.results, self.again)

    def _rows(self, views: Sequence[View], reduced: Sequence[int], outs: int, body: Body) -> list[Kernel]:
        """Loops that take every row in one go."""
        first = len(views) - outs

        def statements(row: Row) -> list[Statement]:
            made, numbers = body(row)
            return [*made, *(row.store(first + place, number) for place, number in enumerate(numbers))]

        return row_kernels(self.name, views, reduced, statements, vectors=max(1, _WIDE // outs), rows=1)


@dataclass(frozen=True)
class Folding:
    """Folds over `reduced` axes of views that all have one shape: the first is read in full, the last are the results,
    with stride 0 along the reduced axes."""

    name: str
    views: tuple[View, ...]
    reduced: tuple[int, ...]
    fold: Fold
    element: Element | Elements  # of the views' values; a list where there are several results
    finish: Callable[[Value], Value] = lambda value: value
    results: int = 1

    def kernels(self, scratch: Scratch) -> list[Kernel]:
        """Loops that fill the results, in blocks where that is better."""
        dtype, count = self.views[-1].dtype, self.results

        def part(row: Row) -> Numbers:
            return row.folds(self.fold, self._elements, count, dtype)

        def finished(numbers: Numbers) -> Numbers:
            return numbers[0], [self.finish(number) for number in numbers[1]]

        def again(row: Row) -> Numbers:
            return finished(row.folds(self.fold, lambda values: list(values[:count]), count, dtype))

        blocks = Blocks(self.name, self.views, self.reduced, count, count, lambda row: finished(part(row)), part, again)
        return blocks.kernels(scratch)

    def _elements(self, values: Sequence[Value]) -> list[Value]:
        found = self.element(values)
        return found if isinstance(found, list) else [found]


def _merged(views: Sequence[View], reduced: Iterable[int]) -> tuple[list[View], int]:
    """The same with as few axes as can be, the kept ones first, and how many these are."""
    inside = set(reduced)
    axes = merged_axes(views, [axis for axis in range(len(views[0].shape)) if axis not in inside])
    kept = len(axes)
    axes += merged_axes(views, inside)
    shape = tuple(size for size, _ in axes)
    found = [
        replace(view, shape=shape, strides=tuple(strides[n] for _, strides in axes)) for n, view in enumerate(views)
    ]
    return found, kept


def _block(
    operands: Sequence[View], partial: Sequence[View], axis: int, first: int, count: int, size: int
) -> list[View]:
    """Elements `first` on of a reduced axis as `count` blocks of `size`, each of which gives one of each `partial`."""
    shape = list(operands[0].shape)
    shape[axis] = size
    views = []
    for view in operands:
        stride = view.strides[axis]
        offset, strides = view.offset + first * stride, (stride * size, *view.strides)
        views.append(replace(view, offset=offset, shape=(count, *shape), strides=strides))
    for view in partial:
        more = [0] * (1 + len(shape) - len(view.shape))
        views.append(replace(view, shape=(count, *shape), strides=(*view.strides, *more)))
    return views


def _from(view: View, first: int) -> View:
    return replace(view, offset=view.offset + first * view.strides[0])


def is_cut(views: Sequence[View], reduced: Iterable[int]) -> bool:
    """Whether a fold over these axes goes in blocks."""
    merged, kept = _merged(views, reduced)
    return _cut(merged, kept) is not None


def _cut(views: Sequence[View], kept: int) -> tuple[int, int, int] | None:
    """(reduced axis, blocks, size of a block) for views whose first `kept` axes are kept; None where rows are as well
    taken whole."""
    x = views[0]
    total = math.prod(x.shape)
    inner = x.shape[kept:]
    if total < 4 * GRAIN or not inner:
        return None
    lanes = target().lanes(max(ELEMENTS[view.dtype] for view in views))
    along = x.strides[-1] == 1 and 2 * inner[-1] > lanes
    columns = 1 if along or not kept or x.strides[kept - 1] != 1 else x.shape[kept - 1]
    rows = math.prod(x.shape[:kept]) // columns
    streams = columns <= _WIDE * lanes or total // rows <= _STREAM
    if rows >= _ENOUGH_CHUNKS and streams:
        return None
    axis = kept if inner[0] >= _ENOUGH_CHUNKS else kept + max(range(len(inner)), key=lambda n: inner[n])
    contiguous = x.strides[axis] == 1
    least = 4 * lanes * _LEAST_ROWS if contiguous else _LEAST_ROWS
    most = min(_MOST_BLOCKS, total // rows // GRAIN, x.shape[axis] // least)
    if most < 2:
        return None
    count = next((n for n in range(most, most // 2, -1) if x.shape[axis] % n == 0), most)
    size = x.shape[axis] // count
    if contiguous and size * count != x.shape[axis]:
        size = size // lanes * lanes
    return axis, x.shape[axis] // size, size
