"""Batch, layer, group and instance normalization: each is `Standardize` over its own axes, then a scale and a shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graphnet.errors import ArgumentError, DtypeError, ShapeError
from graphnet.graph.dims import Shape, as_size
from graphnet.graph.node import Node, Op
from graphnet.graph.provenance import UPDATE, acting_as
from graphnet.graph.types import TensorType, normalize_axes
from graphnet.ops.reductions import Mean, Var, count
from graphnet.ops.shaping import cast, reduced_type, reshape, shape_text
from graphnet.ops.sources import NodeLike, Parameter, as_node, assign, size_of, with_updates
from graphnet.ops.unary import rsqrt, square


class Standardize(Op):
    """(x - mean(x)) / sqrt(var(x) + eps) over `axes`, var being the biased variance.

    Gradient (Ioffe and Szegedy, 2015, simplified), with y the result and r = 1 / sqrt(var(x) + eps):
    dx = r * (dy - mean(dy) - y * mean(dy * y)).
    """

    axes: tuple[int, ...]
    eps: float
    inplace: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, x: TensorType) -> TensorType:
        axes = normalize_axes(self.axes, x.ndim)
        if not x.is_float:
            raise DtypeError(f"expected floats, got {x}")
        if count(x, axes) == 1:
            raise ShapeError(f"normalizing {shape_text(x.shape)} over axes {axes} needs more than one value, got one")
        return x

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        (x,) = node.inputs
        mean = Mean(self.axes, keepdims=True)
        r = rsqrt(Var(self.axes, keepdims=True, correction=0)(x) + self.eps)
        return [r * (dy - mean(dy) - node * mean(dy * node))]

    def workspace(self, x: TensorType) -> tuple[TensorType, ...]:
        return (reduced_type(x, self.axes, True), x)

    def compute(self, out: np.ndarray, x: np.ndarray, *, work: tuple[np.ndarray, ...]) -> None:
        moment, squares = work
        n = x.size // moment.size if moment.size else 0
        np.add.reduce(x, axis=self.axes, out=moment, keepdims=True)
        np.divide(moment, n, moment)
        np.subtract(x, moment, out)
        np.square(out, squares)
        np.add.reduce(squares, axis=self.axes, out=moment, keepdims=True)
        np.divide(moment, n, moment)
        np.add(moment, self.eps, moment)
        np.sqrt(moment, moment)
        np.reciprocal(moment, moment)
        np.multiply(out, moment, out)


def batch_norm(
    input: NodeLike,
    running_mean: NodeLike | None,
    running_var: NodeLike | None,
    weight: NodeLike | None = None,
    bias: NodeLike | None = None,
    training: bool = False,
    momentum: float | Node = 0.1,
    eps: float = 1e-5,
) -> Node:
    """Each channel of the input, (N, C, ...), normalized over all else, times weight plus bias, all four being (C,).

    In training the statistics are the batch's, and the result brings assignments: running <- (1 - momentum) running +
    momentum batch, the variance being the unbiased one. Otherwise they are the running ones. Arguments and defaults
    are those of `torch.nn.functional.batch_norm`. Raises `ShapeError`, also for one value per channel in training;
    `ArgumentError` where running statistics are missing, or are no parameters in training.
    """
    node = _batch(input, "batch_norm")
    channels = (node.shape[1],)
    if (running_mean is None) != (running_var is None):
        raise ArgumentError("batch_norm: running_mean and running_var must be given together")
    axes = (0, *range(2, node.ndim))
    if training:
        y = _affine(Standardize(axes, float(eps))(node), weight, bias, channels, "batch_norm")
        if running_mean is None or running_var is None:
            return y
        mean, var = _statistics(node, axes)  # the forward pass stands on them too, so they are not the update's
        with acting_as(UPDATE):
            updates = [
                _moved(running_mean, reshape(mean, channels), momentum, "running_mean"),
                _moved(running_var, reshape(var, channels), momentum, "running_var"),
            ]
        return with_updates(y, *updates)
    if running_mean is None or running_var is None:
        raise ArgumentError("batch_norm: running_mean and running_var are needed where training is False")
    mean = _vector(running_mean, channels, "batch_norm", "running_mean")
    scale = rsqrt(_vector(running_var, channels, "batch_norm", "running_var") + float(eps))
    if weight is not None:
        scale = scale * _vector(weight, channels, "batch_norm", "weight")
    shift = -mean * scale if bias is None else _vector(bias, channels, "batch_norm", "bias") - mean * scale
    return node * _per_channel(scale, node.ndim) + _per_channel(shift, node.ndim)


def layer_norm(
    input: NodeLike,
    normalized_shape: int | Sequence[object],
    weight: NodeLike | None = None,
    bias: NodeLike | None = None,
    eps: float = 1e-5,
) -> Node:
    """The input normalized over its last axes, `normalized_shape`, times weight plus bias of that shape.

    Arguments and defaults are those of `torch.nn.functional.layer_norm`. Raises `ShapeError` where shapes differ.
    """
    node = as_node(input)
    shape, axes = _last_axes(node, normalized_shape, "layer_norm")
    y = Standardize(axes, float(eps))(node)
    if weight is not None:
        y = y * _vector(weight, shape, "layer_norm", "weight")
    return y if bias is None else y + _vector(bias, shape, "layer_norm", "bias")


def rms_norm(
    input: NodeLike,
    normalized_shape: int | Sequence[object],
    weight: NodeLike | None = None,
    eps: float | None = None,
) -> Node:
    """The input / sqrt(mean(input^2) + eps) over its last axes, `normalized_shape`, times weight of that shape.

    eps None is the distance from 1 to the next float. Zhang and Sennrich, 2019. Arguments and defaults are those of
    `torch.nn.functional.rms_norm`. Raises `ShapeError` where shapes differ, `DtypeError` for integers.
    """
    node = as_node(input)
    if not node.type.is_float:
        raise DtypeError(f"rms_norm: expected floats, got {node.type}")
    shape, axes = _last_axes(node, normalized_shape, "rms_norm")
    smallest = float(np.finfo(node.dtype).eps) if eps is None else float(eps)
    y = node * rsqrt(Mean(axes, keepdims=True)(square(node)) + smallest)
    return y if weight is None else y * _vector(weight, shape, "rms_norm", "weight")


def group_norm(
    input: NodeLike,
    num_groups: int,
    weight: NodeLike | None = None,
    bias: NodeLike | None = None,
    eps: float = 1e-5,
) -> Node:
    """Each of `num_groups` groups of channels, of (N, C, ...), normalized per example; then weight and bias, (C,).

    Wu and He, 2018. Arguments and defaults are those of `torch.nn.functional.group_norm`. Raises `ArgumentError`
    where the groups do not divide the channels.
    """
    node = _batch(input, "group_norm")
    channels = node.shape[1]
    if isinstance(num_groups, bool) or not isinstance(num_groups, int) or num_groups < 1 or channels % num_groups != 0:
        raise ArgumentError(f"group_norm: num_groups {num_groups!r} must divide the {channels} channels of {node.type}")
    grouped = reshape(node, (node.shape[0], num_groups, channels // num_groups, *node.shape[2:]))
    y = Standardize(tuple(range(2, grouped.ndim)), float(eps))(grouped)
    return _affine(reshape(y, node.shape), weight, bias, (channels,), "group_norm")


def instance_norm(
    input: NodeLike,
    running_mean: NodeLike | None = None,
    running_var: NodeLike | None = None,
    weight: NodeLike | None = None,
    bias: NodeLike | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Node:
    """Each channel of each example, (N, C, ...), normalized; then weight and bias, (C,). Ulyanov et al., 2016.

    The running statistics, where given, move towards the mean over the batch of the examples' statistics; they
    normalize instead where `use_input_stats` is False. Arguments and defaults are those of
    `torch.nn.functional.instance_norm`. Raises `ShapeError`, also for one value per channel.
    """
    node = _batch(input, "instance_norm")
    if not use_input_stats:
        return batch_norm(node, running_mean, running_var, weight, bias, False, momentum, eps)
    if (running_mean is None) != (running_var is None):
        raise ArgumentError("instance_norm: running_mean and running_var must be given together")
    axes = tuple(range(2, node.ndim))
    y = _affine(Standardize(axes, float(eps))(node), weight, bias, (node.shape[1],), "instance_norm")
    if running_mean is None or running_var is None:
        return y
    statistics = _statistics(node, axes)
    with acting_as(UPDATE):
        mean, var = (Mean((0,), keepdims=False)(reshape(s, node.shape[:2])) for s in statistics)
        moved = _moved(running_mean, mean, momentum, "running_mean"), _moved(running_var, var, momentum, "running_var")
    return with_updates(y, *moved)


def _statistics(x: Node, axes: tuple[int, ...]) -> tuple[Node, Node]:
    """The mean and the unbiased variance over `axes`, which are kept. The biased variance is the one that
    `Standardize` and its gradient stand on, so that it is computed once for all."""
    n = size_of(count(x.type, axes), x.dtype)
    mean = Mean(axes, keepdims=True)(x)
    return mean, Var(axes, keepdims=True, correction=0)(x) * (n / (n - 1))


def _moved(running: NodeLike, value: Node, momentum: float | Node, name: str) -> Node:
    """running <- (1 - momentum) * running + momentum * value."""
    if not isinstance(running, Parameter):
        raise ArgumentError(f"{name} must be a parameter where it is updated, got {running!r}")
    if running.shape != value.shape:
        raise ShapeError(f"{name} must have shape {shape_text(value.shape)}, got {running.type}")
    return assign(running, running * (1 - momentum) + cast(value, running.dtype) * momentum)


def _last_axes(x: Node, normalized_shape: int | Sequence[object], function: str) -> tuple[Shape, tuple[int, ...]]:
    """`normalized_shape` as a shape, and the axes of x that have it, which are the last."""
    sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    shape = tuple(as_size(size) for size in sizes)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(f"{function}: normalized_shape {shape_text(shape)} does not end the shape of {x.type}")
    return shape, tuple(range(x.ndim - len(shape), x.ndim))


def _batch(x: NodeLike, function: str) -> Node:
    node = as_node(x)
    if node.ndim < 2:
        raise ShapeError(f"{function} takes (N, C, ...), got {node.type}")
    return node


def _vector(value: NodeLike, shape: Shape, function: str, argument: str) -> Node:
    node = as_node(value)
    if node.shape != shape:
        raise ShapeError(f"{function}: {argument} must have shape {shape_text(shape)}, got {node.type}")
    return node


def _affine(y: Node, weight: NodeLike | None, bias: NodeLike | None, shape: Shape, function: str) -> Node:
    """y times weight plus bias, one of each a channel."""
    if weight is not None:
        y = y * _per_channel(_vector(weight, shape, function, "weight"), y.ndim)
    return y if bias is None else y + _per_channel(_vector(bias, shape, function, "bias"), y.ndim)


def _per_channel(vector: Node, ndim: int) -> Node:
    """(C,) as (C, 1, ...), which broadcasts along axis 1 of `ndim` axes."""
    return reshape(vector, (*vector.shape, *[1] * (ndim - 2)))
