"""Einstein summation, as diagonals, sums, products and matrix products: it needs no op of its own.

Operands are taken from left to right. Labels that nothing later reads are summed away at once; two operands are
joined by a matrix product over the labels that end with them, its batch being the labels that both have and that go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.dims import Size, product
from graphnet.graph.node import Node
from graphnet.ops.layout import diagonal, transpose
from graphnet.ops.linear import Matmul
from graphnet.ops.shaping import cast, operands, reshape, sum
from graphnet.ops.sources import NodeLike


@dataclass(frozen=True)
class Term:
    """An operand whose axes are labelled. Those of "..." have the labels "0", "1", ..., counted from the last."""

    node: Node
    labels: tuple[str, ...]

    def ordered(self, labels: Iterable[str]) -> Term:
        wanted = tuple(labels)
        return Term(transpose(self.node, [self.labels.index(label) for label in wanted]), wanted)

    def summed_to(self, kept: Iterable[str]) -> Term:
        kept = set(kept)
        axes = tuple(axis for axis, label in enumerate(self.labels) if label not in kept)
        if not axes:
            return self
        total = cast(sum(self.node, axes), self.node.dtype)  # integers sum as int64
        return Term(total, tuple(label for label in self.labels if label in kept))


def einsum(subscripts: str, *arrays: NodeLike) -> Node:
    """The sum of products that `subscripts` says, as `numpy.einsum`: "bij,bjk->bik" is a batch of matrix products.

    Without "->" the result has the labels that occur once, in alphabetical order, after those of "...". A label twice
    in one operand is its diagonal. Raises `ArgumentError` for malformed subscripts, `ShapeError` where sizes differ.
    """
    inputs, result = _parse(subscripts, len(arrays))
    nodes = operands(*arrays)
    named = [_label(text, node, subscripts) for text, node in zip(inputs, nodes, strict=True)]
    output = _output(named, result, subscripts)
    sizes = _sizes(nodes, named, subscripts)
    terms = [_plain(Term(node, labels), sizes) for node, labels in zip(nodes, named, strict=True)]
    total = terms[0]
    for position, term in enumerate(terms[1:], 1):
        later = set(output).union(*(other.labels for other in terms[position + 1 :]))
        total = _join(total, term, later, sizes)
    total = total.summed_to(output)
    return total.ordered(output).node


def _join(left: Term, right: Term, later: set[str], sizes: dict[str, Size]) -> Term:
    """The product of two terms, summed over the labels that are not needed later."""
    left = left.summed_to(later.union(right.labels))
    right = right.summed_to(later.union(left.labels))
    both = [label for label in left.labels if label in right.labels]
    batch = [label for label in both if label in later]
    inner = [label for label in both if label not in later]
    rows = [label for label in left.labels if label not in both]
    columns = [label for label in right.labels if label not in both]
    labels = (*batch, *rows, *columns)
    if not inner and not (rows and columns):
        ordered = left.ordered((*batch, *rows)).node, right.ordered((*batch, *columns)).node
        short, long = (0, 1) if columns else (1, 0)
        trailing = (1,) * (ordered[long].ndim - ordered[short].ndim)
        return Term(ordered[long] * reshape(ordered[short], (*ordered[short].shape, *trailing)), labels)
    shape = _sized(batch, sizes)
    a = left.ordered((*batch, *rows, *inner)).node
    b = right.ordered((*batch, *inner, *columns)).node
    k = product(_sized(inner, sizes))
    a = reshape(a, (*shape, product(_sized(rows, sizes)), k))
    b = reshape(b, (*shape, k, product(_sized(columns, sizes))))
    return Term(reshape(Matmul()(a, b), _sized(labels, sizes)), labels)


def _sized(labels: Iterable[str], sizes: dict[str, Size]) -> tuple[Size, ...]:
    return tuple(sizes[label] for label in labels)


def _parse(subscripts: str, count: int) -> tuple[list[str], str | None]:
    """The subscripts of the operands, and of the result where they are said, with "..." as "."."""
    if not isinstance(subscripts, str):
        raise ArgumentError(f"einsum: subscripts must be a string such as 'ij,jk->ik', got {subscripts!r}")
    text = subscripts.replace(" ", "").replace("...", ".")
    before, arrow, result = text.partition("->")
    inputs = before.split(",")
    for part in (*inputs, result):
        if part.count(".") > 1 or any(not (c == "." or (c.isascii() and c.isalpha())) for c in part):
            raise ArgumentError(f"einsum: {subscripts!r} has {part!r}: expected letters and at most one '...'")
    if len(inputs) != count:
        raise ArgumentError(f"einsum: {subscripts!r} has subscripts for {len(inputs)} operands, got {count}")
    return inputs, result if arrow else None


def _label(text: str, node: Node, subscripts: str) -> tuple[str, ...]:
    """A label for each axis."""
    letters = len(text.replace(".", ""))
    rest = node.ndim - letters
    if rest < 0 or (rest and "." not in text):
        raise ShapeError(f"einsum {subscripts!r}: {text.replace('.', '...')!r} does not label the axes of {node.type}")
    before, _, after = text.partition(".")
    return (*before, *_ellipsis(rest), *after)


def _ellipsis(count: int) -> tuple[str, ...]:
    return tuple(str(place) for place in reversed(range(count)))


def _output(named: list[tuple[str, ...]], result: str | None, subscripts: str) -> tuple[str, ...]:
    everything = [label for labels in named for label in labels]
    dots = _ellipsis(len({label for label in everything if label.isdigit()}))
    if result is None:
        return (*dots, *sorted(label for label in set(everything) if label.isalpha() and everything.count(label) == 1))
    for label in result.replace(".", ""):
        if result.count(label) > 1:
            raise ArgumentError(f"einsum: {subscripts!r} has {label!r} twice in the result")
        if label not in everything:
            raise ArgumentError(f"einsum: {subscripts!r} has {label!r} in the result but in no operand")
    if dots and "." not in result:
        raise ArgumentError(f"einsum: {subscripts!r} has '...' in an operand but not in the result")
    before, _, after = result.partition(".")
    return (*before, *(dots if "." in result else ()), *after)


def _sizes(nodes: list[Node], named: list[tuple[str, ...]], subscripts: str) -> dict[str, Size]:
    """What each label stands for. The axes of "..." broadcast; a letter has one size everywhere."""
    sizes: dict[str, Size] = {}
    for node, labels in zip(nodes, named, strict=True):
        for label, size in zip(labels, node.shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == size or (label.isdigit() and size == 1):
                continue
            if not (label.isdigit() and known == 1):
                axis = f"axis -{int(label) + 1} of '...'" if label.isdigit() else repr(label)
                raise ShapeError(f"einsum {subscripts!r}: {axis} has size {known} and, in {node.type}, {size}")
            sizes[label] = size
    return sizes


def _plain(term: Term, sizes: dict[str, Size]) -> Term:
    """The term with each label once, as the diagonal of the axes that share it, and without axes that broadcast."""
    while len(set(term.labels)) < len(term.labels):
        twice = next(label for label in term.labels if term.labels.count(label) > 1)
        first = term.labels.index(twice)
        second = term.labels.index(twice, first + 1)
        rest = tuple(label for axis, label in enumerate(term.labels) if axis not in (first, second))
        term = Term(diagonal(term.node, first, second), (*rest, twice))
    kept = tuple(label for label, size in zip(term.labels, term.node.shape, strict=True) if size == sizes[label])
    return Term(reshape(term.node, _sized(kept, sizes)), kept)
