"""Which loops do a step: every op that the loop language can say, and the loops made for it so far."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from graphnet.backend.base import Bound
from graphnet.backend.native.choices import MODEL, Choice
from graphnet.backend.native.contraction import Finishing
from graphnet.backend.native.convolution import direct
from graphnet.backend.native.copies import copies
from graphnet.backend.native.elementwise import elementwise
from graphnet.backend.native.finishing import HEADS, Head
from graphnet.backend.native.indexing import indexing
from graphnet.backend.native.loops import Buffer
from graphnet.backend.native.loops import Kernel as Loops
from graphnet.backend.native.losses import label_loss
from graphnet.backend.native.masks import Mask
from graphnet.backend.native.matmul import matmul
from graphnet.backend.native.merging import Point
from graphnet.backend.native.ops import Direct, Panels
from graphnet.backend.native.padding import borders, inside, padding
from graphnet.backend.native.philox import drawn
from graphnet.backend.native.prove import prove
from graphnet.backend.native.reductions import reduction
from graphnet.backend.native.spans import Access, span
from graphnet.backend.native.statistics import Moments, Sums
from graphnet.backend.native.sums import statistics
from graphnet.backend.native.triangles import TriangularMatmul
from graphnet.backend.native.views import Block, Scratch, View, layout, locate, planned
from graphnet.backend.native.windowed import windowed
from graphnet.backend.native.winograd import Winograd
from graphnet.backend.native.winograd_kernels import winograd
from graphnet.graph.node import Op
from graphnet.graph.types import TensorType
from graphnet.ops.fused import Fused
from graphnet.ops.joining import Concatenate
from graphnet.ops.linear import Matmul
from graphnet.ops.random import Uniform
from graphnet.ops.slicing import Pad
from graphnet.ops.softmax_cross_entropy import LabelOp


@dataclass(frozen=True)
class Located:
    """The loops of one step, or of several in one pass, proven, and the memory that each of their buffers stands for.

    numbers: of the steps. access: what they touch. point: what is done at each element, where a step is just that and
    may become part of a pass; border: the loops that it needs beside. head: a product whose sums a pass may finish.
    """

    numbers: tuple[int, ...]
    loops: tuple[Loops, ...]
    blocks: tuple[Block, ...]
    access: Access
    point: Point | None = None
    border: tuple[Loops, ...] = ()
    head: Head | None = None


@dataclass(frozen=True)
class Made:
    """Loops of one op, proven, and the buffers that they are written in terms of: of the operands, and of scratch."""

    loops: tuple[Loops, ...]
    buffers: tuple[Buffer, ...]
    scratch: Scratch


class Maker:
    """What makes loops, and remembers them: the steps of a program have few different shapes."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Made | None] = {}
        self.choices: dict[Hashable, Choice] = {}  # by `signature`, where they are not the cost model's

    def __call__(self, op: Op, views: Sequence[View]) -> Made | None:
        """The loops that fill views[0] from the others; None where the op's reference kernel has to."""
        choice = self._choice(op, views)
        key = op, layout(views), choice
        if key not in self._made:
            self._made[key] = made(op, views, choice)
        return self._made[key]

    def _choice(self, op: Op, views: Sequence[View]) -> Choice:
        return self.choices.get(signature(op, views), MODEL) if self.choices else MODEL

    def scratch_types(self, op: Op, arrays: Sequence[np.ndarray]) -> tuple[TensorType, ...] | None:
        """The scratch of the step that fills arrays[0] from the others, which need strides only; None if none is."""
        if not arrays[0].size:
            return ()
        views = planned(_counting(op, arrays))
        made = None if views is None else self(op, views)
        return None if made is None else made.scratch.types

    def located(self, number: int, step: Bound, access: Access, readers: frozenset[int] | None) -> Located | None:
        """The loops of a step on its memory; None where its reference kernel has to."""
        if not step.out.size:
            return Located((number,), (), (), access)  # nothing to do, in no time
        found = locate(_counting(step.op, [step.out, *step.inputs]))
        made = None if found is None else self(step.op, found[0])
        if found is None or made is None:
            return None
        buffers = dict(zip(dict.fromkeys(view.buffer for view in found[0]), made.buffers, strict=True))
        blocks = [replace(block, buffer=buffers[block.buffer]) for block in found[1]]
        loops = named(f"step{number}", made.loops)
        point: Point | None = None
        border = loops[:0]
        if isinstance(step.op, Pad):
            border = loops[: len(borders(step.op, found[0][0], step.inputs[0].shape))]
            part = inside(step.op, step.out, step.inputs[0])
            point = Point(number, None, part, step.inputs, readers, span(step.out), bool(border))
        elif step.inputs and (step.op.elementwise or isinstance(step.op, Fused)):
            point = Point(number, step.op, step.out, step.inputs, readers, span(step.out))
        finish = partial(_finished, step.op, self._choice(step.op, found[0]))
        head = Head(step, finish, readers) if isinstance(step.op, HEADS) else None
        return Located((number,), loops, (*blocks, *made.scratch.blocks(step.work)), access, point, border, head)


