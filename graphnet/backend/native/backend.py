"""The native backend: steps that have loops of their own, compiled together; the others run their reference kernels."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial, reduce
from itertools import groupby
from operator import itemgetter

import numpy as np

from graphnet.backend.base import Bound, Calls, Kernel, own_workspace
from graphnet.backend.native.finishing import REACH, finished, held, reads
from graphnet.backend.native.fusing import MOMENTS, fuse_passes
from graphnet.backend.native.job import Job
from graphnet.backend.native.library import Code, compiled
from graphnet.backend.native.loops import show
from graphnet.backend.native.makers import Located, Maker, named
from graphnet.backend.native.merging import Pass, grouped, in_one_pass
from graphnet.backend.native.pool import available
from graphnet.backend.native.pool import library as runtime_library
from graphnet.backend.native.prove import prove
from graphnet.backend.native.rules import DIRECT
from graphnet.backend.native.spans import Access, Span, meet, meetings, readers, share, span
from graphnet.backend.native.waiting import can_wait
from graphnet.errors import MissingExtraError
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.graph.types import TensorType
from graphnet.rewrite.driver import Log, Rule
from graphnet.schedule import Schedule


class Module:
    """Kernels that are compiled together, once the first of them is asked for."""

    def __init__(self, steps: Iterable[Located]) -> None:
        self.loops = [loops for step in steps for loops in step.loops]

    @cached_property
    def codes(self) -> dict[str, Code]:
        """The machine's code of each, by its name."""
        return dict(zip([loops.name for loops in self.loops], compiled(self.loops), strict=True))


class Native:
    """Native steps, one after the other, as one call. Kept with it: the code, the memory, and the table of the call."""

    is_silent = True

    def __init__(self, steps: Sequence[Located], module: Module, threads: int) -> None:
        self.steps, self.module, self.threads = tuple(steps), module, threads
        self._addresses: list[np.ndarray] = []

    @property
    def merged(self) -> list[tuple[int, ...]]:
        """The numbers of the steps of each pass that is several."""
        return [step.numbers for step in self.steps if len(step.numbers) > 1]

    @cached_property
    def job(self) -> Job:
        """The kernels as one call."""
        return Job(self._records(), self.threads)

    @property
    def calls(self) -> tuple[Kernel, ...]:
        """The one call that it is, where it must not be interrupted."""
        return (self.job.call,)

    def writes_into(self, spans: Sequence[Span]) -> bool:
        """Whether a step of it writes to any of these bytes."""
        return any(meet(one, other) for step in self.steps for one in step.access.writes for other in spans)

    def _records(self) -> Iterator[tuple[int, int, int, int]]:
        """(function, address of the addresses, chunks, whether all threads meet before it) for each kernel."""
        everything = [
            (loops, {block.buffer: block.address for block in step.blocks})
            for step in self.steps
            for loops in step.loops
        ]
        waits = meetings(share(loops, address) for loops, address in everything)
        for (loops, address), waited in zip(everything, waits, strict=True):
            given = np.array([address[buffer] for buffer in loops.buffers], np.uint64)
            self._addresses.append(given)
            yield self.module.codes[loops.name].address, given.ctypes.data, loops.chunk.extent, int(waited)

    def __call__(self) -> None:
        self.job()

    def __str__(self) -> str:
        return "\n".join(show(loops) for step in self.steps for loops in step.loops)


class Checked(Calls):
    """A native step whose operands are looked at first, by Python, which can say what is wrong with them."""

    def __init__(self, check: Kernel, looked_at: Sequence[np.ndarray], native: Native) -> None:
        self.parts: tuple[Kernel, Native] = (check, native)
        self.reads = tuple(map(span, looked_at))

    @property
    def calls(self) -> Sequence[Kernel]:
        """The check, and the native step."""
        check, native = self.parts
        return (check, *native.calls)


def _kernel(step: Bound, native: Native) -> Kernel:
    if not step.op.can_fail:
        return native
    looked_at = [step.inputs[place] for place in step.op.checks]
    return Checked(partial(step.op.checked, *step.inputs), looked_at or step.inputs, native)


def _checks_first(kernels: Sequence[Kernel]) -> list[tuple[int, Kernel]]:
    """Each kernel with its place, checks by themselves and as early as what they look at is there: then native steps
    come in longer runs, and little has been done in vain where a check fails."""
    found: list[tuple[int, Kernel]] = []
    for place, kernel in enumerate(kernels):
        if not isinstance(kernel, Checked):
            found.append((place, kernel))
            continue
        check, native = kernel.parts
        at = len(found)
        while at and isinstance(before := found[at - 1][1], Native) and not before.writes_into(kernel.reads):
            at -= 1
        found.insert(at, (place, check))
        found.append((place, native))
    return found


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


class NativeBackend:
    """Loops generated for the exact shapes, through LLVM."""

    name = "native"
    rules: Sequence[Rule] = [*DIRECT, *MOMENTS]

    def __init__(self, threads: int | None = None) -> None:
        self.threads = available() if threads is None else threads
        self._maker = Maker()

    def fuse(self, graph: Graph, log: Log) -> Graph:
        """Elementwise work goes to whoever reads it, reductions included."""
        return fuse_passes(graph, log)

    def is_certain(self, node: Node) -> bool:
        """Where the product has loops: of floats, and not of nothing."""
        return node.type.is_float and all(value.type.static_size for value in (node, *node.inputs))

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
            None if found is None else _kernel(step, Native([found], module, self.threads))
            for step, found in zip(steps, located, strict=True)
        ]

    def joined(self, kernels: Sequence[Kernel]) -> list[tuple[int, Kernel]]:
        """Neighbouring native steps as one call, in which steps over the same elements are one pass.

        Steps may change places within the call, where neither sees a difference.
        """
        apart = _checks_first(kernels)
        runs = [(is_native, list(group)) for is_native, group in groupby(apart, key=lambda i: isinstance(i[1], Native))]
        merged = {place: _merged(list(map(itemgetter(1), run))) for place, (native, run) in enumerate(runs) if native}
        module = Module(step for steps in merged.values() for step in steps)
        found: list[tuple[int, Kernel]] = []
        for place, (_, run) in enumerate(runs):
            found += [(run[0][0], Native(merged[place], module, self.threads))] if place in merged else run
        return found


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
