"""`Wrapper`: an optimizer that changes what another one does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.ops.sources import Parameter, parameter
from graphnet.optim.clipping import Transform
from graphnet.optim.groups import Options
from graphnet.optim.optimizer import Changes, Optimizer, Slots
from graphnet.optim.rates import Rate


class Wrapper(Optimizer):
    """Base of `Accumulate` and `EMA`: `optimizer`'s groups, rates and rule, with state of its own beside them.

    counter: the name of the integer that it counts with.
    """

    def __init__(self, optimizer: Optimizer, counter: str) -> None:
        self.optimizer = optimizer
        self.parameters = optimizer.parameters
        self.steps_made = optimizer.steps_made
        self.count = parameter(np.int64(0), counter, requires_grad=False)
        self._slots: dict[Parameter, dict[str, Parameter]] = {}
        self._declared = False

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """One more group for the wrapped optimizer."""
        self.optimizer.add_param_group(param_group)

    @property
    def param_groups(self) -> tuple[Mapping[str, Any], ...]:
        """The groups of the wrapped optimizer."""
        return self.optimizer.param_groups

    @property
    def lr(self) -> Rate:
        """The rate of the wrapped optimizer."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, lr: Rate) -> None:
        self.optimizer.lr = lr

    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        """The wrapped optimizer's rule."""
        return self.optimizer.rule(w, g, state, s, o)

    @property
    def state(self) -> dict[str, Parameter]:
        """What the wrapped optimizer remembers, this one's count, and such as "conv1.weight.average"."""
        self._declare_state()
        return self._with_slots({**self.optimizer.state, self.count.name: self.count})

    def _wrapped_step(self, trained: list[Parameter], found: list[Node], transform: Transform | None) -> list[Node]:
        self._declared = True
        return self.optimizer._step(trained, found, transform)

    def _slots_of(self, value: Parameter) -> Slots:
        return Slots(value.name, value.type, self._slots.setdefault(value, {}))


def check_optimizer(name: str, optimizer: object) -> None:
    """Raise `ArgumentError` unless `optimizer` is one."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"{name}: optimizer must be an optimizer, such as optim.SGD(...), got {optimizer!r}")
