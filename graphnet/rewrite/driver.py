"""The rule driver: what a rule is, how its pattern matches, and how rules are applied until nothing changes.

A rule is a named function whose docstring is its equation. Its pattern does the probing: the function receives what
the pattern named and returns the replacement, or None where it does not apply after all. The driver checks that the
type is unchanged, carries provenance over, and keeps a log.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from graphnet.errors import RewriteError
from graphnet.graph.graph import Graph, reapply
from graphnet.graph.node import Node, Op
from graphnet.graph.provenance import deriving
from graphnet.ops.sources import Constant, Input

Bindings: TypeAlias = "dict[str, Node]"

_MOST_ROUNDS = 100  # a set of rules that needs more feeds itself


# -- patterns ----------------------------------------------------------------------------------------------------------


class Pattern:
    """What a node must look like. `match` gives every way it does, as names to nodes."""

    def match(self, node: Node, bound: Bindings) -> Iterator[Bindings]:
        """The bindings under which `node` fits, each an extension of `bound`."""
        raise TypeError(f"{type(self).__name__} does not say what it matches")


@dataclass(frozen=True)
class Any(Pattern):
    """Any node, called `name`; the same name twice means the same node."""

    name: str

    def match(self, node: Node, bound: Bindings) -> Iterator[Bindings]:
        known = bound.get(self.name)
        if known is None:
            yield {**bound, self.name: node}
        elif known is node:
            yield bound


@dataclass(frozen=True)
class Number(Pattern):
    """A constant all of whose elements are `value` (to the bit: 0.0 is not -0.0), or any one number if None."""

    value: float | None = None
    name: str = ""

    def match(self, node: Node, bound: Bindings) -> Iterator[Bindings]:
        number = number_of(node)
        if number is None:
            return
        if self.value is not None and (number != self.value or np.signbit(number) != np.signbit(self.value)):
            return
        yield from Any(self.name).match(node, bound) if self.name else (bound,)


class Apply(Pattern):
    """A node whose op is one of `ops` and whose inputs fit, in order or, for two inputs, in either order."""

    def __init__(
        self, ops: type[Op] | tuple[type[Op], ...], *inputs: Pattern, name: str = "", either_order: bool = False
    ) -> None:
        self.ops = ops if isinstance(ops, tuple) else (ops,)
        self.inputs = inputs
        self.name = name
        self.either_order = either_order

    def match(self, node: Node, bound: Bindings) -> Iterator[Bindings]:
        if not isinstance(node.op, self.ops) or (self.inputs and len(node.inputs) != len(self.inputs)):
            return
        if self.name:
            if bound.get(self.name, node) is not node:
                return
            bound = {**bound, self.name: node}
        yield from _match_all(self.inputs, node.inputs, bound)
        if self.either_order and node.inputs[0] is not node.inputs[1]:
            yield from _match_all(self.inputs, node.inputs[::-1], bound)


def _match_all(patterns: Sequence[Pattern], nodes: Sequence[Node], bound: Bindings) -> Iterator[Bindings]:
    if not patterns:
        yield bound
        return
    for first in patterns[0].match(nodes[0], bound):
        yield from _match_all(patterns[1:], nodes[1:], first)


def number_of(node: Node) -> float | None:
    """The one number that a constant holds throughout; None for anything else. Looks through broadcasts."""
    while node.op.is_view and node.inputs:
        node = node.inputs[0]
    if not isinstance(node.op, Constant) or node.op.value.size == 0:
        return None
    flat = node.op.value.reshape(-1)
    first = flat[0].item()
    if flat.size > 1 and not (np.all(flat == first) and np.all(np.signbit(flat) == np.signbit(flat[0]))):
        return None
    return first


# -- rules -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A named rewrite: where `pattern` matches, `rewrite` says what stands there instead."""

    name: str
    equation: str
    pattern: Apply
    rewrite: Callable[..., Node | None]
    wants_context: bool

    def apply(self, node: Node, context: Context) -> Node | None:
        """The replacement for `node`, or None where the rule does not apply."""
        for bound in self.pattern.match(node, {}):
            extra = {"context": context} if self.wants_context else {}
            with deriving(node, rule=self.name):
                found = self.rewrite(**bound, **extra)
            if found is not None and found is not node:
                return found
        return None


def rule(pattern: Apply) -> Callable[[Callable[..., Node | None]], Rule]:
    """Make a function a rule: its name is the rule's, its docstring the equation, its parameters the pattern's names.

    A function with a parameter `context` is also told how the graph uses a node.
    """

    def make(rewrite: Callable[..., Node | None]) -> Rule:
        wants_context = "context" in inspect.signature(rewrite).parameters
        return Rule(rewrite.__name__, inspect.getdoc(rewrite) or "", pattern, rewrite, wants_context)

    return make


