"""`Optimizer`: from a loss, or from gradients, to the assign nodes of one training step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from graphnet.autodiff import gradients
from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.provenance import UPDATE, acting_as, deriving, scope
from graphnet.graph.types import TensorType
from graphnet.nn.arguments import flag
from graphnet.nn.state import LoadResult, load_arrays
from graphnet.ops.shaping import cast
from graphnet.ops.sources import Parameter, assign, parameter
from graphnet.optim.clipping import Transform
from graphnet.optim.groups import Group, Options, Params, check_number, listed_groups, members, refuse_engine
from graphnet.optim.plateau import ReduceLROnPlateau
from graphnet.optim.rates import Rate, checked_rate, rate_at

Changes = list[tuple[Parameter, Node]]


class Slots:
    """State of one type that an optimizer keeps under names, made on first use."""

    def __init__(self, owner: str, type: TensorType, made: dict[str, Parameter]) -> None:
        self._owner, self._type, self._made = owner, type, made

    def __getitem__(self, name: str) -> Parameter:
        """The state called `name`, which starts as zeros."""
        return self.starting_as(name, 0)

    def starting_as(self, name: str, value: ArrayLike) -> Parameter:
        """The state called `name`, which starts as `value` everywhere."""
        if name not in self._made:
            start = np.broadcast_to(np.asarray(value, self._type.dtype), self._type.static_shape)
            label = f"{self._owner}.{name}" if self._owner else name
            self._made[name] = parameter(start, label, requires_grad=False)
        return self._made[name]


class Optimizer(ABC):
    """Base of all optimizers. A subclass says `rule`, `check` for its options, and `scalars` beyond the rate.

    params: parameters, or groups of them with options of their own, as in PyTorch:
    `[{"params": weights, "weight_decay": 1e-4}, {"params": biases, "lr": 0.1}]`; what a group leaves out is as for
    the others. lr: a number, a floating-point scalar node (such as a parameter that you set), a schedule, or
    `ReduceLROnPlateau`. maximize, where an optimizer takes it: the loss is raised, by the negated gradients.

    Passes over arrays of a parameter's size are what a step costs, so what is a scalar is gathered before it meets
    one. A rule is made of ufuncs wherever it can be: these run at the very end of the step, tile by tile.
    """

    def __init__(self, params: Params, lr: Rate, engine: Mapping[str, object] | None = None, **options: Any) -> None:
        refuse_engine(type(self).__name__, engine or {})
        self.defaults: dict[str, Any] = {"lr": lr, **options}
        self.parameters: list[Parameter] = []
        self._groups: list[Group] = []
        self._group_of: dict[Parameter, Group] = {}
        self.steps_made = parameter(np.int64(0), "step", requires_grad=False)
        self._slots: dict[Parameter, dict[str, Parameter]] = {}
        self._declared = False
        for group in listed_groups(type(self).__name__, params):
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """One more group: a mapping with "params" and options. Steps that were declared before do without it."""
        name = type(self).__name__
        who = f"{name}, group {len(self._groups)}" if self._groups or set(param_group) - {"params"} else name
        found = members(who, param_group, self.defaults, self.parameters)
        options = Options(**{**self.defaults, **{k: v for k, v in param_group.items() if k != "params"}})
        self.check(who, options)
        group = Group(tuple(found), options)
        self._groups.append(group)
        self._group_of.update(dict.fromkeys(found, group))
        self.parameters.extend(found)

    @property
    def param_groups(self) -> tuple[Mapping[str, Any], ...]:
        """The groups with all their options, to read. To change the rate of a compiled step, give a parameter as lr."""
        return tuple(MappingProxyType({"params": group.params, **vars(group.options)}) for group in self._groups)

    @property
    def lr(self) -> Rate:
        """The rate of the first group. Setting it sets that of every group, for steps declared from then on."""
        rate: Rate = self._groups[0].options.lr
        return rate

    @lr.setter
    def lr(self, lr: Rate) -> None:
        checked = checked_rate(type(self).__name__, lr)
        for group in self._groups:
            group.options.lr = checked

    # -- one step --------------------------------------------------------------------------------------------------

    def updates(self, loss: Node, transform: Transform | None = None) -> list[Node]:
        """The assign nodes of one step that lowers `loss`: `gn.compile(inputs, loss, updates=adam.updates(loss))`.

        transform, where given, changes the gradients first: `transform=optim.clip_grad_norm(1.0)`. Parameters with
        requires_grad False stay as they are. Raises `GradientError` for a loss that is not scalar, and for a
        parameter, which it names, that the loss does not depend on.
        """
        trained = self._trained()
        return self._step(trained, gradients(loss, trained), transform)

    def updates_from(self, gradients: Sequence[Node], transform: Transform | None = None) -> list[Node]:
        """The assign nodes of one step, given a gradient for each of `parameters`, in their order."""
        if len(gradients) != len(self.parameters):
            wanted = f"{len(self.parameters)} gradients, one a parameter"
            raise ArgumentError(f"{type(self).__name__}: expected {wanted}, got {len(gradients)}")
        _check_gradients(f"{type(self).__name__}: the gradient", self.parameters, gradients)
        return self._step(self.parameters, list(gradients), transform)

    def _trained(self) -> list[Parameter]:
        trained = [value for value in self.parameters if value.requires_grad]
        if not trained:
            raise ArgumentError(f"{type(self).__name__}: no parameter is left to train, all have requires_grad=False")
        return trained

    def _step(self, trained: list[Parameter], found: list[Node], transform: Transform | None) -> list[Node]:
        self._declared = True
        with acting_as(UPDATE), scope(type(self).__name__):
            if transform is not None:
                found = _transformed(type(self).__name__, transform, trained, found)
            assigns = [assign(self.steps_made, self.steps_made + 1)]
            shared: dict[int, Mapping[np.dtype, Mapping[str, Node]]] = {}
            for group in dict.fromkeys(self._group_of[value] for value in trained):
                shared[id(group)], changes = self._shared(group)
                assigns += [assign(target, new) for target, new in changes]
        for value, gradient in zip(trained, found, strict=True):
            group = self._group_of[value]
            slots = Slots(value.name, value.type, self._slots.setdefault(value, {}))
            with deriving(value, role=UPDATE):
                g = -gradient if getattr(group.options, "maximize", False) else gradient
                changes = self.rule(value, g, slots, shared[id(group)][value.dtype], group.options)
                assigns += [assign(target, new) for target, new in changes]
        return assigns

    def _shared(self, group: Group) -> tuple[Mapping[np.dtype, Mapping[str, Node]], Changes]:
        """A group's scalars in each dtype of its parameters, and what becomes of those that it keeps.

        They are worked out in float64, then rounded once to what each parameter computes in.
        """
        kept = Slots("", TensorType(np.dtype("float64"), ()), group.kept)
        step = cast(self.steps_made, "float64")
        scalars = self.scalars(step, rate_at(group.options.lr, self.steps_made), group.options, kept)
        dtypes = dict.fromkeys(value.dtype for value in group.params)
        rounded = {dtype: {name: cast(node, dtype) for name, node in scalars.items()} for dtype in dtypes}
        return rounded, self.keeps(step, group.options, kept)

    # -- what an optimizer says ------------------------------------------------------------------------------------

    def check(self, who: str, o: Options) -> None:
        """Check a group's options and bring them into final form. Raises `ArgumentError` that begins with `who`."""
        o.lr = checked_rate(who, o.lr)
        if hasattr(o, "weight_decay"):
            o.weight_decay = check_number(who, "weight_decay", o.weight_decay)
        for name in ("maximize", "decoupled_weight_decay"):
            if hasattr(o, name):
                setattr(o, name, flag(who, name, getattr(o, name)))

    def scalars(self, step: Node, rate: Node, o: Options, kept: Slots) -> dict[str, Node]:
        """What the rule needs once a step: float64 scalars from the number of steps made and the learning rate."""
        return {"rate": rate}

    def keeps(self, step: Node, o: Options, kept: Slots) -> Changes:
        """New values of the float64 scalars that a group keeps from step to step: none for most rules."""
        return []

    @abstractmethod
    def rule(self, w: Parameter, g: Node, state: Slots, s: Mapping[str, Node], o: Options) -> Changes:
        """New values for the parameter `w` and its state: its gradient `g`, the scalars in w's dtype, the options."""

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Parameter]:
        """Everything the optimizer remembers, by name: "step", and such as "conv1.weight.exp_sum".

        With groups, what the second keeps is called such as "mu_product:1"; a `ReduceLROnPlateau` among the rates
        gives "plateau.lr" and its other numbers.
        """
        self._declare_state()
        found = {"step": self.steps_made}
        for number, group in enumerate(self._groups):
            found.update({f"{name}:{number}" if number else name: slot for name, slot in group.kept.items()})
        rates = dict.fromkeys(g.options.lr for g in self._groups if isinstance(g.options.lr, ReduceLROnPlateau))
        for number, rate in enumerate(rates):
            prefix = f"plateau:{number}" if number else "plateau"
            found.update({f"{prefix}.{name}": value for name, value in rate.state.items()})
        return self._with_slots(found)

    def _declare_state(self) -> None:
        """Make the state that a step would make, for who asks before there is one."""
        if not self._declared:
            trained = [value for value in self.parameters if value.requires_grad]
            self._step(trained, list(trained), None)
            self._declared = False

    def _with_slots(self, found: dict[str, Parameter]) -> dict[str, Parameter]:
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


def _transformed(name: str, transform: object, trained: list[Parameter], found: list[Node]) -> list[Node]:
    """What the user's `transform` makes of the gradients, one for each parameter."""
    if not callable(transform):
        wanted = "a function of gradients, such as clip_grad_norm(1.0)"
        raise ArgumentError(f"{name}: transform must be {wanted}, got {transform!r}")
    given = transform(found)
    if not isinstance(given, (list, tuple)):
        raise ArgumentError(f"{name}: transform must give a list of gradients, got {given!r}")
    _check_gradients(f"{name}: what transform gives", trained, given)
    return list(given)


def _check_gradients(what: str, trained: Sequence[Parameter], found: Sequence[object]) -> None:
    """Raise unless there is a gradient of the parameter's type for each, so that none is broadcast by mistake."""
    if len(found) != len(trained):
        raise ArgumentError(f"{what} must be a gradient for each of {len(trained)} parameters, got {len(found)}")
    for value, gradient in zip(trained, found, strict=True):
        if not isinstance(gradient, Node) or gradient.type != value.type:
            came = gradient.type if isinstance(gradient, Node) else repr(gradient)
            raise ArgumentError(f"{what} for {value.name!r} must be a node {value.type}, got {came}")
