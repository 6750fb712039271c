"""Giving back memory that compiling needed and running does not: LLVM is tens of megabytes, and works for seconds."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_DONTNEED = 4  # Linux's mman.h
_SMAPS = Path("/proc/self/smaps")


def unchanged(library: str) -> list[tuple[int, int]]:
    """(start, end) of each mapping of a shared library, by its file's name, whose pages are as they are in the file.

    They stay where they are as long as it is loaded. An empty list where the system does not say. Asking it takes
    milliseconds, more in a process of many mappings.
    """
    return list(_unchanged(library)) if _libc() is not None else []


def give_back(mappings: Iterable[tuple[int, int]]) -> None:
    """Let the system drop the pages of `unchanged` mappings, and of freed memory.

    They come back by themselves when they are touched.
    """
    libc = _libc()
    if libc is None:
        return
    for start, end in mappings:
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONTNEED)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(ctypes.c_size_t(0))


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if _SMAPS.exists() else None


def _unchanged(library: str) -> Iterator[tuple[int, int]]:
    """Each mapping of the library that cannot be written and never was."""
    place: tuple[int, int] | None = None
    for line in _SMAPS.read_text().splitlines():
        name, *fields = line.split()
        if not name.endswith(":"):  # the head of a mapping: addresses, rights, offset, device, inode, path
            start, _, end = name.partition("-")
            is_ours = len(fields) == 5 and fields[4].endswith(f"/{library}") and "w" not in fields[0]
            place = (int(start, 16), int(end, 16)) if is_ours else None
        elif place is not None and name == "Anonymous:" and int(fields[0]) == 0:
            # Pages that the dynamic linker has written to are anonymous: dropped, they would lose what it wrote.
            yield place
