"""Measuring what there are several ways to do, on memory of its own, and remembering what was fastest.

Only such ways are tried as add up every sum in the same order, so that no bit of a result depends on what was measured.
One field of a `Choice` after the other is varied, and kept where the loops become clearly faster. What was found lies
in the store of object code, as one table for each kind of processor, number of threads and version of graphnet: whoever
compiles the same product later gets the same loops, whether he asks for measurements or not.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np

from graphnet.backend.base import Bound
from graphnet.backend.native.choices import MODEL, Choice
from graphnet.backend.native.library import symbol
from graphnet.backend.native.makers import Maker, signature
from graphnet.backend.native.objects import kept, key_of
from graphnet.backend.native.ops import DirectConvolution, DirectFilterGradient, DirectInputGradient
from graphnet.backend.native.sources import SOURCES
from graphnet.backend.native.spans import Access
from graphnet.backend.native.steps import Module, Native
from graphnet.backend.native.target import target
from graphnet.backend.native.tiling import lists
from graphnet.backend.native.views import View, planned
from graphnet.graph.node import Node, Op
from graphnet.ops.linear import Matmul
from graphnet.schedule import Schedule

TUNABLE = (Matmul, DirectConvolution, DirectInputGradient, DirectFilterGradient)
_FORMAT = "graphnet tuning 1"
_MOST = 4096  # entries of a table; the oldest go first
_CLEARLY = 0.97  # of the time: what is gained less is noise
_FEWEST, _ROUNDS = 5, 30  # in which two ways are run in turn
_WON = 0.8  # of the rounds: what is faster in fewer was lucky
_LEAST = 50e-6  # seconds, so that reading the clock does not count
_TRIAL = 0.2  # seconds of such rounds, at most


@dataclass(frozen=True)
class Tuned:
    """What was found for one op on its arrays. before, after: seconds by the cost model's choice and by this one."""

    choice: Choice
    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.choice}; {1e6 * self.after:.3g} microseconds, not {1e6 * self.before:.3g}"


# -- the table ---------------------------------------------------------------------------------------------------------


class Table:
    """What was measured on this kind of processor with so many threads, by `said`; shared with other processes."""

    def __init__(self, threads: int) -> None:
        self._key = key_of(_FORMAT, f"{SOURCES} {threads} {target()}")
        self.entries = self._read()

    def digest(self) -> str:
        """What changes whenever an entry does."""
        return hashlib.sha256(json.dumps(self._plain()).encode()).hexdigest()

    def add(self, found: Mapping[str, Tuned]) -> None:
        """Keep these too, beside what other processes have found meanwhile."""
        self.entries = dict(list({**self.entries, **self._read(), **found}.items())[-_MOST:])
        store = kept()
        if store is not None and found:
            store.put(self._key, json.dumps(self._plain()).encode())

    def _plain(self) -> dict[str, list[object]]:
        return {key: [*astuple(one.choice), one.before, one.after] for key, one in self.entries.items()}

    def _read(self) -> dict[str, Tuned]:
        """What the store has: it gives nothing that is not whole, and nothing that another user wrote."""
        store = kept()
        content = None if store is None else store.get(self._key)
        plain = {} if content is None else json.loads(content)
        return {key: Tuned(Choice(*choice), before, after) for key, (*choice, before, after) in plain.items()}


def said(op: Op, views: Sequence[View]) -> str:
    """The name of an op on its arrays, the same in every process."""
    arrays = [(view.dtype, view.shape, view.strides) for view in views]
    return hashlib.sha256(f"{op.name} {op.attributes} {arrays}".encode()).hexdigest()[:32]


# -- what there is to choose from --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An op on its arrays, which a program has `times` times."""

    op: Op
    layouts: tuple[np.ndarray, ...]
    views: tuple[View, ...]
    times: int

    def __str__(self) -> str:
        shapes = [str(tuple(array.shape)) for array in self.layouts]
        return f"{self.op.name} of {' and '.join(shapes[1:])} to {shapes[0]}"

    @property
    def cost(self) -> float:
        """About how many multiplications it takes: of three arrays, each index comes with two."""
        return self.times * math.sqrt(math.prod(float(array.size) for array in self.layouts))

    def variants(self) -> Iterator[Callable[[Choice], Choice]]:
        """Changes of one field, to be tried one after the other."""
        fields: dict[str, Sequence[object]] = {}
        if isinstance(self.op, Matmul):
            fields = {"panel": (1, 2, 3), "right": (True, False), "left": (True, False)}
        elif isinstance(self.op, DirectFilterGradient):
            fields = {"panel": (1, 2, 3), "right": (True, False)}
        else:
            fields = {"tall": lists(*self.layouts[0].shape[1:3])}
        for name, values in fields.items():
            for value in values:
                yield lambda choice, name=name, value=value: replace(choice, **{name: value})  # type: ignore[misc]


