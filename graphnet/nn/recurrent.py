"""Recurrent layers, unrolled over a length that is known, and the cells that are one step of them.

Of each layer the products with its inputs are one product for all steps; only those with the state are left to the
steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.dims import Size
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike
from graphnet.nn import init
from graphnet.nn.arguments import flag, float_dtype, fraction, integer, one_of, positive
from graphnet.nn.module import Module
from graphnet.ops.activations import relu, sigmoid
from graphnet.ops.joining import concatenate, stack
from graphnet.ops.layout import expand_dims, squeeze, swapaxes
from graphnet.ops.linear import linear
from graphnet.ops.random import dropout as drop
from graphnet.ops.shaping import broadcast_to, shape_text
from graphnet.ops.slicing import split
from graphnet.ops.sources import constant, parameter
from graphnet.ops.unary import tanh

State: TypeAlias = "tuple[Node, ...]"
"""The hidden state (N, hidden), and for an LSTM the cell state after it."""

_ACTIVATIONS: dict[str, Callable[[Node], Node]] = {"tanh": tanh, "relu": relu}


class _Weights(Module):
    """The weights of one or more recurrences under PyTorch's names, uniform in ±1/sqrt(hidden_size) at the start."""

    gates: ClassVar[int]
    states: ClassVar[int] = 1
    hidden_size: int
    bias: bool
    proj_size: int = 0

    def _make_weights(self, suffix: str, inputs: int, kind: np.dtype) -> None:
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs)}
        shapes["weight_hh"] = (rows, self.proj_size or self.hidden_size)
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        bound = 1 / math.sqrt(self.hidden_size)
        for name, shape in shapes.items():
            self.register_parameter(name + suffix, parameter(np.zeros(shape, kind), name + suffix))
            init.uniform_(getattr(self, name + suffix), -bound, bound)

    def _given(self, x: Node, suffix: str) -> Node:
        """What the inputs (..., inputs) give to the gates: (..., gates * hidden)."""
        return linear(x, getattr(self, f"weight_ih{suffix}"), self._outer_bias(suffix) if self.bias else None)

    def _outer_bias(self, suffix: str) -> Node:
        """The part of both biases that does not wait for the state."""
        total: Node = getattr(self, f"bias_ih{suffix}") + getattr(self, f"bias_hh{suffix}")
        return total

    def _step(self, given: Node, state: State, suffix: str) -> State:
        """The next state. given: (N, gates * hidden), what the inputs of this step give to the gates."""
        raise TypeError(f"{type(self).__name__} does not say its step")

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.proj_size or self.hidden_size, self.hidden_size)[: self.states]


class _RNN(_Weights):
    """h = nonlinearity(W_ih x + b_ih + W_hh h + b_hh). Elman, 1990."""

    gates = 1
    nonlinearity: str

    def _step(self, given: Node, state: State, suffix: str) -> State:
        return (_ACTIVATIONS[self.nonlinearity](given + linear(state[0], getattr(self, f"weight_hh{suffix}"))),)


class _LSTM(_Weights):
    """c = f * c + i * g; h = o * tanh(c), projected by W_hr where there is a projection.

    The gates are i, f, o = sigmoid(W x + b + W h + b) and g = tanh(the same), in the order i, f, g, o. Hochreiter and
    Schmidhuber, 1997, with the forget gate of Gers et al., 2000; projections: Sak et al., 2014.
    """

    gates, states = 4, 2

    def _step(self, given: Node, state: State, suffix: str) -> State:
        hidden, cell = state
        into, keep, new, out = split(given + linear(hidden, getattr(self, f"weight_hh{suffix}")), 4, 1)
        cell = sigmoid(keep) * cell + sigmoid(into) * tanh(new)
        hidden = sigmoid(out) * tanh(cell)
        return (linear(hidden, getattr(self, f"weight_hr{suffix}")) if self.proj_size else hidden), cell


class _GRU(_Weights):
    """h = (1 - z) * n + z * h, with n = tanh(W_in x + b_in + r * (W_hn h + b_hn)).

    The gates are r, z = sigmoid(W x + b + W h + b), in the order r, z, n. Cho et al., 2014; the reset gate stands
    behind the product, as in PyTorch.
    """

    gates = 3

    def _outer_bias(self, suffix: str) -> Node:
        outer: Node = getattr(self, f"bias_ih{suffix}")
        return outer

    def _step(self, given: Node, state: State, suffix: str) -> State:
        (hidden,) = state
        n = self.hidden_size
        own = linear(hidden, getattr(self, f"weight_hh{suffix}"), getattr(self, f"bias_hh{suffix}", None))
        reset, keep = split(sigmoid(given[:, : 2 * n] + own[:, : 2 * n]), 2, 1)
        new = tanh(given[:, 2 * n :] + reset * own[:, 2 * n :])
        return (new + keep * (hidden - new),)


