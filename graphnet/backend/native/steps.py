"""Native steps as calls: kernels on their memory, one after the other, and checks of operands between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphnet.backend.base import Bound, Calls, Kernel
from graphnet.backend.native.job import Called, Job
from graphnet.backend.native.library import Code, compiled
from graphnet.backend.native.loops import ELEMENTS, show
from graphnet.backend.native.makers import Located
from graphnet.backend.native.spans import Span, meet, meetings, share, span
from graphnet.graph.node import Op


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

    @property
    def merged(self) -> list[tuple[int, ...]]:
        """The numbers of the steps of each pass that is several."""
        return [step.numbers for step in self.steps if len(step.numbers) > 1]

    @cached_property
    def job(self) -> Job:
        """The kernels as one call."""
        return Job.of(self.kernels, self.threads)

    @property
    def calls(self) -> tuple[Kernel, ...]:
        """The one call that it is, where it must not be interrupted."""
        return (self.job.call,)

    def writes_into(self, spans: Sequence[Span]) -> bool:
        """Whether a step of it writes to any of these bytes."""
        return any(meet(one, other) for step in self.steps for one in step.access.writes for other in spans)

    @cached_property
    def kernels(self) -> list[Called]:
        """Its kernels on their memory."""
        everything = [
            (loops, {block.buffer: block.address for block in step.blocks})
            for step in self.steps
            for loops in step.loops
        ]
        waits = meetings(share(loops, address) for loops, address in everything)
        return [
            Called(
                self.module.codes[loops.name],
                tuple([(address[buffer], buffer.size * ELEMENTS[buffer.dtype]) for buffer in loops.buffers]),
                loops.chunk.extent,
                waited,
            )
            for (loops, address), waited in zip(everything, waits, strict=True)
        ]

    def __call__(self) -> None:
        self.job()

    def __str__(self) -> str:
        return "\n".join(show(loops) for step in self.steps for loops in step.loops)


@dataclass(frozen=True, eq=False)
class Check:
    """Looks at the operands of an op that can fail. Raises `DataError` where they cannot be used."""

    op: Op
    inputs: tuple[np.ndarray, ...]

    def __call__(self) -> None:
        self.op.checked(*self.inputs)


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


def kernel_of(step: Bound, native: Native) -> Kernel:
    """A native step, behind the check that it needs."""
    if not step.op.can_fail:
        return native
    looked_at = [step.inputs[place] for place in step.op.checks]
    return Checked(Check(step.op, step.inputs), looked_at or step.inputs, native)


def checks_first(kernels: Sequence[Kernel]) -> list[tuple[int, Kernel]]:
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
