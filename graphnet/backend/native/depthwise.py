"""Depthwise convolutions of images with channels innermost: vectors are channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphnet.backend.native.blocks import Folding
from graphnet.backend.native.contraction import nested
from graphnet.backend.native.copies import copied
from graphnet.backend.native.grouped_ops import (
    Depthwise,
    DepthwiseConvolution,
    DepthwiseFilterGradient,
    DepthwiseInputGradient,
)
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
    Value,
    Var,
    affine,
)
from graphnet.backend.native.rows import SUM
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View
from graphnet.backend.native.windows import Axis, Region, Tap2, regions, turned
from graphnet.graph.node import Op

_SPATIAL_LAST = (0, 3, 1, 2)
_ENOUGH_CHUNKS = 8
_APART = 512  # bytes from place to place, from which on several vectors of channels go through them together
_TOGETHER = (2, 8)  # vectors that do, at most: from there on, and from twice as far
_PARTS = 16  # of a batch, at most, each with sums of its own
_SUMS = 10  # positions of the kernel whose sums are in registers together


def depthwise(op: Op, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Kernel] | None:
    """Kernels that fill `out`; None for an op that is none of these."""
    if not isinstance(op, Depthwise):
        return None
    found: list[Kernel] = []
    ready = []
    for x in inputs:  # channels that do not lie side by side are brought there first
        if len(x.shape) == 4 and x.strides[3] != 1 and x.shape[3] != 1:
            near = scratch.array(x.dtype, x.shape)
            found += copied(op.name, near, x)
            ready.append(near)
        else:
            ready.append(x)
    x, other = ready
    if isinstance(op, DepthwiseFilterGradient):
        return found + _filter_gradient(op, out, turned(x, _SPATIAL_LAST), turned(other, _SPATIAL_LAST), scratch)
    result, x = turned(out, _SPATIAL_LAST), turned(x, _SPATIAL_LAST)
    image, windows = (x, result) if isinstance(op, DepthwiseConvolution) else (result, x)
    rows, columns = _axes(op, image, windows, other.shape[:2])
    if isinstance(op, DepthwiseInputGradient):
        parts = regions(rows.backwards(), columns.backwards())
    else:
        parts = regions(rows.forwards(), columns.forwards())
    return found + _products(op.name, result, x, other, parts)


def _axes(op: Depthwise, image: View, windows: View, kernel: Sequence[int]) -> list[Axis]:
    before = [side[0] for side in op.padding]
    sizes, counts = image.shape[2:], windows.shape[2:]
    return [Axis(*axis) for axis in zip(sizes, counts, kernel, op.stride, before, op.dilation, strict=True)]


@dataclass(frozen=True)
class _Channels:
    """`times` vectors of neighbouring channels from `first` on, of the last of which `active` lanes count, if given."""

    first: int
    times: int
    active: int | None = None


def _channels(count: int, lanes: int) -> list[_Channels]:
    whole, left = divmod(count, lanes)
    found = [_Channels(0, whole)] if whole else []
    return [*found, _Channels(whole * lanes, 1, left)] if left else found


def _index(
    view: View, loops: Sequence[tuple[Var, int]], channels: _Channels, vectors: Sequence[tuple[Var, int]]
) -> Affine:
    """An element of a view (N, C, ...): loops' variables along its axes, and the vector of channels."""
    terms = {var: view.strides[axis] for var, axis in loops}
    along = 1 if view.strides[1] == 0 else view.strides[1]
    terms |= {var: step * along for var, step in vectors}
    return affine(terms, view.offset + channels.first * along)


