"""Contractions: matrix products, convolutions and their gradients as one register-tiled family of loops.

out[loops, row, column] = sum over depth of left[loops, row, depth] * right[loops, depth, column]

A tile of rows times vectors of columns stays in registers while the depth is summed: each step of the sum loads the
vectors of `right` once and multiplies them with one broadcast element of `left` a row. What differs between a matrix
product, a convolution and its gradients is only the strides: see "Harnessing deep learning via a single building
block", Georganas et al., 2019. Tile shapes follow Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication", 2008: as many sums as the registers hold, so that a step has more arithmetic than loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Apply,
    Buffer,
    Const,
    For,
    Load,
    Prefetch,
    Register,
    Set,
    Splat,
    Statement,
    Store,
    Value,
    Var,
    affine,
)
from graphnet.backend.native.target import target
from graphnet.backend.native.views import View

_PANEL_VECTORS = (2, 3, 1)  # of a panel, the first preferred where they cost the same
LINE = 64  # bytes of memory that come into the caches together
_STEPS = 8  # of the depth, at most, in which one line is asked for
FAR = 448 * 1024  # bytes of an operand: of more, what is read again has left the second-level cache


@dataclass(frozen=True)
class Operand:
    """Elements of a buffer: `offset` plus, for each dimension by name, index times stride.

    panel: from one panel of columns to the next, where that is not simply its columns. padded: there is memory behind
    the last column, up to whole vectors, which may be read. tiled: for each index of the depth the rows of a tile lie
    side by side, tile after tile; the strides are those of a matrix (rows, depth).
    """

    buffer: Buffer
    strides: Mapping[str, int]
    offset: int = 0
    panel: int | None = None
    padded: bool = False
    tiled: bool = False


# Of a sum and of the operands beside it, what is stored; and the statements that this needs first.
Finish = Callable[[Value, Sequence[Value]], tuple[list[Statement], list[Value]]]


@dataclass(frozen=True)
class Finishing:
    """What is made of each element of a result before it is stored.

    loads: what is read beside it, results: where what is made goes; all are of the result's shape.
    """

    loads: tuple[View, ...]
    results: tuple[View, ...]
    make: Finish

    def moved(self, change: Callable[[View], View]) -> Finishing:
        """The same for a part of the result, which `change` makes of the whole."""
        return Finishing(tuple(map(change, self.loads)), tuple(map(change, self.results)), self.make)

    @property
    def is_in_vectors(self) -> bool:
        """Whether what is read lies along the last axis or is the same there, and what is written lies along it."""
        alike = all(view.strides[-1] in (0, 1) for view in self.loads)
        return alike and all(view.strides[-1] == 1 or view.shape[-1] == 1 for view in self.results)

    def of(self, c: Contraction, operand: Callable[[View], Operand]) -> Contraction:
        """A contraction with this at its end; `operand` says where the elements of a view lie."""
        return replace(
            c, finish=self.make, beside=tuple(map(operand, self.loads)), results=tuple(map(operand, self.results))
        )


def finish(
    total: Value,
    out: View,
    finishing: Finishing | None,
    place: Callable[[View], Affine],
    lanes: int,
    active: int | None,
) -> list[Statement]:
    """What stores a vector of a result, or what is made of it. `place` says where it lies in a view."""
    if finishing is None:
        return [Store(out.buffer, place(out), total, active)]
    loads = [(view.buffer, place(view), view.strides[-1] == 0) for view in finishing.loads]
    results = [(view.buffer, place(view)) for view in finishing.results]
    return _finish(total, finishing.make, loads, results, lanes, active)


def _finish(
    total: Value,
    make: Finish,
    loads: Sequence[tuple[Buffer, Affine, bool]],
    results: Sequence[tuple[Buffer, Affine]],
    lanes: int,
    active: int | None,
) -> list[Statement]:
    """What stores what is made of a vector of a result. loads: with whether all lanes read the same element."""
    beside: list[Value] = [
        Splat(Load(buffer, at), lanes) if is_same and lanes > 1 else Load(buffer, at, lanes, active)
        for buffer, at, is_same in loads
    ]
    statements, values = make(total, beside)
    stores = [Store(buffer, at, value, active) for (buffer, at), value in zip(results, values, strict=True)]
    return [*statements, *stores]


@dataclass(frozen=True)
class Contraction:
    """Sizes by dimension; which of them are loops, the rows, the vectorized column, the summed depth.

    rows: several dimensions are one list of rows, written out. `out` and `right` have stride 1 along the columns, or
    any stride where a vector has one lane. vectors: of a panel. depth: with none all sums are 0. adds: the result is
    added to what `out` holds. ahead: so many elements behind each line of `right` another is asked for; 0: none is.
    finish: what is made of each sum, and of the operands `beside` it at the same index, for `results` instead of `out`.
    """

    sizes: Mapping[str, int]
    loops: tuple[str, ...]
    rows: tuple[str, ...]
    column: str
    depth: tuple[str, ...]
    left: Operand
    right: Operand
    out: Operand
    vectors: int
    lanes: int
    adds: bool = False
    ahead: int = 0
    finish: Finish | None = None
    beside: tuple[Operand, ...] = ()
    results: tuple[Operand, ...] = ()

    @property
    def dtype(self) -> str:
        return self.out.buffer.dtype


@dataclass(frozen=True)
class Tiles:
    """`count` tiles, `step` apart, of as many rows, each row by its index in the dimensions of rows."""

    rows: tuple[Mapping[str, int], ...]
    count: int = 1
    step: tuple[str, int] = ("", 0)


# -- the choice of tiles ---------------------------------------------------------------------------------------------


def most_rows(vectors: int) -> int:
    """The rows of a tile: the registers hold a sum for each row and vector, the vectors, and an element of `left`."""
    registers = target().registers
    return min((registers - vectors - 1) // vectors, 3 * registers // 4)


def row_tiles(rows: int, most: int) -> list[tuple[int, int, int]]:
    """(first row, rows of a tile, tiles): as few tiles as can be, of two sizes that differ by one."""
    tiles = -(-rows // most)
    small, larger = divmod(rows, tiles)
    found = [(0, small + 1, larger)] if larger else []
    return [*found, (larger * (small + 1), small, tiles - larger)]


def panels(columns: int, vectors: int, lanes: int) -> list[tuple[int, int, int, int]]:
    """(first column, columns, vectors, panels): the whole panels, then what is left."""
    width = vectors * lanes
    whole, rest = divmod(columns, width)
    found = [(0, width, vectors, whole)] if whole else []
    return [*found, (whole * width, rest, -(-rest // lanes), 1)] if rest else found


def cycles(rows: int, columns: int, vectors: int, lanes: int) -> float:
    """What one step of the depth costs for all tiles, in cycles: arithmetic, loads or latency."""
    total, machine = 0.0, target()
    for _, _, wide, times in panels(columns, vectors, lanes):
        for _, tall, tiles in row_tiles(rows, most_rows(wide)):
            arithmetic, loads = tall * wide / machine.multiply_adds, (tall + wide) / machine.loads
            total += times * tiles * max(arithmetic, loads, machine.latency)
    return total


def best_vectors(rows: int, columns: int, lanes: int) -> int:
    """How many vectors a panel should have."""
    return min(_PANEL_VECTORS, key=lambda vectors: cycles(rows, columns, vectors, lanes))


def tiles(c: Contraction, vectors: int) -> Iterator[Tiles]:
    """The rows of `c` as tiles beside `vectors` vectors."""
    if len(c.rows) == 1:
        (name,) = c.rows
        for first, tall, count in row_tiles(c.sizes[name], most_rows(vectors)):
            yield Tiles(tuple({name: first + row} for row in range(tall)), count, (name, tall))
        return
    listed = [dict(zip(c.rows, index, strict=True)) for index in product(*(range(c.sizes[name]) for name in c.rows))]
    for first, tall, count in row_tiles(len(listed), most_rows(vectors)):
        for start in range(first, first + tall * count, tall):
            yield Tiles(tuple(listed[start : start + tall]))


# -- the loops -------------------------------------------------------------------------------------------------------


def contraction(c: Contraction, variables: Mapping[str, Var]) -> list[Statement]:
    """The loops of `c` within those of `variables`, which stand for some of c.loops ("panel": for that of panels)."""
    inner = [name for name in c.loops if name not in variables]
    loops = {name: Var(name, c.sizes[name]) for name in inner}
    given = {**variables, **loops}
    body: list[Statement] = []
    for first, columns, vectors, times in panels(c.sizes[c.column], c.vectors, c.lanes):
        panel = variables.get("panel", Var("panel", times))
        found: list[Statement] = []
        all_tiles = list(tiles(c, c.vectors if c.left.tiled else vectors))  # packed tiles are as they are
        starts = [0, *accumulate(tile.count for tile in all_tiles)]
        for tile, before in zip(all_tiles, starts, strict=False):
            place = _Place(c, given, tile, Var("tile", tile.count), first, columns, vectors, panel)
            found += _tile(place, before, starts[-1])
        nest = nested([loops[name] for name in inner], found)
        body += nest if "panel" in variables else nested([panel], nest)
    return body


def nested(loops: Sequence[Var], body: Sequence[Statement]) -> list[Statement]:
    """`body` within loops over variables, the first the outermost."""
    for var in reversed(loops):
        body = [For(var, tuple(body))]
    return list(body)


@dataclass(frozen=True)
class _Place:
    """Where a tile is, in terms of the loops around it."""

    c: Contraction
    given: Mapping[str, Var]
    tile: Tiles
    number: Var
    first: int
    columns: int
    vectors: int
    panel: Var

    def at(self, operand: Operand, row: int, vector: int, depth: Mapping[str, Affine] | None = None) -> Affine:
        """The element of `operand` at a row, the first lane of a vector, and a place in the depth."""
        c, strides = self.c, operand.strides
        terms = {var: strides.get(name, 0) for name, var in self.given.items() if name != "panel"}
        tall = len(self.tile.rows) if operand.tiled else 1
        name, step = self.tile.step
        terms[self.number] = step * strides.get(name, 0)
        constant = operand.offset
        for name, place in (depth or {}).items():
            stride = tall * strides.get(name, 0)
            terms |= {var: terms.get(var, 0) + factor * stride for var, factor in place.terms}
            constant += place.constant * stride
        along = strides.get(c.column, 0)
        width = c.vectors * c.lanes
        panel = along * width if operand.panel is None else operand.panel
        terms[self.panel] = panel if self.columns == width else 0
        rows = sum(index * strides.get(name, 0) for name, index in self.tile.rows[0 if tall > 1 else row].items())
        rows += row if tall > 1 else 0
        return affine(terms, constant + rows + self.first // width * panel + vector * c.lanes * along)

    def active(self, vector: int) -> int | None:
        """How many lanes of a vector are columns; None where all are."""
        active = min(self.c.lanes, self.columns - vector * self.c.lanes)
        return None if active == self.c.lanes else active


def _tile(place: _Place, before: int, count: int) -> list[Statement]:
    """The tiles of a place, which `before` others come before, of `count` in all."""
    c = place.c
    lanes, dtype, rows = c.lanes, c.dtype, range(len(place.tile.rows))
    sums = [[Register(f"s{i}_{j}", dtype, lanes) for j in range(place.vectors)] for i in rows]
    body: list[Statement] = []
    for i, row in enumerate(sums):
        for j, s in enumerate(row):
            held = Load(c.out.buffer, place.at(c.out, i, j), lanes, place.active(j))
            body.append(Set(s, held if c.adds else Const(0.0, dtype, lanes)))
    body += _asked_for(place)
    body += _summed(place, sums, before, count) if c.depth else []
    for i, row in enumerate(sums):
        for j, s in enumerate(row):
            body += _stored(place, s, i, j)
    return nested([place.number], body)


def _summed(place: _Place, sums: Sequence[Sequence[Register]], before: int, count: int) -> list[Statement]:
    """The loops over the depth.

    Where what comes next is asked for, each tile asks for its share of it, a line in as many steps as there are tiles:
    more at a time would have to wait for one another, and the sums for them.
    """
    c, together = place.c, target().together
    *around, last = c.depth
    outer = {name: Var(name, c.sizes[name]) for name in around}
    known = {name: affine({var: 1}) for name, var in outer.items()}
    if not c.ahead:
        inner = Var(last, c.sizes[last])
        step = _step(place, sums, known | {last: affine({inner: 1})})
        return nested(list(outer.values()), [For(inner, tuple(step), together)])
    steps = min(count, _STEPS, c.sizes[last])
    inner = Var(last, c.sizes[last] // steps)
    share = (c.sizes[last] - inner.extent) // max(1, count - 1)  # the last tile's ends where the block does
    own = known | {last: affine({inner: 1, place.number: share}, before * share)}
    body: list[Statement] = [
        Prefetch(Load(c.right.buffer, place.at(c.right, 0, j, own), c.lanes), c.ahead) for j in _lines(place)
    ]
    each, whole = Var("k", steps), inner.extent * steps
    left = Var("rest", c.sizes[last] - whole)
    body.append(For(each, tuple(_step(place, sums, known | {last: affine({inner: steps, each: 1})})), steps))
    body = [For(inner, tuple(body), -(-together // steps))]
    if left.extent:
        body.append(For(left, tuple(_step(place, sums, known | {last: affine({left: 1}, whole)})), left.extent))
    return nested(list(outer.values()), body)


def _step(place: _Place, sums: Sequence[Sequence[Register]], depth: Mapping[str, Affine]) -> list[Statement]:
    """What is multiplied and added at one place in the depth."""
    c = place.c
    vectors = [Register(f"b{j}", c.dtype, c.lanes) for j in range(place.vectors)]
    step: list[Statement] = []
    for j, b in enumerate(vectors):
        active = None if c.right.padded else place.active(j)
        step.append(Set(b, Load(c.right.buffer, place.at(c.right, 0, j, depth), c.lanes, active)))
    for i, row in enumerate(sums):
        element = Register(f"a{i}", c.dtype, c.lanes)
        step.append(Set(element, Splat(Load(c.left.buffer, place.at(c.left, i, 0, depth)), c.lanes)))
        step += [Set(s, Apply("muladd", (element, b, s))) for s, b in zip(row, vectors, strict=True)]
    return step


def _asked_for(place: _Place) -> list[Statement]:
    """What is read beside the sums of a tile is asked for before they are made.

    Its lines lie a row of the result apart, which no prefetcher follows.
    """
    c = place.c
    if c.finish is None:
        return []
    found: list[Statement] = []
    for of in c.beside:
        if of.strides.get(c.column, 0) and any(of.strides.get(name, 0) for name in c.rows):
            for i in range(len(place.tile.rows)):
                found += [
                    Prefetch(Load(of.buffer, place.at(of, i, j), c.lanes, place.active(j))) for j in _lines(place)
                ]
    return found


def _lines(place: _Place) -> range:
    """The vectors of a panel that a line of memory each begins with."""
    return range(0, place.vectors, max(1, LINE // (ELEMENTS[place.c.dtype] * place.c.lanes)))


def _stored(place: _Place, total: Register, row: int, vector: int) -> list[Statement]:
    c, active = place.c, place.active(vector)
    if c.finish is None:
        return [Store(c.out.buffer, place.at(c.out, row, vector), total, active)]
    loads = [(of.buffer, place.at(of, row, vector), of.strides.get(c.column, 0) == 0) for of in c.beside]
    results = [(of.buffer, place.at(of, row, vector)) for of in c.results]
    return _finish(total, c.finish, loads, results, c.lanes, active)