# -- layers ------------------------------------------------------------------------------------------------------------


class _Layers(_Weights):
    """Layers of recurrences, one or two directions each, over (L, N, inputs), (N, L, inputs) or, alone, (L, inputs)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DtypeLike = "float32",
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = positive(name, "input_size", input_size)
        self.hidden_size = positive(name, "hidden_size", hidden_size)
        self.num_layers = positive(name, "num_layers", num_layers)
        self.bias = flag(name, "bias", bias)
        self.batch_first = flag(name, "batch_first", batch_first)
        self.dropout = fraction(name, "dropout", dropout, "a probability")
        self.bidirectional = flag(name, "bidirectional", bidirectional)
        self.proj_size = integer(name, "proj_size", proj_size, least=0)
        if self.proj_size >= self.hidden_size:
            raise ArgumentError(f"{name}: proj_size={proj_size} must be smaller than hidden_size={hidden_size}")
        if self.dropout and self.num_layers == 1:
            raise ArgumentError(f"{name}: dropout={dropout} acts between layers, and num_layers is 1")
        kind = float_dtype(name, dtype)
        inputs = self.input_size
        for layer in range(self.num_layers):
            for suffix in self._suffixes(layer):
                self._make_weights(suffix, inputs, kind)
            inputs = len(self._suffixes(layer)) * self._state_sizes()[0]

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 2 if self.bidirectional else 1]

    def forward(self, input: Node, hx: Any = None) -> tuple[Node, Any]:
        """(outputs of the last layer at every step, the state of every layer and direction after its last).

        hx: the state to begin with, (layers * directions, N, hidden), for an LSTM a pair of hidden and cell state;
        None is zeros. The last state comes in the same form.
        """
        self._check_input(input)
        alone = input.ndim == 2
        x = expand_dims(input, 1) if alone else swapaxes(input, 0, 1) if self.batch_first else input
        begin = self._begin(x, hx, alone)
        ends: list[State] = []
        for layer in range(self.num_layers):
            if layer:
                x = drop(x, self.dropout, self.training)
            ways = []
            for suffix in self._suffixes(layer):
                outputs, end = self._run(x, None if begin is None else begin[len(ends)], suffix)
                ways.append(stack(outputs))
                ends.append(end)
            x = concatenate(ways, 2)
        last = [stack(states) for states in zip(*ends, strict=True)]
        if alone:
            x, last = squeeze(x, 1), [squeeze(state, 1) for state in last]
        elif self.batch_first:
            x = swapaxes(x, 0, 1)
        return x, tuple(last) if self.states > 1 else last[0]

    def _run(self, x: Node, begin: State | None, suffix: str) -> tuple[list[Node], State]:
        """The outputs of one direction, in the order of `x` (L, N, inputs), and the state after its last step."""
        length = x.shape[0]
        assert isinstance(length, int)  # _check_input has seen to it
        given = self._given(x, suffix)
        state = self._zeros(given.dtype, x.shape[1]) if begin is None else begin
        outputs: dict[int, Node] = {}
        for t in reversed(range(length)) if suffix.endswith("_reverse") else range(length):
            state = self._step(given[t], state, suffix)
            outputs[t] = state[0]
        return [outputs[t] for t in range(length)], state

    def _zeros(self, dtype: np.dtype, batch: Size) -> State:
        return tuple(broadcast_to(constant(0, dtype), (batch, size)) for size in self._state_sizes())

    def _begin(self, x: Node, hx: Any, alone: bool) -> list[State] | None:
        """The given state of each layer and direction. Raises `ShapeError` for one that does not fit."""
        if hx is None:
            return None
        name = type(self).__name__
        given = (hx,) if self.states == 1 else tuple(hx) if isinstance(hx, (tuple, list)) else ()
        if len(given) != self.states or not all(isinstance(state, Node) for state in given):
            wanted = "a node" if self.states == 1 else "a pair of nodes, hidden state and cell state,"
            raise ArgumentError(f"{name}: hx must be {wanted} or None, got {hx!r}")
        count = self.num_layers * len(self._suffixes(0))
        batch: Sequence[Size] = () if alone else (x.shape[1],)
        for state, size in zip(given, self._state_sizes(), strict=True):
            if state.shape != (count, *batch, size):
                wanted = shape_text((count, *batch, size))
                raise ShapeError(f"{name}: expected an initial state of shape {wanted}, got {state.type}")
        whole = [expand_dims(state, 1) if alone else state for state in given]
        return [tuple(state[i] for state in whole) for i in range(count)]

    def _check_input(self, input: Node) -> None:
        name = type(self).__name__
        layout = f"(N, L, {self.input_size})" if self.batch_first else f"(L, N, {self.input_size})"
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise ShapeError(f"{name}: expected {layout} or (L, {self.input_size}), got {input.type}")
        length = input.shape[1 if self.batch_first and input.ndim == 3 else 0]
        if not isinstance(length, int) or length == 0:
            raise ShapeError(
                f"{name}: the length of the sequence must be a positive number, since the steps are unrolled; "
                f"got {length} in {input.type}, where {layout} was expected"
            )

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        for name, plain in _PLAIN.items():
            if getattr(self, name) != plain:
                shown += f", {name}={getattr(self, name)}"
        return shown


_PLAIN = {
    "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
}  # fmt: skip
"""What is printed only where it is otherwise, in PyTorch's order."""


