"""Rules that merge what only moves or relabels data: reshapes, transposes, broadcasts, casts, copies."""

from __future__ import annotations

import numpy as np

from graphnet.graph.node import Node
from graphnet.ops.gradient_control import CustomGradient, StopGradient
from graphnet.ops.layout import Transpose, transpose
from graphnet.ops.shaping import BroadcastTo, Cast, Contiguous, Reshape, broadcast_to, cast, reshape
from graphnet.rewrite.driver import Any, Apply, Rule, rule

x = Any("x")


@rule(Apply(Reshape, Apply(Reshape, x), name="outer"))
def reshape_of_reshape(x: Node, outer: Node) -> Node:
    """reshape(reshape(x, s), t)  -->  reshape(x, t)"""
    return reshape(x, outer.shape)


@rule(Apply(Reshape, x, name="outer"))
def reshape_to_itself(x: Node, outer: Node) -> Node | None:
    """reshape(x, shape of x)  -->  x"""
    return x if x.shape == outer.shape else None


@rule(Apply(Transpose, Apply(Transpose, x, name="inner"), name="outer"))
def transpose_of_transpose(x: Node, inner: Node, outer: Node) -> Node:
    """transpose(transpose(x, p), q)  -->  transpose(x, p[q])"""
    first, second = inner.op.attributes["axes"], outer.op.attributes["axes"]
    return transpose(x, [first[axis] for axis in second])


@rule(Apply(Transpose, x, name="outer"))
def transpose_to_itself(x: Node, outer: Node) -> Node | None:
    """transpose(x, (0, 1, ...))  -->  x"""
    return x if outer.op.attributes["axes"] == tuple(range(x.ndim)) else None


@rule(Apply(Transpose, x, name="outer"))
def transpose_that_moves_nothing(x: Node, outer: Node) -> Node | None:
    """transpose(x, p)  -->  reshape(x)    where p only moves axes of size 1"""
    moved = [axis for axis in outer.op.attributes["axes"] if x.shape[axis] != 1]
    return reshape(x, outer.shape) if moved == sorted(moved) else None


@rule(Apply(BroadcastTo, Apply(BroadcastTo, x), name="outer"))
def broadcast_of_broadcast(x: Node, outer: Node) -> Node:
    """broadcast(broadcast(x, s), t)  -->  broadcast(x, t)"""
    return broadcast_to(x, outer.shape)


@rule(Apply(BroadcastTo, x, name="outer"))
def broadcast_to_itself(x: Node, outer: Node) -> Node | None:
    """broadcast(x, shape of x)  -->  x"""
    return x if x.shape == outer.shape else None


@rule(Apply(Contiguous, Apply(Contiguous, x, name="inner")))
def copy_of_copy(x: Node, inner: Node) -> Node:
    """contiguous(contiguous(x))  -->  contiguous(x)"""
    return inner


@rule(Apply(Cast, x, name="outer"))
def cast_to_itself(x: Node, outer: Node) -> Node | None:
    """cast(x, dtype of x)  -->  x"""
    return x if x.dtype == outer.dtype else None


@rule(Apply(Cast, Apply(Cast, x, name="inner"), name="outer"))
def cast_of_widening_cast(x: Node, inner: Node, outer: Node) -> Node | None:
    """cast(cast(x, wider), t)  -->  cast(x, t)    where every value of x's dtype is exact in `wider`"""
    exact = np.can_cast(x.dtype, inner.dtype, casting="safe")
    rounds = x.type.is_integer and x.dtype.itemsize == 8 and inner.type.is_float  # NumPy calls int64 -> float64 safe
    return cast(x, outer.dtype) if exact and not rounds else None


@rule(Apply((StopGradient, CustomGradient), name="node"))
def gradients_are_built(node: Node) -> Node:
    """stop_gradient(x), custom_gradient(x, ...)  -->  x    they matter to differentiation only"""
    return node.inputs[0]


MERGING: list[Rule] = [
    gradients_are_built,
    reshape_of_reshape,
    reshape_to_itself,
    transpose_of_transpose,
    transpose_to_itself,
    transpose_that_moves_nothing,
    broadcast_of_broadcast,
    broadcast_to_itself,
    copy_of_copy,
    cast_to_itself,
    cast_of_widening_cast,
]
