"""Direct convolutions of images with channels innermost, (N, H, W, C): vectors are filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from graphnet.backend.native import functions as f
from graphnet.backend.native.batch_last import BatchLast
from graphnet.backend.native.batch_last_kernels import batch_last
from graphnet.backend.native.choices import MODEL, Choice
from graphnet.backend.native.contraction import FAR, Contraction, Finishing, Operand, best_vectors, contraction, nested
from graphnet.backend.native.contraction import panels as cut
from graphnet.backend.native.copies import copied
from graphnet.backend.native.elementwise import added, pointwise
from graphnet.backend.native.loops import ELEMENTS, Const, For, Kernel, Load, Statement, Store, Var, affine
from graphnet.backend.native.ops import (
    Direct,
    DirectConvolution,
    DirectFilterGradient,
    DirectInputGradient,
    Panels,
    ScatteredInputGradient,
    Taps,
)
from graphnet.backend.native.parting import asking, by_parts, split_columns
from graphnet.backend.native.scattering import scattered
from graphnet.backend.native.target import target
from graphnet.backend.native.tiling import CHUNKS, PANEL, Images, images
from graphnet.backend.native.views import Scratch, View
from graphnet.graph.node import Op

_NEAR = 40 << 10  # bytes of a panel of weights that stay near while images pass by
_BLOCK = 24 << 10  # bytes of both images that a block of a filter gradient reads
_PARTS = {16: 1 << 19, 8: 1 << 20}  # of a batch, at most, and elements of all their sums, which are read once more
_LEAST = 128  # places of such a block, so that its sums are worth loading and storing
_APART = 256  # bytes from one place to the next: from there on a block's panel is copied together
_LISTED = 40  # positions of the kernel times channels that are one list of rows


def direct(
    op: Op,
    out: View,
    inputs: Sequence[View],
    scratch: Scratch,
    finishing: Finishing | None = None,
    choice: Choice = MODEL,
) -> list[Kernel] | None:
    """Kernels of `Panels`, a direct convolution or a gradient of one; None for other ops, and for other layouts.

    None also where the result cannot be finished.
    """
    if isinstance(op, Panels):
        return _panels(op, out, *inputs)
    if not isinstance(op, Direct) or out.dtype not in ("f32", "f64"):
        return None
    if finishing is not None and not finishing.is_in_vectors:
        return None
    if isinstance(op, BatchLast):
        return batch_last(op, out, inputs, scratch, finishing)
    x, other = inputs
    if isinstance(op, DirectConvolution):
        return _forward(op, out, x, other, finishing, choice)
    if isinstance(op, ScatteredInputGradient):
        return scattered(op, out, x, other, scratch, finishing)
    if isinstance(op, DirectInputGradient):
        return _input_gradient(op, out, x, other, finishing, choice)
    if isinstance(op, DirectFilterGradient):
        found: list[Kernel] = []
        if other.strides[3] != 1 and other.shape[3] != 1:  # filters are lanes: they have to lie side by side
            near = scratch.array(other.dtype, other.shape)
            found = copied(op.name, near, other)
            other = near
        return found + _filter_gradient(op, out, x, other, scratch, choice)
    return None


def _panels(op: Panels, out: View, x: View) -> list[Kernel]:
    """Each panel's copy, and zeros where the last one has no columns."""
    *rest, n = x.shape
    kernels: list[Kernel] = []
    whole, left = divmod(n, op.width)
    for first, count, width in ((0, whole, op.width), (whole, 1 if left else 0, left)):
        if count:
            source = View(
                x.buffer,
                x.offset + first * op.width * x.strides[-1],
                (count, *rest, width),
                (op.width * x.strides[-1], *x.strides),
            )
            target = replace(out, offset=out.offset + first * out.strides[0], shape=source.shape, strides=out.strides)
            kernels += pointwise(op.name, [target], [source], lambda values: [values[0]]) or []
    if left:
        end = out.offset + whole * out.strides[0] + left * out.strides[-1]
        empty = replace(out, offset=end, shape=(1, *rest, op.width - left))
        kernels += pointwise(op.name, [empty], [], lambda values: [f.const(values[0], 0)]) or []
    return kernels


