"""What a backend is: the rewrites it wants, and a callable for each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np

from graphnet.graph.node import Op
from graphnet.ops.elementwise import Elementwise
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


def reference_kernel(op: Op, out: np.ndarray, inputs: Sequence[np.ndarray], work: tuple[np.ndarray, ...]) -> Kernel:
    """The op's own `compute`; a plain ufunc is called without a Python frame in between."""
    if isinstance(op, Elementwise) and type(op).compute is Elementwise.compute:
        return partial(op.ufunc, *inputs, out=out)
    if work:
        return partial(op.compute, out, *inputs, work=work)
    return partial(op.compute, out, *inputs)
