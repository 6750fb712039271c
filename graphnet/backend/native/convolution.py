"""Direct convolutions with the batch innermost, and padding: vectors are images, whatever the number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphnet.backend.native.contraction import Contraction, Operand, Tile, contraction, row_tiles
from graphnet.backend.native.elementwise import VECTOR, pointwise
from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Apply,
    Const,
    For,
    Kernel,
    Load,
    Register,
    Set,
    Statement,
    Store,
    Var,
    affine,
)
from graphnet.backend.native.ops import Direct, DirectConvolution, DirectFilterGradient
from graphnet.backend.native.views import View
from graphnet.ops.slicing import Pad

_ROWS, _COLUMNS = 4, 3


def direct(op: Direct, out: View, inputs: Sequence[View]) -> list[Kernel] | None:
    """Kernels of a direct convolution or filter gradient; None where the batch is not innermost."""
    if isinstance(op, DirectConvolution):
        x, w = inputs
        return [_forward(op, out, x, w)] if x.strides[3] == 1 and out.strides[3] == 1 else None
    if isinstance(op, DirectFilterGradient):
        x, dy = inputs
        return _filter_gradient(op, out, x, dy) if x.strides[3] == 1 and dy.strides[3] == 1 else None
    return None


def _forward(op: DirectConvolution, out: View, x: View, w: View) -> Kernel:
    """A chunk is a row of the result: out[o, h, w, n] is the tile's row, two loops, and the vectors."""
    names = ("o", "h", "w", "n")
    chunk = Var("h", out.shape[1])
    c = Contraction(
        sizes={**dict(zip(names, out.shape, strict=True)), **dict(zip(("c", "i", "j"), w.shape[1:], strict=True))},
        loops=("h", "w"),
        row="o",
        column="n",
        depth=("c", "i", "j"),
        left=Operand(w.buffer, dict(zip(("o", "c", "i", "j"), w.strides, strict=True)), w.offset),
        right=Operand(
            x.buffer,
            {
                "c": x.strides[0],
                "h": x.strides[1] * op.stride[0],
                "w": x.strides[2] * op.stride[1],
                "i": x.strides[1] * op.dilation[0],
                "j": x.strides[2] * op.dilation[1],
                "n": 1,
            },
            x.offset,
        ),
        out=Operand(out.buffer, dict(zip(names, out.strides, strict=True)), out.offset),
        tile=Tile(6, 2, VECTOR // ELEMENTS[out.dtype]),
    )
    buffers = tuple(dict.fromkeys((out.buffer, x.buffer, w.buffer)))
    return Kernel(op.name, buffers, chunk, tuple(contraction(c, {"h": chunk})))


def _filter_gradient(op: DirectFilterGradient, out: View, x: View, dy: View) -> list[Kernel]:
    """A chunk is the kernel's part of one input channel, or one row of it where there is one channel only."""
    channels, rows = out.shape[1], out.shape[2]
    chunk, other = Var("c", channels), Var("i", rows)
    over = (chunk, other) if channels > 1 else (other, chunk)
    body: list[Statement] = []
    for first, count, tiles in row_tiles(out.shape[0], _ROWS):
        for column, columns, repeated in row_tiles(out.shape[3], _COLUMNS):
            across, along = (Var("o", tiles), count, first), (Var("j", repeated), columns, column)
            tile = _Taps(op, out, x, dy, (chunk, other), across, along)
            body.append(For(tile.o[0], (For(tile.j[0], tuple(tile.statements())),)))
    buffers = tuple(dict.fromkeys((out.buffer, x.buffer, dy.buffer)))
    return [Kernel(op.name, buffers, over[0], (For(over[1], tuple(body)),))]


class _Taps:
    """A tile of the filter gradient: some output channels times some neighbouring positions of the kernel."""

    def __init__(
        self,
        op: DirectFilterGradient,
        out: View,
        x: View,
        dy: View,
        place: tuple[Var, Var],
        o: tuple[Var, int, int],
        j: tuple[Var, int, int],
    ) -> None:
        self.op, self.out, self.x, self.dy = op, out, x, dy
        self.c, self.i = place
        self.o, self.j = o, j  # variable, how many at once, the first
        self.lanes = VECTOR // ELEMENTS[out.dtype]

    def statements(self) -> list[Statement]:
        """The sums over all rows: each row's lanes are added by themselves, which keeps long sums exact."""
        dtype, lanes = self.out.dtype, self.lanes
        sums = [[Register(f"s{a}_{b}", dtype, lanes) for b in range(self.j[1])] for a in range(self.o[1])]
        totals = [[Register(f"t{a}_{b}", dtype) for b in range(self.j[1])] for a in range(self.o[1])]
        h, w = Var("h", self.dy.shape[1]), Var("w", self.dy.shape[2])
        vectors, left = divmod(self.dy.shape[3], lanes)
        step: list[Statement] = []
        if vectors:
            n = Var("n", vectors)
            step.append(For(n, tuple(self._step(sums, (h, w, n), 0, None))))
        if left:
            step += self._step(sums, (h, w, None), vectors * lanes, left)
        row: list[Statement] = [Set(s, Const(0.0, dtype, lanes)) for line in sums for s in line]
        row.append(For(w, tuple(step)))
        for line, kept in zip(sums, totals, strict=True):
            for s, t in zip(line, kept, strict=True):
                row.append(Set(t, Apply("add", (t, Apply("across_add", (s,)) if lanes > 1 else s))))
        start = [Set(t, Const(0.0, dtype)) for line in totals for t in line]
        stores = [
            Store(self.out.buffer, self._out(a, b), total)
            for a, line in enumerate(totals)
            for b, total in enumerate(line)
        ]
        return [*start, For(h, tuple(row)), *stores]

    def _step(
        self, sums: list[list[Register]], at: tuple[Var, Var, Var | None], start: int, active: int | None
    ) -> list[Statement]:
        dtype, lanes = self.out.dtype, self.lanes
        seen = [Register(f"x{b}", dtype, lanes) for b in range(self.j[1])]
        body: list[Statement] = [
            Set(value, Load(self.x.buffer, self._x(b, at, start), lanes, active)) for b, value in enumerate(seen)
        ]
        for a, line in enumerate(sums):
            given = Register(f"d{a}", dtype, lanes)
            body.append(Set(given, Load(self.dy.buffer, self._dy(a, at, start), lanes, active)))
            body += [Set(s, Apply("fma", (given, value, s))) for s, value in zip(line, seen, strict=True)]
        return body

    def _x(self, b: int, at: tuple[Var, Var, Var | None], start: int) -> Affine:
        c, row, column, _ = self.x.strides
        (down, right), (tall, wide) = self.op.stride, self.op.dilation
        var, count, first = self.j
        terms = {self.c: c, self.i: row * tall, var: column * wide * count, at[0]: row * down, at[1]: column * right}
        if at[2] is not None:
            terms[at[2]] = self.lanes
        return affine(terms, self.x.offset + (first + b) * column * wide + start)

    def _dy(self, a: int, at: tuple[Var, Var, Var | None], start: int) -> Affine:
        o, row, column, _ = self.dy.strides
        var, count, first = self.o
        terms = {var: o * count, at[0]: row, at[1]: column}
        if at[2] is not None:
            terms[at[2]] = self.lanes
        return affine(terms, self.dy.offset + (first + a) * o + start)

    def _out(self, a: int, b: int) -> Affine:
        o, c, i, j = self.out.strides
        terms = {self.c: c, self.i: i, self.o[0]: o * self.o[1], self.j[0]: j * self.j[1]}
        return affine(terms, self.out.offset + (self.o[2] + a) * o + (self.j[2] + b) * j)


def padding(op: Pad, out: View, x: View) -> list[Kernel]:
    """The value only around x where x's elements lie side by side, else everywhere; then x."""
    starts = [int(start) for start in op.starts]  # type: ignore[arg-type]  # sizes are numbers by now
    offset = out.offset + sum(start * stride for start, stride in zip(starts, out.strides, strict=True))
    steps = zip(x.shape, out.strides, op.steps, strict=True)
    strides = tuple(0 if size == 1 else stride * step for size, stride, step in steps)
    inner = replace(out, offset=offset, shape=x.shape, strides=strides)
    return [*borders(op, out, x.shape), *(pointwise(op.name, [inner], [x], lambda values: [values[0]]) or [])]


def borders(op: Pad, out: View, shape: Sequence[int]) -> list[Kernel]:
    """The value around elements of `shape` where these lie side by side, else everywhere."""
    if any(step != 1 for step in op.steps):
        return _filled(op, out)
    kernels: list[Kernel] = []
    starts = [int(start) for start in op.starts]  # type: ignore[arg-type]
    edges = list(zip(starts, shape, out.shape, strict=True))
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
        slice(int(start), int(start) + (size - 1) * step + 1, step)  # type: ignore[arg-type]
        for start, step, size in zip(op.starts, op.steps, x.shape, strict=True)
    ]
    return out[tuple(cuts)]


def _box(view: View, bounds: Sequence[tuple[int, int]]) -> View:
    """Part of a view: from, and up to, an index along each axis."""
    offset = view.offset + sum(low * stride for (low, _), stride in zip(bounds, view.strides, strict=True))
    return replace(view, offset=offset, shape=tuple(high - low for low, high in bounds))


def _filled(op: Pad, view: View) -> list[Kernel]:
    return pointwise(op.name, [view], [], lambda values: [Const(op.value, view.dtype, values[0].width)]) or []
