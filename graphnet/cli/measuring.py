"""Fair timing of rivals that do the same work: they take turns, so that what slows the machine slows them all."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from graphnet import config

Call = Callable[[], object]
_BURST_SECONDS = 0.02  # a rival faster than this is timed over several calls in a row


@dataclass(frozen=True)
class Times:
    """Seconds a call of one rival, in the order measured."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Half of all measurements lie between these."""
        if len(self.seconds) < 2:
            return self.median, self.median
        lower, _, upper = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return lower, upper


def take_turns(
    rivals: Mapping[str, Call], rounds: Mapping[str, int], first: Mapping[str, float], tell: Callable[[str], None]
) -> dict[str, Times]:
    """Times of each rival over its number of rounds; one with fewer takes its turns spread over all of them.

    first: seconds that each took before, which warmed it up; it says how many calls make a turn.
    """
    calls = {name: _calls_a_turn(call, first[name]) for name, call in rivals.items()}
    most = max(rounds.values())
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    gc.collect()
    gc.disable()
    try:
        for turn in range(most):
            tell(f"round {turn + 1} of {most}")
            for name, call in rivals.items():
                if turn * rounds[name] // most == len(seconds[name]):
                    seconds[name].append(clock(call, calls[name]))
    finally:
        gc.enable()
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def _calls_a_turn(call: Call, first: float) -> int:
    """How many calls make a turn long enough to be timed."""
    if first > 1.0:  # a slow one: not called more often than it must be
        return 1
    return max(1, min(1000, round(_BURST_SECONDS / max(clock(call, 3), 1e-7))))


def clock(call: Call, count: int = 1) -> float:
    """Seconds of one call, the mean of `count` in a row."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


class Watch:
    """How much of the processors others used while a `with` ran: our own children are not others.

    others_share: of the time of all processors of the machine, from 0 to 1; None where the system does not tell it.
    """

    def __enter__(self) -> Watch:
        self._before = _processor_seconds()
        self.others_share: float | None = None
        return self

    def __exit__(self, *problem: object) -> None:
        after = _processor_seconds()
        if self._before is not None and after is not None:
            busy, total, ours = (late - early for early, late in zip(self._before, after, strict=True))
            self.others_share = min(1.0, max(0.0, (busy - ours) / total)) if total > 0 else None


def _processor_seconds() -> tuple[float, float, float] | None:
    """Seconds so far of all processors: busy, in all, and used by this process and its children."""
    stat, hertz = Path("/proc/stat"), os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0
    if not stat.is_file() or not hertz:
        return None
    numbers = [int(text) / hertz for text in stat.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    ours = sum(_tree_seconds(os.getpid(), hertz))
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers), ours


def _tree_seconds(root: int, hertz: int) -> list[float]:
    """Seconds of the process `root` and of each process that descends from it and lives."""
    used: dict[int, float] = {}
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[int(path.parent.name)] = int(fields[1])
        used[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / hertz
    found: list[float] = []
    for process in used:
        ancestor = process
        while ancestor != root and ancestor in parents:
            ancestor = parents[ancestor]
        if ancestor == root:
            found.append(used[process])
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "graphnet": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "blas_threads": config.blas_threads() or "as BLAS decides",
        "cores": processors(),
        "processor": _processor(),
        "governor": _governor(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version() -> str:
    """The installed version of graphnet."""
    try:
        return metadata.version("graphnet")
    except metadata.PackageNotFoundError:
        return "from its sources"


def _governor() -> str:
    """How the system sets the processor's clock; "" where it does not say, as in virtual machines."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _processor() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
