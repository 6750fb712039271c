"""Rules that keep formulas from overflowing or cancelling where a user wrote them down as textbooks do.

A gradient is built before rewriting sees the graph, so each rule that changes a formula has a partner that knows what
the gradient of the formula looks like. Where a softmax, sigmoid or exponential is used several times, its gradient is
that of the sum of what comes from each use; then the sum is taken apart first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from graphnet.graph.node import Node
from graphnet.ops.activations import Sigmoid, log_sigmoid, sigmoid
from graphnet.ops.elementwise import Add, Divide, Multiply, Subtract, add
from graphnet.ops.indexing import Gather, ScatterAdd
from graphnet.ops.reductions import LogSoftmax, LogSumExp, Softmax
from graphnet.ops.shaping import BroadcastTo, Reshape, Sum, broadcast_to, restore_axes
from graphnet.ops.shaping import sum as sum_of
from graphnet.ops.unary import Exp, Expm1, Log, Log1p, Negative, exp
from graphnet.rewrite.driver import Any, Apply, Bindings, Number, Pattern, Rule, rule

x, g, s, i = Any("x"), Any("g"), Any("s"), Any("i")


_MOST_TERMS = 64  # a sum that adds itself to itself has no end of them


def _terms(total: Node) -> list[Node]:
    """What was added up to `total`: -(a + b) + c gives -a, -b and c."""
    terms: list[Node] = []
    stack = [(total, False)]
    while stack:
        node, negated = stack.pop()
        if isinstance(node.op, Negative):
            stack.append((node.inputs[0], not negated))
        elif isinstance(node.op, Add) and len(terms) + len(stack) < _MOST_TERMS:
            stack.extend((value, negated) for value in reversed(node.inputs))
        else:
            terms.append(-node if negated else node)
    return terms


def _taken_apart(parts: Sequence[Node], rules: Sequence[Rule]) -> Node | None:
    """The sum of `parts`, where one of `rules` then changes one of them."""
    known = any(next(rule.pattern.match(part, {}), None) is not None for rule in rules for part in parts)
    return reduce(add, parts) if known else None


# -- softmax -----------------------------------------------------------------------------------------------------------


@rule(Apply(Log, Apply(Softmax, x, name="s")))
def log_of_softmax(x: Node, s: Node) -> Node:
    """log(softmax(x))  -->  log_softmax(x)"""
    return LogSoftmax(s.op.attributes["axis"])(x)


@rule(Apply(Log, Apply(Gather, Apply(Softmax, x, name="s"), i, name="picked")))
def log_of_gathered_softmax(x: Node, s: Node, i: Node, picked: Node) -> Node:
    """log(gather(softmax(x), i))  -->  gather(log_softmax(x), i)"""
    return picked.op(LogSoftmax(s.op.attributes["axis"])(x), i)


def _through_softmax(d: Apply) -> Apply:
    """s * (d - sum(d * s)): the gradient of softmax, where d is that by its result s."""
    weighed = Apply(Sum, Apply(Multiply, Any("d"), s, either_order=True), name="total")
    return Apply(Multiply, Apply(Subtract, d, weighed), Apply(Softmax, x, name="s"), either_order=True)


def _sums_along(total: Node, s: Node) -> bool:
    """Whether `total` is summed along the axis of the softmax s, which is kept."""
    return total.op == Sum((s.op.attributes["axis"] % s.ndim,), True)


@rule(_through_softmax(Apply(Divide, g, s, name="d")))
def gradient_of_log_softmax(x: Node, g: Node, s: Node, d: Node, total: Node) -> Node | None:
    """s * (g/s - sum(g/s * s))  -->  g - s * sum(g)    where s = softmax(x), which may be 0"""
    if not _sums_along(total, s) or g.shape != s.shape:
        return None
    return g - s * sum_of(g, s.op.attributes["axis"], keepdims=True)


@rule(_through_softmax(Apply(ScatterAdd, Apply(Divide, g, Apply(Gather, s, i, name="picked")), i, name="d")))
def gradient_of_log_of_gathered_softmax(
    x: Node, g: Node, s: Node, i: Node, d: Node, picked: Node, total: Node
) -> Node | None:
    """s * (d - sum(d * s))  -->  d' - s * sum(d')    where d = scatter(g / gather(s, i), i), d' = scatter(g, i)"""
    goes_back = picked.op == Gather(d.op.attributes["axis"], d.op.attributes["negative"])
    if not goes_back or d.shape != s.shape or not _sums_along(total, s):
        return None
    spread = d.op(broadcast_to(g, picked.shape), i)
    return spread - s * sum_of(spread, s.op.attributes["axis"], keepdims=True)


