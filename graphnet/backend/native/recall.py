"""Programs that outlive a process: what an earlier one compiled runs at once, without being compiled again.

An entry says, in numbers, which functions are called with which bytes of which arrays. It lies in the store of object
code and is trusted as that is: the store checks who wrote it and that it is whole. Every place is looked at again when
it is read: none may leave its array, as `prove` has shown that no function leaves the bytes that it is given.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import partial
from importlib import import_module
from itertools import accumulate, pairwise
from operator import setitem
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graphnet import config
from graphnet.backend.base import Kernel
from graphnet.backend.native.job import Called, Job
from graphnet.backend.native.library import Code, recalled
from graphnet.backend.native.objects import kept, key_of
from graphnet.backend.native.sources import SOURCES
from graphnet.backend.native.spans import span
from graphnet.backend.native.steps import Check, Native
from graphnet.backend.native.structure import UnsaidError, structure
from graphnet.backend.native.target import target
from graphnet.backend.native.tuning import Table
from graphnet.backend.ready import Freshness, Ready, Wanted
from graphnet.graph.node import Op
from graphnet.memory import aligned_bytes
from graphnet.ops.sources import Constant, Storage, Stored

if TYPE_CHECKING:
    from graphnet.lower import Lowered

_FORMAT = "graphnet program 1"
_MOST_CONSTANTS = 1 << 20  # bytes: a graph with larger ones is compiled anew
_LENGTH = 8  # bytes that say how long the text is, before the constants

Content: TypeAlias = "dict[str, Any]"


def recall(wanted: Wanted, threads: int) -> Ready | None:
    """What an earlier process made of the same graph on the same machine; None where nothing is known of it."""
    store = kept()
    if store is None:
        return None
    try:
        text, storages = structure(wanted)
        entry = store.get(_key(text, threads))
        if entry is None:
            return None
        size = int.from_bytes(entry[:_LENGTH], "little")
        content = json.loads(entry[_LENGTH : _LENGTH + size])
        memory = _Memory.again(content, storages, entry[_LENGTH + size :])
    except UnsaidError:
        return None
    codes = recalled(content["symbols"])
    if codes is None:
        return None
    calls = _Again(memory, [codes[name] for name in content["symbols"]], threads)
    commit = calls.numbered(content["commit"])
    return Ready(
        tuple(None if place is None else memory.array(place) for place in content["taken"]),
        calls.numbered(content["first"]),
        calls.numbered(content["body"]),
        tuple(call.call if isinstance(call, Job) else call for _, call in commit),
        tuple(map(memory.array, content["given"])),
        Freshness([storages[number] for number in content["read"]]),
        tuple(storages[number] for number in content["changed"]),
        content["silent"],
        (memory, commit),  # of a job its call alone is kept above, and the call does not keep the job
    )


def remember(wanted: Wanted, threads: int, lowered: Lowered, ready: Ready) -> None:
    """Keep a program for later processes, where all of it can be said: native kernels, checks, copies."""
    store = kept()
    if store is None:
        return
    try:
        text, storages = structure(wanted)
        entry = _entry(lowered, ready, storages)
    except UnsaidError:
        return
    store.put(_key(text, threads), entry)


def _key(text: str, threads: int) -> str:
    """With what decides which loops a program has: the machine, what was wanted, what was measured for so many threads.

    Raises `ArgumentError` where the environment wants what there is not.
    """
    wanted = f"{target()} {config.native_winograd()} {Table(threads).digest()}"
    return key_of(_FORMAT, f"{np.__version__} {SOURCES} {wanted}\n{text}")


def _entry(lowered: Lowered, ready: Ready, storages: Sequence[Storage]) -> bytes:
    constants, apart = _outside(lowered)
    memory = _Memory([lowered.arena, *(storage.array for storage in storages), *constants, *apart])
    numbers = {storage: number for number, storage in enumerate(storages)}
    calls = _Said(memory)
    content = {
        "arena": lowered.arena.nbytes,
        "constants": [array.nbytes for array in constants],
        "apart": [array.nbytes for array in apart],
        "taken": [None if array is None else memory.said(array) for array in ready.taken],
        "given": list(map(memory.said, ready.given)),
        "first": calls.numbered(ready.first),
        "body": calls.numbered(ready.body),
        "commit": calls.numbered(lowered.commit_runs),
        "read": [numbers[storage] for storage in ready.freshness.storages],
        "changed": [numbers[storage] for storage in ready.changed],
        "silent": ready.is_silent,
        "symbols": calls.sources,
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    return b"".join([len(text).to_bytes(_LENGTH, "little"), text, *(array.tobytes() for array in constants)])


def _outside(lowered: Lowered) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The arrays of constants, and those of values that lie neither in the arena nor in a parameter."""
    constants: dict[int, np.ndarray] = {}
    apart: list[np.ndarray] = []
    plan = lowered.plan
    for node, array in lowered.arrays.items():
        if isinstance(node.op, Constant):
            constants[id(array)] = array
        elif not (isinstance(node.op, Stored) or node.op.is_view or node in plan.slots or node in plan.schedule.direct):
            apart.append(array)
    if sum(array.nbytes for array in constants.values()) > _MOST_CONSTANTS:
        raise UnsaidError("large constants")
    # In the order of their memory, in which they have no gaps.
    flat = [array.transpose(np.argsort([-stride for stride in array.strides], kind="stable")) for array in apart]
    return list(constants.values()), flat


