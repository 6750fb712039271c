"""Sum, broadcast, reshape and cast: what every other family needs to make its operands and gradients fit.

`Sum` and `BroadcastTo` are each other's gradient, so they live together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphnet.errors import DataError, DtypeError, ShapeError
from graphnet.graph.dims import Dim, Shape, Size, as_size, product
from graphnet.graph.node import Node, Op
from graphnet.graph.types import DtypeLike, TensorType, as_dtype, broadcast_shapes, normalize_axes, promote
from graphnet.ops.sources import NodeLike, as_node, constant, numbers, size_of


class Cast(Op):
    """The same values in another dtype. The gradient is cast back."""

    dtype: np.dtype
    layout_free: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        return x.with_dtype(self.dtype)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [cast(dy, x.dtype) if x.type.is_float and node.type.is_float else None]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.copyto(out, x, casting="unsafe")


class Truncate(Op):
    """A float as an integer, towards zero. No gradient. Raises `DataError` for NaN, infinity and what does not fit."""

    dtype: np.dtype
    can_fail: ClassVar[bool] = True
    checks: ClassVar[tuple[int, ...]] = (0,)
    layout_free: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        return x.with_dtype(self.dtype)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None]

    def checked(self, *inputs: np.ndarray) -> None:
        (x,) = inputs
        if not x.size:
            return
        limits = np.iinfo(self.dtype)
        # What lies between min - 1 and min becomes min; where x's dtype rounds min - 1, it has nothing between the two.
        first_below = x.dtype.type(limits.min - 1)
        fits_low = np.greater if float(first_below) == limits.min - 1 else np.greater_equal
        # max + 1 is a power of two, so exact, where max itself may be rounded up to it.
        first_above = x.dtype.type(limits.max + 1)
        # NaN is both the least and the largest of its array.
        if fits_low(np.minimum.reduce(x, axis=None), first_below) and np.maximum.reduce(x, axis=None) < first_above:
            return
        bad = x[~(fits_low(x, first_below) & (x < first_above))].flat[0]
        raise DataError(f"{bad} cannot become {self.dtype}: expected finite values in [{limits.min}, {limits.max}]")

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        self.checked(x)
        np.copyto(out, x, casting="unsafe")


class Sum(Op):
    """The sum over `axes`, which are kept with size 1 where `keepdims`. Booleans and integers sum as int64."""

    axes: tuple[int, ...]
    keepdims: bool

    def infer(self, x: TensorType) -> TensorType:
        normalize_axes(self.axes, x.ndim)
        return reduced_type(x, self.axes, self.keepdims).with_dtype(x.dtype if x.is_float else "int64")

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [broadcast_to(restore_axes(dy, self.axes, self.keepdims), x.shape) if x.type.is_float else None]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        if x.ndim == 2 and len(self.axes) == 1 and _is_rows_of_floats(x, self.axes[0]):
            (axis,) = self.axes
            rows = x if axis == 1 else x.T
            np.matmul(rows, _ONES[x.dtype.char][: rows.shape[1]], out=out.reshape(-1))
        else:
            np.add.reduce(x, axis=self.axes, dtype=out.dtype, out=out, keepdims=self.keepdims)


# Short rows are summed by a matrix product, in a fifth of the time: (512, 128) floats in 5 us, not 25. Its dot products
# keep 32 partial sums, so that a row of this length loses no more digits than NumPy's pairwise blocks of 128 do.
_LONGEST_ROW = 4096
_ONES = {char: np.ones(_LONGEST_ROW, char) for char in "fd"}


def _is_rows_of_floats(x: np.ndarray, axis: int) -> bool:
    """Whether summing the matrix `x` over `axis` sums whole rows of memory."""
    in_memory = x if axis == 1 else x.T
    return in_memory.flags.c_contiguous and 0 < in_memory.shape[1] <= _LONGEST_ROW and x.dtype.char in _ONES


class BroadcastTo(Op):
    """x repeated along new axes and axes of size 1, as NumPy broadcasting does. A view."""

    target: Shape

    def infer(self, x: TensorType) -> TensorType:
        if x.ndim > len(self.target) or broadcast_shapes(x.shape, self.target) != self.target:
            raise ShapeError(f"shape {shape_text(x.shape)} does not broadcast to {shape_text(self.target)}")
        return x.with_shape(self.target)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [sum_to(dy, x.shape)]

    def view(self, x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(x, self.target)  # type: ignore[arg-type]


class Reshape(Op):
    """The same elements, in row-major order, in another shape. A view (rewriting adds a copy where it cannot be)."""

    target: Shape

    def infer(self, x: TensorType) -> TensorType:
        if product(self.target) != x.size:
            raise ShapeError(
                f"cannot reshape {shape_text(x.shape)} ({x.size} elements) "
                f"to {shape_text(self.target)} ({product(self.target)} elements)"
            )
        return x.with_shape(self.target)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        return [reshape(dy, x.shape)]

    def view(self, x: np.ndarray) -> np.ndarray:
        return np.reshape(x, self.target, copy=False)  # type: ignore[arg-type]


class Contiguous(Op):
    """A row-major copy of x, which rewriting puts where a view cannot be a view, or where a kernel wants whole rows."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy]

    def compute(self, out: np.ndarray, x: np.ndarray) -> None:
        np.copyto(out, x)


