"""Steps that go over the same elements become one pass: values pass in registers, and what nobody else reads is gone.

An optimizer's update of a parameter, with its moments, is such a pass; so is what lies between two products.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from graphnet.backend.native.elementwise import compute, pointwise_statements, vector_lanes
from graphnet.backend.native.loops import Apply, Kernel, Register, Set, Statement, Value
from graphnet.backend.native.spans import Access, Span, span
from graphnet.backend.native.views import Block, View, locate, merged_axes
from graphnet.graph.node import Op

_MOST_MEMBERS = 32
_MOST_ARRAYS = 24  # that one pass reads and writes: about as many streams as a processor can foresee
_REACH = 16  # steps that are looked back to

Axes: TypeAlias = "list[tuple[int, tuple[int, ...]]]"


@dataclass(frozen=True, eq=False)
class Point:
    """A step that makes each element of `out` from those of `inputs` at the same index.

    number: its place in the schedule. op: None for a copy. readers: the steps that read `out`; None where it is wanted
    after the last one. span: the bytes that the step writes, in and around `out`. is_bordered: whether loops before the
    pass write to some of these, which may lie between the elements of `out`.
    """

    number: int
    op: Op | None
    out: np.ndarray
    inputs: tuple[np.ndarray, ...]
    readers: frozenset[int] | None
    span: Span
    is_bordered: bool = False

    @cached_property
    def axes(self) -> Axes:
        """Sizes and strides in bytes, of out and inputs, in the order of out's memory; as few as they can be."""
        return merged_axes([self.out, *(np.broadcast_to(x, self.out.shape) for x in self.inputs)])

    @cached_property
    def input_spans(self) -> tuple[Span, ...]:
        """The bytes that each input lies in."""
        return tuple(map(span, self.inputs))

    def places(self, sizes: tuple[int, ...]) -> list[Place]:
        """Where out and the inputs lie when the axes are cut into these."""
        if sizes not in self._places:
            arrays = (self.out, *self.inputs)
            self._places[sizes] = [_place(array, number, self.axes, sizes) for number, array in enumerate(arrays)]
        return self._places[sizes]

    @cached_property
    def _places(self) -> dict[tuple[int, ...], list[Place]]:
        return {}

    @cached_property
    def is_in_vectors(self) -> bool:
        """Whether its own pass goes by vectors."""
        return _in_vectors([self.out, *(np.broadcast_to(x, self.out.shape) for x in self.inputs)], 1)

    def value(self, operands: Sequence[Value]) -> Value | None:
        return operands[0] if self.op is None else compute(self.op, operands)


@dataclass(frozen=True)
class Place:
    """Where the elements of an array lie, in the order of the pass: two arrays of one place are the same."""

    address: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.address, self.shape, self.strides))


