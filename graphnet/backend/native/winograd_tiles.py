"""What the loops of Winograd's method are made of: transforms in registers, and scratch for tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from graphnet.backend.native import functions as f
from graphnet.backend.native.contraction import nested
from graphnet.backend.native.copies import copied
from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Apply,
    Buffer,
    Const,
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
from graphnet.backend.native.views import Scratch, View
from graphnet.backend.native.winograd import KERNEL, Matrix, transforms
from graphnet.graph.node import Op

_SPACED = 64  # bytes by which positions are further apart than they need: at powers of two they would share cache lines


class Lines:
    """Statements as they are written, each value in a register of its own."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    def set(self, value: Value) -> Value:
        """A register that holds the value."""
        register = Register(f"r{len(self.statements)}", value.dtype, value.width)
        self.statements.append(Set(register, value))
        return register

    def store(self, buffer: Buffer, index: Affine, value: Value, active: int | None = None) -> None:
        """The first `active` lanes, or all, to memory."""
        self.statements.append(Store(buffer, index, value, active))

    def _sum(self, terms: Sequence[tuple[Fraction, Value]]) -> Value:
        """Of coefficients times values."""
        (scale, total), *rest = sorted(terms, key=lambda term: abs(term[0]) != 1)
        if scale == -1:
            total = Apply("neg", (total,))
        elif scale != 1:
            total = f.mul(_factor(total, scale), total)
        for scale, value in rest:
            total = self._added(total, scale, value)
        return self.set(total)

    def _added(self, total: Value, scale: Fraction, value: Value) -> Value:
        if abs(scale) == 1:
            return f.add(total, value) if scale == 1 else f.sub(total, value)
        return f.fma(_factor(value, scale), value, total)

    def product(self, matrix: Matrix, values: Sequence[Value]) -> list[Value]:
        """matrix @ values. Rows or columns that differ in signs only, as those of points +-p do, share their sums."""
        matrix, values = self._paired(matrix, values)
        found: list[Value] = []
        for k, row in enumerate(matrix):
            if k and len(found) > k:
                continue
            following = matrix[k + 1] if k + 1 < len(matrix) else ()
            terms = [(scale, value) for scale, value in zip(row, values, strict=True) if scale]
            if not terms:
                found.append(self.set(f.const(values[0], 0)))
                continue
            if not _differ_in_signs(row, following):
                found.append(self._sum(terms))
                continue
            same = [(a, value) for a, b, value in zip(row, following, values, strict=True) if a and a == b]
            other = [(a, value) for a, b, value in zip(row, following, values, strict=True) if a and a != b]
            even, lead = self._sum(same), other[-1][0]
            odd = self._sum([(scale / lead, value) for scale, value in other])
            found += [self.set(self._added(even, lead, odd)), self.set(self._added(even, -lead, odd))]
        return found

    def _paired(self, matrix: Matrix, values: Sequence[Value]) -> tuple[Matrix, Sequence[Value]]:
        """The same product with the sum and the difference of two values in place of these."""
        columns = list(zip(*matrix, strict=True))
        new: list[tuple[Fraction, ...]] = []
        given: list[Value] = []
        k = 0
        while k < len(columns):
            if len(matrix) < len(columns) and k + 1 < len(columns) and _differ_in_signs(columns[k], columns[k + 1]):
                first, second = values[k : k + 2]
                zero = Fraction(0)
                new.append(tuple(a if a == b else zero for a, b in zip(*columns[k : k + 2], strict=True)))
                new.append(tuple(a if a != b else zero for a, b in zip(*columns[k : k + 2], strict=True)))
                given += [self.set(f.add(first, second)), self.set(f.sub(first, second))]
                k += 2
                continue
            new.append(columns[k])
            given.append(values[k])
            k += 1
        return tuple(zip(*new, strict=True)), given


def _factor(like: Value, scale: Fraction) -> Const:
    return Const(float(scale), like.dtype, like.width, is_read=True)


def _differ_in_signs(a: Sequence[Fraction], b: Sequence[Fraction]) -> bool:
    """Whether each entry of b is that of a or its negative, with some of both."""
    alike = len(a) == len(b) and all(abs(s) == abs(t) for s, t in zip(a, b, strict=True))
    return alike and any(s and s == t for s, t in zip(a, b, strict=True)) and tuple(a) != tuple(b)