@rule(_through_softmax(Apply(Add, name="d")))
def gradient_of_softmax_used_often(x: Node, s: Node, d: Node, total: Node) -> Node | None:
    """s * (d - sum(d * s))  -->  s * (a - sum(a * s)) + s * (b - sum(b * s))    where d = a + b, and a or b is g / s"""
    terms = _terms(d)
    if not _sums_along(total, s) or any(term.shape != s.shape for term in terms):
        return None
    parts = [s * (term - total.op(term * s)) for term in terms]
    return _taken_apart(parts, [gradient_of_log_softmax, gradient_of_log_of_gathered_softmax])


# -- sigmoid -----------------------------------------------------------------------------------------------------------


@rule(Apply(Log, Apply(Sigmoid, x)))
def log_of_sigmoid(x: Node) -> Node:
    """log(sigmoid(x))  -->  log_sigmoid(x)"""
    return log_sigmoid(x)


@rule(Apply(Log, Apply(Subtract, Number(1), Apply(Sigmoid, x), name="node")))
def log_of_one_minus_sigmoid(x: Node, node: Node) -> Node:
    """log(1 - sigmoid(x))  -->  log_sigmoid(-x)"""
    return broadcast_to(log_sigmoid(-x), node.shape)


_sigmoid = Apply(Sigmoid, x, name="s")
_slope = Apply(Multiply, s, Apply(Subtract, Number(1), s, name="q"), name="slope", either_order=True)


@rule(Apply(Multiply, Apply(Divide, g, _sigmoid), _slope, name="node", either_order=True))
def gradient_of_log_sigmoid(x: Node, g: Node, s: Node, q: Node, slope: Node, node: Node) -> Node:
    """g/s * s * (1 - s)  -->  g * sigmoid(-x)    where s = sigmoid(x), which may be 0"""
    return broadcast_to(g * sigmoid(-x), node.shape)


_over_q = Apply(Negative, Apply(Divide, g, Apply(Subtract, Number(1), _sigmoid, name="q")))


@rule(Apply(Multiply, _over_q, _slope, name="node", either_order=True))
def gradient_of_log_one_minus_sigmoid(x: Node, g: Node, s: Node, q: Node, slope: Node, node: Node) -> Node:
    """-(g/(1 - s)) * s * (1 - s)  -->  -(g * s)    where s = sigmoid(x), which may be 1"""
    return broadcast_to(-(g * s), node.shape)


_whole_slope = Apply(Multiply, _sigmoid, Any("q"), name="slope")


@rule(Apply(Multiply, Apply((Add, Negative), name="d"), _whole_slope, either_order=True))
def gradient_of_sigmoid_used_often(x: Node, s: Node, q: Node, d: Node, slope: Node) -> Node | None:
    """(a + b) * s * (1 - s)  -->  a * s * (1 - s) + b * s * (1 - s)    where a or b is g / s or -g / (1 - s)"""
    parts = [term * slope for term in _terms(d)]
    return _taken_apart(parts, [gradient_of_log_sigmoid, gradient_of_log_one_minus_sigmoid])


# -- log1p and expm1 ---------------------------------------------------------------------------------------------------


@rule(Apply(Log, Apply(Add, Number(1), x, name="node", either_order=True)))
def log_of_one_plus(x: Node, node: Node) -> Node:
    """log(1 + x)  -->  log1p(x)"""
    return broadcast_to(Log1p()(x), node.shape)


@rule(Apply(Log, Apply(Subtract, Number(1), x, name="node")))
def log_of_one_minus(x: Node, node: Node) -> Node:
    """log(1 - x)  -->  log1p(-x)"""
    return broadcast_to(Log1p()(-x), node.shape)


@rule(Apply(Subtract, Apply(Exp, x), Number(1), name="node"))
def exp_minus_one(x: Node, node: Node) -> Node:
    """exp(x) - 1  -->  expm1(x)"""
    return broadcast_to(Expm1()(x), node.shape)


