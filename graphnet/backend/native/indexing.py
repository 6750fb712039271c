"""Picking by integer arrays, and the adjoints that add: loops whose addresses hold a number read from memory.

The numbers were found to be in range before (`Op.checked`). What is added to one element is added in the order of the
indices by one thread, so the bits are the same on any number of threads: work is split across elements that no index
decides about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from graphnet.backend.native.copies import Loops, Move
from graphnet.backend.native.elementwise import divided
from graphnet.backend.native.functions import less, select
from graphnet.backend.native.loops import (
    ELEMENTS,
    Apply,
    Const,
    For,
    Kernel,
    Load,
    Pick,
    Statement,
    Store,
    Value,
    Var,
    affine,
)
from graphnet.backend.native.target import target
from graphnet.backend.native.views import View, merged_axes
from graphnet.graph.node import Op
from graphnet.ops.indexing import Gather, IndexAdd, OneHot, ScatterAdd, Take

_LINE = 64  # bytes that threads should not share
_PARTS = 16  # at most so many parts of a row are added by different threads


def indexing(op: Op, out: View, inputs: Sequence[View]) -> list[Kernel] | None:
    """Kernels of the ops that pick by indices, and of their adjoints; None for another op."""
    out, inputs = replace(out, is_bool=False), [replace(view, is_bool=False) for view in inputs]
    if isinstance(op, Take):
        return [_take(op, out, *inputs)]
    if isinstance(op, IndexAdd):
        return _index_add(op, out, *inputs)
    if isinstance(op, Gather):
        return [_gather(op, out, *inputs)]
    if isinstance(op, ScatterAdd):
        return [_scatter_add(op, out, *inputs)]
    if isinstance(op, OneHot):
        return [_one_hot(op, out, *inputs)]
    return None


def _take(op: Take, out: View, x: View, indices: View) -> Kernel:
    """For each index, the slice of x that it names."""
    axis, count = op.axis, len(indices.shape)
    before, behind = range(axis), range(axis + 1, len(x.shape))
    of, to = _only(x, behind), _only(out, range(axis + count, len(out.shape)))
    outer = [(Var(f"o{n}", size), (*strides, 0)) for n, (size, strides) in enumerate(_merged(out, before, x, before))]
    picked = _merged(out, range(axis, axis + count), indices, range(count))
    along = [(Var(f"p{n}", size), (strides[0], 0, strides[1])) for n, (size, strides) in enumerate(picked)]
    loops = _divided([*outer, *along], math.prod(of.shape))
    pick = Var("index", x.shape[axis])
    around = [*((var, strides[:2]) for var, strides in loops), (pick, (0, x.strides[axis]))]
    number = _number(indices, loops, 2, x.shape[axis], op.negative)
    return _kernel(op, [out, x, indices], loops, [Pick(pick, number, tuple(Move(to, of).loops(around)))])


def _index_add(op: IndexAdd, out: View, x: View, indices: View) -> list[Kernel]:
    """Zeros, and each slice of x added at its index: each thread at columns, or at outer slices, of its own."""
    axis, count, size = op.axis, len(indices.shape), out.shape[op.axis]
    before = range(axis)
    outer = [(Var(f"o{n}", n_o), strides) for n, (n_o, strides) in enumerate(_merged(out, before, x, before))]
    picked = _merged(x, range(axis, axis + count), indices, range(count))
    along = [(Var(f"p{n}", n_p), (0, *strides)) for n, (n_p, strides) in enumerate(picked)]
    row, pick = Var("row", size), Var("index", size)
    number = _number(indices, along, 2, size, op.negative)
    to, of = _only(out, range(axis + 1, len(out.shape))), _only(x, range(axis + count, len(x.shape)))
    kernels = []
    for part, its_to, its_of in _columns(to, of, many=math.prod(var.extent for var, _ in outer) >= _PARTS):
        loops = [*part, *outer] or [(Var("chunk", 1), (0, 0))]
        around = [*loops, *((var, strides[:2]) for var, strides in along), (pick, (out.strides[axis], 0))]
        adds = Pick(pick, number, tuple(Move(its_to, its_of, adds=True).loops(around)))
        zeros = For(row, tuple(_zeros(its_to, [*loops, (row, (out.strides[axis], 0))])))
        kernels.append(_kernel(op, [out, x, indices], loops, [zeros, *_nested(along, [adds])]))
    return kernels


def _columns(to: View, of: View, many: bool) -> list[tuple[Loops, View, View]]:
    """The columns of a slice in parts of whole cache lines, and those that are left: a loop over the parts, and the
    views of one of them. All as one part where there are `many` slices to share out."""
    axes = merged_axes([to, of])
    line = _LINE // ELEMENTS[to.dtype]
    if many or len(axes) != 1 or axes[0][0] < line:
        return [([], to, of)]
    (size, steps), lines = axes[0], axes[0][0] // line
    parts = max(d for d in range(1, min(lines, _PARTS) + 1) if lines % d == 0)
    each = lines // parts * line
    found: list[tuple[Loops, View, View]] = []
    for start, width, times in ((0, each, parts), (parts * each, size - parts * each, 1)):
        if width:
            part = Var("part", times), tuple(step * width for step in steps)
            mine, its = (
                replace(view, offset=view.offset + start * step, shape=(width,), strides=(step,))
                for view, step in zip((to, of), steps, strict=True)
            )
            found.append(([part], mine, its))
    return found


def _gather(op: Gather, out: View, x: View, indices: View) -> Kernel:
    """For each element of the result the element of x that stands at its index along the axis."""
    fixed = replace(x, shape=out.shape, strides=_without(x.strides, op.axis))
    axes = merged_axes([out, fixed, indices])
    loops = _divided([(Var(f"i{n}", size), strides) for n, (size, strides) in enumerate(axes)], 1)
    pick = Var("index", x.shape[op.axis])
    of = affine({**{var: strides[1] for var, strides in loops}, pick: x.strides[op.axis]}, x.offset)
    to = affine({var: strides[0] for var, strides in loops}, out.offset)
    number = _number(indices, loops, 2, x.shape[op.axis], op.negative)
    return _kernel(op, [out, x, indices], loops, [Pick(pick, number, (Store(out.buffer, to, Load(x.buffer, of)),))])


def _scatter_add(op: ScatterAdd, out: View, x: View, indices: View) -> Kernel:
    """Zeros, and each element of x added where its index points along the axis: line by line along that."""
    axis, size = op.axis, out.shape[op.axis]
    others = [place for place in range(len(x.shape)) if place != axis]
    fixed = replace(out, shape=x.shape, strides=_without(out.strides, axis))
    axes = merged_axes([fixed, x, indices], others)
    loops = _divided([(Var(f"i{n}", n_i), strides) for n, (n_i, strides) in enumerate(axes)], x.shape[axis])
    along = Var("along", x.shape[axis])
    pick = Var("index", size)
    to = affine({**{var: strides[0] for var, strides in loops}, pick: out.strides[axis]}, out.offset)
    inside = [*loops, (along, (0, x.strides[axis], indices.strides[axis]))]
    of = affine({var: strides[1] for var, strides in inside}, x.offset)
    total = Apply("add", (Load(out.buffer, to), Load(x.buffer, of)))
    number = _number(indices, inside, 2, size, op.negative)
    body: list[Statement] = [
        *_zeros(_only(out, [axis]), [(var, (strides[0], 0)) for var, strides in loops]),
        For(along, (Pick(pick, number, (Store(out.buffer, to, total),)),)),
    ]
    return _kernel(op, [out, x, indices], loops, body)


def _one_hot(op: OneHot, out: View, indices: View) -> Kernel:
    """For each index a row of zeros, and its 1."""
    count, size = len(indices.shape), out.shape[-1]
    axes = _merged(out, range(count), indices, range(count))
    loops = _divided([(Var(f"i{n}", n_i), strides) for n, (n_i, strides) in enumerate(axes)], size)
    row, pick = _only(out, [count]), Var("index", size)
    to = affine({**{var: strides[0] for var, strides in loops}, pick: out.strides[-1]}, out.offset)
    body = _zeros(row, [(var, (strides[0], 0)) for var, strides in loops])
    one = Store(out.buffer, to, Const(1, out.dtype))
    return _kernel(op, [out, indices], loops, [*body, Pick(pick, _number(indices, loops, 1, size, False), (one,))])


# -- what they are made of -------------------------------------------------------------------------------------------


def _only(view: View, axes: Iterable[int]) -> View:
    """The view along these axes, at the first place of the others."""
    kept = list(axes)
    shape, strides = [view.shape[axis] for axis in kept], [view.strides[axis] for axis in kept]
    return replace(view, shape=tuple(shape), strides=tuple(strides))


def _merged(a: View, of_a: Iterable[int], b: View, of_b: Iterable[int]) -> list[tuple[int, tuple[int, ...]]]:
    """Sizes and strides of axes that two views share, which lie at different places in them."""
    return merged_axes([_only(a, of_a), _only(b, of_b)])


def _without(strides: Sequence[int], axis: int) -> tuple[int, ...]:
    return tuple(0 if place == axis else stride for place, stride in enumerate(strides))


def _divided(loops: list[tuple[Var, tuple[int, ...]]], below: int) -> list[tuple[Var, tuple[int, ...]]]:
    """The loops with the first cut into chunks. `below` elements lie at each index of all of them."""
    if not loops:
        return [(Var("chunk", 1), (0, 0, 0))]
    (first, strides), *others = loops
    return [*divided(first.extent, strides, max(1, below * math.prod(var.extent for var, _ in others))), *others]


def _number(
    indices: View, loops: Sequence[tuple[Var, tuple[int, ...]]], place: int, size: int, negative: bool
) -> Value:
    """The index at these loops, of which `place` is the indices' stride; a negative one counted from the end."""
    index = affine({var: strides[place] for var, strides in loops}, indices.offset)
    found = Load(indices.buffer, index)
    zero, end = Const(0, "i64"), Const(size, "i64")
    return select(less(found, zero), Apply("add", (found, end)), found) if negative else found


