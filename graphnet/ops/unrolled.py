"""Ops that are a fixed sequence of NumPy calls: on fixed memory, every view they need can be taken once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from graphnet.graph.node import Op

Call: TypeAlias = "Callable[[], object]"


class Unrolled(Op):
    """An op that says what it computes as calls without arguments, each bound to views of its arrays.

    A compiled step asks for the calls once and then only makes them: slicing a small image into its windows takes
    longer than the arithmetic on them.
    """

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        """What fills `out` from `inputs`, in order. `work` is the workspace."""
        raise TypeError(f"{type(self).__name__} does not say its calls")

    def compute(self, out: np.ndarray, *inputs: np.ndarray, work: tuple[np.ndarray, ...] = ()) -> None:
        for call in self.calls(out, inputs, work):
            call()
