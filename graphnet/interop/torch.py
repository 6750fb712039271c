"""A declared graph as a module of torch: the same weights under the same names, the functions that torch's users call.

    module = gn.interop.torch.to_module([images], model(images), sizes={"N": 64})
    scores = module(torch.from_numpy(batch))

Layers that graphnet spells out in several ops become the one function torch has for them (`interop.recognition`);
gradients are torch's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphnet.compiler import collect_updates
from graphnet.executable import Outputs, check_inputs, check_outputs, input_name, listed
from graphnet.extras import extra
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.interop import recognition
from graphnet.interop.recognition import Call
from graphnet.interop.torch_functions import functions
from graphnet.ops.elementwise import Add
from graphnet.ops.sources import Input, Parameter

_FORMS = (
    recognition.mean_cross_entropy,
    recognition.attention,
    recognition.evaluated_batch_norm,
    recognition.linear,
    recognition.convolution,
)


def to_module(inputs: Node | Sequence[Node], outputs: Outputs, *, sizes: Mapping[str, int] | None = None) -> Any:
    """A `torch.fx.GraphModule` that takes `inputs` in their order and gives `outputs`, in evaluation or training.

    outputs: a node, or several in a list or tuple, which it gives as a tuple. sizes: numbers for named dimensions,
    which the module is then made for. Trainable parameters become `torch.nn.Parameter`s under their names, with copies
    of the values now, others buffers; running statistics move as graphnet moves them. Raises `ArgumentError` for an op
    without a translation, naming the line that declared it, and `MissingExtraError` without torch.
    """
    torch = extra("torch")
    given = check_inputs(inputs)
    graph = collect_updates(listed(check_outputs(outputs))).bind(sizes or {})
    statistics = _statistics(graph)
    moved = {target for mean, var, _ in statistics.values() for target in (mean, var)}
    updates = [update for update in graph.updates if update.inputs[0] not in moved]

    def normalization(node: Node) -> Call | None:
        call = recognition.normalization(node)
        if call is None or call.name != "batch_norm" or call.inputs[0] not in statistics:
            return call
        mean, var, momentum = statistics[call.inputs[0]]
        return Call(call.name, node, (*call.inputs, mean, var), {**call.attributes, "momentum": momentum})

    added = [_added(update) for update in updates]
    values = [u.inputs[1] if by is None else by for u, by in zip(updates, added, strict=True)]
    order = recognition.calls([*graph.outputs, *values], (*_FORMS, normalization))
    tracing = _Tracing(torch, graph.outputs)
    tracing.begin(given, [Input(input_name(node), node.type.bind(sizes or {}))() for node in given])
    for call in [*order, *(Call("stored", update.inputs[0], ()) for update in updates)]:
        tracing.hold(call)
    recognition.translated(order, functions(torch), "torch", tracing.known)
    for update, value, by in zip(updates, values, added, strict=True):
        tracing.assign(update.inputs[0], value, counts=by is not None)
    return tracing.module()


class _Tracing:
    """A module in the making: `known` has for each node a proxy, which records what is done with it, or a number."""

    def __init__(self, torch: Any, outputs: Sequence[Node]) -> None:
        self._torch = torch
        self._outputs = outputs
        self._graph = torch.fx.Graph()
        self._tracer = torch.fx.proxy.GraphAppendingTracer(self._graph)
        self._held: dict[str, Any] = {}
        self.known: dict[Node, Any] = {}

    def begin(self, declared: Sequence[Node], bound: Sequence[Node]) -> None:
        """The module's arguments: inputs as they were declared, and as the graph has them."""
        for named, node in zip(declared, bound, strict=True):
            self.known[node] = self._proxy(self._graph.placeholder(_identifier(named)))

    def hold(self, call: Call) -> None:
        """Let the module have a parameter or a constant; a scalar that no output is stays a number."""
        if call.node in self.known:
            return
        if call.name == "stored":
            self._attribute(call.node, _name(call.node, self._held), _tensor(self._torch, call.node))
        elif call.name == "constant":
            array = call.attributes["value"]
            if array.ndim == 0 and call.node not in self._outputs:
                self.known[call.node] = array.item()
            else:
                self._attribute(call.node, f"constant_{len(self._held)}", self._torch.tensor(array))

    def assign(self, target: Node, value: Node, *, counts: bool) -> None:
        """Overwrite a parameter by a value; `counts`: raise it by that value."""
        old, new = self.known[target], self.known[value]
        if counts:
            old.add_(new)
        else:
            old.copy_(new.detach() if isinstance(new, self._torch.fx.Proxy) else new)

    def module(self) -> Any:
        """The module, which gives the outputs."""
        results = tuple(self.known[node].node for node in self._outputs)
        self._graph.output(results if len(results) != 1 else results[0])
        self._graph.lint()
        return self._torch.fx.GraphModule(self._held, self._graph)

    def _attribute(self, node: Node, name: str, value: Any) -> None:
        self._held[name] = value
        self.known[node] = self._proxy(self._graph.get_attr(name))

    def _proxy(self, made: Any) -> Any:
        return self._torch.fx.Proxy(made, self._tracer)


def _statistics(graph: Graph) -> dict[Node, tuple[Node, Node, float]]:
    """For each x whose statistics are kept: the running mean, the running variance and their momentum."""
    parts: dict[Node, dict[str, tuple[Node, float]]] = {}
    normalized = {node.inputs[0] for node in graph.nodes if node.op.name == "standardize"}
    for update in graph.updates:
        found = recognition.running_statistics(update)
        if found is not None and found[0] in normalized:
            x, kind, momentum = found
            parts.setdefault(x, {})[kind] = (update.inputs[0], momentum)
    whole = {x: part for x, part in parts.items() if set(part) == {"mean", "var"} and part["mean"][1] == part["var"][1]}
    return {x: (part["mean"][0], part["var"][0], part["mean"][1]) for x, part in whole.items()}


def _added(update: Node) -> Node | None:
    """The number that a counter goes up by."""
    target, value = update.inputs
    if isinstance(value.op, Add) and value.inputs[0] is target and recognition.known(value.inputs[1]) is not None:
        return value.inputs[1]
    return None


def _tensor(torch: Any, node: Node) -> Any:
    assert isinstance(node, Parameter)
    tensor = torch.tensor(np.ascontiguousarray(node.value).reshape(node.type.static_shape))
    return torch.nn.Parameter(tensor) if node.requires_grad and node.type.is_float else tensor


def _name(node: Node, taken: Mapping[str, Any]) -> str:
    assert isinstance(node, Parameter)
    return node.name if node.name not in taken else f"{node.name}_{len(taken)}"


def _identifier(node: Node) -> str:
    """The input's name as Python takes one for an argument."""
    name = "".join(letter if letter.isalnum() else "_" for letter in input_name(node))
    return name if name.isidentifier() else f"input_{name}"
