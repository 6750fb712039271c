"""The loops of Winograd's convolutions: image tiles transformed, a product for each position, and transformed back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from graphnet.backend.native import functions as f
from graphnet.backend.native.contraction import Contraction, Finishing, Operand, by_parts, contraction, nested
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
    Splat,
    Statement,
    Store,
    Value,
    Var,
    affine,
)
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View
from graphnet.backend.native.winograd import (
    KERNEL,
    Matrix,
    Winograd,
    WinogradConvolution,
    WinogradWeights,
    transforms,
)
from graphnet.backend.native.winograd_choice import Blocks, blocks

_TOGETHER = 32  # channels of a chunk of weights, at most
_NEAR = 40 << 10  # bytes of a panel of weights that stay near while tiles pass by
_SPACED = 64  # bytes by which positions are further apart than they need: at powers of two they would share cache lines


def winograd(
    op: Winograd, out: View, inputs: Sequence[View], scratch: Scratch, finishing: Finishing | None = None
) -> list[Kernel] | None:
    """Kernels of the weights or of a convolution; None where there are none, or where its result cannot be finished."""
    if out.dtype not in ("f32", "f64"):
        return None
    if isinstance(op, WinogradWeights):
        (w,) = inputs
        return _weights(op, out, w, scratch)
    assert isinstance(op, WinogradConvolution)
    if finishing is not None and not finishing.is_in_vectors:
        return None
    x, u = inputs
    made: list[Kernel] = []
    if x.strides[3] != 1 and x.shape[3] != 1:  # channels are lanes: they have to lie side by side
        near = scratch.array(x.dtype, x.shape)
        made, x = copied(op.name, near, x), near
    return made + _Convolution(op, out, x, u, finishing).kernels(scratch)


# -- transforms ------------------------------------------------------------------------------------------------------


class _Lines:
    """Statements as they are written, each value in a register of its own."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    def set(self, value: Value) -> Value:
        register = Register(f"r{len(self.statements)}", value.dtype, value.width)
        self.statements.append(Set(register, value))
        return register

    def store(self, buffer: Buffer, index: Affine, value: Value, active: int | None = None) -> None:
        self.statements.append(Store(buffer, index, value, active))

    def sum(self, terms: Sequence[tuple[Fraction, Value]]) -> Value:
        """Of coefficients times values."""
        (scale, total), *rest = sorted(terms, key=lambda term: abs(term[0]) != 1)
        if scale == -1:
            total = Apply("neg", (total,))
        elif scale != 1:
            total = f.mul(_factor(total, scale), total)
        for scale, value in rest:
            total = self.added(total, scale, value)
        return self.set(total)

    def added(self, total: Value, scale: Fraction, value: Value) -> Value:
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
            if not _differ_in_signs(row, following):
                found.append(self.sum(terms))
                continue
            same = [(a, value) for a, b, value in zip(row, following, values, strict=True) if a and a == b]
            other = [(a, value) for a, b, value in zip(row, following, values, strict=True) if a and a != b]
            even, lead = self.sum(same), other[-1][0]
            odd = self.sum([(scale / lead, value) for scale, value in other])
            found += [self.set(self.added(even, lead, odd)), self.set(self.added(even, -lead, odd))]
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
    first, second = _Lines(), _Lines()
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
class _Near:
    """Scratch for each position, tile and channel: strides of chunks, positions and tiles, in elements."""

    buffer: Buffer
    chunk: int
    position: int
    tile: int


