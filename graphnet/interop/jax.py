"""A declared graph as a function for JAX: pure, of parameters and inputs, to be jitted and differentiated by JAX.

apply, parameters = gn.interop.jax.to_function([images], model(images), sizes={"N": 64})
scores, _ = jax.jit(apply)(parameters, batch)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphnet.compiler import collect_updates
from graphnet.executable import Outputs, check_inputs, check_outputs, input_name, listed
from graphnet.extras import extra
from graphnet.graph.node import Node
from graphnet.interop import recognition
from graphnet.interop.jax_functions import functions
from graphnet.ops.sources import Input, Parameter

_FORMS = (recognition.linear, recognition.convolution)


def to_function(
    inputs: Node | Sequence[Node], outputs: Outputs, *, sizes: Mapping[str, int] | None = None
) -> tuple[Callable[..., Any], dict[str, np.ndarray]]:
    """A function `apply(parameters, *inputs)` that gives (outputs, updated), and the parameters' values now, by name.

    outputs: a node, or several in a list or tuple, which `apply` gives as a tuple. updated: new values of those
    parameters that the graph assigns to, such as running statistics. sizes: numbers for named dimensions, which the
    function is then made for. Raises `ArgumentError` for an op without a translation, naming the line that declared
    it, and `MissingExtraError` without JAX.
    """
    jax = extra("jax")
    given = check_inputs(inputs)
    graph = collect_updates(listed(check_outputs(outputs))).bind(sizes or {})
    order = recognition.calls([*graph.outputs, *(update.inputs[1] for update in graph.updates)], _FORMS)
    bound = [Input(input_name(node), node.type.bind(sizes or {}))() for node in given]
    names: dict[Node, str] = {}
    for call in [*order, *(recognition.Call("stored", update.inputs[0], ()) for update in graph.updates)]:
        if call.name == "stored" and call.node not in names:
            assert isinstance(call.node, Parameter)
            taken = call.node.name in names.values()
            names[call.node] = f"{call.node.name}_{len(names)}" if taken else call.node.name
    table = functions(jax)
    for call in order:
        if call.name not in table and call.name not in ("input", "stored"):
            raise recognition.untranslated(call, "JAX")

    def apply(parameters: Mapping[str, Any], *arrays: Any) -> Any:
        known: dict[Node, Any] = dict(zip(bound, arrays, strict=True))
        known.update({node: parameters[name] for node, name in names.items()})
        recognition.translated(order, table, "JAX", known)
        results = tuple(known[node] for node in graph.outputs)
        updated = {names[update.inputs[0]]: known[update.inputs[1]] for update in graph.updates}
        return (results if len(results) != 1 else results[0]), updated

    values = {name: node.value for node, name in names.items() if isinstance(node, Parameter)}
    return apply, values
