"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from graphnet.graph.node import Node
from graphnet.nn.arguments import flag
from graphnet.ops.comparison import maximum
from graphnet.ops.sources import Parameter
from graphnet.ops.unary import expm1, sqrt, square
from graphnet.optim.groups import Options, Params, check_betas, check_number
from graphnet.optim.optimizer import Changes, Optimizer, Slots
from graphnet.optim.rates import Rate
from graphnet.optim.sgd import decayed, kept_share, shrunk


class WithMoments(Optimizer):
    """What optimizers with two betas and an eps have in common.

    Those of the family keep the sums "exp_sum" = m / (1 - b1) and "exp_sum_sq" = v / (1 - b2) for the averages m of g
    and v of g**2: b1 * sum + g is two passes over arrays of w's size where the average takes three.
    """

    def check(self, who: str, o: Options) -> None:
        super().check(who, o)
        o.betas = check_betas(who, o.betas)
        if hasattr(o, "eps"):
            o.eps = check_number(who, "eps", o.eps)


class Adam(WithMoments):
    """m <- b1 * m + (1 - b1) * g;  v <- b2 * v + (1 - b2) * g**2;  w <- w - lr * m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1**t) and v^ = v / (1 - b2**t); weight_decay * w is added to g, or, with decoupled_weight_decay, w
    shrinks by 1 - lr * weight_decay beside it. amsgrad: the largest v so far takes v's place. Defaults as
    `torch.optim.Adam`. Kingma and Ba, 2015; Reddi, Kale and Kumar, 2018 (amsgrad).

    What is kept are the sums "exp_sum" = m / (1 - b1) and "exp_sum_sq" = v / (1 - b2).
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **engine: object,
    ) -> None:
        options = {"amsgrad": amsgrad, "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, lr, engine, betas=betas, eps=eps, weight_decay=weight_decay, **options)

    def check(self, who: str, o: Options) -> None:
        super().check(who, o)
        o.amsgrad = flag(who, "amsgrad", o.amsgrad)

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        first, second = corrections(step, o.betas)
        # rate * (m / c1) / (sqrt(v / c2) + eps) with m and v by their sums, all scalars gathered: two passes fewer.
        root = sqrt(second * (1.0 / (1.0 - o.betas[1])))
        return {
            "rate_corrected": rate * (1.0 - o.betas[0]) * root / first,
            "eps_corrected": o.eps * root,
            "kept": kept_share(rate, o),
        }

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        total, squares = sums(decayed(g, w, o), state, o.betas)
        changes = [(state["exp_sum"], total), (state["exp_sum_sq"], squares)]
        if o.amsgrad:
            largest = state["max_exp_sum_sq"]
            squares = maximum(largest, squares)
            changes.append((largest, squares))
        step = s["rate_corrected"] * (total / (sqrt(squares) + s["eps_corrected"]))
        return [*changes, (w, shrunk(w, s, o) - step)]


class AdamW(Adam):
    """Adam on g alone, and w <- w * (1 - lr * weight_decay) beside it: decay that the moments do not see.

    Defaults as `torch.optim.AdamW`. Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **engine: object,
    ) -> None:
        options = {"maximize": maximize, "decoupled_weight_decay": True}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options, **engine)  # type: ignore[arg-type]


def sums(g: Node, state: Slots, betas: tuple[float, float]) -> tuple[Node, Node]:
    """The new sums of g and of g**2."""
    return betas[0] * state["exp_sum"] + g, betas[1] * state["exp_sum_sq"] + square(g)


def corrections(step: Node, betas: tuple[float, float]) -> tuple[Node, Node]:
    """1 - beta**t for both betas, where t = step + 1 counts the step being made.

    As -expm1(t * log(beta)): near 1 the difference itself would lose most of its digits.
    """
    powers = -expm1((step + 1.0) * np.array([math.log(beta) if beta else -math.inf for beta in betas]))
    return powers[0], powers[1]