def _products(name: str, out: View, x: View, w: View, parts: Sequence[Region]) -> list[Kernel]:
    """out <- the sum over each place's taps of what it sees times that tap's weights, for images (N, C, H, W).

    A vector of channels goes through all places, its weights in registers; or a block of vectors, one place after the
    other, where places are so far apart that the first-level cache has no room for a line of each.
    """
    lanes = target().lanes(ELEMENTS[out.dtype])
    n, kernels, apart = Var("n", out.shape[0]), [], out.shape[0] < _ENOUGH_CHUNKS
    buffers = tuple(dict.fromkeys(view.buffer for view in (out, x, w)))
    step = max((region.seen(x, tap).strides[3] for region in parts for tap in region.taps), default=0)
    bodies: list[Statement] = []
    for channels in _channels(out.shape[1], lanes):
        together = _together(channels.times, step * ELEMENTS[out.dtype])
        block, vector = Var("block", channels.times // together), Var("vector", together)
        along = [(block, together * lanes), (vector, lanes)]
        weights = {
            (i, j): Load(
                w.buffer,
                affine(dict(along), w.offset + i * w.strides[0] + j * w.strides[1] + channels.first),
                lanes,
                channels.active,
            )
            for i in range(w.shape[0])
            for j in range(w.shape[1])
        }
        held = {tap: Register(f"w{tap[0]}_{tap[1]}", out.dtype, lanes) for tap in weights}
        near: list[Statement] = [Set(register, weights[tap]) for tap, register in held.items() if together == 1]
        given: Mapping[tuple[int, int], Value] = held if together == 1 else weights
        inner = [_region(region, out, x, given, [(n, 0)], channels, along) for region in parts]
        if apart:
            kernels.append(Kernel(name, buffers, block, (*near, For(n, tuple(inner)))))
        else:
            bodies.append(For(block, (*near, *inner)))
    return kernels if apart else [Kernel(name, buffers, n, tuple(bodies))]


def _together(vectors: int, step: int) -> int:
    """How many vectors of channels go through the places together, which are `step` bytes apart."""
    if step < _APART:
        return 1
    most = _TOGETHER[step >= 2 * _APART]
    return max(d for d in range(1, most + 1) if vectors % d == 0 and (d == 1 or vectors // d >= _ENOUGH_CHUNKS // 2))


def _region(
    region: Region,
    out: View,
    x: View,
    weights: Mapping[tuple[int, int], Value],
    around: Sequence[tuple[Var, int]],
    channels: _Channels,
    along: Sequence[tuple[Var, int]],
) -> Statement:
    own, (vector, lanes) = region.own(out), along[-1]
    h, w = Var("h", own.shape[2]), Var("w", own.shape[3])
    loops = [*around, (h, 2), (w, 3)]
    total: Value = Const(0.0, out.dtype, lanes)
    for tap in region.taps:
        seen = Load(x.buffer, _index(region.seen(x, tap), loops, channels, along), lanes, channels.active)
        total = Apply("muladd", (seen, weights[tap[0].number, tap[1].number], total))
    store = Store(out.buffer, _index(own, loops, channels, along), total, channels.active)
    (statement,) = nested([h, w, vector] if vector.extent > 1 else [h, w], [store])
    return statement


# -- the filter gradient ---------------------------------------------------------------------------------------------


def _filter_gradient(op: DepthwiseFilterGradient, out: View, x: View, dy: View, scratch: Scratch) -> list[Kernel]:
    """Sums over parts of the batch; then these added."""
    batch, channels = x.shape[:2]
    parts = max(part for part in range(1, min(batch, _PARTS) + 1) if batch % part == 0)
    sums = scratch.array(out.dtype, (parts, *op.kernel, channels))
    kernels = _sums(op, sums, x, dy)
    result = replace(out, shape=sums.shape, strides=(0, *out.strides))
    return kernels + Folding(op.name, (sums, result), (0,), SUM, lambda values: values[0]).kernels(scratch)


def _sums(op: DepthwiseFilterGradient, sums: View, x: View, dy: View) -> list[Kernel]:
    """sums[part, i, j, c] over the part's images; each row of places is added up by itself, which keeps sums exact."""
    lanes = target().lanes(ELEMENTS[sums.dtype])
    parts, apart = sums.shape[0], sums.shape[0] < _ENOUGH_CHUNKS
    part, n = Var("part", parts), Var("n", x.shape[0] // parts)
    rows, columns = _axes(op, x, dy, op.kernel)
    places = regions(rows.forwards(), columns.forwards())
    buffers = tuple(dict.fromkeys(view.buffer for view in (sums, x, dy)))
    positions = [(i, j) for i in range(op.kernel[0]) for j in range(op.kernel[1])]
    groups = [positions[first : first + _SUMS] for first in range(0, len(positions), _SUMS)]
    kernels, bodies = [], list[Statement]()
    for channels in _channels(x.shape[1], lanes):
        vector = Var("vector", channels.times)
        body = [
            statement
            for group in groups
            for statement in _group(group, places, sums, x, dy, (part, n), channels, (vector, lanes))
        ]
        if apart:
            kernels.append(Kernel(op.name, buffers, vector, (For(part, tuple(body)),)))
        else:
            bodies.append(For(vector, tuple(body)))
    return kernels if apart else [Kernel(op.name, buffers, part, tuple(bodies))]


def _group(
    positions: Sequence[tuple[int, int]],
    places: Sequence[Region],
    sums: View,
    x: View,
    dy: View,
    around: tuple[Var, Var],
    channels: _Channels,
    vector: tuple[Var, int],
) -> list[Statement]:
    """The sums of some positions of the kernel."""
    part, n = around
    lanes, dtype = vector[1], sums.dtype
    totals = {place: Register(f"t{place[0]}_{place[1]}", dtype, lanes) for place in positions}
    images: list[Statement] = []
    for region in places:
        taps = [tap for tap in region.taps if (tap[0].number, tap[1].number) in totals]
        if taps:
            images.append(_line(region, taps, totals, x, dy, around, channels, vector))
    start = [Set(total, Const(0.0, dtype, lanes)) for total in totals.values()]
    stores = []
    for (i, j), total in totals.items():
        at = sums.offset + i * sums.strides[1] + j * sums.strides[2] + channels.first
        index = affine({part: sums.strides[0], vector[0]: lanes}, at)
        stores.append(Store(sums.buffer, index, total, channels.active))
    return [*start, For(n, tuple(images)), *stores]


def _line(
    region: Region,
    taps: Sequence[Tap2],
    totals: dict[tuple[int, int], Register],
    x: View,
    dy: View,
    around: tuple[Var, Var],
    channels: _Channels,
    vector: tuple[Var, int],
) -> Statement:
    """For each row of a region's places the sums along it, added to the totals."""
    part, n = around
    lanes = vector[1]
    h, w = Var("h", region.rows.count), Var("w", region.columns.count)

    def load(view: View) -> Load:
        batch = view.strides[0]
        index = _index(view, [(n, 0), (h, 2), (w, 3)], channels, [vector]) + affine({part: batch * n.extent})
        return Load(view.buffer, index, lanes, channels.active)

    given = Register("dy", dy.dtype, lanes)
    row = {tap: Register(f"s{tap[0].number}_{tap[1].number}", dy.dtype, lanes) for tap in taps}
    start = [Set(s, Const(0.0, dy.dtype, lanes)) for s in row.values()]
    step: list[Statement] = [Set(given, load(region.own(dy)))]
    step += [Set(s, Apply("muladd", (given, load(region.seen(x, tap)), s))) for tap, s in row.items()]
    added = []
    for tap, s in row.items():
        total = totals[tap[0].number, tap[1].number]
        added.append(Set(total, Apply("add", (total, s))))
    return For(h, (*start, For(w, tuple(step)), *added))
