"""Random numbers that are a pure function of (seed, stream, counter): the same bits on every run and backend.

The generator is Philox4x64-10 (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", 2011),
as NumPy has it. A random node's key is (seed, stream): the stream is a field of the op, so that two dropouts differ.
Its 256-bit counter is, from the lowest word, (block, 0, step, 0): `step` counts the calls of compiled functions, and
block 1 gives the first four 64-bit words, block 2 the next four. Element i of a float64 array is (word_i >> 11) / 2^53.
Of a float32 array it is (half_i >> 8) / 2^24, each word giving its low half and then its high half.

Seed and step are one parameter of the `Generator`, (seed, step) as int64. Every random node brings with it the
assignment (seed, step + 1), the same node for all, so that a step counts once; a checkpoint of parameters continues
the stream.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError, DtypeError, ShapeError
from graphnet.graph.dims import Shape, as_size
from graphnet.graph.node import Node, Op
from graphnet.graph.provenance import UPDATE, acting_as
from graphnet.graph.types import DtypeLike, TensorType, as_dtype
from graphnet.ops.comparison import greater_equal, keep, less, where
from graphnet.ops.shaping import cast, operands, shape_text
from graphnet.ops.sources import NodeLike, Parameter, as_node, assign, parameter, with_updates
from graphnet.ops.unary import cos, log1p, sqrt

_STATE = TensorType(np.dtype("int64"), (2,))
_HOST_STREAM = (1 << 64) - 1


class Uniform(Op):
    """Numbers uniform in [0, 1), by Philox with key (seed, stream) at (seed, step) = the input. No gradient."""

    target: Shape
    dtype: np.dtype
    stream: int

    def infer(self, state: TensorType) -> TensorType:
        if state != _STATE:
            raise DtypeError(f"expected the state of a generator, {_STATE}, got {state}")
        if self.dtype.kind != "f":
            raise DtypeError(f"uniform numbers are floats, not {self.dtype}")
        return TensorType(self.dtype, self.target)

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None]

    def compute(self, out: np.ndarray, state: np.ndarray) -> None:
        seed, step = (int(word) for word in state)
        _philox(seed, self.stream, step).random(out=out, dtype=self.dtype.type)


class Generator:
    """A source of random streams: the state that they share, and the number of the next one.

    state: the parameter (seed, step). streams: how many streams nodes have taken; the next node takes the one of this
    number. seed: an integer in [0, 2^63). Raises `ArgumentError` for another.
    """

    def __init__(self, seed: int = 0) -> None:
        self.state: Parameter = parameter(self._start(seed), "random.state", requires_grad=False)
        self.streams = 0

    @cached_property
    def host(self) -> np.random.Generator:
        """What draws on the host, from a stream that no node has: initial weights. Made when it is first asked for."""
        seed, _ = self.state.value
        return _philox(int(seed), _HOST_STREAM, 0)

    @staticmethod
    def _start(seed: int) -> np.ndarray:
        if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= int(seed) < 1 << 63:
            raise ArgumentError(f"a seed must be an integer in [0, 2**63), got {seed!r}")
        return np.array((int(seed), 0), np.int64)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`: functions compiled before draw from it at step 0, new nodes from stream 0."""
        self.state.set_value(self._start(seed))
        self.__dict__.pop("host", None)
        self.streams = 0
        return self

    def draw(self, shape: Shape, dtype: DtypeLike) -> Node:
        """Numbers uniform in [0, 1) from a stream of their own."""
        stream = self.streams
        self.streams += 1
        node = Uniform(tuple(shape), as_dtype(dtype), stream)(self.state)
        with acting_as(UPDATE):
            advanced = assign(self.state, self.state + np.array((0, 1)))
        return with_updates(node, advanced)


