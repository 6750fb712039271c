"""Where values come from without being computed: inputs, constants, parameters; and `assign`, where they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from graphnet.errors import ArgumentError, DimError, DtypeError, ShapeError
from graphnet.graph.dims import Size
from graphnet.graph.node import Node, Op
from graphnet.graph.types import DtypeLike, TensorType, as_dtype, tensor_type, type_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NodeLike: TypeAlias = "Node | ArrayLike"


class Input(Op):
    """A value that the caller of the compiled function gives."""

    label: str
    declared: TensorType

    def infer(self) -> TensorType:
        return self.declared


class Constant(Op):
    """A value that is known when the graph is declared."""

    value: np.ndarray

    def infer(self) -> TensorType:
        return type_of(self.value)


class SizeOf(Op):
    """The number that a dimension stands for, as a scalar; a constant once the dimension is bound."""

    size: Size
    dtype: np.dtype

    def infer(self) -> TensorType:
        return TensorType(self.dtype, ())

    def compute(self, out: np.ndarray) -> None:
        out[...] = self.size


class Storage:
    """The array of one parameter, which outlives the step; its name, and whether optimizers may change it.

    The name is no part of a node's identity: a layer learns that it is "conv1" only when a model takes it in.
    writes: goes up whenever the array may have changed, so that what was worked out from it is known to be old.
    """

    __slots__ = ("array", "name", "trainable", "writes")

    def __init__(self, name: str, array: np.ndarray, trainable: bool) -> None:
        self.name = name
        self.array = array
        self.trainable = trainable
        self.writes = 0

    def __repr__(self) -> str:
        return repr(self.name)


class Stored(Op):
    """The value of a parameter before the step. Two parameters are never equal, whatever their names."""

    storage: Storage

    @property
    def label(self) -> str:
        """The parameter's name: inside a model the whole path, such as "conv1.weight"."""
        return self.storage.name

    def infer(self) -> TensorType:
        return type_of(self.storage.array)


class Parameter(Node):
    """A named node with storage that outlives a step: a weight, a running statistic, a moment, a counter."""

    __slots__ = ()
    op: Stored

    @property
    def name(self) -> str:
        """What it is called in text, pictures and weights files."""
        return self.op.label

    def rename(self, name: str) -> None:
        """Call it `name` from now on, also where it is already part of a graph."""
        self.op.storage.name = name

    @property
    def value(self) -> np.ndarray:
        """A copy of the value now."""
        return self.op.storage.array.copy()

    def numel(self) -> int:
        """How many numbers it holds."""
        return self.type.static_size

    @property
    def requires_grad(self) -> bool:
        """Whether optimizers may change it."""
        return self.op.storage.trainable

    def __setattr__(self, name: str, value: object) -> None:
        if name != "requires_grad":
            raise AttributeError(f"{name!r} of the parameter {self.name!r} cannot be set; set_value sets what it holds")
        self.requires_grad_(bool(value))

    def requires_grad_(self, requires_grad: bool = True) -> Parameter:
        """Say whether optimizers may change it; compiled functions keep what held when they were declared."""
        self.op.storage.trainable = bool(requires_grad)
        return self

    def set_value(self, value: ArrayLike) -> None:
        """Overwrite the value. Raises `ShapeError` or `DtypeError` and changes nothing where it does not fit."""
        array = np.asarray(value)
        if array.shape != self.shape:
            raise ShapeError(f"parameter {self.name!r} has shape {self.shape}, got an array of shape {array.shape}")
        if not np.can_cast(array.dtype, self.dtype, casting="same_kind"):
            raise DtypeError(f"parameter {self.name!r} is {self.dtype}, got an array of {array.dtype}")
        np.copyto(self.op.storage.array, array, casting="same_kind")
        self.op.storage.writes += 1


Stored.node_class = Parameter


