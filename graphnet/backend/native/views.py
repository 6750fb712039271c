"""Arrays as the loop language sees them: buffers, and strides in elements."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from graphnet.backend.native.loops import ELEMENTS, Buffer
from graphnet.errors import PlanError
from graphnet.graph.types import TensorType

DTYPES = {
    "float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
    "uint64": "u64", "uint32": "u32", "uint16": "u16", "uint8": "u8", "bool": "u8",
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "bool"}


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

    @property
    def has_neighbours(self) -> bool:
        """Whether elements along the last axis lie side by side."""
        return self.strides[-1] == 1 or self.shape[-1] == 1

    def turned(self) -> View:
        """The last two axes the other way round."""
        *shape, m, n = self.shape
        *strides, s, t = self.strides
        return View(self.buffer, self.offset, (*shape, n, m), (*strides, t, s))

    def cut(self, axis: int, first: int, size: int, times: int) -> View:
        """From index `first` of an axis on, `times` pieces of `size`: a new axis in front counts them."""
        shape = list(self.shape)
        shape[axis] = size
        stride = self.strides[axis]
        return View(self.buffer, self.offset + first * stride, (times, *shape), (size * stride, *self.strides))

    def at(self, number: int) -> View:
        """One index of the first axis."""
        offset = self.offset + number * self.strides[0]
        return replace(self, offset=offset, shape=self.shape[1:], strides=self.strides[1:])

    def again(self, times: int) -> View:
        """The same `times` times, along a new axis in front."""
        return replace(self, shape=(times, *self.shape), strides=(0, *self.strides))


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


@dataclass
class Scratch:
    """Memory beside the operands that the kernels of one step hand results to each other in.

    What is asked for may depend on shapes, dtypes and strides only: it is asked for twice, when memory is planned and
    when the kernels are made.
    """

    buffers: list[Buffer] = field(default_factory=list)

    def array(self, dtype: str, shape: Sequence[int]) -> View:
        """A row-major array of its own, not filled."""
        strides = [1] * len(shape)
        for axis in reversed(range(len(shape) - 1)):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        buffer = Buffer(f"w{len(self.buffers)}", dtype, math.prod(shape))
        self.buffers.append(buffer)
        return View(buffer, 0, tuple(shape), tuple(strides))

    def like(self, view: View, shape: Sequence[int]) -> View:
        """An array of `shape` and of a view's dtype, whose axes lie in the order of the view's."""
        order = sorted(range(len(shape)), key=lambda axis: (view.shape[axis] == 1, -abs(view.strides[axis])))
        flat = self.array(view.dtype, [shape[axis] for axis in order])
        strides = [0] * len(shape)
        for axis, stride in zip(order, flat.strides, strict=True):
            strides[axis] = 0 if shape[axis] == 1 else stride
        return replace(flat, shape=tuple(shape), strides=tuple(strides))

    @property
    def types(self) -> tuple[TensorType, ...]:
        """What the planner has to find places for."""
        return tuple(TensorType(np.dtype(_NAMES[buffer.dtype]), (buffer.size,)) for buffer in self.buffers)

    def blocks(self, arrays: Sequence[np.ndarray]) -> list[Block]:
        """The memory that was planned for it. Raises `PlanError` where that is not what was asked for."""
        given = [TensorType(array.dtype, array.shape) for array in arrays]
        if tuple(given) != self.types:
            wanted = ", ".join(map(str, self.types)) or "none"
            raise PlanError(f"expected scratch {wanted}, got {', '.join(map(str, given)) or 'none'}")
        return [Block(buffer, array.ctypes.data, array) for buffer, array in zip(self.buffers, arrays, strict=True)]


def planned(layouts: Sequence[np.ndarray]) -> list[View] | None:
    """Views of arrays that have strides but no memory yet, each in a buffer of its own; None as for `locate`."""
    views = []
    for number, array in enumerate(layouts):
        name, size = array.dtype.name, array.dtype.itemsize
        if name not in DTYPES or not array.size or any(stride % size for stride in array.strides):
            return None
        strides = [0 if n == 1 else stride // size for n, stride in zip(array.shape, array.strides, strict=True)]
        reach = [(n - 1) * stride for n, stride in zip(array.shape, strides, strict=True)]
        first, last = sum(min(0, far) for far in reach), sum(max(0, far) for far in reach)
        buffer = Buffer(f"m{number}", DTYPES[name], last - first + 1)
        views.append(View(buffer, -first, array.shape, tuple(strides), array.dtype == bool))
    return views


def layout(views: Sequence[View]) -> Hashable:
    """How the arrays lie: all that loops over them depend on, but not where their memory is."""
    number: dict[Buffer, int] = {}
    for view in views:
        number.setdefault(view.buffer, len(number))
    placed = [(number[view.buffer], view.offset, view.shape, view.strides, view.is_bool) for view in views]
    return tuple(placed), tuple((buffer.dtype, buffer.size) for buffer in number)


class Strided(Protocol):
    """What has a shape, and a stride for each of its axes, in whatever unit."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def strides(self) -> tuple[int, ...]: ...


def merged_axes(views: Sequence[Strided], among: Iterable[int] | None = None) -> list[tuple[int, tuple[int, ...]]]:
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
