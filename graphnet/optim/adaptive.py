"""Steps divided by the size of past gradients: Adagrad, RMSprop and Adadelta."""

from __future__ import annotations

import math
from collections.abc import Mapping

from graphnet.graph.node import Node
from graphnet.nn.arguments import flag
from graphnet.ops.sources import Parameter
from graphnet.ops.unary import sqrt, square
from graphnet.optim.groups import Options, Params, check_number
from graphnet.optim.optimizer import Changes, Optimizer, Slots
from graphnet.optim.rates import Rate
from graphnet.optim.sgd import decayed


class Adagrad(Optimizer):
    """s <- s + g**2;  w <- w - lr / (1 + t * lr_decay) * g / (sqrt(s) + eps), with g + weight_decay * w for g.

    t is the number of steps made before; s starts as initial_accumulator_value. Defaults as `torch.optim.Adagrad`.
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **engine: object,
    ) -> None:
        options = {"lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
        super().__init__(params, lr, engine, initial_accumulator_value=initial_accumulator_value, **options)

    def check(self, who: str, o: Options) -> None:
        super().check(who, o)
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            setattr(o, name, check_number(who, name, getattr(o, name)))

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        return {"rate": rate / (1.0 + step * o.lr_decay) if o.lr_decay else rate}

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        g = decayed(g, w, o)
        before = state.starting_as("sum", o.initial_accumulator_value)
        squares = before + square(g)
        return [(before, squares), (w, w - s["rate"] * (g / (sqrt(squares) + o.eps)))]


class RMSprop(Optimizer):
    """v <- alpha * v + (1 - alpha) * g**2;  w <- w - lr * g / (sqrt(v) + eps), with g + weight_decay * w for g.

    centered: the mean of g is kept too, and its square taken from v. momentum: the quotient goes through a buffer.
    Defaults as `torch.optim.RMSprop`. Hinton, "Neural networks for machine learning", lecture 6, 2012.

    What is kept are the sums "square_sum" = v / (1 - alpha) and "grad_sum", which take a pass less each, and the
    buffer times sqrt(1 - alpha).
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **engine: object,
    ) -> None:
        options = {"alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, lr, engine, **options, centered=centered, maximize=maximize)

    def check(self, who: str, o: Options) -> None:
        super().check(who, o)
        o.alpha = check_number(who, "alpha", o.alpha, 1.0)
        o.eps = check_number(who, "eps", o.eps)
        o.momentum = check_number(who, "momentum", o.momentum)
        o.centered = flag(who, "centered", o.centered)

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        return {"rate": rate / math.sqrt(1.0 - o.alpha)}

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        g = decayed(g, w, o)
        v = o.alpha * state["square_sum"] + square(g)
        changes = [(state["square_sum"], v)]
        if o.centered:
            mean = o.alpha * state["grad_sum"] + g
            changes.append((state["grad_sum"], mean))
            v = v - (1.0 - o.alpha) * square(mean)
        step = g / (sqrt(v) + o.eps / math.sqrt(1.0 - o.alpha))
        if o.momentum:
            buffer = state["momentum_buffer"]
            step = o.momentum * buffer + step
            changes.append((buffer, step))
        return [*changes, (w, w - s["rate"] * step)]


class Adadelta(Optimizer):
    """v <- rho * v + (1 - rho) * g**2;  d = sqrt(u + eps) / sqrt(v + eps) * g;  w <- w - lr * d, where
    u <- rho * u + (1 - rho) * d**2 follows; g + weight_decay * w stands for g. Defaults as `torch.optim.Adadelta`.

    Zeiler, "ADADELTA: an adaptive learning rate method", 2012. What is kept are the sums "square_sum" = v / (1 - rho)
    and "delta_sum" = u / (1 - rho), which take a pass less each.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **engine: object,
    ) -> None:
        super().__init__(params, lr, engine, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)

    def check(self, who: str, o: Options) -> None:
        super().check(who, o)
        o.rho = check_number(who, "rho", o.rho, 1.0)
        o.eps = check_number(who, "eps", o.eps)

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        g = decayed(g, w, o)
        eps = o.eps / (1.0 - o.rho)
        squares = o.rho * state["square_sum"] + square(g)
        # One root of the quotient, where the formula has a quotient of two.
        step = sqrt((state["delta_sum"] + eps) / (squares + eps)) * g
        steps = o.rho * state["delta_sum"] + square(step)
        return [(state["square_sum"], squares), (state["delta_sum"], steps), (w, w - s["rate"] * step)]