class _Said:
    """Calls as plain values."""

    def __init__(self, memory: _Memory) -> None:
        self.memory = memory
        self.symbols: dict[str, int] = {}
        self.sources: dict[str, str] = {}

    def numbered(self, calls: Iterable[tuple[int, Kernel]]) -> list[Any]:
        return [[place, *self.call(call)] for place, call in calls]

    def call(self, call: Any) -> list[Any]:
        if isinstance(call, Native):
            return ["kernels", [self.kernel(kernel) for kernel in call.kernels]]
        if isinstance(call, Check):
            fields = [_said_field(value) for value in call.op.attributes.values()]
            op = [type(call.op).__module__, type(call.op).__qualname__, fields]
            return ["check", op, list(map(self.memory.said, call.inputs))]
        if isinstance(call, partial) and call.func is setitem:
            target, _, value = call.args
            return ["copy", self.memory.said(target), self.memory.said(value)]
        raise UnsaidError(f"the call {call!r}")

    def kernel(self, kernel: Called) -> list[Any]:
        number = self.symbols.setdefault(kernel.code.symbol, len(self.symbols))
        self.sources[kernel.code.symbol] = kernel.code.source
        places = [[*self.memory.place(address, nbytes), nbytes] for address, nbytes in kernel.memory]
        return [number, kernel.chunks, int(kernel.waits), places]


class _Again:
    """The reverse: plain values as calls."""

    def __init__(self, memory: _Memory, codes: Sequence[Code], threads: int) -> None:
        self.memory, self.codes, self.threads = memory, codes, threads

    def numbered(self, said: Iterable[Sequence[Any]]) -> list[tuple[int, Any]]:
        return [(place, self.call(*call)) for place, *call in said]

    def call(self, kind: str, *said: Any) -> Kernel:
        if kind == "kernels":
            return Job.of([self.kernel(*kernel) for kernel in said[0]], self.threads)
        if kind == "check":
            (module, name, fields), inputs = said
            return Check(_op(module, name, fields), tuple(map(self.memory.array, inputs)))
        target, value = map(self.memory.array, said)
        return partial(setitem, target, ..., value)

    def kernel(self, number: int, chunks: int, waits: int, places: Sequence[Sequence[int]]) -> Called:
        memory = [(self.memory.address(*place), place[2]) for place in places]
        return Called(self.codes[number], tuple(memory), chunks, bool(waits))


def _said_field(value: Any) -> Any:
    if isinstance(value, np.dtype):
        return [value.str]
    if isinstance(value, (bool, int, float, str)):
        return value
    raise UnsaidError(f"the field {value!r}")


def _op(module: str, name: str, fields: Sequence[Any]) -> Op:
    """An op of graphnet's by its name. Raises `ValueError` for anything else."""
    found = getattr(import_module(module), name) if module.startswith("graphnet.") else None
    if not (isinstance(found, type) and issubclass(found, Op)):
        raise ValueError(f"{module}.{name} is no op")
    return found(*(np.dtype(field[0]) if isinstance(field, list) else field for field in fields))


class _Memory:
    """The arrays in which everything lies that a program touches, and places in them."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = arrays
        spans = [(*span(array), number) for number, array in enumerate(arrays) if array.size]
        self.spans = sorted(spans)
        self.starts = [start for start, _, _ in self.spans]
        if any(end > start for (_, end, _), (start, _, _) in pairwise(self.spans)):
            raise UnsaidError("arrays that share memory")
        if not all(array.flags.c_contiguous for array in arrays):
            raise UnsaidError("an array with gaps")

    @classmethod
    def again(cls, content: Content, storages: Sequence[Storage], constants: bytes) -> _Memory:
        """New memory for a program."""
        ends = list(accumulate(content["constants"], initial=0))
        known = [np.frombuffer(constants[start:end], np.uint8).copy() for start, end in pairwise(ends)]
        apart = [np.empty(nbytes, np.uint8) for nbytes in content["apart"]]
        return cls([aligned_bytes(content["arena"]), *(storage.array for storage in storages), *known, *apart])

    def place(self, address: int, nbytes: int) -> list[int]:
        """The array that so many bytes lie in, and where. Raises `UnsaidError`."""
        found = bisect_right(self.starts, address) - 1
        if found < 0 or address + nbytes > self.spans[found][1]:
            raise UnsaidError("memory of somebody else's")
        return [self.spans[found][2], address - self.spans[found][0]]

    def address(self, number: int, offset: int, nbytes: int) -> int:
        """The reverse. Raises `ValueError` for what does not lie in the array."""
        array = self.arrays[number]
        if not 0 <= offset <= offset + nbytes <= array.nbytes:
            raise ValueError(f"{nbytes} bytes from {offset} on of {array.nbytes}")
        return int(array.ctypes.data) + offset

    def said(self, array: np.ndarray) -> list[Any]:
        """A view of one of the arrays, as plain values."""
        start, end = span(array)
        place = self.place(start, end - start) if array.size else [0, 0]
        if array.size:
            place[1] += array.__array_interface__["data"][0] - start
        return [*place, array.dtype.str, array.shape, array.strides]

    def array(self, said: Sequence[Any]) -> np.ndarray:
        """The reverse. Raises `ValueError` or `TypeError` for what does not lie in the array."""
        number, offset, dtype, shape, strides = said
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.ndarray(shape, dtype, self.arrays[number], offset, strides)
