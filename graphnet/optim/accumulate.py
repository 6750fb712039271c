"""Gradient accumulation: one update from several batches."""

from __future__ import annotations

import math

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.provenance import UPDATE, acting_as, deriving, scope
from graphnet.nn.arguments import positive
from graphnet.ops.comparison import fmax, greater_equal, where
from graphnet.ops.shaping import cast
from graphnet.ops.sources import Assign, Parameter, assign, constant
from graphnet.optim.clipping import Transform
from graphnet.optim.optimizer import Optimizer
from graphnet.optim.wrapper import Wrapper, check_optimizer


class Accumulate(Wrapper):
    """`optimizer`, whose parameters change at every `steps`-th call only, by the mean gradient of these calls.

    For a loss that is a mean, with batches of one size and no batch norm, that is the step of one batch `steps` times
    as large. A transform, such as clipping, sees the mean gradient. Schedules count updates, not calls. To average
    weights too: `Accumulate(EMA(optimizer, decay), steps)`, which averages them once an update.

    The step is one graph, so each call computes the update, and all but the last of `steps` keep the old values: that
    costs three passes over each array of state, and one array a parameter holds the sum of gradients, "grad_sum".
    """

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        check_optimizer("Accumulate", optimizer)
        if isinstance(optimizer, Accumulate):
            raise ArgumentError("Accumulate: the optimizer accumulates gradients already; give it more steps")
        super().__init__(optimizer, "accumulated")
        self.steps = positive("Accumulate", "steps", steps)

    def _step(self, trained: list[Parameter], found: list[Node], transform: Transform | None) -> list[Node]:
        with acting_as(UPDATE), scope("Accumulate"):
            last = greater_equal(self.count, self.steps - 1)
            nothing, nan = constant(-0.0, "float64"), constant(math.nan, "float64")
            choice = _Choice(last, where(last, nothing, nan), where(last, nan, nothing))
            assigns = [assign(self.count, where(last, constant(0), self.count + 1))]
        means = []
        for value, gradient in zip(trained, found, strict=True):
            with deriving(value, role=UPDATE):
                before = self._slots_of(value).starting_as("grad_sum", -0.0)  # to which adding changes nothing
                total = before + gradient
                means.append(total / self.steps)
                assigns.append(assign(before, choice.zero_or(total)))
        for update in self._wrapped_step(trained, means, transform):
            target, new = update.inputs
            assert isinstance(update.op, Assign) and isinstance(target, Parameter)
            with deriving(update, role=UPDATE):
                assigns.append(assign(target, choice.between(new, target)))
        return assigns


class _Choice:
    """One of two values by a scalar condition, for arrays in ufuncs alone: fmax takes what is not NaN.

    take is -0.0, which changes nothing when it is added, where the condition holds, and NaN elsewhere; leave is the
    other way round. So the value that is not chosen may be infinite or NaN.
    """

    def __init__(self, condition: Node, take: Node, leave: Node) -> None:
        self._condition, self._take, self._leave = condition, take, leave

    def between(self, new: Node, old: Node) -> Node:
        """new where the condition holds, else old."""
        if not new.type.is_float:
            return where(self._condition, new, old)
        return fmax(new + cast(self._take, new.dtype), old + cast(self._leave, new.dtype))

    def zero_or(self, x: Node) -> Node:
        """0 where the condition holds, else x."""
        return fmax(x + cast(self._leave, x.dtype), cast(self._take, x.dtype))
