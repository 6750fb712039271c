"""Order: a static graph becomes a list of steps, in the order that keeps the fewest bytes live.

What depends on parameters alone that the step does not change is *prepared*: it comes first, and is run again only
when somebody else has changed one of them. So a net that is served folds and lays out its weights once.

Then a step has two phases. The *body* computes outputs and gradients, and may fail. The *commit* changes parameters: it
holds only kernels that cannot fail, and runs after every reader of the old values; so a failed call leaves every
parameter as it was. Where it is safe, the last op of an update writes straight into the parameter (`direct`);
elsewhere the new value waits in the arena and is copied when all is done.

The commit holds ufuncs and, of backends whose matrix products cannot fail, weight gradients: each is made when its
update follows, so that they need not all be there at once. What they are made of has to wait instead, so that is done
where it lowers the peak. Only so much of it: no signal is answered until the commit is over.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphnet.graph.graph import Graph
from graphnet.graph.layout import same_places
from graphnet.graph.node import Node
from graphnet.ops.elementwise import is_plain_ufunc
from graphnet.ops.fused import Fused, FusedAhead
from graphnet.ops.linear import Matmul
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
    """The steps of a graph in order.

    `steps[:prepared]` are run once for many calls, and `lasting` holds their values that later steps read;
    `steps[commit_start:]` are the commit; `direct` maps a node to its parameter.
    """

    graph: Graph
    steps: tuple[Node, ...]
    commit_start: int
    direct: Mapping[Node, Parameter]
    prepared: int = 0
    lasting: frozenset[Node] = frozenset()

    @cached_property
    def position(self) -> dict[Node, int]:
        """The index of each step."""
        return {node: index for index, node in enumerate(self.steps)}

    @cached_property
    def copied(self) -> tuple[Node, ...]:
        """The assign nodes whose value is copied into the parameter after the last step."""
        return tuple(node for node in self.graph.updates if self.direct.get(node.inputs[1]) is not node.inputs[0])

    def named(self, steps: Iterable[int]) -> str:
        """Some steps by their numbers and their ops' names."""
        return ", ".join(f"{number} {self.steps[number].op.name}" for number in steps)

    def __str__(self) -> str:
        lines = []
        for index, node in enumerate(self.steps):
            if index == self.prepared > 0:
                lines.append("-- what stands above is run only when a parameter has changed --")
            if index == self.commit_start:
                lines.append("-- commit: parameters change from here on --")
            into = f" -> {self.direct[node].name}" if node in self.direct else ""
            lines.append(f"{index:4d} {node.op!r} : {node.type}{into}  # {node.provenance.role}")
        lines.extend(f"copy {_target(assign).name} <- its new value" for assign in self.copied)
        return "\n".join(lines)


def _target(assign: Node) -> Parameter:
    target = assign.inputs[0]
    assert isinstance(target, Parameter)
    return target


def schedule(graph: Graph, is_certain: Callable[[Node], bool] = lambda node: False) -> Schedule:
    """The order of a static graph's steps: the best of a few, by the peak of live bytes; always the same one.

    is_certain: whether a matrix product's kernel is one call of C code, which cannot fail.
    """
    steps = [node for node in graph.nodes if is_step(node)]
    reads = {node: tuple(dict.fromkeys(b for b in map(base, node.inputs) if is_step(b))) for node in steps}
    late = _commit_steps(graph, frozenset())
    found = [_in_phases(graph, steps, reads, late)]
    products = _late_products(graph, reads, late, is_certain)
    if products:
        found.append(_in_phases(graph, steps, reads, _commit_steps(graph, products)))
    return min(found, key=lambda of: of[1])[0]


