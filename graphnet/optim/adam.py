"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.ops.comparison import maximum
from graphnet.ops.sources import Parameter
from graphnet.ops.unary import expm1, sqrt, square
from graphnet.optim.optimizer import Optimizer, Rate, Slots, check_number
from graphnet.optim.sgd import decayed


class Adam(Optimizer):
    """m <- b1 * m + (1 - b1) * g;  v <- b2 * v + (1 - b2) * g**2;  w <- w - lr * m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1**t) and v^ = v / (1 - b2**t); weight_decay * w is added to g. amsgrad: the largest v so far takes
    v's place. Defaults as `torch.optim.Adam`. Kingma and Ba, 2015; Reddi, Kale and Kumar, 2018 (amsgrad).

    What is kept are the sums "exp_sum" = m / (1 - b1) and "exp_sum_sq" = v / (1 - b2): b1 * sum + g is two passes over
    arrays of w's size where the average takes three.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr)
        name = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ArgumentError(f"{name}: betas must be two numbers, got {betas!r}")
        self.betas = check_number(name, "betas[0]", betas[0], 1.0), check_number(name, "betas[1]", betas[1], 1.0)
        self.eps = check_number(name, "eps", eps)
        self.weight_decay = check_number(name, "weight_decay", weight_decay)
        self.amsgrad = bool(amsgrad)

    def scalars(self, step: Node, rate: Node) -> dict[str, Node]:
        beta1, beta2 = self.betas
        # beta**t - 1 for both as expm1(t * log(beta)): near 1 the difference itself would lose most of its digits.
        powers = expm1((step + 1.0) * np.array([math.log(beta) if beta else -math.inf for beta in self.betas]))
        # rate * (m / c1) / (sqrt(v / c2) + eps) with m and v by their sums, all scalars gathered: two passes fewer.
        root = sqrt(powers[1] * (1.0 / (beta2 - 1.0)))
        return {
            "rate": rate,
            "rate_corrected": rate * (beta1 - 1.0) * root / powers[0],
            "eps_corrected": self.eps * root,
        }

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node]) -> list[tuple[Parameter, Node]]:
        g = self._penalized(g, w)
        beta1, beta2 = self.betas
        total = beta1 * state["exp_sum"] + g
        squares = beta2 * state["exp_sum_sq"] + square(g)
        changes = [(state["exp_sum"], total), (state["exp_sum_sq"], squares)]
        if self.amsgrad:
            largest = state["max_exp_sum_sq"]
            squares = maximum(largest, squares)
            changes.append((largest, squares))
        step = s["rate_corrected"] * (total / (sqrt(squares) + s["eps_corrected"]))
        return [*changes, (w, self._shrunk(w, s) - step)]

    def _penalized(self, g: Node, w: Node) -> Node:
        return decayed(g, w, self.weight_decay)

    def _shrunk(self, w: Node, s: Mapping[str, Node]) -> Node:
        return w


class AdamW(Adam):
    """Adam on g alone, and w <- w * (1 - lr * weight_decay) beside it: decay that the moments do not see.

    Defaults as `torch.optim.AdamW`. Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def scalars(self, step: Node, rate: Node) -> dict[str, Node]:
        return {**super().scalars(step, rate), "kept": 1.0 - rate * self.weight_decay}

    def _penalized(self, g: Node, w: Node) -> Node:
        return g

    def _shrunk(self, w: Node, s: Mapping[str, Node]) -> Node:
        return w * s["kept"] if self.weight_decay else w
