"""Where elements lie: transpose and its kin, squeeze and expand, flatten, diagonal. Nearly all are views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphnet.errors import ShapeError, names_itself
from graphnet.graph.dims import Size, product
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType, normalize_axes, normalize_axis
from graphnet.ops.shaping import reshape, shape_text
from graphnet.ops.sources import NodeLike, as_node


class Transpose(Op):
    """The axes of x in the order `axes`. A view."""

    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if sorted(self.axes) != list(range(x.ndim)):
            raise ShapeError(f"axes {self.axes} do not order the {x.ndim} axes of shape {shape_text(x.shape)}")
        return x.with_shape(tuple(x.shape[axis] for axis in self.axes))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [transpose(dy, inverse_order(self.axes))]

    def view(self, x: np.ndarray) -> np.ndarray:
        return np.transpose(x, self.axes)


class Diagonal(Op):
    """The elements whose indices along `axis1` and `axis2` are equal, along a new last axis. A view."""

    axis1: int
    axis2: int

    def infer(self, x: TensorType) -> TensorType:
        first, second = x.shape[self.axis1], x.shape[self.axis2]
        if first != second:
            raise ShapeError(f"a diagonal needs axes of one size, got {first} and {second} in {shape_text(x.shape)}")
        rest = [size for axis, size in enumerate(x.shape) if axis not in (self.axis1, self.axis2)]
        return x.with_shape((*rest, first))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [DiagonalEmbed(self.axis1, self.axis2)(dy) if dy.type.is_float else None]

    def view(self, x: np.ndarray) -> np.ndarray:
        return x.diagonal(0, self.axis1, self.axis2)


class DiagonalEmbed(Op):
    """Zeros but on the diagonal of `axis1` and `axis2`, which is x's last axis: the adjoint of `Diagonal`."""

    axis1: int
    axis2: int

    def infer(self, x: TensorType) -> TensorType:
        shape = list(x.shape[:-1])
        for axis in sorted((self.axis1, self.axis2)):
            shape.insert(axis, x.shape[-1])
        return x.with_shape(tuple(shape))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [Diagonal(self.axis1, self.axis2)(dy)]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        out.fill(0)
        # `ndarray.diagonal` gives a read-only view; einsum gives the same view, writable.
        np.einsum("...ii->...i", np.moveaxis(out, (self.axis1, self.axis2), (-2, -1)))[...] = x


@names_itself
def transpose(x: NodeLike, axes: Sequence[int] | None = None) -> Node:
    """The axes in the order `axes`, negative ones counted from the end; reversed where None.

    Raises `ShapeError` where `axes` do not name each axis once.
    """
    node = as_node(x)
    order = tuple(range(node.ndim))[::-1] if axes is None else _unwrap(axes)
    if len(order) != node.ndim:
        raise ShapeError(f"transpose of {node.type}: axes {order} do not order {node.ndim} axes")
    normal = tuple(normalize_axis(axis, node.ndim) for axis in order)
    if len(set(normal)) != node.ndim:
        raise ShapeError(f"transpose of {node.type}: axes {order} name an axis twice")
    return node if normal == tuple(range(node.ndim)) else Transpose(normal)(node)


@names_itself
def swapaxes(x: NodeLike, axis1: int, axis2: int) -> Node:
    """x with two axes exchanged. Raises `ShapeError` for an axis out of range."""
    node = as_node(x)
    order = list(range(node.ndim))
    first, second = normalize_axis(axis1, node.ndim), normalize_axis(axis2, node.ndim)
    order[first], order[second] = order[second], order[first]
    return transpose(node, order)


@names_itself
def moveaxis(x: NodeLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Node:
    """x with the axes `source` moved to the places `destination`, the others in order, as `numpy.moveaxis`."""
    node = as_node(x)
    sources = [normalize_axis(axis, node.ndim) for axis in _listed(source)]
    targets = [normalize_axis(axis, node.ndim) for axis in _listed(destination)]
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ShapeError(
            f"moveaxis of {node.type}: source {source} and destination {destination} must be as many axes, each once"
        )
    order = [axis for axis in range(node.ndim) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return transpose(node, order)


@names_itself
def expand_dims(x: NodeLike, axis: int | Sequence[int]) -> Node:
    """x with new axes of size 1 at the places `axis` of the result, as `numpy.expand_dims`."""
    node = as_node(x)
    axes = normalize_axes(axis, node.ndim + len(_listed(axis)))
    shape = list(node.shape)
    for place in axes:
        shape.insert(place, 1)
    return reshape(node, shape)


@names_itself
def squeeze(x: NodeLike, axis: int | Sequence[int] | None = None) -> Node:
    """x without the axes `axis`, or without every axis of size 1. Raises `ShapeError` for one of another size."""
    node = as_node(x)
    if axis is None:
        axes: tuple[int, ...] = tuple(place for place, size in enumerate(node.shape) if size == 1)
    else:
        axes = normalize_axes(axis, node.ndim)
    for place in axes:
        if node.shape[place] != 1:
            raise ShapeError(f"squeeze of {node.type}: axis {place} has size {node.shape[place]}, not 1")
    return reshape(node, [size for place, size in enumerate(node.shape) if place not in axes])


@names_itself
def flatten(x: NodeLike, start_dim: int = 0, end_dim: int = -1) -> Node:
    """The axes from `start_dim` to `end_dim`, both included, as one axis, as `torch.flatten`; a scalar becomes (1,)."""
    node = as_node(x)
    if node.ndim == 0:
        return reshape(node, (1,))
    first, last = normalize_axis(start_dim, node.ndim), normalize_axis(end_dim, node.ndim)
    if first > last:
        raise ShapeError(f"flatten of {node.type}: start_dim {start_dim} lies behind end_dim {end_dim}")
    merged: Size = product(node.shape[first : last + 1])
    return reshape(node, (*node.shape[:first], merged, *node.shape[last + 1 :]))


@names_itself
def diagonal(x: NodeLike, axis1: int = 0, axis2: int = 1) -> Node:
    """The main diagonal of two axes of one size, along a new last axis. Raises `ShapeError` where sizes differ."""
    node = as_node(x)
    first, second = normalize_axis(axis1, node.ndim), normalize_axis(axis2, node.ndim)
    if first == second:
        raise ShapeError(f"diagonal of {node.type}: axis1 and axis2 are both {first}")
    return Diagonal(first, second)(node)


def inverse_order(axes: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes `axes`."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _unwrap(axes: Sequence[Any]) -> tuple[int, ...]:
    """transpose(x, (1, 0)) and x.transpose((1, 0)) both arrive here, the latter in one more tuple."""
    if len(axes) == 1 and isinstance(axes[0], (tuple, list)):
        return tuple(axes[0])
    return tuple(axes)


def _listed(axis: int | Sequence[int]) -> Sequence[int]:
    return axis if isinstance(axis, (tuple, list)) else (axis,)
