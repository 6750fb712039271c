"""A table of a model's layers: shapes, parameters, operations and bytes, from the graph that the model declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphnet.errors import ArgumentError
from graphnet.graph.dims import Dim, Size
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.nn.calls import watching
from graphnet.nn.flops import flops
from graphnet.ops.random import default_generator
from graphnet.ops.sources import Parameter, input

if TYPE_CHECKING:
    from graphnet.nn.module import Module


@dataclass
class Row:
    """One call of one module, with all that it calls in turn.

    name: its name in the module that called it. depth: how many calls it is inside of. parameters: those that no
    earlier call, over by then, has counted. flops: of all nodes from `inputs` to `outputs` that are new.
    """

    name: str
    kind: str
    depth: int
    inputs: list[TensorType]
    outputs: list[TensorType] = field(default_factory=list)
    parameters: int = 0
    parameter_bytes: int = 0
    activation_bytes: Size = 0
    flops: Size = 0

    @property
    def bytes(self) -> Size:
        """Of parameters and activations."""
        return self.parameter_bytes + self.activation_bytes


@dataclass
class Summary:
    """The rows in the order of the calls, outer calls first, the model's own at the top; printed as a table."""

    rows: list[Row]
    trained: int

    @property
    def parameters(self) -> int:
        """How many numbers the parameters hold, trained or not."""
        return self.rows[0].parameters

    @property
    def flops(self) -> Size:
        """Floating-point operations of one evaluation; see `summary`."""
        return self.rows[0].flops

    @property
    def bytes(self) -> Size:
        """Of all parameters and activations."""
        return self.rows[0].bytes

    def __str__(self) -> str:
        lines = [
            ("  " * row.depth + (f"{row.name}: {row.kind}" if row.name else row.kind), _shapes(row.inputs),
             _shapes(row.outputs), _count(row.parameters), _count(row.flops), _count(row.bytes))
            for row in self.rows
        ]  # fmt: skip
        head = ("layer", "input", "output", "parameters", "FLOPs", "bytes")
        widths = [max(len(cell) for cell in column) for column in zip(head, *lines, strict=True)]
        aligned = ["<", "<", "<", ">", ">", ">"]
        texts = [
            "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, aligned, widths, strict=True))
            for line in (head, *lines)
        ]
        rule = "-" * len(texts[0])
        top = self.rows[0]
        foot = [
            f"parameters: {_count(top.parameters)}, of which trained: {_count(self.trained)}",
            f"FLOPs: {_count(top.flops)}",
            f"bytes: {_count(top.parameter_bytes)} of parameters, {_count(top.activation_bytes)} of activations",
        ]
        return "\n".join(line.rstrip() for line in (texts[0], rule, *texts[1:], rule, *foot))

    __repr__ = __str__


def summary(model: Module, input_size: Any, dtypes: Any = None) -> Summary:
    """What each layer of `model` takes, gives, holds and costs in evaluation.

    input_size: the shape of the one input, batch included, such as (1, 1, 28, 28), or ("N", 1, 28, 28) for figures in
    terms of N; a list of shapes, one for each input; or a dict from the names of forward's arguments. A node, made by
    `gn.input`, may stand for a shape. dtypes: one for all inputs that are given by shape (float32 where None), or a
    list (dict) of them.

    FLOPs, counted on the graph as it is declared: a contraction (matrix product, convolution) has two a multiply-add;
    elementwise ops have one an element that they give, reductions one an element that they read, pooling one an
    element of each window; moving values has none. Bytes are those of the parameters and of the activations, these
    being what modules give, each array once (what a forward makes on the way to it is left out). A layer that is called
    twice counts its parameters once. A step holds less, since bytes are reused: `compile(...).plan.peak_bytes` says it.

    Nothing is run and the model stays as it was. Raises `ArgumentError` for what is no shape.
    """
    args, kwargs = _nodes(input_size, dtypes)
    recorder = _Recorder(model)
    with _evaluating(model), watching(recorder.call):
        model(*args, **kwargs)
    own = set(model.parameters())
    return Summary(recorder.rows, sum(p.type.static_size for p in own if p.requires_grad))


