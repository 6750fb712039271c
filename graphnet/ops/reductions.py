"""Reductions over any axes (`Sum` is in shaping), and what goes along one: softmax, log_softmax, cumulative sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from graphnet.errors import DtypeError, ShapeError
from graphnet.graph.dims import Size, product
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType, normalize_axes, normalize_axis
from graphnet.ops.comparison import equal, keep, where
from graphnet.ops.elementwise import float_operands
from graphnet.ops.shaping import axes_of, axis_of, broadcast_to, cast, reduced_type, reshape, restore_axes
from graphnet.ops.shaping import sum as sum_of
from graphnet.ops.sources import NodeLike, as_node, size_of
from graphnet.ops.unary import exp

Axes = int | Sequence[int] | None


class Reduction(Op):
    """One value for the elements along `axes`, which are kept with size 1 where `keepdims`."""

    axes: tuple[int, ...]
    keepdims: bool
    kinds: ClassVar[str] = "f"

    def infer(self, x: TensorType) -> TensorType:
        normalize_axes(self.axes, x.ndim)
        if x.dtype.kind not in self.kinds:
            raise DtypeError(f"expected {'floats' if self.kinds == 'f' else 'floats or integers'}, got {x.dtype.name}")
        return reduced_type(x, self.axes, self.keepdims)

    def restored(self, value: Node) -> Node:
        """`value`, of the result's shape, with the reduced axes back at size 1."""
        return restore_axes(value, self.axes, self.keepdims)

    def kept(self, x: TensorType) -> TensorType:
        """The result's type with the reduced axes at size 1."""
        return reduced_type(x, self.axes, True)


class Mean(Reduction):
    """The mean over `axes`; NaN of no elements."""

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [broadcast_to(self.restored(dy / size_of(count(x.type, self.axes), x.dtype)), x.shape)]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.add.reduce(x, axis=self.axes, out=out, keepdims=self.keepdims)
        if out.size:
            np.divide(out, x.size // out.size, out)


class Var(Reduction):
    """sum((x - mean)^2) / max(n - correction, 0) over the n elements along `axes`."""

    correction: int

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        n = size_of(count(x.type, self.axes), x.dtype)
        centered = x - Mean(self.axes, keepdims=True)(x)
        return [centered * self.restored(dy * (2 / (n - self.correction)))]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (self.kept(x), x)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        mean, centered = work
        n = x.size // out.size if out.size else 0
        np.add.reduce(x, axis=self.axes, out=mean, keepdims=True)
        np.divide(mean, n, mean)
        np.subtract(x, mean, centered)
        np.square(centered, centered)
        np.add.reduce(centered, axis=self.axes, out=out, keepdims=self.keepdims)
        np.divide(out, np.maximum(n - self.correction, 0), out)


class Extreme(Reduction):
    """The largest or smallest element along `axes`; NaN where there is one. Equal ones share the gradient evenly."""

    kinds: ClassVar[str] = "fiub"
    ufunc: ClassVar[np.ufunc]

    def infer(self, x: TensorType) -> TensorType:
        if any(x.shape[axis] == 0 for axis in normalize_axes(self.axes, x.ndim)):
            raise ShapeError(f"there is no {self.name} of no elements")
        return super().infer(x)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        reached = equal(x, self.restored(node))
        share = dy / sum_of(cast(reached, x.dtype), self.axes, self.keepdims)
        return [keep(reached, self.restored(share))]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        self.ufunc.reduce(x, axis=self.axes, out=out, keepdims=self.keepdims)


class Max(Extreme):
    """The largest element along `axes`."""

    ufunc = np.maximum


class Min(Extreme):
    """The smallest element along `axes`."""

    ufunc = np.minimum


class Prod(Reduction):
    """The product over `axes`; integers multiply as int64. The gradient is right where elements are 0."""

    kinds: ClassVar[str] = "fiub"

    def infer(self, x: TensorType) -> TensorType:
        return super().infer(x).with_dtype(x.dtype if x.is_float else "int64")

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [self.restored(dy) * product_of_others(x, self.axes) if x.type.is_float else None]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.multiply.reduce(x, axis=self.axes, dtype=out.dtype, out=out, keepdims=self.keepdims)


def product_of_others(x: Node, axes: tuple[int, ...]) -> Node:
    """For each element, the product of all others along `axes`.

    With p the product of the elements that are not 0, z the number of zeros, s their sum (0, but not its derivative):
    z = 0: p / x;  z = 1: p at the zero, s p / x elsewhere;  z = 2: (s - x) p at the zeros, 0 elsewhere;  else 0.
    """
    is_zero = equal(x, 0)
    safe = where(is_zero, 1, x)
    p = Prod(axes, keepdims=True)(safe)
    zeros = sum_of(cast(is_zero, "int64"), axes, keepdims=True)
    s = sum_of(keep(is_zero, x), axes, keepdims=True)
    others = p / safe
    one = where(is_zero, p, s * others)
    two = keep(is_zero, (s - x) * p)
    return where(equal(zeros, 0), others, where(equal(zeros, 1), one, keep(equal(zeros, 2), two)))


class LogSumExp(Reduction):
    """m + log(sum(exp(x - m))) over `axes`, where m is the largest element if that is finite, else 0."""

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [self.restored(dy) * exp(x - self.restored(node))]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (self.kept(x), self.kept(x), self.kept(x).with_dtype("bool"), x)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        top, total, finite, shifted = work
        np.maximum.reduce(x, axis=self.axes, out=top, keepdims=True, initial=-np.inf)
        np.isfinite(top, finite)
        np.logical_not(finite, finite)
        np.copyto(top, 0, where=finite)
        np.subtract(x, top, shifted)
        np.exp(shifted, shifted)
        np.add.reduce(shifted, axis=self.axes, out=total, keepdims=True)
        np.log(total, total)
        np.add(total, top, out.reshape(total.shape))


class ArgExtreme(Op):
    """Where along `axis` the first largest or smallest element is, as int64; the first NaN, where there is one."""

    axis: int
    keepdims: bool
    search: ClassVar[Callable[..., object]]

    def infer(self, x: TensorType) -> TensorType:
        axis = normalize_axis(self.axis, x.ndim)
        if x.shape[axis] == 0:
            raise ShapeError(f"there is no {self.name} of no elements")
        return reduced_type(x, (axis,), self.keepdims).with_dtype("int64")

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        """NumPy would make this copy by itself: it searches along the last axis only."""
        axis, shape = normalize_axis(self.axis, x.ndim), x.shape
        last = (*shape[:axis], *shape[axis + 1 :], shape[axis])
        return () if axis == x.ndim - 1 else (x.with_shape(last),)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...] = ()) -> None:
        if work:
            np.copyto(work[0], np.moveaxis(x, self.axis, -1))
            x = work[0]
        self.search(x, -1, out.reshape(x.shape[:-1]))


