"""Copies between layouts whose fastest axes differ: square tiles, transposed in registers.

A tile reads vectors along the source's fastest axis, and writes vectors along the result's. Tiles that would reach
past an end begin where they just fit: what they share with their neighbours is the same twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphnet.backend.native.elementwise import GRAIN, divided
from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Buffer,
    For,
    Kernel,
    Load,
    Register,
    Set,
    Shuffle,
    Statement,
    Store,
    Var,
    affine,
)
from graphnet.backend.native.target import target
from graphnet.backend.native.views import View, merged_axes

_ABREAST = 2  # tiles along the result's fastest axis before the next along the source's: whole cache lines of both


def transposition(name: str, out: View, x: View) -> list[Kernel] | None:
    """Kernels for out <- x, views of one shape; None where they have no two fastest axes that are long enough."""
    axes = merged_axes([out, x])
    across = [axis for axis in axes if axis[1][0] == 1]
    down = [axis for axis in axes if axis[1][1] == 1]
    if not across or not down or across[0] is down[0] or not across[0][1][1]:
        return None
    within = target().within(ELEMENTS[out.dtype], min(across[0][0], down[0][0]))
    lanes = square_side(within)
    if lanes == 1:
        return None
    a, b = across[0], down[0]
    tiles = _Tiles(out, x, a[0], b[0], b[1][0], a[1][1], lanes)
    outer = [axis for axis in axes if axis is not a and axis is not b]
    buffers = tuple(dict.fromkeys((out.buffer, x.buffer)))
    if math.prod(size for size, _ in outer) > 1:
        (size, strides), *others = outer
        loops = divided(size, strides, math.prod(count for count, _ in others) * a[0] * b[0])
        loops += [(Var(f"c{n}", count), along) for n, (count, along) in enumerate(others)]
        return [_kernel(name, buffers, loops, [*tiles.rows(loops, None), *tiles.last_rows(loops)])]
    rows = b[0] // lanes
    together = max(d for d in range(1, max(1, min(rows, GRAIN // (lanes * a[0]))) + 1) if rows % d == 0)
    chunk = (Var("chunk", rows // together), (lanes * together * b[1][0], lanes * together))
    kernels = [_kernel(name, buffers, [chunk], tiles.rows([chunk], together))]
    if b[0] % lanes:
        one = (Var("chunk", 1), (0, 0))
        kernels.append(_kernel(name, buffers, [one], tiles.last_rows([one])))
    return kernels


def _kernel(name: str, buffers: tuple, loops: Sequence[tuple[Var, tuple[int, ...]]], body: list[Statement]) -> Kernel:
    (chunk, _), *inside = loops
    for var, _ in reversed(inside):
        body = [For(var, tuple(body))]
    return Kernel(name, buffers, chunk, tuple(body))


@dataclass(frozen=True)
class _Tiles:
    """A matrix of `across` columns, side by side in the result, and `down` rows, side by side in the source."""

    out: View
    x: View
    across: int
    down: int
    row: int  # the result's stride from one row to the next
    column: int  # the source's stride from one column to the next
    lanes: int

    def rows(self, around: Sequence[tuple[Var, tuple[int, ...]]], count: int | None) -> list[Statement]:
        """Whole tiles of `count` rows of tiles (None: all), and what is left at the end of each."""
        lanes = self.lanes
        r = Var("r", self.down // lanes if count is None else count)
        down = (r, (lanes * self.row, lanes))
        return self._columns(around, [down], 0)

    def last_rows(self, around: Sequence[tuple[Var, tuple[int, ...]]]) -> list[Statement]:
        """The rows that are left when all are cut into tiles."""
        return self._columns(around, [], self.down - self.lanes) if self.down % self.lanes else []

    def _columns(
        self, around: Sequence[tuple[Var, tuple[int, ...]]], down: list[tuple[Var, tuple[int, ...]]], first: int
    ) -> list[Statement]:
        lanes, whole = self.lanes, self.across // self.lanes
        abreast = max(d for d in range(1, min(_ABREAST, whole) + 1) if whole % d == 0)
        outer, inner = Var("g", whole // abreast), Var("a", abreast)
        step = (lanes, lanes * self.column)
        loops = [(outer, (step[0] * abreast, step[1] * abreast)), *down, (inner, step)]
        body = self._tile([*around, *loops], (first * self.row, first))
        for var, _ in reversed(loops):
            body = [For(var, tuple(body))]
        if self.across % lanes:
            last = self.across - lanes
            edge = self._tile([*around, *down], (first * self.row + last, first + last * self.column))
            for var, _ in reversed(down):
                edge = [For(var, tuple(edge))]
            body += edge
        return body

    def _tile(self, loops: Sequence[tuple[Var, tuple[int, ...]]], at: tuple[int, int]) -> list[Statement]:
        to = affine({var: strides[0] for var, strides in loops}, self.out.offset + at[0])
        of = affine({var: strides[1] for var, strides in loops}, self.x.offset + at[1])
        return transposed((self.out.buffer, to, self.row), (self.x.buffer, of, self.column), self.lanes)


def transposed(to: tuple[Buffer, Affine, int], of: tuple[Buffer, Affine, int], lanes: int) -> list[Statement]:
    """A square tile of `lanes` vectors, (buffer, first element, from one vector to the next), turned in registers.

    lanes: as `square_side` says.
    """
    (target, first, row), (source, start, column) = to, of
    rows = [Register(f"r{n}", target.dtype, lanes) for n in range(lanes)]
    body: list[Statement] = [Set(line, Load(source, start + n * column, lanes)) for n, line in enumerate(rows)]
    for number, stage in enumerate(_NETWORKS[lanes]):
        made = [Register(f"s{number}_{n}", target.dtype, lanes) for n in range(lanes)]
        for register, (one, other, picked) in zip(made, stage, strict=True):
            body.append(Set(register, Shuffle(rows[one], rows[other], picked)))
        rows = made
    return [*body, *(Store(target, first + n * row, line) for n, line in enumerate(rows))]


def square_side(lanes: int) -> int:
    """Of the largest square that is turned in registers, in vectors of so many lanes or fewer; 1 where there is none.

    A square of 16 rows would take 64 shuffles, more for each element than those of 8.
    """
    return max((side for side in _NETWORKS if side <= lanes), default=1)


# Each stage: for each new row the two old ones, and where its lanes come from (from `lanes` on: the second row). The
# first stages stay within 16 bytes, which takes a cycle where moves across take three.
_LOW4, _HIGH4 = (0, 4, 2, 6), (1, 5, 3, 7)
_LEFT4, _RIGHT4 = (0, 1, 4, 5), (2, 3, 6, 7)
_LOW8, _HIGH8 = (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)
_LOWS8, _HIGHS8 = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
_LEFT8, _RIGHT8 = (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)
_NETWORKS: dict[int, tuple[tuple[tuple[int, int, tuple[int, ...]], ...], ...]] = {
    2: (((0, 1, (0, 2)), (0, 1, (1, 3))),),
    4: (
        ((0, 1, _LOW4), (0, 1, _HIGH4), (2, 3, _LOW4), (2, 3, _HIGH4)),
        ((0, 2, _LEFT4), (1, 3, _LEFT4), (0, 2, _RIGHT4), (1, 3, _RIGHT4)),
    ),
    8: (
        tuple((first, first + 1, half) for first in (0, 2, 4, 6) for half in (_LOW8, _HIGH8)),
        tuple((first, first + 2, half) for first in (0, 1, 4, 5) for half in (_LOWS8, _HIGHS8)),
        (*((n, n + 4, _LEFT8) for n in range(4)), *((n, n + 4, _RIGHT8) for n in range(4))),
    ),
}