def cast(x: NodeLike, dtype: DtypeLike) -> Node:
    """The same values as `dtype`; floats become integers by truncation, and anything but 0 is True as a boolean.

    Raises `DataError`, when run, for NaN, infinity or a value that does not fit cast to an integer.
    """
    node, wanted = as_node(x), as_dtype(dtype)
    if node.dtype == wanted:
        return node
    return Truncate(wanted)(node) if node.type.is_float and wanted.kind in "iu" else Cast(wanted)(node)


def sum(x: NodeLike, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Node:
    """The sum over `axis` (one, several, or None for all). Raises `ShapeError` for an axis out of range."""
    node = as_node(x)
    return Sum(axes_of("sum", node, axis), bool(keepdims))(node)


def broadcast_to(x: NodeLike, shape: Sequence[object]) -> Node:
    """x repeated to `shape`, as `numpy.broadcast_to`. Raises `ShapeError` where it does not fit."""
    node, target = as_node(x), tuple(as_size(size) for size in shape)
    return node if node.shape == target else BroadcastTo(target)(node)


def reshape(x: NodeLike, shape: Sequence[object] | int) -> Node:
    """The same elements in another shape, one size of which may be -1. Raises `ShapeError` where the counts differ."""
    node = as_node(x)
    wanted = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    holes = [axis for axis, size in enumerate(wanted) if not isinstance(size, (Dim, str)) and size == -1]
    if len(holes) > 1:
        raise ShapeError(f"reshape of {node.type}: only one size may be -1, got {wanted}")
    known = [1 if axis in holes else as_size(size) for axis, size in enumerate(wanted)]
    if holes:
        known[holes[0]] = _missing_size(node, known)
    target = tuple(known)
    return node if node.shape == target else Reshape(target)(node)


def _missing_size(node: Node, known: Sequence[Size]) -> Size:
    rest = product(known)
    size = 0 if rest == 0 else node.type.size // rest
    if size * rest != node.type.size or (rest == 0 and node.type.size != 0):
        raise ShapeError(f"reshape of {node.type}: {node.type.size} elements do not divide into rows of {rest}")
    return size


def sum_to(x: Node, shape: Shape) -> Node:
    """x summed over the axes along which `shape` would be broadcast to it: the gradient of broadcasting."""
    if x.shape == shape:
        return x
    extra = x.ndim - len(shape)
    stretched = [extra + axis for axis, size in enumerate(shape) if size == 1 and x.shape[extra + axis] != 1]
    summed = Sum((*range(extra), *stretched), keepdims=False)(x)
    return reshape(summed, shape)


def axes_of(function: str, x: Node, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """`axis`, as given to the public `function`, sorted and counted from the front; the error names both."""
    try:
        return normalize_axes(axis, x.ndim)
    except ShapeError as error:
        raise ShapeError(f"{function}({x.type}): {error.problem}") from None


def axis_of(function: str, x: Node, axis: Any) -> int:
    """`axes_of` for a function that takes one axis only."""
    if isinstance(axis, (tuple, list)) or axis is None:
        raise ShapeError(f"{function}({x.type}): expected one axis, got {axis}")
    return axes_of(function, x, axis)[0]


def restore_axes(x: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    """What a reduction over `axes` gave, with the reduced axes back at size 1."""
    if keepdims or not axes:
        return x
    shape = list(x.shape)
    for axis in axes:
        shape.insert(axis, 1)
    return reshape(x, shape)


def reduced_type(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    """The type that a reduction over `axes` gives."""
    if keepdims:
        return x.with_shape(tuple(1 if axis in axes else size for axis, size in enumerate(x.shape)))
    return x.with_shape(tuple(size for axis, size in enumerate(x.shape) if axis not in axes))


def operands(*values: NodeLike, dtype: DtypeLike | None = None) -> list[Node]:
    """`values` as nodes of one dtype, `dtype` or the one that mixed operands compute in.

    A number, Python's or NumPy's, takes the dtype of the nodes and arrays beside it, as in PyTorch: x / np.sqrt(2) is
    x's. So does a dimension: x / x.shape[0]. A float beside integers makes them float32.
    """
    if dtype is None and all(isinstance(v, Node) and v.dtype == values[0].dtype for v in values):  # type: ignore[union-attr]
        return list(values)  # type: ignore[arg-type]
    strong: Any = (Node, np.ndarray)
    if not any(isinstance(v, strong) for v in values):
        strong = (np.generic,)
    typed = [v for v in values if isinstance(v, strong)]
    weak = [v for v in values if not isinstance(v, strong)]
    if dtype is None:
        dtypes = [as_dtype(v.dtype) for v in typed]
        common = promote(*dtypes) if dtypes else None
        kinds = {"i" if isinstance(v, Dim) else numbers(v).dtype.kind for v in weak}
        if common is None or ("f" in kinds and common.kind != "f"):
            common = np.dtype("float32" if "f" in kinds else "int64" if "i" in kinds else "bool")
        elif kinds & {"i", "u"} and common.kind == "b":
            common = np.dtype("int64")
        dtype = common
    return [cast(v, dtype) if isinstance(v, Node) else _as_constant(v, as_dtype(dtype)) for v in values]


def _as_constant(value: Any, dtype: np.dtype) -> Node:
    if isinstance(value, Dim):
        return size_of(value, dtype)
    array = numbers(value)
    if dtype.kind in "iu" and array.dtype.kind in "iu" and not isinstance(value, np.ndarray):
        limits = np.iinfo(dtype)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise DtypeError(f"{value!r} does not fit {dtype}")
    return constant(array, dtype)


def shape_text(shape: Sequence[Size]) -> str:
    """A shape as Python writes a tuple."""
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