@dataclass(frozen=True)
class Context:
    """What a rule may know beyond its own pattern: how the round's graph uses a node."""

    graph: Graph
    replaces: dict[Node, list[Node]] = field(default_factory=dict)  # a new node: those it stands for
    fixed: dict[Node, bool] = field(default_factory=dict)
    answers: dict[Callable[[Graph], bool], bool] = field(default_factory=dict)

    def of_graph(self, question: Callable[[Graph], bool]) -> bool:
        """What `question` says of the round's graph, of which it is asked once, however many nodes depend on it."""
        if question not in self.answers:
            self.answers[question] = question(self.graph)
        return self.answers[question]

    def stands_for(self, made: Node, node: Node) -> None:
        """Remember that whoever reads `node` in the graph will read `made`."""
        if made is not node:
            self.replaces.setdefault(made, [made] if made in self.graph.users else []).append(node)

    def users(self, node: Node) -> list[Node]:
        """The nodes that read `node`, or what it now stands for, in the graph as the round began."""
        readers = [reader for known in self._known(node) for reader in self.graph.users[known]]
        return list(dict.fromkeys(readers))

    def is_read_once(self, node: Node) -> bool:
        """Whether one node reads `node`, and nobody else: it is no result."""
        return len(self.users(node)) == 1 and not any(known in self.graph.roots for known in self._known(node))

    def _known(self, node: Node) -> list[Node]:
        return self.replaces.get(node, [node] if node in self.graph.users else [])

    def is_fixed(self, node: Node) -> bool:
        """Whether only parameters and constants decide the value, so that it is the same for every element fed."""
        stack = [node]
        while stack:
            top = stack[-1]
            unknown = [value for value in top.inputs if value not in self.fixed]
            if top in self.fixed or not unknown:
                self.fixed[top] = not isinstance(top.op, Input) and all(self.fixed[value] for value in top.inputs)
                stack.pop()
            else:
                stack.extend(unknown)
        return self.fixed[node]


# -- log ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Firing:
    """One rule, once: what stood there and what stands there now."""

    rule: str
    equation: str
    before: Node
    after: Node

    def __str__(self) -> str:
        place = self.before.provenance
        scope = "/".join(place.scope)
        return (
            f"{self.rule}: {self.before.op.name} {self.before.type} -> {self.after.op.name}"
            f"  ({place.role}{' of ' + scope if scope else ''}, {place.location})"
        )


@dataclass
class Log:
    """What rewriting did to one graph, pass by pass."""

    firings: list[Firing] = field(default_factory=list)
    passes: list[tuple[str, Graph, Graph]] = field(default_factory=list)

    def removed(self) -> Counter[str]:
        """How many nodes of each op the passes took away (negative: added), in all."""
        total: Counter[str] = Counter()
        for _, before, after in self.passes:
            total.update(Counter(node.op.name for node in before.nodes))
            total.subtract(Counter(node.op.name for node in after.nodes))
        return Counter({name: count for name, count in total.items() if count})

    def __str__(self) -> str:
        lines = []
        for name, before, after in self.passes:
            lines.append(f"{name}: {len(before.nodes)} nodes -> {len(after.nodes)}")
        counts = Counter(firing.rule for firing in self.firings)
        equations = {firing.rule: firing.equation for firing in self.firings}
        for name, count in counts.most_common():
            lines.append(f"{count:5d} x {name}")
            lines.extend(f"          {line}" for line in equations[name].splitlines())
            lines.extend(f"        at {firing}" for firing in self.firings if firing.rule == name)
        gone = ", ".join(f"{count} {name}" for name, count in self.removed().most_common() if count > 0)
        lines.append(f"removed: {gone or 'nothing'}")
        return "\n".join(lines)


# -- the driver --------------------------------------------------------------------------------------------------------


def rewrite(graph: Graph, rules: Sequence[Rule], log: Log | None = None, name: str = "rewrite") -> Graph:
    """`graph` with `rules` applied, inputs before users, until none applies. Raises `RewriteError` for a bad rule."""
    log = Log() if log is None else log
    by_op = _RulesByOp(rules)
    before = graph
    settled: set[Node] = set()
    for _ in range(_MOST_ROUNDS):
        after = _one_round(graph, by_op, log, settled)
        if after.roots == graph.roots:
            log.passes.append((name, before, after))
            return after
        graph = after
    recent = sorted({firing.rule for firing in log.firings[-50:]})
    raise RewriteError(f"{name} does not come to rest after {_MOST_ROUNDS} rounds; still firing: {', '.join(recent)}")


class _RulesByOp:
    """The rules that can match an op, in their order, found once an op class."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._known: dict[type[Op], list[Rule]] = {}

    def __getitem__(self, op: type[Op]) -> list[Rule]:
        if op not in self._known:
            self._known[op] = [rule for rule in self._rules if issubclass(op, rule.pattern.ops)]
        return self._known[op]


def _one_round(graph: Graph, by_op: _RulesByOp, log: Log, settled: set[Node]) -> Graph:
    """settled: nodes at which no rule applies that looks at the node alone; they need not be tried again."""
    replaced: dict[Node, Node] = {}
    context = Context(graph)
    for node in graph.nodes:
        current = node
        if any(replaced[value] is not value for value in node.inputs):
            with deriving(node):
                current = reapply(node, [replaced[value] for value in node.inputs])
            context.stands_for(current, node)
        replaced[node] = _apply_rules(current, by_op, context, log, settled)
        if replaced[node] is not current:
            context.stands_for(replaced[node], node)
    return graph.substitute(replaced)


def _apply_rules(node: Node, by_op: _RulesByOp, context: Context, log: Log, settled: set[Node]) -> Node:
    """The first rule that applies; what it made is looked at again in the next round, when its inputs have been."""
    is_settled = node in settled
    for candidate in by_op[type(node.op)]:
        if is_settled and not candidate.wants_context:
            continue
        found = candidate.apply(node, context)
        if found is None:
            continue
        if found.type != node.type:
            raise RewriteError(f"rule {candidate.name} turned {node!r} into {found!r}: the type must not change")
        log.firings.append(Firing(candidate.name, candidate.equation, node, found))
        return found
    settled.add(node)
    return node
