"""The native backend: steps that have loops of their own, compiled together; the others run their reference kernels."""

from __future__ import annotations

import platform
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from graphnet.backend.base import Bound, Kernel, own_workspace
from graphnet.backend.native.ahead import work_out_ahead
from graphnet.backend.native.choices import MODEL
from graphnet.backend.native.finishing import REACH, finished, held, reads
from graphnet.backend.native.fusing import FACTORS, MOMENTS, fuse_passes
from graphnet.backend.native.makers import Located, Maker, named, signature
from graphnet.backend.native.masks import MASKS, place_masks
from graphnet.backend.native.merging import Pass, grouped, in_one_pass
from graphnet.backend.native.pool import available
from graphnet.backend.native.pool import library as runtime_library
from graphnet.backend.native.prove import prove
from graphnet.backend.native.recall import recall, remember
from graphnet.backend.native.rules import DIRECT
from graphnet.backend.native.spans import Access, readers
from graphnet.backend.native.steps import Module, Native, checks_first, kernel_of
from graphnet.backend.native.triangles import spare_zeros
from graphnet.backend.native.tuning import Table, Tuned, cases, measured, said
from graphnet.backend.native.waiting import can_wait
from graphnet.backend.ready import Ready, Wanted
from graphnet.errors import MissingExtraError
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.rewrite.driver import Log, Rule
from graphnet.schedule import Schedule


def why_not() -> str | None:
    """What keeps native code from running here; None where nothing does."""
    if not can_wait():
        return f"{sys.platform} on {platform.machine()} is not supported yet"
    try:
        runtime_library()
    except MissingExtraError as error:
        return error.problem
    except (AttributeError, OSError, RuntimeError) as error:  # another version of llvmlite, or one that does not fit
        return f"LLVM cannot run: {error}"
    return None


if TYPE_CHECKING:
    from graphnet.lower import Lowered


class NativeBackend:
    """Loops generated for the exact shapes, through LLVM."""

    name = "native"
    rules: Sequence[Rule] = [*DIRECT, *MOMENTS, *FACTORS, *MASKS]

    def __init__(self, threads: int | None = None, seconds: float | None = None) -> None:
        """seconds: to measure what there are several ways to do, at most, for each program; None: not at all."""
        self.threads = available() if threads is None else threads
        self.seconds = seconds
        self._maker = Maker()
        self._tuned: dict[Hashable, Tuned] = {}

    def fuse(self, graph: Graph, log: Log) -> Graph:
        """Elementwise work goes to whoever reads it, reductions included."""
        return place_masks(fuse_passes(work_out_ahead(spare_zeros(graph, log), log), log), log)

    def is_certain(self, node: Node) -> bool:
        """Where the product has loops: of floats, and not of nothing."""
        return node.type.is_float and all(value.type.static_size for value in (node, *node.inputs))

    def tune(self, order: Schedule) -> None:
        """Products and convolutions: what is known of them is taken over, the others are measured if that is wanted."""
        table = Table(self.threads)
        if self.seconds is None and not table.entries:
            return
        found = {said(case.op, case.views): case for case in cases(order)}
        if self.seconds is not None:
            unknown = [case for name, case in found.items() if name not in table.entries]
            table.add(measured(unknown, self.threads, self.seconds))
        for name, case in found.items():
            entry = table.entries.get(name)
            if entry is not None and entry.choice != MODEL:
                key = signature(case.op, case.views)
                self._maker.choices[key], self._tuned[key] = entry.choice, entry

    def notes(self, order: Schedule) -> Sequence[str]:
        """What was measured to be faster than what the cost model says."""
        known = [(case, self._tuned.get(signature(case.op, case.views))) for case in cases(order)]
        return [f"tuned: {case}: {entry}" for case, entry in known if entry is not None]

    def workspace(self, node: Node, layouts: Mapping[Node, np.ndarray]) -> Sequence[TensorType]:
        """What the step's loops ask for; where it has none, what the op says."""
        found = self._maker.scratch_types(node.op, [layouts[node], *(layouts[value] for value in node.inputs)])
        return own_workspace(node) if found is None else found

    def held(self, order: Schedule) -> Mapping[Node, int]:
        """The operands of products that what reads their result may finish."""
        return held(order)

    def kernels(self, steps: Sequence[Bound]) -> Sequence[Kernel | None]:
        """Native functions for the steps that the loop language can say, compiled together."""
        touched = [Access.of(step) for step in steps]
        read = readers(steps, touched)
        located = [
            self._maker.located(number, step, access, wanted)
            for number, (step, access, wanted) in enumerate(zip(steps, touched, read, strict=True))
        ]
        module = Module(found for found in located if found is not None)
        return [
            None if found is None else kernel_of(step, Native([found], module, self.threads))
            for step, found in zip(steps, located, strict=True)
        ]

    def joined(self, kernels: Sequence[Kernel]) -> list[tuple[int, Kernel]]:
        """Neighbouring native steps as one call, in which steps over the same elements are one pass.

        Steps may change places within the call, where neither sees a difference.
        """
        apart = checks_first(kernels)
        runs = [(is_native, list(group)) for is_native, group in groupby(apart, key=lambda i: isinstance(i[1], Native))]
        merged = {place: _merged(list(map(itemgetter(1), run))) for place, (native, run) in enumerate(runs) if native}
        module = Module(step for steps in merged.values() for step in steps)
        found: list[tuple[int, Kernel]] = []
        for place, (_, run) in enumerate(runs):
            found += [(run[0][0], Native(merged[place], module, self.threads))] if place in merged else run
        return found

    def recall(self, wanted: Wanted) -> Ready | None:
        """From the store of compiled code; nothing where there is something to measure first."""
        return None if self.seconds is not None else recall(wanted, self.threads)

    def remember(self, wanted: Wanted, lowered: Lowered, ready: Ready) -> None:
        """In the store of compiled code."""
        remember(wanted, self.threads, lowered, ready)