@dataclass(frozen=True)
class Pass:
    """One walk over elements: what is loaded, what the members make of it, what is stored.

    operands: for each member, numbers of its operands: number i < len(loads) is load i, len(loads) + k is the value of
    member k. stored: the members whose values go to memory.
    """

    members: tuple[Point, ...]
    sizes: tuple[int, ...]
    loads: tuple[tuple[Place, np.ndarray], ...]
    operands: tuple[tuple[int, ...], ...]
    stored: tuple[tuple[int, Place], ...]

    def kernels(self, name: str) -> tuple[list[Kernel], list[Block]] | None:
        """The loops, and the memory they run on; None where the loop language cannot say them."""
        places = [*(place for _, place in self.stored), *(place for place, _ in self.loads)]
        arrays = [*(self.members[k].out for k, _ in self.stored), *(array for _, array in self.loads)]
        found = locate(arrays)
        if found is None:
            return None
        views = [self._view(view, place) for view, place in zip(found[0], places, strict=True)]
        count = len(self.stored)
        made = pointwise_statements(name, views[:count], views[count:], self.statements)
        return None if made is None else (made, found[1])

    def _view(self, view: View, place: Place) -> View:
        strides = tuple(stride // place.dtype.itemsize for stride in place.strides)
        return replace(view, shape=self.sizes, strides=strides)

    def statements(self, loaded: Sequence[Value]) -> tuple[list[Statement], list[Value]] | None:
        statements: list[Statement] = []

        def kept(name: str, value: Value) -> Register:
            register = Register(name, value.dtype, value.width)
            statements.append(Set(register, value))
            return register

        known: list[Value] = [kept(f"x{n}", value) for n, value in enumerate(loaded[: len(self.loads)])]
        for k, (member, operands) in enumerate(zip(self.members, self.operands, strict=True)):
            value = member.value([known[number] for number in operands] or loaded)
            if value is None:
                return None
            known.append(kept(f"y{k}", value))
        return statements, [_settled(known[len(self.loads) + k]) for k, _ in self.stored]


def _settled(value: Value) -> Value:
    """A value to be stored: a choice between it and what lies there must not become a masked store, which is slow."""
    return Apply("fence", (value,)) if value.dtype[0] == "f" else value


def in_one_pass(members: Sequence[Point]) -> Pass | None:
    """The members' work, in their order, in one walk; None where that would not do the same.

    They have to go over as many elements, in orders that can be brought together; a value has to be read where it was
    written, element by element; and nothing may be written over what another member reads or writes elsewhere.
    """
    if len(members) > _MOST_MEMBERS:
        return None
    sizes = together([[size for size, _ in member.axes] for member in members])
    if sizes is None:
        return None
    walk = _Walk(frozenset(member.number for member in members))
    for k, member in enumerate(members):
        places = member.places(tuple(sizes))
        if not walk.reads(places[1:], member) or not walk.writes(k, places[0], member):
            return None
    loads = tuple(walk.loads.items())
    if len(loads) + len(walk.stored) > _MOST_ARRAYS:
        return None
    numbers = {place: number for number, (place, _) in enumerate(loads)}
    operands = tuple(
        tuple(numbers[of] if isinstance(of, Place) else len(loads) + of for of in member) for member in walk.operands
    )
    stored = tuple((k, place) for place, k in walk.stored.items())
    places = [*walk.stored, *walk.loads]
    if not stored or (not _in_vectors(places, len(stored)) and any(point.is_in_vectors for point in members)):
        return None
    return Pass(tuple(members), tuple(sizes), loads, operands, stored)


class _Walk:
    """What the members of a pass read and write, one after the other."""

    def __init__(self, numbers: frozenset[int]) -> None:
        self.numbers = numbers  # of the members
        self.values: dict[Place, int] = {}  # what a place would hold by now, by the member that made it
        self.written: list[Span] = []  # by each member, if it stored what it makes
        self.loads: dict[Place, np.ndarray] = {}
        self.spans: dict[Place, Span] = {}  # of what is loaded
        self.stored: dict[Place, int] = {}
        self.operands: list[list[Place | int]] = []

    def reads(self, places: Sequence[Place], member: Point) -> bool:
        """Note what the next member reads; whether it can be had."""
        found: list[Place | int] = []
        for place, array, lies in zip(places, member.inputs, member.input_spans, strict=True):
            if place in self.values:
                found.append(self.values[place])
            elif _met(lies, self.written):
                return False  # some of it is a value of this pass, but not at the same index
            else:
                self.loads.setdefault(place, array)
                self.spans[place] = lies
                found.append(place)
        self.operands.append(found)
        return True

    def writes(self, k: int, place: Place, member: Point) -> bool:
        """Note what member k writes; whether it can."""
        gone = _met(member.span, self.written)
        if gone:
            self.values = {p: v for p, v in self.values.items() if v not in gone}
        self.values[place] = k
        self.written.append(member.span)
        loaded = _met(member.span, [*self.spans.values()])
        if loaded and member.is_bordered:
            return False  # the border is there before anything is loaded
        if member.readers is not None and member.readers <= self.numbers:
            return True  # nobody will look for it in memory
        if any([*self.spans][number] != place for number in loaded):
            return False
        others = [*self.stored]
        found = _met(member.span, [self.written[v] for v in self.stored.values()])
        self.stored[place] = k
        return all(others[number] == place for number in found)


def _met(one: Span, spans: Sequence[Span]) -> list[int]:
    """Which of `spans` have bytes in common with `one`. Written out: merging asks this most."""
    first, end = one
    return [number for number, (start, stop) in enumerate(spans) if start < end and first < stop]


def _place(array: np.ndarray, number: int, axes: Axes, sizes: Sequence[int]) -> Place:
    """Where array number `number` of a member lies when its axes are cut into those of the pass."""
    left = list(sizes)
    strides: list[int] = []
    for size, along in reversed(axes):
        inside = 1
        while inside < size:
            strides.append(along[number] * inside)
            inside *= left.pop()
    return _the_place(array.__array_interface__["data"][0], array.dtype, tuple(sizes), tuple(reversed(strides)))


@lru_cache(maxsize=4096)
def _the_place(address: int, dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...]) -> Place:
    """The same object for the same place, so that looking one up seldom compares all of it."""
    return Place(address, dtype, shape, strides)


