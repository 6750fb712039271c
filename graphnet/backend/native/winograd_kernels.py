"""The loops of Winograd's convolutions: image tiles transformed, a product for each position, and transformed back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

from graphnet.backend.native.contraction import FAR, LINE, Contraction, Finishing, Operand, contraction, finish, nested
from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Apply,
    Buffer,
    Kernel,
    Load,
    Statement,
    Value,
    Var,
    affine,
)
from graphnet.backend.native.parting import asking, by_parts
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View
from graphnet.backend.native.winograd import (
    KERNEL,
    Winograd,
    WinogradConvolution,
    WinogradFilterGradient,
    WinogradWeights,
    transforms,
)
from graphnet.backend.native.winograd_choice import Blocks, blocks
from graphnet.backend.native.winograd_gradient import filter_gradient
from graphnet.backend.native.winograd_tiles import Lines, Near, Part, classes, image_tiles, room, side_by_side, vectors

_TOGETHER = 32  # channels of a chunk of weights, at most
_IMAGES = 8  # that are enough chunks
_NEAR = 40 << 10  # bytes of a panel of weights that stay near while tiles pass by


def winograd(
    op: Winograd, out: View, inputs: Sequence[View], scratch: Scratch, finishing: Finishing | None = None
) -> list[Kernel] | None:
    """Kernels of the weights or of a convolution; None where there are none, or where its result cannot be finished."""
    if out.dtype not in ("f32", "f64"):
        return None
    if isinstance(op, WinogradWeights):
        (w,) = inputs
        return _weights(op, out, w, scratch)
    if finishing is not None and not finishing.is_in_vectors:
        return None
    made, (x, u) = side_by_side(op, inputs, scratch)
    if isinstance(op, WinogradFilterGradient):
        return made + filter_gradient(op, out, x, u, scratch) if finishing is None else None
    assert isinstance(op, WinogradConvolution)
    return made + _Convolution(op, out, x, u, finishing).kernels(scratch)


# -- weights ---------------------------------------------------------------------------------------------------------


def _weights(op: WinogradWeights, out: View, w: View, scratch: Scratch) -> list[Kernel]:
    """A chunk is a panel or, where these are few, some channels."""
    panels, _, _, channels, width = w.shape
    lanes, side = target().lanes(ELEMENTS[w.dtype]), op.side
    together = max(d for d in range(1, min(channels, _TOGETHER) + 1) if channels % d == 0)
    panel, part = Var("panel", panels), Var("part", channels // together)
    chunk, inner = (panel, part) if panels >= part.extent else (part, panel)
    c, v = Var("c", together), Var("v", width // lanes)
    row = width * channels
    own = {panel: KERNEL**2 * row, part: together * width, c: width, v: lanes}
    made = {panel: row, part: together * width, c: width, v: lanes}
    half = scratch.array("f64", (chunk.extent, side * KERNEL * lanes))
    near = {chunk: side * KERNEL * lanes}
    kernel = transforms(op.tile).kernel

    def loaded(i: int, column: Var) -> Value:
        forth = {column: -row} if op.turned else {column: row}
        first = (KERNEL**2 - 1 - i * KERNEL if op.turned else i * KERNEL) * row
        value: Value = Load(w.buffer, affine(own | forth, w.offset + first), lanes)
        return value if w.dtype == "f64" else Apply("cast", (value,), "f64")

    down, across = Var("column", KERNEL), Var("row", side)
    first, second = Lines(), Lines()
    for a, value in enumerate(first.product(kernel, [first.set(loaded(i, down)) for i in range(KERNEL)])):
        first.store(half.buffer, affine(near | {down: lanes}, a * KERNEL * lanes), value)
    rows = [
        second.set(Load(half.buffer, affine(near | {across: KERNEL * lanes}, j * lanes), lanes)) for j in range(KERNEL)
    ]
    for b, value in enumerate(second.product(kernel, rows)):
        rounded = value if out.dtype == "f64" else Apply("cast", (value,), out.dtype)
        plane = panels * row
        second.store(out.buffer, affine(made | {across: side * plane}, out.offset + b * plane), rounded)
    body = nested([inner, c, v], [*nested([down], first.statements), *nested([across], second.statements)])
    return [Kernel(op.name, (out.buffer, w.buffer, half.buffer), chunk, tuple(body))]


# -- convolutions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Convolution:
    op: WinogradConvolution
    out: View
    x: View
    u: View
    finishing: Finishing | None

    @property
    def lanes(self) -> int:
        return target().lanes(ELEMENTS[self.out.dtype])

    @property
    def columns(self) -> int:
        """Of products: the filters, up to whole panels."""
        return self.u.shape[1] * self.u.shape[3]

    def near(self, scratch: Scratch, chunks: int, tiles: int, channels: int) -> Near:
        """Room for tiles at each position."""
        row = -(-channels // self.lanes) * self.lanes
        return room(scratch, self.out.dtype, chunks, self.op.side**2, tiles, row)

    def transformed(self, part: Part, v: Near, half: View, first_image: int = 0) -> list[Statement]:
        """v[position, tile, c] = B^T d B of each tile d and channel."""
        return image_tiles(self.x, self.op.tile, self.op.counts[1], self.lanes, part, v, half, first_image)

    def kernels(self, scratch: Scratch) -> list[Kernel]:
        """The kernels of the way that fits the sizes."""
        columns = self.op.counts[1]
        way = blocks(self.op.tile, self.out.shape, self.x.shape[3], ELEMENTS[self.out.dtype])
        most = max(piece.chunks for piece in way)
        tiles = max(piece.images * piece.rows for piece in way) * columns
        v = self.near(scratch, most, tiles, self.x.shape[3])
        m = self.near(scratch, most, tiles, self.columns)
        if len(way) == 1 and way[0].is_whole:
            return self.staged(v, m, scratch)
        half = self.half(scratch, most)
        return [self.fused(piece, v, m, half) for piece in way]

    def half(self, scratch: Scratch, chunks: int) -> View:
        """Room for a tile that is transformed along one axis."""
        return scratch.array(self.out.dtype, (chunks, self.op.side**2 * self.lanes))

    def buffers(self, *more: Near | View) -> tuple[Buffer, ...]:
        finished = () if self.finishing is None else (*self.finishing.loads, *self.finishing.results)
        views = (self.out, self.x, self.u, *finished)
        return tuple(dict.fromkeys((*(view.buffer for view in views), *(near.buffer for near in more))))

    def fused(self, piece: Blocks, v: Near, m: Near, half: View) -> Kernel:
        """A chunk is some blocks of tiles, each of which goes all the way before the next begins."""
        chunk, image = Var("chunk", piece.chunks), Var("image_block", piece.image_blocks)
        down = Var("row_block", piece.row_blocks)
        by_image, by_row = piece.chunk_step
        steps = {
            chunk: (by_image, by_row, 0),
            image: (piece.images, 0, 0),
            down: (0, piece.rows, 0),
        }
        part = Part(piece.images, piece.first_row, piece.rows, piece.end, chunk, steps, {chunk: (v.chunk, m.chunk)})
        tiles = piece.images * piece.rows * self.op.counts[1]
        body = [
            *self.transformed(part, v, half, piece.first_image),
            *self.products(chunk, Var("position", self.op.side**2), tiles, v, m),
            *self.finished(part, m, half, piece.first_image),
        ]
        return Kernel(self.op.name, self.buffers(v, m, half), chunk, tuple(nested([image, down], body)))

    def staged(self, v: Near, m: Near, scratch: Scratch) -> list[Kernel]:
        """All tiles are transformed, then come all products, each a chunk, then all is transformed back."""
        tiles = self.out.shape[0] * self.op.counts[0] * self.op.counts[1]
        chunk, one = Var("position", self.op.side**2), Var("one", 1)
        kernels: list[Kernel] = []
        for before in self.parts(self.x.shape[3], v.tile, beyond=0):
            half = self.half(scratch, before.chunk.extent)
            body = self.around(before, self.transformed(before, v, half))
            kernels.append(Kernel(self.op.name, (self.x.buffer, v.buffer, half.buffer), before.chunk, tuple(body)))
        body = self.products(one, chunk, tiles, v, m)
        kernels.append(Kernel(self.op.name, (self.u.buffer, v.buffer, m.buffer), chunk, tuple(body)))
        beyond = self.op.counts[0] * self.op.tile - self.op.size[0]
        for after in self.parts(self.op.filters, m.tile, beyond):
            half = self.half(scratch, after.chunk.extent)
            body = self.around(after, self.finished(after, m, half))
            kernels.append(Kernel(self.op.name, self.buffers(m, half), after.chunk, tuple(body)))
        return kernels

    def around(self, part: Part, body: Sequence[Statement]) -> list[Statement]:
        """Within loops over what the part goes on by, but for its chunk."""
        return nested([var for var in part.steps if var is not part.chunk], body)

    def parts(self, channels: int, tile: int, beyond: int) -> list[Part]:
        """The chunks of a transform: images or, where these are few, rows of tiles, or some channels each.

        Channels of a chunk fill lines of memory: no two threads write to one. Where the last row of tiles reaches
        `beyond` the lower edge, it is a part by itself.
        """
        rows, columns = self.op.counts
        images = self.out.shape[0]
        image, step = Var("image", images), rows * columns * tile
        if images >= _IMAGES:
            return [Part(1, 0, rows, rows, image, {image: (1, 0, 0)}, {image: (step, step)})]
        line = max(self.lanes, LINE // ELEMENTS[self.out.dtype])
        pieces = channels // line if channels % line == 0 else 1
        if pieces >= max(rows, images):
            count = max(d for d in range(1, min(16, pieces) + 1) if pieces % d == 0)
            chunk, width = Var("part", count), channels // count
            return [Part(images, 0, rows, rows, chunk, {chunk: (0, 0, width)}, {chunk: (width, width)}, width)]
        if images >= rows:
            return [Part(1, 0, rows, rows, image, {image: (1, 0, 0)}, {image: (step, step)})]
        found = []
        whole = rows - 1 if beyond else rows
        for first, count in ((0, whole), (whole, rows - whole)):
            if count:
                chunk, row = Var("row", count), columns * tile
                steps, near = {chunk: (0, 1, 0), image: (1, 0, 0)}, {chunk: (row, row), image: (step, step)}
                found.append(Part(1, first, 1, first + count, chunk, steps, near, start=first * row))
        return found

    def products(self, chunk: Var, position: Var, tiles: int, v: Near, m: Near) -> list[Statement]:
        """m[position, tile, o] = sum over c of v[position, tile, c] * u[position, c, o]."""
        _, panels, channels, width = self.u.shape
        c = Contraction(
            sizes={"position": position.extent, "tile": tiles, "c": channels, "o": self.columns},
            loops=("position",),
            rows=("tile",),
            column="o",
            depth=("c",),
            left=Operand(v.buffer, {"chunk": v.chunk, "position": v.position, "tile": v.tile, "c": 1}),
            right=Operand(
                self.u.buffer,
                {"position": panels * channels * width, "c": width, "o": 1},
                self.u.offset,
                panel=channels * width,
                padded=True,
            ),
            out=Operand(m.buffer, {"chunk": m.chunk, "position": m.position, "tile": m.tile, "o": 1}),
            vectors=width // self.lanes,
            lanes=self.lanes,
        )
        is_far = chunk.name == "one" and prod(self.u.shape) * ELEMENTS[self.u.dtype] > FAR
        body: list[Statement] = []
        for part in by_parts(c, "c", max(1, _NEAR // (width * ELEMENTS[self.out.dtype]))):
            if is_far:
                part = asking(part, "c")
            body += contraction(part, {"chunk": chunk, "position": position})
        return body if chunk.name == "one" else nested([position], body)

    def finished(self, part: Part, m: Near, half: View, first_image: int = 0) -> list[Statement]:
        """The results, A^T m A of each tile and filter, for the places of each tile that there are."""
        (height, width), (_, columns) = self.op.size, self.op.counts
        found: list[Statement] = []
        for r0, down, tall in classes(part.rows, part.end * self.op.tile - height):
            for q0, right, wide in classes(columns, columns * self.op.tile - width):
                found += self._back(part, m, half, first_image, (r0, down, tall), (q0, right, wide))
        return found

    def _back(
        self,
        part: Part,
        m: Near,
        half: View,
        first_image: int,
        rows: tuple[int, int, int],
        columns: tuple[int, int, int],
    ) -> list[Statement]:
        """For `rows` of tiles, (first, how many, what each lacks), and `columns`, likewise."""
        tile, side, lanes, matrix = self.op.tile, self.op.side, self.lanes, transforms(self.op.tile).back
        (r0, down, lower), (q0, right, beyond) = rows, columns
        i, r, q, across = Var("i", part.images), Var("r", down), Var("q", right), self.op.counts[1]
        near = {var: step for var, (_, step) in part.near.items()}
        near |= {i: part.rows * across * m.tile, r: across * m.tile, q: m.tile}
        inside = {part.chunk: half.strides[0]}
        corner = part.start + (r0 * across + q0) * m.tile
        found: list[Statement] = []
        for start, count, active in vectors(part.channels or self.op.filters, lanes):
            along, column, row = Var("o", count), Var("column", side), Var("row", tile - lower)

            def place(view: View, b: int, start: int = start, along: Var = along, row: Var = row) -> Affine:
                n, h, w, o = view.strides
                steps = {var: im * n + ro * tile * h + ch * o for var, (im, ro, ch) in part.steps.items()}
                steps |= {i: n, r: tile * h, q: tile * w, along: lanes * o, row: h}
                at = first_image * n + (part.first + r0) * tile * h + (q0 * tile + b) * w + start * o
                return affine(steps, view.offset + at)

            first, second = Lines(), Lines()
            given = [
                affine(near | {along: lanes, column: m.position}, start + corner + a * side * m.position)
                for a in range(side)
            ]
            for a, value in enumerate(first.product(matrix, [first.set(Load(m.buffer, at, lanes)) for at in given])):
                first.store(half.buffer, affine(inside | {column: lanes}, a * side * lanes), value)
            turned = [affine(inside | {row: side * lanes}, b * lanes) for b in range(side)]
            results = second.product(matrix, [second.set(Load(half.buffer, at, lanes)) for at in turned])
            for b, total in enumerate(results[: tile - beyond]):
                some = None if active == lanes else active
                second.statements += finish(total, self.out, self.finishing, partial(place, b=b), lanes, some)
            found += nested([along], [*nested([column], first.statements), *nested([row], second.statements)])
        return nested([i, r, q], found)