def _merged(natives: Sequence[Native]) -> list[Located]:
    """The steps of a run of kernels, those that go over the same elements in one pass."""
    steps = {step.numbers[0]: step for native in natives for step in native.steps}
    points = {number: step.point for number, step in steps.items() if step.point is not None}
    found: list[Located] = []
    walks: dict[tuple[int, ...], Pass] = {}
    for item in grouped(points, {number: step.access for number, step in steps.items()}):
        members = [steps[item]] if isinstance(item, int) else [steps[point.number] for point in item.members]
        whole = None if isinstance(item, int) else _pass(item, members)
        found += members if whole is None else whole
        walk = item if isinstance(item, Pass) and whole is not None else None
        if isinstance(item, int) and item in points and any(before.head for before in found[-2 - REACH : -1]):
            walk = in_one_pass([points[item]])
        if walk is not None:
            walks[found[-1].numbers] = walk
    return _riding(found, walks)


def _riding(steps: Sequence[Located], walks: Mapping[tuple[int, ...], Pass]) -> list[Located]:
    """The steps, with passes that finish what a product makes become part of it. walks: by numbers of steps."""
    found: list[Located] = []
    for step in steps:
        found.append(step)
        walk = walks.get(step.numbers)
        if walk is None:
            continue
        for place in range(len(found) - 2, max(-1, len(found) - 2 - REACH), -1):
            before, between = found[place], found[place + 1 : -1]
            if before.head is None or not reads(walk, before.head):
                continue
            late = not any(before.access.clashes(other.access) for other in between)
            if late or not any(step.access.clashes(other.access) for other in between):
                made = _with_head(before, step, walk)
                if made is not None:
                    found[place:] = [*between, *made] if late else [*made, *between]
            break
    return found


def _with_head(before: Located, step: Located, walk: Pass) -> list[Located] | None:
    """A product and the pass that finishes it, behind the borders that it needs; None where that cannot be."""
    assert before.head is not None
    whole = finished(before.head, walk)
    if whole is None:
        return None
    loops, blocks = whole
    for kernel in loops:
        prove(kernel)
    numbers = (*before.numbers, *step.numbers)
    borders = [_border(step)] if step.border else []
    own = named(f"steps{numbers[0]}.{numbers[-1]}", loops)
    return [*borders, Located(numbers, own, tuple(blocks), before.access.together(step.access))]


def _border(step: Located) -> Located:
    """What a step does beside its elements, which reads nothing."""
    return replace(step, loops=step.border, point=None, access=Access((), step.access.writes))


def _pass(item: Pass, members: Sequence[Located]) -> list[Located] | None:
    """The steps in one pass, behind the borders that they need; None where the loop language cannot say it."""
    numbers = tuple(member.numbers[0] for member in members)
    made = item.kernels(".".join(str(member.loops[0].name.split(".")[-1]) for member in members))
    if made is None:
        return None
    loops, blocks = made
    for kernel in loops:
        prove(kernel)
    access = reduce(Access.together, [member.access for member in members])
    borders = [_border(member) for member in members if member.border]
    return [*borders, Located(numbers, named(f"steps{numbers[0]}", loops), tuple(blocks), access)]
