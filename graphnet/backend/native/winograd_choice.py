"""Which tiles a Winograd convolution has, and in which blocks it goes through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphnet import config
from graphnet.backend.native.contraction import best_vectors, cycles
from graphnet.backend.native.target import target
from graphnet.backend.native.tiling import image_vectors
from graphnet.backend.native.winograd import KERNEL, TILES

_CHUNKS = 8  # of a kernel, each with scratch of its own
_BLOCK = 600 << 10  # bytes of scratch that a block of tiles should have
_LEAST, _MOST = 16, 64  # tiles of a block: for fewer, weights are read too often
_FEWEST = 4  # the same where weights are near
_TRANSFORMED = {2: 40, 4: 130}  # cycles for a vector of a tile, before the products and after them
_WEIGHTS = {2: 20, 4: 60}  # cycles for a vector of weights: half of it, as they may be prepared
_BYTES = 6  # of weights in a cycle
_NEAR = 256 << 10  # bytes of weights that stay in the second-level cache beside tiles
_NEAR_BYTES = 24  # of these, when they are read again
_ROWS = 6  # of a tile of a product
_GAIN = 0.92  # of the time: for less, sums are not made by tiles
_STAGED = 6 << 20  # bytes of scratch, up to which all tiles are one block
_GRADIENT_STAGED = 8 << 20  # the same for a filter gradient, at least


@dataclass(frozen=True)
class Blocks:
    """Blocks of `images` times `rows` of tiles, from a first image and row on: `chunks` times so many blocks of each.

    chunk_step: by how many images and rows of tiles one chunk follows another. is_whole: it is all there is.
    """

    images: int
    rows: int
    first_image: int = 0
    first_row: int = 0
    image_blocks: int = 1
    row_blocks: int = 1
    chunks: int = 1
    chunk_step: tuple[int, int] = (0, 0)
    is_whole: bool = False

    @property
    def end(self) -> int:
        """The row of tiles behind the last."""
        return self.first_row + self.rows * self.row_blocks + (self.chunks - 1) * self.chunk_step[1]


def blocks(tile: int, shape: Sequence[int], channels: int, itemsize: int, staged: int | None = None) -> list[Blocks]:
    """The blocks for results (N, H, W, filters). Only in the last row of blocks may tiles overhang the lower edge.

    staged: bytes of scratch, up to which all tiles are one block.
    """
    batch, height, width, filters = shape
    rows, columns = -(-height // tile), -(-width // tile)
    each = (tile + KERNEL - 1) ** 2 * (channels + filters) * itemsize
    near = staged is None and _is_near(tile, shape, channels, itemsize)
    if not near and each * batch * rows * columns <= (_STAGED if staged is None else staged):
        return [Blocks(batch, rows, is_whole=True)]
    wanted = min(_MOST, max(_LEAST, _BLOCK // each))
    if near:
        wanted = min(wanted, max(_FEWEST, rows * columns // _CHUNKS))
    if rows * columns <= wanted:
        return _of_images(batch, rows, max(1, min(wanted // (rows * columns), batch // 2)))
    found = []
    whole = rows - 1 if height % tile else rows
    for first, count in ((0, whole), (whole, rows - whole)):
        if count:
            tall = max(d for d in range(1, count + 1) if count % d == 0 and (d == 1 or d * columns <= wanted))
            found += _of_rows(batch, first, count // tall, tall)
    return found


def _is_near(tile: int, shape: Sequence[int], channels: int, itemsize: int) -> bool:
    """Whether each block of a single image's tiles may read the weights again, as they stay in the second-level cache.

    Threads then meet once, not after each transform and the products: of so little work that is a third of the time.
    """
    batch, height, width, filters = shape
    weights = (tile + KERNEL - 1) ** 2 * channels * filters * itemsize
    return batch == 1 and -(-height // tile) * -(-width // tile) >= _LEAST and weights <= _NEAR


def _of_images(batch: int, rows: int, images: int) -> list[Blocks]:
    """Blocks of several whole images."""
    count, left = divmod(batch, images)
    chunks = min(_CHUNKS, count)
    each = count // chunks
    found = [Blocks(images, rows, image_blocks=each, chunks=chunks, chunk_step=(each * images, 0))]
    done = chunks * each
    if count > done:
        found.append(Blocks(images, rows, done * images, chunks=count - done, chunk_step=(images, 0)))
    return [*found, Blocks(left, rows, count * images)] if left else found


def _of_rows(batch: int, first: int, count: int, tall: int) -> list[Blocks]:
    """`count` blocks of `tall` rows of tiles in each image, from row `first` on."""
    if batch < _CHUNKS // 2:
        chunks = max(d for d in range(1, min(count, 2 * _CHUNKS) + 1) if count % d == 0)
        inside = count // chunks
        return [Blocks(1, tall, 0, first, batch, inside, chunks, (0, inside * tall))]
    chunks = min(_CHUNKS, batch)
    each = batch // chunks
    found = [Blocks(1, tall, 0, first, each, count, chunks, (each, 0))]
    left = batch - chunks * each
    return [*found, Blocks(1, tall, chunks * each, first, 1, count, left, (1, 0))] if left else found


def panel_vectors(tile: int, shape: Sequence[int], channels: int, itemsize: int, lanes: int) -> int:
    """How many vectors a panel of filters should have."""
    rows = min(piece.images * piece.rows for piece in blocks(tile, shape, channels, itemsize))
    return best_vectors(rows * -(-shape[2] // tile), shape[3], lanes)


def tile_of(shape: Sequence[int], channels: int, dtype: np.dtype) -> int | None:
    """The tiles for results (N, H, W, filters); None where direct sums take less time, or are wanted.

    Those of float64 always are: who asks for it asks for the smaller error.
    """
    if dtype != np.float32 or not config.native_winograd():
        return None
    tile = min(TILES, key=lambda tile: _cycles(tile, shape, channels, dtype.itemsize))
    return tile if _cycles(tile, shape, channels, dtype.itemsize) < _GAIN * _direct(shape, channels, dtype) else None


def gradient_blocks(tile: int, shape: Sequence[int], channels: int, itemsize: int) -> list[Blocks]:
    """The blocks of a filter gradient: of each chunk's there are sums by themselves, unless all tiles are one block."""
    sums = (tile + KERNEL - 1) ** 2 * channels * shape[3] * itemsize
    return blocks(tile, shape, channels, itemsize, max(_GRADIENT_STAGED, _CHUNKS // 2 * sums))


def gradient_tile_of(shape: Sequence[int], channels: int, dtype: np.dtype) -> int | None:
    """The tiles for the filter gradient of a convolution with results (N, H, W, filters); None as for `tile_of`."""
    if dtype != np.float32 or not config.native_winograd():
        return None
    tile = min(TILES, key=lambda tile: _gradient_cycles(tile, shape, channels, dtype.itemsize))
    batch, height, width, filters = shape
    products = KERNEL**2 * channels * filters / target().lanes(dtype.itemsize) / target().multiply_adds
    direct = batch * height * width * products
    return tile if _gradient_cycles(tile, shape, channels, dtype.itemsize) < _GAIN * direct else None


def _gradient_cycles(tile: int, shape: Sequence[int], channels: int, itemsize: int) -> float:
    """What a filter gradient costs by tiles, in cycles of one core."""
    batch, height, width, filters = shape
    lanes, size = target().lanes(itemsize), (tile + KERNEL - 1) ** 2
    way = gradient_blocks(tile, shape, channels, itemsize)
    tiles = batch * -(-height // tile) * -(-width // tile)
    products = size * cycles(channels, filters, best_vectors(channels, filters, lanes), lanes)
    changed = _TRANSFORMED[tile] * (-(-channels // lanes) + -(-filters // lanes))
    sums = sum(piece.chunks for piece in way) * channels * filters
    far = sums + (tiles * (channels + filters) if way[0].is_whole else 0)
    return tiles * (products + changed) + 2 * size * far * itemsize / _BYTES


def _cycles(tile: int, shape: Sequence[int], channels: int, itemsize: int) -> float:
    """What a convolution costs by tiles, in cycles of one core."""
    batch, height, width, filters = shape
    lanes = target().lanes(itemsize)
    way = blocks(tile, shape, channels, itemsize)
    tiles = batch * -(-height // tile) * -(-width // tile)
    side = tile + KERNEL - 1
    together = max(piece.images * piece.rows for piece in way) * -(-width // tile)
    times = tiles / together
    vectors = best_vectors(together, filters, lanes)
    products = side**2 * channels * cycles(together, filters, vectors, lanes)
    weights = side**2 * channels * filters * itemsize / _BYTES
    if _is_near(tile, shape, channels, itemsize):
        weights *= (1 + (times - 1) * _BYTES / _NEAR_BYTES) / times
    products = max(products, products * (1 - _ROWS / together) + weights)
    changed = _TRANSFORMED[tile] * (-(-channels // lanes) + -(-filters // lanes)) * together
    once = _WEIGHTS[tile] * channels * filters / lanes
    return times * (products + changed) + once


def _direct(shape: Sequence[int], channels: int, dtype: np.dtype) -> float:
    """What it costs as direct sums."""
    batch, height, width, filters = shape
    lanes = target().lanes(dtype.itemsize)
    rows = batch * height * width
    vectors = image_vectors(shape, lanes)
    products = KERNEL**2 * channels * cycles(rows, filters, vectors, lanes)
    weights = KERNEL**2 * channels * filters * dtype.itemsize / _BYTES
    return max(products, products * (1 - _ROWS / rows) + weights)