def _in_phases(
    graph: Graph, steps: Sequence[Node], reads: Mapping[Node, Sequence[Node]], late: set[Node]
) -> tuple[Schedule, int]:
    """The order whose commit is `late`, and the largest sum of its live bytes."""
    early = prepared_steps(graph, late)
    body, commit = [n for n in steps if n not in late and n not in early], [n for n in steps if n in late]
    lasting = frozenset(value for node in (*body, *commit) for value in reads[node] if value in early)
    direct, after = _direct_updates(graph, commit)
    elsewhere = {base(node) for node in graph.outputs} | set(direct) | lasting
    live = _Live(
        bytes={node: 0 if node in elsewhere else node.type.nbytes for node in steps},
        reads=reads,
        kept={base(assign.inputs[1]) for assign in graph.updates},
    )
    prepared = [node for node in steps if node in early]
    inside = {node: tuple(value for value in reads[node] if value not in early) for node in body}
    orders = [_ahead(_waiting(order, inside), inside) for order in (body, _greedy(body, inside, live))]
    first = [*prepared, *_best(orders, live, steps, done=prepared)]
    last = _best([_in_order(commit, after), _greedy(commit, after, live)], live, steps, done=first)
    order = Schedule(graph, (*first, *last), len(first), direct, len(prepared), lasting)
    return order, _peak(order.steps, live, steps)


def prepared_steps(graph: Graph, late: Collection[Node] = ()) -> set[Node]:
    """The steps, but for those of the commit (`late`), that read nothing but constants and parameters that the graph
    does not change."""
    changed = {_target(assign) for assign in graph.updates}
    fixed: set[Node] = set()
    for node in graph.nodes:
        if isinstance(node.op, (Input, Assign)) or node in changed or node in late:
            continue
        if all(value in fixed for value in node.inputs):
            fixed.add(node)
    return {node for node in fixed if is_step(node)}


# -- the commit ------------------------------------------------------------------------------------------------------


_MOST_OPERATIONS = 2 * 10**9  # of products in a commit: a tenth of a second on one thread of a slow processor


def _late_products(
    graph: Graph, reads: Mapping[Node, Sequence[Node]], late: set[Node], is_certain: Callable[[Node], bool]
) -> frozenset[Node]:
    """The products that updates alone read, and that are larger than what they are made of."""
    found: set[Node] = set()
    left = _MOST_OPERATIONS
    for node in reads:
        users = _reading(graph, node)
        if not isinstance(node.op, Matmul) or not users or not all(user in late for user in users):
            continue
        operations = 2 * node.type.static_size * node.inputs[0].type.static_shape[-1]
        if operations <= left and node.type.nbytes > sum(b.type.nbytes for b in reads[node]) and is_certain(node):
            left -= operations
            found.add(node)
    return frozenset(found)


def _reading(graph: Graph, node: Node) -> list[Node]:
    """The nodes that read a value, themselves or through views; outputs count as the value's own."""
    found: list[Node] = []
    stack = [node]
    while stack:
        value = stack.pop()
        found += [value] if value in graph.outputs else []
        for user in graph.users[value]:
            (stack if user.op.is_view else found).append(user)
    return found


def _commit_steps(graph: Graph, products: frozenset[Node]) -> set[Node]:
    """The ufunc steps, and those of `products`, that nothing but updates reads: they can wait until nothing can fail
    any more."""
    chosen: set[Node] = set()
    waits: set[Node] = set()  # nodes, views and assigns included, that only the commit reads
    wanted = set(graph.outputs)
    for node in reversed(graph.nodes):
        only_commit = node not in wanted and all(user in waits for user in graph.users[node])
        if isinstance(node.op, Assign):
            waits.add(node)
        elif only_commit and graph.users[node] and (node.op.is_view or node in products or _cannot_fail(node)):
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
        target, value = _target(assign), assign.inputs[1]
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


# -- the fewest live bytes -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Live:
    """What decides how many bytes are live: each value's bytes in the arena, who reads what, what outlives the step."""

    bytes: Mapping[Node, int]
    reads: Mapping[Node, Sequence[Node]]
    kept: set[Node]

    def readers_left(self, steps: Iterable[Node]) -> dict[Node, int]:
        """How many of `steps` read each value; one more for what outlives the step."""
        counts = {node: int(node in self.kept) for node in self.bytes}
        for node in steps:
            for value in self.reads[node]:
                counts[value] += 1
        return counts


def _best(
    candidates: Sequence[list[Node]], live: _Live, steps: Sequence[Node], done: Sequence[Node] = ()
) -> list[Node]:
    """The candidate with the lowest peak when it follows `done`; the first of equals."""
    return min(candidates, key=lambda order: _peak([*done, *order], live, steps))


