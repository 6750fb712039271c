"""Rules for normalization: shared statistics in training, and nothing left of it in evaluation.

In evaluation a batch normalization is a scale and a shift by what only parameters decide. The scale moves into the
weights of the convolution or linear layer before it, the shift into its bias: work on the weights' few elements, once
a call, instead of on every activation.
"""

from __future__ import annotations

from graphnet.graph.dims import Shape
from graphnet.graph.node import Node
from graphnet.ops.convolution import Conv2d
from graphnet.ops.elementwise import Add, Multiply
from graphnet.ops.linear import Matmul
from graphnet.ops.normalization import Standardize
from graphnet.ops.reductions import Mean, Var, count
from graphnet.ops.shaping import Sum, reshape
from graphnet.ops.sources import size_of
from graphnet.ops.unary import rsqrt, square
from graphnet.rewrite.driver import Any, Apply, Context, Rule, rule

x, w = Any("x"), Any("w")
scale, shift, bias = Any("scale"), Any("shift"), Any("bias")


@rule(Apply(Standardize, x, name="node"))
def standardize_in_parts(x: Node, node: Node) -> Node:
    """standardize(x)  -->  (x - mean(x)) * rsqrt(var(x) + eps)    so that whoever needs mean and var shares them"""
    op = node.op
    assert isinstance(op, Standardize)
    return (x - Mean(op.axes, True)(x)) * rsqrt(Var(op.axes, True, 0)(x) + op.eps)


@rule(Apply(Var, x, name="node"))
def var_in_parts(x: Node, node: Node) -> Node | None:
    """var(x)  -->  sum(square(x - mean(x))) / (n - correction)    so that x - mean(x) is shared"""
    op = node.op
    assert isinstance(op, Var)
    n = count(x.type, op.axes)
    if not isinstance(n, int) or n <= op.correction:
        return None
    centered = x - Mean(op.axes, True)(x)
    return Sum(op.axes, op.keepdims)(square(centered)) / size_of(n - op.correction, x.dtype)


@rule(Apply(Multiply, Apply(Conv2d, x, w, name="conv"), scale, name="node", either_order=True))
def scale_into_convolution(x: Node, w: Node, conv: Node, scale: Node, node: Node, context: Context) -> Node | None:
    """conv2d(x, w) * s  -->  conv2d(x, w * s)    where s is a number a channel that only parameters decide"""
    if not context.is_fixed(scale) or node.shape != conv.shape or len(context.users(conv)) != 1:
        return None
    if not _per_channel(scale.shape, conv, axis=1):
        return None
    return conv.op(x, w * reshape(scale, (-1, *(1 for _ in w.shape[1:]))))


@rule(Apply(Multiply, Apply(Matmul, x, w, name="product"), scale, name="node", either_order=True))
def scale_into_linear(x: Node, w: Node, product: Node, scale: Node, node: Node, context: Context) -> Node | None:
    """(x @ w) * s  -->  x @ (w * s)    where s is a number a column, and only parameters decide w and s"""
    if not context.is_fixed(scale) or not context.is_fixed(w) or w.ndim != 2:
        return None
    if node.shape != product.shape or len(context.users(product)) != 1:
        return None
    if not _per_channel(scale.shape, product, axis=product.ndim - 1):
        return None
    return product.op(x, w * reshape(scale, (-1,)))


@rule(Apply(Multiply, Apply(Add, Apply((Conv2d, Matmul), name="y"), bias, name="sum"), scale, name="node"))
def scale_past_bias(y: Node, bias: Node, sum: Node, scale: Node, node: Node, context: Context) -> Node | None:
    """(y + b) * s  -->  y * s + b * s    where y is a convolution or product, and only parameters decide b and s"""
    if not context.is_fixed(scale) or not context.is_fixed(bias):
        return None
    axis = 1 if isinstance(y.op, Conv2d) else y.ndim - 1
    if node.shape != y.shape or len(context.users(sum)) != 1 or len(context.users(y)) != 1:
        return None
    if not _per_channel(scale.shape, y, axis) or not _per_channel(bias.shape, y, axis):
        return None
    return y * scale + bias * scale


@rule(Apply(Add, Apply(Add, Apply((Conv2d, Matmul), name="y"), bias, name="sum"), shift, name="node"))
def two_biases_into_one(y: Node, bias: Node, sum: Node, shift: Node, node: Node, context: Context) -> Node | None:
    """(y + b) + c  -->  y + (b + c)    where y is a convolution or product, and only parameters decide b and c"""
    if not context.is_fixed(bias) or not context.is_fixed(shift):
        return None
    axis = 1 if isinstance(y.op, Conv2d) else y.ndim - 1
    if node.shape != y.shape or len(context.users(sum)) != 1:
        return None
    if not _per_channel(bias.shape, y, axis) or not _per_channel(shift.shape, y, axis):
        return None
    return y + (bias + shift)


def _per_channel(shape: Shape, y: Node, axis: int) -> bool:
    """Whether `shape`, broadcast against y's, holds one number for each index of `axis`."""
    full = (*(1 for _ in range(y.ndim - len(shape))), *shape)
    return all(size == (y.shape[axis] if i == axis else 1) for i, size in enumerate(full))


DECOMPOSE: list[Rule] = [standardize_in_parts, var_in_parts]
FOLD_NORMALIZATION: list[Rule] = [
    scale_into_convolution,
    scale_into_linear,
    scale_past_bias,
    two_biases_into_one,
]