@dataclass(frozen=True)
class _Part:
    """Tiles that loops go through: of `images`, `rows` of tiles from `first` on, all columns, some channels.

    end: the row of tiles behind the last that they come to. chunk: of the kernel. steps: for variables of loops around
    them, by how many images, rows of tiles and channels they go on; near: by how many elements of v and m. channels:
    None for all.
    """

    images: int
    first: int
    rows: int
    end: int
    chunk: Var
    steps: Mapping[Var, tuple[int, int, int]] = field(default_factory=dict)
    near: Mapping[Var, tuple[int, int]] = field(default_factory=dict)
    channels: int | None = None


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

    def near(self, scratch: Scratch, chunks: int, tiles: int, channels: int) -> _Near:
        row = -(-channels // self.lanes) * self.lanes
        position = tiles * row + _SPACED // ELEMENTS[self.out.dtype]
        whole = scratch.array(self.out.dtype, (chunks, self.op.side**2 * position))
        return _Near(whole.buffer, self.op.side**2 * position, position, row)

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

    def buffers(self, *more: _Near | View) -> tuple[Buffer, ...]:
        finished = () if self.finishing is None else (*self.finishing.loads, *self.finishing.results)
        views = (self.out, self.x, self.u, *finished)
        return tuple(dict.fromkeys((*(view.buffer for view in views), *(near.buffer for near in more))))

    def fused(self, piece: Blocks, v: _Near, m: _Near, half: View) -> Kernel:
        """A chunk is some blocks of tiles, each of which goes all the way before the next begins."""
        chunk, image = Var("chunk", piece.chunks), Var("image_block", piece.image_blocks)
        down = Var("row_block", piece.row_blocks)
        by_image, by_row = piece.chunk_step
        steps = {
            chunk: (by_image, by_row, 0),
            image: (piece.images, 0, 0),
            down: (0, piece.rows, 0),
        }
        part = _Part(piece.images, piece.first_row, piece.rows, piece.end, chunk, steps, {chunk: (v.chunk, m.chunk)})
        tiles = piece.images * piece.rows * self.op.counts[1]
        body = [
            *self.transformed(part, v, half, piece.first_image),
            *self.products(chunk, Var("position", self.op.side**2), tiles, v, m),
            *self.finished(part, m, half, piece.first_image),
        ]
        return Kernel(self.op.name, self.buffers(v, m, half), chunk, tuple(nested([image, down], body)))

    def staged(self, v: _Near, m: _Near, scratch: Scratch) -> list[Kernel]:
        """All tiles are transformed, then come all products, each a chunk, then all is transformed back."""
        tiles = self.out.shape[0] * self.op.counts[0] * self.op.counts[1]
        chunk, one = Var("position", self.op.side**2), Var("one", 1)
        first, before = self.parts(self.x.shape[3], v.tile, 0)
        last, after = self.parts(self.op.filters, m.tile, 1)
        half = self.half(scratch, max(first.extent, last.extent))
        bodies = (
            self.transformed(before, v, half),
            self.products(one, chunk, tiles, v, m),
            self.finished(after, m, half),
        )
        used = (self.x.buffer, v.buffer, half.buffer), (self.u.buffer, v.buffer, m.buffer), self.buffers(m, half)
        return [
            Kernel(self.op.name, buffers, var, tuple(body))
            for buffers, var, body in zip(used, (first, chunk, last), bodies, strict=True)
        ]

    def parts(self, channels: int, tile: int, which: int) -> tuple[Var, _Part]:
        """The chunks of a transform: images, or where these are few, some channels each."""
        rows, columns = self.op.counts
        images, vectors = self.out.shape[0], channels // self.lanes
        if images < 8 and channels % self.lanes == 0 and vectors > images:
            count = max(d for d in range(1, min(16, vectors) + 1) if vectors % d == 0)
            chunk, width = Var("part", count), channels // count
            return chunk, _Part(images, 0, rows, rows, chunk, {chunk: (0, 0, width)}, {chunk: (width, width)}, width)
        chunk, step = Var("image", images), rows * columns * tile
        return chunk, _Part(1, 0, rows, rows, chunk, {chunk: (1, 0, 0)}, {chunk: (step, step)})

    def products(self, chunk: Var, position: Var, tiles: int, v: _Near, m: _Near) -> list[Statement]:
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
        body: list[Statement] = []
        for part in by_parts(c, "c", max(1, _NEAR // (width * ELEMENTS[self.out.dtype]))):
            body += contraction(part, {"chunk": chunk, "position": position})
        return body if chunk.name == "one" else nested([position], body)

    def transformed(self, part: _Part, v: _Near, half: View, first_image: int = 0) -> list[Statement]:
        """v[position, tile, c] = B^T d B of each tile d and channel."""
        tile, side, lanes = self.op.tile, self.op.side, self.lanes
        matrix, columns = transforms(tile).image, self.op.counts[1]
        n, h, w, _ = self.x.strides
        i, r, q = Var("i", part.images), Var("r", part.rows), Var("q", columns)
        place = {var: images * n + rows * tile * h + channel for var, (images, rows, channel) in part.steps.items()}
        place |= {i: n, r: tile * h, q: tile * w}
        near = {var: step for var, (step, _) in part.near.items()}
        near |= {i: part.rows * columns * v.tile, r: columns * v.tile, q: v.tile}
        inside = {part.chunk: half.strides[0]}
        origin = self.x.offset + first_image * n + part.first * tile * h
        found: list[Statement] = []
        for start, count, active in _vectors(part.channels or self.x.shape[3], lanes):
            c, down, across = Var("c", count), Var("column", side), Var("row", side)
            first, second = _Lines(), _Lines()
            given = [affine(place | {c: lanes, down: w}, origin + start + a * h) for a in range(side)]
            image = [first.set(Load(self.x.buffer, at, lanes, active)) for at in given]
            for a, value in enumerate(first.product(matrix, image)):
                first.store(half.buffer, affine(inside | {down: lanes}, a * side * lanes), value)
            turned = [affine(inside | {across: side * lanes}, b * lanes) for b in range(side)]
            for b, value in enumerate(
                second.product(matrix, [second.set(Load(half.buffer, at, lanes)) for at in turned])
            ):
                at = affine(near | {c: lanes, across: side * v.position}, start + b * v.position)
                second.store(v.buffer, at, value)
            found += nested([c], [*nested([down], first.statements), *nested([across], second.statements)])
        return nested([i, r, q], found)

    def finished(self, part: _Part, m: _Near, half: View, first_image: int = 0) -> list[Statement]:
        """The results, A^T m A of each tile and filter, for the places of each tile that there are."""
        (height, width), (_, columns) = self.op.size, self.op.counts
        found: list[Statement] = []
        for r0, down, tall in _classes(part.rows, part.end * self.op.tile - height):
            for q0, right, wide in _classes(columns, columns * self.op.tile - width):
                found += self._back(part, m, half, first_image, (r0, down, tall), (q0, right, wide))
        return found

    def _back(
        self,
        part: _Part,
        m: _Near,
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
        corner = (r0 * across + q0) * m.tile
        found: list[Statement] = []
        for start, count, active in _vectors(part.channels or self.op.filters, lanes):
            along, column, row = Var("o", count), Var("column", side), Var("row", tile - lower)

            def place(view: View, b: int, start: int = start, along: Var = along, row: Var = row) -> Affine:
                n, h, w, o = view.strides
                steps = {var: im * n + ro * tile * h + ch * o for var, (im, ro, ch) in part.steps.items()}
                steps |= {i: n, r: tile * h, q: tile * w, along: lanes * o, row: h}
                at = first_image * n + (part.first + r0) * tile * h + (q0 * tile + b) * w + start * o
                return affine(steps, view.offset + at)

            first, second = _Lines(), _Lines()
            given = [
                affine(near | {along: lanes, column: m.position}, start + corner + a * side * m.position)
                for a in range(side)
            ]
            for a, value in enumerate(first.product(matrix, [first.set(Load(m.buffer, at, lanes)) for at in given])):
                first.store(half.buffer, affine(inside | {column: lanes}, a * side * lanes), value)
            turned = [affine(inside | {row: side * lanes}, b * lanes) for b in range(side)]
            results = second.product(matrix, [second.set(Load(half.buffer, at, lanes)) for at in turned])
            for b, total in enumerate(results[: tile - beyond]):
                self._stored(second, total, partial(place, b=b), None if active == lanes else active)
            found += nested([along], [*nested([column], first.statements), *nested([row], second.statements)])
        return nested([i, r, q], found)

    def _stored(self, lines: _Lines, total: Value, place: Callable[[View], Affine], active: int | None) -> None:
        """What is made of a result; `place` says where it lies in a view."""
        if self.finishing is None:
            return lines.store(self.out.buffer, place(self.out), total, active)
        beside: list[Value] = []
        for view in self.finishing.loads:
            if view.strides[3] == 0 and self.lanes > 1:
                beside.append(Splat(Load(view.buffer, place(view)), self.lanes))
            else:
                beside.append(Load(view.buffer, place(view), self.lanes, active))
        statements, values = self.finishing.make(total, beside)
        lines.statements += statements
        for view, value in zip(self.finishing.results, values, strict=True):
            lines.store(view.buffer, place(view), value, active)
        return None


def _vectors(channels: int, lanes: int) -> list[tuple[int, int, int]]:
    """(first channel, vectors, lanes of each that count): the whole vectors, then what is left."""
    whole, rest = divmod(channels, lanes)
    found = [(0, whole, lanes)] if whole else []
    return [*found, (whole * lanes, 1, rest)] if rest else found


def _classes(tiles: int, beyond: int) -> list[tuple[int, int, int]]:
    """(first, how many, places that each lacks) for tiles in a line, the last of which reaches `beyond` the edge."""
    if beyond <= 0:
        return [(0, tiles, 0)]
    found = [(0, tiles - 1, 0)] if tiles > 1 else []
    return [*found, (tiles - 1, 1, beyond)]