class RNN(_RNN, _Layers):
    """Elman's recurrent layers: h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu. Elman, "Finding structure in time",
    1990.

    Gives (output, h_n): the outputs of all steps, (L, N, directions * hidden), and the last state of each layer and
    direction. `batch_first` is (N, L, ...). The length L must be a number; the batch may be a name.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        self.nonlinearity = one_of("RNN", "nonlinearity", nonlinearity, _ACTIVATIONS)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype=dtype)


class LSTM(_LSTM, _Layers):
    """Long short-term memory. Hochreiter and Schmidhuber, 1997, with forget gates (Gers et al., 2000).

    Gives (output, (h_n, c_n)): the outputs of all steps, (L, N, directions * hidden), and the last hidden and cell
    states of each layer and direction. `proj_size` makes the hidden state a projection of that size (Sak et al., 2014).
    `batch_first` is (N, L, ...). The length L must be a number; the batch may be a name.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dtype=dtype, proj_size=proj_size,
        )  # fmt: skip


class GRU(_GRU, _Layers):
    """Gated recurrent units. Cho et al., 2014; the reset gate stands behind the product, as in PyTorch.

    Gives (output, h_n): the outputs of all steps, (L, N, directions * hidden), and the last state of each layer and
    direction. `batch_first` is (N, L, ...). The length L must be a number; the batch may be a name.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype=dtype)


# -- cells -------------------------------------------------------------------------------------------------------------


class _Cell(_Weights):
    """One step of a recurrence: (N, inputs) or (inputs,), and a state, to the next state; without a state, zeros."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, dtype: DtypeLike = "float32") -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = positive(name, "input_size", input_size)
        self.hidden_size = positive(name, "hidden_size", hidden_size)
        self.bias = flag(name, "bias", bias)
        self._make_weights("", self.input_size, float_dtype(name, dtype))

    def forward(self, input: Node, hx: Any = None) -> Any:
        """The next state: a node, for an LSTM the pair of hidden and cell state."""
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(f"{name}: expected (N, {self.input_size}) or ({self.input_size},), got {input.type}")
        alone = input.ndim == 1
        given = self._given(expand_dims(input, 0) if alone else input, "")
        state = self._begin(input, hx, given)
        following = self._step(given, state, "")
        if alone:
            following = tuple(squeeze(part, 0) for part in following)
        return following if self.states > 1 else following[0]

    def _begin(self, input: Node, hx: Any, given: Node) -> State:
        name, shape = type(self).__name__, (*input.shape[:-1], self.hidden_size)
        if hx is None:
            return (broadcast_to(constant(0, given.dtype), (given.shape[0], self.hidden_size)),) * self.states
        parts = (hx,) if self.states == 1 else tuple(hx) if isinstance(hx, (tuple, list)) else ()
        if len(parts) != self.states or not all(isinstance(part, Node) for part in parts):
            wanted = "a node" if self.states == 1 else "a pair of nodes, hidden state and cell state,"
            raise ArgumentError(f"{name}: hx must be {wanted} or None, got {hx!r}")
        for part in parts:
            if part.shape != shape:
                raise ShapeError(f"{name}: expected a state of shape {shape_text(shape)}, got {part.type}")
        return tuple(expand_dims(part, 0) for part in parts) if input.ndim == 1 else parts

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_RNN, _Cell):
    """One step of `RNN`: (N, inputs) and h to the next h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        self.nonlinearity = one_of("RNNCell", "nonlinearity", nonlinearity, _ACTIVATIONS)
        super().__init__(input_size, hidden_size, bias, dtype=dtype)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(_LSTM, _Cell):
    """One step of `LSTM`: (N, inputs) and (h, c) to the next (h, c)."""


class GRUCell(_GRU, _Cell):
    """One step of `GRU`: (N, inputs) and h to the next h."""
