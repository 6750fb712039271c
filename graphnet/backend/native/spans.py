"""Which bytes steps and kernels touch: who reads a value, what may change places, where threads have to meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from graphnet.backend.base import Bound
from graphnet.backend.native.loops import ELEMENTS, Buffer, Kernel, Store, accesses

Span: TypeAlias = "tuple[int, int]"  # from an address up to another


def span(array: np.ndarray) -> Span:
    """The bytes from the first to the last element, those of others in between included; none for an empty array."""
    return np.lib.array_utils.byte_bounds(array) if array.size else (0, 0)


def meet(a: Span, b: Span) -> bool:
    """Whether the two have bytes in common."""
    return a[0] < b[1] and b[0] < a[1] and a[0] < a[1] and b[0] < b[1]


@dataclass(frozen=True)
class Access:
    """The bytes that a step reads and those it writes, its workspace among them."""

    reads: tuple[Span, ...]
    writes: tuple[Span, ...]

    @classmethod
    def of(cls, step: Bound) -> Access:
        return cls(tuple(map(span, step.inputs)), (span(step.out), *map(span, step.work)))

    def together(self, other: Access) -> Access:
        """What both touch."""
        return Access((*self.reads, *other.reads), (*self.writes, *other.writes))

    def clashes(self, other: Access) -> bool:
        """Whether the order of the two matters: one writes what the other reads or writes."""
        pairs = ((self.writes, other.writes), (self.writes, other.reads), (self.reads, other.writes))
        return any(meet(a, b) for one, two in pairs for a in one for b in two)


def readers(steps: Sequence[Bound], touched: Sequence[Access]) -> list[frozenset[int] | None]:
    """For each step the numbers of those that read its result; None where it is wanted after the last step.

    A value is there until its bytes are written again; one whose bytes another value took over in part, in what is
    left. What only lies between the elements that somebody reads counts as read.
    """
    spans = [(number, *piece) for number, access in enumerate(touched) for piece in (*access.reads, *access.writes)]
    table = np.array(spans, np.int64).reshape(-1, 3)
    return [_readers(number, steps, touched, table) for number in range(len(steps))]


def _readers(
    number: int, steps: Sequence[Bound], touched: Sequence[Access], spans: np.ndarray
) -> frozenset[int] | None:
    """spans: (step, start, end) of everything that is read or written, in the order of the steps."""
    left = [touched[number].writes[0]]
    found = []
    for later in _touching(left[0], spans[np.searchsorted(spans[:, 0], number, "right") :]):
        if any(meet(piece, read) for piece in left for read in touched[later].reads):
            found.append(later)
        arrays = (steps[later].out, *steps[later].work)
        for array, written in zip(arrays, touched[later].writes, strict=True):
            if array.nbytes == written[1] - written[0] and any(meet(piece, written) for piece in left):
                left = [rest for piece in left for rest in _without(piece, written)]
        if not left:
            return frozenset(found)
    return None if steps[number].kept else frozenset(found)


def _touching(piece: Span, spans: np.ndarray) -> Iterator[int]:
    """The steps of `spans` that touch any of these bytes, in order, each once.

    Ever more spans are looked at together: most values die young, and a graph of many steps reuses bytes all the time.
    """
    first, most, before = 0, 64, -1
    while first < len(spans):
        of, starts, ends = spans[first : first + most].T
        for number in of[(starts < piece[1]) & (ends > piece[0])].tolist():
            if number != before:
                yield number
            before = number
        first, most = first + most, 2 * most


def _without(piece: Span, taken: Span) -> list[Span]:
    parts = [(piece[0], min(piece[1], taken[0])), (max(piece[0], taken[1]), piece[1])]
    return [(start, end) for start, end in parts if start < end]


# -- chunks of kernels, which threads share ------------------------------------------------------------------------


@dataclass(frozen=True)
class Touch:
    """Bytes of chunk 0, as addresses, and how much further on those of each next chunk lie."""

    start: int
    end: int
    step: int
    writes: bool

    def whole(self, chunks: int) -> Span:
        """The bytes of all chunks."""
        reach = self.step * (chunks - 1)
        return self.start + min(0, reach), self.end + max(0, reach)


@dataclass(frozen=True)
class Share:
    """A kernel as its threads see it: chunks, and the bytes that each of them touches."""

    chunks: int
    touches: tuple[Touch, ...]

    def follows_freely(self, before: Share) -> bool:
        """Whether a thread may begin with this kernel while others are still at `before`.

        That is where no thread touches what another one writes: kernels of as many chunks are shared out in the same
        way, so a chunk may touch what the same chunk of the other kernel touches.
        """
        same = self.chunks == before.chunks
        if same and self.chunks == 1:
            return True
        return not any(
            meet(a.whole(self.chunks), b.whole(before.chunks)) and not (same and _chunk_by_chunk(a, b))
            for a in self.touches
            for b in before.touches
            if a.writes or b.writes
        )


def _chunk_by_chunk(a: Touch, b: Touch) -> bool:
    """Whether a chunk of `a` touches bytes of the same chunk of `b` only."""
    return a.step == b.step and a.end - b.start <= abs(a.step) and b.end - a.start <= abs(a.step)


def share(kernel: Kernel, address: Mapping[Buffer, int]) -> Share:
    """The bytes that `kernel` touches in buffers at these addresses."""
    hulls: dict[tuple[Buffer, int, bool], Span] = {}
    for buffer, step, writes, (start, end) in _touches(kernel):
        known = hulls.get((buffer, step, writes), (start, end))
        hulls[buffer, step, writes] = min(start, known[0]), max(end, known[1])
    touches = []
    for (buffer, step, writes), (start, end) in hulls.items():
        size, at = ELEMENTS[buffer.dtype], address[buffer]
        touches.append(Touch(at + start * size, at + end * size, step * size, writes))
    return Share(kernel.chunk.extent, tuple(touches))


def _touches(kernel: Kernel) -> Iterator[tuple[Buffer, int, bool, Span]]:
    """(buffer, elements from chunk to chunk, whether it is written, elements of chunk 0) of each access."""
    for _, access in accesses(kernel.body):
        step, start, end = 0, access.index.constant, access.index.constant
        for var, factor in access.index.terms:
            if var is kernel.chunk:
                step = factor
            else:
                start += min(0, factor * (var.extent - 1))
                end += max(0, factor * (var.extent - 1))
        writes = isinstance(access, Store)
        width = access.value.width if isinstance(access, Store) else access.width
        yield access.buffer, step, writes, (start, end + (width if access.active is None else access.active))


def meetings(shares: Iterable[Share]) -> Iterator[bool]:
    """For each kernel in turn, whether all threads have to meet before it."""
    since: list[Share] = []  # kernels that threads may still be at
    for this in shares:
        needed = len(since) >= _MOST_OPEN or not all(this.follows_freely(before) for before in since)
        if needed:
            since.clear()
        since.append(this)
        yield needed


_MOST_OPEN = 64  # kernels between two meetings: what keeps the comparison of each with all before it short
