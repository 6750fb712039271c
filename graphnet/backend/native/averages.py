"""Average pooling of all kinds and nearest upsampling, with their gradients: windows added up, or filled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TypeAlias

from graphnet.backend.native import functions as f
from graphnet.backend.native.blocks import Folding
from graphnet.backend.native.elementwise import pointwise
from graphnet.backend.native.loops import Const, Kernel, Value
from graphnet.backend.native.rows import SUM
from graphnet.backend.native.views import Scratch, View
from graphnet.backend.native.windows import Axis, Region, Stretch, Tap, Tap2, regions, zeroed
from graphnet.graph.node import Op
from graphnet.ops.pooling import AveragePooling, AvgPool2d, AvgPool2dGradient
from graphnet.ops.resampling import AdaptiveAvgPool2d, AdaptiveAvgPool2dGradient, Upsample, adaptive_windows

Axes: TypeAlias = "tuple[Axis, Axis]"
_LINE = 16  # elements along one axis that are written out
_UNROLLED = 9  # windows of as many elements are written out; larger ones are reductions


AVERAGES = (AvgPool2d, AvgPool2dGradient, AdaptiveAvgPool2d, AdaptiveAvgPool2dGradient, Upsample)


def averages(op: Op, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel] | None:
    """Kernels that fill `out`; None for an op that is none of these."""
    if not isinstance(op, AVERAGES):
        return None
    (x,) = inputs
    if isinstance(op, AvgPool2d):
        return _means(op.name, out, x, _axes(op, x, out), op.divisor, scratch)
    if isinstance(op, AvgPool2dGradient):
        return _gradient(op, out, x, scratch)
    if isinstance(op, AdaptiveAvgPool2d):
        return _adaptive(op, out, x, scratch)
    if isinstance(op, AdaptiveAvgPool2dGradient):
        return _adaptive_gradient(op, out, x, scratch)
    return _upsampled(op, out, x)


def _axes(op: AveragePooling, image: View, windows: View) -> Axes:
    rows, columns = (
        Axis(size, count, kernel, stride, before, 1, () if op.divisor is not None else _lengths(op, axis, size, count))
        for axis, (size, count, kernel, stride, (before, _)) in enumerate(
            zip(image.shape[2:], windows.shape[2:], op.kernel, op.stride, op.padding, strict=True)
        )
    )
    return rows, columns


def _lengths(op: AveragePooling, axis: int, size: int, count: int) -> tuple[int, ...]:
    """How many elements each window counts along an axis: what is inside, and of the padding if that counts."""
    before, after = op.padding[axis]
    low, high = (-before, size + after) if op.count_include_pad else (0, size)
    starts = [window * op.stride[axis] - before for window in range(count)]
    return tuple(min(start + op.kernel[axis], high) - max(start, low) for start in starts)


def _divided(value: Value, tap: Tap2, divisor: int | None = None) -> Value:
    by = tap[0].length * tap[1].length if divisor is None else divisor
    return value if by == 1 else f.div(value, f.const(value, by))


def _mean(name: str, region: Region, out: View, x: View, divisor: int | None, scratch: Scratch) -> list[Kernel]:
    """The sum of each window of a region over one divisor."""
    taps = region.taps
    if not taps:
        return zeroed(name, region.own(out))
    if len(taps) > _UNROLLED:
        views = (region.windows(x, (1, 1)), region.repeated(out))
        finish = partial(_divided, tap=taps[0], divisor=divisor)
        return Folding(name, views, (3, 5), SUM, lambda values: values[0], finish).kernels(scratch)

    def mean(values: Sequence[Value]) -> list[Value]:
        total = values[0]
        for value in values[1:]:
            total = f.add(total, value)
        return [_divided(total, taps[0], divisor)]

    return pointwise(name, [region.own(out)], [region.seen(x, tap) for tap in taps], mean) or []


def _means(name: str, out: View, x: View, axes: Axes, divisor: int | None, scratch: Scratch) -> list[Kernel]:
    parts = regions(axes[0].forwards(), axes[1].forwards())
    return [kernel for region in parts for kernel in _mean(name, region, out, x, divisor, scratch)]


def _spread(name: str, out: View, dy: View, axes: Axes, divisor: int | None) -> list[Kernel]:
    """What windows that do not overlap give to each element they see: their dy over the divisor."""
    parts = [region for region in regions(axes[0].forwards(), axes[1].forwards()) if region.taps]
    covered = sum(math.prod(region.own(dy).shape) * len(region.taps) for region in parts)
    found = [] if covered == math.prod(out.shape) else zeroed(name, out)
    for region in parts:
        tap = region.taps[0]

        def share(values: Sequence[Value], tap: Tap2 = tap) -> list[Value]:
            return [_divided(values[0], tap, divisor)]

        found += pointwise(name, [region.windows(out, (1, 1))], [region.repeated(dy)], share) or []
    return found


def _gradient(op: AvgPool2dGradient, out: View, dy: View, scratch: Scratch) -> list[Kernel]:
    axes = _axes(op, out, dy)
    if not op.window.overlaps:
        return _spread(op.name, out, dy, axes, op.divisor)
    rows, columns = (axis.backwards() for axis in axes)
    if op.kernel[0] * op.kernel[1] <= _UNROLLED:
        return [kernel for region in regions(rows, columns) for kernel in _shares(op, region, out, dy)]
    between = scratch.like(dy, (*dy.shape[:3], out.shape[3]))
    found = _along(op.name, between, dy, 3, columns, 1, scratch)
    return found + _along(op.name, out, between, 2, rows, op.divisor or 1, scratch)


def _shares(op: AvgPool2dGradient, region: Region, out: View, dy: View) -> list[Kernel]:
    """The sum of what the windows that see an element give to it."""
    taps = region.taps
    alike = len({tap[0].length * tap[1].length for tap in taps}) == 1

    def total(values: Sequence[Value]) -> list[Value]:
        found: Value = Const(0.0, out.dtype, values[0].width)
        for number, (value, tap) in enumerate(zip(values, taps, strict=False)):
            share = value if alike else _divided(value, tap, op.divisor)
            found = f.add(found, share) if number else share
        return [_divided(found, taps[0], op.divisor) if alike else found]

    return pointwise(op.name, [region.own(out)], [region.seen(dy, tap) for tap in taps], total) or []


# -- one axis at a time ----------------------------------------------------------------------------------------------


def _along(
    name: str, out: View, x: View, axis: int, stretches: Sequence[Stretch], divisor: int, scratch: Scratch
) -> list[Kernel]:
    """out <- the sums, each over its length and `divisor`, of what its places see along one axis of x."""
    found = []
    for stretch in stretches:
        own = _strided(out, axis, stretch.first, stretch.step, stretch.count)
        seen = [_strided(x, axis, tap.at, stretch.along, stretch.count) for tap in stretch.taps]

        def total(values: Sequence[Value], taps: Sequence[Tap] = stretch.taps) -> list[Value]:
            shares = [f.div(v, f.const(v, tap.length * divisor)) for v, tap in zip(values, taps, strict=False)]
            found: Value = Const(0.0, out.dtype, values[0].width)
            for number, share in enumerate(shares):
                found = f.add(found, share) if number else share
            return [found]

        if len(seen) <= _LINE or len({tap.length for tap in stretch.taps}) > 1:
            found += pointwise(name, [own], seen, total) or []
            continue
        length, count = stretch.taps[0].length * divisor, len(seen)
        spread = stretch.taps[1].at - stretch.taps[0].at
        long = replace(seen[0], shape=(*own.shape, count), strides=(*seen[0].strides, spread * x.strides[axis]))
        views = (long, replace(own, shape=long.shape, strides=(*own.strides, 0)))
        finish = partial(_over, length)
        found += Folding(name, views, (4,), SUM, lambda values: values[0], finish).kernels(scratch)
    return found


def _over(length: int, value: Value) -> Value:
    return f.div(value, f.const(value, length))


def _strided(view: View, axis: int, first: int, step: int, count: int) -> View:
    """`count` places along one axis from `first` on, `step` apart."""
    shape, strides = list(view.shape), list(view.strides)
    offset = view.offset + first * strides[axis]
    shape[axis], strides[axis] = count, strides[axis] * step
    return replace(view, offset=offset, shape=tuple(shape), strides=tuple(strides))


# -- adaptive windows, and upsampling --------------------------------------------------------------------------------


def _even(image: View, windows: View) -> Axes | None:
    """The windows where they are all of one size; None where some are larger."""
    sizes = list(zip(image.shape[2:], windows.shape[2:], strict=True))
    if any(size % count for size, count in sizes):
        return None
    rows, columns = (Axis(n, k, n // k, n // k, 0, 1, (n // k,) * k) for n, k in sizes)
    return rows, columns


def _adaptive(op: AdaptiveAvgPool2d, out: View, x: View, scratch: Scratch) -> list[Kernel]:
    even = _even(x, out)
    if even is not None:
        return _means(op.name, out, x, even, None, scratch)
    between = scratch.like(x, (*x.shape[:3], out.shape[3]))
    found = _along(op.name, between, x, 3, _ranges(x.shape[3], out.shape[3]), 1, scratch)
    return found + _along(op.name, out, between, 2, _ranges(x.shape[2], out.shape[2]), 1, scratch)


def _adaptive_gradient(op: AdaptiveAvgPool2dGradient, out: View, dy: View, scratch: Scratch) -> list[Kernel]:
    even = _even(out, dy)
    if even is not None:
        return _spread(op.name, out, dy, even, None)
    between = scratch.like(dy, (*dy.shape[:3], out.shape[3]))
    found = _along(op.name, between, dy, 3, _covers(out.shape[3], dy.shape[3]), 1, scratch)
    return found + _along(op.name, out, between, 2, _covers(out.shape[2], dy.shape[2]), 1, scratch)


def _ranges(size: int, count: int) -> list[Stretch]:
    """The windows of an axis, and the elements of each."""
    found = []
    for window, (start, stop) in enumerate(adaptive_windows(size, count)):
        taps = tuple(Tap(i, start + i, stop - start) for i in range(stop - start))
        found.append(Stretch(window, 1, 1, taps, 0))
    return found


def _covers(size: int, count: int) -> list[Stretch]:
    """The elements of an axis, and the windows that each lies in."""
    windows = list(enumerate(adaptive_windows(size, count)))

    def over(at: int) -> tuple[Tap, ...]:
        return tuple(Tap(0, n, stop - start) for n, (start, stop) in windows if start <= at < stop)

    found = []
    for taps, run in groupby(range(size), over):
        places = list(run)
        found.append(Stretch(places[0], 1, len(places), taps, 0))
    return found


def _upsampled(op: Upsample, out: View, x: View) -> list[Kernel]:
    """Each element to all of its window."""
    sizes = zip(out.shape[2:], x.shape[2:], op.scale, strict=True)
    rows, columns = (Axis(size, count, scale, scale, 0) for size, count, scale in sizes)
    return _spread(op.name, out, x, (rows, columns), None)
