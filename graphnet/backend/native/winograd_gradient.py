"""The loops of Winograd's filter gradients: tiles of image and gradient transformed, a product for each position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphnet.backend.native import functions as f
from graphnet.backend.native.contraction import Contraction, Operand, best_vectors, contraction, nested
from graphnet.backend.native.elementwise import pointwise
from graphnet.backend.native.loops import (
    ELEMENTS,
    Buffer,
    Const,
    For,
    Kernel,
    Load,
    Statement,
    Store,
    Value,
    Var,
    affine,
)
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View
from graphnet.backend.native.winograd import KERNEL, Matrix, WinogradFilterGradient, transforms
from graphnet.backend.native.winograd_choice import Blocks, gradient_blocks
from graphnet.backend.native.winograd_tiles import Lines, Near, Part, classes, image_tiles, room, vectors


def filter_gradient(op: WinogradFilterGradient, out: View, x: View, dy: View, scratch: Scratch) -> list[Kernel]:
    """Sums over parts of the tiles, these added and transformed back, and the result turned to (O, C, 3, 3)."""
    return _Gradient(op, out, x, dy).kernels(scratch)


@dataclass(frozen=True)
class _Gradient:
    op: WinogradFilterGradient
    out: View
    x: View
    dy: View

    @property
    def lanes(self) -> int:
        return target().lanes(ELEMENTS[self.out.dtype])

    @property
    def filters(self) -> int:
        """Up to whole vectors."""
        return -(-self.dy.shape[3] // self.lanes) * self.lanes

    @property
    def channels(self) -> int:
        return self.x.shape[3]

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.dy.shape[1] // self.op.tile), -(-self.dy.shape[2] // self.op.tile)

    @property
    def position(self) -> int:
        """Elements of the sums of one position."""
        return self.channels * self.filters

    def kernels(self, scratch: Scratch) -> list[Kernel]:
        """The kernels of the way that fits the sizes."""
        way = gradient_blocks(self.op.tile, self.dy.shape, self.channels, ELEMENTS[self.out.dtype])
        staged = len(way) == 1 and way[0].is_whole
        most, parts = max(piece.chunks for piece in way), sum(piece.chunks for piece in way)
        tiles = max(piece.images * piece.rows for piece in way) * self.counts[1]
        size = self.op.side**2
        row = -(-self.channels // self.lanes) * self.lanes
        v, e = (room(scratch, self.out.dtype, most, size, tiles, wide) for wide in (row, self.filters))
        sums = scratch.array(self.out.dtype, (parts, size * self.position))
        half = scratch.array(self.out.dtype, (max(most, self.dy.shape[0]), size * self.lanes))
        kernels: list[Kernel] = []
        if staged:
            kernels += self.staged(v, e, sums, half)
        else:
            first = 0
            for piece in way:
                kernels.append(self.fused(piece, v, e, sums, half, first))
                first += piece.chunks
        return kernels + self.turned(sums, scratch)

    def fused(self, piece: Blocks, v: Near, e: Near, sums: View, half: View, first: int) -> Kernel:
        """A chunk is some blocks of tiles, with sums of its own, number `first` and on."""
        chunk, image = Var("chunk", piece.chunks), Var("image_block", piece.image_blocks)
        down = Var("row_block", piece.row_blocks)
        by_image, by_row = piece.chunk_step
        steps = {chunk: (by_image, by_row, 0), image: (piece.images, 0, 0), down: (0, piece.rows, 0)}
        part = Part(piece.images, piece.first_row, piece.rows, piece.end, chunk, steps, {chunk: (v.chunk, e.chunk)})
        tiles = piece.images * piece.rows * self.counts[1]
        several = piece.image_blocks * piece.row_blocks > 1
        body = [
            *self.image_tiles(part, v, half, piece.first_image),
            *self.error_tiles(part, e, half, piece.first_image),
            *self.products(chunk, Var("position", self.op.side**2), tiles, v, e, sums, first, several),
        ]
        whole = nested([image, down], body)
        if several:
            count = Var("v", self.op.side**2 * self.position // self.lanes)
            at = affine({chunk: sums.strides[0], count: self.lanes}, first * sums.strides[0])
            whole = [For(count, (Store(sums.buffer, at, Const(0.0, self.out.dtype, self.lanes)),)), *whole]
        buffers = (self.x.buffer, self.dy.buffer, v.buffer, e.buffer, sums.buffer, half.buffer)
        return Kernel(self.op.name, tuple(dict.fromkeys(buffers)), chunk, tuple(whole))

    def staged(self, v: Near, e: Near, sums: View, half: View) -> list[Kernel]:
        """All tiles are transformed, an image in each chunk, then come all products, each a chunk."""
        (rows, columns), images = self.counts, self.dy.shape[0]
        image, position = Var("image", images), Var("position", self.op.side**2)
        step = rows * columns
        part = Part(1, 0, rows, rows, image, {image: (1, 0, 0)}, {image: (step * v.tile, step * e.tile)})
        body = [*self.image_tiles(part, v, half), *self.error_tiles(part, e, half)]
        made = self.products(Var("one", 1), position, images * step, v, e, sums, 0, adds=False)
        used: list[tuple[Var, list[Statement], tuple[Buffer, ...]]] = [
            (image, body, (self.x.buffer, self.dy.buffer, v.buffer, e.buffer, half.buffer)),
            (position, made, (v.buffer, e.buffer, sums.buffer)),
        ]
        return [
            Kernel(self.op.name, tuple(dict.fromkeys(buffers)), chunk, tuple(body)) for chunk, body, buffers in used
        ]

    def image_tiles(self, part: Part, v: Near, half: View, first_image: int = 0) -> list[Statement]:
        """v[position, tile, c] = B^T d B."""
        return image_tiles(self.x, self.op.tile, self.counts[1], self.lanes, part, v, half, first_image)

    def error_tiles(self, part: Part, e: Near, half: View, first_image: int = 0) -> list[Statement]:
        """e[position, tile, o] = A dy A^T, where dy is 0 beyond its edges."""
        (height, width), (_, columns), tile = self.dy.shape[1:3], self.counts, self.op.tile
        found: list[Statement] = []
        for r0, down, lower in classes(part.rows, part.end * tile - height):
            for q0, right, beyond in classes(columns, columns * tile - width):
                there = (tile - lower, tile - beyond)
                found += self._errors(part, e, half, first_image, (r0, down), (q0, right), there)
        return found

    def _errors(
        self,
        part: Part,
        e: Near,
        half: View,
        first_image: int,
        rows: tuple[int, int],
        columns: tuple[int, int],
        there: tuple[int, int],
    ) -> list[Statement]:
        """For `rows` of tiles, (first, how many), and `columns`, likewise, of which `there` are rows and columns."""
        tile, side, lanes, across = self.op.tile, self.op.side, self.lanes, self.counts[1]
        (r0, down), (q0, right), (tall, wide) = rows, columns, there
        n, h, w, _ = self.dy.strides
        i, r, q = Var("i", part.images), Var("r", down), Var("q", right)
        place = {var: im * n + ro * tile * h + channel for var, (im, ro, channel) in part.steps.items()}
        place |= {i: n, r: tile * h, q: tile * w}
        near = {var: step for var, (_, step) in part.near.items()}
        near |= {i: part.rows * across * e.tile, r: across * e.tile, q: e.tile}
        inside = {part.chunk: half.strides[0]}
        origin = self.dy.offset + first_image * n + (part.first + r0) * tile * h + q0 * tile * w
        found: list[Statement] = []
        for start, count, active in vectors(self.dy.shape[3], lanes):
            o, column, row = Var("o", count), Var("column", wide), Var("row", side)
            first, second = Lines(), Lines()
            given = [affine(place | {o: lanes, column: w}, origin + start + a * h) for a in range(tall)]
            values = [first.set(Load(self.dy.buffer, at, lanes, active)) for at in given]
            for a, value in enumerate(first.product(_turned(transforms(tile).back, tall), values)):
                first.store(half.buffer, affine(inside | {column: lanes}, a * side * lanes), value)
            turned = [affine(inside | {row: side * lanes}, b * lanes) for b in range(wide)]
            values = [second.set(Load(half.buffer, at, lanes)) for at in turned]
            for b, value in enumerate(second.product(_turned(transforms(tile).back, wide), values)):
                at = affine(
                    near | {o: lanes, row: side * e.position},
                    start + (r0 * across + q0) * e.tile + b * e.position,
                )
                second.store(e.buffer, at, value)
            found += nested([o], [*nested([column], first.statements), *nested([row], second.statements)])
        return nested([i, r, q], found)

    def products(
        self, chunk: Var, position: Var, tiles: int, v: Near, e: Near, sums: View, first: int, adds: bool
    ) -> list[Statement]:
        """sums[position, c, o] = sum over tiles of v[position, tile, c] * e[position, tile, o], or as much is added."""
        out = {"chunk": sums.strides[0], "position": self.position, "c": self.filters, "o": 1}
        c = Contraction(
            sizes={"position": position.extent, "c": self.channels, "tile": tiles, "o": self.filters},
            loops=("position",),
            rows=("c",),
            column="o",
            depth=("tile",),
            left=Operand(v.buffer, {"chunk": v.chunk, "position": v.position, "tile": v.tile, "c": 1}),
            right=Operand(e.buffer, {"chunk": e.chunk, "position": e.position, "tile": e.tile, "o": 1}),
            out=Operand(sums.buffer, out, first * sums.strides[0]),
            vectors=best_vectors(self.channels, self.filters, self.lanes),
            lanes=self.lanes,
            adds=adds,
        )
        body = contraction(c, {"chunk": chunk, "position": position})
        return body if chunk.name == "one" else nested([position], body)

    def turned(self, sums: View, scratch: Scratch) -> list[Kernel]:
        """G^T s G of the sums s of all parts, a channel in each chunk, turned."""
        side, lanes, filters = self.op.side, self.lanes, self.filters
        matrix = _turned(transforms(self.op.tile).kernel, side)
        parts, c, o = sums.shape[0], Var("c", self.channels), Var("o", filters // lanes)
        half = scratch.array(self.out.dtype, (self.channels, KERNEL * side * lanes))
        made = scratch.array(self.out.dtype, (KERNEL, KERNEL, self.channels, filters))
        column, row = Var("column", side), Var("row", KERNEL)
        first, second = Lines(), Lines()

        def total(a: int) -> Value:
            place = {c: filters, o: lanes, column: self.position}
            at = [affine(place, part * sums.strides[0] + a * side * self.position) for part in range(parts)]
            found: Value = Load(sums.buffer, at[0], lanes)
            for other in at[1:]:
                found = f.add(found, Load(sums.buffer, other, lanes))
            return first.set(found)

        inside = {c: half.strides[0]}
        for a, value in enumerate(first.product(matrix, [total(a) for a in range(side)])):
            first.store(half.buffer, affine(inside | {column: lanes}, a * side * lanes), value)
        turned = [affine(inside | {row: side * lanes}, b * lanes) for b in range(side)]
        values = [second.set(Load(half.buffer, at, lanes)) for at in turned]
        for b, value in enumerate(second.product(matrix, values)):
            at = affine({c: filters, o: lanes, row: made.strides[0]}, b * made.strides[1])
            second.store(made.buffer, at, value)
        body = nested([o], [*nested([column], first.statements), *nested([row], second.statements)])
        kernel = Kernel(self.op.name, (sums.buffer, half.buffer, made.buffer), c, tuple(body))
        strides = (1, filters, made.strides[0], made.strides[1])
        source = View(made.buffer, 0, self.out.shape, _real(self.out.shape, strides))
        return [kernel, *(pointwise(self.op.name, [self.out], [source], lambda values: [values[0]]) or [])]


def _turned(matrix: Matrix, columns: int) -> Matrix:
    """The first columns of the transposed matrix."""
    return tuple(row[:columns] for row in zip(*matrix, strict=True))


def _real(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    return tuple(0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True))
