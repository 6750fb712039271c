"""What a value is, before anything is computed: a dtype and a shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, cast

import numpy as np

from graphnet.errors import DimError, DtypeError, ShapeError
from graphnet.graph.dims import Dim, Shape, Size, as_size, bind_size, dim_names, product

DtypeLike: TypeAlias = "str | np.dtype | type"

_SUPPORTED = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
_SUPPORTED_DTYPES = frozenset(np.dtype(name) for name in _SUPPORTED)
FLOATS = (np.dtype("float32"), np.dtype("float64"))


def as_dtype(dtype: DtypeLike) -> np.dtype:
    """The NumPy dtype named; raises `DtypeError` for one that graphnet does not compute in."""
    if isinstance(dtype, np.dtype) and dtype in _SUPPORTED_DTYPES:  # most calls; a dtype's name is slow to come by
        return dtype
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise DtypeError(f"{dtype!r} is not a dtype; use one of {', '.join(_SUPPORTED)}") from error
    if found.name not in _SUPPORTED or not found.isnative:
        raise DtypeError(f"dtype {found} is not supported; use one of {', '.join(_SUPPORTED)}")
    return found


@dataclass(frozen=True)
class TensorType:
    """A dtype and a shape; the shape's sizes are integers or named dimensions."""

    dtype: np.dtype
    shape: Shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        """The number of elements; a `Dim` where the shape has names."""
        return product(self.shape)

    @cached_property
    def is_static(self) -> bool:
        return all(isinstance(size, int) for size in self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as integers. Raises `DimError` where a name is not bound yet."""
        if not self.is_static:
            raise DimError(f"{self} still has named dimensions; a call with arrays binds them")
        return cast("tuple[int, ...]", self.shape)

    @property
    def static_size(self) -> int:
        """The number of elements. Raises `DimError` where a name is not bound yet."""
        return self.nbytes // self.dtype.itemsize

    @cached_property
    def nbytes(self) -> int:
        """Bytes of an array of this type. Raises `DimError` where a name is not bound yet."""
        count = self.dtype.itemsize
        for size in self.static_shape:
            count *= size
        return count

    @property
    def is_float(self) -> bool:
        return self.dtype.kind == "f"

    @property
    def is_integer(self) -> bool:
        return self.dtype.kind in "iu"

    @property
    def is_bool(self) -> bool:
        return self.dtype.kind == "b"

    def with_shape(self, shape: Sequence[Size]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DtypeLike) -> TensorType:
        return TensorType(as_dtype(dtype), self.shape)

    def bind(self, sizes: Mapping[str, int]) -> TensorType:
        """The same type with each named dimension replaced by its number."""
        if self.is_static:
            return self
        return TensorType(self.dtype, tuple(bind_size(size, sizes) for size in self.shape))

    def names(self) -> frozenset[str]:
        """Every dimension name in the shape."""
        return dim_names(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


def tensor_type(shape: Sequence[object] | object, dtype: DtypeLike = "float32") -> TensorType:
    """A type from what a user writes: `tensor_type(("N", 1, 28, 28), "float32")`."""
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    return TensorType(as_dtype(dtype), tuple(as_size(size) for size in sizes))


def type_of(array: np.ndarray) -> TensorType:
    """The type of an array."""
    return TensorType(as_dtype(array.dtype), array.shape)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that NumPy broadcasting gives. A named size fits itself and 1, nothing else."""
    if shapes and shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    ndim = max((len(shape) for shape in shapes), default=0)
    result: list[Size] = []
    for axis in range(-ndim, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            texts = " and ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
            hint = " (two names are two sizes; use one name for both)" if any(isinstance(s, Dim) for s in sizes) else ""
            raise ShapeError(f"shapes {texts} do not broadcast: sizes {_listed(sizes)} at axis {axis}{hint}")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def _listed(sizes: set[Size]) -> str:
    return " and ".join(sorted(map(str, sizes)))


def promote(*dtypes: np.dtype) -> np.dtype:
    """The dtype that mixed operands compute in: bool < integers < floats; an integer never widens a float.

    This is PyTorch's rule: int64 with float32 gives float32, where NumPy would give float64.
    """
    for kinds in ("f", "iu", "b"):
        same = [dtype for dtype in dtypes if dtype.kind in kinds]
        if same:
            promoted = np.result_type(*same)
            if promoted.kind not in kinds:
                raise DtypeError(f"no integer dtype holds both {' and '.join(sorted({d.name for d in same}))}")
            return promoted
    raise DtypeError("no dtypes to promote")


def normalize_axis(axis: int, ndim: int) -> int:
    """`axis` counted from the front. Raises `ShapeError` outside [-ndim, ndim)."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise ShapeError(f"an axis must be an integer, not {axis!r}")
    axis = int(axis)
    if not -ndim <= axis < ndim:
        raise ShapeError(f"axis {axis} is out of range for {ndim} dimension{'s' * (ndim != 1)}")
    return axis % ndim


def normalize_axes(axes: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Sorted axes counted from the front; None means all. Raises `ShapeError` for one out of range or given twice."""
    if axes is None:
        return tuple(range(ndim))
    listed = tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)
    normal = tuple(sorted(normalize_axis(axis, ndim) for axis in listed))
    if len(set(normal)) != len(normal):
        raise ShapeError(f"axes {listed} name an axis twice")
    return normal
