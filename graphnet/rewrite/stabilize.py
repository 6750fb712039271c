"""Rules that keep formulas from overflowing or cancelling where a user wrote them down as textbooks do.

A gradient is built before rewriting sees the graph, so each rule that changes a formula has a partner that knows what
the gradient of the formula looks like.
"""

from __future__ import annotations

from graphnet.graph.node import Node
from graphnet.ops.activations import Sigmoid, log_sigmoid, sigmoid
from graphnet.ops.elementwise import Add, Divide, Multiply, Subtract
from graphnet.ops.reductions import LogSoftmax, LogSumExp, Softmax
from graphnet.ops.shaping import BroadcastTo, Reshape, Sum, broadcast_to
from graphnet.ops.shaping import sum as sum_of
from graphnet.ops.unary import Exp, Expm1, Log, Log1p, Negative, exp
from graphnet.rewrite.driver import Any, Apply, Number, Rule, rule

x, g = Any("x"), Any("g")
s = Any("s")


@rule(Apply(Log, Apply(Softmax, x, name="s")))
def log_of_softmax(x: Node, s: Node) -> Node:
    """log(softmax(x))  -->  log_softmax(x)"""
    return LogSoftmax(s.op.attributes["axis"])(x)


_over_s = Apply(Divide, g, Apply(Softmax, x, name="s"), name="d")
_weighed = Apply(Sum, Apply(Multiply, Any("d"), s, either_order=True), name="total")


@rule(Apply(Multiply, Apply(Subtract, _over_s, _weighed), s, either_order=True))
def gradient_of_log_softmax(x: Node, g: Node, s: Node, d: Node, total: Node) -> Node | None:
    """s * (g/s - sum(g/s * s))  -->  g - s * sum(g)    where s = softmax(x), which may be 0"""
    axis = s.op.attributes["axis"]
    if total.op.attributes["axes"] != (axis % s.ndim,) or g.shape != s.shape:
        return None
    return g - s * sum_of(g, axis, keepdims=True)


@rule(Apply(Log, Apply(Sigmoid, x)))
def log_of_sigmoid(x: Node) -> Node:
    """log(sigmoid(x))  -->  log_sigmoid(x)"""
    return log_sigmoid(x)


_sigmoid = Apply(Sigmoid, x, name="s")
_slope = Apply(Multiply, s, Apply(Subtract, Number(1), s, name="q"), either_order=True)


@rule(Apply(Multiply, Apply(Divide, g, _sigmoid), _slope, either_order=True))
def gradient_of_log_sigmoid(x: Node, g: Node, s: Node, q: Node) -> Node:
    """g/s * s * (1 - s)  -->  g * sigmoid(-x)    where s = sigmoid(x), which may be 0"""
    return g * sigmoid(-x)


@rule(Apply(Log, Apply(Subtract, Number(1), Apply(Sigmoid, x))))
def log_of_one_minus_sigmoid(x: Node) -> Node:
    """log(1 - sigmoid(x))  -->  log_sigmoid(-x)"""
    return log_sigmoid(-x)


_over_q = Apply(Negative, Apply(Divide, g, Apply(Subtract, Number(1), _sigmoid, name="q")))


@rule(Apply(Multiply, _over_q, _slope, either_order=True))
def gradient_of_log_one_minus_sigmoid(x: Node, g: Node, s: Node, q: Node) -> Node:
    """-(g/(1 - s)) * s * (1 - s)  -->  -(g * s)    where s = sigmoid(x), which may be 1"""
    return -(g * s)


@rule(Apply(Log, Apply(Add, Number(1), x, name="node", either_order=True)))
def log_of_one_plus(x: Node, node: Node) -> Node:
    """log(1 + x)  -->  log1p(x)"""
    return broadcast_to(Log1p()(x), node.shape)


@rule(Apply(Log, Apply(Subtract, Number(1), x, name="node")))
def log_of_one_minus(x: Node, node: Node) -> Node:
    """log(1 - x)  -->  log1p(-x)"""
    return broadcast_to(Log1p()(-x), node.shape)


@rule(Apply(Log1p, Apply(Exp, x)))
def log1p_of_exp(x: Node) -> Node:
    """log1p(exp(x))  -->  -log_sigmoid(-x)    (softplus; exp(x) may overflow)"""
    return -log_sigmoid(-x)


_exponential = Apply(Exp, x, name="e")


@rule(
    Apply(
        Multiply, Apply(Divide, g, Apply(Add, Number(1), _exponential, either_order=True)), Any("e"), either_order=True
    )
)
def gradient_of_softplus(x: Node, g: Node, e: Node) -> Node:
    """g / (1 + exp(x)) * exp(x)  -->  g * sigmoid(x)"""
    return g * sigmoid(x)


@rule(Apply(Subtract, Apply(Exp, x), Number(1), name="node"))
def exp_minus_one(x: Node, node: Node) -> Node:
    """exp(x) - 1  -->  expm1(x)"""
    return broadcast_to(Expm1()(x), node.shape)


@rule(Apply(Subtract, Number(1), Apply(Exp, x), name="node"))
def one_minus_exp(x: Node, node: Node) -> Node:
    """1 - exp(x)  -->  -expm1(x)"""
    return broadcast_to(-Expm1()(x), node.shape)


@rule(Apply(Log, Apply(Sum, Apply(Exp, x), name="total")))
def log_of_sum_of_exp(x: Node, total: Node) -> Node:
    """log(sum(exp(x)))  -->  logsumexp(x)"""
    return LogSumExp(total.op.attributes["axes"], total.op.attributes["keepdims"])(x)


_share = Apply(Divide, g, Apply(Sum, _exponential, name="total"))


def _gradient_of_logsumexp(x: Node, g: Node, total: Node, node: Node, shape: Node) -> Node:
    axes = total.op.attributes["axes"]
    spread = broadcast_to(g.reshape(shape.shape), node.shape)
    return spread * exp(x - LogSumExp(axes, True)(x))


@rule(Apply(Multiply, Apply(BroadcastTo, _share), Any("e"), name="node", either_order=True))
def gradient_of_logsumexp_keepdims(x: Node, g: Node, e: Node, total: Node, node: Node) -> Node:
    """broadcast(g / sum(e)) * e  -->  broadcast(g) * exp(x - logsumexp(x))    where e = exp(x), which may overflow"""
    return _gradient_of_logsumexp(x, g, total, node, total)


@rule(
    Apply(Multiply, Apply(BroadcastTo, Apply(Reshape, _share, name="r")), Any("e"), name="node", either_order=True)
)
def gradient_of_logsumexp(x: Node, g: Node, e: Node, total: Node, r: Node, node: Node) -> Node:
    """broadcast(reshape(g / sum(e))) * e  -->  broadcast(g) * exp(x - logsumexp(x))    where e = exp(x)"""
    return _gradient_of_logsumexp(x, g, total, node, r)


STABILIZE: list[Rule] = [
    log_of_softmax,
    gradient_of_log_softmax,
    log_of_sigmoid,
    gradient_of_log_sigmoid,
    log_of_one_minus_sigmoid,
    gradient_of_log_one_minus_sigmoid,
    log_of_one_plus,
    log_of_one_minus,
    log1p_of_exp,
    gradient_of_softplus,
    exp_minus_one,
    one_minus_exp,
    log_of_sum_of_exp,
    gradient_of_logsumexp,
    gradient_of_logsumexp_keepdims,
]
