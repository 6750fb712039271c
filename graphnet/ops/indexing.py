"""Picking by integer arrays: take and gather along an axis, their adjoints that add, and one-hot vectors.

Indices are checked when run: a `DataError` names the value, the range allowed, and where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np

from graphnet.errors import ArgumentError, DataError, DtypeError, ShapeError, names_itself
from graphnet.graph.dims import Size, as_size
from graphnet.graph.node import Node, Op
from graphnet.graph.types import DtypeLike, TensorType, as_dtype, broadcast_shapes, normalize_axis
from graphnet.ops.shaping import broadcast_to, cast, operands, shape_text
from graphnet.ops.slicing import getitem
from graphnet.ops.sources import NodeLike, as_node
from graphnet.ops.unrolled import Call

_INT64 = np.dtype("int64")
_CHUNK = 1 << 16
"""Elements that an adjoint of `take` adds at a time: enough to hide the call, few enough for the cache."""


class Take(Op):
    """x[..., indices, ...] along `axis`: what stands at each index. If `negative`, indices may count from the end."""

    axis: int
    negative: bool
    can_fail: ClassVar[bool] = True
    checks: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        _check_indices(indices)
        return x.with_shape((*x.shape[: self.axis], *indices.shape, *x.shape[self.axis + 1 :]))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, indices = node.inputs
        if not x.type.is_float:
            return [None, None]
        return [IndexAdd(self.axis, x.shape[self.axis], self.negative)(dy, indices), None]

    def checked(self, *inputs: np.ndarray) -> None:
        x, indices = inputs
        check_range(indices, x.shape[self.axis], negative=self.negative)

    def compute(self, out: np.ndarray, x: np.ndarray, indices: np.ndarray) -> None:
        self.checked(x, indices)
        # With mode "raise" NumPy would fill a copy of `out` first; "wrap" is exact for what has passed the check.
        np.take(x, indices, axis=self.axis, out=out, mode="wrap")


class IndexAdd(Op):
    """Zeros of `size` along `axis`, to which each slice of x is added at its index: the adjoint of `Take`."""

    axis: int
    size: Size
    negative: bool
    can_fail: ClassVar[bool] = True
    checks: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        _check_indices(indices)
        picked = x.shape[self.axis : self.axis + indices.ndim]
        if picked != indices.shape:
            raise ShapeError(
                f"indices of shape {shape_text(indices.shape)} do not match {shape_text(picked)}, "
                f"the sizes of {shape_text(x.shape)} from axis {self.axis} on"
            )
        return x.with_shape((*x.shape[: self.axis], self.size, *x.shape[self.axis + indices.ndim :]))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, indices = node.inputs
        return [Take(self.axis, self.negative)(dy, indices) if x.type.is_float else None, None]

    def workspace(self, x: TensorType, indices: TensorType) -> tuple[TensorType, ...]:
        width = _count(x.static_shape[self.axis + indices.ndim :])
        rows = max(1, min(_count(indices.static_shape), _CHUNK // max(1, width)))
        return (TensorType(_INT64, (rows, width)), TensorType(_INT64, (rows,)), x.with_shape((rows, width)))

    def checked(self, *inputs: np.ndarray) -> None:
        assert isinstance(self.size, int)
        check_range(inputs[1], self.size, negative=self.negative)

    def compute(self, out: np.ndarray, x: np.ndarray, indices: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        places, starts, values = work
        assert isinstance(self.size, int)
        self.checked(x, indices)
        out.fill(0)
        chunk, width = places.shape
        if not x.size:
            return
        columns = _ramp(width)
        outer = _count(out.shape[: self.axis])
        flat_out = out.reshape(outer, self.size * width)
        flat_x = x.reshape(outer, indices.size, width)
        flat_indices = indices.reshape(-1)
        for first in range(0, indices.size, chunk):
            n = min(chunk, indices.size - first)
            np.remainder(flat_indices[first : first + n], self.size, out=starts[:n])
            np.multiply(starts[:n], width, out=starts[:n])
            np.add(starts[:n, None], columns, out=places[:n])
            for row in range(outer):
                np.copyto(values[:n], flat_x[row, first : first + n])
                # On one flat axis `add.at` is several times faster than on rows of an array.
                np.add.at(flat_out[row], places[:n].reshape(-1), values[:n].reshape(-1))


class Gather(Op):
    """out[i, j, k] = x[i, indices[i, j, k], k], for `axis` 1: like `numpy.take_along_axis`, other sizes being equal."""

    axis: int
    negative: bool
    can_fail: ClassVar[bool] = True
    checks: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        _check_indices(indices)
        _check_along(x, indices, self.axis)
        return x.with_shape(indices.shape)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, indices = node.inputs
        if not x.type.is_float:
            return [None, None]
        return [ScatterAdd(self.axis, x.shape[self.axis], self.negative)(dy, indices), None]

    def workspace(self, x: TensorType, indices: TensorType) -> tuple[TensorType, ...]:
        return (indices.with_dtype(_INT64),)

    def checked(self, *inputs: np.ndarray) -> None:
        x, indices = inputs
        check_range(indices, x.shape[self.axis], negative=self.negative)

    def compute(self, out: np.ndarray, x: np.ndarray, indices: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        self.checked(x, indices)
        flat_places(work[0], indices, x.shape, self.axis)
        np.take(x.reshape(-1), work[0], out=out, mode="clip")


class ScatterAdd(Op):
    """Zeros of `size` along `axis`, to which each element of x is added at its index: the adjoint of `Gather`."""

    axis: int
    size: Size
    negative: bool
    can_fail: ClassVar[bool] = True
    checks: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        _check_indices(indices)
        if indices.shape != x.shape:
            raise ShapeError(f"indices of shape {shape_text(indices.shape)} do not match {shape_text(x.shape)}")
        return x.with_shape((*x.shape[: self.axis], self.size, *x.shape[self.axis + 1 :]))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        x, indices = node.inputs
        return [Gather(self.axis, self.negative)(dy, indices) if x.type.is_float else None, None]

    def workspace(self, x: TensorType, indices: TensorType) -> tuple[TensorType, ...]:
        return (indices.with_dtype(_INT64),)

    def checked(self, *inputs: np.ndarray) -> None:
        assert isinstance(self.size, int)
        check_range(inputs[1], self.size, negative=self.negative)

    def compute(self, out: np.ndarray, x: np.ndarray, indices: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        self.checked(x, indices)
        flat_places(work[0], indices, out.shape, self.axis)
        out.fill(0)
        np.add.at(out.reshape(-1), work[0].reshape(-1), x.reshape(-1))


class OneHot(Op):
    """1 where the new last axis, of size `classes`, counts to the index; 0 elsewhere. No gradient."""

    classes: Size
    dtype: np.dtype
    can_fail: ClassVar[bool] = True
    checks: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, indices: TensorType) -> TensorType:
        _check_indices(indices)
        return TensorType(self.dtype, (*indices.shape, self.classes))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None]

    def checked(self, *inputs: np.ndarray) -> None:
        assert isinstance(self.classes, int)
        check_range(inputs[0], self.classes)

    def compute(self, out: np.ndarray, indices: np.ndarray) -> None:
        assert isinstance(self.classes, int)
        self.checked(indices)
        np.equal(indices[..., None], _ramp(self.classes), out=out, casting="unsafe")


def check_range(
    indices: np.ndarray, size: int, *, negative: bool = False, ignore: int | None = None, what: str = "index"
) -> None:
    """Raise `DataError`, naming the first bad value and its position, where one is outside [0, size).

    negative: -size and above are right too. ignore: this value is right too.
    """
    low = -size if negative else 0
    if not indices.size:
        return
    if indices.flags.writeable:  # not by reductions: those ask for memory at each call
        least, most = indices.item(indices.argmin()), indices.item(indices.argmax())
    else:  # of an array that may not be written, a constant, NumPy's argmin copies all
        least, most = indices.min().item(), indices.max().item()
    if least >= low and most < size:
        return
    bad = (indices < low) | (indices >= size)
    if ignore is not None:
        bad &= indices != ignore
    if not bad.any():
        return
    position = tuple(int(place) for place in np.argwhere(bad)[0])
    allowed = f"[{low}, {size})" + (f" or {ignore}, which is ignored" if ignore is not None else "")
    where = f" at position {shape_text(position)}" if position else ""
    raise DataError(f"{what} {indices[position]}{where} is out of range: expected {allowed}")


def flat_places(places: np.ndarray, indices: np.ndarray, shape: Sequence[int], axis: int) -> None:
    """Fill `places` with where a row-major array of `shape` holds the element that each index picks along `axis`."""
    for call in finding_places(places, indices, shape, axis):
        call()


def finding_places(places: np.ndarray, indices: np.ndarray, shape: Sequence[int], axis: int) -> list[Call]:
    """`flat_places` as calls."""
    ndim = len(shape)
    strides = [_count(shape[place + 1 :]) for place in range(ndim)]
    calls: list[Call] = [
        partial(np.remainder, indices, shape[axis], out=places),
        partial(np.multiply, places, strides[axis], out=places),
    ]
    for place in range(ndim):
        if place != axis:
            steps = _ramp(places.shape[place], strides[place]).reshape(-1, *[1] * (ndim - 1 - place))
            calls.append(partial(np.add, places, steps, out=places))
    return calls


@lru_cache(maxsize=64)
def _ramp(count: int, step: int = 1) -> np.ndarray:
    """0, step, 2 step, ... up to `count` of them; kept, because every run of a compiled step asks for the same."""
    return np.arange(count) * step


@names_itself
def take(x: NodeLike, indices: NodeLike, axis: int | None = None) -> Node:
    """What stands at `indices` along `axis` (of the flattened x where None), as `numpy.take`.

    The shape is x's with `axis` replaced by the shape of `indices`. Negative indices count from the end. Raises
    `DataError`, when run, for an index outside [-n, n).
    """
    node, picks = as_node(x), _as_indices(indices)
    if axis is None:
        node, axis = node.reshape(-1), 0
    return Take(normalize_axis(axis, node.ndim), negative=True)(node, picks)


@names_itself
def embedding(input: NodeLike, weight: NodeLike) -> Node:
    """The rows of `weight`, (count, features), that `input` names, as `torch.nn.functional.embedding`.

    The shape is that of `input` and then (features,). Raises `DataError`, when run, for an index outside [0, count).
    """
    rows = as_node(weight)
    if rows.ndim != 2:
        raise ShapeError(f"embedding: weight must have shape (count, features), got {rows.type}")
    return Take(0, negative=False)(rows, _as_indices(input))


@names_itself
def take_along_axis(x: NodeLike, indices: NodeLike, axis: int) -> Node:
    """Along `axis`, the element that each index picks, as `numpy.take_along_axis`: other axes broadcast.

    Negative indices count from the end. Raises `DataError`, when run, for an index outside [-n, n).
    """
    return _along(as_node(x), _as_indices(indices), axis, negative=True)


@names_itself
def gather(x: NodeLike, axis: int, index: NodeLike) -> Node:
    """Along `axis`, the element of x that each index picks, as `torch.gather`: the shape is that of `index`.

    On other axes `index` may be shorter than x, which is then cut. Raises `DataError`, when run, outside [0, n).
    """
    node, picks = as_node(x), _as_indices(index)
    _check_ndim(node, picks)
    axis = normalize_axis(axis, node.ndim)
    keeps = [place == axis or size == node.shape[place] for place, size in enumerate(picks.shape)]
    part = getitem(node, tuple(slice(None) if k else slice(size) for k, size in zip(keeps, picks.shape, strict=True)))
    return Gather(axis, negative=False)(part, picks)


@names_itself
def scatter_add(x: NodeLike, axis: int, index: NodeLike, src: NodeLike) -> Node:
    """x with each element of `src` added where its index points along `axis`, as `torch.scatter_add`.

    `src` has the shape of `index`, and x's sizes on the other axes. Raises `DataError`, when run, outside [0, n).
    """
    node, values = operands(x, src)
    axis = normalize_axis(axis, node.ndim)
    return node + ScatterAdd(axis, node.shape[axis], negative=False)(values, _as_indices(index))


@names_itself
def index_add(x: NodeLike, axis: int, index: NodeLike, source: NodeLike) -> Node:
    """x with each slice of `source` added at its index along `axis`, as `torch.index_add`: the adjoint of `take`.

    Raises `DataError`, when run, for an index outside [0, n).
    """
    node, values = operands(x, source)
    axis = normalize_axis(axis, node.ndim)
    return node + IndexAdd(axis, node.shape[axis], negative=False)(values, _as_indices(index))


@names_itself
def one_hot(indices: NodeLike, num_classes: object, dtype: DtypeLike = "float32") -> Node:
    """A vector of `num_classes` for each index, 1 at the index and 0 elsewhere, along a new last axis.

    Raises `DataError`, when run, for an index outside [0, num_classes).
    """
    classes = as_size(num_classes)
    if classes == 0:
        raise ArgumentError("one_hot: num_classes must be positive, got 0")
    return OneHot(classes, as_dtype(dtype))(_as_indices(indices))


def _along(x: Node, indices: Node, axis: int, *, negative: bool) -> Node:
    _check_ndim(x, indices)
    axis = normalize_axis(axis, x.ndim)
    rest = broadcast_shapes(_with_size(x, axis, 1), _with_size(indices, axis, 1))
    x = broadcast_to(x, (*rest[:axis], x.shape[axis], *rest[axis + 1 :]))
    indices = broadcast_to(indices, (*rest[:axis], indices.shape[axis], *rest[axis + 1 :]))
    return Gather(axis, negative)(x, indices)


def _with_size(x: Node, axis: int, size: Size) -> tuple[Size, ...]:
    return (*x.shape[:axis], size, *x.shape[axis + 1 :])


def _as_indices(indices: NodeLike) -> Node:
    """Indices as int64, the dtype that NumPy picks by."""
    node = as_node(indices)
    if not node.type.is_integer:
        raise DtypeError(f"indices must be integers, got {node.type}")
    return cast(node, _INT64)


def _check_indices(indices: TensorType) -> None:
    if indices.dtype != _INT64:
        raise DtypeError(f"expected indices of int64, got {indices}")


def _check_ndim(x: Node, indices: Node) -> None:
    if x.ndim != indices.ndim:
        raise ShapeError(f"indices must have as many axes as the array, got {indices.type} for {x.type}")


def _check_along(x: TensorType, indices: TensorType, axis: int) -> None:
    others = [place for place in range(x.ndim) if place != axis]
    if x.ndim != indices.ndim or any(indices.shape[place] != x.shape[place] for place in others):
        raise ShapeError(
            f"indices of shape {shape_text(indices.shape)} do not go along axis {axis} of {shape_text(x.shape)}"
        )


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
