"""A declared graph as an ONNX file, which other runtimes serve: named inputs and outputs, weights as initializers.

    gn.interop.onnx.export([images], model.eval()(images), "lenet.onnx")

Layers that graphnet spells out in several ops become the one operator ONNX has for them (`interop.recognition`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphnet.compiler import collect_updates
from graphnet.errors import ArgumentError
from graphnet.executable import Outputs, check_inputs, check_outputs, input_name, listed
from graphnet.extras import extra
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.interop import recognition
from graphnet.interop.onnx_operators import OPERATORS, Builder
from graphnet.interop.safetensors import write_atomically
from graphnet.ops.sources import Input, Parameter

OPSET = 20
"""Of 2023: the first with Gelu."""

_FORMS = (
    recognition.evaluated_batch_norm,
    recognition.linear,
    recognition.convolution,
    recognition.layer_normalization,
)


def export(
    inputs: Node | Sequence[Node],
    outputs: Outputs,
    path: str | os.PathLike[str] | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
) -> Any:
    """The `onnx.ModelProto` that takes `inputs` by their names and gives `outputs`, checked; also written to `path`.

    outputs: a node, or several in a list, tuple or mapping, whose keys name them ("output", or "output_0" and so on,
    where there are none). Weights become initializers under their names, with the values they have now. sizes: numbers
    for named dimensions, which the model is then made for. Raises `ArgumentError` for an op without a translation,
    naming the line that declared it, for one that trains (an update), and for dimensions without a number;
    `MissingExtraError` without onnx. Of opset 20.
    """
    onnx = extra("onnx")
    given, wanted = check_inputs(inputs), check_outputs(outputs)
    graph = collect_updates(listed(wanted))
    if graph.updates:
        where = graph.updates[0].provenance.location
        problem = "a graph that updates parameters has no ONNX form: declare it in eval mode"
        raise ArgumentError(f"{problem}\n  declared at {where}")
    unknown = sorted(frozenset().union(*(node.type.names() for node in given)) - set(sizes or {}))
    if unknown:
        hint = f"sizes={{{unknown[0]!r}: 1}}"
        raise ArgumentError(f"export needs numbers for the dimensions {', '.join(unknown)}, such as {hint}")
    model = _model(onnx, given, graph.bind(sizes or {}), _names(wanted), sizes or {})
    onnx.checker.check_model(model, full_check=True)
    if path is not None:
        write_atomically(path, model.SerializeToString())
    return model


def _model(onnx: Any, given: Sequence[Node], graph: Graph, names: Sequence[str], sizes: Mapping[str, int]) -> Any:
    builder = Builder(onnx.helper, onnx.numpy_helper)
    known: dict[Node, Any] = {}
    infos = []
    for node in given:
        bound = Input(input_name(node), node.type.bind(sizes))()
        known[bound] = builder.reserved(input_name(node))
        infos.append(_info(onnx, input_name(node), bound))
    order = recognition.calls(graph.outputs, _FORMS)
    for call in order:
        if call.name == "stored":
            assert isinstance(call.node, Parameter)
            known[call.node] = builder.initializer(call.node.value, call.node.name)
        elif call.name == "constant":
            known[call.node] = builder.initializer(np.asarray(call.attributes["value"]), "constant")
    table = {name: _bound_to(builder, function) for name, function in OPERATORS.items()}
    recognition.translated(order, table, "ONNX", known)
    results = []
    for name, node in zip(names, graph.outputs, strict=True):
        builder.nodes.append(onnx.helper.make_node("Identity", [known[node]], [builder.reserved(name)]))
        results.append(_info(onnx, name, node))
    made = onnx.helper.make_graph(builder.nodes, "graphnet", infos, results, initializer=builder.initializers)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_model(made, producer_name="graphnet", opset_imports=opsets, ir_version=9)


def _bound_to(builder: Builder, function: Any) -> Any:
    return lambda call, *values: function(builder, call, *values)


def _info(onnx: Any, name: str, node: Node) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(node.dtype)
    return onnx.helper.make_tensor_value_info(name, kind, node.type.static_shape)


def _names(outputs: Outputs) -> list[str]:
    if isinstance(outputs, Mapping):
        return [str(name) for name in outputs]
    count = len(listed(outputs))
    return ["output"] if count == 1 else [f"output_{position}" for position in range(count)]
