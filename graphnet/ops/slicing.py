"""Basic slicing, its adjoint `Pad`, and what is made of slices: indexing, flip, split, padding with a constant.

A slice is kept as (start, step, count) for each axis, so that one form covers negative steps and named sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError, DimError, DtypeError, ShapeError, names_itself
from graphnet.graph.dims import Dim, Shape, Size, as_size
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType, normalize_axes, normalize_axis
from graphnet.ops.shaping import reshape, shape_text
from graphnet.ops.sources import NodeLike, as_node


class Slice(Op):
    """The elements start + i*step, i < count, along each axis. A view."""

    starts: Shape
    steps: tuple[int, ...]
    counts: Shape

    def infer(self, x: TensorType) -> TensorType:
        check_reach(self.starts, self.steps, self.counts, x.shape)
        return x.with_shape(self.counts)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [Pad(self.starts, self.steps, x.shape, 0.0)(dy) if x.type.is_float else None]

    def view(self, x: np.ndarray) -> np.ndarray:
        return x[_slices(self.starts, self.steps, self.counts)]


class Pad(Op):
    """An array of shape `target` full of `value`, but for x: its element i goes to start + i*step along each axis.

    With steps of 1 this is padding; with value 0 it is the adjoint of `Slice`.
    """

    starts: Shape
    steps: tuple[int, ...]
    target: Shape
    value: float

    def infer(self, x: TensorType) -> TensorType:
        check_reach(self.starts, self.steps, x.shape, self.target)
        return x.with_shape(self.target)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [Slice(self.starts, self.steps, x.shape)(dy) if x.type.is_float else None]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        out.fill(self.value)
        out[_slices(self.starts, self.steps, x.shape)] = x


def check_reach(starts: Shape, steps: Sequence[int], counts: Shape, shape: Shape) -> None:
    """Raise `ShapeError` where start + i*step, i < count, leaves an axis. Named sizes are checked once bound."""
    if not len(starts) == len(steps) == len(counts) == len(shape):
        raise ShapeError(f"a slice of {len(starts)} axes does not fit shape {shape_text(shape)}")
    for axis, (start, step, count, size) in enumerate(zip(starts, steps, counts, shape, strict=True)):
        if not (isinstance(start, int) and isinstance(count, int) and isinstance(size, int)):
            continue
        last = start + step * (count - 1)
        if count < 0 or (count > 0 and not (0 <= start < size and 0 <= last < size)):
            raise ShapeError(
                f"{count} elements from {start} in steps of {step} do not lie within axis {axis} of size {size}"
            )


def getitem(x: NodeLike, index: Any) -> Node:
    """x[index] for integers, slices, None and `...`, as NumPy's basic indexing. (`take` is for arrays of indices.)

    Bounds on a named axis, and bounds that are names (`x[:, :Dim("T")]`), are taken to lie within the axis; a call
    that binds a size for which they do not raises `ShapeError`. An integer out of range raises `ShapeError` at once.
    """
    node = as_node(x)
    items = _complete(node, index if isinstance(index, tuple) else (index,))
    picks: list[tuple[Size, int, Size]] = []
    shape: list[Size] = []
    for item in items:
        if item is None:
            shape.append(1)
            continue
        axis = len(picks)
        size = node.shape[axis]
        if isinstance(item, slice):
            picks.append(_resolve(node, item, axis, size))
            shape.append(picks[-1][2])
        else:
            picks.append((_position(node, item, axis, size), 1, 1))
    return reshape(_slice(node, picks), shape)


@names_itself
def flip(x: NodeLike, axis: int | Sequence[int] | None = None) -> Node:
    """The elements in reverse order along `axis` (one, several, or None for all). A view."""
    node = as_node(x)
    axes = normalize_axes(axis, node.ndim)
    return _slice(node, [(n + -1, -1, n) if i in axes else (0, 1, n) for i, n in enumerate(node.shape)])


@names_itself
def split(x: NodeLike, sizes_or_sections: int | Sequence[Size], axis: int = 0) -> list[Node]:
    """x cut along `axis`: into that many equal sections for an int, or into parts of the sizes listed. Views.

    Raises `ShapeError` where the axis does not divide evenly, or the sizes do not add up to it.
    """
    node = as_node(x)
    axis = normalize_axis(axis, node.ndim)
    sizes = _part_sizes(node, sizes_or_sections, axis)
    before, after = node.shape[:axis], node.shape[axis + 1 :]
    parts: list[Node] = []
    start: Size = 0
    for size in sizes:
        picks = [*((0, 1, n) for n in before), (start, 1, size), *((0, 1, n) for n in after)]
        parts.append(_slice(node, picks))
        start = start + size
    return parts


def pad_constant(x: Node, pairs: Sequence[tuple[int, int]], value: float) -> Node:
    """x with `before` and `after` elements of `value` added along each axis."""
    if not x.type.is_float and not _holds(x.dtype, value):
        raise DtypeError(f"padding {x.type} needs a value that {x.dtype} holds, got {value!r}")
    target = tuple(n + before + after for n, (before, after) in zip(x.shape, pairs, strict=True))
    if target == x.shape:
        return x
    return Pad(tuple(before for before, _ in pairs), (1,) * x.ndim, target, float(value))(x)


def _holds(dtype: np.dtype, value: float) -> bool:
    """Whether an integer or boolean dtype, and a float64 on the way to it, holds `value` exactly."""
    if not np.isfinite(value) or int(value) != value or float(value) != value:
        return False
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return bool(low <= value <= high)


def _slice(node: Node, picks: Sequence[tuple[Size, int, Size]]) -> Node:
    """The slice in its one form: empty and single picks have step 1, and the whole array is the array itself."""
    normal = [(0 if n == 0 else start, 1 if n in (0, 1) else step, n) for start, step, n in picks]
    if all(start == 0 and step == 1 and n == size for (start, step, n), size in zip(normal, node.shape, strict=True)):
        return node
    starts, steps, counts = zip(*normal, strict=True)
    return Slice(starts, steps, counts)(node)


def _slices(starts: Shape, steps: Sequence[int], counts: Shape) -> tuple[slice, ...]:
    found = []
    for start, step, count in zip(starts, steps, counts, strict=True):
        stop = start + step * count
        found.append(slice(start, None if isinstance(stop, int) and stop < 0 else stop, step) if count else slice(0, 0))
    return tuple(found)


def _complete(node: Node, items: tuple[Any, ...]) -> list[Any]:
    """The index with `...` and the missing axes at the end written out as full slices."""
    for item in items:
        if isinstance(item, bool | np.bool_) or not (
            item is None or item is Ellipsis or isinstance(item, slice | Dim) or _is_integer(item)
        ):
            raise ArgumentError(
                f"index {item!r} of {node.type}: expected integers, slices, None or '...'"
                " (gn.take picks by an array of indices, gn.where by a mask)"
            )
    dots = [place for place, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise ArgumentError(f"index {items} of {node.type}: only one '...' can be given")
    used = len([item for item in items if item is not None and item is not Ellipsis])
    if used > node.ndim:
        raise ShapeError(f"index {items} takes {used} axes, but {node.type} has {node.ndim}")
    full = [slice(None)] * (node.ndim - used)
    place = dots[0] if dots else len(items)
    return [*items[:place], *full, *items[place + len(dots) :]]


def _is_integer(item: Any) -> bool:
    """Arrays of one integer have `__index__` too, but they ask for another kind of indexing."""
    return hasattr(item, "__index__") and not (isinstance(item, np.ndarray) and item.ndim)


def _position(node: Node, item: Any, axis: int, size: Size) -> Size:
    position: Size = item if isinstance(item, Dim) else int(item.__index__())
    if isinstance(position, int) and isinstance(size, int) and not -size <= position < size:
        raise ShapeError(f"index {position} is out of range for axis {axis} of {node.type}, which has size {size}")
    return size + position if isinstance(position, int) and position < 0 else position


def _resolve(node: Node, item: slice, axis: int, size: Size) -> tuple[Size, int, Size]:
    """(start, step, count) of a slice, as NumPy resolves it where the size is known."""
    step = 1 if item.step is None else item.step
    if isinstance(step, bool) or not hasattr(step, "__index__") or int(step) == 0:
        raise ArgumentError(f"index {item} of axis {axis} of {node.type}: the step must be an integer that is not 0")
    step = int(step)
    bounds = [_bound(node, bound, item, axis) for bound in (item.start, item.stop)]
    first, stop = bounds
    if not any(isinstance(value, Dim) for value in (size, first, stop)):
        found = range(*slice(first, stop, step).indices(size))  # type: ignore[arg-type]
        return found.start, step, len(found)
    if first is None:
        first = 0 if step > 0 else size + -1
    elif isinstance(first, int) and first < 0:
        first = size + first
    if stop is None:
        stop = size if step > 0 else -1
    elif isinstance(stop, int) and stop < 0:
        stop = size + stop
    span = stop - first if step > 0 else first - stop
    count = (span + (abs(step) - 1)) // abs(step)
    if isinstance(count, int) and count < 0:
        count = 0
    return first, step, count


def _bound(node: Node, bound: Any, item: slice, axis: int) -> Size | None:
    if bound is None or isinstance(bound, Dim):
        return bound
    if isinstance(bound, bool) or not hasattr(bound, "__index__"):
        raise ArgumentError(f"index {item} of axis {axis} of {node.type}: a bound must be an integer, not {bound!r}")
    return int(bound.__index__())


def _part_sizes(node: Node, sizes_or_sections: int | Sequence[Size], axis: int) -> list[Size]:
    total = node.shape[axis]
    if isinstance(sizes_or_sections, (tuple, list)):
        sizes = [as_size(size) for size in sizes_or_sections]
        covered: Size = 0
        for size in sizes:
            covered = covered + size
        if covered != total:
            raise ShapeError(f"split of {node.type}: sizes {sizes} add up to {covered}, but axis {axis} has {total}")
        return sizes
    sections = sizes_or_sections
    if isinstance(sections, bool) or not isinstance(sections, int) or sections < 1:
        raise ArgumentError(f"split of {node.type}: expected sizes or a positive number of sections, got {sections!r}")
    equal = total // sections
    if equal * sections != total:
        kind = DimError if isinstance(total, Dim) else ShapeError
        why = "whether it divides depends on the name" if isinstance(total, Dim) else "it does not divide evenly"
        raise kind(f"split of {node.type}: axis {axis} of size {total} into {sections} sections: {why}")
    return [equal] * sections
