"""Arrays made larger: concatenate, stack, tile, repeat, and padding with a constant or with the array's own edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphnet.errors import ArgumentError, DtypeError, ShapeError, names_itself
from graphnet.graph.dims import Shape, Size
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType, normalize_axis
from graphnet.ops.layout import expand_dims
from graphnet.ops.shaping import broadcast_to, operands, reshape, shape_text
from graphnet.ops.slicing import pad_constant, split
from graphnet.ops.sources import NodeLike, as_node

Pairs: TypeAlias = "tuple[tuple[int, int], ...]"


class Concatenate(Op):
    """The inputs one after another along `axis`."""

    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        first = types[0]
        for position, t in enumerate(types[1:], 1):
            if t.dtype != first.dtype:
                raise DtypeError(f"expected arrays of one dtype, got {first.dtype} and {t.dtype}")
            if t.ndim != first.ndim or self._rest(t) != self._rest(first):
                raise ShapeError(
                    f"array {position} of shape {shape_text(t.shape)} does not join array 0 of shape "
                    f"{shape_text(first.shape)}: all but axis {self.axis} must be equal"
                )
        total: Size = 0
        for t in types:
            total = total + t.shape[self.axis]
        return first.with_shape((*first.shape[: self.axis], total, *first.shape[self.axis + 1 :]))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        if not node.type.is_float:
            return [None] * len(node.inputs)
        return list(split(dy, [x.shape[self.axis] for x in node.inputs], self.axis))

    def compute(self, out: np.ndarray, *inputs: np.ndarray) -> None:
        np.concatenate(inputs, axis=self.axis, out=out)

    def _rest(self, t: TensorType) -> Shape:
        return (*t.shape[: self.axis], *t.shape[self.axis + 1 :])


class PadEdges(Op):
    """x made larger by its own elements: `mode` is reflect, replicate or circular, as in `torch.nn.functional.pad`."""

    pairs: Pairs
    mode: str

    def infer(self, x: TensorType) -> TensorType:
        if len(self.pairs) != x.ndim:
            raise ShapeError(f"{len(self.pairs)} pairs of padding do not fit shape {shape_text(x.shape)}")
        for axis, (size, pair) in enumerate(zip(x.shape, self.pairs, strict=True)):
            limit = _LIMITS[self.mode](size) if isinstance(size, int) else None
            if limit is not None and max(pair) > limit:
                raise ShapeError(f"{self.mode} padding of axis {axis} of size {size} is at most {limit}, got {pair}")
        return x.with_shape(tuple(n + before + after for n, (before, after) in zip(x.shape, self.pairs, strict=True)))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [FoldEdges(self.pairs, self.mode)(dy) if dy.type.is_float else None]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        out[_inside(self.pairs, out)] = x
        for axis, pair in enumerate(self.pairs):
            # Earlier axes are whole by now, later ones not yet: an axis copies only what is already there.
            done = out[_inside(tuple((0, 0) if i <= axis else p for i, p in enumerate(self.pairs)), out)]
            for edge, source in _edges(np.moveaxis(done, axis, 0), pair, self.mode):
                edge[...] = source


class FoldEdges(Op):
    """What padding with edges copied, added back to where it came from: the adjoint of `PadEdges`."""

    pairs: Pairs
    mode: str

    def infer(self, x: TensorType) -> TensorType:
        inner = [n + -(before + after) for n, (before, after) in zip(x.shape, self.pairs, strict=True)]
        return x.with_shape(inner)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [PadEdges(self.pairs, self.mode)(dy)]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (x,)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        (total,) = work
        np.copyto(total, x)
        for axis in reversed(range(x.ndim)):
            done = total[_inside(tuple((0, 0) if i <= axis else p for i, p in enumerate(self.pairs)), total)]
            for edge, source in _edges(np.moveaxis(done, axis, 0), self.pairs[axis], self.mode):
                if source.shape == edge.shape:
                    np.add(source, edge, out=source)
                else:  # replicate: one row was copied to many
                    for row in edge:
                        np.add(source, row, out=source)
        np.copyto(out, total[_inside(self.pairs, total)])


_LIMITS: dict[str, Callable[[int], int | None]] = {
    "reflect": lambda size: size - 1,
    "circular": lambda size: size,
    "replicate": lambda size: None if size else 0,
}


def _inside(pairs: Pairs, padded: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(before, n - after) for (before, after), n in zip(pairs, padded.shape, strict=True))


def _edges(x: np.ndarray, pair: tuple[int, int], mode: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(edge, what it copies) along axis 0 of the padded x. Edges and sources never overlap."""
    before, after = pair
    end = len(x) - after
    if mode == "circular":
        found = [(x[:before], x[end - before : end]), (x[end:], x[before : before + after])]
    elif mode == "replicate":
        found = [(x[:before], x[before : before + 1]), (x[end:], x[end - 1 : end])]
    else:
        found = [(x[:before][::-1], x[before + 1 : 2 * before + 1]), (x[end:][::-1], x[end - 1 - after : end - 1])]
    return [(edge, source) for edge, source in found if len(edge)]


