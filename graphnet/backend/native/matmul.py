"""Matrix products as contractions."""

from __future__ import annotations

from dataclasses import replace

from graphnet.backend.native.contraction import Contraction, Operand, Tile, contraction
from graphnet.backend.native.dots import dots
from graphnet.backend.native.elementwise import VECTOR
from graphnet.backend.native.loops import ELEMENTS, Kernel, Var
from graphnet.backend.native.views import View

_CHUNK = 1 << 21  # multiplications of a chunk, about
_DEPTH = 64  # of a block, where one is needed


def matmul(out: View, a: View, b: View) -> list[Kernel] | None:
    """out = a @ b, one product a chunk where there are several; None for integers.

    Vectors run along the columns, or, the product turned around, along the rows, whichever are neighbours in memory;
    where neither are, along the depth, and where that is none either, elements go one by one.
    """
    if out.dtype not in ("f32", "f64"):
        return None
    batch = out.shape[:-2]
    a, b = (view.broadcast((*batch, *view.shape[-2:])) for view in (a, b))
    for left, right, result in ((a, b, out), (_turned(b), _turned(a), _turned(out))):
        if _neighbours(result) and _neighbours(right):
            return [_product(left, right, result, VECTOR // ELEMENTS[out.dtype])]
    if not batch and a.strides[1] == 1 and b.strides[0] == 1:
        return dots(out, a, b, VECTOR // ELEMENTS[out.dtype])
    return [_product(a, b, out, 1)]


def _neighbours(view: View) -> bool:
    return view.strides[-1] == 1 or view.shape[-1] == 1


def _turned(view: View) -> View:
    """The last two axes the other way round."""
    *shape, m, n = view.shape
    *strides, s, t = view.strides
    return View(view.buffer, view.offset, (*shape, n, m), (*strides, t, s))


def _product(left: View, right: View, out: View, lanes: int) -> Kernel:
    rows, columns = out.shape[-2:]
    depth = left.shape[-1]
    tile = Tile(6, 2, lanes) if lanes > 1 else Tile(3, 3, 1)
    batch = [f"batch{axis}" for axis in range(len(out.shape) - 2)]
    width = columns if batch else _width(rows, columns, depth, tile)
    sizes = {**dict(zip(batch, out.shape, strict=False)), "block": columns // width}
    variables = {name: Var(name, size) for name, size in sizes.items()}
    chunk = variables[batch[0] if batch else "block"]

    def operand(view: View, row: str, column: str) -> Operand:
        strides = dict(zip((*batch, row, column), view.strides, strict=True))
        if "column" in strides:
            strides["column"] = strides["column"] or 1  # of a single column
            strides["block"] = strides["column"] * width
        return Operand(view.buffer, strides, view.offset)

    whole = Contraction(
        sizes={**sizes, "row": rows, "column": width, "depth": depth},
        loops=(*batch, "block"),
        row="row",
        column="column",
        depth=("depth",),
        left=operand(left, "row", "depth"),
        right=operand(right, "depth", "column"),
        out=operand(out, "row", "column"),
        tile=tile,
    )
    parts = _by_depth(whole) if left.strides[-1] != 1 and depth > _DEPTH else [whole]
    body = [statement for part in parts for statement in contraction(part, {chunk.name: chunk})]
    return Kernel("matmul", tuple(dict.fromkeys((left.buffer, right.buffer, out.buffer))), chunk, tuple(body))


def _by_depth(c: Contraction) -> list[Contraction]:
    """The same in blocks of the depth: the first one, the others, the rest.

    Where `left` takes a long step from one depth to the next, each line of memory that it touches holds elements of
    several rows. A block touches so few lines that these are still near when the next rows come.
    """
    blocks, rest = divmod(c.sizes["depth"], _DEPTH)

    def part(first: int, size: int, times: int, adds: bool) -> Contraction:
        def moved(of: Operand) -> Operand:
            step = of.strides["depth"]
            return Operand(of.buffer, {**of.strides, "deeper": step * _DEPTH}, of.offset + first * _DEPTH * step)

        sizes = {**c.sizes, "depth": size, "deeper": times}
        loops = (*c.loops, "deeper")
        return replace(c, sizes=sizes, loops=loops, left=moved(c.left), right=moved(c.right), adds=adds)

    found = [part(0, _DEPTH, 1, c.adds)]
    if blocks > 1:
        found.append(part(1, _DEPTH, blocks - 1, True))
    return [*found, part(blocks, rest, 1, True)] if rest else found


def _width(rows: int, columns: int, depth: int, tile: Tile) -> int:
    """How many columns a chunk takes: whole tiles, which divide all columns, and about _CHUNK multiplications."""
    if columns % tile.columns:
        return columns
    fitting = [
        width
        for width in range(tile.columns, columns + 1, tile.columns)
        if columns % width == 0 and width * rows * depth <= _CHUNK
    ]
    return max(fitting, default=tile.columns)
