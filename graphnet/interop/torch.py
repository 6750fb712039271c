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
    return _built(torch, given, graph, order, updates, values, sizes or {})


def _built(
    torch: Any,
    inputs: Sequence[Node],
    graph: Graph,
    order: Sequence[Call],
    updates: Sequence[Node],
    values: Sequence[Node],
    sizes: Mapping[str, int],
) -> Any:
    """The module whose code makes the calls of `order`, carries out `updates`, and gives the graph's outputs."""
    traced = torch.fx.Graph()
    tracer = torch.fx.proxy.GraphAppendingTracer(traced)

    def proxy(made: Any) -> Any:
        return torch.fx.Proxy(made, tracer)

    known: dict[Node, Any] = {}
    for node in inputs:
        known[Input(input_name(node), node.type.bind(sizes))()] = proxy(traced.placeholder(_identifier(node)))
    held: dict[str, Any] = {}
    targets = [update.inputs[0] for update in updates]
    for call in [*order, *(Call("stored", target, ()) for target in targets)]:
        if call.name == "stored" and call.node not in known:
            held[_name(call.node, held)] = _tensor(torch, call.node)
            known[call.node] = proxy(traced.get_attr(list(held)[-1]))
        elif call.name == "constant":
            array = call.attributes["value"]
            if array.ndim == 0:
                known[call.node] = array.item()
            else:
                held[f"constant_{len(held)}"] = torch.tensor(array)
                known[call.node] = proxy(traced.get_attr(list(held)[-1]))
    recognition.translated(order, functions(torch), "torch", known)
    for update, value in zip(updates, values, strict=True):
        target = known[update.inputs[0]]
        new = known[value]
        if _added(update) is not None:
            target.add_(new)
        else:
            target.copy_(new.detach() if isinstance(new, torch.fx.Proxy) else new)
    results = tuple(known[node] for node in graph.outputs)
    results = tuple(torch.full((), value) if not isinstance(value, torch.fx.Proxy) else value for value in results)
    given = tuple(value.node if isinstance(value, torch.fx.Proxy) else value for value in results)
    traced.output(given if len(given) != 1 else given[0])
    module = torch.fx.GraphModule(held, traced)
    traced.lint()
    return module


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
