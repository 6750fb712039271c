"""Parts of a contraction: some of its panels, rows or columns, and blocks of its depth one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graphnet.backend.native.contraction import Contraction, Operand, panels


def split_columns(c: Contraction) -> list[tuple[Contraction, int]]:
    """The same for the whole panels and for what is left, each with its number of panels."""
    found = []
    for first, columns, _, times in panels(c.sizes[c.column], c.vectors, c.lanes):

        def moved(of: Operand, panel: int = first // (c.vectors * c.lanes)) -> Operand:
            width = c.vectors * c.lanes
            return replace(
                of, offset=of.offset + panel * (of.strides.get(c.column, 0) * width if of.panel is None else of.panel)
            )

        part = replace(
            c,
            sizes={**c.sizes, c.column: columns * times},
            right=moved(c.right),
            out=moved(c.out),
            beside=tuple(map(moved, c.beside)),
            results=tuple(map(moved, c.results)),
        )
        found.append((part, times))
    return found


def cut_out(c: Contraction, sizes: Mapping[str, tuple[int, int]]) -> Contraction:
    """The same for (first, size) of some dimensions only; columns begin with a whole panel."""

    def moved(of: Operand) -> Operand:
        offset = of.offset
        for name, (first, _) in sizes.items():
            if name == c.column and of.panel is not None:
                offset += first // (c.vectors * c.lanes) * of.panel
            else:
                offset += first * of.strides.get(name, 0)
        return replace(of, offset=offset)

    return replace(
        c,
        sizes={**c.sizes, **{name: size for name, (_, size) in sizes.items()}},
        left=moved(c.left),
        right=moved(c.right),
        out=moved(c.out),
        beside=tuple(map(moved, c.beside)),
        results=tuple(map(moved, c.results)),
    )


def asking(c: Contraction, name: str) -> Contraction:
    """The same, asking for what lies behind its block of `name`.

    So what comes next of a right operand is on its way from far away while all tiles read this block.
    """
    return replace(c, ahead=c.sizes[name] * c.right.strides[name])


def by_parts(c: Contraction, name: str, size: int) -> list[Contraction]:
    """The same, with dimension `name` of the depth in blocks of `size`: the first one, the others, what is left.

    So what a block reads of both operands is still near when other tiles read it again. `finish` comes with the last.
    """
    blocks, rest = divmod(c.sizes[name], size)
    if blocks + bool(rest) < 2:
        return [c]

    def part(first: int, many: int, times: int, adds: bool, last: bool) -> Contraction:
        def moved(of: Operand) -> Operand:
            step = of.strides.get(name, 0)
            return replace(of, strides={**of.strides, block: step * size}, offset=of.offset + first * size * step)

        block = f"{name}_block"
        return replace(
            c,
            sizes={**c.sizes, name: many, block: times},
            loops=(block, *c.loops),
            left=moved(c.left),
            right=moved(c.right),
            adds=adds,
            finish=c.finish if last else None,
        )

    found = [(0, size, 1)]
    if blocks > 1:
        between = blocks - 1 if rest or c.finish is None else blocks - 2
        found += [(1, size, between)] if between else []
        if between < blocks - 1:
            found.append((blocks - 1, size, 1))
    if rest:
        found.append((blocks, rest, 1))
    return [part(*of, c.adds or number > 0, number == len(found) - 1) for number, of in enumerate(found)]
