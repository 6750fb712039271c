"""Is a memory plan right? The plan is replayed step by step on a map of who owns which byte.

Independent of the planner on purpose: lifetimes are not believed but found out. A read is right if every byte of the
value still belongs to it; a write is right if it spares the step's own inputs, or takes one over as the op permits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
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
        self._cut(start)
        self._cut(end)
        left, right = bisect_left(self._starts, start), bisect_left(self._starts, end)
        self._starts[left:right] = [start]
        self._tags[left:right] = [tag]

    def _cut(self, at: int) -> None:
        """Make a run begin at byte `at`."""
        run = bisect_right(self._starts, at) - 1
        if at < self.size and self._starts[run] != at:
            self._starts.insert(run + 1, at)
            self._tags.insert(run + 1, self._tags[run])

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
    """Replay `plan`. Raises `PlanError` naming the step and the values that would meet in the same bytes."""
    replay = _Replay(plan)
    for index, node in enumerate(plan.schedule.steps):
        replay.step(index, node)
    for assign in plan.schedule.copied:
        replay.read(_seen_through(assign.inputs[1]), len(plan.schedule.steps), "the closing copy")
    for node in plan.schedule.graph.outputs:
        replay.check_output(_seen_through(node))


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


class _Replay:
    """The state of memory after some steps: who owns each byte, what is computed, which parameters are overwritten."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.owners = ByteMap(plan.peak_bytes)
        self.written: set[Node] = set()
        self.overwritten: dict[Node, int] = {}

    def step(self, index: int, node: Node) -> None:
        """One step: its reads, its writes, the parameter it changes."""
        where = _Place(index, node)
        if isinstance(node.op, (Assign, Input, Constant, Stored)) or node.op.is_view:
            raise PlanError(f"{where} is not something to compute")
        for value in node.inputs:
            self.read(_seen_through(value), index, where)
        scratch = self._write_scratch(index, node, where)
        self._write_result(index, node, scratch, where)
        self.written.add(node)
        if index >= self.plan.schedule.prepared:
            self._check_lasting(node, where)
        target = self.plan.schedule.direct.get(node)
        if target is not None:
            if index < self.plan.schedule.commit_start:
                raise PlanError(f"{where} changes {target.name!r} before the commit, while steps may still fail")
            self.overwritten[target] = index

    def read(self, value: Node, index: int, where: object) -> None:
        """Whether every byte of `value` is still its own at step `index`."""
        if isinstance(value.op, Stored) and value in self.overwritten:
            name, when = value.op.label, self.overwritten[value]
            raise PlanError(f"{where} reads the old value of {name!r}, overwritten at step {when}")
        if isinstance(value.op, (Input, Constant, Stored)):
            return
        if value not in self.written:
            raise PlanError(f"{where} reads {value!r} before it is computed")
        slot = self.plan.slots.get(value)
        if slot is None:
            if not self._is_elsewhere(value):
                raise PlanError(f"{where} reads {value!r}, which has no place")
        elif index > slot.last:
            raise PlanError(f"{where} reads {slot} after its life ends")
        elif not self.owners.holds(slot.offset, slot.end, value):
            raise PlanError(f"{where} reads {slot}, but its bytes have been written over")

    def _check_lasting(self, node: Node, where: object) -> None:
        """Whether what the step reads of the prepared ones is still there in a call that does not run them."""
        for value in map(_seen_through, node.inputs):
            position = self.plan.schedule.position.get(value)
            if position is not None and position < self.plan.schedule.prepared and not self._is_elsewhere(value):
                raise PlanError(f"{where} reads {value!r}, which is not computed in every call, from the arena")

    def check_output(self, value: Node) -> None:
        """Whether the caller's result outlives the step."""
        if isinstance(value.op, (Input, Constant)):
            return
        if value not in self.plan.results or value not in self.written:
            raise PlanError(f"the output {value!r} is not in an array of its own")
        if value in self.plan.slots:
            raise PlanError(f"the output {value!r} lies in the arena, where the next step writes over it")

    def _write_scratch(self, index: int, node: Node, where: object) -> list[Slot]:
        scratch = list(self.plan.scratch.get(node, ()))
        needed = [t.nbytes for t in self.plan.workspaces[node]]
        given = [slot.nbytes for slot in scratch]
        if given != needed:
            raise PlanError(f"{where} needs scratch of {needed} bytes, the plan gives {given}")
        busy = [self.plan.slots[v] for v in map(_seen_through, node.inputs) if v in self.plan.slots]
        for slot in scratch:
            self._check_inside(slot, index, where)
            for other in busy:
                if _overlap(slot, other):
                    raise PlanError(f"{where}: its scratch at [{slot.offset}, {slot.end}) lies on {other}")
            busy.append(slot)
            self.owners.write(slot.offset, slot.end, slot)
        return scratch

    def _write_result(self, index: int, node: Node, scratch: Sequence[Slot], where: object) -> None:
        out = self.plan.slots.get(node)
        if out is None:
            if not self._is_elsewhere(node):
                raise PlanError(f"{where} has no place for its result")
            return
        self._check_inside(out, index, where)
        if out.nbytes != node.type.nbytes:
            raise PlanError(f"{where}: {out} has {out.nbytes} bytes, not {node.type.nbytes}")
        for other in scratch:
            if _overlap(out, other):
                raise PlanError(f"{where}: its result lies on its own scratch at [{other.offset}, {other.end})")
        for position, value in enumerate(node.inputs):
            source = self.plan.slots.get(_seen_through(value))
            if source is not None and _overlap(out, source) and not self._permitted(node, position, out, source):
                raise PlanError(f"{where}: its result {out} lies on its input {source}")
        self.owners.write(out.offset, out.end, node)

    def _is_elsewhere(self, value: Node) -> bool:
        schedule = self.plan.schedule
        return value in self.plan.results or value in schedule.direct or value in schedule.lasting

    def _permitted(self, node: Node, position: int, out: Slot, source: Slot) -> bool:
        """Whether `node` may write over its input: the op says so, the bytes are the same, nobody else is in them."""
        value, places = node.inputs[position], self.plan.layouts
        alone = [self.plan.slots.get(_seen_through(v)) for v in node.inputs].count(source) == 1
        exact = out.offset == source.offset and out.nbytes == source.nbytes
        aligned = value.type == node.type and same_places(places[value], places[node])
        return position in node.op.inplace and exact and alone and aligned

    def _check_inside(self, slot: Slot, index: int, where: object) -> None:
        if slot.offset < 0 or slot.end > self.plan.peak_bytes:
            raise PlanError(f"{where}: {slot} leaves the arena of {self.plan.peak_bytes} bytes")
        if slot.offset % ALIGNMENT:
            raise PlanError(f"{where}: {slot} is not aligned to {ALIGNMENT} bytes")
        if slot.first != index:
            raise PlanError(f"{where}: {slot} is written at step {index}")


def _overlap(a: Slot, b: Slot) -> bool:
    return a.offset < b.end and b.offset < a.end
