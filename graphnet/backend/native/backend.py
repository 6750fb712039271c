"""The native backend: steps that have loops of their own, compiled together; the others run their reference kernels."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np

from graphnet.backend.base import Bound, Calls, Kernel, own_workspace
from graphnet.backend.native.convolution import direct, padding
from graphnet.backend.native.elementwise import elementwise
from graphnet.backend.native.library import Code, compiled
from graphnet.backend.native.loops import Buffer, show
from graphnet.backend.native.loops import Kernel as Loops
from graphnet.backend.native.losses import label_loss
from graphnet.backend.native.matmul import matmul
from graphnet.backend.native.ops import Direct
from graphnet.backend.native.pool import available, pool
from graphnet.backend.native.pool import library as runtime_library
from graphnet.backend.native.pooling import pooling
from graphnet.backend.native.prove import prove
from graphnet.backend.native.reductions import reduction
from graphnet.backend.native.rules import DIRECT
from graphnet.backend.native.runtime import can_wait
from graphnet.backend.native.views import Block, Scratch, View, layout, locate, planned
from graphnet.errors import MissingExtraError
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.fused import Fused
from graphnet.ops.linear import Matmul
from graphnet.ops.pooling import MaxPooling
from graphnet.ops.slicing import Pad
from graphnet.ops.softmax_cross_entropy import LabelOp
from graphnet.rewrite.driver import Rule


@dataclass(frozen=True)
class Located:
    """The loops of one step, proven, and the memory that each of their buffers stands for."""

    loops: tuple[Loops, ...]
    blocks: tuple[Block, ...]


class Native:
    """Native steps, one after the other, as one call. Kept with it: the code, the memory, and the table of the call."""

    def __init__(self, steps: Sequence[Located], codes: Mapping[str, Code], threads: int) -> None:
        """codes: that of each kernel of the program, by its name."""
        self.steps, self.codes, self.threads = tuple(steps), codes, threads
        self._addresses: list[np.ndarray] = []
        self._table = np.array([word for record in self._records() for word in record], np.uint64)
        self._table = np.concatenate([np.array([len(self._table) // 4], np.uint64), self._table])
        launch = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        function = launch(runtime_library().addresses["gn_launch"])
        self.calls: tuple[Kernel, ...] = (partial(function, pool(threads).sync, self._table.ctypes.data, threads),)

    def _records(self) -> Iterator[tuple[int, int, int, int]]:
        """(function, address of the addresses, chunks, whether all threads meet before it) for each kernel.

        What one kernel writes the next may read, so threads meet in between; but not between kernels of one chunk
        each, which are both the first thread's.
        """
        before = 1
        for step in self.steps:
            address = {block.buffer: block.address for block in step.blocks}
            for loops in step.loops:
                given = np.array([address[buffer] for buffer in loops.buffers], np.uint64)
                self._addresses.append(given)
                chunks = loops.chunk.extent
                meet = bool(len(self._addresses) > 1 and (before > 1 or chunks > 1))
                yield self.codes[loops.name].address, given.ctypes.data, chunks, int(meet)
                before = chunks

    def __call__(self) -> None:
        self.calls[0]()

    def __str__(self) -> str:
        return "\n".join(show(loops) for step in self.steps for loops in step.loops)


class Checked(Calls):
    """A native step whose operands are looked at first, by Python, which can say what is wrong with them."""

    def __init__(self, check: Kernel, native: Native) -> None:
        super().__init__([check, *native.calls])
        self.parts: tuple[Kernel, Native] = (check, native)


def _kernel(step: Bound, native: Native) -> Kernel:
    return Checked(partial(step.op.checked, *step.inputs), native) if step.op.can_fail else native


def why_not() -> str | None:
    """What keeps native code from running here; None where nothing does."""
    if not can_wait():
        return f"{sys.platform} on {platform.machine()} is not supported yet"
    try:
        runtime_library()
    except MissingExtraError as error:
        return error.problem
    except (OSError, RuntimeError) as error:
        return f"LLVM cannot run: {error}"
    return None


class NativeBackend:
    """Loops generated for the exact shapes, through LLVM."""

    name = "native"
    rules: Sequence[Rule] = DIRECT

    def __init__(self, threads: int | None = None) -> None:
        self.threads = available() if threads is None else threads
        self._maker = Maker()

    def workspace(self, node: Node, layouts: Mapping[Node, np.ndarray]) -> Sequence[TensorType]:
        """What the step's loops ask for; where it has none, what the op says."""
        found = self._maker.scratch_types(node.op, [layouts[node], *(layouts[value] for value in node.inputs)])
        return own_workspace(node) if found is None else found

    def kernels(self, steps: Sequence[Bound]) -> Sequence[Kernel | None]:
        """Native functions for the steps that the loop language can say, compiled together."""
        located = [self._maker.located(number, step) for number, step in enumerate(steps)]
        everything = [loops for found in located if found is not None for loops in found.loops]
        names = [loops.name for loops in everything]
        codes = dict(zip(names, compiled(everything), strict=True))
        return [
            None if found is None else _kernel(step, Native([found], codes, self.threads))
            for step, found in zip(steps, located, strict=True)
        ]

    def joined(self, kernels: Sequence[Kernel]) -> list[tuple[int, Kernel]]:
        """Neighbouring native steps as one call."""
        found: list[tuple[int, Kernel]] = []
        apart = [
            (place, part)
            for place, kernel in enumerate(kernels)
            for part in (kernel.parts if isinstance(kernel, Checked) else (kernel,))
        ]
        for is_native, group in groupby(apart, key=lambda item: isinstance(item[1], Native)):
            run = list(group)
            if is_native:
                natives = [kernel for _, kernel in run if isinstance(kernel, Native)]
                steps = [step for native in natives for step in native.steps]
                found.append((run[0][0], Native(steps, natives[0].codes, self.threads)))
            else:
                found += run
        return found