def cases(order: Schedule) -> list[Case]:
    """The different products and convolutions of a program, the most expensive first."""
    layouts = order.graph.layouts
    found: dict[Hashable, Case] = {}
    for node in order.steps:
        case = _case(node, layouts)
        if case is not None:
            key = signature(case.op, case.views)
            known = found.get(key)
            found[key] = case if known is None else replace(known, times=known.times + 1)
    return sorted(found.values(), key=lambda case: -case.cost)


def _case(node: Node, layouts: Mapping[Node, np.ndarray]) -> Case | None:
    if not isinstance(node.op, TUNABLE) or not node.type.is_float:
        return None
    arrays = (layouts[node], *(layouts[value] for value in node.inputs))
    views = planned(arrays)
    return None if views is None else Case(node.op, arrays, tuple(views), 1)


# -- measuring ---------------------------------------------------------------------------------------------------------


def measured(found: Sequence[Case], threads: int, seconds: float) -> dict[str, Tuned]:
    """The best choice for each case, as far as `seconds` in all reach: an equal share each, and what others left."""
    end = time.monotonic() + seconds
    tuned: dict[str, Tuned] = {}
    for place, case in enumerate(found):
        now = time.monotonic()
        if now >= end:
            break
        result = _Trial(case, threads).best(now + (end - now) / (len(found) - place))
        if result is not None:
            tuned[said(case.op, case.views)] = result
    return tuned


class _Trial:
    """One case on memory of its own."""

    def __init__(self, case: Case, threads: int) -> None:
        self.case, self.threads = case, threads
        generator = np.random.default_rng(0)
        self.arrays = [_filled(layout, generator) for layout in case.layouts]
        self.known: set[tuple[str, ...]] = set()

    def best(self, end: float) -> Tuned | None:
        """The fastest choice that was found in time; None where time ran out before there was a better one."""
        first = best = self._native(MODEL)
        if first is None or best is None:
            return None
        choice, complete = MODEL, False
        for change in self.case.variants():
            if time.monotonic() >= end:
                break
            other = self._native(change(choice))
            if other is None:
                continue
            if _faster(best, other, end) is not None:
                best, choice = other, change(choice)
        else:
            complete = True
        times = None if best is first else _faster(first, best, end)
        if times is not None:
            return Tuned(choice, *times)
        return Tuned(MODEL, 0.0, 0.0) if complete else None

    def _native(self, choice: Choice) -> Native | None:
        """The loops on this memory; None where there are none, or where they are those of an earlier choice."""
        case, maker = self.case, Maker()
        maker.choices[signature(case.op, case.views)] = choice
        types = maker.scratch_types(case.op, case.layouts)
        if types is None:
            return None
        work = tuple(np.zeros(t.static_shape, t.dtype) for t in types)
        out, *inputs = self.arrays
        step = Bound(case.op, out, tuple(inputs), work)
        located = maker.located(0, step, Access.of(step), None)
        if located is None:
            return None
        symbols = tuple(symbol(loops) for loops in located.loops)
        if symbols in self.known:
            return None
        self.known.add(symbols)
        return Native([located], Module([located]), self.threads)


def _filled(layout: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """An array of the same strides with numbers in it."""
    reach = [(size - 1) * stride for size, stride in zip(layout.shape, layout.strides, strict=True)]
    first, last = -sum(min(0, far) for far in reach), sum(max(0, far) for far in reach)
    flat = generator.standard_normal((first + last) // layout.itemsize + 1).astype(layout.dtype)
    return np.ndarray(layout.shape, layout.dtype, flat, first, layout.strides)


def _faster(one: Native, other: Native, end: float) -> tuple[float, float] | None:
    """The shortest time of each, in seconds, where the other is clearly faster, and nearly each time; None where not.

    They run in turn, so that what else the machine does falls on both.
    """
    for native in (one, other):
        native()
    begin = time.perf_counter()
    one()
    together = max(1, int(_LEAST / max(time.perf_counter() - begin, 1e-9)))
    times: tuple[list[float], list[float]] = ([], [])
    start = time.monotonic()
    for number in range(_ROUNDS):
        for native, found in zip((one, other), times, strict=True):
            begin = time.perf_counter()
            for _ in range(together):
                native()
            found.append((time.perf_counter() - begin) / together)
        now = time.monotonic()
        if number + 1 >= _FEWEST and (now - start > _TRIAL or now >= end):
            break
    before, after = min(times[0]), min(times[1])
    won = sum(b < a for a, b in zip(*times, strict=True))
    return (before, after) if after < _CLEARLY * before and won >= _WON * len(times[0]) else None
