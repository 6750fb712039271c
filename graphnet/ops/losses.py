"""Losses, with the arguments, names and defaults of `torch.nn.functional`.

`reduction` is "mean", "sum" or "none" (one loss for each element or example) everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from graphnet.errors import ArgumentError, DtypeError, ShapeError
from graphnet.graph.node import Node
from graphnet.ops.activations import log_sigmoid
from graphnet.ops.comparison import clip, equal, keep, less, maximum, not_equal, where
from graphnet.ops.gradient_control import custom_gradient
from graphnet.ops.indexing import Gather, one_hot
from graphnet.ops.indexing import take as take_along
from graphnet.ops.layout import expand_dims, squeeze
from graphnet.ops.reductions import log_softmax, mean
from graphnet.ops.shaping import cast, operands, reshape, shape_text
from graphnet.ops.shaping import sum as sum_of
from graphnet.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from graphnet.ops.sources import NodeLike, as_node, size_of
from graphnet.ops.unary import abs as absolute
from graphnet.ops.unary import exp, log, square

_REDUCTIONS = ("mean", "sum", "none")
_LEAST_SPREAD = 9.999999960041972e-13  # 1e-12 rounded to float32, as PyTorch has it in all dtypes


def cross_entropy(
    input: NodeLike,
    target: NodeLike,
    weight: NodeLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Node:
    """-log softmax(input)[target], as `torch.nn.functional.cross_entropy`.

    input: logits (N, C), (N, C, ...) or (C,). target: integer class labels, (N,), (N, ...) or (), in [0, C) or equal to
    `ignore_index` (no loss, not counted in the mean); or floating-point probabilities of the shape of `input`.
    weight: one factor a class, (C,); the mean is then weighted. label_smoothing: how much of each target is spread
    evenly over the classes. Raises `ShapeError`, `ArgumentError`, and, when run, `DataError` for another label.
    """
    _check_reduction("cross_entropy", reduction)
    if isinstance(label_smoothing, bool) or not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing!r}")
    x, labels = _floats("cross_entropy", input), as_node(target)
    if labels.type.is_float:
        if ignore_index >= 0:
            raise ArgumentError("cross_entropy: ignore_index is for class labels, but the target has probabilities")
        return _with_probabilities(x, labels, weight, reduction, float(label_smoothing))
    x, labels = _examples("cross_entropy", x, labels)
    weights = None if weight is None else _class_weights("cross_entropy", weight, x)
    smoothing = float(label_smoothing)
    if weights is None:
        losses = SoftmaxCrossEntropy(int(ignore_index), smoothing)(x, labels)
        return _reduced_labels(losses, labels, None, ignore_index, reduction, target)
    losses = SoftmaxCrossEntropy(int(ignore_index), 0.0)(x, labels)
    factors = _label_weights(weights, labels, ignore_index)
    losses = losses * factors
    if smoothing:
        spread = -sum_of(log_softmax(x, axis=1) * _along_classes(weights, x), axis=1) / size_of(x.shape[1], x.dtype)
        losses = losses * (1 - smoothing) + keep(not_equal(labels, ignore_index), spread) * smoothing
    return _reduced_labels(losses, labels, factors, ignore_index, reduction, target)


def nll_loss(
    input: NodeLike,
    target: NodeLike,
    weight: NodeLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Node:
    """-weight[target] * input[target], for log probabilities (N, C), (N, C, ...) or (C,); the rest as `cross_entropy`
    with class labels, and as `torch.nn.functional.nll_loss`."""
    _check_reduction("nll_loss", reduction)
    x, labels = _examples("nll_loss", _floats("nll_loss", input), as_node(target))
    losses = -_picked(x, labels, ignore_index)
    if weight is None:
        return _reduced_labels(losses, labels, None, ignore_index, reduction, target)
    factors = _label_weights(_class_weights("nll_loss", weight, x), labels, ignore_index)
    return _reduced_labels(losses * factors, labels, factors, ignore_index, reduction, target)


def binary_cross_entropy_with_logits(
    input: NodeLike,
    target: NodeLike,
    weight: NodeLike | None = None,
    reduction: str = "mean",
    pos_weight: NodeLike | None = None,
) -> Node:
    """-(pos_weight * t * log sigmoid(x) + (1 - t) * log(1 - sigmoid(x))) * weight, without overflow.

    target: of the shape of input, in [0, 1]. weight and pos_weight broadcast to it.
    """
    x, t = _alike("binary_cross_entropy_with_logits", input, target, reduction)
    if pos_weight is None:
        losses = x - x * t - log_sigmoid(x)
    else:
        losses = x - x * t - (1 + (_fitting(pos_weight, x, "pos_weight") - 1) * t) * log_sigmoid(x)
    if weight is not None:
        losses = losses * _fitting(weight, x, "weight")
    return _reduced(losses, reduction)


def binary_cross_entropy(
    input: NodeLike, target: NodeLike, weight: NodeLike | None = None, reduction: str = "mean"
) -> Node:
    """-(t * log(p) + (1 - t) * log(1 - p)) * weight for probabilities p = input, as in `torch.nn.functional`.

    Logarithms are cut at -100 and p * (1 - p), in the gradient (p - t) / (p * (1 - p)), at 1e-12, so that a p of 0 or 1
    gives finite ones. Outside [0, 1] the result is NaN.
    """
    p, t = _alike("binary_cross_entropy", input, target, reduction)
    losses = _binary_cross_entropies(p, t)
    if weight is not None:
        losses = losses * _fitting(weight, p, "weight")
    return _reduced(losses, reduction)


@custom_gradient
def _binary_cross_entropies(p: Node, t: Node) -> tuple[Node, Callable[[Node], tuple[Node, Node]]]:
    of_p, of_rest = clip(log(p), -100.0), clip(log(1 - p), -100.0)

    def gradient(dy: Node) -> tuple[Node, Node]:
        return dy * (p - t) / clip(p * (1 - p), _LEAST_SPREAD), dy * (of_rest - of_p)

    return -(t * of_p + (1 - t) * of_rest), gradient


def kl_div(input: NodeLike, target: NodeLike, reduction: str = "mean", log_target: bool = False) -> Node:
    """t * (log(t) - input), 0 where t is 0, for log probabilities `input`; exp(t) * (t - input) where `log_target`.

    reduction may also be "batchmean": the sum over the size of the first axis, which is the divergence of Kullback
    and Leibler. As `torch.nn.functional.kl_div`.
    """
    x, t = _alike("kl_div", input, target, "sum" if reduction == "batchmean" else reduction)
    if reduction == "batchmean" and x.ndim == 0:
        raise ShapeError(f"kl_div: reduction 'batchmean' needs a batch, got {x.type}")
    losses = exp(t) * (t - x) if log_target else t * log(where(equal(t, 0), 1.0, t)) - t * x
    if reduction == "batchmean":
        return sum_of(losses) / size_of(x.shape[0], x.dtype)
    return _reduced(losses, reduction)


def mse_loss(input: NodeLike, target: NodeLike, reduction: str = "mean") -> Node:
    """(input - target)^2. Raises `ShapeError` where shapes differ."""
    x, t = _alike("mse_loss", input, target, reduction)
    return _reduced(square(x - t), reduction)


def l1_loss(input: NodeLike, target: NodeLike, reduction: str = "mean") -> Node:
    """|input - target|, with gradient 0 at 0. Raises `ShapeError` where shapes differ."""
    x, t = _alike("l1_loss", input, target, reduction)
    return _reduced(absolute(x - t), reduction)


def huber_loss(input: NodeLike, target: NodeLike, reduction: str = "mean", delta: float = 1.0) -> Node:
    """d^2 / 2 where |d| < delta, else delta * (|d| - delta / 2), for d = input - target. Huber, 1964.

    Raises `ShapeError` where shapes differ, `ArgumentError` for delta <= 0.
    """
    x, t = _alike("huber_loss", input, target, reduction)
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta!r}")
    distance = absolute(x - t)
    near = square(x - t) * 0.5
    return _reduced(where(less(distance, delta), near, (distance - 0.5 * delta) * delta), reduction)


def smooth_l1_loss(input: NodeLike, target: NodeLike, reduction: str = "mean", beta: float = 1.0) -> Node:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2: the Huber loss over beta; the l1 loss for beta = 0."""
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta!r}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) * (1 / beta)


