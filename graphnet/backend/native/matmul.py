"""Matrix products as contractions, with operands packed first where they lie badly.

Packed is what a kernel reads again and again, but finds far apart: columns that are not neighbours, or so many lines of
memory a power of two apart that the cache has no place for them (Goto and van de Geijn, 2008, pack always).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import gcd

from graphnet.backend.native.choices import MODEL, Choice
from graphnet.backend.native.contraction import (
    FAR,
    LINE,
    Contraction,
    Finishing,
    Operand,
    best_vectors,
    contraction,
    cycles,
    most_rows,
    nested,
    panels,
    row_tiles,
)
from graphnet.backend.native.dots import dots
from graphnet.backend.native.elementwise import added
from graphnet.backend.native.loops import ELEMENTS, Kernel, Statement, Var
from graphnet.backend.native.packing import fill_left, fill_right
from graphnet.backend.native.parting import by_parts, cut_out
from graphnet.backend.native.target import target
from graphnet.backend.native.triangles import LEFT_LOWER, LEFT_UPPER
from graphnet.backend.native.views import Scratch, View

_WORK = 1 << 18  # multiplications of a chunk, at least
_CHUNKS = 16  # of a product, at most
_TALL = 64  # rows of a chunk of which each reads a right operand that does not stay in the second-level cache
_EQUAL = 1.02  # of the time of the whole: for more, rows are not cut into equal chunks
_DEPTH = 64  # of a block, where the left operand is far apart along the depth and is not packed
_BLOCKS = 4  # of rows of a triangle, at most
_ROWS = 24  # of the result: for fewer, packing the right operand does not pay
_FEW = 4  # rows or columns: for as few, vectors along them would be mostly empty
_PANELS = 3  # of the result: for fewer, packing the left operand does not pay
_DEEP = 256  # rows of the right operand: for more, a panel that is not packed leaves the first-level cache
_LONG = 8 * _DEEP  # depth, and
_LARGE = 16 << 20  # bytes of the right operand, from which on a product packs both operands block by block
_SHORT = 256  # rows of the result, at most, that share what is packed of the right operand then
_PARTS = 8  # chunks of such a product, at least
_REACH = 48 * 4096  # bytes of memory that the TLB knows at once, nearly
_SETS, _WAYS = 64, 8  # of lines: so many the first-level cache holds


def matmul(
    out: View,
    a: View,
    b: View,
    scratch: Scratch,
    finishing: Finishing | None = None,
    choice: Choice = MODEL,
    triangle: str | None = None,
) -> list[Kernel] | None:
    """out = a @ b; None for integers. Vectors run along the result's columns or, the product turned, along its rows.

    triangle: what of a batch of products need not be worked out, as `TriangularMatmul` says. Where there are few rows
    and both operands lie along the depth, elements are dot products of two rows.
    """
    if out.dtype not in ("f32", "f64"):
        return None
    lanes = target().lanes(ELEMENTS[out.dtype])
    batch = out.shape[:-2]
    a, b = (view.broadcast((*batch, *view.shape[-2:])) for view in (a, b))
    turned = None if finishing is None else finishing.moved(View.turned)
    ways = [(a, b, out, lanes, finishing), (b.turned(), a.turned(), out.turned(), lanes, turned)]
    able = [_Product(*way, choice) for way in ways if way[2].has_neighbours] or [_Product(a, b, out, 1, finishing)]
    product = min(able, key=lambda way: way.packing)
    if product.out is out:
        product = replace(product, triangle=triangle)
    if product.finishing is not None and not (product.lanes == 1 or product.finishing.is_in_vectors):
        return None
    if batch:
        return [product.kernel(scratch)]
    along_depth = a.strides[1] == 1 and b.strides[0] == 1 and a.shape[1] >= lanes
    few = min(out.shape) <= _FEW or (product.sizes[0] < _ROWS and not product.right.has_neighbours)
    if along_depth and few:
        return dots(out, a, b, lanes) if finishing is None else None
    if product.is_long:
        return product.by_depth(scratch)
    if product.sizes[0] >= _ROWS:
        return product.by_rows(scratch)
    return product.by_columns(scratch)


def _far(rows: int, stride: int, size: int) -> bool:
    """Whether a line each of `rows` rows, `stride` elements apart, is too much for the first-level cache or its TLB."""
    lines = stride * size // LINE
    return lines > 0 and (rows > _SETS // gcd(_SETS, lines) * _WAYS * 3 // 4 or rows * lines * LINE > _REACH)


@dataclass(frozen=True)
class _Product:
    """out = left @ right along the last two axes, for each index of those in front; vectors have `lanes` columns.

    Parts of a product, whose right operand it has packed already, have panels as wide as its own, whatever they cost.
    """

    left: View
    right: View
    out: View
    lanes: int
    finishing: Finishing | None = None
    choice: Choice = MODEL
    triangle: str | None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows, columns and depth."""
        return self.out.shape[-2], self.out.shape[-1], self.left.shape[-1]

    @property
    def vectors(self) -> int:
        """Of a panel."""
        return self.choice.panel or best_vectors(self.sizes[0], self.sizes[1], self.lanes)

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.vectors * self.lanes

    @property
    def packs_right(self) -> bool:
        rows, columns, depth = self.sizes
        if self.lanes == 1 or not self.right.has_neighbours:
            return self.lanes > 1
        if self.choice.right is not None:
            return self.choice.right
        far = _far(depth, self.right.strides[-2], ELEMENTS[self.out.dtype])
        return rows >= _ROWS and columns > self.lanes and (far or depth > _DEEP)

    @property
    def packs_left(self) -> bool:
        if self.choice.left is not None:
            return self.lanes > 1 and self.choice.left
        return self.lanes > 1 and self.left.strides[-1] != 1 and self.sizes[1] >= _PANELS * self.width

    @property
    def packing(self) -> int:
        """How many elements are copied."""
        rows, columns, depth = self.sizes
        return depth * (columns * self.packs_right + rows * self.packs_left)

    @property
    def chunk(self) -> int:
        """The axis in front whose indices are a chunk each: the first of several, such as the heads of one image."""
        return next((axis for axis, size in enumerate(self.out.shape[:-2]) if size > 1), 0)

    @property
    def is_long(self) -> bool:
        """Whether the right operand, packed as a whole, would go through far memory twice more.

        So it is in weight gradients of many rows. Sizes and strides alone say it, since it decides the order of sums.
        """
        rows, columns, depth = self.sizes
        large = depth >= _LONG and columns * depth * ELEMENTS[self.out.dtype] >= _LARGE
        crosswise = self.left.strides[-1] != 1 and self.right.has_neighbours
        plain = self.lanes > 1 and self.finishing is None and self.triangle is None
        return plain and crosswise and large and rows >= _TALL

    # -- the parts of a product ----------------------------------------------------------------------------------------

    def by_rows(self, scratch: Scratch) -> list[Kernel]:
        """Blocks of rows are a chunk each; the right operand, where it is packed, before all."""
        _, columns, depth = self.sizes
        kernels: list[Kernel] = []
        packed = None
        if self.packs_right:
            packed = scratch.array(self.out.dtype, (-(-columns // self.width), depth, self.width))
            for first, wide, _, times in panels(columns, self.vectors, self.lanes):
                source = self.right.cut(1, first, wide, times)
                target = packed.cut(0, first // self.width, 1, times)
                chunk = Var("panel", times)
                filled = fill_right(source, target, [chunk], self.vectors, self.lanes)
                kernels.append(Kernel("pack", (packed.buffer, source.buffer), chunk, tuple(filled)))
        for first, size, times in self._blocks():
            cut = partial(View.cut, axis=0, first=first, size=size, times=times)
            finishing = None if self.finishing is None else self.finishing.moved(cut)
            rows = (cut(self.left), self.right.again(times), cut(self.out))
            part = _Product(*rows, self.lanes, finishing, replace(self.choice, panel=self.vectors))
            kernels.append(part.kernel(scratch, None if packed is None else packed.again(times)))
        return kernels

    def by_depth(self, scratch: Scratch) -> list[Kernel]:
        """Blocks of rows are a chunk each and, where these are few, parts of the depth, whose sums are added at last.

        A chunk packs a block of the depth at a time: as much of either operand as stays near until it has been read.
        """
        rows, columns, depth = self.sizes
        blocks = -(-rows // _SHORT)
        parts = -(-_PARTS // blocks)
        choice = replace(self.choice, panel=self.vectors, right=True, left=True)
        if parts == 1:
            return self._blockwise(blocks, scratch, choice)
        sums = scratch.array(self.out.dtype, (parts, rows, columns))
        each = [View(sums.buffer, part * rows * columns, self.out.shape, (columns, 1)) for part in range(parts)]
        kernels, part = [], 0
        for first, deep, times in _even(depth, parts):
            left, right = self.left.cut(1, first, deep, times), self.right.cut(0, first, deep, times)
            if blocks == 1:
                out = replace(sums, offset=each[part].offset, shape=(times, rows, columns))
                kernels.append(_Product(left, right, out, self.lanes, choice=choice).kernel(scratch, blockwise=True))
            else:
                for number in range(times):
                    one = _Product(left.at(number), right.at(number), each[part + number], self.lanes)
                    kernels += one._blockwise(blocks, scratch, choice)
            part += times
        return kernels + added("matmul", self.out, each)

    def _blockwise(self, blocks: int, scratch: Scratch, choice: Choice) -> list[Kernel]:
        """So many blocks of rows, a chunk each."""
        kernels = []
        for first, tall, times in _even(self.sizes[0], blocks):
            rows = (
                self.left.cut(0, first, tall, times),
                self.right.again(times),
                self.out.cut(0, first, tall, times),
            )
            kernels.append(_Product(*rows, self.lanes, choice=choice).kernel(scratch, blockwise=True))
        return kernels

    def _blocks(self) -> list[tuple[int, int, int]]:
        """(first row, rows of a chunk, chunks): equal chunks where they can be tiled as well as the whole."""
        rows, columns, depth = self.sizes
        is_near = columns * depth * ELEMENTS[self.out.dtype] <= FAR
        most = _CHUNKS if is_near or rows >= _CHUNKS * _TALL else _CHUNKS // 2
        least = cycles(rows, columns, self.vectors, self.lanes)
        for count in range(min(rows, most), 1, -1):
            each = rows // count
            equal = rows % count == 0 and each * columns * depth >= _WORK
            if equal and count * cycles(each, columns, self.vectors, self.lanes) <= _EQUAL * least:
                return [(0, each, count)]
        found = []
        for first, tall, count in row_tiles(rows, most_rows(self.vectors)):
            found += _shared(first, tall, count, tall * columns * depth)
        return found

    def by_columns(self, scratch: Scratch) -> list[Kernel]:
        """Blocks of columns are a chunk each."""
        rows, columns, depth = self.sizes
        kernels = []
        chunks = [
            chunk
            for first, wide, _, count in panels(columns, self.vectors, self.lanes)
            for chunk in _shared(first, wide, count, rows * wide * depth)
        ]
        for first, size, times in chunks:
            cut = partial(View.cut, axis=1, first=first, size=size, times=times)
            finishing = None if self.finishing is None else self.finishing.moved(cut)
            columns_of = (self.left.again(times), cut(self.right), cut(self.out))
            kernels.append(_Product(*columns_of, self.lanes, finishing, self.choice).kernel(scratch))
        return kernels

    def kernel(self, scratch: Scratch, packed: View | None = None, blockwise: bool = False) -> Kernel:
        """Each index of a batch's axis is a chunk, which packs what it needs, but for what is packed already.

        blockwise: of either operand a block of the depth at a time.
        """
        *outer, _, depth = self.left.shape
        variables = [Var(f"batch{axis}", size) for axis, size in enumerate(outer)]
        given = {var.name: var for var in variables}
        columns = self.sizes[1]
        body: list[Statement] = []
        if packed is None and self.packs_right:
            packed = self._near(
                scratch, (-(-columns // self.width), min(depth, _DEEP) if blockwise else depth, self.width)
            )
            if not blockwise:
                body += fill_right(self.right, packed, variables, self.vectors, self.lanes)
        whole = self._contraction(None if blockwise else packed, variables)
        tiled = self._near(scratch, (self.sizes[0] * min(depth, _DEEP),)) if self.packs_left else None
        for piece in self._pieces(whole):
            body += self._summed(piece, tiled, given, packed if blockwise else None)
        finished = () if self.finishing is None else (*self.finishing.loads, *self.finishing.results)
        views = [view for view in (self.out, self.left, self.right, packed, tiled, *finished) if view is not None]
        chunk = variables[self.chunk]
        loops = [var for var in variables if var is not chunk]
        return Kernel("matmul", tuple(dict.fromkeys(view.buffer for view in views)), chunk, tuple(nested(loops, body)))

    def _summed(
        self, c: Contraction, tiled: View | None, given: Mapping[str, Var], near: View | None = None
    ) -> list[Statement]:
        """The loops of `c`, its left operand packed into `tiled`, the right one into `near`, where these are given."""
        if tiled is None or not c.depth:
            far = c.left.strides["depth"] != 1 and bool(c.depth)
            parts = by_parts(c, "depth", _DEPTH) if far else [c]
            return [statement for part in parts for statement in contraction(part, given)]
        body: list[Statement] = []
        for part in by_parts(c, "depth", _DEEP):
            blocks = [Var(name, part.sizes[name]) for name in part.loops if name not in given]
            known = {**given, **{var.name: var for var in blocks}}
            left, filled = fill_left(part, tiled, known)
            packed = replace(part, left=left)
            if near is not None:
                right, more = self._block_of_right(part, near, known, len(given))
                packed, filled = replace(packed, right=right), [*filled, *more]
            body += nested(blocks, [*filled, *contraction(packed, known)])
        return body

    def _block_of_right(
        self, part: Contraction, near: View, known: Mapping[str, Var], outer: int
    ) -> tuple[Operand, list[Statement]]:
        """The right operand of a block of the depth in `near`, and what packs it. known: the variables around it, of
        which the first `outer` are those of the product."""
        depth, columns, around = part.sizes["depth"], part.sizes["column"], list(known.values())
        strides = tuple(part.right.strides.get(name, 0) for name in (*known, "depth", "column"))
        shape = (*(var.extent for var in around), depth, columns)
        source = View(part.right.buffer, part.right.offset, shape, strides)
        own = (*near.strides[:outer], *(0 for _ in around[outer:]))
        filled = fill_right(source, replace(near, strides=own), around, self.vectors, self.lanes)
        along = dict(zip(known, own, strict=True)) | {"depth": self.width, "column": 1}
        return Operand(near.buffer, along, near.offset, panel=depth * self.width, padded=True), filled

    def _pieces(self, c: Contraction) -> list[Contraction]:
        """What has to be worked out: all, or of a triangle blocks of rows, with zeros for what nobody looks at."""
        rows, columns, depth = self.sizes
        if self.triangle is None:
            return [c]
        size = -(-rows // (_BLOCKS * self.width)) * self.width
        found = []
        for first in range(0, rows, size):
            end = min(first + size, rows)
            block = {"row": (first, end - first)}
            if self.triangle == LEFT_LOWER:
                found.append(cut_out(c, block | {"depth": (0, end)}))
            elif self.triangle == LEFT_UPPER:
                found.append(cut_out(c, block | {"depth": (first, depth - first)}))
            else:
                found.append(cut_out(c, block | {"column": (0, end)}))
                if end < columns:
                    found.append(replace(cut_out(c, block | {"column": (end, columns - end)}), depth=()))
        return found

    def _near(self, scratch: Scratch, shape: Sequence[int]) -> View:
        """Memory of `shape` for each chunk, the same for all that the chunk goes through one after the other."""
        outer = self.left.shape[:-2]
        own = scratch.array(self.out.dtype, (outer[self.chunk], *shape))
        strides = (own.strides[0] if axis == self.chunk else 0 for axis in range(len(outer)))
        return replace(own, shape=(*outer, *shape), strides=(*strides, *own.strides[1:]))

    def _contraction(self, packed: View | None, variables: Sequence[Var]) -> Contraction:
        rows, columns, depth = self.sizes
        outer = [var.name for var in variables]

        def strides(view: View, *names: str) -> dict[str, int]:
            return dict(zip((*outer, *names), view.strides, strict=False))

        def operand(view: View, *names: str) -> Operand:
            return Operand(view.buffer, strides(view, *names), view.offset)

        right = operand(self.right, "depth", "column")
        if packed is not None:
            along = strides(packed) | {"depth": self.width, "column": 1}
            right = Operand(packed.buffer, along, packed.offset, panel=depth * self.width, padded=True)
        c = Contraction(
            sizes={**{var.name: var.extent for var in variables}, "row": rows, "column": columns, "depth": depth},
            loops=tuple(outer),
            rows=("row",),
            column="column",
            depth=("depth",),
            left=operand(self.left, "row", "depth"),
            right=right,
            out=operand(self.out, "row", "column"),
            vectors=self.vectors,
            lanes=self.lanes,
        )
        return c if self.finishing is None else self.finishing.of(c, lambda view: operand(view, "row", "column"))


def _shared(first: int, size: int, count: int, work: int) -> list[tuple[int, int, int]]:
    """(first, size of a chunk, chunks) of `count` tiles of `size` and so much work each: equal chunks, what is left."""
    least = max(-(-_WORK // work), -(-count // _CHUNKS))
    each = next((d for d in range(least, 2 * least) if count % d == 0), min(least, count))
    whole, rest = divmod(count, each)
    found = [(first, size * each, whole)]
    return [*found, (first + size * each * whole, size * rest, 1)] if rest else found


def _even(size: int, count: int) -> list[tuple[int, int, int]]:
    """(first, size of a part, parts) of `count` parts whose sizes differ by one at most."""
    small, larger = divmod(size, count)
    found = [(0, small + 1, larger)] if larger else []
    return [*found, (larger * (small + 1), small, count - larger)]
