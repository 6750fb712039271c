"""What a backend is: the rewrites it wants, and a callable for each step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from operator import call
from typing import Protocol, TypeAlias

import numpy as np

from graphnet.graph.node import Op
from graphnet.ops.fused import bound
from graphnet.ops.unrolled import Unrolled
from graphnet.rewrite.driver import Rule

Kernel: TypeAlias = "Callable[[], object]"


class Backend(Protocol):
    """Turns ops on arrays into callables without arguments, bound once to fixed memory."""

    name: str
    rules: Sequence[Rule]  # rewrites this backend wants, after the common ones

    def kernel(
        self, op: Op, out: np.ndarray, inputs: Sequence[np.ndarray], work: tuple[np.ndarray, ...]
    ) -> Kernel | None:
        """A callable that fills `out` from `inputs`, or None: the reference kernel does it."""


class Calls:
    """A kernel that is several calls, one after the other without a line of Python in between."""

    __slots__ = ("calls",)

    def __init__(self, calls: Sequence[Kernel]) -> None:
        self.calls = calls

    def __call__(self) -> None:
        deque(map(call, self.calls), maxlen=0)


def reference_kernel(op: Op, out: np.ndarray, inputs: Sequence[np.ndarray], work: tuple[np.ndarray, ...]) -> Kernel:
    """The op's own `compute`, bound to its arrays."""
    return Calls(op.calls(out, inputs, work)) if isinstance(op, Unrolled) else bound(op, out, inputs, work)
