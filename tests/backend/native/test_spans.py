"""Who reads a value, and where threads have to meet, worked out from the bytes that steps and kernels touch."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.backend.base import Bound
from graphnet.backend.native.spans import Access, Share, Touch, phases, readers
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


# -- meeting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "met"),
    [
        (Share(4, (Touch(0, 8, 8, True),)), Share(4, (Touch(0, 8, 8, False),)), False),
        (Share(4, (Touch(0, 8, 8, True),)), Share(4, (Touch(0, 9, 8, False),)), True),
        (Share(4, (Touch(0, 8, 8, True),)), Share(4, (Touch(4, 8, 4, False),)), True),
        (Share(4, (Touch(0, 8, 8, True),)), Share(2, (Touch(0, 16, 16, False),)), True),
        (Share(4, (Touch(0, 8, 8, False),)), Share(2, (Touch(0, 16, 16, False),)), False),
        (Share(4, (Touch(0, 8, 8, True),)), Share(2, (Touch(32, 48, 16, True),)), False),
        (Share(1, (Touch(0, 8, 0, True),)), Share(1, (Touch(0, 8, 0, True),)), False),
        (Share(1, (Touch(0, 8, 0, True),)), Share(2, (Touch(0, 4, 4, False),)), True),
        (Share(4, (Touch(24, 32, -8, True),)), Share(4, (Touch(24, 32, -8, False),)), False),
        (Share(4, (Touch(0, 8, 8, False),)), Share(4, (Touch(8, 16, 8, True),)), True),
    ],
)
def test_threads_meet_where_one_needs_what_another_wrote(first, second, met):
    assert phases([first, second]) == ([[0], [1]] if met else [[0, 1]])


def test_a_kernel_waits_for_all_since_the_last_meeting():
    one, other, reader = Share(4, (Touch(0, 8, 8, True),)), Share(4, (Touch(64, 72, 8, True),)), Touch(0, 32, 0, False)
    assert phases([one, other, Share(2, (reader,)), Share(2, (reader,))]) == [[0, 1], [2, 3]]


def test_a_kernel_begins_with_an_earlier_phase_than_the_one_before_it_if_it_can():
    def touching(start, end, writes):
        return Share(1, (Touch(start, end, 0, writes),))

    chain = [touching(0, 8, True), Share(2, (Touch(0, 8, 0, False), Touch(8, 12, 4, True))), touching(8, 16, False)]
    alone = touching(100, 108, True)
    assert phases([*chain, alone]) == [[0], [1, 3], [2]]
    clashing = touching(8, 16, True)
    assert phases([*chain, clashing]) == [[0], [1], [2, 3]]


def test_no_two_kernels_that_clash_change_places():
    """Random kernels: every pair keeps its order, in one phase only where threads need not wait for one another."""
    rng = np.random.default_rng(0)
    kernels = []
    for _ in range(300):
        chunks, size = int(rng.choice([1, 2, 4])), int(rng.integers(1, 9))
        touches = [Touch(at := int(rng.integers(300)), at + size, size, bool(rng.integers(2))) for _ in range(2)]
        kernels.append(Share(chunks, tuple(touches)))
    found = phases(kernels)
    place = {number: phase for phase, numbers in enumerate(found) for number in numbers}
    assert sorted(place) == list(range(300)) and all(numbers == sorted(numbers) for numbers in found)
    assert any(place[number] > place[number + 1] for number in range(299)), "some kernel should come earlier"
    for later, this in enumerate(kernels):
        for before in range(later):
            after = this.after(kernels[before])
            assert place[before] < place[later] + [len(found), 1, 0][after], (before, later)
