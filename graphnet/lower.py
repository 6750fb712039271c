"""Lowering: memory for every value of a plan, and a callable bound to it for every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import setitem

import numpy as np

from graphnet.backend.base import Backend, Bound, Kernel, own_workspace, reference_kernel
from graphnet.backend.ready import Freshness, Ready
from graphnet.errors import PlanError
from graphnet.graph.layout import in_order, memory_order
from graphnet.graph.node import Node
from graphnet.memory import Plan, Slot, aligned_bytes
from graphnet.ops.sources import Assign, Constant, Input, Storage, Stored
from graphnet.schedule import base


@dataclass(frozen=True)
class Lowered:
    """Callables bound to memory. `arrays` holds every value's array: feeds are copied in, results copied out.

    first: run only where a parameter has changed. body: may fail. commit: changes parameters; C-level callables only,
    run without a bytecode in between, so that no interrupt can leave some parameters changed and others not.
    own: how many steps run kernels of the backend's own, not the ops' reference kernels.
    """

    plan: Plan
    arena: np.ndarray
    arrays: Mapping[Node, np.ndarray]
    scratch: Mapping[Node, tuple[np.ndarray, ...]]
    first: tuple[Kernel, ...]
    body: tuple[Kernel, ...]
    commit: tuple[Kernel, ...]
    own: int
    backend: Backend

    @cached_property
    def freshness(self) -> Freshness:
        """Whether what `first` worked out is still true."""
        nodes = self.plan.schedule.steps[: self.plan.schedule.prepared]
        read = dict.fromkeys(base(value) for node in nodes for value in node.inputs)
        return Freshness([node.op.storage for node in read if isinstance(node.op, Stored)])

    @cached_property
    def changed(self) -> tuple[Storage, ...]:
        """What the commit changes."""
        targets = [assign.inputs[0].op for assign in self.plan.schedule.graph.updates]
        return tuple(op.storage for op in targets if isinstance(op, Stored))

    @cached_property
    def body_calls(self) -> list[tuple[int, Kernel]]:
        """What to call to run the body, and the step that each call begins with."""
        return [(len(self.first) + place, call) for place, call in self.backend.joined(self.body)]

    @cached_property
    def first_calls(self) -> list[tuple[int, Kernel]]:
        """What to call when a parameter has changed, and the step that each call begins with."""
        return self.backend.joined(self.first)

    @property
    def _everything(self) -> list[Kernel]:
        return [call for _, call in (*self.first_calls, *self.body_calls, *self.commit_runs)]

    @property
    def merged(self) -> list[tuple[int, ...]]:
        """The steps of each pass that the backend makes of several: their numbers in the schedule."""
        return [steps for kernel in self._everything for steps in getattr(kernel, "merged", ())]

    def prepare(self) -> None:
        """Make the calls now, so that the first step need not wait for them."""
        for kernel in self._everything:
            getattr(kernel, "calls", None)

    @cached_property
    def is_silent(self) -> bool:
        """Whether nothing of it is NumPy's, which warns of what it divides by or cannot round."""
        return all(getattr(kernel, "is_silent", False) for kernel in self._everything)

    @cached_property
    def commit_runs(self) -> list[tuple[int, Kernel]]:
        """What to call to change parameters."""
        return self.backend.joined(self.commit)

    def ready(self, inputs: Sequence[Node]) -> Ready:
        """What running it takes. inputs: the nodes whose values are fed, in their order."""
        return Ready(
            tuple(self.arrays.get(node) for node in inputs),
            self.first_calls,
            self.body_calls,
            self.commit_calls,
            tuple(self.arrays[node] for node in self.plan.schedule.graph.outputs),
            self.freshness,
            self.changed,
            self.is_silent,
        )

    @cached_property
    def commit_calls(self) -> tuple[Kernel, ...]:
        """The commit as single calls: a kernel that is several is taken apart."""
        parts: list[Sequence[Kernel]] = [getattr(kernel, "calls", (kernel,)) for _, kernel in self.commit_runs]
        return tuple(call for calls in parts for call in calls)


def lower(plan: Plan, backend: Backend) -> Lowered:
    """Allocate the arena and what lives outside it, and bind a kernel to each step."""
    arena = aligned_bytes(plan.peak_bytes)
    arrays: dict[Node, np.ndarray] = {}
    for node in plan.schedule.graph.nodes:
        if not isinstance(node.op, Assign):
            arrays[node] = _array(node, plan, arena, arrays)
    scratch = {node: _scratch(node, plan, arena, arrays) for node in plan.scratch}
    order = plan.schedule
    kept = {*plan.results, *order.direct, *order.lasting, *(base(assign.inputs[1]) for assign in order.copied)}
    steps = [
        Bound(node.op, arrays[node], tuple(arrays[v] for v in node.inputs), scratch.get(node, ()), node in kept)
        for node in plan.schedule.steps
    ]
    own = backend.kernels(steps)
    for node, kernel in zip(plan.schedule.steps, own, strict=True):
        if kernel is None and tuple(plan.workspaces[node]) != tuple(own_workspace(node)):
            raise PlanError(f"{backend.name} planned scratch for {node!r}, and has no kernel for it")
    kernels = [kernel or reference_kernel(step) for step, kernel in zip(steps, own, strict=True)]
    # Not np.copyto: that passes through a Python frame, in which an interrupt would leave the parameters half changed.
    copies: list[Kernel] = [
        partial(setitem, arrays[a.inputs[0]], ..., arrays[a.inputs[1]]) for a in plan.schedule.copied
    ]
    prepared, start = plan.schedule.prepared, plan.schedule.commit_start
    return Lowered(
        plan,
        arena,
        arrays,
        scratch,
        first=tuple(kernels[:prepared]),
        body=tuple(kernels[prepared:start]),
        commit=(*kernels[start:], *copies),
        own=sum(kernel is not None for kernel in own),
        backend=backend,
    )


def _scratch(node: Node, plan: Plan, arena: np.ndarray, arrays: Mapping[Node, np.ndarray]) -> tuple[np.ndarray, ...]:
    """The workspace of a step. Where the result's axes lie in another order, those of its scratch do too."""
    order = memory_order(node, [arrays[value] for value in node.inputs])
    return tuple(
        in_order(_in_arena(arena, slot, t.dtype), t.static_shape, order if t.ndim == len(order) else range(t.ndim))
        for slot, t in zip(plan.scratch[node], plan.workspaces[node], strict=True)
    )


def _in_arena(arena: np.ndarray, slot: Slot, dtype: np.dtype) -> np.ndarray:
    return arena[slot.offset : slot.end].view(dtype)


def _array(node: Node, plan: Plan, arena: np.ndarray, arrays: Mapping[Node, np.ndarray]) -> np.ndarray:
    """The memory in which `node`'s value is found."""
    if isinstance(node.op, Constant):
        return node.op.value
    if isinstance(node.op, Stored):
        return node.op.storage.array
    if node.op.is_view:
        return node.op.view(arrays[node.inputs[0]])
    if node in plan.schedule.direct:
        return plan.schedule.direct[node].op.storage.array
    slot = plan.slots.get(node)
    if slot is None:
        assert isinstance(node.op, Input) or node in plan.results or node in plan.schedule.lasting
        flat = np.empty(node.type.nbytes // node.dtype.itemsize, node.dtype)
    else:
        flat = _in_arena(arena, slot, node.dtype)
    return in_order(flat, node.type.static_shape, memory_order(node, [arrays[value] for value in node.inputs]))
