"""Settings from the environment. This module is their only reader, and reads when asked, never at import.

GRAPHNET_BACKEND   the backend of `compile` where none is given; where this is not set either "native" if llvmlite
                   is installed, "numpy" if not
GRAPHNET_DEBUG     0 nothing; 1 a summary and arena bytes; 2 time per step; 3 the graph after each pass;
                   4 the memory map; 5 generated code
GRAPHNET_CHECK     0 nothing; 1 verify after each pass and plan; 2 also each step against the reference,
                   inputs unchanged, and freed bytes filled with NaN
GRAPHNET_CACHE     a folder for compiled programs that later processes take over, or "off"; where it is not set,
                   graphnet in XDG_CACHE_HOME or in ~/.cache
GRAPHNET_CACHE_MB  how many millions of bytes of it at most, 256 where it is not set
GRAPHNET_NATIVE_VECTOR
                   16, 32 or 64: bytes of the vectors that native loops are made of, for tests and comparisons; where
                   it is not set, those of the processor
GRAPHNET_NATIVE_WINOGRAD
                   "on", as where it is not set, or "off": convolutions are direct sums natively too, at every size
OMP_NUM_THREADS    only reported beside measurements; it is NumPy's BLAS library that follows it
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from importlib.util import find_spec

from graphnet.errors import ArgumentError

MAX_DEBUG = 5
MAX_CHECK = 2
DEFAULT_CACHE_MB = 256
NATIVE_VECTORS = ("16", "32", "64")


def backend(known: Collection[str] = ()) -> str:
    """The backend that `compile` uses where the caller names none.

    Raises `ArgumentError` where `known` is given and GRAPHNET_BACKEND is not in it.
    """
    name = os.environ.get("GRAPHNET_BACKEND", "").strip() or default_backend()
    if known and name not in known:
        raise ArgumentError(f"GRAPHNET_BACKEND must be one of {', '.join(sorted(known))}, not {name!r}")
    return name


def default_backend() -> str:
    """The fastest of the backends that can be used with what is installed."""
    return "native" if find_spec("llvmlite") is not None else "numpy"


def debug() -> int:
    """How much the compiler tells, 0 to 5. Raises `ArgumentError` for any other value of GRAPHNET_DEBUG."""
    return _level("GRAPHNET_DEBUG", MAX_DEBUG)


def check() -> int:
    """How much compiling and running check, 0 to 2. Raises `ArgumentError` for any other value of GRAPHNET_CHECK."""
    return _level("GRAPHNET_CHECK", MAX_CHECK)


def cache() -> str | None:
    """The folder in which compiled code is kept for later processes; None: nowhere, by wish or for want of a home."""
    text = os.environ.get("GRAPHNET_CACHE", "").strip()
    if text == "off":
        return None
    if text:
        return os.path.abspath(os.path.expanduser(text))
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # the specification says to ignore others
        return os.path.join(given, "graphnet")
    home = os.path.expanduser("~")
    return os.path.join(home, ".cache", "graphnet") if os.path.isabs(home) else None


def cache_bytes() -> int:
    """How much compiled code is kept at most. Raises `ArgumentError` where GRAPHNET_CACHE_MB is no whole number."""
    text = os.environ.get("GRAPHNET_CACHE_MB", "").strip() or str(DEFAULT_CACHE_MB)
    if not (text.isascii() and text.isdecimal()):
        raise ArgumentError(f"GRAPHNET_CACHE_MB must be a whole number of millions of bytes, not {text!r}")
    return int(text) * 1_000_000


def native_vector() -> int | None:
    """How many bytes vectors of native loops have; None: as many as the processor's.

    Raises `ArgumentError` for a GRAPHNET_NATIVE_VECTOR that no loops can be made for.
    """
    text = os.environ.get("GRAPHNET_NATIVE_VECTOR", "").strip()
    if text and text not in NATIVE_VECTORS:
        raise ArgumentError(f"GRAPHNET_NATIVE_VECTOR must be one of {', '.join(NATIVE_VECTORS)}, not {text!r}")
    return int(text) if text else None


def native_winograd() -> bool:
    """Whether convolutions may go by Winograd's tiles. Raises `ArgumentError` for what is neither "on" nor "off"."""
    text = os.environ.get("GRAPHNET_NATIVE_WINOGRAD", "").strip() or "on"
    if text not in ("on", "off"):
        raise ArgumentError(f'GRAPHNET_NATIVE_WINOGRAD must be "on" or "off", not {text!r}')
    return text == "on"


def blas_threads() -> str:
    """What OMP_NUM_THREADS says, for reports of measurements; "" where it leaves the number to the BLAS library."""
    return os.environ.get("OMP_NUM_THREADS", "").strip()


def environment_of(threads: int, path: Sequence[str]) -> dict[str, str]:
    """Ours for another Python process: it finds modules on `path`, and its numeric libraries use `threads` threads."""
    counts = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL", "BLIS")}
    return {**os.environ, **counts, "PYTHONPATH": os.pathsep.join(path)}


def _level(variable: str, highest: int) -> int:
    text = os.environ.get(variable, "").strip() or "0"
    if not text.isdecimal() or int(text) > highest:
        raise ArgumentError(f"{variable} must be an integer from 0 to {highest}, not {text!r}")
    return int(text)
