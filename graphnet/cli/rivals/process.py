"""The other end: a process that does the work of one rival, told by its standard input what to do and when.

`graphnet.cli.rivals.hands` starts it and is who tells it.
"""

from __future__ import annotations

import gc
import os
import re
import resource
import sys
import time
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np

from graphnet.cli.rivals.agreement import LOSS_BOUNDS
from graphnet.cli.rivals.messages import receive, send
from graphnet.cli.rivals.work import Engine, Task, Work, task_of
from graphnet.errors import GraphnetError


class Worker:
    """Carries out what it is told for one rival."""

    def __init__(self, engine: str, work: Work) -> None:
        if hasattr(os, "sched_setaffinity"):  # libraries that size their own pools then see no more processors
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: work.threads])
        start = time.perf_counter()
        self._task: Task = task_of(work)
        module, _, name = engine.partition(":")
        self._digest = self._task.digest
        self._engine: Engine = getattr(import_module(module), name)(self._task)
        self._ready = time.perf_counter() - start
        self._made = count()
        self._resident = 0

    def compare(self) -> dict[str, Any]:
        """What the first steps gave, for the parent to compare; and what was used to make them."""
        before = dict(self._engine.state())
        start = time.perf_counter()
        given = [self._next()]
        first = time.perf_counter() - start
        self._resident = _most_resident()
        after = dict(self._engine.state())
        steps = len(LOSS_BOUNDS) if self._task.loss is not None else len(self._task.batches)
        given += [self._next() for _ in range(steps - 1)]
        return {
            "digest": self._digest,
            "results": given,
            "before": before,
            "after": after,
            "gradients": dict(getattr(self._engine, "gradients", {})),
            "flops": getattr(self._engine, "flops", None) or self._task.flops,
            "settings": dict(self._engine.settings),
            "ready_seconds": self._ready,
            "first_seconds": first,
        }

    def run(self, steps: int) -> dict[str, Any]:
        """Seconds of each of `steps` steps, after one that wakes everything up.

        resident_bytes: the most until the first step was done and while it runs steps; the copies of weights that are
        compared in between are none of the engine's.
        """
        gc.collect()
        _forget_most_resident()
        gc.disable()
        try:
            self._next()
            seconds = [self._timed() for _ in range(steps)]
        finally:
            gc.enable()
        return {"seconds": seconds, "resident_bytes": max(self._resident, _most_resident())}

    def _next(self) -> list[np.ndarray]:
        batches = self._task.batches
        return [np.array(value) for value in self._engine.step(batches[next(self._made) % len(batches)])]

    def _timed(self) -> float:
        batch = self._task.batches[next(self._made) % len(self._task.batches)]
        start = time.perf_counter()
        self._engine.step(batch)
        return time.perf_counter() - start


def _most_resident() -> int:
    """The most bytes that this process ever had in memory.

    Where the system tells it for the program alone: what `getrusage` says is at least what the parent had.
    """
    status = Path("/proc/self/status")
    text = status.read_text(encoding="utf-8") if status.exists() else ""
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _forget_most_resident() -> None:
    """Let the system begin anew with the most bytes; where it does not offer that, they stay."""
    if (path := Path("/proc/self/clear_refs")).exists():
        path.write_text("5", encoding="ascii")


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer messages until there are no more: the first is an engine and its work, then a method with arguments."""
    worker: Worker | None = None
    while (message := receive(source)) is not None:
        try:
            if worker is None:
                worker = Worker(*message)
                answer: tuple[str, Any] = ("done", None)
            else:
                name, *arguments = message
                answer = ("done", getattr(worker, name)(*arguments))
        except GraphnetError as error:
            answer = ("refused", str(error))
        except Exception as error:
            answer = ("failed", f"{type(error).__name__}: {error}")
        send(target, answer)


def main() -> None:
    """Serve on the standard streams, which libraries that print must not get hold of."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    serve(source, target)


if __name__ == "__main__":
    main()
    sys.exit(0)
