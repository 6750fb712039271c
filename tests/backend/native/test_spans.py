"""Who reads a value, worked out from the bytes that steps touch."""

from __future__ import annotations

import numpy as np

from graphnet.backend.base import Bound
from graphnet.backend.native.spans import Access, readers
from graphnet.ops import elementwise

ADD = elementwise.Add()


def test_readers_are_those_who_find_the_value_before_it_is_overwritten():
    """Compared with the steps carried out byte by byte; more of them than are looked at together at first."""
    rng = np.random.default_rng(0)
    arena = np.zeros(40, np.uint8)

    def piece():
        start = int(rng.integers(36))
        return arena[start : start + int(rng.integers(1, 5))]

    steps = [Bound(ADD, piece(), (piece(), piece()), (), bool(rng.integers(2))) for _ in range(300)]
    owner = np.full(arena.size, -1)
    found = [set() for _ in steps]

    def bytes_of(array):
        first = array.ctypes.data - arena.ctypes.data
        return slice(first, first + array.nbytes)

    for number, step in enumerate(steps):
        for read in step.inputs:
            for writer in set(owner[bytes_of(read)]) - {-1}:
                found[writer].add(number)
        owner[bytes_of(step.out)] = number
    last = set(owner.tolist())
    wanted = [None if step.kept and number in last else frozenset(found[number]) for number, step in enumerate(steps)]
    assert readers(steps, [Access.of(step) for step in steps]) == wanted
    assert None in wanted and any(max(one, default=0) > number + 64 for number, one in enumerate(wanted) if one)
