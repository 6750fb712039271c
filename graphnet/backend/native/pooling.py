"""Max pooling, its places, its gradient and that one's: pointwise work on a view for each position in a window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from graphnet.backend.native import functions as f
from graphnet.backend.native.blocks import Folding
from graphnet.backend.native.elementwise import pointwise
from graphnet.backend.native.loops import BOOLEAN, Apply, Const, Kernel, Value
from graphnet.backend.native.rows import LARGEST
from graphnet.backend.native.views import Scratch, View
from graphnet.backend.native.windows import Axis, Region, Tap2, regions, summed, zeroed
from graphnet.ops.pooling import MaxPool2d, MaxPool2dGather, MaxPool2dGradient, MaxPool2dPlaces, MaxPooling

_UNROLLED = 32  # positions of a window that are written out; of more, the maximum is a reduction


def pooling(op: MaxPooling, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel] | None:
    """Kernels that fill `out`; None for an op that is none of these."""
    if isinstance(op, MaxPool2d):
        return _all(_maxima(op, region, out, inputs[0], scratch) for region in _windows(op, inputs[0], out))
    if isinstance(op, MaxPool2dPlaces):
        return _all(_places(op, region, out, *inputs) for region in _windows(op, inputs[0], out))
    if isinstance(op, MaxPool2dGather):
        return _all(_gathered(op, region, out, *inputs) for region in _windows(op, inputs[1], out))
    if isinstance(op, MaxPool2dGradient):
        return _gradient(op, out, *inputs)
    return None


def _axes(op: MaxPooling, image: View, windows: View) -> list[Axis]:
    before = [side[0] for side in op.padding]
    sizes, counts = image.shape[2:], windows.shape[2:]
    return [Axis(*axis) for axis in zip(sizes, counts, op.kernel, op.stride, before, op.dilation, strict=True)]


def _windows(op: MaxPooling, image: View, windows: View) -> list[Region]:
    """The windows in as few parts as have the same positions inside the image."""
    rows, columns = _axes(op, image, windows)
    return regions(rows.forwards(), columns.forwards())


def _number(op: MaxPooling, tap: Tap2) -> int:
    """The place of a position: K for the first of K, 1 for the last."""
    return (op.kernel[0] - tap[0].number) * op.kernel[1] - tap[1].number


def _all(parts: Iterable[list[Kernel] | None]) -> list[Kernel]:
    return [kernel for kernels in parts for kernel in kernels or ()]


def _maxima(op: MaxPooling, region: Region, out: View, x: View, scratch: Scratch) -> list[Kernel] | None:
    own = region.own(out)
    if len(region.taps) > _UNROLLED:
        views = (region.windows(x, op.dilation), region.repeated(out))
        return Folding(op.name, views, (3, 5), LARGEST, lambda values: values[0]).kernels(scratch)

    def largest(values: Sequence[Value]) -> list[Value]:
        found: Value = LARGEST.start(out.dtype, values[0].width)
        for number, value in enumerate(values if region.taps else ()):
            found = Apply("max", (found, value)) if number else value
        return [found]

    return pointwise(op.name, [own], [region.seen(x, tap) for tap in region.taps], largest)


def _places(op: MaxPooling, region: Region, out: View, x: View, y: View) -> list[Kernel] | None:
    """The first position that holds the maximum; 0 where none equals it, which is a NaN."""

    def place(values: Sequence[Value]) -> list[Value]:
        maximum, *elements = values
        found: Value = Const(0, out.dtype, maximum.width)
        for tap, element in reversed(list(zip(region.taps, elements, strict=True))):
            hit = Apply("eq", (element, maximum), BOOLEAN)
            found = f.select(hit, Const(_number(op, tap), out.dtype, maximum.width), found)
        return [found]

    seen = [region.seen(x, tap) for tap in region.taps]
    return pointwise(op.name, [region.own(out)], [region.own(y), *seen], place)


def _gathered(op: MaxPooling, region: Region, out: View, places: View, values: View) -> list[Kernel] | None:
    """The element at a window's place; 0 where it has none."""

    def chosen(operands: Sequence[Value]) -> list[Value]:
        place, *elements = operands
        found: Value = Const(0.0, out.dtype, place.width)
        for tap, element in zip(region.taps, elements, strict=True):
            found = f.select(_is(place, _number(op, tap)), element, found)
        return [found]

    seen = [region.seen(values, tap) for tap in region.taps]
    return pointwise(op.name, [region.own(out)], [region.own(places), *seen], chosen)


def _is(place: Value, number: int) -> Value:
    return Apply("eq", (place, Const(number, place.dtype, place.width)), BOOLEAN)


def _gradient(op: MaxPool2dGradient, out: View, places: View, dy: View) -> list[Kernel]:
    """Each element the sum of dy of the windows whose place it is; apart windows write each of their positions."""
    if not op.window.overlaps:
        parts = _windows(op, out, dy)
        covered = sum(math.prod(region.own(dy).shape) * len(region.taps) for region in parts)
        zeros = [] if covered == math.prod(out.shape) else zeroed(op.name, out)
        return zeros + _all(_spread(op, region, out, places, dy) for region in parts if region.taps)
    rows, columns = _axes(op, out, dy)

    def term(tap: Tap2, values: Sequence[Value]) -> Value:
        place, given = values
        return f.select(_is(place, _number(op, tap)), given, f.const(given, 0.0))

    return summed(op.name, out, (rows, columns), lambda r, tap: [r.seen(places, tap), r.seen(dy, tap)], term)


def _spread(op: MaxPooling, region: Region, out: View, places: View, dy: View) -> list[Kernel] | None:
    """dy to the position that a window's place names, 0 to its others."""

    def spread(values: Sequence[Value]) -> list[Value]:
        place, given = values
        zero = f.const(given, 0.0)
        return [f.select(_is(place, _number(op, tap)), given, zero) for tap in region.taps]

    seen = [region.seen(out, tap) for tap in region.taps]
    return pointwise(op.name, seen, [region.own(places), region.own(dy)], spread)
