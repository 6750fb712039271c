"""Loops of convolutions whose images lie beside one another, (H, W, C, N)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphnet.backend.native.batch_last import (
    BatchLast,
    BatchLastConvolution,
    BatchLastFilterGradient,
    BatchLastInputGradient,
    parts_of,
)
from graphnet.backend.native.contraction import (
    Contraction,
    Finishing,
    Operand,
    contraction,
    cycles,
    finish,
    nested,
    panels,
    row_tiles,
)
from graphnet.backend.native.copies import copied
from graphnet.backend.native.elementwise import added
from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Apply,
    Buffer,
    Const,
    For,
    Kernel,
    Load,
    Register,
    Set,
    Statement,
    Store,
    Var,
    affine,
)
from graphnet.backend.native.parting import split_columns
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View
from graphnet.backend.native.windows import Axis, Stretch

_PANELS = (2, 3, 4, 1)  # vectors of images beside one another, the first preferred where they cost the same
_WIDE = (4, 3, 2, 1)  # the same for short sums: there are fewer tiles to begin and end
_NARROW = (2, 1)  # the same where a chunk is a panel
_SHORT = 32  # products of a sum
_LEAST_PANELS = 4  # a chunk each
_MOST_ALIKE = 6  # filters of a tile, or neighbours in its window
_CHUNKS = 12  # of rows, at least: where two rows are a chunk, their pooling follows while they are near


def batch_last(
    op: BatchLast, out: View, inputs: Sequence[View], scratch: Scratch, finishing: Finishing | None
) -> list[Kernel] | None:
    """Kernels of the convolution or gradient; None where the result cannot be finished."""
    if finishing is not None and not finishing.is_in_vectors:
        return None
    found: list[Kernel] = []
    x, other = inputs
    if x.strides[3] != 1 and x.shape[3] != 1:
        x, copying = _beside(op, x, scratch)
        found += copying
    if isinstance(op, BatchLastConvolution):
        return [*found, _forward(op, out, x, other, finishing)]
    if isinstance(op, BatchLastInputGradient):
        return found + _input_gradient(op, out, x, other, scratch, finishing)
    assert isinstance(op, BatchLastFilterGradient)
    if other.strides[3] != 1 and other.shape[3] != 1:
        other, copying = _beside(op, other, scratch)
        found += copying
    return found + _filter_gradient(op, out, x, other, scratch)


def _beside(op: BatchLast, images: View, scratch: Scratch) -> tuple[View, list[Kernel]]:
    near = scratch.array(images.dtype, images.shape)
    return near, copied(op.name, near, images)


def _lanes(view: View) -> int:
    return target().lanes(ELEMENTS[view.dtype])


def _vectors(rows: int, batch: int, lanes: int, among: Sequence[int]) -> int:
    """How many vectors of images a panel should have."""
    wanted = [vectors for vectors in among if vectors * lanes <= max(batch, lanes)]
    return min(wanted, key=lambda vectors: cycles(rows, batch, vectors, lanes))


def _forward(op: BatchLastConvolution, out: View, x: View, w: View, finishing: Finishing | None) -> Kernel:
    """A chunk is a row of the result, or two."""
    height, width, filters, batch = out.shape
    _, channels, rows, columns = w.shape
    tall = 2 if height % 2 == 0 and height >= 2 * _CHUNKS else 1
    down, right, channel, _ = x.strides
    down, right = (of * step for of, step in zip((down, right), op.stride, strict=True))
    o, c, i, j = w.strides

    def operand(view: View) -> Operand:
        h, w, o, n = view.strides
        return Operand(view.buffer, {"h": h * tall, "hh": h, "w": w, "o": o, "n": n}, view.offset)

    lanes = _lanes(out)
    plain = Contraction(
        sizes={
            "h": height // tall,
            "hh": tall,
            "w": width,
            "o": filters,
            "n": batch,
            "i": rows,
            "j": columns,
            "c": channels,
        },
        loops=("h", "hh", "w"),
        rows=("o",),
        column="n",
        depth=("i", "j", "c"),
        left=Operand(w.buffer, {"o": o, "c": c, "i": i, "j": j}, w.offset),
        right=Operand(
            x.buffer,
            {
                "h": down * tall,
                "hh": down,
                "w": right,
                "i": x.strides[0] * op.dilation[0],
                "j": x.strides[1] * op.dilation[1],
                "c": channel,
                "n": 1,
            },
            x.offset,
        ),
        out=operand(out),
        vectors=_vectors(filters, batch, lanes, _WIDE if rows * columns * channels <= _SHORT else _PANELS),
        lanes=lanes,
    )
    whole = plain if finishing is None else finishing.of(plain, operand)
    chunk = Var("h", height // tall)
    body = contraction(whole, {"h": chunk})
    return Kernel(op.name, _buffers(out, x, w, finishing), chunk, tuple(body))


def _buffers(out: View, x: View, other: View, finishing: Finishing | None, *more: View) -> tuple[Buffer, ...]:
    finished = () if finishing is None else (*finishing.loads, *finishing.results)
    return tuple(dict.fromkeys(view.buffer for view in (out, x, other, *more, *finished)))


# -- the input gradient ----------------------------------------------------------------------------------------------


def _input_gradient(
    op: BatchLastInputGradient, out: View, dy: View, w: View, scratch: Scratch, finishing: Finishing | None
) -> list[Kernel]:
    """A chunk is a panel of images. Each row of dy is added to the rows that it came from, which stay near.

    Along a row, sums are gathered: for each stretch of columns that the same positions of the kernel reach, so that
    none of them is over zeros.
    """
    height, width, channels, batch = out.shape
    rows, columns = w.shape[2:]
    lanes = _lanes(out)
    vectors = _vectors(channels, batch, lanes, _NARROW if batch >= _LEAST_PANELS * _NARROW[0] * lanes else _NARROW[-1:])
    tall = max(op.top[0] + height, (dy.shape[0] - 1) * op.stride[0] + (rows - 1) * op.dilation[0] + 1)
    image = scratch.array(out.dtype, (-(-batch // (vectors * lanes)), tall, width, channels, vectors * lanes))
    axis = Axis(width, dy.shape[1], columns, op.stride[1], op.top[1], op.dilation[1])
    stretches = [stretch for stretch in axis.backwards() if stretch.taps]
    parts = [split_columns(_gathered(op, stretch, dy, w, image)) for stretch in stretches]
    kernels = []
    for number, (first, images, wide, count) in enumerate(panels(batch, vectors, lanes)):
        panel, h, i = Var("panel", count), Var("h", dy.shape[0]), Var("i", rows)
        here = replace(image, offset=image.offset + first // image.shape[4] * image.strides[0])
        body = _zeros(here, panel)
        inside: list[Statement] = []
        for part in parts:
            inside += contraction(part[number][0], {"panel": panel, "h": h, "i": i})
        body += nested([h, i], inside)
        for vector in range(wide):
            active = min(lanes, images - vector * lanes)
            body += _stored(op, here, out, finishing, panel, (first, vector * lanes, active))
        kernels.append(Kernel(op.name, _buffers(out, dy, w, finishing, image), panel, tuple(body)))
    return kernels


def _gathered(op: BatchLastInputGradient, stretch: Stretch, dy: View, w: View, image: View) -> Contraction:
    """What rows of dy add to these columns of the image."""
    (filters, channels, rows, _), (o, c, i, j) = w.shape, w.strides
    down, right, feature, _ = dy.strides
    first, *others = stretch.taps
    step = others[0].number - first.number if others else 0
    back = others[0].at - first.at if others else 0
    panel, tall, wide, along, _ = image.strides
    lanes = _lanes(dy)
    return Contraction(
        sizes={
            "h": dy.shape[0], "i": rows, "u": stretch.count, "c": channels, "n": dy.shape[3],
            "j": len(stretch.taps), "o": filters,
        },
        loops=("h", "i", "u"),
        rows=("c",),
        column="n",
        depth=("j", "o"),
        left=Operand(w.buffer, {"i": i, "j": j * step, "o": o, "c": c}, w.offset + first.number * j),
        right=Operand(
            dy.buffer,
            {"h": down, "u": right * stretch.along, "j": right * back, "o": feature, "n": 1},
            dy.offset + first.at * right,
        ),
        out=Operand(
            image.buffer,
            {"h": tall * op.stride[0], "i": tall * op.dilation[0], "u": wide * stretch.step, "c": along, "n": 1},
            image.offset + stretch.first * wide,
            panel=panel,
        ),
        vectors=image.shape[4] // lanes,
        lanes=lanes,
        adds=True,
    )  # fmt: skip


def _zeros(image: View, panel: Var) -> list[Statement]:
    lanes = _lanes(image)
    whole = Var("v", image.strides[0] // lanes)
    zero = Const(0.0, image.dtype, lanes)
    return [For(whole, (Store(image.buffer, affine({panel: image.strides[0], whole: lanes}, image.offset), zero),))]


def _stored(
    op: BatchLastInputGradient,
    image: View,
    out: View,
    finishing: Finishing | None,
    panel: Var,
    of: tuple[int, int, int],
) -> list[Statement]:
    """One vector of a panel, finished. of: the first image of all, the vector's first in its panel, how many it has."""
    first, vector, active = of
    lanes, (own, down, right, along, _) = _lanes(image), image.strides
    y, x, c = (Var(name, size) for name, size in zip("yxc", out.shape[:3], strict=True))
    total = Register("total", out.dtype, lanes)

    def place(view: View) -> Affine:
        rows, columns, features, batch = view.strides
        terms = {panel: image.shape[4] * batch, y: rows, x: columns, c: features}
        return affine(terms, view.offset + (first + vector) * batch)

    at = affine({panel: own, y: down, x: right, c: along}, image.offset + op.top[0] * down + vector)
    made = finish(total, out, finishing, place, lanes, None if active == lanes else active)
    return nested([y, x, c], [Set(total, Load(image.buffer, at, lanes)), *made])


