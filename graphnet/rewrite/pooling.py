"""Rules that let pooling go before relu, on a quarter of the elements and less.

They are exact but for the sign of a zero and for windows that hold a NaN. Both are needed together: the gradient was
built for the order in which the layers were declared.
"""

from __future__ import annotations

from graphnet.graph.node import Node
from graphnet.graph.provenance import deriving
from graphnet.ops.activations import Relu, ReluGradient
from graphnet.ops.pooling import MaxPool2d, MaxPool2dGradient, MaxPool2dPlaces
from graphnet.rewrite.driver import Any, Apply, Rule, rule

x, y, p, dy = Any("x"), Any("y"), Any("p"), Any("dy")
_relu_of_pooled = Apply(Relu, Apply(MaxPool2d, x, name="m"), name="p")
_places_of_relu = Apply(MaxPool2dPlaces, Apply(Relu, x), _relu_of_pooled, name="places")
_masked = Apply(ReluGradient, p, dy, name="masked")


@rule(Apply(MaxPool2d, Apply(Relu, x, name="y"), name="pool"))
def pool_before_relu(x: Node, y: Node, pool: Node) -> Node:
    """max_pool(relu(x))  -->  relu(max_pool(x))"""
    pooled = pool.op(x)
    with deriving(y, rule="pool_before_relu"):  # it stays the relu's line and layer
        return Relu()(pooled)


@rule(Apply(ReluGradient, y, Apply(MaxPool2dGradient, Apply(MaxPool2dPlaces, y, p, name="places"), dy, name="spread")))
def relu_gradient_before_spreading(y: Node, p: Node, dy: Node, places: Node, spread: Node) -> Node:
    """relu_gradient(y, max_pool_gradient(places(y, p), dy))  -->  max_pool_gradient(places(y, p), relu_gradient(p, dy))

    What a window gives away it gives to an element that equals its maximum p, so the relu was open at both or neither.
    """
    masked = ReluGradient()(p, dy)
    with deriving(spread, rule="relu_gradient_before_spreading"):
        return spread.op(places, masked)


@rule(Apply(MaxPool2dGradient, _places_of_relu, _masked, name="spread"))
def spread_past_relu(x: Node, m: Node, p: Node, dy: Node, masked: Node, places: Node, spread: Node) -> Node:
    """max_pool_gradient(places(relu(x), relu(m)), g)  -->  max_pool_gradient(places(x, m), g)
    where m = max_pool(x) and g = relu_gradient(relu(m), dy)

    Where m is positive the first maximum is the same one; elsewhere there is nothing to give away.
    """
    with deriving(places, rule="spread_past_relu"):
        sooner = places.op(x, m)
    return spread.op(sooner, masked)


POOLING: list[Rule] = [pool_before_relu, relu_gradient_before_spreading, spread_past_relu]
