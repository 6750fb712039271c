"""Is a gradient right? Its graph against differences of the values, which know nothing of gradient rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from graphnet.autodiff import gradients
from graphnet.errors import ArgumentError, FeedError, GradientError
from graphnet.graph.node import Node
from graphnet.graph.traversal import topological
from graphnet.ops.evaluate import evaluate, evaluate_one
from graphnet.ops.shaping import sum as sum_of
from graphnet.ops.sources import Input, Parameter, constant

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_STENCIL = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))
_DIVISOR = 12.0


def check_gradients(
    output: Node,
    wrt: Sequence[Node],
    feeds: Mapping[Node, ArrayLike],
    *,
    tolerance: float = 1e-7,
    step: float = 2.0**-13,
    samples: int = 100,
    seed: int = 0,
) -> float:
    """Compare the gradients of `output` by `wrt` with central differences; gives the largest relative error.

    The output, of any static float64 shape, is projected on a random direction p, and for each element x of each node

        d(p . output)/dx = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h + O(h^4)

    with h = `step` * max(1, |x|) (Abramowitz and Stegun, "Handbook of Mathematical Functions", 25.3.6). Errors are
    relative to the largest gradient of the node. At most `samples` elements a node are compared, drawn by `seed`.
    feeds: float64 arrays for the inputs; parameters have their own value unless given.
    Raises `GradientError`, naming node, index and both values, for an error above `tolerance`.
    """
    _check_arguments(output, wrt, feeds)
    rng = np.random.default_rng(seed)
    shape = output.type.static_shape
    projection = np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice((-1.0, 1.0), shape))
    arrays = {node: np.asarray(value, dtype=node.dtype) for node, value in feeds.items()}
    arrays |= {node: node.value for node in wrt if isinstance(node, Parameter) and node not in arrays}
    analytic = evaluate(gradients(sum_of(output * constant(projection)), wrt), arrays)
    worst = 0.0
    for node, gradient in zip(wrt, analytic, strict=True):
        chosen = np.sort(rng.permutation(gradient.size)[:samples])
        numeric = _differences(output, node, arrays, projection, chosen, step)
        worst = max(worst, _compare(node, gradient, chosen, numeric, tolerance))
    return worst


def _check_arguments(output: Node, wrt: Sequence[Node], feeds: Mapping[Node, ArrayLike]) -> None:
    if isinstance(wrt, Node) or not isinstance(feeds, Mapping):
        wanted = "a list of nodes, and arrays by node such as {x: array}"
        raise ArgumentError(f"check_gradients: wrt and feeds must be {wanted}, got {wrt!r} and {feeds!r}")
    for node in (output, *wrt):
        if node.dtype != np.float64:
            raise ArgumentError(f"check_gradients compares in float64, but {_label(node)} is {node.dtype}")
    inputs = [node for node in topological([output]) if isinstance(node.op, Input)]
    for node in dict.fromkeys((*wrt, *inputs)):
        if node not in feeds and not isinstance(node, Parameter):
            raise FeedError(f"check_gradients needs an array for {_label(node)} in feeds")
    for node, value in feeds.items():
        if not isinstance(node, Node) or not node.type.is_static:
            raise FeedError(f"check_gradients takes arrays by node, with sizes that are numbers, got {node!r}")
        if np.shape(value) != node.shape:
            raise FeedError(f"{_label(node)} has shape {node.shape}, got an array of shape {np.shape(value)}")


def _differences(
    output: Node,
    node: Node,
    arrays: Mapping[Node, np.ndarray],
    projection: np.ndarray,
    chosen: np.ndarray,
    step: float,
) -> np.ndarray:
    """The derivative of projection . output by the `chosen` elements of `node`, each from four evaluations.

    These are of the nodes that depend on it; the others are evaluated once.
    """
    moved = arrays[node].copy()
    order = topological([output])
    values = {**arrays, node: moved}
    values |= zip(order, evaluate(order, values), strict=True)
    reached, changing = {node}, []
    for value in order:
        if value not in arrays and not reached.isdisjoint(value.inputs):
            reached.add(value)
            changing.append(value)
    numeric = np.empty(len(chosen))
    for position, flat in enumerate(chosen):
        index = np.unravel_index(flat, moved.shape)
        x = moved[index]
        h = step * max(1.0, abs(float(x)))
        total = np.zeros_like(projection)
        for offset, weight in _STENCIL:
            moved[index] = x + offset * h
            for value in changing:
                values[value] = evaluate_one(value, values)
            total += weight * values[output]
        moved[index] = x
        numeric[position] = np.sum(projection * total) / (_DIVISOR * h)
    return numeric


def _compare(node: Node, gradient: np.ndarray, chosen: np.ndarray, numeric: np.ndarray, tolerance: float) -> float:
    """The largest relative error; raises where it is above `tolerance` or no number."""
    if not len(chosen):
        return 0.0
    analytic = gradient.reshape(-1)[chosen]
    scale = max(float(np.max(np.abs(gradient))), float(np.max(np.abs(numeric))))
    errors = np.abs(analytic - numeric) / (scale or 1.0)
    errors[np.isnan(errors)] = np.inf
    worst = int(np.argmax(errors))
    if errors[worst] > tolerance:
        index = tuple(int(i) for i in np.unravel_index(chosen[worst], gradient.shape))
        raise GradientError(
            f"the gradient by {_label(node)} at index {index} is {float(analytic[worst])!r}, "
            f"differences say {float(numeric[worst])!r}: relative error {errors[worst]:.3g}, "
            f"tolerance {tolerance:g}\n  declared at {node.provenance.location}"
        )
    return float(errors[worst])


def _label(node: Node) -> str:
    name = getattr(node.op, "label", None)
    return f"{name!r} ({node.type})" if name else repr(node)