class _Recorder:
    """The rows, as calls come."""

    def __init__(self, model: Module) -> None:
        self.names = {id(module): name for name, module in model.named_modules()}
        self.rows: list[Row] = []
        self.open: list[tuple[Row, str]] = []
        self.known: set[Node] = set()  # what earlier calls took and gave: not the work of later ones
        self.given: list[Node] = []
        self.counted: set[Parameter] = set()

    def call(self, module: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        inputs = list(_leaves((args, dict(kwargs))))
        path = self.names.get(id(module), "")
        row = Row(self._name(path), type(module).__name__, len(self.open), [node.type for node in inputs])
        self.known.update(inputs)
        known = set(self.known)
        self.rows.append(row)
        fresh = [own for own in module.parameters() if own not in self.counted]
        self.open.append((row, path))
        before = len(self.given)
        try:
            result = module.forward(*args, **kwargs)
        finally:
            self.open.pop()
        outputs = list(_leaves(result))
        row.outputs = [node.type for node in outputs]
        row.flops = _sum(flops(node) for node in _between(outputs, known))
        row.parameters = sum(own.type.static_size for own in fresh)
        row.parameter_bytes = sum(own.type.nbytes for own in fresh)
        self.given.extend(node for node in _held(outputs) if node not in known)
        inside = dict.fromkeys(self.given[before:])  # what this call and those inside it gave, each once
        row.activation_bytes = _sum(node.type.size * node.dtype.itemsize for node in inside)
        self.counted.update(fresh)
        self.known.update(outputs)
        return result

    def _name(self, path: str) -> str:
        """The part of a path that the module around does not say already."""
        outer = self.open[-1][1] if self.open else ""
        return path.removeprefix(f"{outer}.") if outer else path


def _held(outputs: Iterable[Node]) -> Iterable[Node]:
    """The nodes whose memory the outputs are, or look at."""
    bases: dict[Node, None] = {}
    for node in outputs:
        while node.op.is_view:
            node = node.inputs[0]
        bases[node] = None
    return bases


def _between(outputs: Iterable[Node], known: set[Node]) -> Iterator[Node]:
    """Every node that the outputs are made of, as far back as what is known."""
    stack = list(outputs)
    seen = set(known)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            stack.extend(node.inputs)


def _leaves(value: Any) -> Iterator[Node]:
    """The nodes in a structure of tuples, lists and dicts."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves(item)


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """Everything in evaluation mode; afterwards each module, and the next random stream, is what it was."""
    modes = [(module, module.training) for module in model.modules()]
    stream = default_generator.streams
    model.eval()
    try:
        yield
    finally:
        default_generator.streams = stream
        for module, training in modes:
            module.training = training


def _nodes(input_size: Any, dtypes: Any) -> tuple[list[Node], dict[str, Node]]:
    """The positional and the named arguments that `input_size` describes."""
    if isinstance(input_size, Mapping):
        kinds = dtypes if isinstance(dtypes, Mapping) else dict.fromkeys(input_size, dtypes)
        return [], {name: _node(each, kinds.get(name), name) for name, each in input_size.items()}
    single = isinstance(input_size, Node) or _is_shape(input_size)
    if not single and not (isinstance(input_size, (tuple, list)) and input_size):
        raise ArgumentError(f"summary: input_size must be a shape, a node, or some of them, got {input_size!r}")
    given: Sequence[Any] = [input_size] if single else input_size
    listed = dtypes if isinstance(dtypes, (tuple, list)) else [dtypes] * len(given)
    if len(listed) != len(given):
        raise ArgumentError(f"summary: {len(given)} inputs need {len(given)} dtypes, got {dtypes!r}")
    return [_node(each, kind, f"input{i}") for i, (each, kind) in enumerate(zip(given, listed, strict=True))], {}


def _node(given: Any, dtype: Any, name: str) -> Node:
    if isinstance(given, Node):
        return given
    if not _is_shape(given):
        raise ArgumentError(f"summary: expected a shape such as (1, 3, 32, 32), or a node, got {given!r}")
    return input(name, tuple(given), "float32" if dtype is None else dtype)


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        isinstance(size, (int, str, Dim)) and not isinstance(size, bool) for size in value
    )


def _sum(sizes: Iterable[Size]) -> Size:
    total: Size = 0
    for size in sizes:
        total = total + size
    return total


def _shapes(types: Sequence[TensorType]) -> str:
    return ", ".join(f"({', '.join(map(str, found.shape))})" for found in types)


def _count(number: Size) -> str:
    return f"{number:,}" if isinstance(number, int) else str(number)
