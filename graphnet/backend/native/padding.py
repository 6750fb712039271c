"""Padding: the value around an array, and the array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphnet.backend.native.elementwise import pointwise
from graphnet.backend.native.loops import Const, Kernel
from graphnet.backend.native.transposition import transposition
from graphnet.backend.native.views import View
from graphnet.ops.slicing import Pad


def padding(op: Pad, out: View, x: View) -> list[Kernel]:
    """The value only around x where x's elements lie side by side, else everywhere; then x."""
    starts = [int(start) for start in op.starts]  # type: ignore[arg-type]  # sizes are numbers by now
    offset = out.offset + sum(start * stride for start, stride in zip(starts, out.strides, strict=True))
    steps = zip(x.shape, out.strides, op.steps, strict=True)
    strides = tuple(0 if size == 1 else stride * step for size, stride, step in steps)
    inner = replace(out, offset=offset, shape=x.shape, strides=strides)
    turned = transposition(op.name, inner, x) if out.buffer is not x.buffer else None
    moved = turned or pointwise(op.name, [inner], [x], lambda values: [values[0]]) or []
    return [*borders(op, out, x.shape), *moved]


def borders(op: Pad, out: View, shape: Sequence[int]) -> list[Kernel]:
    """The value around elements of `shape` where these lie side by side, in either order, else everywhere."""
    if any(size > 1 and abs(step) != 1 for size, step in zip(shape, op.steps, strict=True)):
        return _filled(op, out)
    kernels: list[Kernel] = []
    firsts = [
        int(start) - (size - 1 if step < 0 else 0)  # type: ignore[arg-type]
        for start, size, step in zip(op.starts, shape, op.steps, strict=True)
    ]
    edges = list(zip(firsts, shape, out.shape, strict=True))
    for axis, (first, size, whole) in enumerate(edges):
        # Earlier axes run over x's part only: their borders are filled already.
        inside = [(start, start + count) for start, count, _ in edges[:axis]]
        around = [(0, count) for *_, count in edges[axis + 1 :]]
        for low, high in ((0, first), (first + size, whole)):
            if high > low:
                kernels += _filled(op, _box(out, [*inside, (low, high), *around]))
    return kernels


def inside(op: Pad, out: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Where in `out` the elements of x go."""
    cuts = [
        _cut(int(start), step, size)  # type: ignore[arg-type]
        for start, step, size in zip(op.starts, op.steps, x.shape, strict=True)
    ]
    return out[tuple(cuts)]


def _cut(start: int, step: int, size: int) -> slice:
    """`size` elements from `start` on; backwards where `step` is negative."""
    if size == 0:
        return slice(0, 0)
    stop = start + size * step
    return slice(start, stop if stop >= 0 else None, step)


def _box(view: View, bounds: Sequence[tuple[int, int]]) -> View:
    """Part of a view: from, and up to, an index along each axis."""
    offset = view.offset + sum(low * stride for (low, _), stride in zip(bounds, view.strides, strict=True))
    return replace(view, offset=offset, shape=tuple(high - low for low, high in bounds))


def _filled(op: Pad, view: View) -> list[Kernel]:
    return pointwise(op.name, [view], [], lambda values: [Const(op.value, view.dtype, values[0].width)]) or []
