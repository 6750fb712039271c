"""Input gradients that add each element of dy, times the kernel, to the places it came from.

Sums gathered for each place meet the zeros around dy: with a kernel of 5 and 10 x 10 elements half of all products are
with one. Scattered, there are as many as in the forward direction; but each is added to memory, once for all filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from graphnet.backend.native.contraction import Contraction, Finishing, Operand, contraction, finish, nested
from graphnet.backend.native.loops import (
    ELEMENTS,
    Affine,
    Apply,
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
from graphnet.backend.native.ops import DirectInputGradient, ScatteredInputGradient, taps, uncropped
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View

_CHUNKS = 16
_FILTER = 0.5, 0.55  # cycles that a vector of a filter takes where sums are gathered, and scattered: one vector a row
_ADDED = 2.0  # cycles for adding a vector to memory
_GAIN = 0.9  # of the time: for less, sums are gathered


def scatters(op: DirectInputGradient, seen: Sequence[int], kernel: Sequence[int], filters: int, itemsize: int) -> bool:
    """Whether to scatter takes less time. seen: rows and columns of dy."""
    if op.channels > target().lanes(itemsize):
        return False
    gathered = 1
    for size, count, stride, dilation, top in zip(op.size, kernel, op.stride, op.dilation, op.top, strict=True):
        gathered *= sum(t.places * t.count for t in taps(size, count, stride, dilation, top))
    gather, scatter = _FILTER
    return prod(seen) * prod(kernel) * (filters * scatter + _ADDED) < _GAIN * gathered * filters * gather


def scattered(
    op: ScatteredInputGradient, out: View, dy: View, w: View, scratch: Scratch, finishing: Finishing | None
) -> list[Kernel]:
    """A chunk is some images, one after the other: a row of dy times the kernel, added to an image that stays near."""
    lanes = target().lanes(ELEMENTS[out.dtype])
    batch, down, across, filters = dy.shape
    kernel = w.shape[1:3]
    count = max(d for d in range(1, min(batch, _CHUNKS) + 1) if batch % d == 0)
    chunk, n, h = Var("chunk", count), Var("n", batch // count), Var("h", down)
    height, width = uncropped(op, op.top, op.size, (down, across), kernel)
    image = scratch.array(out.dtype, (count, height, width, lanes))
    row = scratch.array(out.dtype, (count, across, *kernel, lanes))
    whole = Var("v", height * width)
    zero = Store(
        image.buffer, affine({chunk: image.strides[0], whole: lanes}, image.offset), Const(0.0, out.dtype, lanes)
    )
    c = Contraction(
        sizes={"w": across, "c": filters, "o": prod(kernel) * lanes},
        loops=(),
        rows=("w",),
        column="o",
        depth=("c",),
        left=Operand(
            dy.buffer,
            dict(zip(("n", "h", "w", "c"), dy.strides, strict=True)) | {"chunk": dy.strides[0] * n.extent},
            dy.offset,
        ),
        right=Operand(w.buffer, {"c": lanes, "o": 1}, w.offset, panel=filters * lanes, padded=True),
        out=Operand(row.buffer, {"chunk": row.strides[0], "w": row.strides[1], "o": 1}, row.offset),
        vectors=1,
        lanes=lanes,
    )
    products = contraction(c, {"chunk": chunk, "n": n, "h": h})
    body: list[Statement] = [For(whole, (zero,)), For(h, (*products, *_added(op, image, row, chunk, h)))]
    body += _stored(op, image, out, finishing, chunk, n)
    finished = () if finishing is None else (*finishing.loads, *finishing.results)
    buffers = dict.fromkeys(view.buffer for view in (out, dy, w, image, row, *finished))
    return [Kernel(op.name, tuple(buffers), chunk, (For(n, tuple(body)),))]


def _added(op: ScatteredInputGradient, image: View, row: View, chunk: Var, h: Var) -> list[Statement]:
    """The products of a row of dy, (column, kernel row, kernel column), added to the image."""
    lanes = image.shape[3]
    _, across, rows, columns, _ = row.shape
    own, down, right, _ = image.strides
    i, w = Var("i", rows), Var("w", across)
    to = {chunk: own, h: op.stride[0] * down, i: op.dilation[0] * down, w: op.stride[1] * right}
    of = dict(zip((chunk, w, i), row.strides, strict=False))
    body: list[Statement] = []
    for j in range(columns):
        at = affine(to, image.offset + j * op.dilation[1] * right)
        value = Load(row.buffer, affine(of, row.offset + j * row.strides[3]), lanes)
        body.append(Store(image.buffer, at, Apply("add", (Load(image.buffer, at, lanes), value))))
    return nested([i, w], body)


def _stored(
    op: ScatteredInputGradient, image: View, out: View, finishing: Finishing | None, chunk: Var, n: Var
) -> list[Statement]:
    """The places of the image that there are, finished."""
    lanes, (own, down, right, _) = image.shape[3], image.strides
    y, x = (Var(name, size) for name, size in zip("yx", op.size, strict=True))
    total = Register("total", out.dtype, lanes)
    start = image.offset + op.top[0] * down + op.top[1] * right

    def place(view: View) -> Affine:
        batch, rows, columns, _ = view.strides
        return affine({chunk: batch * n.extent, n: batch, y: rows, x: columns}, view.offset)

    active = None if op.channels == lanes else op.channels
    loaded = Set(total, Load(image.buffer, affine({chunk: own, y: down, x: right}, start), lanes))
    return nested([y, x], [loaded, *finish(total, out, finishing, place, lanes, active)])
