"""Relatives of Adam: NAdam, RAdam and Adamax."""

from __future__ import annotations

import math
from collections.abc import Mapping

from graphnet.graph.node import Node
from graphnet.ops.comparison import greater, maximum, where
from graphnet.ops.powers import power
from graphnet.ops.shaping import cast
from graphnet.ops.sources import Parameter, constant
from graphnet.ops.unary import abs, sqrt
from graphnet.optim.adam import WithMoments, corrections, sums
from graphnet.optim.groups import Options, Params, check_number
from graphnet.optim.optimizer import Changes, Slots
from graphnet.optim.rates import Rate
from graphnet.optim.sgd import decayed, kept_share, shrunk


class NAdam(WithMoments):
    """Adam with Nesterov's momentum: with mu_t = b1 * (1 - 0.96**(t * momentum_decay) / 2), w loses

    lr * (mu_(t+1) * m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) * g / (1 - mu_1 ... mu_t)) / (sqrt(v^) + eps).

    Decay as in `Adam`. Defaults as `torch.optim.NAdam`. Dozat, "Incorporating Nesterov momentum into Adam", 2016.
    "mu_product" = mu_1 ... mu_t is kept beside the sums of `Adam`.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **engine: object,
    ) -> None:
        options = {"momentum_decay": momentum_decay, "maximize": maximize}
        decay = {"weight_decay": weight_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, lr, engine, betas=betas, eps=eps, **decay, **options)

    def check(self, who: str, o: Options) -> None:
        super().check(who, o)
        o.momentum_decay = check_number(who, "momentum_decay", o.momentum_decay)

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        now, following = _mu(step + 1.0, o), _mu(step + 2.0, o)
        product = _next_mu_product(step, o, kept)
        root = sqrt(corrections(step, o.betas)[1] * (1.0 / (1.0 - o.betas[1])))
        return {
            "of_gradient": rate * (1.0 - now) * root / (1.0 - product),
            "of_sum": rate * following * (1.0 - o.betas[0]) * root / (1.0 - product * following),
            "eps_corrected": o.eps * root,
            "kept": kept_share(rate, o),
        }

    def keeps(self, step: Node, o: Options, kept: Slots) -> Changes:
        return [(_mu_product(kept), _next_mu_product(step, o, kept))]

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        g = decayed(g, w, o)
        total, squares = sums(g, state, o.betas)
        step = (s["of_gradient"] * g + s["of_sum"] * total) / (sqrt(squares) + s["eps_corrected"])
        return [(state["exp_sum"], total), (state["exp_sum_sq"], squares), (w, shrunk(w, s, o) - step)]


class RAdam(WithMoments):
    """Adam whose step is multiplied by r, and not divided by sqrt(v^) + eps while v^ is too uncertain.

    With p = 2 / (1 - b2) - 1 and p_t = p - 2 * t * b2**t / (1 - b2**t): where p_t > 5,
    r = sqrt((p_t - 4) * (p_t - 2) * p / ((p - 4) * (p - 2) * p_t)), and w loses
    lr * r * m^ * sqrt(1 - b2**t) / (sqrt(v) + eps); before that it loses lr * m^. Decay as in `Adam`. Defaults as
    `torch.optim.RAdam`. Liu et al., "On the variance of the adaptive learning rate and beyond", 2020.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **engine: object,
    ) -> None:
        decay = {"weight_decay": weight_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, lr, engine, betas=betas, eps=eps, **decay, maximize=maximize)

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        first, second = corrections(step, o.betas)
        share = 1.0 - o.betas[1]
        longest = 2.0 / share - 1.0
        length = longest - 2.0 * (step + 1.0) * (1.0 - second) / second
        certain = greater(length, 5.0)
        rectified = sqrt((length - 4.0) * (length - 2.0) * longest / (length * ((longest - 4.0) * (longest - 2.0))))
        plain = rate * (1.0 - o.betas[0]) / first
        zero, one, eps = (constant(value, "float64") for value in (0.0, 1.0, o.eps / math.sqrt(share)))
        # One formula for both cases, so that no array is chosen from: the divisor is root * sqrt(squares) + rest.
        return {
            "rate": where(certain, plain * rectified * sqrt(second * (1.0 / share)), plain),
            "root": where(certain, one, zero),
            "rest": where(certain, eps, one),
            "kept": kept_share(rate, o),
        }

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        total, squares = sums(decayed(g, w, o), state, o.betas)
        step = s["rate"] * (total / (s["root"] * sqrt(squares) + s["rest"]))
        return [(state["exp_sum"], total), (state["exp_sum_sq"], squares), (w, shrunk(w, s, o) - step)]


class Adamax(WithMoments):
    """m <- b1 * m + (1 - b1) * g;  u <- max(b2 * u, |g| + eps);  w <- w - lr / (1 - b1**t) * m / u.

    weight_decay * w is added to g. Defaults as `torch.optim.Adamax`. Kingma and Ba, "Adam", section 7.1, 2015. For m
    the sum "exp_sum" = m / (1 - b1) is kept.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **engine: object,
    ) -> None:
        super().__init__(params, lr, engine, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize)

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        return {"rate_corrected": rate * (1.0 - o.betas[0]) / corrections(step, o.betas)[0]}

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        g = decayed(g, w, o)
        total = o.betas[0] * state["exp_sum"] + g
        largest = maximum(o.betas[1] * state["exp_inf"], abs(g) + o.eps)
        changes = [(state["exp_sum"], total), (state["exp_inf"], largest)]
        return [*changes, (w, w - s["rate_corrected"] * (total / largest))]


def _mu(t: Node, o: Options) -> Node:
    """The momentum of step t, which counts from 1."""
    return o.betas[0] * (1.0 - 0.5 * power(0.96, t * o.momentum_decay))


def _mu_product(kept: Slots) -> Parameter:
    return kept.starting_as("mu_product", 1.0)


def _next_mu_product(step: Node, o: Options, kept: Slots) -> Node:
    """The product with this step's factor, rounded as PyTorch does, whose product is float32: 1e-8 of a step."""
    return cast(cast(_mu_product(kept), "float32") * cast(_mu(step + 1.0, o), "float32"), "float64")
