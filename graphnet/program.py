"""One compiled step for fixed shapes: run it, check it, profile it."""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphnet.backend.base import Kernel
from graphnet.backend.ready import Ready, count_writes
from graphnet.errors import GraphnetError, PlanError
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.lower import Lowered
from graphnet.memory import Plan
from graphnet.ops.evaluate import apply_op
from graphnet.rewrite.driver import Log
from graphnet.schedule import Schedule, base

_NOTHING: deque[object] = deque(maxlen=0)
"""What takes in any number of results, and keeps none. Not made anew at each step: its first block is 500 bytes."""


@dataclass(frozen=True)
class Program:
    """A graph whose every size is known, with all that was decided about it. Not for two threads at once."""

    declared: Graph
    lowered: Lowered
    log: Log
    inputs: tuple[Node, ...]

    @property
    def plan(self) -> Plan:
        return self.lowered.plan

    @property
    def schedule(self) -> Schedule:
        return self.plan.schedule

    @property
    def graph(self) -> Graph:
        """The graph as compiled: after rewriting."""
        return self.schedule.graph

    @property
    def _kernels(self) -> tuple[Kernel, ...]:
        return (*self.lowered.first, *self.lowered.body, *self.lowered.commit)

    @cached_property
    def ready(self) -> Ready:
        """What running it takes."""
        return self.lowered.ready(self.inputs)

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One step: feeds in, new arrays out, parameters changed at the very end. On an error nothing is changed."""
        if self.ready.is_silent:
            return self._run(feeds)
        with np.errstate(all="ignore"):
            return self._run(feeds)

    def _run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        ready = self.ready
        self._feed(feeds)
        kernel: Kernel | None = None
        try:
            if ready.first and (writes := ready.freshness.now()) != ready.freshness.seen:
                ready.freshness.seen = None
                for _, kernel in ready.first:
                    kernel()
                ready.freshness.seen = writes
            for _, kernel in ready.body:
                kernel()
            results = self._results()
            if ready.commit:
                # Twice, since an interrupt may come in between: whoever prepares values meanwhile finds them old.
                count_writes(ready.changed)
                # One C call from first to last: an interrupt waits until every parameter is changed.
                _NOTHING.extend(map(operator.call, ready.commit))
                count_writes(ready.changed)
        except GraphnetError as error:
            raise self._located(error, kernel) from None
        return results

    def run_checked(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `run`, with each step compared with the reference and freed bytes filled with NaN.

        Raises `PlanError` where a step differs from its reference or changes an input it does not own.
        """
        self._feed(feeds)
        self.lowered.arena[...] = 0xFF  # NaN in every float dtype
        saved = self._parameters()
        try:
            return self._run_checked()
        except BaseException:
            _put_back(saved)
            raise
        finally:
            count_writes(self.lowered.changed)

    def _run_checked(self) -> list[np.ndarray]:
        kernels = self._kernels
        results: list[np.ndarray] = []
        for index, kernel in enumerate(kernels):
            if index == self.schedule.commit_start:
                results = self._results()
            with np.errstate(all="ignore"):
                if index < len(self.schedule.steps):
                    self._run_step_checked(index, kernel)
                else:
                    kernel()
        return results if len(kernels) > self.schedule.commit_start else self._results()

    def profile(self, feeds: Sequence[np.ndarray], repeats: int) -> list[float]:
        """The median seconds of each step over `repeats` runs. Parameters are put back afterwards."""
        saved = self._parameters()
        kernels = self._kernels[: len(self.schedule.steps)]
        seconds = np.zeros((repeats, len(kernels)))
        self._feed(feeds)
        try:
            with np.errstate(all="ignore"):
                for row in seconds:
                    for index, kernel in enumerate(kernels):
                        start = time.perf_counter()
                        kernel()
                        row[index] = time.perf_counter() - start
        finally:
            _put_back(saved)
            count_writes(self.lowered.changed)  # another thread may have prepared values from what stood there
        return np.median(seconds, axis=0).tolist()

    def _parameters(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The array of each parameter that the step changes, and a copy of it."""
        return [(storage.array, storage.array.copy()) for storage in self.lowered.changed]

    def _feed(self, feeds: Sequence[np.ndarray]) -> None:
        for target, array in zip(self.ready.taken, feeds, strict=True):
            if target is not None:
                target[...] = array

    def _results(self) -> list[np.ndarray]:
        return [array.copy() for array in self.ready.given]

    def _located(self, error: GraphnetError, kernel: Kernel | None) -> GraphnetError:
        """The same error, saying which step of the model raised it."""
        calls = (*enumerate(self._kernels), *self.ready.first, *self.ready.body)
        places = {id(own): place for place, own in calls}
        if id(kernel) not in places:
            return error
        node = self.schedule.steps[places[id(kernel)]]
        return type(error)(f"{describe(node)}: {error.problem}\n  declared at {node.provenance.location}")

    def _run_step_checked(self, index: int, kernel: Kernel) -> None:
        node, arrays = self.schedule.steps[index], self.lowered.arrays
        before = [arrays[value].copy() for value in node.inputs]
        try:
            expected = apply_op(node.op, *before)
            kernel()
        except GraphnetError as error:
            raise self._located(error, kernel) from None
        if not _close(arrays[node], expected, before):
            raise PlanError(f"step {index}, {describe(node)}, differs from its reference kernel")
        written = {base(node), self.schedule.direct.get(node), self.plan.reused.get(node)}
        for value, array in zip(node.inputs, before, strict=True):
            if base(value) not in written and not _same(arrays[value], array):
                raise PlanError(f"step {index}, {describe(node)}, changed its input {value!r}")
        dying = [slot for slot in self.plan.slots.values() if slot.last == index and slot.node is not node]
        for slot in (*dying, *self.plan.scratch.get(node, ())):
            if slot.node is node or slot.node not in written:
                self.lowered.arena[slot.offset : slot.end] = 0xFF


class Recalled(Program):
    """A program as an earlier process compiled it, which runs at once. The rest of its story is worked out when asked.

    compiled: compiles it here.
    """

    def __init__(self, ready: Ready, compiled: Callable[[], Program]) -> None:
        self.__dict__.update(ready=ready, _compiled=compiled)

    @cached_property
    def _here(self) -> Program:
        made: Program = self.__dict__["_compiled"]()
        return made

    @property
    def declared(self) -> Graph:
        return self._here.declared

    @property
    def lowered(self) -> Lowered:
        return self._here.lowered

    @property
    def log(self) -> Log:
        return self._here.log

    @property
    def inputs(self) -> tuple[Node, ...]:
        return self._here.inputs

    def run_checked(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self._here.run_checked(feeds)

    def profile(self, feeds: Sequence[np.ndarray], repeats: int) -> list[float]:
        return self._here.profile(feeds, repeats)


def _put_back(saved: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    for array, value in saved:
        np.copyto(array, value)


def describe(node: Node) -> str:
    """A step as an error names it: the op, its layer and its part in the step."""
    place = node.provenance
    scope = f" in {'/'.join(place.scope)}" if place.scope else ""
    return f"{node.op.name} {node.type}{scope} ({place.role})"


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


def _close(got: np.ndarray, expected: np.ndarray, inputs: Sequence[np.ndarray]) -> bool:
    """Equal up to the order of summation; integers exactly.

    That is 1e-4 (float32) or 1e-9 of the largest magnitude, and, since a sum may cancel to nothing, one rounding of the
    largest input for each number that was summed.
    """
    if got.dtype.kind != "f":
        return bool(np.array_equal(got, expected))
    summed = max((array.size for array in inputs), default=0) / max(got.size, 1)
    rounding = float(np.finfo(got.dtype).eps) * max(1.0, summed) * max(map(_largest, inputs), default=0.0)
    tolerance = (1e-4 if got.dtype == np.float32 else 1e-9) * _largest(expected) + rounding
    return bool(np.allclose(got, expected, rtol=0, atol=tolerance, equal_nan=True))


def _largest(array: np.ndarray) -> float:
    """The largest finite magnitude."""
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0