def _peak(order: Sequence[Node], live: _Live, steps: Sequence[Node]) -> int:
    left = live.readers_left(steps)
    total = peak = 0
    for node in order:
        done = 0
        for value in live.reads[node]:
            left[value] -= 1
            if left[value] == 0:
                done += live.bytes[value]
        total += live.bytes[node]
        over = min(done, live.bytes[node]) if isinstance(node.op, FusedAhead) else 0  # lies where what it reads lay
        peak = max(peak, total - over)
        total -= done
    return peak


def _waiting(steps: Sequence[Node], reads: Mapping[Node, Sequence[Node]]) -> list[Node]:
    """`steps` with what reads no computed value, such as random numbers, right before the first that reads it."""
    read = {value for node in steps for value in reads[node]}
    waiting = {node for node in steps if node in read and not reads[node]}
    order: list[Node] = []
    for node in steps:
        if node not in waiting:
            wanted = [value for value in reads[node] if value in waiting]
            waiting.difference_update(wanted)
            order += [*wanted, node]
    return order


def _ahead(steps: Sequence[Node], reads: Mapping[Node, Sequence[Node]]) -> list[Node]:
    """`steps` with those that are to be done ahead right behind all others that read what they read.

    That costs no bytes: each is as large as an array that it is then the last to read, and may lie in its place.
    """
    order = list(steps)
    for step in steps:
        if isinstance(step.op, FusedAhead):
            large = {value for value in reads[step] if value.type.nbytes >= step.type.nbytes}
            place = order.index(step)
            while place and not (order[place - 1] in reads[step] or large.intersection(reads[order[place - 1]])):
                place -= 1
            order.remove(step)
            order.insert(place, step)
    return order


def _greedy(steps: Sequence[Node], after: Mapping[Node, Sequence[Node]], live: _Live) -> list[Node]:
    """Always the ready step that adds the fewest live bytes; among equals the one that stands first in `steps`.

    `after` names the steps that must come before each. Values that other steps than these read stay live.
    """
    followers: dict[Node, list[Node]] = {node: [] for node in steps}
    for node in steps:
        for before in dict.fromkeys(after[node]):
            followers[before].append(node)
    missing = {node: len(set(after[node])) for node in steps}
    ready = _Ready(steps, live)
    ready.push(node for node in steps if missing[node] == 0)
    order: list[Node] = []
    while (step := ready.pop()) is not None:
        order.append(step)
        for follower in followers[step]:
            missing[follower] -= 1
        ready.push(node for node in (*followers[step], *ready.cheaper_after(step)) if missing[node] == 0)
    return order


class _Ready:
    """The steps that may come next, cheapest first. A step is pushed again when it becomes cheaper, never dearer."""

    def __init__(self, steps: Sequence[Node], live: _Live) -> None:
        self._steps, self._live = steps, live
        self._rank = {node: index for index, node in enumerate(steps)}
        self._left = live.readers_left(live.reads)
        self._readers: dict[Node, list[Node]] = {}
        for node in steps:
            for value in live.reads[node]:
                self._readers.setdefault(value, []).append(node)
        self._heap: list[tuple[int, int]] = []
        self._done: set[Node] = set()

    def _cost(self, node: Node) -> int:
        """Live bytes that the step adds, less those it is the last to read."""
        size = self._live.bytes
        return size[node] - sum(size[value] for value in self._live.reads[node] if self._left[value] == 1)

    def push(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node not in self._done:
                heapq.heappush(self._heap, (self._cost(node), self._rank[node]))

    def pop(self) -> Node | None:
        while self._heap:
            node = self._steps[heapq.heappop(self._heap)[1]]
            if node not in self._done:  # its cheapest entry came first; the others are out of date
                self._done.add(node)
                return node
        return None

    def cheaper_after(self, step: Node) -> list[Node]:
        """Note that `step` has read its values; the steps that are now the last to read one of them."""
        found = []
        for value in self._live.reads[step]:
            self._left[value] -= 1
            if self._left[value] == 1:
                found.extend(self._readers[value])
        return found