class ArgMax(ArgExtreme):
    """Where along `axis` the first largest element is."""

    search = staticmethod(np.argmax)


class ArgMin(ArgExtreme):
    """Where along `axis` the first smallest element is."""

    search = staticmethod(np.argmin)


class AlongAxis(Op):
    """An op on floats whose result has its operand's type, and whose elements depend on those along `axis`."""

    axis: int

    def infer(self, x: TensorType) -> TensorType:
        normalize_axis(self.axis, x.ndim)
        if not x.is_float:
            raise DtypeError(f"expected floats, got {x.dtype.name}")
        return x

    def row(self, x: TensorType) -> TensorType:
        """x's type with `axis` at size 1."""
        return reduced_type(x, (self.axis,), True)


class Softmax(AlongAxis):
    """exp(x - m) / sum(exp(x - m)) along `axis`, m being the largest element."""

    inplace: ClassVar[tuple[int, ...]] = (0,)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [node * (dy - sum_of(dy * node, self.axis, keepdims=True))]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (self.row(x),)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        (row,) = work
        np.maximum.reduce(x, axis=self.axis, out=row, keepdims=True, initial=-np.inf)
        np.subtract(x, row, out)
        np.exp(out, out)
        np.add.reduce(out, axis=self.axis, out=row, keepdims=True)
        np.divide(out, row, out)