def _depth(x: View, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[dict[str, int], dict[str, int]]:
    """(sizes, strides in x) of the kernel's positions and the channels.

    Columns and channels that lie side by side are one dimension.
    """
    rows, columns = kernel
    channels = x.shape[3]
    _, down, right, along = x.strides
    sizes, strides = {"i": rows}, {"i": down * dilation[0]}
    if channels == 1:
        return {**sizes, "jc": columns}, {**strides, "jc": right * dilation[1]}
    if columns == 1 or right * dilation[1] == channels * along:
        return {**sizes, "jc": columns * channels}, {**strides, "jc": along}
    return {**sizes, "j": columns, "c": channels}, {**strides, "j": right * dilation[1], "c": along}


def _weights(w: View, steps: tuple[int, int] = (1, 1), offset: int = 0) -> Operand:
    """Panels as an operand whose dimensions "i", "j" take `steps` through the kernel."""
    panel, down, right, channel, _ = w.strides
    _, _, columns, channels, width = w.shape
    down, right, channel = columns * channels * width, channels * width, width  # sizes of 1 have no stride of their own
    strides = {"i": down * steps[0], "j": right * steps[1], "c": channel, "jc": channel, "o": 1}
    return Operand(w.buffer, strides, w.offset + offset, panel=panel, padded=True)


def _forward(
    op: DirectConvolution, out: View, x: View, w: View, finishing: Finishing | None, choice: Choice
) -> list[Kernel]:
    sizes, strides = _depth(x, (w.shape[1], w.shape[2]), op.dilation)
    (down, right), (n, row, column, _) = op.stride, x.strides
    way = _chunks(images(out.shape, target().lanes(ELEMENTS[out.dtype]), choice.tall), x, w)
    left = Operand(x.buffer, way.strides(n, row * down, column * right) | strides, x.offset)
    return way.kernels(op.name, _near(way, _over(way, sizes, left, _weights(w), out, w.shape[4], finishing), w))


def _over(
    way: Images,
    depth: Mapping[str, int],
    left: Operand,
    right: Operand,
    out: View,
    width: int,
    finishing: Finishing | None,
) -> Contraction:
    """The contraction over `depth` for each of `out`'s places, with panels of `width` filters."""
    lanes = target().lanes(ELEMENTS[out.dtype])

    def operand(view: View) -> Operand:
        n, row, column, along = view.strides
        return Operand(view.buffer, way.strides(n, row, column) | {"o": along}, view.offset)

    c = Contraction(
        sizes={**way.sizes, **depth, "o": out.shape[3]},
        loops=way.loops,
        rows=way.rows,
        column="o",
        depth=tuple(depth),
        left=left,
        right=right,
        out=operand(out),
        vectors=width // lanes,
        lanes=lanes,
    )
    return c if finishing is None else finishing.of(c, operand)


def _chunks(way: Images, x: View, w: View) -> Images:
    """`way`, or the same with panels of filters for chunks, where so less has to come from far away.

    Each chunk of places reads all weights, a chunk of filters all images, which has to pay twice where these are far.
    """
    weights, all_images, size = prod(w.shape), prod(x.shape), ELEMENTS[w.dtype]
    if way.chunk == PANEL or weights * size <= FAR or w.shape[0] < CHUNKS:
        return way
    read = w.shape[0] * all_images * (2 if all_images * size > FAR else 1)
    return replace(way, chunk=PANEL) if way.sizes[way.chunk] * weights > read else way


def _near(way: Images, c: Contraction, w: View) -> list[Contraction]:
    """In parts whose panel of weights is small enough.

    Each asks for the next one's where panels are chunks: weights are read once then, and for few places.
    """
    along = "jc" if "jc" in c.sizes else "c"
    channel = w.shape[4] * ELEMENTS[w.dtype] * (1 if along == "jc" else c.sizes["j"])
    row = channel * c.sizes[along]
    if c.sizes["i"] * row <= _NEAR:
        return [asking(c, "i")] if way.chunk == PANEL and prod(w.shape) * ELEMENTS[w.dtype] > FAR else [c]
    name = "i" if row <= _NEAR else along
    parts = by_parts(c, "i", max(1, _NEAR // row))
    if name == along:
        pieces = -(-row // _NEAR)
        parts = [finer for part in parts for finer in by_parts(part, along, -(-c.sizes[along] // pieces))]
    if way.chunk != PANEL:
        return parts
    return [asking(part, name) for part in parts]


def _input_gradient(
    op: DirectInputGradient, out: View, dy: View, w: View, finishing: Finishing | None, choice: Choice
) -> list[Kernel] | None:
    """A contraction for each class of places that the same positions of the kernel reach; 0 where none does."""
    kernels: list[Kernel] = []
    n, row, column, along = dy.strides
    for rows, columns in op.taps((w.shape[1], w.shape[2])):
        shape = (out.shape[0], rows.places, columns.places, out.shape[3])

        def part(view: View, rows: Taps = rows, columns: Taps = columns, shape: tuple[int, ...] = shape) -> View:
            batch, down, right, channel = view.strides
            offset = view.offset + rows.first * down + columns.first * right
            steps = (batch, down * op.stride[0], right * op.stride[1], channel)
            return replace(view, offset=offset, shape=shape, strides=_real(shape, steps))

        places, finished = part(out), None if finishing is None else finishing.moved(part)
        if not rows.count or not columns.count:
            if finishing is not None:
                return None
            kernels += pointwise(op.name, [places], [], lambda values: [f.const(values[0], 0)]) or []
            continue
        way = _chunks(images(shape, target().lanes(ELEMENTS[out.dtype]), choice.tall), dy, w)
        first = (rows.offset + op.before[0]) * row + (columns.offset + op.before[1]) * column
        depth = {"i": -rows.back * row, "j": -columns.back * column, "c": along}
        left = Operand(dy.buffer, way.strides(n, row, column) | depth, dy.offset + first)
        start = (rows.start * w.shape[2] + columns.start) * w.shape[3] * w.shape[4]
        right_side = _weights(w, (rows.step, columns.step), start)
        sizes = {"i": rows.count, "j": columns.count, "c": w.shape[3]}
        kernels += way.kernels(
            op.name, _near(way, _over(way, sizes, left, right_side, places, w.shape[4], finished), w)
        )
    return kernels


def _real(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    return tuple(0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True))


# -- the filter gradient ---------------------------------------------------------------------------------------------


def _filter_gradient(
    op: DirectFilterGradient, out: View, x: View, dy: View, scratch: Scratch, choice: Choice
) -> list[Kernel]:
    """Sums over parts of the batch, these added, and the result turned to (O, C, kernel rows, kernel columns).

    The sums of a panel of filters lie side by side: so they fit into the first-level cache together. In how many parts
    the batch goes, which decides the order of sums, does not depend on the choice.
    """
    lanes = target().lanes(ELEMENTS[dy.dtype])
    rows, columns, channels, filters = *op.kernel, x.shape[3], dy.shape[3]
    sizes, _ = _depth(x, op.kernel, op.dilation)
    vectors = best_vectors(prod(sizes[name] for name in _rows(sizes)), filters, lanes)
    whole = -(-filters // (lanes * vectors)) * lanes * vectors
    parts = _parts(x.shape[0], rows * columns * channels * whole)
    width = lanes * (choice.panel or vectors)
    work = scratch.array(dy.dtype, (parts, -(-filters // width), rows, columns, channels, width))
    kernels = [_products(op, x, dy, work, scratch, choice)]
    size = work.strides[0]
    sums = [View(work.buffer, work.offset + part * size, (size,), (1,)) for part in range(parts)]

    if parts > 1:
        kernels += added(op.name, sums[0], sums)
    _, panel, row, column, channel, along = work.strides
    filter_, *others = out.strides
    for first, wide, _, count in cut(filters, width // lanes, lanes):
        shape = (count, wide, channels, rows, columns)
        turned = View(
            work.buffer,
            work.offset + first // width * panel,
            shape,
            _real(shape, (panel, along, channel, row, column)),
        )
        strides = _real(shape, (filter_ * width, filter_, *others))
        placed = View(out.buffer, out.offset + first * filter_, shape, strides)
        kernels += pointwise(op.name, [placed], [turned], lambda values: [values[0]]) or []
    return kernels


def _parts(batch: int, size: int) -> int:
    """In how many equal parts, each with sums of its own, a batch is gone through."""
    return max(
        parts
        for most, elements in _PARTS.items()
        for parts in range(1, min(batch, most) + 1)
        if batch % parts == 0 and (parts == 1 or parts * size <= elements)
    )


def _products(op: DirectFilterGradient, x: View, dy: View, work: View, scratch: Scratch, choice: Choice) -> Kernel:
    """A chunk is a part of the batch or, where that is one, a row of the kernel."""
    parts, _, _, columns, channels, width = work.shape
    row, each = columns * channels * width, work.strides[0]
    sizes, along = _depth(x, op.kernel, op.dilation)
    rows = _rows(sizes)
    around = {name: Var(name, sizes[name]) for name in sizes if name not in rows}
    part, n = Var("part", parts), Var("n", x.shape[0] // parts)
    chunk = around["i"] if parts == 1 and "i" in around else part
    given = {"part": part, "n": n, **around}
    place = {"i": row, "j": channels * width, "c": width, "jc": width, "part": each, "o": 1}
    lanes = target().lanes(ELEMENTS[dy.dtype])
    vectors = width // lanes
    inside = [var for var in around.values() if var is not chunk]
    blocks = _blocks(dy, x)
    near: View | None = None
    if dy.strides[2] * ELEMENTS[dy.dtype] >= _APART if choice.right is None else choice.right:
        near = scratch.array(dy.dtype, (chunk.extent, blocks[0][1] * dy.shape[2], vectors * lanes))
    body: list[Statement] = []
    for first, tall, times in blocks:
        (batch, under, beside, _), (down, right), (b, h, w, _) = x.strides, op.stride, dy.strides
        seen = {
            "n": batch,
            "part": batch * n.extent,
            "block": under * down * tall,
            "h": under * down,
            "w": beside * right,
        }
        own = {"n": b, "part": b * n.extent, "block": h * tall, "h": h, "w": w, "o": 1}
        c = Contraction(
            sizes={**sizes, "h": tall, "w": dy.shape[2], "o": dy.shape[3]},
            loops=(),
            rows=rows,
            column="o",
            depth=("h", "w"),
            left=Operand(x.buffer, {**along, **seen}, x.offset + first * under * down),
            right=Operand(dy.buffer, own, dy.offset + first * h),
            out=Operand(work.buffer, place, work.offset, panel=work.strides[1]),
            vectors=vectors,
            lanes=lanes,
            adds=True,
        )
        block = Var("block", times)
        if near is None:
            body += nested([block, *inside], contraction(c, {**given, "block": block}))
            continue
        for piece, count in split_columns(c):
            panel = Var("panel", count)
            packed, filled = _near_panel(piece, near, {**given, "block": block, "panel": panel}, chunk)
            summed = contraction(replace(piece, right=packed), {**given, "block": block, "panel": panel})
            body += nested([block, panel], [*filled, *nested(inside, summed)])
    zeros = _zeros(work, part, None if chunk is part else chunk)
    buffers = dict.fromkeys((x.buffer, dy.buffer, work.buffer, *(() if near is None else (near.buffer,))))
    nest = nested([] if chunk is part else [part], [*zeros, For(n, tuple(body))])
    return Kernel(op.name, tuple(buffers), chunk, tuple(nest))


def _zeros(work: View, part: Var, row: Var | None) -> list[Statement]:
    """What clears the sums of a part, or of one row of the kernel in it."""
    lanes = target().lanes(ELEMENTS[work.dtype])
    each, panel, down, *_ = work.strides
    count, size = (1, each) if row is None else (work.shape[1], down)
    panels, whole = Var("p", count), Var("v", size // lanes)
    steps = {part: each, panels: panel, whole: lanes} | ({} if row is None else {row: down})
    zero = Store(work.buffer, affine(steps, work.offset), Const(0.0, work.dtype, lanes))
    return nested([panels, whole], [zero])


def _rows(sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Which of the kernel's positions and the channels are the rows of tiles: all, where they are few."""
    return tuple(sizes) if prod(sizes.values()) <= _LISTED else tuple(sizes)[-1:]


def _near_panel(c: Contraction, near: View, given: Mapping[str, Var], chunk: Var) -> tuple[Operand, list[Statement]]:
    """A block's panel of the right operand, side by side in memory of the chunk's own, and what copies it there."""
    width, (step, _, _) = c.vectors * c.lanes, near.strides
    h, w = Var("h", c.sizes["h"]), Var("w", c.sizes["w"])
    target = {chunk: step if near.shape[0] > 1 else 0, h: c.sizes["w"] * width, w: width}
    source = {var: c.right.strides.get(name, 0) for name, var in {**given, "h": h, "w": w}.items()}
    source[given["panel"]] = width
    stores: list[Statement] = []
    columns = min(c.sizes["o"], width)
    for lane in range(0, columns, c.lanes):
        value = Load(c.right.buffer, affine(source, c.right.offset + lane), c.lanes, min(c.lanes, columns - lane))
        stores.append(Store(near.buffer, affine(target, near.offset + lane), value))
    strides = {"h": c.sizes["w"] * width, "w": width, "o": 1}
    name = next(name for name, var in given.items() if var is chunk)
    strides[name] = step if near.shape[0] > 1 else 0
    return Operand(near.buffer, strides, near.offset, panel=0, padded=True), nested([h, w], stores)


def _blocks(dy: View, x: View) -> list[tuple[int, int, int]]:
    """(first row, rows, blocks): rows of dy whose elements, and those of x behind them, stay near together."""
    height, width = dy.shape[1:3]
    row = ELEMENTS[dy.dtype] * (width * dy.shape[3] + x.shape[2] * x.shape[3] * x.shape[1] // height)
    tall = min(height, max(1, _BLOCK // row, -(-_LEAST // width)))
    times, rest = divmod(height, tall)
    return [(0, tall, times), *([(times * tall, rest, 1)] if rest else [])]