def multi_margin_loss(
    input: NodeLike,
    target: NodeLike,
    p: int = 1,
    margin: float = 1.0,
    weight: NodeLike | None = None,
    reduction: str = "mean",
) -> Node:
    """The multi-class hinge: sum over i != y of weight[y] * max(0, margin - x[y] + x[i])^p / C, p being 1 or 2.

    input: (N, C) or (C,). target: integer class labels, (N,) or (). Raises `ShapeError`, `ArgumentError`, and, when
    run, `DataError` for a label outside [0, C).
    """
    _check_reduction("multi_margin_loss", reduction)
    if p not in (1, 2):
        raise ArgumentError(f"multi_margin_loss: p must be 1 or 2, got {p!r}")
    x, labels = _examples("multi_margin_loss", _floats("multi_margin_loss", input), as_node(target))
    if x.ndim != 2:
        raise ShapeError(f"multi_margin_loss takes input (N, C) or (C,), got {x.type}")
    own = one_hot(labels, x.shape[1], "bool")
    excess = maximum(x - Gather(1, negative=False)(x, expand_dims(labels, 1)) + margin, 0.0)
    losses = sum_of(keep(~own, excess if p == 1 else square(excess)), axis=1) / size_of(x.shape[1], x.dtype)
    if weight is not None:
        losses = losses * take_along(_class_weights("multi_margin_loss", weight, x), labels, axis=0)
    return _reduced(reshape(losses, as_node(target).shape), reduction)


