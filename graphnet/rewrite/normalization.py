"""Rules for normalization: shared statistics in training, and nothing left of it in evaluation.

In evaluation a batch normalization is a scale and a shift by what only parameters decide. The scale moves into the
weights of the convolution or linear layer before it, the shift into its bias: work on the weights' few elements, once
a call, instead of on every activation.
"""

from __future__ import annotations

from graphnet.graph.dims import Shape
from graphnet.graph.node import Node
from graphnet.ops.convolution import Conv2d, Conv2dInputGradient
from graphnet.ops.elementwise import Add, Multiply
from graphnet.ops.linear import Matmul
from graphnet.ops.normalization import Standardize
from graphnet.ops.reductions import Mean, Var, count
from graphnet.ops.shaping import Reshape, Sum, reshape
from graphnet.ops.sources import size_of
from graphnet.ops.unary import rsqrt, square
from graphnet.rewrite.driver import Any, Apply, Context, Rule, rule

x = Any("x")
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


_PRODUCTS = (Conv2d, Conv2dInputGradient, Matmul)  # the second is the transposed convolution
_product = Apply(_PRODUCTS, name="y")
_biased = Apply(Add, _product, bias, name="sum", either_order=True)


@rule(Apply(Multiply, _product, scale, either_order=True))
def scale_into_weights(y: Node, scale: Node, context: Context) -> Node | None:
    """y(x, w) * s  -->  y(x, w * s)    where y is a convolution or product, s a number a channel, w and s parameters"""
    return _scaled(y, scale) if _folds(scale, y, context) and context.is_read_once(y) else None


@rule(Apply(Multiply, _biased, scale, either_order=True))
def scale_past_bias(y: Node, bias: Node, sum: Node, scale: Node, context: Context) -> Node | None:
    """(y(x, w) + b) * s  -->  y(x, w * s) + b * s    where y is a convolution or product, and w, b and s parameters"""
    if not _folds(scale, y, context) or not _folds(bias, y, context):
        return None
    return _scaled(y, scale) + bias * scale if context.is_read_once(sum) and context.is_read_once(y) else None


@rule(Apply(Add, _biased, shift, either_order=True))
def two_biases_into_one(y: Node, bias: Node, sum: Node, shift: Node, context: Context) -> Node | None:
    """(y + b) + c  -->  y + (b + c)    where y is a convolution or product, and b and c parameters"""
    if not _folds(shift, y, context) or not _folds(bias, y, context):
        return None
    return y + (bias + shift) if context.is_read_once(sum) else None


_flat = Apply(Reshape, Apply((*_PRODUCTS, Add), name="y"), name="flat")


@rule(Apply((Multiply, Add), _flat, scale, name="node", either_order=True))
def scale_before_reshape(y: Node, flat: Node, scale: Node, node: Node, context: Context) -> Node | None:
    """reshape(y) * s  -->  reshape(y * s), and so for +    where y is a one-dimensional convolution, (N, C, 1, L)"""
    if y.ndim != 4 or flat.shape != (*y.shape[:2], y.shape[3]) or not context.is_read_once(flat):
        return None
    if not context.is_fixed(scale) or not _per_channel(scale.shape, flat, axis=1):
        return None
    if not any(isinstance(value.op, _PRODUCTS) for value in (y, *y.inputs)):
        return None
    return reshape(node.op(y, reshape(scale, (-1, 1, 1))), node.shape)


def _folds(value: Node, y: Node, context: Context) -> bool:
    """Whether `value` is a number for each channel of the product y, and only parameters decide it and y's weights.

    Not where they decide y too, which is worked out once then: of a sum of such products each would be the bias of the
    others, over and over.
    """
    if context.is_fixed(y) or not context.is_fixed(value) or not context.is_fixed(y.inputs[1]):
        return False
    return _per_channel(value.shape, y, y.ndim - 1 if isinstance(y.op, Matmul) else 1)


def _scaled(y: Node, scale: Node) -> Node:
    """The product y with the numbers of `scale`, one a channel, multiplied into its weights."""
    x, w = y.inputs
    if isinstance(y.op, Matmul):
        return y.op(x, w * reshape(scale, (-1,)))
    if isinstance(y.op, Conv2d):
        return y.op(x, w * reshape(scale, (-1, 1, 1, 1)))
    # Transposed, the weights are (in, out / groups, ...): a group of inputs has the outputs of its own group.
    assert isinstance(y.op, Conv2dInputGradient)
    groups = y.op.groups
    by_group = reshape(w, (groups, -1, *w.shape[1:])) * reshape(scale, (groups, 1, -1, 1, 1))
    return y.op(x, reshape(by_group, w.shape))


def _per_channel(shape: Shape, y: Node, axis: int) -> bool:
    """Whether `shape`, broadcast against y's, holds one number for each index of `axis`."""
    full = (*(1 for _ in range(y.ndim - len(shape))), *shape)
    return full == tuple(size if i == axis else 1 for i, size in enumerate(y.shape))


DECOMPOSE: list[Rule] = [standardize_in_parts, var_in_parts]
FOLD_NORMALIZATION: list[Rule] = [
    scale_into_weights,
    scale_past_bias,
    two_biases_into_one,
    scale_before_reshape,
]