def _philox(seed: int, stream: int, step: int) -> np.random.Generator:
    key = np.array((seed, stream), np.uint64)
    counter = np.array((0, 0, step, 0), np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


default_generator = Generator(0)


def host_generator() -> np.random.Generator:
    """What draws on the host for the default generator: initial weights, once, when a layer is made."""
    return default_generator.host


def manual_seed(seed: int) -> Generator:
    """Start the default generator again from `seed`, in [0, 2^63), and return it."""
    return default_generator.manual_seed(seed)


def uniform(
    shape: Sequence[object] | object,
    low: NodeLike = 0.0,
    high: NodeLike = 1.0,
    dtype: DtypeLike = "float32",
    generator: Generator | None = None,
) -> Node:
    """Numbers uniform in [low, high), new ones at every call of the compiled function.

    shape: integers and dimension names. Differentiable by low and high. (Rounding may give `high` itself where
    high - low is not a power of two.)
    """
    draws = _draw(shape, dtype, generator)
    if _is_number(low, 0) and _is_number(high, 1):
        return draws
    start, stop = operands(low, high, dtype=dtype)
    return start + (stop - start) * draws


def normal(
    shape: Sequence[object] | object,
    mean: NodeLike = 0.0,
    std: NodeLike = 1.0,
    dtype: DtypeLike = "float32",
    generator: Generator | None = None,
) -> Node:
    """Normally distributed numbers, by Box and Muller: sqrt(-2 log(1 - u)) cos(2 pi v) for uniform u and v.

    shape: integers and dimension names. Differentiable by mean and std. In float32 no number is beyond 5.8 std.
    """
    radius = sqrt(log1p(-_draw(shape, dtype, generator)) * -2.0)
    values = radius * cos(_draw(shape, dtype, generator) * math.tau)
    if _is_number(mean, 0) and _is_number(std, 1):
        return values
    middle, scale = operands(mean, std, dtype=dtype)
    return middle + scale * values


def bernoulli(
    p: NodeLike,
    shape: Sequence[object] | object | None = None,
    dtype: DtypeLike = "float32",
    generator: Generator | None = None,
) -> Node:
    """1 with probability p, else 0, of `shape` or of the shape of p. Raises `ArgumentError` for p outside [0, 1]."""
    if not isinstance(p, Node):
        _check_probability(p, "bernoulli")
    chance = as_node(p)
    if not chance.type.is_float:
        chance = cast(chance, "float32")
    draws = _draw(chance.shape if shape is None else shape, chance.dtype, generator)
    return cast(less(draws, chance), dtype)


def dropout(x: NodeLike, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Node:
    """Each element is 0 with probability p, else x / (1 - p); x itself where not training. Inverted dropout, as
    `torch.nn.functional.dropout`. Raises `ArgumentError` for p outside [0, 1]."""
    node = as_node(x)
    return _dropped(node, p, training, node.shape, generator)


def dropout2d(x: NodeLike, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Node:
    """Dropout of whole channels: x is (N, C, ...), and an (n, c) is kept or dropped as one.

    As `torch.nn.functional.dropout2d`, for any number of spatial axes. Raises `ShapeError` for less than two axes.
    """
    node = as_node(x)
    if node.ndim < 2:
        raise ShapeError(f"dropout2d takes (N, C, ...), got {node.type}")
    return _dropped(node, p, training, (*node.shape[:2], *[1] * (node.ndim - 2)), generator)


_LOWEST = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717
"""What SELU tends to for small arguments."""


def alpha_dropout(x: NodeLike, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Node:
    """a * x + b, where with probability p x is replaced by SELU's lowest value s; x itself where not training.

    a = ((1 - p) * (1 + p * s^2))^(-1/2) and b = -a * p * s keep mean 0 and variance 1: Klambauer et al., 2017,
    "Self-Normalizing Neural Networks". As `torch.nn.functional.alpha_dropout`. Raises `ArgumentError` for p outside
    [0, 1].
    """
    node = _droppable(x, p)
    if not training or p == 0:
        return node
    if p == 1:
        return node * 0.0
    kept = greater_equal(_draw(node.shape, "float32", generator), float(p))
    a = ((1 - p) * (1 + p * _LOWEST**2)) ** -0.5
    return where(kept, node, _LOWEST) * a + -a * p * _LOWEST


def _droppable(x: NodeLike, p: float) -> Node:
    """x, which must be floats, for a p that must be one probability."""
    node = as_node(x)
    _check_probability(p, "dropout")
    if np.ndim(p):
        raise ArgumentError(f"dropout: p must be a number, got an array of shape {shape_text(np.shape(p))}")
    if not node.type.is_float:
        raise DtypeError(f"dropout takes floats, got {node.type}")
    return node


def _dropped(x: Node, p: float, training: bool, mask_shape: Shape, generator: Generator | None) -> Node:
    _droppable(x, p)
    if not training or p == 0:
        return x
    kept = greater_equal(_draw(mask_shape, "float32", generator), float(p))
    scale = 0.0 if p == 1 else 1.0 / (1.0 - float(p))
    return keep(kept, x * scale)


def _draw(shape: Any, dtype: DtypeLike, generator: Generator | None) -> Node:
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    return (generator or default_generator).draw(tuple(as_size(size) for size in sizes), dtype)


def _check_probability(p: Any, what: str) -> None:
    values = np.asarray(p)
    if values.dtype.kind not in "fiu" or not ((values >= 0) & (values <= 1)).all():
        raise ArgumentError(f"{what}: a probability must be a number in [0, 1], got {p!r}")


def _is_number(value: Any, number: float) -> bool:
    return isinstance(value, (int, float)) and value == number
