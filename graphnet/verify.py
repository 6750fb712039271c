"""Is a memory plan right? The plan is replayed step by step on a map of who owns which byte.

Independent of the planner on purpose: lifetimes are not believed but found out. A read is right if every byte of the
value still belongs to it; a write is right if it spares the step's own inputs, or takes one over as the op permits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from graphnet.errors import PlanError
from graphnet.graph.layout import same_places
from graphnet.graph.node import Node
from graphnet.memory import ALIGNMENT, Plan, Slot
from graphnet.ops.sources import Assign, Constant, Input, Stored


class ByteMap:
    """Which tag each byte of [0, size) carries, as sorted runs."""

    def __init__(self, size: int) -> None:
        self._starts = [0]
        self._tags: list[object] = [None]
        self.size = size

    def write(self, start: int, end: int, tag: object) -> None:
        """Tag bytes [start, end)."""
        if start == end:
            return
        right = bisect_right(self._starts, end) - 1  # the run that holds byte `end`
        after = self._tags[right]
        left = bisect_left(self._starts, start)
        keep_end = [(end, after)] if end < self.size and not (right < len(self._starts) and self._starts[right] == end) else []
        stop = right if right < len(self._starts) and self._starts[right] == end else right + 1
        self._starts[left:stop] = [start, *(s for s, _ in keep_end)]
        self._tags[left:stop] = [tag, *(t for _, t in keep_end)]

    def holds(self, start: int, end: int, tag: object) -> bool:
        """Whether every byte of [start, end) carries `tag`."""
        if start == end:
            return True
        run = bisect_right(self._starts, start) - 1
        while run < len(self._starts) and self._starts[run] < end:
            if self._tags[run] is not tag:
                return False
            run += 1
        return True


def verify_plan(plan: Plan) -> None:
    """Replay `plan`. Raises `PlanError` naming the step and the two values that would meet in the same bytes."""
    owners = ByteMap(plan.peak_bytes)
    overwritten: dict[Node, int] = {}
    steps = plan.schedule.steps
    written: set[Node] = set()
    for index, node in enumerate(steps):
        where = _Place(index, node)
        for value in node.inputs:
            _check_read(plan, owners, written, overwritten, _seen_through(value), index, where)
        _check_write(plan, owners, index, node, where)
        written.add(node)
        target = plan.schedule.direct.get(node)
        if target is not None:
            if index < plan.schedule.commit_start:
                raise PlanError(f"{where} changes parameter {target.name!r} before the commit, while steps may still fail")
            overwritten[target] = index
    for assign in plan.schedule.copied:
        _check_read(plan, owners, written, overwritten, _seen_through(assign.inputs[1]), len(steps), "the closing copy")
    for node in plan.schedule.graph.outputs:
        _check_output(plan, written, _seen_through(node))


@dataclass(frozen=True, slots=True)
class _Place:
    """A step as errors name it; the text is made only where there is an error."""

    index: int
    node: Node

    def __str__(self) -> str:
        return f"step {self.index} ({self.node.op.name} {self.node.type})"


def _seen_through(node: Node) -> Node:
    while node.op.is_view:
        node = node.inputs[0]
    return node


def _check_read(
    plan: Plan, owners: ByteMap, written: set[Node], overwritten: dict[Node, int], value: Node, index: int, where: object
) -> None:
    if isinstance(value.op, Stored):
        if value in overwritten:
            name = value.op.label
            raise PlanError(f"{where} reads the old value of {name!r}, overwritten at step {overwritten[value]}")
        return
    if isinstance(value.op, (Input, Constant)):
        return
    if value not in written:
        raise PlanError(f"{where} reads {value!r} before it is computed")
    slot = plan.slots.get(value)
    if slot is None:
        if value not in plan.results and value not in plan.schedule.direct:
            raise PlanError(f"{where} reads {value!r}, which has no place")
    elif index > slot.last:
        raise PlanError(f"{where} reads {slot} after its life ends")
    elif not owners.holds(slot.offset, slot.end, value):
        raise PlanError(f"{where} reads {slot}, but its bytes have been written over")


def _check_write(plan: Plan, owners: ByteMap, index: int, node: Node, where: object) -> None:
    if isinstance(node.op, (Assign, Input, Constant, Stored)) or node.op.is_view:
        raise PlanError(f"{where} is not something to compute")
    inputs = [plan.slots[v] for v in map(_seen_through, node.inputs) if v in plan.slots]
    scratch = list(plan.scratch.get(node, ()))
    needed = [t.nbytes for t in node.op.workspace(*(value.type for value in node.inputs))]
    if [slot.nbytes for slot in scratch] != needed:
        raise PlanError(f"{where} needs scratch of {needed} bytes, the plan gives {[slot.nbytes for slot in scratch]}")
    out = plan.slots.get(node)
    if out is None and node not in plan.results and node not in plan.schedule.direct:
        raise PlanError(f"{where} has no place for its result")
    busy = list(inputs)
    for slot in scratch:
        _check_inside(plan, slot, index, where)
        for other in busy:
            if _overlap(slot, other):
                raise PlanError(f"{where}: its scratch at [{slot.offset}, {slot.end}) lies on {other}")
        busy.append(slot)
        owners.write(slot.offset, slot.end, slot)
    if out is None:
        return
    _check_inside(plan, out, index, where)
    if out.nbytes != node.type.nbytes:
        raise PlanError(f"{where}: {out} has {out.nbytes} bytes, not {node.type.nbytes}")
    for other in scratch:
        if _overlap(out, other):
            raise PlanError(f"{where}: its result lies on its own scratch at [{other.offset}, {other.end})")
    for position, value in enumerate(node.inputs):
        source = plan.slots.get(_seen_through(value))
        if source is not None and _overlap(out, source) and not _permitted(plan, node, position, out, source):
            raise PlanError(f"{where}: its result {out} lies on its input {source}")
    owners.write(out.offset, out.end, node)


def _permitted(plan: Plan, node: Node, position: int, out: Slot, source: Slot) -> bool:
    """Whether `node` may write over its input: the op says so, the bytes are the same, nobody else is in them."""
    value = node.inputs[position]
    alone = [plan.slots.get(_seen_through(v)) for v in node.inputs].count(source) == 1
    exact = out.offset == source.offset and out.nbytes == source.nbytes
    aligned = value.type == node.type and same_places(plan.layouts[value], plan.layouts[node])
    return position in node.op.inplace and exact and alone and aligned


def _check_inside(plan: Plan, slot: Slot, index: int, where: object) -> None:
    if slot.offset < 0 or slot.end > plan.peak_bytes:
        raise PlanError(f"{where}: {slot} leaves the arena of {plan.peak_bytes} bytes")
    if slot.offset % ALIGNMENT:
        raise PlanError(f"{where}: {slot} is not aligned to {ALIGNMENT} bytes")
    if slot.first != index:
        raise PlanError(f"{where}: {slot} is written at step {index}")


def _overlap(a: Slot, b: Slot) -> bool:
    return a.offset < b.end and b.offset < a.end


def _check_output(plan: Plan, written: set[Node], value: Node) -> None:
    if isinstance(value.op, (Input, Constant)):
        return
    if value not in plan.results or value not in written:
        raise PlanError(f"the output {value!r} is not in an array of its own")
    if value in plan.slots:
        raise PlanError(f"the output {value!r} lies in the arena, where the next step writes over it")
