"""Bytes: every computed value of a schedule gets its place in one arena before the first run.

Aliasing exists only here. A view has no bytes of its own and keeps its base alive; a step whose op permits it takes
over the bytes of an input that nobody reads later. Feeds, parameters, constants, results and what outlives the call
are never in the arena.
`verify.verify_plan` checks every plan and shares no code with this file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphnet.graph.layout import same_places
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.schedule import Schedule, base, is_step

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
_GOOD_ENOUGH = 1.03  # times the largest sum of live bytes: what the search stops at
_STANDS_OUT = 1.01  # times the same: a block that ends beyond it should have been placed earlier
_LINES = 3  # orders that are changed in turn
_SQUEAKS = 6  # changes of the first kind to each, before those of the second
_MOST_TRIES = 100
_MOST_PAIRS = 120_000_000  # of blocks that are looked at in these tries, which is a second
_SEARCH_LIMIT = 4_000  # blocks; beyond it the quadratic placement would cost more time than it saves bytes


@dataclass(frozen=True)
class Slot:
    """Bytes [offset, offset + nbytes) of the arena, from the step that writes them to the last that reads them."""

    node: Node
    offset: int
    nbytes: int
    first: int
    last: int

    @property
    def end(self) -> int:
        return self.offset + self.nbytes

    def __str__(self) -> str:
        place = f"[{self.offset}, {self.end}) for steps {self.first}..{self.last}"
        return f"{self.node.op.name} {self.node.type} at {place}"


@dataclass(frozen=True)
class Plan:
    """Where each value of a schedule lives. What is in no slot is a feed, constant, parameter, result or view.

    slots: each value in the arena. workspaces: for each step, the types of its scratch arrays. scratch: for a step that
    has some, their slots. results: computed values that are (looked at by) outputs and have an array of their own.
    layouts: the strides of each value, on arrays without memory. peak_bytes: the size of the arena. live_bytes: the
    largest sum of bytes live at one step of this schedule, which no plan can go below.
    """

    schedule: Schedule
    slots: dict[Node, Slot]
    workspaces: Mapping[Node, Sequence[TensorType]]
    scratch: dict[Node, tuple[Slot, ...]]
    results: frozenset[Node]
    layouts: dict[Node, np.ndarray]
    peak_bytes: int
    live_bytes: int

    @cached_property
    def reused(self) -> dict[Node, Node]:
        """For a step that writes over an input, that input's base."""
        found = {}
        for node, slot in self.slots.items():
            for value in map(base, node.inputs):
                other = self.slots.get(value)
                if other is not None and value is not node and other.offset == slot.offset and other.last == slot.first:
                    found[node] = value
        return found

    def memory_map(self) -> str:
        """The arena as text: one line a slot, in the order of the steps that write them."""
        lines = [f"arena {self.peak_bytes:,} bytes; largest sum of live bytes {self.live_bytes:,}"]
        everything = [*self.slots.values(), *(slot for slots in self.scratch.values() for slot in slots)]
        scratch = {id(slot) for slots in self.scratch.values() for slot in slots}
        for slot in sorted(everything, key=lambda s: (s.first, s.offset)):
            what = "scratch of " if id(slot) in scratch else ""
            over = f", over {self.reused[slot.node].op.name}" if not what and slot.node in self.reused else ""
            lines.append(
                f"{slot.offset:>12,} .. {slot.end:>12,}  steps {slot.first:>4} .. {slot.last:>4}  "
                f"{what}{slot.node.op.name} {slot.node.type if not what else ''}".rstrip()
                + over
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.memory_map()


@dataclass
class _Block:
    """Bytes that must stay together: a value, what took it over in place, or one scratch array."""

    nbytes: int
    first: int
    last: int
    offset: int = -1


def plan_memory(
    schedule: Schedule,
    workspaces: Mapping[Node, Sequence[TensorType]] | None = None,
    held: Mapping[Node, int] | None = None,
    *,
    reuse: bool = True,
) -> Plan:
    """A place for every value. With `reuse` off each value has bytes of its own for the whole step.

    workspaces: for each step the types of its scratch arrays; by default what the ops say. held: see `Backend.held`.
    """
    if workspaces is None:
        workspaces = {node: node.op.workspace(*(value.type for value in node.inputs)) for node in schedule.steps}
    results = frozenset(b for b in map(base, schedule.graph.outputs) if is_step(b))
    last = _last_reads(schedule)
    held = held or {}
    for node, number in held.items():
        last[node] = max(last[node], number)
    places = schedule.graph.layouts
    blocks: list[_Block] = []
    block_of: dict[Node, _Block] = {}
    scratch_of: dict[Node, list[_Block]] = {}
    for index, node in enumerate(schedule.steps):
        until = max(index, *(held.get(value, 0) for value in map(base, node.inputs)), 0)  # as its operands are
        scratch_of[node] = [_Block(t.nbytes, index, until) for t in workspaces[node]]
        blocks.extend(scratch_of[node])
        if node in results or node in schedule.direct or node in schedule.lasting:
            continue
        source = _takes_over(node, index, last, block_of, places) if reuse else None
        if source is not None:
            block_of[node] = block_of[source]
            block_of[node].last = last[node]
        else:
            block_of[node] = _Block(node.type.nbytes, index, last[node])
            blocks.append(block_of[node])
    size = _place(blocks, len(schedule.steps)) if reuse else _place_apart(blocks)
    slots = {
        node: Slot(node, block.offset, node.type.nbytes, schedule.position[node], last[node])
        for node, block in block_of.items()
    }
    scratch = {
        node: tuple(Slot(node, b.offset, b.nbytes, b.first, b.last) for b in blocks)
        for node, blocks in scratch_of.items()
        if blocks
    }
    live = _largest_live(blocks, len(schedule.steps))
    return Plan(schedule, slots, workspaces, scratch, results, places, size, live)


def _last_reads(schedule: Schedule) -> dict[Node, int]:
    """The last step that reads each computed value, through whatever views; the end for what is copied at the end."""
    last = dict(schedule.position)
    for index, node in enumerate(schedule.steps):
        for value in map(base, node.inputs):
            if value in last:
                last[value] = index
    for assign in schedule.copied:
        value = base(assign.inputs[1])
        if value in last:
            last[value] = len(schedule.steps)
    return last


def _takes_over(
    node: Node, index: int, last: dict[Node, int], block_of: dict[Node, _Block], places: dict[Node, np.ndarray]
) -> Node | None:
    """The input whose bytes `node` may write over: permitted by the op, of the same type, every element where the
    result's will be, and read last here."""
    bases = [base(value) for value in node.inputs]
    for position in node.op.inplace:
        if position >= len(bases):
            break
        value, source = node.inputs[position], bases[position]
        whole = value.type == node.type and source.type.nbytes == node.type.nbytes
        shared = bases.count(source) > 1  # a kernel may read its other operand after it began to write
        dies = source in block_of and last[source] == index
        if whole and not shared and dies and same_places(places[value], places[node]):
            return source
    return None


# -- placing blocks ----------------------------------------------------------------------------------------------------


def aligned_bytes(size: int) -> np.ndarray:
    """Memory for an arena of this size."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT
    return raw[skip : skip + size]


def _aligned(nbytes: int) -> int:
    return max(ALIGNMENT, -(-nbytes // ALIGNMENT) * ALIGNMENT)


def _place_apart(blocks: Sequence[_Block]) -> int:
    top = 0
    for block in blocks:
        block.offset = top
        top += _aligned(block.nbytes)
    return top


def _place(blocks: list[_Block], steps: int) -> int:
    """Give each block its offset, by the better of two placements; the size of the arena."""
    size = _place_in_time_order(blocks, steps)
    bound = _largest_live(blocks, steps)
    least = _largest_live(blocks, steps, aligned=True)  # small blocks cannot come near the bound
    if size > max(bound * 1.01, least) and len(blocks) <= _SEARCH_LIMIT:
        offsets = [block.offset for block in blocks]
        other = _place_by_search(blocks, bound, least)
        if other < size:
            return other
        for block, offset in zip(blocks, offsets, strict=True):
            block.offset = offset
    return size


def _largest_live(blocks: Sequence[_Block], steps: int, aligned: bool = False) -> int:
    """The most bytes that live at one step; `aligned`: with what lies idle behind each, less than which no arena is."""
    change = [0] * (steps + 2)
    for block in blocks:
        nbytes = _aligned(block.nbytes) if aligned else block.nbytes
        change[block.first] += nbytes
        change[block.last + 1] -= nbytes
    live = peak = 0
    for delta in change:
        live += delta
        peak = max(peak, live)
    return peak


def _place_in_time_order(blocks: Sequence[_Block], steps: int) -> int:
    """Walk through the steps; each new block takes the tightest hole, as a heap allocator with foresight of sizes."""
    starts: dict[int, list[_Block]] = {}
    ends: dict[int, list[_Block]] = {}
    for block in blocks:
        starts.setdefault(block.first, []).append(block)
        ends.setdefault(block.last + 1, []).append(block)
    holes: list[tuple[int, int]] = []  # (offset, size), sorted, never touching
    top = 0
    for index in range(steps + 1):
        for block in ends.get(index, ()):
            _release(holes, block.offset, _aligned(block.nbytes))
        for block in sorted(starts.get(index, ()), key=lambda b: -b.nbytes):
            top = _take(holes, block, top)
    return top


def _take(holes: list[tuple[int, int]], block: _Block, top: int) -> int:
    """Put `block` into the smallest hole that holds it, or at the top; the new top."""
    need = _aligned(block.nbytes)
    fitting = [(size, place) for place, (_, size) in enumerate(holes) if size >= need]
    if fitting:
        size, place = min(fitting)
        block.offset = holes[place][0]
        if size > need:
            holes[place] = (block.offset + need, size - need)
        else:
            del holes[place]
        return top
    if holes and sum(holes[-1]) == top:
        block.offset = holes.pop()[0]
    else:
        block.offset = top
    return block.offset + need


def _release(holes: list[tuple[int, int]], offset: int, size: int) -> None:
    place = next((i for i, hole in enumerate(holes) if hole[0] > offset), len(holes))
    if place < len(holes) and offset + size == holes[place][0]:
        size += holes.pop(place)[1]
    if place and sum(holes[place - 1]) == offset:
        offset, before = holes.pop(place - 1)
        size += before
        place -= 1
    holes.insert(place, (offset, size))


class _Placed:
    """Blocks as arrays, to be placed in one order after the other."""

    def __init__(self, blocks: Sequence[_Block], bound: int) -> None:
        self.size = np.array([_aligned(block.nbytes) for block in blocks], np.int64)
        self.first = np.array([block.first for block in blocks], np.int64)
        self.last = np.array([block.last for block in blocks], np.int64)
        self.high = round(bound * _STANDS_OUT)
        self.most = sys.maxsize  # bytes of the smallest arena so far
        self.offsets = np.zeros(len(blocks), np.int64)  # in that one

    def orders(self) -> Iterator[np.ndarray]:
        """Orders in which placing each block as low as can be often leaves few holes.

        By size and by size times life: Pisarchyk and Lee, 2020, "Efficient Memory Management for Deep Neural Net
        Inference". What lives nearest the step of the most live bytes first, by size, since it is there that no hole
        may be left; what lives at it by life, then the others. Then what lives to the latest step first.
        """
        life = self.last - self.first + 1
        change = np.zeros(self.last.max() + 2, np.int64)
        np.add.at(change, self.first, self.size)
        np.add.at(change, self.last + 1, -self.size)
        peak = int(np.argmax(np.cumsum(change)))
        away = np.maximum(0, np.maximum(self.first - peak, peak - self.last))
        yield np.lexsort((self.first, -self.size))
        yield np.lexsort((self.first, -self.size * life))
        yield np.lexsort((-life, -self.size, away))
        yield np.lexsort((-self.size, -life, away > 0))
        yield np.lexsort((-self.size, -self.last))

    def place(self, order: np.ndarray) -> _Try:
        """Each block in turn at the lowest offset that is free for its whole life."""
        offsets = np.empty(len(order), np.int64)
        first, last, start, end = (np.empty(len(order), np.int64) for _ in range(4))
        for count, block in enumerate(order):
            size = self.size[block]
            clash = np.flatnonzero((first[:count] <= self.last[block]) & (last[:count] >= self.first[block]))
            clash = clash[np.argsort(start[clash], kind="stable")]
            free = np.concatenate(([0], np.maximum.accumulate(end[clash])))  # where the hole before each begins
            holes = np.flatnonzero(start[clash] - free[:-1] >= size)
            low = free[holes[0]] if holes.size else free[-1]
            first[count], last[count], start[count], end[count] = self.first[block], self.last[block], low, low + size
            offsets[block] = low
        top = int(end.max())
        if top < self.most:
            self.most, self.offsets = top, offsets
        return _Try(top, order, np.flatnonzero(end > self.high))


@dataclass
class _Try:
    """An order, the arena that it took, and where in it those stand that end beyond what the arena should take."""

    top: int
    order: np.ndarray
    high: np.ndarray

    def all_first(self) -> np.ndarray:
        """The order with what stands out in front."""
        return np.concatenate((self.order[self.high], np.delete(self.order, self.high)))

    def one_earlier(self, rng: np.random.Generator) -> np.ndarray:
        """The order with one of those that stand out anywhere before its place."""
        place = int(rng.choice(self.high))
        return np.insert(np.delete(self.order, place), int(rng.integers(0, place + 1)), self.order[place])


def _place_by_search(blocks: Sequence[_Block], bound: int, least: int) -> int:
    """The smallest arena of several orders of placement; the first that is good enough ends the search, and so does
    one of `least` bytes, since none is smaller.

    The best orders are then changed: what stands out above `bound`, the largest sum of live bytes, is moved to the
    front, again and again, the idea of "squeaky wheel" optimization (Joslin and Clements, 1999); then single blocks
    of these are moved to earlier places, and stay there where nothing is lost by it.
    """
    placed, wanted = _Placed(blocks, bound), max(round(bound * _GOOD_ENOUGH), least)
    found: list[_Try] = []
    for order in placed.orders():
        found.append(placed.place(order))
        if placed.most <= wanted:
            break
    found.sort(key=lambda each: each.top)
    lines, rng = found[:_LINES], np.random.default_rng(0)
    for number in range(min(_MOST_TRIES, _MOST_PAIRS // len(blocks) ** 2)):
        if placed.most <= wanted:
            break
        turn, line = divmod(number, _LINES)
        if turn < _SQUEAKS:
            lines[line] = placed.place(lines[line].all_first())
        else:
            changed = placed.place(found[line].one_earlier(rng))
            found[line] = min(changed, found[line], key=lambda each: each.top)
    for block, offset in zip(blocks, placed.offsets.tolist(), strict=True):
        block.offset = offset
    return placed.most
