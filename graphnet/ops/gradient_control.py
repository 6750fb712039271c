"""Gradients as the user wants them: none through a value, or one of his own for an expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError, GradientError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.sources import NodeLike, as_node


class StopGradient(Op):
    """x, which counts as a constant in every gradient. A view."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        return [None]

    def view(self, x: np.ndarray) -> np.ndarray:
        return x


class CustomGradient(Op):
    """Input 0; its gradient goes to the other inputs, and `function` says what each gets. A view."""

    function: Callable[[Node], Any]

    def infer(self, value: TensorType, *arguments: TensorType) -> TensorType:
        return value

    def gradient(self, node: Node, dy: Node) -> Sequence[Node | None]:
        arguments = node.inputs[1:]
        found = self.function(dy)
        grads = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        what = f"the custom gradient {getattr(self.function, '__qualname__', self.function)!r}"
        if len(grads) != len(arguments):
            raise GradientError(f"{what} must give a node or None for each of {len(arguments)} arguments, got {grads}")
        for position, (gradient, argument) in enumerate(zip(grads, arguments, strict=True)):
            if gradient is None:
                continue
            if not isinstance(gradient, Node):
                raise GradientError(f"{what}, argument {position}: expected a node or None, got {gradient!r}")
            if gradient.type != argument.type:
                raise GradientError(f"{what}, argument {position}: expected {argument.type}, got {gradient.type}")
        return [None, *grads]

    def view(self, x: np.ndarray) -> np.ndarray:
        return x


def stop_gradient(x: NodeLike) -> Node:
    """x, through which no gradient flows."""
    return StopGradient()(as_node(x))


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Node]:
    """A decorator that gives an expression a gradient of its own, as `tensorflow.custom_gradient`.

    `function(*arguments)` returns a node and a function of dy, the gradient of the loss by that node, which returns
    one node for each argument: the gradient by it, of its type (None for no gradient). Arguments that are no nodes
    become constants; keyword arguments are passed on as they are.

        @gn.custom_gradient
        def clipped(x):
            return x, lambda dy: gn.clip(dy, -1.0, 1.0)

    Only what is an argument gets a gradient: nodes that the function uses otherwise count as constants. The gradient
    can be differentiated in turn. Raises `ArgumentError` where the function returns something else, and
    `GradientError`, when differentiated, where its gradients do not fit.
    """

    @wraps(function)
    def apply(*arguments: NodeLike, **options: Any) -> Node:
        nodes = [as_node(argument) for argument in arguments]
        returned = function(*nodes, **options)
        if not (isinstance(returned, tuple) and len(returned) == 2):
            raise ArgumentError(f"{function.__name__}: expected (value, gradient function), got {returned!r}")
        value, gradient = returned
        if not isinstance(value, Node) or not callable(gradient):
            raise ArgumentError(f"{function.__name__}: expected (value, gradient function), got {returned!r}")
        return CustomGradient(gradient)(value, *nodes)

    return apply