@dataclass(frozen=True)
class Made:
    """Loops of one op, proven, and the buffers that they are written in terms of: of the operands, and of scratch."""

    loops: tuple[Loops, ...]
    buffers: tuple[Buffer, ...]
    scratch: Scratch


class Maker:
    """What makes loops, and remembers them: the steps of a program have few different shapes."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Made | None] = {}

    def __call__(self, op: Op, views: Sequence[View]) -> Made | None:
        """The loops that fill views[0] from the others; None where the op's reference kernel has to."""
        key = op, layout(views)
        if key not in self._made:
            self._made[key] = _made(op, views)
        return self._made[key]

    def scratch_types(self, op: Op, arrays: Sequence[np.ndarray]) -> tuple[TensorType, ...] | None:
        """The scratch of the step that fills arrays[0] from the others, which need strides only; None if none is."""
        views = planned(arrays)
        made = None if views is None else self(op, views)
        return None if made is None else made.scratch.types

    def located(self, number: int, step: Bound) -> Located | None:
        """The loops of a step on its memory; None where its reference kernel has to."""
        found = locate([step.out, *step.inputs])
        made = None if found is None else self(step.op, found[0])
        if found is None or made is None:
            return None
        buffers = dict(zip(dict.fromkeys(view.buffer for view in found[0]), made.buffers, strict=True))
        blocks = [replace(block, buffer=buffers[block.buffer]) for block in found[1]]
        named = [replace(loops, name=f"step{number}.{part}.{loops.name}") for part, loops in enumerate(made.loops)]
        return Located(tuple(named), (*blocks, *made.scratch.blocks(step.work)))


def _made(op: Op, views: Sequence[View]) -> Made | None:
    scratch = Scratch()
    made = _loops(op, views[0], views[1:], scratch)
    if made is None:
        return None
    for loops in made:
        prove(loops)
    return Made(tuple(made), tuple(dict.fromkeys(view.buffer for view in views)), scratch)


def _loops(op: Op, out: View, inputs: Sequence[View], scratch: Scratch) -> list[Loops] | None:
    if isinstance(op, Matmul):
        return matmul(out, *inputs)
    if isinstance(op, LabelOp):
        return label_loss(op, out, *inputs)
    if op.elementwise or isinstance(op, Fused):
        return elementwise(op, out, inputs)
    if isinstance(op, Direct):
        return direct(op, out, inputs)
    if isinstance(op, Pad) and not inputs[0].is_bool:
        return padding(op, out, *inputs)
    if isinstance(op, MaxPooling):
        return pooling(op, out, inputs)
    return reduction(op, out, inputs)
