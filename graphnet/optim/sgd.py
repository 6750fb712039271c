"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.arguments import flag
from graphnet.ops.comparison import equal, where
from graphnet.ops.sources import Parameter, constant
from graphnet.optim.groups import Options, Params, check_number
from graphnet.optim.optimizer import Changes, Optimizer, Slots
from graphnet.optim.rates import Rate


class SGD(Optimizer):
    """b <- momentum * b + (1 - dampening) * g;  w <- w - lr * b, with g + weight_decay * w for g.

    nesterov: w <- w - lr * (g + momentum * b). Defaults, and a first step with b = g, as `torch.optim.SGD`.
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **engine: object,
    ) -> None:
        options = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, lr, engine, **options, maximize=maximize)

    def check(self, who: str, o: Options) -> None:
        super().check(who, o)
        o.momentum = check_number(who, "momentum", o.momentum)
        o.dampening = check_number(who, "dampening", o.dampening)
        o.nesterov = flag(who, "nesterov", o.nesterov)
        if o.nesterov and (not o.momentum or o.dampening):
            raise ArgumentError(f"{who}: nesterov needs momentum > 0 and dampening 0")

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        # Only the first step takes the gradient undamped, since there is no momentum before it.
        return {"rate": rate, "undamped": where(equal(step, 0.0), constant(1.0, "float64"), 1.0 - o.dampening)}

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        g = decayed(g, w, o)
        if not o.momentum:
            return [(w, w - s["rate"] * g)]
        buffer = state["momentum_buffer"]
        moved = o.momentum * buffer + (s["undamped"] * g if o.dampening else g)
        direction = g + o.momentum * moved if o.nesterov else moved
        return [(buffer, moved), (w, w - s["rate"] * direction)]


def decayed(g: Node, w: Node, o: Options) -> Node:
    """g + weight_decay * w, the gradient of the loss with an L2 penalty; g where decay is decoupled."""
    return g if not o.weight_decay or getattr(o, "decoupled_weight_decay", False) else g + o.weight_decay * w


def shrunk(w: Node, s: Mapping[str, Node], o: Options) -> Node:
    """w * (1 - lr * weight_decay) where decay is decoupled: decay that moments do not see; otherwise w."""
    return w * s["kept"] if o.weight_decay and o.decoupled_weight_decay else w


def kept_share(rate: Node, o: Options) -> Node:
    """The scalar of `shrunk`: 1 - lr * weight_decay."""
    return 1.0 - rate * o.weight_decay
