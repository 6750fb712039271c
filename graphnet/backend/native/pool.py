"""Threads that wait for native steps: Python threads that stay in native code and never hold the GIL."""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache

import numpy as np

from graphnet.backend.native import engine
from graphnet.backend.native.runtime import SYNC_BYTES, runtime

_LINE = 64  # bytes of a cache line


class Pool:
    """`threads` threads, the caller's included, and the memory by which they find each other."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        raw = np.zeros(SYNC_BYTES + _LINE, np.uint8)
        skip = -raw.ctypes.data % _LINE
        self._memory = raw[skip : skip + SYNC_BYTES]
        self.sync = self._memory.ctypes.data
        self._start()

    def _start(self) -> None:
        work = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(library().addresses["gn_work"])
        for number in range(1, self.threads):
            arguments = (self.sync, number, self.threads)
            threading.Thread(target=work, args=arguments, name=f"graphnet-{number}", daemon=True).start()

    def restart(self) -> None:
        """In a child process, which a fork leaves without the threads of its parent."""
        self._memory[...] = 0
        self._start()


@cache
def library() -> engine.Loaded:
    """The runtime's functions."""
    names = ["gn_launch", "gn_work"]
    return engine.load(engine.compile_object(runtime()), names)


_pools: dict[int, Pool] = {}
_lock = threading.Lock()


def pool(threads: int) -> Pool:
    """The pool of this many threads, one a process."""
    with _lock:
        if threads not in _pools:
            if not _pools:
                os.register_at_fork(after_in_child=_restart)
            _pools[threads] = Pool(threads)
        return _pools[threads]


def _restart() -> None:
    for each in _pools.values():
        each.restart()


def available() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
