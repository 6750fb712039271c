"""Lion, whose step is a sign."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphnet.graph.node import Node
from graphnet.ops.comparison import maximum, minimum
from graphnet.ops.sources import Parameter
from graphnet.optim.adam import WithMoments
from graphnet.optim.groups import Options, Params
from graphnet.optim.optimizer import Changes, Slots
from graphnet.optim.rates import Rate
from graphnet.optim.sgd import kept_share, shrunk


class Lion(WithMoments):
    """w <- w - lr * (sign(b1 * m + (1 - b1) * g) + weight_decay * w);  m <- b2 * m + (1 - b2) * g.

    Chen et al., "Symbolic discovery of optimization algorithms", 2023 (algorithm 2), whose betas are the defaults.
    The sum "exp_sum" = m / (1 - b2) is kept for m: the sign asks for no scale.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas=betas, weight_decay=weight_decay, maximize=maximize)

    def check(self, who: str, o: Options) -> None:
        super().check(who, o)
        o.decoupled_weight_decay = True

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        return {"rate": rate, "lowest": -rate, "kept": kept_share(rate, o)}

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        beta1, beta2 = o.betas
        total = state["exp_sum"]
        direction = beta1 * (1.0 - beta2) / (1.0 - beta1) * total + g
        # lr * sign(direction): whatever is not 0 (or below 1e-42 in float32) ends at a bound. NumPy's sign branches on
        # each element, which takes as long as fifty passes where signs are mixed.
        step = minimum(maximum(direction * float(np.finfo(w.dtype).max), s["lowest"]), s["rate"])
        return [(total, beta2 * total + g), (w, shrunk(w, s, o) - step)]
