"""Several elementwise ops as one step, tile by tile: what lies between them never leaves the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, ClassVar, TypeAlias

import numpy as np

from graphnet.errors import ShapeError
from graphnet.graph.layout import axis_order, in_order, same_places
from graphnet.graph.node import Op
from graphnet.graph.types import TensorType
from graphnet.ops.elementwise import is_plain_ufunc
from graphnet.ops.unrolled import Call, Unrolled

# Elements. Adam on 8 M weights, 12 ufuncs, takes 0.6 of the time in such tiles, on 0.4 M (which the last-level cache
# holds) the same time; tiles a quarter as large lose it again to the calls, which cost NumPy about a microsecond each.
TILE = 65_536
_ALIGNMENT = 64  # bytes

Part: TypeAlias = "tuple[Op, tuple[int, ...]]"
Tile: TypeAlias = "tuple[slice, ...]"


class Fused(Unrolled):
    """What `parts` compute one after the other. Rewriting makes it after differentiation, so it has no gradient.

    A part is an elementwise op and the numbers of its operands: number i < arity is input i, number arity + k is the
    result of part k. All results have the shape of the last one, which is the value of the step.
    """

    arity: int
    parts: tuple[Part, ...]
    layout_free: ClassVar[bool] = True

    @property
    def inplace(self) -> tuple[int, ...]:
        """Any input that the last part, which alone writes the result, does not read or may write over itself."""
        op, operands = self.parts[-1]
        refused = {number for place, number in enumerate(operands) if place not in op.inplace}
        refused |= {number for number in operands if operands.count(number) > 1}
        return tuple(number for number in range(self.arity) if number not in refused)

    @property
    def is_plain(self) -> bool:
        """Whether every part is a ufunc, which neither fails nor runs Python code."""
        return all(is_plain_ufunc(op) for op, _ in self.parts)

    def infer(self, *types: TensorType) -> TensorType:
        if len(types) != self.arity:
            raise ShapeError(f"expected {self.arity} inputs, got {len(types)}")
        results = self._results(types)
        if len({result.shape for result in results}) != 1:
            raise ShapeError(f"the fused results differ in shape: {', '.join(map(str, results))}")
        return results[-1]

    def workspace(self, *types: TensorType) -> tuple[TensorType, ...]:
        elements = min(TILE, self.infer(*types).static_size)
        return (TensorType(np.dtype("uint8"), (_Scratch(self, [t.dtype for t in types], elements).nbytes,)),)

    def calls(self, out: np.ndarray, inputs: Sequence[np.ndarray], work: Sequence[np.ndarray]) -> list[Call]:
        """For each tile, each part."""
        (memory,) = work
        scratch = _Scratch(self, [x.dtype for x in inputs], min(TILE, out.size), self._taken_over(out, inputs))
        order = axis_order(out)
        found: list[Call] = []
        for tile in _tiles(out.shape, order):
            values = [_piece(x, tile) for x in inputs]
            target = _piece(out, tile)
            for number, (op, operands) in enumerate(self.parts):
                of = [values[i] for i in operands]
                offset = scratch.result[number]
                if offset is None:
                    result = target
                else:
                    result = in_order(_bytes(memory, offset, target.size, scratch.dtypes[number]), target.shape, order)
                part_work = [
                    in_order(_bytes(memory, place, t.static_size, t.dtype), t.static_shape, order)
                    for place, t in zip(scratch.work[number], op.workspace(*map(_type, of)), strict=True)
                ]
                found.append(bound(op, result, of, tuple(part_work)))
                values.append(result)
        return found

    def _taken_over(self, out: np.ndarray, inputs: Sequence[np.ndarray]) -> set[int] | None:
        """The inputs whose memory `out` is; None where one lies across it, so that only the last part may write."""
        shared = {number for number, x in enumerate(inputs) if np.may_share_memory(x, out)}
        same = {number for number in shared if inputs[number].ctypes.data == out.ctypes.data}
        return shared if all(same_places(inputs[number], out) for number in same) and same == shared else None

    def _results(self, types: Sequence[TensorType]) -> list[TensorType]:
        known = list(types)
        for op, operands in self.parts:
            known.append(op.infer(*(known[number] for number in operands)))
        return known[len(types) :]


class FusedAhead(Fused):
    """What is fused that is done as soon as everybody else has read what it reads, to wait in its place."""


class _Scratch:
    """Where each part's result (None: in the tile of the step's own result) and scratch lie, for tiles of at most
    `elements` elements.

    A result's bytes are free for others after its last reader; a part may write over an operand where its op permits.
    `taken_over` are the inputs that the step's result lies on: its tile holds results of earlier parts, too, once
    these are read. None, while that is not known, keeps it for the last part, which needs the most workspace.
    """

    def __init__(
        self, fused: Fused, dtypes: Sequence[np.dtype], elements: int, taken_over: set[int] | None = None
    ) -> None:
        types = [TensorType(dtype, (elements,)) for dtype in dtypes]
        results = fused._results(types)
        self.dtypes = [t.dtype for t in results]
        self.result: list[int | None] = []
        self.work: list[list[int]] = []
        self.nbytes = 0
        self._free: list[tuple[int, int]] = []
        last = self._last = {number: k for k, (_, operands) in enumerate(fused.parts) for number in operands}
        self._taken_over = set() if taken_over is None else taken_over
        reads = [last.get(number, -1) for number in self._taken_over]
        self._tile_busy_until = len(fused.parts) if taken_over is None else max(reads, default=-1)
        known = [*types, *results]
        for k, (op, operands) in enumerate(fused.parts):
            dying = [n - fused.arity for n in dict.fromkeys(operands) if n >= fused.arity and last[n] == k]
            needs = [t.nbytes for t in op.workspace(*(known[n] for n in operands))]
            self.work.append([self._take(nbytes) for nbytes in needs])
            self.result.append(self._result(fused, k, dying, results))
            for place, nbytes in zip(self.work[k], needs, strict=True):
                self._free.append((nbytes, place))
            for number in dying:
                place_of = self.result[number]
                if place_of is not None and place_of != self.result[k]:
                    self._free.append((results[number].nbytes, place_of))

    def _result(self, fused: Fused, k: int, dying: Sequence[int], results: Sequence[TensorType]) -> int | None:
        final = len(fused.parts) - 1
        if k == final:
            return None
        op, operands = fused.parts[k]
        in_tile = results[k] == results[final] and self._may_wait_in_tile(fused, k)
        for position in op.inplace:
            if position < len(operands) and operands.count(operands[position]) == 1:
                number = operands[position] - fused.arity
                if number in dying and results[number] == results[k] and (in_tile or self.result[number] is not None):
                    return self._settled(fused, k, self.result[number])
        if in_tile and self._tile_is_free(fused, k):
            return self._settled(fused, k, None)
        return self._take(results[k].nbytes)

    def _settled(self, fused: Fused, k: int, place: int | None) -> int | None:
        """The place of part k's result, noted where it is the tile."""
        if place is None:
            self._tile_busy_until = self._last[fused.arity + k]
        return place

    def _tile_is_free(self, fused: Fused, k: int) -> bool:
        """Whether nobody needs what lies in the tile any more, but for part k itself where it may write over that."""
        if self._tile_busy_until != k:
            return self._tile_busy_until < k
        op, operands = fused.parts[k]
        inside = [number for number in operands if number in self._taken_over]
        return len(inside) == 1 and operands.index(inside[0]) in op.inplace

    def _may_wait_in_tile(self, fused: Fused, k: int) -> bool:
        """Whether the last part, if it reads the result of part k, may write over it."""
        op, operands = fused.parts[-1]
        number = fused.arity + k
        return number not in operands or (operands.count(number) == 1 and operands.index(number) in op.inplace)

    def _take(self, nbytes: int) -> int:
        fitting = sorted(block for block in self._free if block[0] >= nbytes)
        if fitting:
            self._free.remove(fitting[0])
            return fitting[0][1]
        place = self.nbytes
        self.nbytes += -(-nbytes // _ALIGNMENT) * _ALIGNMENT
        return place


def _tiles(shape: Sequence[int], order: Sequence[int]) -> Iterator[Tile]:
    """Slices that cut an array into pieces of at most TILE elements, whole runs of memory each, in memory order."""
    inner, steps = 1, {}
    for axis in reversed(order):
        steps[axis] = max(1, min(shape[axis], TILE // inner))
        inner *= steps[axis] if inner * shape[axis] <= TILE else TILE  # slower axes go one index at a time
    cuts = [[(axis, slice(at, at + steps[axis])) for at in range(0, shape[axis], steps[axis])] for axis in order]
    for combination in product(*cuts):
        yield tuple(cut for _, cut in sorted(combination, key=lambda item: item[0]))


def _piece(x: np.ndarray, tile: Tile) -> np.ndarray:
    """What of an operand, broadcast, goes with a tile of the result."""
    cuts = zip(x.shape, tile[len(tile) - x.ndim :], strict=True)
    index: tuple[Any, ...] = (..., *(slice(None) if size == 1 else cut for size, cut in cuts))
    return x[index]  # "..." keeps it a view where x is a scalar, too


def _bytes(memory: np.ndarray, offset: int, elements: int, dtype: np.dtype) -> np.ndarray:
    return memory[offset : offset + elements * dtype.itemsize].view(dtype)


def _type(array: np.ndarray) -> TensorType:
    return TensorType(array.dtype, array.shape)


def bound(op: Op, out: np.ndarray, inputs: Sequence[np.ndarray], work: tuple[np.ndarray, ...]) -> Call:
    """The op's `compute` as a call without arguments; a plain ufunc runs without a Python frame in between."""
    if is_plain_ufunc(op):
        return partial(op.ufunc, *inputs, out=out)  # type: ignore[attr-defined]
    compute: Callable[..., None] = op.compute
    return partial(compute, out, *inputs, work=work) if work else partial(compute, out, *inputs)
