"""Contractions: matrix products and convolutions as one register-tiled family of loops.

out[..., row, column] = sum over depth of left[..., row, depth] * right[depth, column]

A tile of rows times vectors of columns stays in registers while the depth is summed: each step of the sum loads the
vectors of `right` once and multiplies them with one broadcast element of `left` a row. What differs between a matrix
product, a convolution and its gradients is only the strides: see "Harnessing deep learning via a single building
block", Georganas et al., 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphnet.backend.native.loops import (
    Affine,
    Apply,
    Buffer,
    Const,
    For,
    Load,
    Register,
    Set,
    Splat,
    Statement,
    Store,
    Var,
    affine,
)

REGISTERS = 16


@dataclass(frozen=True)
class Operand:
    """Elements of a buffer: `offset` plus, for each dimension by name, index times stride."""

    buffer: Buffer
    strides: Mapping[str, int]
    offset: int = 0


@dataclass(frozen=True)
class Tile:
    """Registers of one tile: `rows` times `vectors` of `lanes` elements."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


@dataclass(frozen=True)
class Contraction:
    """Sizes by dimension; which of them are loops, the tiled row, the vectorized column, the summed depth.

    `out` and `right` have stride 1 along the columns, or any stride where a vector has one lane. adds: the result is
    added to what `out` holds.
    """

    sizes: Mapping[str, int]
    loops: tuple[str, ...]
    row: str
    column: str
    depth: tuple[str, ...]
    left: Operand
    right: Operand
    out: Operand
    tile: Tile
    adds: bool = False

    @property
    def dtype(self) -> str:
        return self.out.buffer.dtype


def panels(columns: int, tile: Tile) -> list[tuple[int, int, int]]:
    """(first column, columns, vectors) of each panel."""
    found = []
    for first in range(0, columns, tile.columns):
        count = min(tile.columns, columns - first)
        found.append((first, count, -(-count // tile.lanes)))
    return found


def row_tiles(rows: int, most: int) -> list[tuple[int, int, int]]:
    """(first row, rows of a tile, tiles): as few tiles as can be, of two sizes that differ by one."""
    tiles = -(-rows // most)
    small, larger = divmod(rows, tiles)
    found = [(0, small + 1, larger)] if larger else []
    return [*found, (larger * (small + 1), small, tiles - larger)]


def contraction(c: Contraction, variables: Mapping[str, Var]) -> list[Statement]:
    """The loops of `c` within those of `variables`, which stand for some of c.loops."""
    given = dict(variables)
    inner = [name for name in c.loops if name not in given]
    loops = {name: Var(name, c.sizes[name]) for name in inner}
    given.update(loops)
    body: list[Statement] = []
    whole = [panel for panel in panels(c.sizes[c.column], c.tile) if panel[1] == c.tile.columns]
    rest = [panel for panel in panels(c.sizes[c.column], c.tile) if panel[1] != c.tile.columns]
    if whole:
        panel = Var("panel", len(whole))
        found = _panel(c, given, 0, c.tile.columns, c.tile.vectors, panel)
        body.append(For(panel, _nested([loops[name] for name in inner], found)))
    for first, count, vectors in rest:
        found = _panel(c, given, first, count, vectors, None)
        body += _nested([loops[name] for name in inner], found)
    return body


def _nested(loops: Sequence[Var], body: Sequence[Statement]) -> tuple[Statement, ...]:
    for var in reversed(loops):
        body = (For(var, tuple(body)),)
    return tuple(body)


def _panel(
    c: Contraction,
    given: Mapping[str, Var],
    first: int,
    columns: int,
    vectors: int,
    panel: Var | None,
) -> list[Statement]:
    """All rows against one panel of columns."""
    body: list[Statement] = []
    for start, rows, tiles in row_tiles(c.sizes[c.row], _rows_for(c.tile, vectors)):
        tile = Var("tile", tiles)
        shape = _Shape(c, given, start, rows, tile, first, columns, vectors, panel)
        body.append(For(tile, tuple(_tile(shape))))
    return body


def _rows_for(tile: Tile, vectors: int) -> int:
    """A narrower panel leaves registers for more rows."""
    return tile.rows if vectors == tile.vectors else (REGISTERS - vectors - 1) // vectors


@dataclass(frozen=True)
class _Shape:
    c: Contraction
    given: Mapping[str, Var]
    start: int
    rows: int
    tile: Var
    first: int
    columns: int
    vectors: int
    panel: Var | None

    def left(self, row: int, depth: Mapping[str, Var]) -> Affine:
        c, strides = self.c, self.c.left.strides
        terms = {var: strides.get(name, 0) for name, var in {**self.given, **depth}.items()}
        terms[self.tile] = self.rows * strides[c.row]
        return affine(terms, c.left.offset + (self.start + row) * strides[c.row])

    def right(self, vector: int, depth: Mapping[str, Var]) -> Affine:
        c = self.c
        terms = {var: c.right.strides.get(name, 0) for name, var in {**self.given, **depth}.items()}
        stride = c.right.strides[c.column]
        if self.panel is not None:
            terms[self.panel] = c.tile.columns * stride
        return affine(terms, c.right.offset + (self.first + vector * c.tile.lanes) * stride)

    def out(self, row: int, vector: int) -> Affine:
        c, strides = self.c, self.c.out.strides
        terms = {var: strides.get(name, 0) for name, var in self.given.items()}
        terms[self.tile] = self.rows * strides[c.row]
        stride = strides[c.column]
        if self.panel is not None:
            terms[self.panel] = c.tile.columns * stride
        column = self.first + vector * c.tile.lanes
        return affine(terms, c.out.offset + (self.start + row) * strides[c.row] + column * stride)


def _tile(shape: _Shape) -> list[Statement]:
    c = shape.c
    lanes, dtype = c.tile.lanes, c.dtype
    sums = [[Register(f"s{i}_{j}", dtype, lanes) for j in range(shape.vectors)] for i in range(shape.rows)]
    vectors = [Register(f"b{j}", dtype, lanes) for j in range(shape.vectors)]
    body: list[Statement] = []
    for i, row in enumerate(sums):
        for j, s in enumerate(row):
            held = Load(c.out.buffer, shape.out(i, j), lanes, _active(shape, j))
            body.append(Set(s, held if c.adds else Const(0.0, dtype, lanes)))
    depth = {name: Var(name, c.sizes[name]) for name in c.depth}
    step: list[Statement] = []
    for j, b in enumerate(vectors):
        step.append(Set(b, Load(c.right.buffer, shape.right(j, depth), lanes, _active(shape, j))))
    for i, row in enumerate(sums):
        element = Register(f"a{i}", dtype, lanes)
        step.append(Set(element, Splat(Load(c.left.buffer, shape.left(i, depth)), lanes)))
        step += [Set(s, Apply("fma", (element, b, s))) for s, b in zip(row, vectors, strict=True)]
    body += _nested([depth[name] for name in c.depth], step)
    for i, row in enumerate(sums):
        for j, s in enumerate(row):
            body.append(Store(c.out.buffer, shape.out(i, j), s, _active(shape, j)))
    return body


def _active(shape: _Shape, vector: int) -> int | None:
    """How many lanes of a vector are columns; None where all are."""
    active = min(shape.c.tile.lanes, shape.columns - vector * shape.c.tile.lanes)
    return None if active == shape.c.tile.lanes else active
