"""`Optimizer`: from a loss, or from gradients, to the assign nodes of one training step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphnet.autodiff import gradients
from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.provenance import UPDATE, acting_as, deriving, scope
from graphnet.nn.state import LoadResult, load_arrays
from graphnet.ops.shaping import cast
from graphnet.ops.sources import Parameter, assign, constant, parameter
from graphnet.optim.clipping import Transform
from graphnet.optim.schedules import Schedule

Rate: TypeAlias = "float | Node | Schedule"


class Slots:
    """The state that one parameter has with an optimizer, made on first use: zeros of the parameter's type."""

    def __init__(self, owner: Parameter, made: dict[str, Parameter]) -> None:
        self._owner = owner
        self._made = made

    def __getitem__(self, name: str) -> Parameter:
        if name not in self._made:
            zeros = np.zeros(self._owner.type.static_shape, self._owner.dtype)
            self._made[name] = parameter(zeros, f"{self._owner.name}.{name}", requires_grad=False)
        return self._made[name]


class Optimizer(ABC):
    """Base of all optimizers. A subclass says `rule`, and `scalars` where it needs more than the rate.

    lr is a number, a floating-point scalar node (such as a parameter that you set), or a schedule.
    """

    def __init__(self, params: Iterable[Parameter], lr: Rate) -> None:
        self.parameters = _checked_parameters(type(self).__name__, params)
        self.lr = self._checked_rate(lr)
        self.steps_made = parameter(np.int64(0), "step", requires_grad=False)
        self._slots: dict[Parameter, dict[str, Parameter]] = {}

    def updates(self, loss: Node, transform: Transform | None = None) -> list[Node]:
        """The assign nodes of one step that lowers `loss`: `gn.compile(inputs, loss, updates=adam.updates(loss))`.

        transform, where given, changes the gradients first: `transform=optim.clip_grad_norm(1.0)`. Parameters with
        requires_grad False stay as they are. Raises `GradientError` for a loss that is not scalar, and for a
        parameter, which it names, that the loss does not depend on.
        """
        trained = [value for value in self.parameters if value.requires_grad]
        if not trained:
            raise ArgumentError(f"{type(self).__name__}: no parameter is left to train, all have requires_grad=False")
        return self._updates(trained, gradients(loss, trained), transform)

    def updates_from(self, gradients: Sequence[Node], transform: Transform | None = None) -> list[Node]:
        """The assign nodes of one step, given a gradient for each of `parameters`, in their order."""
        if len(gradients) != len(self.parameters):
            wanted = f"{len(self.parameters)} gradients, one a parameter"
            raise ArgumentError(f"{type(self).__name__}: expected {wanted}, got {len(gradients)}")
        return self._updates(self.parameters, list(gradients), transform)

    def _updates(self, trained: list[Parameter], found: list[Node], transform: Transform | None) -> list[Node]:
        with acting_as(UPDATE), scope(type(self).__name__):
            if transform is not None:
                found = transform(found)
            rate = self.lr(self.steps_made) if isinstance(self.lr, Schedule) else cast(self.lr, "float64")
            shared = self.scalars(cast(self.steps_made, "float64"), rate)
            # Scalars are worked out in float64, then rounded once to what each parameter computes in.
            dtypes = dict.fromkeys(value.dtype for value in trained)
            rounded = {dtype: {name: cast(node, dtype) for name, node in shared.items()} for dtype in dtypes}
            assigns = [assign(self.steps_made, self.steps_made + 1)]
        for value, gradient in zip(trained, found, strict=True):
            slots = Slots(value, self._slots.setdefault(value, {}))
            with deriving(value, role=UPDATE):
                changes = self.rule(value, gradient, slots, rounded[value.dtype])
                assigns += [assign(target, new) for target, new in changes]
        return assigns

    def scalars(self, step: Node, rate: Node) -> dict[str, Node]:
        """What the rule needs once a step: float64 scalars from the number of steps made and the learning rate."""
        return {"rate": rate}

    @abstractmethod
    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node]) -> list[tuple[Parameter, Node]]:
        """New values for the parameter `w` and its state, given its gradient `g` and the scalars in w's dtype."""

    @property
    def state(self) -> dict[str, Parameter]:
        """Everything the optimizer remembers, by name: "step", and such as "conv1.weight.exp_sum".

        Moments are there once `updates` was called.
        """
        found = {"step": self.steps_made}
        for position, value in enumerate(self.parameters):
            for name, slot in self._slots.get(value, {}).items():
                slot.rename(f"{value.name}.{name}")
                key = slot.name if slot.name not in found else f"{value.name}:{position}.{name}"
                found[key] = slot
        return found

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the state."""
        return {name: value.value for name, value in self.state.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> LoadResult:
        """Continue from a saved state. Raises `WeightsError`, and changes nothing, where names or shapes differ."""
        return load_arrays(self.state, state_dict, type(self).__name__)

    def _checked_rate(self, lr: Rate) -> Node | Schedule:
        name = type(self).__name__
        if isinstance(lr, Node):
            if lr.shape != () or not lr.type.is_float:
                raise ArgumentError(f"{name}: lr must be a floating-point scalar, got {lr.type}")
            return lr
        if isinstance(lr, Schedule):
            return lr
        return constant(check_number(name, "lr", lr), "float64")


def check_number(name: str, argument: str, value: object, below: float = math.inf) -> float:
    """`value` as a float in [0, below). Raises `ArgumentError`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not 0 <= value < below:
        wanted = ">= 0" if below == math.inf else f"in [0, {below:g})"
        raise ArgumentError(f"{name}: {argument} must be a number {wanted}, got {value!r}")
    return float(value)


def _checked_parameters(name: str, params: Iterable[Parameter]) -> list[Parameter]:
    if isinstance(params, Node) or not isinstance(params, Iterable):
        raise ArgumentError(f"{name}: params must be parameters, such as model.parameters(), got {params!r}")
    listed = list(params)
    if not listed:
        raise ArgumentError(f"{name}: got no parameters (an iterator that was already used up gives none)")
    for value in listed:
        if not isinstance(value, Parameter):
            raise ArgumentError(f"{name}: params must hold parameters only (no groups or names), got {value!r}")
        if not value.type.is_float:
            raise ArgumentError(f"{name}: {value.name!r} is {value.dtype}; only floating-point parameters are trained")
    if len(set(listed)) != len(listed):
        twice = next(value for value in listed if listed.count(value) > 1)
        raise ArgumentError(f"{name}: {twice.name!r} is given twice")
    return listed
