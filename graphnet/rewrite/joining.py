"""Rules for what unrolled steps leave behind: sums over the steps become one array, or one product.

What is cut into T parts has a gradient that autodiff builds as T padded arrays and T - 1 additions: T times the bytes
of the whole. A weight that T steps share has one of T small products. Each is looked at once, as a whole, where the
sum ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from graphnet.graph.node import Node
from graphnet.ops.elementwise import Add
from graphnet.ops.joining import Concatenate
from graphnet.ops.layout import swapaxes
from graphnet.ops.linear import Matmul
from graphnet.ops.shaping import Reshape, broadcast_to, reshape
from graphnet.ops.slicing import Pad
from graphnet.ops.sources import constant
from graphnet.rewrite.driver import Apply, Context, Rule, rule


@rule(Apply(Add, name="total"))
def sum_of_padded_parts(total: Node, context: Context) -> Node | None:
    """pad(a) + pad(b) + c  -->  c + concatenate(a, 0, b)    where a and b lie apart on one axis (but for the sign of
    zeros)
    """
    terms = _terms(total, context)
    for axis in range(total.ndim):
        parts = _apart([term for term in terms if _padded_axis(term) == axis], axis)
        if len(parts) > 1:
            others = [term for term in terms if term not in parts]
            return reduce(Add(), [*others, _joined(parts, axis)])
    return None


@rule(Apply(Add, name="total"))
def sum_of_products(total: Node, context: Context) -> Node | None:
    """a @ b + c @ d + e  -->  e + concatenate(a, c) @ concatenate(b, d)    where nobody else reads the products, and
    copying their factors moves fewer elements than adding them
    """
    terms = _terms(total, context)
    products = [term for term in terms if _is_lone_product(term, context)]
    copied = sum(factor.type.static_size for product in products for factor in product.inputs)
    if len(products) < 2 or copied > (len(products) - 1) * total.type.static_size:
        return None
    others = [term for term in terms if term not in products]
    # Backward through the steps is how they come, forward how others join what they are made of: one copy for both.
    lefts, rights = zip(*(product.inputs for product in reversed(products)), strict=True)
    left = swapaxes(Concatenate(0)(*(swapaxes(factor, 0, 1) for factor in lefts)), 0, 1)
    return reduce(Add(), [*others, Matmul()(left, Concatenate(0)(*rights))])


@rule(Apply(Concatenate, name="joined"))
def join_without_first_axis(joined: Node) -> Node | None:
    """concatenate(reshape(a, (1, n, ...)), ...)  -->  reshape(concatenate(a, ...))    along axis 0, a being (n, ...)"""
    shape = joined.inputs[0].shape[1:]
    if joined.op.attributes["axis"] != 0 or not shape:
        return None
    if not all(isinstance(part.op, Reshape) and part.inputs[0].shape == shape for part in joined.inputs):
        return None
    return reshape(Concatenate(0)(*(part.inputs[0] for part in joined.inputs)), joined.shape)


@rule(Apply(Concatenate, name="joined"))
def join_before_axes_merge(joined: Node) -> Node | None:
    """concatenate(reshape(a, (..., h * d, ...)), ...)  -->  reshape(concatenate(a, ...))    along that axis, a being
    (..., h, d, ...)

    Heads that were brought beside each other by a transposition are no view of that shape: they would be copied, and
    then joined.
    """
    axis = joined.op.attributes["axis"] % joined.ndim
    wholes = [part.inputs[0] for part in joined.inputs if isinstance(part.op, Reshape)]
    inner = {whole.shape[axis + 1] for whole in wholes if whole.ndim == joined.ndim + 1}
    if len(wholes) < len(joined.inputs) or len(inner) != 1:
        return None
    around = (*joined.shape[:axis], *joined.shape[axis + 1 :])
    if any((*whole.shape[:axis], *whole.shape[axis + 2 :]) != around for whole in wholes):
        return None
    return reshape(Concatenate(axis)(*wholes), joined.shape)


JOINING: list[Rule] = [sum_of_padded_parts, sum_of_products, join_without_first_axis, join_before_axes_merge]


def _terms(total: Node, context: Context) -> list[Node]:
    """What is added up to `total`, from left to right; nothing where it is itself a term of a larger sum."""
    if context.is_read_once(total) and _adds(context.users(total)[0], total):
        return []
    terms: list[Node] = []
    stack = [total]
    while stack:
        node = stack.pop()
        if node is total or (_adds(node, total) and context.is_read_once(node)):
            stack.extend(reversed(node.inputs))
        else:
            terms.append(node)
    return terms


def _adds(node: Node, like: Node) -> bool:
    return isinstance(node.op, Add) and all(value.shape == like.shape for value in (node, *node.inputs))


def _is_lone_product(term: Node, context: Context) -> bool:
    return isinstance(term.op, Matmul) and term.ndim == 2 and context.is_read_once(term)


def _padded_axis(term: Node) -> int | None:
    """The one axis along which `term` is some array between zeros."""
    if not isinstance(term.op, Pad) or term.op.value != 0 or set(term.op.steps) != {1}:
        return None
    axes = [axis for axis, size in enumerate(term.inputs[0].shape) if size != term.shape[axis]]
    return axes[0] if len(axes) == 1 else None


def _apart(pads: Sequence[Node], axis: int) -> list[Node]:
    """Those of `pads`, in the order of their places on `axis`, that begin where the last one has ended."""
    found: list[Node] = []
    for pad in sorted(pads, key=lambda pad: _place(pad, axis)):
        if not found or _place(pad, axis)[0] >= _place(found[-1], axis)[1]:
            found.append(pad)
    return found


def _place(pad: Node, axis: int) -> tuple[int, int]:
    start, count = pad.op.attributes["starts"][axis], pad.inputs[0].shape[axis]
    return start, start + count


def _joined(pads: Sequence[Node], axis: int) -> Node:
    """The arrays inside `pads` one after another, zeros where none of them is."""
    whole = pads[0].shape
    zero = constant(0, pads[0].dtype)
    parts: list[Node] = []
    end = 0
    for pad in pads:
        start, stop = _place(pad, axis)
        if start > end:
            parts.append(broadcast_to(zero, (*whole[:axis], start - end, *whole[axis + 1 :])))
        parts.append(pad.inputs[0])
        end = stop
    if end < whole[axis]:
        parts.append(broadcast_to(zero, (*whole[:axis], whole[axis] - end, *whole[axis + 1 :])))
    return Concatenate(axis)(*parts)
