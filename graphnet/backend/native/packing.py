"""Operands of products copied so that a kernel reads them from one end to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphnet.backend.native.contraction import Contraction, Operand, most_rows, nested, panels, row_tiles
from graphnet.backend.native.loops import Affine, Const, For, Load, Statement, Store, Var, affine, pieces
from graphnet.backend.native.transposition import square_side, transposed
from graphnet.backend.native.views import View

_STEPS = 8  # of the depth, that are packed together


def fill_right(source: View, target: View, around: Sequence[Var], vectors: int, lanes: int) -> list[Statement]:
    """Panels (panel, depth, columns) of `vectors` vectors of source (depth, columns); what the last one lacks is 0.

    around: the variables of the first axes of both. Where columns lie apart and the depth does not, whole squares are
    turned in registers.
    """
    depth, columns = source.shape[-2:]
    down, along = source.strides[-2:]
    width = vectors * lanes
    side = square_side(lanes)
    turned = along != 1 and down == 1 and side > 1 and depth >= side
    whole = depth - depth % side if turned else 0
    body: list[Statement] = []
    for first, wide, _, times in panels(columns, vectors, lanes):
        panel = Var("p", times)
        to = _along(target, around, {panel: depth * width})
        at = _along(source, around, {panel: width * along})
        end, start = target.offset + first * depth, source.offset + first * along
        square, k, rest = Var("ks", whole // side), Var("k", side), Var("k", depth - whole)
        squares: list[Statement] = []
        for lane in range(0, width if whole else 0, side):
            active = min(max(wide - lane, 0), side)
            if active == side:
                target_at = affine(to | {square: side * width}, end + lane)
                source_at = affine(at | {square: side}, start + lane * along)
                squares += transposed((target.buffer, target_at, width), (source.buffer, source_at, along), side)
            else:
                target_at = affine(to | {square: side * width, k: width}, end + lane)
                source_at = affine(at | {square: side, k: 1}, start + lane * along)
                single = _single((target, target_at), (source, source_at), along, active, side)
                squares.append(For(k, tuple(single)))
        singles: list[Statement] = []
        for lane in range(0, width if rest.extent else 0, lanes):
            target_at = affine(to | {rest: width}, end + whole * width + lane)
            source_at = affine(at | {rest: down}, start + whole * down + lane * along)
            active = min(max(wide - lane, 0), lanes)
            singles += _single((target, target_at), (source, source_at), along, active, lanes)
        inner = [*nested([square] if whole else [], squares), *nested([rest] if rest.extent else [], singles)]
        body += nested([panel], inner)
    return body


def _single(to: tuple[View, Affine], of: tuple[View, Affine], along: int, active: int, lanes: int) -> list[Statement]:
    """A vector of the target from as many elements `along` apart, the first `active` of them; 0 in the others."""
    (target, end), (source, start) = to, of
    if along == 1 and active:
        return [Store(target.buffer, end, Load(source.buffer, start, lanes, active))]
    zeros: list[Statement] = [Store(target.buffer, end, Const(0.0, target.dtype, lanes))] if active < lanes else []
    return zeros + [Store(target.buffer, end + one, Load(source.buffer, start + one * along)) for one in range(active)]


def fill_left(c: Contraction, target: View, given: Mapping[str, Var]) -> tuple[Operand, list[Statement]]:
    """Tiles of rows, each (depth, rows of the tile), of the left operand of `c`, and what puts them there.

    given: the variables around, those of the target's first axes at the front. A few steps of the depth at a time:
    their lines of the source are read from one end to the other, and what a tile gets of them is whole lines.
    """
    depth, left = c.sizes["depth"], c.left
    down, along = left.strides["row"], left.strides["depth"]
    own = dict(zip(given, target.strides[:-1], strict=False))
    body: list[Statement] = []
    for tile_row, tall, count in row_tiles(c.sizes["row"], most_rows(c.vectors)):
        for first, steps, times in ((0, _STEPS, depth // _STEPS), (depth - depth % _STEPS, depth % _STEPS, 1)):
            if not steps or not times:
                continue
            tile, several = Var("t", count), Var("ks", times)
            to = {var: own.get(name, 0) for name, var in given.items()}
            to |= {tile: tall * depth, several: steps * tall}
            at = {var: left.strides.get(name, 0) for name, var in given.items()}
            at |= {tile: tall * down, several: steps * along}
            end = target.offset + tile_row * depth + first * tall
            start = left.offset + tile_row * down + first * along
            stores: list[Statement] = []
            for k in range(steps):
                # A whole vector, where what is too much of it is written over by the next steps.
                wide = down == 1 and tall <= c.lanes <= min(along, (steps - k) * tall)
                single = [(row, 1) for row in range(tall)]
                for row, lanes in [(0, c.lanes)] if wide else pieces(tall) if down == 1 else single:
                    value = Load(left.buffer, affine(at, start + row * down + k * along), lanes)
                    stores.append(Store(target.buffer, affine(to, end + row + k * tall), value))
            body += nested([several, tile], stores)
    return Operand(target.buffer, own | {"row": depth, "depth": 1}, target.offset, tiled=True), body


def _along(view: View, around: Sequence[Var], inner: Mapping[Var, int]) -> dict[Var, int]:
    """The strides of variables over a view's first axes, and of `inner`."""
    return {**dict(zip(around, view.strides, strict=False)), **inner}