@dataclass(frozen=True)
class Near:
    """Scratch for each position, tile and channel: strides of chunks, positions and tiles, in elements."""

    buffer: Buffer
    chunk: int
    position: int
    tile: int


@dataclass(frozen=True)
class Part:
    """Tiles that loops go through: of `images`, `rows` of tiles from `first` on, all columns, some channels.

    end: the row of tiles behind the last that they come to. chunk: of the kernel. steps: for variables of loops around
    them, by how many images, rows of tiles and channels they go on; near: by how many elements of v and m. channels:
    None for all. start: the element of v and m that the first tile begins at.
    """

    images: int
    first: int
    rows: int
    end: int
    chunk: Var
    steps: Mapping[Var, tuple[int, int, int]] = field(default_factory=dict)
    near: Mapping[Var, tuple[int, int]] = field(default_factory=dict)
    channels: int | None = None
    start: int = 0


def room(scratch: Scratch, dtype: str, chunks: int, positions: int, tiles: int, row: int) -> Near:
    """For each chunk, room for `tiles` of `row` elements at each position."""
    position = tiles * row + _SPACED // ELEMENTS[dtype]
    whole = scratch.array(dtype, (chunks, positions * position))
    return Near(whole.buffer, positions * position, position, row)


def image_tiles(
    x: View, tile: int, columns: int, lanes: int, part: Part, v: Near, half: View, first_image: int = 0
) -> list[Statement]:
    """v[position, tile, c] = B^T d B of each tile d of x, of which there are `columns` in a row, and each channel."""
    matrix, side = transforms(tile).image, tile + KERNEL - 1
    n, h, w, _ = x.strides
    i, r, q = Var("i", part.images), Var("r", part.rows), Var("q", columns)
    place = {var: images * n + rows * tile * h + channel for var, (images, rows, channel) in part.steps.items()}
    place |= {i: n, r: tile * h, q: tile * w}
    near = {var: step for var, (step, _) in part.near.items()}
    near |= {i: part.rows * columns * v.tile, r: columns * v.tile, q: v.tile}
    inside = {part.chunk: half.strides[0]}
    origin = x.offset + first_image * n + part.first * tile * h
    found: list[Statement] = []
    for start, count, active in vectors(part.channels or x.shape[3], lanes):
        c, down, across = Var("c", count), Var("column", side), Var("row", side)
        first, second = Lines(), Lines()
        given = [affine(place | {c: lanes, down: w}, origin + start + a * h) for a in range(side)]
        image = [first.set(Load(x.buffer, at, lanes, active)) for at in given]
        for a, value in enumerate(first.product(matrix, image)):
            first.store(half.buffer, affine(inside | {down: lanes}, a * side * lanes), value)
        turned = [affine(inside | {across: side * lanes}, b * lanes) for b in range(side)]
        for b, value in enumerate(second.product(matrix, [second.set(Load(half.buffer, at, lanes)) for at in turned])):
            at = affine(near | {c: lanes, across: side * v.position}, part.start + start + b * v.position)
            second.store(v.buffer, at, value)
        found += nested([c], [*nested([down], first.statements), *nested([across], second.statements)])
    return nested([i, r, q], found)


def vectors(channels: int, lanes: int) -> list[tuple[int, int, int]]:
    """(first channel, vectors, lanes of each that count): the whole vectors, then what is left."""
    whole, rest = divmod(channels, lanes)
    found = [(0, whole, lanes)] if whole else []
    return [*found, (whole * lanes, 1, rest)] if rest else found


def classes(tiles: int, beyond: int) -> list[tuple[int, int, int]]:
    """(first, how many, places that each lacks) for tiles in a line, the last of which reaches `beyond` the edge."""
    if beyond <= 0:
        return [(0, tiles, 0)]
    found = [(0, tiles - 1, 0)] if tiles > 1 else []
    return [*found, (tiles - 1, 1, beyond)]


def side_by_side(op: Op, inputs: Sequence[View], scratch: Scratch) -> tuple[list[Kernel], list[View]]:
    """The inputs with their last axis, whose elements are lanes, side by side, and what copies those that were not."""
    kernels: list[Kernel] = []
    found: list[View] = []
    for view in inputs:
        if view.strides[-1] == 1 or view.shape[-1] == 1:
            found.append(view)
            continue
        found.append(scratch.array(view.dtype, view.shape))
        kernels += copied(op.name, found[-1], view)
    return kernels, found
