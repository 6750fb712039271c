"""`Op` and `Node`: an operation, and one value that it gives.

A node is immutable and interned: applying an equal op to the same inputs gives the same object, so common
subexpressions cost nothing and graph equality is `is`. Names and source lines live beside it (`provenance`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass
from inspect import get_annotations
from itertools import pairwise
from typing import Any, ClassVar, dataclass_transform
from weakref import WeakValueDictionary

import numpy as np

from graphnet.errors import GraphnetError
from graphnet.graph import provenance
from graphnet.graph.dims import Dim, Shape, bind_size
from graphnet.graph.types import TensorType


@dataclass_transform(frozen_default=True, eq_default=False)
class _Declared:
    """Makes every subclass frozen, with its annotated names as fields: an op is written as its fields and its verbs.

    What `dataclass(frozen=True, eq=False)` would do, without compiling an `__init__` for each of a hundred classes at
    every import.
    """

    field_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = [name for name, kind in get_annotations(cls).items() if "ClassVar" not in str(kind)]
        cls.field_names = tuple(dict.fromkeys((*cls.field_names, *own)))

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self.field_names, values, strict=False))
        unknown = [name for name in named if name not in self.field_names or name in given]
        given.update(named)
        missing = [name for name in self.field_names if name not in given and not hasattr(type(self), name)]
        if unknown or missing or len(values) > len(self.field_names):
            raise TypeError(
                f"{type(self).__name__} has the fields ({', '.join(self.field_names)}); got {len(values)} values"
                f"{''.join(f', {name}=' for name in named)}"
            )
        self.__dict__.update(given)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")


class Op(_Declared):
    """One operation. A subclass declares typed fields and says:

    `infer`      types in, type out, or `ShapeError` / `DtypeError` with what was expected and what came
    `gradient`   the node and the gradient of the loss by it in; one node (or None) for each input out
    `compute`    arrays in; fills `out`, allocates nothing that the plan could hold (`workspace` asks for scratch)
    `view`       instead of `compute`, for an op that only looks at its input differently

    `inplace` are the inputs whose bytes the planner may give to `out`, where it knows their last reader.
    `layout_free` says that `compute` is right, and no slower, for an `out` whose axes lie in memory in any order.
    `elementwise` says that `compute` is right for any piece of `out`, given the pieces of its broadcast inputs.
    `can_fail` says that `compute` may raise for some data; such steps run before any parameter changes. `checked`
    raises for the same data, so that a kernel of a backend need not look at them; it looks at the inputs `checks` only.
    """

    inplace: ClassVar[tuple[int, ...]] = ()
    can_fail: ClassVar[bool] = False
    checks: ClassVar[tuple[int, ...]] = ()
    layout_free: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False
    node_class: ClassVar[type[Node]]

    def infer(self, *types: TensorType) -> TensorType:
        """The type of the result. Raises `ShapeError` or `DtypeError`."""
        raise TypeError(f"{type(self).__name__} does not say its type: define infer")

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        """For each input of `node`, the gradient through `node`, given `dy`, the gradient of the loss by `node`."""
        raise GraphnetError(f"{self.name} has no gradient")

    def compute(self, out: np.ndarray, *inputs: np.ndarray) -> None:
        """Fill `out` from `inputs`. An op with a `workspace` also takes `work=`, a tuple of scratch arrays."""
        raise TypeError(f"{type(self).__name__} does not say how it is computed: define compute or view")

    def checked(self, *inputs: np.ndarray) -> None:
        """Raise `DataError` where the data of an op that `can_fail` cannot be used; allocate nothing where they can."""

    def view(self, x: np.ndarray) -> np.ndarray:
        """The result as a view of input 0's memory."""
        raise TypeError(f"{type(self).__name__} is not a view")

    def workspace(self, *types: TensorType) -> tuple[TensorType, ...]:
        """Types of the scratch arrays that `compute` needs while it runs, for static input types."""
        return ()

    @property
    def name(self) -> str:
        """The op's name in text and pictures: the class name in snake_case."""
        return _snake_case(type(self).__name__)

    @property
    def is_view(self) -> bool:
        return type(self).view is not Op.view

    @property
    def attributes(self) -> dict[str, Any]:
        """The fields, in the order declared."""
        return {name: getattr(self, name) for name in self.field_names}

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes two ops equal: class and fields, floats by their bits, arrays by their digest."""
        known: tuple[Any, ...] | None = self.__dict__.get("_identity")
        if known is None:
            known = (type(self), *[_canonical(getattr(self, name)) for name in self.field_names])
            self.__dict__["_identity"] = known  # past the frozen dataclass: a memo, not a field
        return known

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Op) and self.identity == other.identity)

    def __hash__(self) -> int:
        known: int | None = self.__dict__.get("_hash")
        if known is None:
            known = self.__dict__["_hash"] = hash(self.identity)
        return known

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={shown(v)}' for k, v in self.attributes.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(self.attributes.values())  # without what is cached: hashes differ between processes

    def bind(self, sizes: Mapping[str, int]) -> Op:
        """The same op with each named dimension in its fields replaced by its number."""
        attributes = self.attributes
        bound = {name: _bind(value, sizes) for name, value in attributes.items()}
        changed = {name: value for name, value in bound.items() if value is not attributes[name]}
        return type(self)(**{**attributes, **changed}) if changed else self

    def __call__(self, *inputs: Node) -> Node:
        """The node that applies this op to `inputs`: the one already there, or a new one."""
        return _intern(self, inputs)


OPERATORS: dict[str, Callable[..., Any]] = {}
"""What Python's operators on nodes do; `ops.operators` fills it, since ops are declared after nodes."""


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True, repr=False)
class Node:
    """One value: `op` applied to `inputs`. Equal nodes are the same object.

    Built only by calling an op; `type` is inferred. Arithmetic, comparison (`<` and its kin), `@` and indexing build
    nodes; `==` is identity, as everywhere in the graph (use `gn.equal` for elementwise equality).
    """

    op: Op
    inputs: tuple[Node, ...]
    type: TensorType

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return self.type.ndim

    @property
    def provenance(self) -> provenance.Provenance:
        """The user's line, the layer, and the part of the step this node belongs to."""
        return provenance.provenance(self)

    def __repr__(self) -> str:
        return f"<{self.op!r}: {self.type}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _applied, (self.op, self.inputs)  # a copy is interned too; a deep copy of a parameter is a new one

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} is symbolic: it has no truth value before a compiled function runs")

    def __iter__(self) -> Any:
        raise TypeError(f"{self!r} is symbolic: use gn.split or indexing to take it apart")

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(f"{self!r} is symbolic: use graphnet's functions on it, and gn.compile to get arrays")

    __array_ufunc__ = None  # so that `array + node` asks node.__radd__

    def __add__(self, other: Any) -> Node:
        return OPERATORS["add"](self, other)

    def __radd__(self, other: Any) -> Node:
        return OPERATORS["add"](other, self)

    def __sub__(self, other: Any) -> Node:
        return OPERATORS["subtract"](self, other)

    def __rsub__(self, other: Any) -> Node:
        return OPERATORS["subtract"](other, self)

    def __mul__(self, other: Any) -> Node:
        return OPERATORS["multiply"](self, other)

    def __rmul__(self, other: Any) -> Node:
        return OPERATORS["multiply"](other, self)

    def __truediv__(self, other: Any) -> Node:
        return OPERATORS["divide"](self, other)

    def __rtruediv__(self, other: Any) -> Node:
        return OPERATORS["divide"](other, self)

    def __floordiv__(self, other: Any) -> Node:
        return OPERATORS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Any) -> Node:
        return OPERATORS["floor_divide"](other, self)

    def __mod__(self, other: Any) -> Node:
        return OPERATORS["remainder"](self, other)

    def __rmod__(self, other: Any) -> Node:
        return OPERATORS["remainder"](other, self)

    def __pow__(self, other: Any) -> Node:
        return OPERATORS["power"](self, other)

    def __rpow__(self, other: Any) -> Node:
        return OPERATORS["power"](other, self)

    def __matmul__(self, other: Any) -> Node:
        return OPERATORS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Node:
        return OPERATORS["matmul"](other, self)

    def __neg__(self) -> Node:
        return OPERATORS["negative"](self)

    def __abs__(self) -> Node:
        return OPERATORS["absolute"](self)

    def __lt__(self, other: Any) -> Node:
        return OPERATORS["less"](self, other)

    def __le__(self, other: Any) -> Node:
        return OPERATORS["less_equal"](self, other)

    def __gt__(self, other: Any) -> Node:
        return OPERATORS["greater"](self, other)

    def __ge__(self, other: Any) -> Node:
        return OPERATORS["greater_equal"](self, other)

    def __invert__(self) -> Node:
        return OPERATORS["logical_not"](self)

    def __and__(self, other: Any) -> Node:
        return OPERATORS["logical_and"](self, other)

    def __or__(self, other: Any) -> Node:
        return OPERATORS["logical_or"](self, other)

    def __xor__(self, other: Any) -> Node:
        return OPERATORS["logical_xor"](self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __getitem__(self, index: Any) -> Node:
        return OPERATORS["getitem"](self, index)

    @property
    def T(self) -> Node:
        """The axes in reverse order."""
        return OPERATORS["transpose"](self)

    def reshape(self, *shape: Any) -> Node:
        """The same elements in another shape; one size may be -1."""
        return OPERATORS["reshape"](
            self, shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        )

    def transpose(self, *axes: int) -> Node:
        """The axes in the order given, or reversed."""
        return OPERATORS["transpose"](self, axes or None)

    def astype(self, dtype: Any) -> Node:
        """The same values in another dtype."""
        return OPERATORS["cast"](self, dtype)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Node:
        """The sum over `axis` (an int, several, or None for all)."""
        return OPERATORS["sum"](self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Node:
        """The mean over `axis` (an int, several, or None for all)."""
        return OPERATORS["mean"](self, axis, keepdims)


Op.node_class = Node

_nodes: WeakValueDictionary[tuple[Op, tuple[Node, ...]], Node] = WeakValueDictionary()
_lock = threading.RLock()  # re-entrant: freeing a node inside the table's own bookkeeping may intern again


def applied_again(node: Node, inputs: tuple[Node, ...]) -> Node:
    """`node`'s op on inputs of the same types as its own, so that the type of the result is known."""
    return _intern(node.op, inputs, node.type)


def _intern(op: Op, inputs: tuple[Node, ...], inferred: TensorType | None = None) -> Node:
    key = (op, inputs)
    with _lock:
        known = _nodes.get(key)
        if known is not None:
            return known
        for position, value in enumerate(inputs):
            if not isinstance(value, Node):
                raise TypeError(f"{op.name}: input {position} must be a graph node, not {type(value).__name__}")
        if inferred is None:
            try:
                inferred = op.infer(*(value.type for value in inputs))
            except GraphnetError as error:
                raise _located(error, op, inputs) from None
        node = op.node_class(op, inputs, inferred)
        _nodes[key] = node
        provenance.record(node)
        return node


def _applied(op: Op, inputs: tuple[Node, ...]) -> Node:
    return op(*inputs)


def _located(error: GraphnetError, op: Op, inputs: Sequence[Node]) -> GraphnetError:
    """The same error, saying which op on which types, declared where."""
    given = ", ".join(str(value.type) for value in inputs)
    return type(error)(f"{op.name}({given}): {error.problem}\n  declared at {provenance.current_location()}")


def _canonical(value: Any) -> Any:
    """`value` as a key: 1, 1.0 and True differ, 0.0 and -0.0 differ, NaN equals itself, arrays go by digest."""
    if isinstance(value, (bool, int, str, bytes, type(None), Dim)):
        return (type(value).__name__, value)
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, (tuple, list)):
        return tuple(_canonical(item) for item in value)
    if isinstance(value, np.ndarray):
        content = value.tobytes()
        digest = hashlib.blake2b(content, digest_size=16).digest() if len(content) > 16 else content
        return ("array", value.dtype.str, value.shape, digest)
    return value


def _bind(value: Any, sizes: Mapping[str, int]) -> Any:
    """`value` with every `Dim` in it bound; the very same object where there is none."""
    if isinstance(value, Dim):
        return bind_size(value, sizes)
    if isinstance(value, TensorType):
        return value.bind(sizes)
    if isinstance(value, tuple):
        bound = tuple(_bind(item, sizes) for item in value)
        return bound if any(a is not b for a, b in zip(bound, value, strict=True)) else value
    if isinstance(value, Op):
        return value.bind(sizes)
    return value


def shown(value: Any) -> str:
    """The value of an op's field, as text and pictures show it; a large array by its type only."""
    if isinstance(value, np.ndarray):
        return f"array({value.dtype.name}{list(value.shape)})" if value.size > 4 else str(value.tolist())
    if isinstance(value, (TensorType, Dim, np.dtype)):
        return str(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))}{',' * (len(value) == 1)})"
    return getattr(value, "__name__", None) or repr(value)


def _snake_case(name: str) -> str:
    letters = list(name[0].lower())
    for before, letter in pairwise(name):
        starts_word = letter.isupper() and not before.isupper()
        letters.append(f"_{letter.lower()}" if starts_word else letter.lower())
    return "".join(letters)
