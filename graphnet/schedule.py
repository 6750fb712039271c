"""Order: a static graph becomes a list of steps, in the order that keeps the fewest bytes live.

A step has two phases. The *body* computes outputs and gradients, and may fail. The *commit* changes parameters: it
holds only ufunc kernels, which cannot fail, and runs after every reader of the old values; so a failed call leaves
every parameter as it was. Where it is safe, the last op of an update writes straight into the parameter (`direct`);
elsewhere the new value waits in the arena and is copied when all is done.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphnet.graph.graph import Graph
from graphnet.graph.layout import same_places
from graphnet.graph.node import Node
from graphnet.ops.elementwise import is_plain_ufunc
from graphnet.ops.fused import Fused
from graphnet.ops.sources import Assign, Constant, Input, Parameter, Stored


def is_source(node: Node) -> bool:
    """Whether the value is given, not computed: an input, a constant or a parameter."""
    return isinstance(node.op, (Input, Constant, Stored))


def base(node: Node) -> Node:
    """The node whose bytes `node` looks at: itself, unless it is a view."""
    while node.op.is_view:
        node = node.inputs[0]
    return node


def is_step(node: Node) -> bool:
    """Whether the node is computed by a kernel of its own."""
    return not (is_source(node) or node.op.is_view or isinstance(node.op, Assign))


@dataclass(frozen=True)
class Schedule:
    """The steps of a graph in order. `steps[commit_start:]` are the commit; `direct` maps a node to its parameter."""

    graph: Graph
    steps: tuple[Node, ...]
    commit_start: int
    direct: Mapping[Node, Parameter]

    @cached_property
    def position(self) -> dict[Node, int]:
        """The index of each step."""
        return {node: index for index, node in enumerate(self.steps)}

    @cached_property
    def copied(self) -> tuple[Node, ...]:
        """The assign nodes whose value is copied into the parameter after the last step."""
        return tuple(assign for assign in self.graph.updates if self.direct.get(assign.inputs[1]) is not assign.inputs[0])

    def __str__(self) -> str:
        lines = []
        for index, node in enumerate(self.steps):
            if index == self.commit_start:
                lines.append("-- commit: parameters change from here on --")
            into = f" -> {self.direct[node].name}" if node in self.direct else ""
            lines.append(f"{index:4d} {node.op!r} : {node.type}{into}  # {node.provenance.role}")
        lines.extend(f"copy {assign.inputs[0].op.label} <- its new value" for assign in self.copied)
        return "\n".join(lines)


def schedule(graph: Graph) -> Schedule:
    """The order of a static graph's steps: the best of a few, by the peak of live bytes; always the same one."""
    steps = [node for node in graph.nodes if is_step(node)]
    reads = {node: tuple(dict.fromkeys(b for b in map(base, node.inputs) if is_step(b))) for node in steps}
    commit = _commit_steps(graph, steps)
    body = [node for node in steps if node not in commit]
    order = _best_order(graph, body, reads)
    direct, after = _direct_updates(graph, [node for node in steps if node in commit])
    tail = _in_order([node for node in steps if node in commit], after)
    return Schedule(graph, (*order, *tail), len(order), direct)


# -- the commit ------------------------------------------------------------------------------------------------------


def _commit_steps(graph: Graph, steps: Sequence[Node]) -> set[Node]:
    """The ufunc steps that nothing but updates reads: they can wait until nothing can fail any more."""
    chosen: set[Node] = set()
    waits: set[Node] = set()  # nodes, views and assigns included, that only the commit reads
    wanted = set(graph.outputs)
    for node in reversed(graph.nodes):
        only_commit = node not in wanted and all(user in waits for user in graph.users[node])
        if isinstance(node.op, Assign):
            waits.add(node)
        elif only_commit and graph.users[node] and (node.op.is_view or _cannot_fail(node)):
            waits.add(node)
            if is_step(node):
                chosen.add(node)
    return chosen


def _cannot_fail(node: Node) -> bool:
    """A plain ufunc runs inside one C call: it neither raises nor lets a signal handler in."""
    return node.op.is_plain if isinstance(node.op, Fused) else is_plain_ufunc(node.op)


def _direct_updates(graph: Graph, commit: Sequence[Node]) -> tuple[dict[Node, Parameter], dict[Node, list[Node]]]:
    """Which commit steps write into their parameter, and for every commit step the steps that must come before it."""
    inside = set(commit)
    after = {node: [b for b in map(base, node.inputs) if b in inside] for node in commit}
    readers: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if is_step(node):
            for source in dict.fromkeys(map(base, node.inputs)):
                if isinstance(source.op, Stored):
                    readers.setdefault(source, []).append(node)
    direct: dict[Node, Parameter] = {}
    for assign in graph.updates:
        target, value = assign.inputs
        assert isinstance(target, Parameter)
        if value not in inside or value in direct or not _lies_as(target, value, graph.layouts):
            continue
        late = [node for node in readers.get(target, ()) if node in inside and node is not value]
        if any(_precedes(value, node, after) for node in late):
            continue  # somebody who needs the new value reads the old one too: the old one has to stay
        after[value].extend(late)
        direct[value] = target
    return direct, after


