"""Windows laid out as the columns of a matrix, and added up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphnet.backend.native.elementwise import pointwise
from graphnet.backend.native.loops import Kernel
from graphnet.backend.native.views import View
from graphnet.backend.native.windows import Axis, Region, Tap2, regions, summed, turned, zeroed
from graphnet.ops.windows import NO_PADDING, Col2im, Im2col

_SPATIAL_LAST = (0, 3, 1, 2)  # of (C, H, W, N)


def columns(op: Im2col | Col2im, out: View, x: View) -> list[Kernel]:
    """Kernels that fill `out`."""
    return _laid_out(op, out, turned(x, _SPATIAL_LAST)) if isinstance(op, Im2col) else _added(op, out, x)


def _axes(op: Im2col | Col2im, image: View, counts: Sequence[int]) -> tuple[Axis, Axis]:
    rows, right = (
        Axis(size, count, kernel, stride, before, dilation)
        for size, count, kernel, stride, (before, _), dilation in zip(
            image.shape[2:], counts, op.kernel, op.stride, op.padding, op.dilation, strict=True
        )
    )
    return rows, right


def _counts(op: Im2col | Col2im, image: View) -> tuple[int, ...]:
    return tuple(int(count) for count in op.window.counts(image.shape[2:]))  # type: ignore[arg-type]


def _parts(matrix: View, kernel: Sequence[int], counts: Sequence[int], batch: int) -> View:
    """The columns as (C, N, rows, columns, kernel rows, kernel columns)."""
    (down, across), (high, wide) = matrix.strides, kernel
    channels = matrix.shape[0] // (high * wide)
    shape = (channels, batch, *counts, high, wide)
    strides = (down * high * wide, across, across * batch * counts[1], across * batch, down * wide, down)
    return replace(matrix, shape=shape, strides=strides)


def _laid_out(op: Im2col, out: View, x: View) -> list[Kernel]:
    counts = _counts(op, x)
    parts = _parts(out, op.kernel, counts, x.shape[1])
    found = [] if op.padding == NO_PADDING else zeroed(op.name, out)
    rows, right = _axes(op, x, counts)
    for region in regions(rows.forwards(), right.forwards()):
        if region.taps:
            seen = region.windows(x, op.dilation)
            own = _inside(parts, region)
            found += pointwise(op.name, [own], [seen], lambda values: [values[0]]) or []
    return found


def _inside(parts: View, region: Region) -> View:
    """The region's part of the columns, in the order of `Region.windows`."""
    high, wide = parts.strides[4:]
    offset = parts.offset + region.rows.taps[0].number * high + region.columns.taps[0].number * wide
    c, n, h, w = region.own(replace(parts, shape=parts.shape[:4], strides=parts.strides[:4])).strides
    first = region.rows.first * h + region.columns.first * w
    shape = (*parts.shape[:2], region.rows.count, len(region.rows.taps), region.columns.count, len(region.columns.taps))
    return replace(parts, offset=offset + first, shape=shape, strides=(c, n, h, high, w, wide))


def _added(op: Col2im, out: View, matrix: View) -> list[Kernel]:
    image = turned(out, _SPATIAL_LAST)
    counts = _counts(op, image)
    parts = _parts(matrix, op.kernel, counts, image.shape[1])

    def seen(region: Region, tap: Tap2) -> list[View]:
        offset = parts.offset + tap[0].number * parts.strides[4] + tap[1].number * parts.strides[5]
        return [region.seen(replace(parts, offset=offset, shape=parts.shape[:4], strides=parts.strides[:4]), tap)]

    return summed(op.name, image, _axes(op, image, counts), seen, lambda tap, values: values[0])
