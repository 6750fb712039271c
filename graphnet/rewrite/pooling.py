"""Rules that let pooling go before relu, on a quarter of the elements and less.

They are exact but for the sign of a zero and for windows that hold a NaN. Both are needed together: the gradient was
built for the order in which the layers were declared.
"""

from __future__ import annotations

from graphnet.graph.node import Node
from graphnet.ops.activations import Relu, ReluGradient
from graphnet.ops.pooling import MaxPool2d, MaxPool2dGradient
from graphnet.rewrite.driver import Any, Apply, Rule, rule

x, y, dy = Any("x"), Any("y"), Any("dy")
_relu_of_pooled = Apply(Relu, Apply(MaxPool2d, x, name="m"), name="p")
_masked = Apply(ReluGradient, Any("p"), dy, name="g")


@rule(Apply(MaxPool2d, Apply(Relu, x), name="pool"))
def pool_before_relu(x: Node, pool: Node) -> Node:
    """max_pool(relu(x))  -->  relu(max_pool(x))"""
    return Relu()(pool.op(x))


@rule(Apply(ReluGradient, y, Apply(MaxPool2dGradient, y, Any("p"), dy, name="spread")))
def relu_gradient_before_spreading(y: Node, p: Node, dy: Node, spread: Node) -> Node:
    """relu_gradient(y, max_pool_gradient(y, p, dy))  -->  max_pool_gradient(y, p, relu_gradient(p, dy))

    What a window gives away it gives to an element that equals its maximum p, so the relu was open at both or neither.
    """
    return spread.op(y, p, ReluGradient()(p, dy))


@rule(Apply(MaxPool2dGradient, Apply(Relu, x), _relu_of_pooled, _masked, name="spread"))
def spread_past_relu(x: Node, m: Node, p: Node, dy: Node, g: Node, spread: Node) -> Node:
    """max_pool_gradient(relu(x), relu(m), relu_gradient(relu(m), dy))  -->  max_pool_gradient(x, m, ...)
    where m = max_pool(x)

    Where m is positive the first maximum is the same one; elsewhere there is nothing to give away.
    """
    return spread.op(x, m, g)


POOLING: list[Rule] = [pool_before_relu, relu_gradient_before_spreading, spread_past_relu]
