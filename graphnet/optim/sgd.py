"""Stochastic gradient descent with momentum, and RMSprop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.ops.comparison import equal, where
from graphnet.ops.sources import Parameter, constant
from graphnet.ops.unary import sqrt, square
from graphnet.optim.optimizer import Optimizer, Rate, Slots, check_number


class SGD(Optimizer):
    """b <- momentum * b + (1 - dampening) * g;  w <- w - lr * b, with g + weight_decay * w for g.

    nesterov: w <- w - lr * (g + momentum * b). Defaults, and a first step with b = g, as `torch.optim.SGD`.
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = check_number("SGD", "momentum", momentum)
        self.dampening = check_number("SGD", "dampening", dampening)
        self.weight_decay = check_number("SGD", "weight_decay", weight_decay)
        self.nesterov = bool(nesterov)
        if nesterov and (not self.momentum or self.dampening):
            raise ArgumentError("SGD: nesterov needs momentum > 0 and dampening 0")

    def scalars(self, step: Node, rate: Node) -> dict[str, Node]:
        # Only the first step takes the gradient undamped, since there is no momentum before it.
        return {"rate": rate, "undamped": where(equal(step, 0.0), constant(1.0, "float64"), 1.0 - self.dampening)}

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node]) -> list[tuple[Parameter, Node]]:
        g = decayed(g, w, self.weight_decay)
        if not self.momentum:
            return [(w, w - s["rate"] * g)]
        buffer = state["momentum_buffer"]
        moved = self.momentum * buffer + (s["undamped"] * g if self.dampening else g)
        direction = g + self.momentum * moved if self.nesterov else moved
        return [(buffer, moved), (w, w - s["rate"] * direction)]


class RMSprop(Optimizer):
    """v <- alpha * v + (1 - alpha) * g**2;  w <- w - lr * g / (sqrt(v) + eps), with g + weight_decay * w for g.

    centered: the mean of g is kept too, and its square taken from v. momentum: the quotient goes through a buffer.
    Defaults as `torch.optim.RMSprop`. Hinton, "Neural networks for machine learning", lecture 6, 2012.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr)
        self.alpha = check_number("RMSprop", "alpha", alpha)
        self.eps = check_number("RMSprop", "eps", eps)
        self.weight_decay = check_number("RMSprop", "weight_decay", weight_decay)
        self.momentum = check_number("RMSprop", "momentum", momentum)
        self.centered = bool(centered)

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node]) -> list[tuple[Parameter, Node]]:
        g = decayed(g, w, self.weight_decay)
        squares = state["square_avg"]
        v = self.alpha * squares + (1.0 - self.alpha) * square(g)
        changes = [(squares, v)]
        if self.centered:
            means = state["grad_avg"]
            mean = means + (1.0 - self.alpha) * (g - means)
            changes.append((means, mean))
            v = v - square(mean)
        step = g / (sqrt(v) + self.eps)
        if self.momentum:
            buffer = state["momentum_buffer"]
            step = self.momentum * buffer + step
            changes.append((buffer, step))
        return [*changes, (w, w - s["rate"] * step)]


def decayed(g: Node, w: Node, weight_decay: float) -> Node:
    """g + weight_decay * w: the gradient of the loss with an L2 penalty."""
    return g + weight_decay * w if weight_decay else g