class Assign(Op):
    """parameter <- value, when the step is over: every update of a step reads the old values.

    As a value it is the new value; `compile` takes it out of every expression and carries it out on its own.
    """

    def infer(self, target: TensorType, value: TensorType) -> TensorType:
        if value != target:
            kind = ShapeError if value.shape != target.shape else DtypeError
            raise kind(f"a parameter of type {target} cannot become {value}")
        return value

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None, dy]


class WithUpdates(Op):
    """x; whoever computes it also carries out the assign nodes that are its other inputs.

    This is how a layer with running statistics or a random counter brings its own updates: `compile` finds them.
    """

    def infer(self, x: TensorType, *assigns: TensorType) -> TensorType:
        return x

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [dy, *(None for _ in node.inputs[1:])]

    def view(self, x: np.ndarray) -> np.ndarray:
        return x


def input(name: str, shape: Sequence[object] | object = (), dtype: DtypeLike = "float32") -> Node:
    """A value that the caller of a compiled function gives.

    shape: integers and dimension names, such as ("N", 1, 28, 28); () is a scalar. Raises `DimError`, `DtypeError`.
    """
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"an input's name must be a non-empty string, not {name!r}")
    try:
        return Input(name, tensor_type(shape, dtype))()
    except (DimError, DtypeError) as error:
        raise type(error)(f"input {name!r}: {error.problem}") from None


def constant(value: ArrayLike, dtype: DtypeLike | None = None) -> Node:
    """A value known now. Floats that are not NumPy arrays become float32, integers int64, unless `dtype` says else."""
    if isinstance(value, Node):
        raise DtypeError(f"a constant must be an array or number, not the symbolic {value!r}")
    array = numbers(value)
    if dtype is None and not isinstance(value, (np.ndarray, np.generic)):
        dtype = "float32" if array.dtype.kind == "f" else None
    array = np.array(array, dtype=as_dtype(array.dtype if dtype is None else dtype), order="C")
    array.flags.writeable = False
    return Constant(array)()


def numbers(value: ArrayLike) -> np.ndarray:
    """`value` as an array. Raises `DtypeError` for what holds no numbers: a string, None, rows of unequal lengths."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DtypeError(f"expected a number or an array of numbers, got {value!r}: {error}") from None
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"expected a number or an array of numbers, got {value!r}")
    return array


def size_of(size: Size, dtype: DtypeLike) -> Node:
    """A dimension's number as a scalar node: a constant where it is known, a `SizeOf` where it is still a name."""
    if isinstance(size, int):
        return constant(size, dtype)
    return SizeOf(size, as_dtype(dtype))()


def parameter(
    value: ArrayLike, name: str = "parameter", *, dtype: DtypeLike | None = None, requires_grad: bool = True
) -> Parameter:
    """A node with storage that starts as a copy of `value` and outlives the step."""
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"a parameter's name must be a non-empty string, not {name!r}")
    array = constant(value, dtype).op.attributes["value"].copy()
    node = Stored(Storage(name, array, requires_grad))()
    assert isinstance(node, Parameter)
    return node


def assign(target: Parameter, value: NodeLike) -> Node:
    """parameter <- value at the end of the step. `value` must have the parameter's shape and dtype."""
    if not isinstance(target, Parameter):
        raise ArgumentError(f"only a parameter can be assigned to, not {target!r}")
    return Assign()(target, as_node(value, target.dtype))


def with_updates(x: Node, *assigns: Node) -> Node:
    """x, together with assign nodes that are carried out whenever x is computed."""
    for node in assigns:
        if not isinstance(node.op, Assign):
            raise ArgumentError(f"an update must be made with gn.assign, not {node!r}")
    return WithUpdates()(x, *assigns) if assigns else x


def as_node(value: NodeLike, dtype: DtypeLike | None = None) -> Node:
    """`value` as a node; a number or array becomes a constant (of `dtype`, where given)."""
    return value if isinstance(value, Node) else constant(value, dtype)
