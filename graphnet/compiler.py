"""`compile`: the stages in order. Start reading here.

declare --> differentiate --> rewrite --> schedule --> plan memory --> lower --> execute
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphnet import config
from graphnet.backend.ready import Wanted
from graphnet.backend.registry import get_backend
from graphnet.errors import ArgumentError
from graphnet.executable import Executable, Outputs, check_inputs, check_outputs, input_name, listed
from graphnet.graph.graph import Graph, reapply, rebuild
from graphnet.graph.node import Node
from graphnet.graph.text import graph_text
from graphnet.graph.traversal import reaching, topological
from graphnet.lower import lower
from graphnet.memory import plan_memory
from graphnet.ops.sources import Assign, Input, WithUpdates
from graphnet.program import Program, Recalled
from graphnet.rewrite.check import check_pass
from graphnet.rewrite.driver import Log
from graphnet.rewrite.pipeline import apply_pipeline
from graphnet.schedule import schedule
from graphnet.verify import verify_plan


def compile(
    inputs: Node | Sequence[Node],
    outputs: Outputs,
    updates: Node | Iterable[Node] = (),
    *,
    backend: str | None = None,
    threads: int | None = None,
    tune: float | str | None = None,
    rewrite: bool = True,
    reuse: bool = True,
    fast_math: bool = False,
    check: int | None = None,
) -> Executable:
    """A function from arrays for `inputs` to the values of `outputs`, which also carries out `updates`.

    outputs: one node, a list, a tuple, a dict, or None; results come back in the same structure, as new arrays.
    updates: assign nodes, such as `optimizer.updates(loss)`; those that layers bring along are found by themselves.
    backend: "native", "numpy" or "naive"; None takes GRAPHNET_BACKEND or, where that is not set, "native" if llvmlite
    is installed and "numpy" if not. Where llvmlite is missing or cannot run, "native" warns and "numpy" does the work.
    threads: of the native backend; None takes as many as there are processors. The results' bits do not depend on it.
    NumPy's matrix products use the threads of its BLAS library, so the other backends refuse a number.
    tune: seconds, or a text such as "30s" or "2min", for which the native backend measures at most, for each size that
    is compiled, what there are several ways to do: which operands of a product are packed, how wide panels are, how
    places of images are listed. The fastest is kept in the cache folder for this processor and number of threads; what
    is compiled later takes it over, with `tune` or without. The results' bits do not depend on it. None measures
    nothing. The other backends have nothing to choose from, and refuse a time.
    rewrite, reuse: off to run the graph as declared, or with bytes of its own for every value; the results agree.
    fast_math: also allow rewrites that change rounding or the treatment of NaN and infinity. Without it, native kernels
    do so in two places: Winograd's tiles (off by GRAPHNET_NATIVE_WINOGRAD), and causal attention, which leaves out
    products with what its mask hides.
    check: 0 trusts; 1 also verifies each pass; 2 also compares each step with its reference kernel and fills freed
    bytes with NaN. None takes GRAPHNET_CHECK.

    Sizes that are still names are bound, and the function compiled for them, at the first call that brings them.
    Raises `ArgumentError` for arguments that do not fit together; shape errors that need numbers come at that call.
    """
    given = check_inputs(inputs)
    wanted = check_outputs(outputs)
    graph = collect_updates(listed(wanted), updates)
    _check_closed(graph, given)
    chosen = get_backend(backend, threads, tune)
    if check is not None and check not in (0, 1, 2):
        raise ArgumentError(f"check must be 0, 1, 2 or None, got {check!r}")

    def compiled(sizes: Mapping[str, int]) -> Program:
        declared = graph.bind(sizes)
        log = Log()
        rewritten = apply_pipeline(
            declared, chosen.rules, log, optimize=rewrite, fast_math=fast_math, fusing=chosen.fuse
        )
        level = config.check() if check is None else check
        if level >= 1:
            for name, before, after in log.passes:
                check_pass(name, before, after)
        order = schedule(rewritten, chosen.is_certain)
        chosen.tune(order)
        wanted_work = {node: chosen.workspace(node, order.graph.layouts) for node in order.steps}
        plan = plan_memory(order, wanted_work, chosen.held(order), reuse=reuse)
        verify_plan(plan)
        feeds = tuple(Input(input_name(node), node.type.bind(sizes))() for node in given)
        program = Program(declared, lower(plan, chosen), log, feeds)
        if level < 2:
            program.lowered.prepare()
        _tell(program)
        return program

    def specialize(sizes: Mapping[str, int]) -> Program:
        if config.debug() or (config.check() if check is None else check):
            return compiled(sizes)  # there is something to tell, or to check, while it is compiled
        known = Wanted(graph, given, sizes, (rewrite, reuse, fast_math))
        ready = chosen.recall(known)
        if ready is not None:
            return Recalled(ready, lambda: compiled(sizes))
        program = compiled(sizes)
        chosen.remember(known, program.lowered, program.ready)
        return program

    return Executable(given, wanted, specialize, check)


def collect_updates(outputs: Sequence[Node], updates: Node | Iterable[Node] = ()) -> Graph:
    """The graph of `outputs` with every assign node that they or `updates` reach as an update of the whole step.

    Inside expressions an assign node is its new value. A layer that is called twice brings two updates of one
    parameter: the second goes on from the first's new value, as the calls of a PyTorch module do. Raises
    `ArgumentError` where a parameter would get two values, neither of which goes on from the other.
    """
    wanted = _checked_updates(updates)
    nodes = topological([*outputs, *wanted])
    pure = rebuild(nodes, _without_updates)
    given: dict[Node, list[Node]] = {}  # to each parameter, assign nodes with different values
    for node in nodes:
        if isinstance(node.op, Assign):
            same = given.setdefault(node.inputs[0], [])
            if not any(pure[node] is pure[earlier] for earlier in same):
                same.append(node)
    values: dict[Node, Node] = {}
    for target, (first, *others) in given.items():
        values[target] = pure[first]
        for node in others:
            if node in wanted or first in wanted or target not in topological([pure[node]]):
                raise _two_values(target, first, node)
            values[target] = _going_on(pure[node], target, values[target])
    firsts = [first for first, *_ in given.values()]
    assigns = rebuild(firsts, lambda node, _: Assign()(node.inputs[0], values[node.inputs[0]]))
    return Graph(tuple(pure[node] for node in outputs), tuple(assigns.values()))


def _checked_updates(updates: Any) -> list[Node]:
    if not isinstance(updates, Iterable):
        hint = "such as optimizer.updates(loss)"
        raise ArgumentError(f"updates must be nodes made with gn.assign or by an optimizer, {hint}, got {updates!r}")
    wanted = [updates] if isinstance(updates, Node) else list(updates)
    for node in wanted:
        if not isinstance(node, Node) or not isinstance(node.op, Assign):
            raise ArgumentError(f"updates must be nodes made with gn.assign or by an optimizer, got {node!r}")
    return wanted


def _going_on(value: Node, target: Node, earlier: Node) -> Node:
    """`value`, worked out from `earlier` where it reads `target`."""
    order = topological([value])
    reading = reaching(order, [target])
    replaced = rebuild(
        [node for node in order if node in reading],
        lambda node, inputs: earlier if node is target else reapply(node, inputs),
    )
    return replaced[value]


def _two_values(target: Node, first: Node, second: Node) -> ArgumentError:
    return ArgumentError(
        f"parameter {target.op.label!r} would be assigned two different values in one step"  # type: ignore[attr-defined]
        f"\n  one was declared at {first.provenance.location}"
        f"\n  the other at {second.provenance.location}"
    )


def _without_updates(node: Node, inputs: tuple[Node, ...]) -> Node:
    if isinstance(node.op, Assign):
        return inputs[1]
    return inputs[0] if isinstance(node.op, WithUpdates) else reapply(node, inputs)


def _check_closed(graph: Graph, given: Sequence[Node]) -> None:
    """Raise `ArgumentError` where the graph needs an input that is not among `given`."""
    missing = [node for node in graph.nodes if isinstance(node.op, Input) and node not in given]
    if missing:
        named = ", ".join(f"{input_name(node)!r} (declared at {node.provenance.location})" for node in missing)
        raise ArgumentError(f"the outputs depend on inputs that compile was not given: {named}")


def _tell(program: Program) -> None:
    """What GRAPHNET_DEBUG asks to see of a compilation, on standard error."""
    level = config.debug()
    if level >= 1:
        plan = program.plan
        print(f"graphnet: {len(program.schedule.steps)} steps, arena {plan.peak_bytes:,} bytes", file=sys.stderr)
    if level >= 3:
        for name, _, after in program.log.passes:
            print(f"-- after {name} --\n{graph_text(after.roots)}", file=sys.stderr)
    if level >= 4:
        print(program.plan.memory_map(), file=sys.stderr)
