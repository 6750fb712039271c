"""LAMB: Adam with a rate for each parameter, for large batches."""

from __future__ import annotations

from collections.abc import Mapping

from graphnet.graph.node import Node
from graphnet.ops.comparison import greater, logical_and, where
from graphnet.ops.shaping import cast
from graphnet.ops.sources import Parameter
from graphnet.ops.unary import sqrt
from graphnet.optim.adam import WithMoments, corrections, sums
from graphnet.optim.clipping import global_norm
from graphnet.optim.groups import Options, Params
from graphnet.optim.optimizer import Changes, Slots
from graphnet.optim.rates import Rate


class LAMB(WithMoments):
    """w <- w - lr * |w| / |u| * u, where u = m^ / (sqrt(v^) + eps) + weight_decay * w with the moments of `Adam`.

    |x| is the root of the sum of squares over the whole parameter; the quotient is 1 where either is 0.
    You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020 (algorithm 2, with the
    identity for phi, and the eps and weight_decay of its experiments).
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize)

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        first, second = corrections(step, o.betas)
        root = sqrt(second * (1.0 / (1.0 - o.betas[1])))
        corrected = (1.0 - o.betas[0]) * root / first
        # Both parts of u are divided by what multiplies the first: u's length cancels it.
        return {
            "rate": rate,
            "corrected": corrected,
            "eps_corrected": o.eps * root,
            "decay_corrected": o.weight_decay / corrected,
        }

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        total, squares = sums(g, state, o.betas)
        step = total / (sqrt(squares) + s["eps_corrected"])
        if o.weight_decay:
            step = step + s["decay_corrected"] * w
        mine, its = global_norm([w]), global_norm([step])
        ratio = where(logical_and(greater(mine, 0.0), greater(its, 0.0)), mine / its, cast(s["corrected"], "float64"))
        rate = cast(cast(s["rate"], "float64") * ratio, w.dtype)
        return [(state["exp_sum"], total), (state["exp_sum_sq"], squares), (w, w - rate * step)]
