"""What loops are shaped for: how wide vectors are on this machine, how many there are, and what they cost."""

from __future__ import annotations

import platform
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from graphnet import config
from graphnet.backend.native import engine

_LEAST = 16  # bytes: vectors of fewer are no cheaper


@dataclass(frozen=True)
class Target:
    """A machine as loops see it.

    vector: bytes of one. registers: as many as a tile may take. multiply_adds, loads: of vectors, that begin in a
    cycle. latency: cycles until the result of a multiply-add can be added to. together: steps of a long sum that are
    written out one behind the other, as counting them takes instructions too: they are what there is too little of
    where another thread works on the same core.
    """

    vector: int
    registers: int
    multiply_adds: int = 2
    loads: int = 2
    latency: int = 4
    together: int = 1

    def lanes(self, size: int, neighbours: int | None = None) -> int:
        """How many elements of `size` bytes a vector has, and one that is as narrow as it can be for `neighbours`.

        That is one half of which would be idle otherwise, down to 16 bytes.
        """
        vector = self.vector
        while neighbours is not None and vector > _LEAST and 2 * neighbours * size <= vector:
            vector //= 2
        return vector // size

    def within(self, size: int, neighbours: int) -> int:
        """How many elements of `size` bytes a vector has that is no longer than so many neighbours."""
        lanes = self.lanes(size)
        while lanes > neighbours:
            lanes //= 2
        return lanes


SSE = Target(16, 15)  # of 16: a product has to be somewhere before it is added
AVX, AVX512 = Target(32, 16, together=4), Target(64, 32)  # a step of 14 rows has few instructions that only count
NEON = Target(16, 28)  # of 32: LLVM loads elements early on some of these processors, and would run out of registers
_BY_VECTOR = {one.vector: one for one in (SSE, AVX, AVX512)}


def target() -> Target:
    """What loops are made for: this machine, or what GRAPHNET_NATIVE_VECTOR says instead.

    Vectors of another width than the machine's work too, as LLVM makes several of one or leaves a part of each idle:
    for tests and comparisons. Raises `ArgumentError` where the variable is no such width.
    """
    machine = platform.machine()
    wanted = config.native_vector()
    return _host(machine) if wanted is None else of_width(machine, wanted)


def of_width(machine: str, vector: int) -> Target:
    """The target whose vectors have so many bytes: 16, 32 or 64."""
    return NEON if machine == "aarch64" and vector == NEON.vector else _BY_VECTOR[vector]


def of_features(machine: str, features: Collection[str]) -> Target:
    """The target for a processor with these features, by LLVM's names ("+avx2"): the widest vectors that it has whole.

    64 bytes pay, or at least do not harm, on every processor that has all three of the AVX-512 features: servers of
    Intel begin two multiply-adds of 64 bytes in a cycle, as they do of 32, and Zen 4 takes twice as long for one.
    """
    if machine == "aarch64":
        return NEON
    if {"+avx512f", "+avx512vl", "+avx512dq"} <= set(features):
        return AVX512
    return AVX if "+avx" in features else SSE


@cache
def _host(machine: str) -> Target:
    return of_features(machine, engine.host().features.split(","))