def _in_vectors(arrays: Sequence[Place | np.ndarray], outs: int) -> bool:
    """Whether a pass over these arrays of one shape, the first `outs` of which it writes, goes by vectors."""
    axes = merged_axes(arrays)
    if not axes:
        return True
    sizes = [array.dtype.itemsize for array in arrays]
    inner, strides = axes[-1]
    elements = [stride // size for stride, size in zip(strides, sizes, strict=True)]
    return vector_lanes(inner, elements, sizes, outs) > 1


def together(shapes: Sequence[Sequence[int]]) -> list[int] | None:
    """The coarsest shape that each of `shapes` becomes when its axes are cut; None where there is none."""
    if len({math.prod(shape) for shape in shapes}) != 1:
        return None
    runs = {1}  # of elements, behind one index of an axis
    for shape in shapes:
        runs |= {math.prod(shape[axis:]) for axis in range(len(shape))}
    ordered = sorted(runs)
    if any(outer % inner for inner, outer in pairwise(ordered)):
        return None
    return [outer // inner for inner, outer in pairwise(ordered)][::-1]


# -- which steps ---------------------------------------------------------------------------------------------------


@dataclass
class _Item:
    """Steps that are done together, and what they touch. merged: the pass that they are, where they are several."""

    points: list[Point]
    access: Access
    number: int
    merged: Pass | None = None

    @cached_property
    def size(self) -> int:
        return self.points[0].out.size if self.points else 0

    @cached_property
    def addresses(self) -> set[int]:
        """Of the arrays of full size."""
        arrays = [array for point in self.points for array in (point.out, *point.inputs)]
        return {array.__array_interface__["data"][0] for array in arrays if array.size == self.size}


def grouped(points: Mapping[int, Point], touched: Mapping[int, Access]) -> list[int | Pass]:
    """The steps of `touched`, some of them in passes, in an order in which each finds what it found before."""
    items: list[_Item] = []
    for number, access in touched.items():
        point = points.get(number)
        items.append(_Item([] if point is None else [point], access, number))
        place: int | None = len(items) - 1
        while place is not None:
            place = _joined(items, place)
    return [item.number if item.merged is None else item.merged for item in items]


def _joined(items: list[_Item], last: int) -> int | None:
    """Make one pass of an item and one of those before it, in either's place; where it is now, None where none fits."""
    new = items[last]
    for place in range(last - 1, max(-1, last - 1 - _REACH), -1):
        item, between = items[place], items[place + 1 : last]
        if item.size != new.size or not item.addresses & new.addresses:
            continue
        merged = in_one_pass([*item.points, *new.points])
        if merged is None:
            continue
        first = not any(new.access.clashes(other.access) for other in between)
        if not first and any(item.access.clashes(other.access) for other in between):
            continue
        both = _Item([*item.points, *new.points], item.access.together(new.access), item.number, merged)
        items[place : last + 1] = [both, *between] if first else [*between, both]
        return place if first else last - 1
    return None
