"""Arrays as the loop language sees them: buffers, and strides in elements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphnet.backend.native.loops import ELEMENTS, Buffer

DTYPES = {"float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "bool": "u8", "uint8": "u8"}


@dataclass(frozen=True)
class View:
    """An array: element `offset` of the buffer and on, `strides` in elements."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_bool: bool = False

    @property
    def dtype(self) -> str:
        return self.buffer.dtype

    def broadcast(self, shape: Sequence[int]) -> View:
        """The same elements as an array of `shape`, repeated along new axes and those of size 1."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing + [
            0 if size != wanted else stride
            for size, wanted, stride in zip(self.shape, shape[missing:], self.strides, strict=True)
        ]
        return replace(self, shape=tuple(shape), strides=tuple(strides))


@dataclass(frozen=True)
class Block:
    """The memory of one buffer: its address, and the array that keeps it alive."""

    buffer: Buffer
    address: int
    owner: np.ndarray


def locate(arrays: Sequence[np.ndarray]) -> tuple[list[View], list[Block]] | None:
    """Views of arrays, in their order, and the blocks they lie in: overlapping arrays share one.

    None where the loop language cannot say it: a dtype it does not have, two dtypes in one block, no elements.
    """
    if any(array.dtype.name not in DTYPES or not array.size for array in arrays):
        return None
    bounds = [np.lib.array_utils.byte_bounds(array) for array in arrays]
    merged: list[list[int]] = []  # [start, end, any array in it]
    for number in sorted(range(len(arrays)), key=lambda number: bounds[number]):
        start, end = bounds[number]
        if merged and start < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end, number])
    blocks: list[Block] = []
    for start, end, number in merged:
        dtype = DTYPES[arrays[number].dtype.name]
        buffer = Buffer(f"m{len(blocks)}", dtype, (end - start) // ELEMENTS[dtype])
        blocks.append(Block(buffer, start, arrays[number]))
    views = []
    for array in arrays:
        address = array.__array_interface__["data"][0]
        block = next(b for b in blocks if b.address <= address < b.address + b.buffer.size * ELEMENTS[b.buffer.dtype])
        size = array.dtype.itemsize
        wrong = block.buffer.dtype != DTYPES[array.dtype.name] or (address - block.address) % size
        if wrong or any(stride % size for stride in array.strides):
            return None
        strides = tuple(0 if n == 1 else stride // size for n, stride in zip(array.shape, array.strides, strict=True))
        offset = (address - block.address) // size
        views.append(View(block.buffer, offset, array.shape, strides, array.dtype == bool))
    return views, blocks


def merged_axes(views: Sequence[View], among: Iterable[int] | None = None) -> list[tuple[int, tuple[int, ...]]]:
    """(size, the stride of each view) for the axes that all views share, slowest first, as few as they can be.

    Axes lie in the order of the first view's memory; two that every view runs through as one are one. Only axes of
    `among` count, where that is given.
    """
    first = views[0]
    axes = [axis for axis in (range(len(first.shape)) if among is None else among) if first.shape[axis] != 1]
    axes.sort(key=lambda axis: -abs(first.strides[axis]))
    found: list[tuple[int, tuple[int, ...]]] = []
    for axis in axes:
        size, strides = first.shape[axis], tuple(view.strides[axis] for view in views)
        if found and all(outer == inner * size for outer, inner in zip(found[-1][1], strides, strict=True)):
            found[-1] = (found[-1][0] * size, strides)
        else:
            found.append((size, strides))
    return found