# -- the filter gradient ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tile:
    """Sums for some filters times some neighbours of the window, along `along`: each a vector, of images."""

    along: str
    filters: int
    others: int


def _tile(sizes: Mapping[str, int]) -> _Tile:
    """What all sums cost least with. sizes: of "o", "c", "i", "j"."""
    machine = target()

    def cost(tile: _Tile) -> float:
        time = 0.0
        around = sizes["i"] * sizes["j"] * sizes["c"] // sizes[tile.along]
        for _, tall, many in row_tiles(sizes["o"], tile.filters):
            for _, wide, times in row_tiles(sizes[tile.along], tile.others):
                reads = (tall + wide) / machine.loads
                time += around * many * times * max(tall * wide / machine.multiply_adds, reads, machine.latency)
        return time

    most = range(1, _MOST_ALIKE + 1)
    fitting = [(tall, wide) for tall in most for wide in most if tall * wide + wide < machine.registers]
    return min((_Tile(along, *size) for along in "jci" for size in fitting), key=cost)


def _filter_gradient(op: BatchLastFilterGradient, out: View, x: View, dy: View, scratch: Scratch) -> list[Kernel]:
    """Sums over some rows of the result each, in chunks, and these added."""
    parts = parts_of(dy.shape[0])
    sums = scratch.array(out.dtype, (parts, *out.shape))
    chunk = Var("part", parts)
    sizes = dict(zip("ocij", out.shape, strict=True))
    tile = _tile(sizes)
    around = [Var(name, sizes[name]) for name in "ijc" if name != tile.along]
    places = Var("h", dy.shape[0] // parts), Var("w", dy.shape[1])
    body: list[Statement] = []
    for filter_, tall, many in row_tiles(sizes["o"], tile.filters):
        filters = filter_, tall, Var("filters", many)
        inner: list[Statement] = []
        for other, wide, times in row_tiles(sizes[tile.along], tile.others):
            others = other, wide, Var("others", times)
            of = _Sums(op, x, dy, sums, tile.along, filters, others, chunk, *places, tuple(around))
            inner += nested([others[2]], of.statements())
        body += nested([filters[2], *around], inner)
    products = Kernel(op.name, tuple(dict.fromkeys((x.buffer, dy.buffer, sums.buffer))), chunk, tuple(body))
    own, *along = sums.strides
    views = [View(sums.buffer, sums.offset + part * own, out.shape, tuple(along)) for part in range(parts)]

    return [products, *added(op.name, out, views)]


@dataclass(frozen=True)
class _Sums:
    """A tile of the filter gradient. filters, others: (first, of a tile, tiles)."""

    op: BatchLastFilterGradient
    x: View
    dy: View
    sums: View
    along: str
    filters: tuple[int, int, Var]
    others: tuple[int, int, Var]
    part: Var
    h: Var
    w: Var
    around: tuple[Var, ...]

    def statements(self) -> list[Statement]:
        """All places of a part and all images, and then the lanes added."""
        dtype, lanes = self.dy.dtype, _lanes(self.dy)
        (filter_, tall, blocks), (other, wide, block) = self.filters, self.others
        sums = [[Register(f"s{k}_{m}", dtype, lanes) for m in range(wide)] for k in range(tall)]
        whole, left = divmod(self.dy.shape[3], lanes)
        images = Var("n", whole)
        inmost = For(images, tuple(self._step(sums, images, 0, None)), target().together)
        step: list[Statement] = [inmost] if whole else []
        if left:
            step += self._step(sums, images, whole * lanes, left)
        body: list[Statement] = [Set(s, Const(0.0, dtype, lanes)) for row in sums for s in row]
        body += nested([self.h, self.w], step)
        own, *along = self.sums.strides
        strides = dict(zip("ocij", along, strict=True))
        terms = {self.part: own, blocks: tall * strides["o"], block: wide * strides[self.along]}
        terms |= {var: strides[var.name] for var in self.around}
        for k, row in enumerate(sums):
            for m, s in enumerate(row):
                start = (filter_ + k) * strides["o"] + (other + m) * strides[self.along]
                total = Apply("across_add", (s,)) if lanes > 1 else s
                body.append(Store(self.sums.buffer, affine(terms, self.sums.offset + start), total))
        return body

    def _step(self, sums: list[list[Register]], images: Var, first: int, active: int | None) -> list[Statement]:
        """The products of one vector of images at a place."""
        x, dy, lanes = self.x, self.dy, _lanes(self.dy)
        (filter_, tall, blocks), (other, wide, block) = self.filters, self.others
        (down, right, feature, _), (dh, dw, do, _) = x.strides, dy.strides
        (up, aside), (spread, apart) = self.op.stride, self.op.dilation
        seen = {"i": down * spread, "j": right * apart, "c": feature}
        along = seen[self.along]
        vector = {} if active is not None else {images: lanes}
        of_x = {self.part: self.h.extent * down * up, self.h: down * up, self.w: right * aside, block: wide * along}
        of_x |= {var: seen[var.name] for var in self.around} | vector
        of_dy = {self.part: self.h.extent * dh, self.h: dh, self.w: dw, blocks: tall * do} | vector
        elements = [Register(f"b{m}", dy.dtype, lanes) for m in range(wide)]
        step: list[Statement] = []
        for m, b in enumerate(elements):
            at = affine(of_x, x.offset + first + (other + m) * along)
            step.append(Set(b, Load(x.buffer, at, lanes, active)))
        for k, row in enumerate(sums):
            a = Register(f"a{k}", dy.dtype, lanes)
            at = affine(of_dy, dy.offset + first + (filter_ + k) * do)
            step.append(Set(a, Load(dy.buffer, at, lanes, active)))
            step += [Set(s, Apply("muladd", (a, b, s))) for s, b in zip(row, elements, strict=True)]
        return step
