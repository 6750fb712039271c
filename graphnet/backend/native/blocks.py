"""Reductions of much to few numbers, in two steps: blocks of the rows by themselves, then what they gave.

A few rows alone would be few chunks, and where what is kept is fastest in memory each would touch every cache line.
The blocks follow from shapes and strides only, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from graphnet.backend.native.elementwise import GRAIN
from graphnet.backend.native.loops import ELEMENTS, Kernel, Statement, Value
from graphnet.backend.native.rows import Element, Fold, Row, row_kernels
from graphnet.backend.native.views import VECTOR, Scratch, View, merged_axes

_MOST_BLOCKS = 64
_LEAST_ROWS = 8  # of a block, so that the blocks' results are little beside what was read
_ENOUGH_CHUNKS = 16
_WIDE = 8  # machine vectors of neighbouring rows at once
_STREAM = 65_536  # elements: of more than these, one column after the other would not stay in the cache


@dataclass(frozen=True)
class Folding:
    """A fold over `reduced` axes of views that all have one shape: the first is read in full, the last is the result,
    with stride 0 along the reduced axes."""

    name: str
    views: tuple[View, ...]
    reduced: tuple[int, ...]
    fold: Fold
    element: Element  # of the views' values
    finish: Callable[[Value], Value] = lambda value: value

    @property
    def out(self) -> View:
        return self.views[-1]

    def kernels(self, scratch: Scratch) -> list[Kernel]:
        """Loops that fill the result, in blocks where that is better."""
        merged, kept = self._merged()
        cut = _cut(merged.views, kept)
        if cut is None:
            return merged.whole()
        axis, count, size = cut
        shape = merged.views[0].shape
        rest = shape[axis] - count * size
        partial = scratch.array(self.out.dtype, (count + bool(rest), *shape[:kept]))
        found = merged._block(axis, 0, count, size, partial).whole()
        if rest:
            found += merged._block(axis, count * size, 1, rest, _from(partial, count)).whole()
        result = replace(self.out, shape=partial.shape, strides=(0, *merged.out.strides[:kept]))
        again = Folding(self.name, (partial, result), (0,), self.fold, lambda values: values[0], self.finish)
        return found + again.whole()

    def whole(self) -> list[Kernel]:
        """Loops that take every row in one go."""
        out = len(self.views) - 1

        def body(row: Row) -> list[Statement]:
            statements, total = row.fold(self.fold, self.element, self.out.dtype)
            return [*statements, row.store(out, self.finish(total))]

        return row_kernels(self.name, self.views, self.reduced, body, vectors=_WIDE)

    def _merged(self) -> tuple[Folding, int]:
        """The same with as few axes as can be, the kept ones first, and how many these are."""
        inside = set(self.reduced)
        axes = merged_axes(self.views, [axis for axis in range(len(self.out.shape)) if axis not in inside])
        kept = len(axes)
        axes += merged_axes(self.views, inside)
        shape = tuple(size for size, _ in axes)
        views = tuple(
            replace(view, shape=shape, strides=tuple(strides[n] for _, strides in axes))
            for n, view in enumerate(self.views)
        )
        return replace(self, views=views, reduced=tuple(range(kept, len(axes)))), kept

    def _block(self, axis: int, first: int, count: int, size: int, partial: View) -> Folding:
        """Elements `first` on of a reduced axis as `count` blocks of `size`, each of which gives one of `partial`."""
        shape = list(self.out.shape)
        shape[axis] = size
        views = []
        for view in self.views[:-1]:
            stride = view.strides[axis]
            offset, strides = view.offset + first * stride, (stride * size, *view.strides)
            views.append(replace(view, offset=offset, shape=(count, *shape), strides=strides))
        strides = (*partial.strides, *[0] * len(self.reduced))
        views.append(replace(partial, shape=(count, *shape), strides=strides))
        reduced = tuple(one + 1 for one in self.reduced)
        return Folding(self.name, tuple(views), reduced, self.fold, self.element)


def _from(view: View, first: int) -> View:
    return replace(view, offset=view.offset + first * view.strides[0])


def is_cut(views: Sequence[View], reduced: Iterable[int]) -> bool:
    """Whether a fold over these axes goes in blocks."""
    merged, kept = Folding("", tuple(views), tuple(reduced), None, None)._merged()  # type: ignore[arg-type]
    return _cut(merged.views, kept) is not None


def _cut(views: Sequence[View], kept: int) -> tuple[int, int, int] | None:
    """(reduced axis, blocks, size of a block) for views whose first `kept` axes are kept; None where rows are as well
    taken whole."""
    x = views[0]
    total = math.prod(x.shape)
    inner = x.shape[kept:]
    if total < 4 * GRAIN or not inner:
        return None
    lanes = VECTOR // max(ELEMENTS[view.dtype] for view in views)
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