# -- what they share --------------------------------------------------------------------------------------------------


def _check_reduction(function: str, reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ArgumentError(f"{function}: reduction must be one of {', '.join(_REDUCTIONS)}, got {reduction!r}")


def _reduced(losses: Node, reduction: str) -> Node:
    return mean(losses) if reduction == "mean" else sum_of(losses) if reduction == "sum" else losses


def _floats(function: str, input: NodeLike) -> Node:
    node = as_node(input)
    if not node.type.is_float:
        raise DtypeError(f"{function}: input must be floating-point, got {node.type}")
    return node


def _alike(function: str, input: NodeLike, target: NodeLike, reduction: str) -> tuple[Node, Node]:
    """Input and target of one shape and one floating-point dtype."""
    _check_reduction(function, reduction)
    x, t = operands(input, target)
    _floats(function, x)
    if x.shape != t.shape:
        raise ShapeError(f"{function}: input and target must have one shape, got {x.type} and {t.type}")
    return x, t


def _fitting(value: NodeLike, x: Node, argument: str) -> Node:
    node = cast(as_node(value, x.dtype), x.dtype)
    if node.ndim > x.ndim or any(n not in (1, m) for n, m in zip(node.shape[::-1], x.shape[::-1], strict=False)):
        raise ShapeError(f"{argument} must broadcast to {shape_text(x.shape)}, got {node.type}")
    return node


def _examples(function: str, x: Node, labels: Node) -> tuple[Node, Node]:
    """Logits (N, C, ...) and int64 labels (N, ...), of which N is 1 where the user gives (C,) and ()."""
    if not labels.type.is_integer:
        raise DtypeError(f"{function}: class labels must be integers, got {labels.type}")
    if x.ndim == 0:
        raise ShapeError(f"{function} takes input (N, C, ...) or (C,), got {x.type}")
    expected = () if x.ndim == 1 else (x.shape[0], *x.shape[2:])
    if labels.shape != expected:
        raise ShapeError(f"{function}: input {x.type} needs labels of shape {shape_text(expected)}, got {labels.type}")
    labels = cast(labels, "int64")
    return (expand_dims(x, 0), reshape(labels, (1,))) if x.ndim == 1 else (x, labels)


def _class_weights(function: str, weight: NodeLike, x: Node) -> Node:
    node = as_node(weight, x.dtype)
    if node.shape != (x.shape[1],):
        raise ShapeError(f"{function}: weight must have shape {shape_text((x.shape[1],))}, got {node.type}")
    return cast(node, x.dtype)


def _along_classes(weights: Node, x: Node) -> Node:
    return reshape(weights, (*weights.shape, *[1] * (x.ndim - 2)))


def _picked(x: Node, labels: Node, ignore_index: int) -> Node:
    """x at each label along axis 1, 0 where it is ignored."""
    counted = not_equal(labels, ignore_index)
    picked = squeeze(Gather(1, negative=False)(x, expand_dims(keep(counted, labels), 1)), 1)
    return keep(counted, picked)


def _label_weights(weights: Node, labels: Node, ignore_index: int) -> Node:
    """The weight of each label's class, 0 where it is ignored."""
    counted = not_equal(labels, ignore_index)
    return keep(counted, take_along(weights, keep(counted, labels), axis=0))


def _reduced_labels(
    losses: Node, labels: Node, factors: Node | None, ignore_index: int, reduction: str, target: NodeLike
) -> Node:
    """The mean counts what is not ignored, by its weight; "none" gives the shape of `target`."""
    if reduction == "mean":
        counted = cast(not_equal(labels, ignore_index), losses.dtype) if factors is None else factors
        return sum_of(losses) / sum_of(counted)
    return sum_of(losses) if reduction == "sum" else reshape(losses, as_node(target).shape)


def _with_probabilities(x: Node, target: Node, weight: NodeLike | None, reduction: str, smoothing: float) -> Node:
    """-sum of target * weight * log_softmax(x) over the classes; the mean is over examples and positions."""
    if x.ndim == 0 or x.shape != target.shape:
        raise ShapeError(
            f"cross_entropy: the target must be integer labels, or probabilities of the input's shape, "
            f"got {target.type} for {x.type}"
        )
    single = x.ndim == 1
    x, target = operands(expand_dims(x, 0) if single else x, expand_dims(target, 0) if single else target)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / size_of(x.shape[1], x.dtype)
    if weight is not None:
        target = target * _along_classes(_class_weights("cross_entropy", weight, x), x)
    losses = -sum_of(target * log_softmax(x, axis=1), axis=1)
    return _reduced(squeeze(losses, 0) if single else losses, reduction)
