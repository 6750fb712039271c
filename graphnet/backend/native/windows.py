"""Sliding windows along one axis and back again, cut into stretches in which every place sees the same positions.

What a pooling, or its gradient, does at a place of the result depends on where the window meets the image's border.
Within a stretch it does not: a stretch of rows times one of columns is pointwise work on views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import TypeAlias

from graphnet.backend.native.elementwise import pointwise
from graphnet.backend.native.loops import Apply, Const, Kernel, Value
from graphnet.backend.native.views import View

_MOST_TAPS = 2000  # loads that are written out for one step; beyond, the kernel's positions are added one by one

Seen: TypeAlias = "tuple[tuple[int, int], ...]"  # numbers of taps, and what each is divided by


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: `count` of them over `size` elements. lengths: what each one's elements are divided by.

    Window w sees the elements w * stride + i * dilation - before, for i < kernel, that there are.
    """

    size: int
    count: int
    kernel: int
    stride: int
    before: int
    dilation: int = 1
    lengths: tuple[int, ...] = ()

    def forwards(self) -> list[Stretch]:
        """The windows, and the elements that they see."""
        found = []
        for seen, places in _runs(range(self.count), self._seen):
            first = places[0]
            taps = tuple(Tap(i, first * self.stride + i * self.dilation - self.before, length) for i, length in seen)
            found.append(Stretch(first, 1, len(places), taps, self.stride))
        return found

    def backwards(self) -> list[Stretch]:
        """The elements, and the windows that see them: those of one remainder by the stride at a time."""
        found = []
        for start in range(min(self.stride, self.size)):
            places = range(start, self.size, self.stride)
            for seen, alike in _runs(places, self._seeing):
                taps = tuple(Tap(i, self._window(alike[0], i), length) for i, length in seen)
                found.append(Stretch(alike[0], self.stride, len(alike), taps, 1))
        return found

    def single(self, i: int) -> list[Stretch]:
        """The elements that windows have at position i, and the window of each."""
        found = []
        for stretch in replace(self, kernel=1, before=self.before - i * self.dilation).forwards():
            for tap in stretch.taps:
                own = (Tap(i, stretch.first, tap.length),)
                found.append(Stretch(tap.at, self.stride, stretch.count, own, 1))
        return found

    def _seen(self, window: int) -> Seen:
        start, length = window * self.stride - self.before, self._length(window)
        return tuple((i, length) for i in range(self.kernel) if 0 <= start + i * self.dilation < self.size)

    def _seeing(self, at: int) -> Seen:
        found = []
        for i in range(self.kernel):
            window, rest = divmod(at + self.before - i * self.dilation, self.stride)
            if rest == 0 and 0 <= window < self.count:
                found.append((i, self._length(window)))
        return tuple(found)

    def _window(self, at: int, i: int) -> int:
        return (at + self.before - i * self.dilation) // self.stride

    def _length(self, window: int) -> int:
        return self.lengths[window] if self.lengths else 1


@dataclass(frozen=True)
class Tap:
    """Position `number` of the kernel; the place `at` which the stretch's first place has there; what to divide by."""

    number: int
    at: int
    length: int


Tap2: TypeAlias = "tuple[Tap, Tap]"  # in a row and in a column of the kernel


@dataclass(frozen=True)
class Stretch:
    """`count` places from `first` on, `step` apart, with the same taps; a tap's place moves on by `along` at each."""

    first: int
    step: int
    count: int
    taps: tuple[Tap, ...]
    along: int


