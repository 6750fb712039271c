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


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "graphnet": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "blas_threads": config.blas_threads() or "as BLAS decides",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def version() -> str:
    """The installed version of graphnet."""
    try:
        return metadata.version("graphnet")
    except metadata.PackageNotFoundError:
        return "from its sources"


def _processor() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