def _lies_as(target: Node, value: Node, layouts: Mapping[Node, np.ndarray]) -> bool:
    """Whether `value` would lie in memory as the parameter does, and reads the parameter, if at all, as it lies."""
    read = [node for node in value.inputs if base(node) is target]
    return all(same_places(layouts[node], layouts[target]) for node in (value, *read))


def _precedes(first: Node, second: Node, after: Mapping[Node, Sequence[Node]]) -> bool:
    """Whether `second` must come after `first`."""
    stack, seen = [second], {second}
    while stack:
        for node in after[stack.pop()]:
            if node is first:
                return True
            if node not in seen:
                seen.add(node)
                stack.append(node)
    return False


def _in_order(steps: Sequence[Node], after: Mapping[Node, Sequence[Node]]) -> list[Node]:
    """`steps` with everything in `after` respected, otherwise as they stand: one parameter's update at a time."""
    order: list[Node] = []
    state: dict[Node, bool] = {}
    for root in steps:
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif node not in state:
                state[node] = True
                stack.append((node, True))
                stack.extend((before, False) for before in reversed(after[node]) if before not in state)
    return order


# -- the body --------------------------------------------------------------------------------------------------------


def _best_order(graph: Graph, body: Sequence[Node], reads: Mapping[Node, Sequence[Node]]) -> list[Node]:
    """The candidate with the lowest peak; the first of equals."""
    kept = {base(node) for node in graph.outputs} | _read_by_commit(graph, body, reads)
    candidates = [list(body), _greedy(body, reads, kept)]
    return min(candidates, key=lambda order: _peak(order, reads, kept))


def _read_by_commit(graph: Graph, body: Sequence[Node], reads: Mapping[Node, Sequence[Node]]) -> set[Node]:
    inside = set(body)
    late = {b for node, sources in reads.items() if node not in inside for b in sources}
    return late | {base(assign.inputs[1]) for assign in graph.updates}


def _remaining(order: Iterable[Node], reads: Mapping[Node, Sequence[Node]], kept: set[Node]) -> dict[Node, int]:
    """How many steps still read each value; a value that outlives the body has one reader more."""
    counts = {node: int(node in kept) for node in order}
    for node in order:
        for value in reads[node]:
            counts[value] += 1
    return counts


def _peak(order: Sequence[Node], reads: Mapping[Node, Sequence[Node]], kept: set[Node]) -> int:
    remaining = _remaining(order, reads, kept)
    live = peak = 0
    for node in order:
        live += node.type.nbytes
        peak = max(peak, live)
        for value in reads[node]:
            remaining[value] -= 1
            if remaining[value] == 0:
                live -= value.type.nbytes
        if remaining[node] == 0:
            live -= node.type.nbytes
    return peak


def _greedy(body: Sequence[Node], reads: Mapping[Node, Sequence[Node]], kept: set[Node]) -> list[Node]:
    """Always the ready step that adds the fewest live bytes; among equals the one that stands first in `body`."""
    rank = {node: index for index, node in enumerate(body)}
    remaining = _remaining(body, reads, kept)
    readers: dict[Node, list[Node]] = {node: [] for node in body}
    for node in body:
        for value in reads[node]:
            readers[value].append(node)
    missing = {node: len(reads[node]) for node in body}

    def cost(node: Node) -> int:
        return node.type.nbytes - sum(value.type.nbytes for value in reads[node] if remaining[value] == 1)

    ready = [(cost(node), rank[node]) for node in body if missing[node] == 0]
    heapq.heapify(ready)
    order: list[Node] = []
    done: set[Node] = set()
    while ready:
        known, index = heapq.heappop(ready)
        node = body[index]
        if node in done or known != cost(node):
            continue  # it was pushed again when it became cheaper
        done.add(node)
        order.append(node)
        for reader in readers[node]:
            missing[reader] -= 1
            if missing[reader] == 0:
                heapq.heappush(ready, (cost(reader), rank[reader]))
        for value in reads[node]:
            remaining[value] -= 1
            if remaining[value] == 1:
                for reader in readers[value]:
                    if reader not in done and missing[reader] == 0:
                        heapq.heappush(ready, (cost(reader), rank[reader]))
    return order
