"""Max pooling, its places and its gradient, as pointwise work on views: one view for each position in the window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from graphnet.backend.native import functions as f
from graphnet.backend.native.elementwise import pointwise
from graphnet.backend.native.loops import BOOLEAN, Apply, Const, Kernel, Value
from graphnet.backend.native.views import View
from graphnet.graph.node import Op
from graphnet.ops.pooling import MaxPool2d, MaxPool2dGradient, MaxPool2dPlaces, MaxPooling
from graphnet.ops.windows import Offset

_Compute = Callable[[Sequence[Value]], list[Value]]


def pooling(op: Op, out: View, inputs: Sequence[View]) -> list[Kernel] | None:
    """Kernels that fill `out`; None for other ops, and for a gradient whose windows overlap or leave gaps."""
    if not isinstance(op, MaxPooling) or any(view.dtype not in ("f32", "f64", "u8") for view in (out, *inputs)):
        return None
    if isinstance(op, MaxPool2d):
        (x,) = inputs
        return _all(op, (_maxima(op, region) for region in _regions(op, x, out)))
    if isinstance(op, MaxPool2dPlaces):
        x, y = inputs
        return _all(op, (_places(op, region, region.of(y)) for region in _regions(op, x, out)))
    if isinstance(op, MaxPool2dGradient):
        places, dy = inputs
        sizes, counts = out.shape[2:], dy.shape[2:]
        tiled = all(n * s == size for n, s, size in zip(counts, op.stride, sizes, strict=True))
        if op.window.overlaps or not tiled or op.stride != op.kernel:
            return None
        return _all(op, (_gradient(op, region, region.of(dy)) for region in _regions(op, out, places)))
    return None


@dataclass(frozen=True)
class _Region:
    """Windows that all see the same positions: `own`, their part of a view with an element a window; for each position
    its number in row-major order and the part of the image that it sees."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    own: View
    seen: tuple[tuple[int, View], ...]

    def of(self, view: View) -> View:
        """The same windows of another view with an element a window."""
        return _part(view, (self.rows[0], self.columns[0]), (1, 1), self.own.shape[2:])


def _regions(op: MaxPooling, image: View, windows: View) -> Iterator[_Region]:
    """The windows in as few parts as have the same positions inside the image."""
    offsets = op.window.offsets(image.shape[2:], windows.shape[2:])
    cuts = [
        sorted({0, windows.shape[2], *(edge for o in offsets for edge in (o.rows.start, o.rows.stop))}),
        sorted({0, windows.shape[3], *(edge for o in offsets for edge in (o.columns.start, o.columns.stop))}),
    ]
    for rows, columns in product(pairwise(cuts[0]), pairwise(cuts[1])):
        counts = (rows[1] - rows[0], columns[1] - columns[0])
        seen = tuple(
            (number, _part(image, _first(o, rows[0], columns[0], op), op.stride, counts))
            for number, o in enumerate(offsets)
            if o.rows.start <= rows[0] < o.rows.stop and o.columns.start <= columns[0] < o.columns.stop
        )
        yield _Region(rows, columns, _part(windows, (rows[0], columns[0]), (1, 1), counts), seen)


def _first(offset: Offset, row: int, column: int, op: MaxPooling) -> tuple[int, int]:
    """What the window at (row, column) sees at this position."""
    down = offset.input_rows.start + (row - offset.rows.start) * op.stride[0]
    return down, offset.input_columns.start + (column - offset.columns.start) * op.stride[1]


def _part(view: View, first: tuple[int, int], step: tuple[int, int], counts: Sequence[int]) -> View:
    """Rows and columns of images from `first` on, `step` apart."""
    n, c, h, w = view.strides
    offset = view.offset + first[0] * h + first[1] * w
    return replace(view, offset=offset, shape=(*view.shape[:2], *counts), strides=(n, c, h * step[0], w * step[1]))


def _all(op: MaxPooling, regions: Iterator[list[Kernel] | None]) -> list[Kernel]:
    return [kernel for kernels in regions for kernel in kernels or ()]


def _maxima(op: MaxPooling, region: _Region) -> list[Kernel] | None:
    def largest(values: Sequence[Value]) -> list[Value]:
        found = values[0]
        for value in values[1:]:
            found = Apply("max", (found, value))
        return [found]

    return pointwise(op.name, [region.own], [view for _, view in region.seen], largest)


def _places(op: MaxPooling, region: _Region, y: View) -> list[Kernel] | None:
    """K - k for the first position k of K that holds the maximum; 0 where none equals it, which is a NaN."""
    positions = op.kernel[0] * op.kernel[1]

    def place(values: Sequence[Value]) -> list[Value]:
        maximum, *elements = values
        width = maximum.width
        found: Value = Const(0, "u8", width)
        for (number, _), element in reversed(list(zip(region.seen, elements, strict=True))):
            hit = Apply("eq", (element, maximum), BOOLEAN)
            found = f.select(hit, Const(positions - number, "u8", width), found)
        return [found]

    return pointwise(op.name, [region.own], [y, *(view for _, view in region.seen)], place)


def _gradient(op: MaxPooling, region: _Region, dy: View) -> list[Kernel] | None:
    """dy to the position that a window's place names, 0 to its others."""
    positions = op.kernel[0] * op.kernel[1]

    def spread(values: Sequence[Value]) -> list[Value]:
        place, given = values
        return [
            f.select(
                Apply("eq", (place, Const(positions - number, "u8", place.width)), BOOLEAN),
                given,
                f.const(given, 0.0),
            )
            for number, _ in region.seen
        ]

    return pointwise(op.name, [view for _, view in region.seen], [region.own, dy], spread)