def signature(op: Op, views: Sequence[View]) -> Hashable:
    """What a choice is made for: the op and its arrays, wherever they lie, apart or one over the other."""
    return op, tuple((view.dtype, view.shape, view.strides) for view in views)


def _counting(op: Op, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays that loops are made for: what has no elements adds nothing to what is joined."""
    return [array for array in arrays if array.size or not isinstance(op, Concatenate)]


def named(prefix: str, made: Iterable[Loops]) -> tuple[Loops, ...]:
    """The loops under names of their own."""
    return tuple(replace(loops, name=f"{prefix}.{part}.{loops.name}") for part, loops in enumerate(made))


def _finished(
    op: Op, choice: Choice, out: View, inputs: Sequence[View], scratch: Scratch, finishing: Finishing
) -> list[Loops] | None:
    """The loops of a product whose result is finished as it is made."""
    if isinstance(op, Matmul):
        a, b = inputs
        return matmul(out, a, b, scratch, finishing, choice, _triangle(op))
    return _convolution(op, out, inputs, scratch, finishing, choice)


def _triangle(op: Matmul) -> str | None:
    return op.kind if isinstance(op, TriangularMatmul) else None


def _convolution(
    op: Op,
    out: View,
    inputs: Sequence[View],
    scratch: Scratch,
    finishing: Finishing | None,
    choice: Choice,
) -> list[Loops] | None:
    if isinstance(op, Winograd):
        return winograd(op, out, inputs, scratch, finishing)
    return direct(op, out, inputs, scratch, finishing, choice)


def made(op: Op, views: Sequence[View], choice: Choice = MODEL) -> Made | None:
    """The loops that fill views[0] from the others; None where the op's reference kernel has to."""
    scratch = Scratch()
    found = _loops(op, views[0], views[1:], scratch, choice)
    if found is None:
        return None
    for loops in found:
        prove(loops)
    return Made(tuple(found), tuple(dict.fromkeys(view.buffer for view in views)), scratch)


def _loops(op: Op, out: View, inputs: Sequence[View], scratch: Scratch, choice: Choice) -> list[Loops] | None:
    if isinstance(op, Matmul):
        a, b = inputs
        return matmul(out, a, b, scratch, choice=choice, triangle=_triangle(op))
    if isinstance(op, LabelOp):
        return label_loss(op, out, *inputs)
    if op.elementwise or isinstance(op, Fused):
        return elementwise(op, out, inputs)
    if isinstance(op, (Direct, Panels, Winograd)):
        return _convolution(op, out, inputs, scratch, None, choice)
    if isinstance(op, Pad) and not inputs[0].is_bool:
        return padding(op, out, *inputs)
    if isinstance(op, (Uniform, Mask)):
        return drawn(op, out, inputs[0], scratch)
    for maker in (indexing, copies):
        made = maker(op, out, inputs)
        if made is not None:
            return made
    if isinstance(op, (Sums, Moments)):
        return statistics(op, out, inputs, scratch)
    return windowed(op, out, inputs, scratch) or reduction(op, out, inputs, scratch)
