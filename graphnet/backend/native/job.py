"""Kernels on their memory as one call, which all threads of a pool walk through together."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from graphnet.backend.native.library import Code
from graphnet.backend.native.pool import library, pool
from graphnet.backend.native.runtime import MOST_UNITS

# A thread that has no work left takes some of another's: units are small enough that it need not wait long for the last
# of them, and large enough that claiming each, which takes some 20 ns, does not count.
_UNITS = 16
_LONGEST = 50_000_000  # nanoseconds until Python may look at signals
_HEADER = 8  # words

Record = tuple[int, int, int, int]


@dataclass(frozen=True)
class Called:
    """A kernel on its memory: (address, bytes) of each buffer; whether all threads meet before it."""

    code: Code
    memory: tuple[tuple[int, int], ...]
    chunks: int
    waits: bool


@cache
def _function(name: str) -> Callable[[int], int]:
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(library().addresses[name])


class Job:
    """Kernels in their order, ready to run.

    records: (function, address of the addresses of its buffers, chunks, whether it must wait until all kernels before
    it are done) for each. Of kernels that need not wait for one another, chunk number n of each follows on chunk n of
    the one before, where the two have as many chunks.
    """

    _kept: Any = None

    def __init__(self, records: Iterable[Record], threads: int) -> None:
        listed = list(records)
        phases = _phases(listed, threads)
        header = [len(phases), *[0] * (_HEADER - 1)]
        kernels = [word for function, addresses, chunks, _ in listed for word in (function, addresses, chunks, 0)]
        table = np.array([*header, *(word for phase in phases for word in phase), *kernels], np.uint64)
        table[4] = table.ctypes.data + 8 * (_HEADER + 4 * len(phases))
        sync = pool(threads).sync
        self._calls = np.array([[sync, table.ctypes.data, threads, limit] for limit in (_LONGEST, 0)], np.uint64)
        self._keep = table
        short, whole = (int(row.ctypes.data) for row in self._calls)
        self._launch, self._resume, self._cancel = (
            partial(_function(name), short) for name in ("gn_launch", "gn_resume", "gn_cancel")
        )
        self.call = partial(_function("gn_launch"), whole)
        """Run it from first to last, without a bytecode of Python in between."""

    @classmethod
    def of(cls, kernels: Sequence[Called], threads: int) -> Job:
        """These kernels as a job, which keeps their code."""
        addresses = np.array([address for kernel in kernels for address, _ in kernel.memory], np.uint64)
        ends = accumulate([8 * len(kernel.memory) for kernel in kernels], initial=addresses.ctypes.data)
        records = [(k.code.address, at, k.chunks, int(k.waits)) for k, at in zip(kernels, ends, strict=False)]
        job = cls(records, threads)
        job._kept = (addresses, [kernel.code for kernel in kernels])
        return job

    def __call__(self) -> None:
        """Run it. Python handles signals every 50 ms or so: an exception that one raises leaves the work half done."""
        try:
            unfinished = self._launch()
            while unfinished:
                unfinished = self._resume()
        except BaseException:
            self._cancel()
            raise


def _phases(records: list[Record], threads: int) -> list[tuple[int, int, int, int]]:
    """(first record, end, units, 0) of kernels that need not wait for one another."""
    starts = [number for number, (*_, waits) in enumerate(records) if waits or number == 0]
    found = []
    for start, end in pairwise([*starts, len(records)]):
        chunks = max(chunks for _, _, chunks, _ in records[start:end])
        found.append((start, end, min(chunks, _UNITS * threads, MOST_UNITS), 0))
    return found
