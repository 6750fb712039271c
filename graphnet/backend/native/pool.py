"""Threads that wait for native steps: Python threads that stay in native code and never hold the GIL."""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache

import numpy as np

from graphnet.backend.native import engine
from graphnet.backend.native.objects import object_code
from graphnet.backend.native.runtime import FINISHED, LINE, SHARES, runtime


class Pool:
    """`threads` threads, the caller's included, and the memory by which they find each other."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        size = SHARES + LINE * threads
        raw = np.zeros(size + LINE, np.uint8)
        skip = -raw.ctypes.data % LINE
        self._memory = raw[skip : skip + size]
        self.sync = self._memory.ctypes.data
        # The threads look there until the process is gone, also while the interpreter clears away its objects.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(raw))
        self._start()

    def _start(self) -> None:
        work = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(library().addresses["gn_work"])
        for number in range(1, self.threads):
            arguments = (self.sync, number, self.threads)
            threading.Thread(target=work, args=arguments, name=f"graphnet-{number}", daemon=True).start()

    def restart(self) -> None:
        """In a child process, which a fork leaves without the threads of its parent."""
        self._memory[...] = 0
        self._memory[FINISHED] = 1  # a job that another thread was at when the process forked is not waited for
        self._start()


@cache
def library() -> engine.Loaded:
    """The runtime's functions."""
    names = ["gn_launch", "gn_resume", "gn_cancel", "gn_work"]
    loaded = engine.load(object_code(runtime()), names)
    engine.rest()
    return loaded


_pools: dict[int, Pool] = {}
_lock = threading.Lock()


def pool(threads: int) -> Pool:
    """The pool of this many threads, one a process."""
    with _lock:
        if threads not in _pools:
            _pools[threads] = Pool(threads)
        return _pools[threads]


def _restart() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it, and will not give it back here
    for each in _pools.values():
        each.restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart)


def available() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
