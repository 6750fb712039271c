"""Matrix products whose operands both lie along the depth: every element of the result is a dot product of two rows.

A tile of rows times columns of sums stays in registers, a vector of the depth in each; the lanes are added at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphnet.backend.native.contraction import row_tiles
from graphnet.backend.native.loops import (
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
    Value,
    Var,
    affine,
)
from graphnet.backend.native.views import View

_ROWS, _COLUMNS = 4, 3
_BLOCK = 128  # vectors of the depth that are summed before the lanes are: both operands' rows stay in the cache


@dataclass(frozen=True)
class _Tile:
    """`rows` by `columns` of the result, from the element that the variables and `first` say."""

    out: View
    left: View
    right: View
    rows: int
    columns: int
    first: tuple[int, int]
    at: tuple[tuple[Var, int], tuple[Var, int]]
    lanes: int

    def sums(self, loops: Sequence[tuple[Var, int]], start: int, vectors: int, active: int | None) -> list[Statement]:
        """out += the products over `vectors` vectors of the depth from element `start` on."""
        dtype, lanes = self.out.dtype, self.lanes
        sums = [[Register(f"s{i}_{j}", dtype, lanes) for j in range(self.columns)] for i in range(self.rows)]
        body: list[Statement] = [Set(s, Const(0.0, dtype, lanes)) for row in sums for s in row]
        var = Var("v", vectors)
        depth = [*loops, (var, lanes)]
        step: list[Statement] = []
        columns = [Register(f"b{j}", dtype, lanes) for j in range(self.columns)]
        for j, b in enumerate(columns):
            step.append(Set(b, Load(self.right.buffer, self._row(1, j, depth, start), lanes, active)))
        for i, row in enumerate(sums):
            a = Register(f"a{i}", dtype, lanes)
            step.append(Set(a, Load(self.left.buffer, self._row(0, i, depth, start), lanes, active)))
            step += [Set(s, Apply("muladd", (a, b, s))) for s, b in zip(row, columns, strict=True)]
        body.append(For(var, tuple(step)))
        for i, row in enumerate(sums):
            for j, s in enumerate(row):
                total: Value = Apply("across_add", (s,)) if lanes > 1 else s
                place = self.place(i, j)
                body.append(Store(self.out.buffer, place, Apply("add", (Load(self.out.buffer, place), total))))
        return body

    def _row(self, side: int, number: int, depth: Sequence[tuple[Var, int]], start: int) -> Affine:
        view, axis = (self.left, 0) if side == 0 else (self.right, 1)
        stride = view.strides[axis]
        var, step = self.at[side]
        terms = {var: step * stride, **dict(depth)}
        return affine(terms, view.offset + (self.first[side] + number) * stride + start)

    def place(self, i: int, j: int) -> Affine:
        terms = {var: step * stride for (var, step), stride in zip(self.at, self.out.strides, strict=True)}
        (row, column), (s, t) = self.first, self.out.strides
        return affine(terms, self.out.offset + (row + i) * s + (column + j) * t)


def dots(out: View, left: View, right: View, lanes: int) -> list[Kernel]:
    """Kernels for out = left @ right, whose depth has stride 1 in both; a chunk is a tile of rows."""
    kernels = []
    buffers = tuple(dict.fromkeys((out.buffer, left.buffer, right.buffer)))
    for row, rows, tiles in row_tiles(out.shape[0], _ROWS):
        chunk = Var("chunk", tiles)
        body: list[Statement] = []
        for column, columns, count in row_tiles(out.shape[1], _COLUMNS):
            var = Var("columns", count)
            tile = _Tile(out, left, right, rows, columns, (row, column), ((chunk, rows), (var, columns)), lanes)
            zero = Const(0.0, out.dtype)
            fill = [Store(out.buffer, tile.place(i, j), zero) for i in range(rows) for j in range(columns)]
            body.append(For(var, tuple(fill)))
        body += _depth(out, left, right, (row, rows, chunk), lanes)
        kernels.append(Kernel("dots", buffers, chunk, tuple(body)))
    return kernels


def _depth(out: View, left: View, right: View, of: tuple[int, int, Var], lanes: int) -> list[Statement]:
    """The depth in blocks; in each, all columns: what a block reads of both operands is read again while it is near."""
    row, rows, chunk = of
    vectors, left_over = divmod(left.shape[1], lanes)
    blocks, rest = divmod(vectors, _BLOCK)
    block = Var("block", blocks)
    body: list[Statement] = []
    for around, start, count, active in (
        ([(block, _BLOCK * lanes)], 0, _BLOCK if blocks else 0, None),
        ([], blocks * _BLOCK * lanes, rest, None),
        ([], vectors * lanes, 1 if left_over else 0, left_over),
    ):
        if not count:
            continue
        inner: list[Statement] = []
        for column, columns, tiles in row_tiles(out.shape[1], _COLUMNS):
            var = Var("columns", tiles)
            tile = _Tile(out, left, right, rows, columns, (row, column), ((chunk, rows), (var, columns)), lanes)
            inner.append(For(var, tuple(tile.sums(around, start, count, active))))
        body += [For(block, tuple(inner))] if around else inner
    return body
