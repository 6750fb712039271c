"""How a kernel goes through the places of images: which are a chunk, which are loops, which are rows of its tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from graphnet.backend.native.contraction import Contraction, best_vectors, contraction, cycles
from graphnet.backend.native.loops import Kernel, Statement, Var
from graphnet.backend.native.parting import split_columns

_WIDE = 12  # places beside one another that are enough rows for tiles by themselves
_LISTED = 28  # places, at most, that are listed as the rows of tiles
_LITTLE = 0.97  # of the time: for less, rows are not listed
_CHUNK = 128  # places of a chunk, at least
CHUNKS = 8  # of a kernel, where there are as many
PANEL = "panel"


@dataclass(frozen=True)
class Images:
    """The places of (N, H, W).

    Dimensions: "n", "nb", "nn" (blocks of images, parts of a block, images of a part), "h", "hh" (blocks of rows, rows
    of a block), "w". `rows` are those of tiles; `chunk` is "n", "h" or the panel of filters.
    """

    sizes: Mapping[str, int]
    rows: tuple[str, ...]
    chunk: str

    def strides(self, n: int, h: int, w: int) -> dict[str, int]:
        """The strides of a value whose images, rows and columns are so far apart."""
        sizes = self.sizes
        return {
            "n": n * sizes["nb"] * sizes["nn"],
            "nb": n * sizes["nn"],
            "nn": n,
            "h": h * sizes["hh"],
            "hh": h,
            "w": w,
        }

    @property
    def loops(self) -> tuple[str, ...]:
        """The dimensions that are neither rows nor the depth."""
        return tuple(name for name in ("n", "nb", "nn", "h", "hh") if name not in self.rows)

    def kernels(self, name: str, parts: Sequence[Contraction]) -> list[Kernel]:
        """The kernels that run `parts` one after the other in each chunk."""
        if self.chunk != PANEL:
            return [_kernel(name, parts, Var(self.chunk, self.sizes[self.chunk]))]
        pieces = [split_columns(part) for part in parts]  # whole panels, the rest: the same number for every part
        return [
            _kernel(name, [part for part, _ in group], Var(PANEL, group[0][1])) for group in zip(*pieces, strict=True)
        ]


def _kernel(name: str, parts: Sequence[Contraction], chunk: Var) -> Kernel:
    body: list[Statement] = []
    for part in parts:
        body += contraction(part, {chunk.name: chunk})
    buffers = dict.fromkeys(
        of.buffer for part in parts for of in (part.out, part.left, part.right, *part.beside, *part.results)
    )
    return Kernel(name, tuple(buffers), chunk, tuple(body))


def images(shape: Sequence[int], lanes: int, chosen: int | None = None) -> Images:
    """The way through the places of `shape`, (N, H, W, filters). chosen: rows listed together, where that is known."""
    batch, height, width, filters = shape
    tall = chosen if chosen in lists(height, width) else _tall(height, width, filters, lanes)
    listed = _divisor(batch, _LISTED // (2 * height * width)) if tall == height and width < _WIDE else 1
    each = listed
    while each * height * width < _CHUNK and batch % (2 * each) == 0 and batch >= 2 * each * CHUNKS:
        each *= 2
    sizes = {"n": batch // each, "nb": each // listed, "nn": listed, "h": height // tall, "hh": tall, "w": width}
    rows = tuple(name for name in ("nn", "hh", "w") if sizes[name] > 1) or ("w",)
    most = max(sizes["n"], sizes["h"])
    chunk = "n" if sizes["n"] >= min(CHUNKS, most) else "h"
    return Images(sizes, rows, chunk if most >= CHUNKS // 2 else PANEL)


def image_vectors(shape: Sequence[int], lanes: int) -> int:
    """How many vectors a panel of filters should have, for the places of `shape`, (N, H, W, filters)."""
    way = images(shape, lanes)
    return best_vectors(prod(way.sizes[name] for name in way.rows), shape[3], lanes)


def _tall(height: int, width: int, filters: int, lanes: int) -> int:
    """How many rows of an image are listed together: what the tiles cost least for; one, where more gain little."""

    def cost(tall: int) -> float:
        rows = tall * width
        spared = 1.0 if tall > 1 else _LITTLE
        return spared * cycles(rows, filters, best_vectors(rows, filters, lanes), lanes) / tall

    return min(lists(height, width), key=cost)


def lists(height: int, width: int) -> list[int]:
    """How many rows of an image can be listed together."""
    return [d for d in range(1, height + 1) if height % d == 0 and (d == 1 or d * width <= _LISTED)]


def _divisor(size: int, most: int) -> int:
    """The largest divisor of `size` up to `most`; 1 where that is less."""
    return max((d for d in range(1, max(1, most) + 1) if size % d == 0), default=1)
