"""Fair timing: rivals take turns, so that what slows the machine slows them all; medians, never means."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping

from graphnet.cli.measuring import Times

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def shown(times: Times) -> str:
    """The median and where half of all measurements lie, in milliseconds."""
    lower, upper = times.quartiles
    return f"{times.median * 1e3:9.3f} ms  (half of them in {lower * 1e3:.3f} to {upper * 1e3:.3f})"


def in_turns(rivals: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 3) -> dict[str, Times]:
    """Each rival's times over `rounds` rounds, one call each a round, with the garbage collector held."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(warm_up):
        for call in rivals.values():
            call()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in rivals.items():
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def ratio(times: Mapping[str, Times], above: str, below: str) -> float:
    """The median of the ratios within each round: what slows one round slows both of its sides."""
    pairs = zip(times[above].seconds, times[below].seconds, strict=True)
    return statistics.median(a / b for a, b in pairs)


def keep_heap() -> bool:
    """Ask glibc to keep freed memory rather than give it back; whether it agreed.

    By default large arrays are fetched from the system anew at each step, and clearing their pages can take longer
    than the arithmetic. A program that allocates in each step is measured at its best only with this.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # not glibc
    return bool(mallopt(_M_MMAP_THRESHOLD, 32 << 20) and mallopt(_M_TRIM_THRESHOLD, 1 << 30))