@dataclass(frozen=True)
class Region:
    """A stretch of rows times one of columns, on views whose last two axes are those."""

    rows: Stretch
    columns: Stretch

    @property
    def taps(self) -> list[Tap2]:
        return list(product(self.rows.taps, self.columns.taps))

    def own(self, view: View) -> View:
        """The region's places in a view of the result's shape."""
        first, step = (self.rows.first, self.columns.first), (self.rows.step, self.columns.step)
        return self._part(view, first, step)

    def seen(self, view: View, tap: Tap2) -> View:
        """What the places see at `tap` in a view of the operand's shape."""
        return self._part(view, (tap[0].at, tap[1].at), (self.rows.along, self.columns.along))

    def windows(self, view: View, dilation: tuple[int, int]) -> View:
        """All that the places see: (..., rows, kernel rows, columns, kernel columns). Their taps are neighbours."""
        *others, row, column = view.strides
        offset = view.offset + self.rows.taps[0].at * row + self.columns.taps[0].at * column
        shape, strides = list(view.shape[:-2]), others
        for stretch, stride, spread in ((self.rows, row, dilation[0]), (self.columns, column, dilation[1])):
            shape += [stretch.count, len(stretch.taps)]
            strides += [stride * stretch.along, stride * spread]
        return replace(view, offset=offset, shape=tuple(shape), strides=tuple(strides))

    def repeated(self, view: View) -> View:
        """`own`, the same all along the kernel's axes that `windows` puts behind rows and columns."""
        own = self.own(view)
        *shape, rows, columns = own.shape
        *strides, row, column = own.strides
        shape += [rows, len(self.rows.taps), columns, len(self.columns.taps)]
        return replace(own, shape=tuple(shape), strides=(*strides, row, 0, column, 0))

    def _part(self, view: View, first: tuple[int, int], step: tuple[int, int]) -> View:
        *others, row, column = view.strides
        offset = view.offset + first[0] * row + first[1] * column
        shape = (*view.shape[:-2], self.rows.count, self.columns.count)
        return replace(view, offset=offset, shape=shape, strides=(*others, row * step[0], column * step[1]))


def regions(rows: Sequence[Stretch], columns: Sequence[Stretch]) -> list[Region]:
    """Every stretch of rows with every one of columns."""
    return [Region(down, right) for down, right in product(rows, columns)]


def _runs(places: range, seen: Callable[[int], Seen]) -> list[tuple[Seen, list[int]]]:
    """Neighbours that see the same, with it."""
    return [(found, list(run)) for found, run in groupby(places, seen)]


def summed(
    name: str,
    out: View,
    axes: tuple[Axis, Axis],
    operands: Callable[[Region, Tap2], list[View]],
    term: Callable[[Tap2, Sequence[Value]], Value],
) -> list[Kernel]:
    """Kernels that make each element of `out` the sum of `term` of the operands for each window that sees it."""
    rows, columns = (axis.backwards() for axis in axes)
    parts = regions(rows, columns)
    if sum(len(region.taps) for region in parts) <= _MOST_TAPS:
        return [kernel for region in parts for kernel in _sum(name, out, region, operands, term)]
    found = zeroed(name, out)
    for i, j in product(range(axes[0].kernel), range(axes[1].kernel)):
        for region in regions(axes[0].single(i), axes[1].single(j)):
            found += _sum(name, out, region, operands, term, adds=True)
    return found


def _sum(
    name: str,
    out: View,
    region: Region,
    operands: Callable[[Region, Tap2], list[View]],
    term: Callable[[Tap2, Sequence[Value]], Value],
    adds: bool = False,
) -> list[Kernel]:
    views = [operands(region, tap) for tap in region.taps]

    def total(values: Sequence[Value]) -> list[Value]:
        given = iter(values)
        found: Value | None = next(given) if adds else None
        for tap, seen in zip(region.taps, views, strict=True):
            one = term(tap, [next(given) for _ in seen])
            found = one if found is None else Apply("add", (found, one))
        return [Const(0.0, out.dtype, values[0].width) if found is None else found]

    own = region.own(out)
    return pointwise(name, [own], [*([own] if adds else []), *(view for seen in views for view in seen)], total) or []


def zeroed(name: str, out: View) -> list[Kernel]:
    """0 everywhere."""
    return pointwise(name, [out], [], lambda values: [Const(0, out.dtype, values[0].width)]) or []


def turned(view: View, axes: Sequence[int]) -> View:
    """The axes in another order."""
    return replace(
        view, shape=tuple(view.shape[axis] for axis in axes), strides=tuple(view.strides[axis] for axis in axes)
    )