@names_itself
def concatenate(arrays: Sequence[NodeLike], axis: int = 0) -> Node:
    """The arrays one after another along `axis`, mixed dtypes promoted. Raises `ShapeError` where they do not fit."""
    nodes = _several(arrays, "concatenate")
    axis = normalize_axis(axis, nodes[0].ndim)
    return nodes[0] if len(nodes) == 1 else Concatenate(axis)(*nodes)


@names_itself
def stack(arrays: Sequence[NodeLike], axis: int = 0) -> Node:
    """The arrays, all of one shape, along a new axis."""
    nodes = _several(arrays, "stack")
    for position, node in enumerate(nodes):
        if node.shape != nodes[0].shape:
            raise ShapeError(
                f"stack: array {position} has shape {shape_text(node.shape)}, array 0 has {shape_text(nodes[0].shape)}"
            )
    return concatenate([expand_dims(node, axis) for node in nodes], normalize_axis(axis, nodes[0].ndim + 1))


@names_itself
def tile(x: NodeLike, reps: int | Sequence[int]) -> Node:
    """x repeated `reps` times along each axis, as `numpy.tile`: shorter reps count for the last axes."""
    node = as_node(x)
    counts = _counts(reps if isinstance(reps, (tuple, list)) else (reps,), f"tile of {node.type}: reps")
    ndim = max(node.ndim, len(counts))
    counts = [1] * (ndim - len(counts)) + counts
    shape: list[Size] = [*[1] * (ndim - node.ndim), *node.shape]
    if counts == [1] * ndim:
        return reshape(node, shape)
    spread = broadcast_to(reshape(node, _interleave([1] * ndim, shape)), _interleave(counts, shape))
    return reshape(spread, [n * count for n, count in zip(shape, counts, strict=True)])


@names_itself
def repeat(x: NodeLike, repeats: int, axis: int) -> Node:
    """Each element along `axis` repeated that many times in a row, as `numpy.repeat`."""
    node = as_node(x)
    axis = normalize_axis(axis, node.ndim)
    (count,) = _counts((repeats,), f"repeat of {node.type}: repeats")
    before, n, after = node.shape[:axis], node.shape[axis], node.shape[axis + 1 :]
    spread = broadcast_to(reshape(node, (*before, n, 1, *after)), (*before, n, count, *after))
    return reshape(spread, (*before, n * count, *after))


@names_itself
def pad(x: NodeLike, padding: Sequence[Any], mode: str = "constant", value: float = 0.0) -> Node:
    """x made larger at its borders.

    padding: a (before, after) pair for every axis, as `numpy.pad`; or flat integers, as `torch.nn.functional.pad`:
    (left, right, top, bottom, ...), the last axis first, the axes not mentioned unpadded.
    mode: "constant" (with `value`), "reflect" (the edge itself not repeated), "replicate" or "circular".
    Raises `ArgumentError` for another form or mode, `ShapeError` for more padding than the mode can take from x.
    """
    node = as_node(x)
    pairs = _padding_pairs(node, padding)
    if mode == "constant":
        return pad_constant(node, pairs, value)
    if mode not in _LIMITS:
        raise ArgumentError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if value:
        raise ArgumentError(f"pad: value {value!r} is only for mode 'constant', got mode {mode!r}")
    return PadEdges(pairs, mode)(node) if any(map(any, pairs)) else node


def _padding_pairs(node: Node, padding: Sequence[Any]) -> Pairs:
    entries = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,)
    if all(isinstance(entry, (tuple, list)) and len(entry) == 2 for entry in entries):
        if len(entries) != node.ndim:
            raise ArgumentError(f"pad of {node.type}: expected {node.ndim} (before, after) pairs, got {padding!r}")
        pairs = [tuple(_counts(entry, f"pad of {node.type}: padding")) for entry in entries]
    else:
        flat = _counts(entries, f"pad of {node.type}: padding")
        if len(flat) % 2 or len(flat) > 2 * node.ndim:
            raise ArgumentError(
                f"pad of {node.type}: expected (before, after) of up to {node.ndim} axes, last first, got {padding!r}"
            )
        pairs = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
        pairs = [(0, 0)] * (node.ndim - len(pairs)) + pairs[::-1]
    return tuple((before, after) for before, after in pairs)


def _counts(values: Sequence[Any], what: str) -> list[int]:
    for value in values:
        if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 0:
            raise ArgumentError(f"{what} must be integers that are not negative, got {value!r}")
    return [int(value) for value in values]


def _interleave(first: Sequence[Size], second: Sequence[Size]) -> list[Size]:
    return [size for pair in zip(first, second, strict=True) for size in pair]


def _several(arrays: Sequence[NodeLike], what: str) -> list[Node]:
    if not isinstance(arrays, (tuple, list)) or not arrays:
        raise ArgumentError(f"{what} takes a non-empty list of arrays, got {arrays!r}")
    return operands(*arrays)