def _zeros(view: View, around: Loops) -> list[Statement]:
    """Zeros all over a view."""
    axes = merged_axes([view])
    *outer, (count, (step,)) = axes or [(1, (0,))]
    lanes = target().within(ELEMENTS[view.dtype], count) if step == 1 else 1
    loops = [(Var(f"z{n}", size), strides) for n, (size, strides) in enumerate(outer)]
    v = Var("v", count // lanes)
    base = {var: strides[0] for var, strides in [*around, *loops]}
    body: list[Statement] = [
        For(v, (Store(view.buffer, affine({**base, v: step * lanes}, view.offset), Const(0, view.dtype, lanes)),))
    ]
    if count % lanes:
        last = affine(base, view.offset + count - lanes)
        body.append(Store(view.buffer, last, Const(0, view.dtype, lanes)))
    return _nested(loops, body)


def _nested(loops: Sequence[tuple[Var, tuple[int, ...]]], body: list[Statement]) -> list[Statement]:
    for var, _ in reversed(loops):
        body = [For(var, tuple(body))]
    return body


def _kernel(
    op: Op, views: Sequence[View], loops: Sequence[tuple[Var, tuple[int, ...]]], body: list[Statement]
) -> Kernel:
    (chunk, _), *inside = loops
    buffers = tuple(dict.fromkeys(view.buffer for view in views))
    return Kernel(op.name, buffers, chunk, tuple(_nested(inside, body)))