@rule(Apply(Add, Apply(Exp, x), Number(-1), name="node", either_order=True))
def minus_one_plus_exp(x: Node, node: Node) -> Node:
    """-1 + exp(x)  -->  expm1(x)"""
    return broadcast_to(Expm1()(x), node.shape)


@rule(Apply(Subtract, Number(1), Apply(Exp, x), name="node"))
def one_minus_exp(x: Node, node: Node) -> Node:
    """1 - exp(x)  -->  -expm1(x)"""
    return broadcast_to(-Expm1()(x), node.shape)


# -- softplus and logsumexp --------------------------------------------------------------------------------------------


@rule(Apply(Log1p, Apply(Exp, x)))
def log1p_of_exp(x: Node) -> Node:
    """log1p(exp(x))  -->  -log_sigmoid(-x)    (softplus; exp(x) may overflow)"""
    return -log_sigmoid(-x)


_exponential = Apply(Exp, x, name="e")
_one_plus = Apply(Add, Number(1), _exponential, either_order=True)


@rule(Apply(Multiply, Apply(Divide, g, _one_plus), Any("e"), name="node", either_order=True))
def gradient_of_softplus(x: Node, g: Node, e: Node, node: Node) -> Node:
    """g / (1 + exp(x)) * exp(x)  -->  g * sigmoid(x)"""
    return broadcast_to(g * sigmoid(x), node.shape)


@rule(Apply(Log, Apply(Sum, Apply(Exp, x), name="total")))
def log_of_sum_of_exp(x: Node, total: Node) -> Node:
    """log(sum(exp(x)))  -->  logsumexp(x)"""
    return LogSumExp(total.op.attributes["axes"], total.op.attributes["keepdims"])(x)


@dataclass(frozen=True)
class Spread(Pattern):
    """What `inner` fits, perhaps reshaped, perhaps broadcast: how the gradient of a sum reaches the terms."""

    inner: Pattern
    name: str

    def match(self, node: Node, bound: Bindings) -> Iterator[Bindings]:
        bound = {**bound, self.name: node}
        for op in (BroadcastTo, Reshape):
            if isinstance(node.op, op):
                (node,) = node.inputs
        yield from self.inner.match(node, bound)


_share = Apply(Divide, g, Apply(Sum, _exponential, name="total"), name="share")


@rule(Apply(Multiply, Spread(_share, "spread"), Any("e"), either_order=True))
def gradient_of_logsumexp(x: Node, g: Node, e: Node, total: Node, share: Node, spread: Node) -> Node | None:
    """spread(g / sum(e)) * e  -->  spread(g) * exp(x - logsumexp(x))    where e = exp(x), which may overflow"""
    axes, keepdims = total.op.attributes["axes"], total.op.attributes["keepdims"]
    if share.shape != total.shape or broadcast_to(restore_axes(share, axes, keepdims), e.shape) is not spread:
        return None
    whole = restore_axes(broadcast_to(g, total.shape), axes, keepdims)
    return broadcast_to(whole, e.shape) * exp(x - LogSumExp(axes, True)(x))


@rule(Apply(Multiply, Apply(Add, name="d"), _exponential, either_order=True))
def gradient_of_exp_used_often(x: Node, e: Node, d: Node) -> Node | None:
    """(a + b) * exp(x)  -->  a * exp(x) + b * exp(x)    where a or b is g / (1 + exp(x)) or spread(g / sum(exp(x)))"""
    return _taken_apart([term * e for term in _terms(d)], [gradient_of_softplus, gradient_of_logsumexp])


STABILIZE: list[Rule] = [
    log_of_softmax,
    log_of_gathered_softmax,
    gradient_of_log_softmax,
    gradient_of_log_of_gathered_softmax,
    gradient_of_softmax_used_often,
    log_of_sigmoid,
    log_of_one_minus_sigmoid,
    gradient_of_log_sigmoid,
    gradient_of_log_one_minus_sigmoid,
    gradient_of_sigmoid_used_often,
    log_of_one_plus,
    log_of_one_minus,
    exp_minus_one,
    minus_one_plus_exp,
    one_minus_exp,
    log1p_of_exp,
    gradient_of_softplus,
    log_of_sum_of_exp,
    gradient_of_logsumexp,
    gradient_of_exp_used_often,
]