class LogSoftmax(AlongAxis):
    """x - m - log(sum(exp(x - m))) along `axis`, m being the largest element."""

    inplace: ClassVar[tuple[int, ...]] = (0,)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy - exp(node) * sum_of(dy, self.axis, keepdims=True)]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (self.row(x), x)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        row, exponentials = work
        np.maximum.reduce(x, axis=self.axis, out=row, keepdims=True, initial=-np.inf)
        np.subtract(x, row, out)
        np.exp(out, exponentials)
        np.add.reduce(exponentials, axis=self.axis, out=row, keepdims=True)
        np.log(row, row)
        np.subtract(out, row, out)


class Cumsum(Op):
    """The sums of the elements up to each one along `axis`, from the end where `reverse`. Integers sum as int64."""

    axis: int
    reverse: bool

    def infer(self, x: TensorType) -> TensorType:
        normalize_axis(self.axis, x.ndim)
        return x if x.is_float else x.with_dtype("int64")

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [Cumsum(self.axis, not self.reverse)(dy) if x.type.is_float else None]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        if self.reverse:
            x, out = np.flip(x, self.axis), np.flip(out, self.axis)
        np.add.accumulate(x, self.axis, out.dtype, out)


def count(x: TensorType, axes: Sequence[int]) -> Size:
    """The number of elements that a reduction over `axes` takes together."""
    return product(x.shape[axis] for axis in axes)


# -- functions ------------------------------------------------------------------------------------------------------


def mean(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """The mean over `axis` (one, several, or None for all); integers as float32."""
    (node,) = float_operands(x)
    return Mean(axes_of("mean", node, axis), bool(keepdims))(node)


def var(x: NodeLike, axis: Axes = None, keepdims: bool = False, *, correction: int = 1) -> Node:
    """The variance over `axis` (one, several, or None for all): the sum of squares is divided by n - correction.

    As in torch the default is the unbiased estimate, correction=1; correction=0 is NumPy's default.
    """
    (node,) = float_operands(x)
    return Var(axes_of("var", node, axis), bool(keepdims), int(correction))(node)


def max(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """The largest element over `axis` (one, several, or None for all). Equal ones share the gradient evenly."""
    node = as_node(x)
    return Max(axes_of("max", node, axis), bool(keepdims))(node)


def min(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """The smallest element over `axis` (one, several, or None for all). Equal ones share the gradient evenly."""
    node = as_node(x)
    return Min(axes_of("min", node, axis), bool(keepdims))(node)


def prod(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """The product over `axis` (one, several, or None for all)."""
    node = as_node(x)
    return Prod(axes_of("prod", node, axis), bool(keepdims))(node)


def logsumexp(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """log(sum(exp(x))) over `axis` (one, several, or None for all), without overflow."""
    (node,) = float_operands(x)
    return LogSumExp(axes_of("logsumexp", node, axis), bool(keepdims))(node)


def argmax(x: NodeLike, axis: int | None = None, keepdims: bool = False) -> Node:
    """Where the first largest element along `axis` is (in row-major order of all elements for None), as int64."""
    return _arg_extreme(ArgMax, x, axis, keepdims)


def argmin(x: NodeLike, axis: int | None = None, keepdims: bool = False) -> Node:
    """Where the first smallest element along `axis` is (in row-major order of all elements for None), as int64."""
    return _arg_extreme(ArgMin, x, axis, keepdims)


def _arg_extreme(op: type[ArgExtreme], x: NodeLike, axis: int | None, keepdims: bool) -> Node:
    node = as_node(x)
    if axis is not None:
        return op(axis_of("argmax" if op is ArgMax else "argmin", node, axis), bool(keepdims))(node)
    found = op(0, False)(reshape(node, (node.type.size,)))
    return reshape(found, (1,) * node.ndim) if keepdims else found


def softmax(x: NodeLike, axis: int = -1) -> Node:
    """exp(x) / sum(exp(x)) along `axis`, without overflow."""
    (node,) = float_operands(x)
    return Softmax(axis_of("softmax", node, axis))(node)


def log_softmax(x: NodeLike, axis: int = -1) -> Node:
    """log(softmax(x)) along `axis`, without overflow or loss of small probabilities."""
    (node,) = float_operands(x)
    return LogSoftmax(axis_of("log_softmax", node, axis))(node)


def cumsum(x: NodeLike, axis: int) -> Node:
    """The sums of the elements up to each one along `axis`. Integers and booleans sum as int64."""
    node = as_node(x)
    return Cumsum(axis_of("cumsum", node, axis), False)(node)
