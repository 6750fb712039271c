"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphnet.errors import DtypeError, ShapeError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType, broadcast_shapes
from graphnet.ops.layout import swapaxes
from graphnet.ops.shaping import operands, reshape, shape_text, sum_to
from graphnet.ops.sources import NodeLike, as_node


class Matmul(Op):
    """out[..., n, m] = sum over k of a[..., n, k] * b[..., k, m]; the leading axes broadcast.

    Gradients: da = dy @ b^T, db = a^T @ dy, summed over the axes that were broadcast.
    """

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        if a.dtype != b.dtype or a.is_bool:
            raise DtypeError(f"expected floats or integers of one dtype, got {a.dtype} and {b.dtype}")
        if a.ndim < 2 or b.ndim < 2:
            raise ShapeError(f"expected two or more axes, got shapes {shape_text(a.shape)} and {shape_text(b.shape)}")
        if a.shape[-1] != b.shape[-2]:
            raise ShapeError(
                f"shapes {shape_text(a.shape)} and {shape_text(b.shape)} do not multiply: "
                f"the first has {a.shape[-1]} columns, the second {b.shape[-2]} rows"
            )
        batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return a.with_shape((*batch, a.shape[-2], b.shape[-1]))

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        a, b = node.inputs
        if not node.type.is_float:
            return [None, None]
        return [
            sum_to(Matmul()(dy, swapaxes(b, -1, -2)), a.shape),
            sum_to(Matmul()(swapaxes(a, -1, -2), dy), b.shape),
        ]

    def compute(self, out: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
        np.matmul(a, b, out=out)


def matmul(a: NodeLike, b: NodeLike) -> Node:
    """The matrix product, as `numpy.matmul`: leading axes broadcast, a 1-d operand is a row on the left, a column
    on the right, and its axis is not in the result.

    A batch of rows times one matrix is computed as a single product, and so is its gradient by the matrix. Raises
    `ShapeError` where sizes do not fit, `DtypeError` for booleans.
    """
    left, right = operands(a, b)
    if left.ndim == 0 or right.ndim == 0:
        raise ShapeError(f"matmul takes arrays with axes, got {left.type} and {right.type} (use * for scalars)")
    rows, columns = left.shape[:-1], right.shape[-1:]
    if left.ndim == 1:
        left, rows = reshape(left, (1, *left.shape)), ()
    if right.ndim == 1:
        right, columns = reshape(right, (*right.shape, 1)), ()
    if right.ndim == 2:
        if left.ndim > 2:
            left = reshape(left, (-1, left.shape[-1]))
        return reshape(Matmul()(left, right), (*rows, *columns))
    product = Matmul()(left, right)
    return reshape(product, (*product.shape[:-2], *rows[-1:], *columns))


def linear(input: NodeLike, weight: NodeLike, bias: NodeLike | None = None) -> Node:
    """input @ weight^T + bias, as `torch.nn.functional.linear`.

    Shapes: input (..., in), weight (out, in), bias (out,); the result is (..., out). Raises `ShapeError`.
    """
    x, w = as_node(input), as_node(weight)
    if w.ndim != 2 or x.ndim < 1 or x.shape[-1] != w.shape[1]:
        raise ShapeError(f"linear: expected input (..., in) and weight (out, in), got {x.type} and {w.type}")
    if bias is None:
        return matmul(x, swapaxes(w, 0, 1))
    b = as_node(bias)
    if b.shape != (w.shape[0],):
        raise ShapeError(f"linear: bias must have shape {shape_text((w.shape[0],))}, got {b.type}")
    return matmul(x, swapaxes(w, 0, 1)) + b
