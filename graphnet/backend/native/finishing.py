"""Passes that ride along with the product or convolution before them: sums are finished while they are in registers.

So a bias, an activation, a residual or the gradient of an activation costs no walk over memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphnet.backend.base import Bound
from graphnet.backend.native.batch_last import BatchLastConvolution, BatchLastInputGradient
from graphnet.backend.native.contraction import Finishing
from graphnet.backend.native.loops import BOOLEAN, Apply, Const, Kernel, Register, Set, Statement, Value, operations
from graphnet.backend.native.merging import Pass, Place, together
from graphnet.backend.native.ops import DirectConvolution, DirectInputGradient
from graphnet.backend.native.spans import meet, span
from graphnet.backend.native.views import Block, Scratch, View, locate
from graphnet.backend.native.winograd import WinogradConvolution
from graphnet.graph.node import Node, Op
from graphnet.ops.fused import Fused
from graphnet.ops.linear import Matmul
from graphnet.ops.slicing import Pad
from graphnet.schedule import Schedule, base

HEADS = (  # the ops whose results may be finished
    Matmul,
    DirectConvolution,
    DirectInputGradient,
    WinogradConvolution,
    BatchLastConvolution,
    BatchLastInputGradient,
)
REACH = 8  # steps between a product and what finishes it
# Arrays of a matrix product's size that are read beside it. Its tiles are few columns of many rows, which no prefetcher
# follows: SGD with momentum, which reads two, takes 1.51 ms with a product of 512 x 784 and depth 128, 1.2 ms after it.
_MOST_READ = 1
_MOST_OPERATIONS = 24  # at each element: more would take longer to compile than they save

Make = Callable[[View, Sequence[View], Scratch, Finishing], "list[Kernel] | None"]


@dataclass(frozen=True)
class Head:
    """A step whose result may be finished as it is made. make: its loops, of the views of result and operands.

    readers: the steps that read the result; None where it is wanted after the last one.
    """

    step: Bound
    make: Make
    readers: frozenset[int] | None


def held(order: Schedule) -> dict[Node, int]:
    """For the operands of products whose result one elementwise step reads, that step; or the padding behind it."""
    found: dict[Node, int] = {}
    readers: dict[Node, list[Node]] = {}
    for node in order.steps:
        for value in dict.fromkeys(map(base, node.inputs)):
            readers.setdefault(value, []).append(node)
    for number, node in enumerate(order.steps):
        if not isinstance(node.op, HEADS):
            continue
        last, limit = node, number + REACH
        while len(following := readers.get(last, [])) == 1 and _is_pointwise(following[0].op):
            (last,) = following
            if order.position[last] > limit:
                break
        if number < order.position[last] <= limit:
            for value in map(base, node.inputs):
                if value in order.position:
                    found[value] = max(found.get(value, 0), order.position[last])
    return found


def _is_pointwise(op: Op) -> bool:
    return op.elementwise or isinstance(op, (Fused, Pad))


def reads(walk: Pass, head: Head) -> bool:
    """Whether the pass reads the result, and nobody else does."""
    numbers = {member.number for member in walk.members}
    alone = head.readers is not None and head.readers <= numbers
    return alone and _own(walk, head) is not None


def finished(head: Head, walk: Pass) -> tuple[list[Kernel], list[Block]] | None:
    """The loops of both as one, and the memory they run on; None where that cannot be.

    What the pass writes must not be read by the product at other places: only its own result may be written over.
    """
    step, own = head.step, _own(walk, head)
    work = [span(array) for array in step.work]
    taken = [*map(span, step.inputs), *work]
    if own is None or any(meet(member.span, other) for member in walk.members for other in taken):
        return None
    if any(meet(span(array), other) for _, array in walk.loads for other in work):
        return None
    fine = together([[size for size in step.out.shape if size > 1], walk.sizes])
    if fine is None or not step.out.flags.c_contiguous:
        return None
    loads = [place for place, _ in walk.loads]
    stored = [place for _, place in walk.stored]
    strides = [_along(place, fine, step.out.shape) for place in (*loads, *stored)]
    if any(found is None for found in strides):
        return None
    arrays = [
        step.out,
        *step.inputs,
        *(array for _, array in walk.loads),
        *(walk.members[k].out for k, _ in walk.stored),
    ]
    located = locate(arrays)
    if located is None:
        return None
    views, blocks = located
    first = 1 + len(step.inputs)
    beside = [
        replace(view, shape=step.out.shape, strides=tuple(s // place.dtype.itemsize for s in found or ()))
        for view, place, found in zip(views[first:], (*loads, *stored), strides, strict=True)
    ]
    others = [number for number in range(len(loads)) if number != own]
    finishing = Finishing(
        tuple(beside[number] for number in others), tuple(beside[len(loads) :]), _make(walk, own, beside)
    )
    if isinstance(step.op, Matmul) and len({view for view in finishing.loads if 0 not in view.strides}) > _MOST_READ:
        return None
    if _operations(walk, finishing, views[0].dtype) > _MOST_OPERATIONS:
        return None
    scratch = Scratch()
    made = head.make(views[0], views[1:first], scratch, finishing)
    return None if made is None else (made, [*blocks, *scratch.blocks(step.work)])


def _own(walk: Pass, head: Head) -> int | None:
    """Which load of the pass is the result, all of it in its own order."""
    out = head.step.out
    address = out.__array_interface__["data"][0]
    for number, (place, _) in enumerate(walk.loads):
        if place.address == address and place.dtype == out.dtype and place.strides == _dense(walk.sizes, out.itemsize):
            return number if int(np.prod(walk.sizes)) == out.size else None
    return None


def _dense(sizes: Sequence[int], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize] * len(sizes)
    for axis in reversed(range(len(sizes) - 1)):
        strides[axis] = strides[axis + 1] * sizes[axis + 1]
    return tuple(strides)


def _along(place: Place, fine: Sequence[int], shape: Sequence[int]) -> tuple[int, ...] | None:
    """The strides of a place of a pass along the axes of a result, both cut into `fine`; None where it has none."""
    left, strides = list(fine), []
    for size, stride in zip(reversed(place.shape), reversed(place.strides), strict=True):
        inside = 1
        while inside < size:
            strides.append((left[-1], stride * inside))
            inside *= left.pop()
    found: list[int] = []
    for size in reversed(shape):
        inside, step = 1, 0
        while inside < size:
            count, stride = strides.pop(0)
            if inside > 1 and stride != step * inside:
                return None
            step = stride if inside == 1 else step
            inside *= count
        found.append(step)
    return tuple(reversed(found))


def _make(
    walk: Pass, own: int, beside: Sequence[View]
) -> Callable[[Value, Sequence[Value]], tuple[list[Statement], list[Value]]]:
    count = len(walk.loads)

    def make(total: Value, loaded: Sequence[Value]) -> tuple[list[Statement], list[Value]]:
        values = list(loaded)
        values.insert(own, total)
        for number, value in enumerate(values):
            if beside[number].is_bool:
                values[number] = Apply("ne", (value, Const(0, "u8", value.width)), BOOLEAN)
        made = walk.statements(values)
        assert made is not None, "a pass that was made has an expression for each of its members"
        statements, results = made
        return statements, [
            Apply("cast", (value,), "u8") if view.is_bool else value
            for value, view in zip(results, beside[count:], strict=True)
        ]

    return make


def _operations(walk: Pass, finishing: Finishing, dtype: str) -> int:
    """How many operations one element takes."""
    loaded = [Register(f"l{number}", view.dtype, 8) for number, view in enumerate(finishing.loads)]
    statements, results = finishing.make(Register("total", dtype, 8), loaded)
    made: list[Statement] = [*statements, *(Set(Register("result", value.dtype), value) for value in results)]
    return operations(made)
