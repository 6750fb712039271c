"""What a backend is: the rewrites it wants, and a callable for each step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import call
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from graphnet.backend.ready import Ready, Wanted
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node, Op
from graphnet.graph.types import TensorType
from graphnet.ops.fused import bound
from graphnet.ops.unrolled import Unrolled
from graphnet.rewrite.driver import Log, Rule
from graphnet.schedule import Schedule

if TYPE_CHECKING:
    from graphnet.lower import Lowered

Kernel: TypeAlias = "Callable[[], object]"


@dataclass(frozen=True)
class Bound:
    """One step on its memory: `op` fills `out` from `inputs`. `work` is its workspace.

    kept: whether `out` is looked at after the last step: an output, or what a parameter becomes.
    """

    op: Op
    out: np.ndarray
    inputs: tuple[np.ndarray, ...]
    work: tuple[np.ndarray, ...]
    kept: bool = True


class Backend(Protocol):
    """Turns ops on arrays into callables without arguments, bound once to fixed memory."""

    name: str
    rules: Sequence[Rule]  # rewrites this backend wants, after the common ones

    def fuse(self, graph: Graph, log: Log) -> Graph:
        """The last of the rewrites: what had better be one step becomes one."""

    def is_certain(self, node: Node) -> bool:
        """Whether the kernel of a matrix product is one call of C code, which cannot fail."""

    def tune(self, order: Schedule) -> None:
        """Take over what was measured of the steps before, and measure them where that was asked for."""

    def notes(self, order: Schedule) -> Sequence[str]:
        """What there is to tell of how the steps are done, a line each."""

    def workspace(self, node: Node, layouts: Mapping[Node, np.ndarray]) -> Sequence[TensorType]:
        """Types of the scratch arrays of one step, which are planned as the op's own are and come as `Bound.work`.

        layouts: arrays with the strides of `node` and its inputs, without memory. A step that is left to its reference
        kernel needs what its op says.
        """

    def held(self, order: Schedule) -> Mapping[Node, int]:
        """Computed values whose bytes nobody else may have up to the step of this number, though none reads them then.

        Nor may anybody have the scratch of the steps that read them: a kernel that does the work of several steps uses
        both while it writes the last one's result.
        """

    def kernels(self, steps: Sequence[Bound]) -> Sequence[Kernel | None]:
        """For each step a callable that fills its `out`, or None: the reference kernel does it.

        All steps of a program are asked for at once, so that they can be generated and compiled together.
        """

    def joined(self, kernels: Sequence[Kernel]) -> list[tuple[int, Kernel]]:
        """What to call to run `kernels` in their order, and which of them each call begins with."""

    def recall(self, wanted: Wanted) -> Ready | None:
        """What an earlier process compiled for the same; None where nothing is known of it."""

    def remember(self, wanted: Wanted, lowered: Lowered, ready: Ready) -> None:
        """Keep what was compiled for later processes, where that can be."""


_NOTHING: deque[object] = deque(maxlen=0)  # takes in any number of results, and keeps none


class Calls:
    """A kernel that is several calls, one after the other without a line of Python in between."""

    def __init__(self, calls: Sequence[Kernel]) -> None:
        self._calls = calls

    @property
    def calls(self) -> Sequence[Kernel]:
        """The calls, in their order."""
        return self._calls

    def __call__(self) -> None:
        _NOTHING.extend(map(call, self.calls))


def own_workspace(node: Node) -> Sequence[TensorType]:
    """What the op's reference kernel needs."""
    return node.op.workspace(*(value.type for value in node.inputs))


def reference_kernel(step: Bound) -> Kernel:
    """The op's own `compute`, bound to its arrays."""
    if isinstance(step.op, Unrolled):
        return Calls(step.op.calls(step.out, step.inputs, step.work))
    return bound(step.op, step.out, step.inputs, step.work)
