"""One row of the table of rewrite rules, and the arrays on which exact rules must keep every bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

import graphnet as gn
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.ops.evaluate import evaluate
from graphnet.rewrite.driver import Rule, rewrite

DTYPES = {"f": ("float64", "float32"), "i": ("int64", "int8"), "u": ("uint8",), "b": ("bool",)}
FREE = (
    ((67, 13), (67, 13)), ((13,), (67, 1)), ((), (67, 13)), ((67, 13), ()), ((1,), (1, 1)), ((), ()), ((0, 3), (3,)),
)  # fmt: skip
"""Shapes of two operands: equal, broadcasting one way or the other, a single number, none."""


@dataclass(frozen=True, eq=False)
class Row:
    """What a rule makes of an expression: `after`, or nothing where that is None.

    before, after: functions of input nodes, as many as `inputs`. kinds: of which dtypes. shapes: those of the inputs,
    where not any will do; several rows say one rule.
    """

    rule: Rule
    before: Callable[..., Node]
    after: Callable[..., Node] | None
    inputs: int = 1
    kinds: str = "f"
    shapes: tuple[tuple[int, ...], ...] | None = None

    def nodes(self, dtype: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[Node, ...]:
        return tuple(gn.input(f"x{i}", shape, dtype) for i, shape in enumerate(shapes[: self.inputs]))

    @property
    def typical(self) -> tuple[Node, ...]:
        return self.nodes(DTYPES[self.kinds[0]][0], self.shapes or ((2, 3), (2, 3), (2, 3)))

    def __str__(self) -> str:
        return self.rule.name + ("" if self.after else "-not")


def once(before: Node, rule: Rule) -> Node:
    """What `rule` makes of a graph."""
    return rewrite(Graph((before,)), [rule]).outputs[0]


def check(row: Row) -> None:
    """Graph against graph: nodes are interned, so equal is `is`."""
    nodes = row.typical
    before = row.before(*nodes)
    after = once(before, row.rule)
    assert after is (before if row.after is None else row.after(*nodes)), after


def check_exact(row: Row) -> None:
    """The same bits before and after, for every dtype of the row, and for shapes of all kinds."""
    shapes = (row.shapes,) if row.shapes else FREE
    for dtype, sizes in product([d for kind in row.kinds for d in DTYPES[kind]], shapes):
        nodes = row.nodes(dtype, sizes)
        before = row.before(*nodes)
        after = once(before, row.rule)
        if row.after is not None and 0 not in before.shape:
            assert after is not before, f"{row} does not fire for {dtype} {sizes}"
        for seed in range(3):
            rng = np.random.default_rng(seed)
            feeds = {node: awkward(rng, node.type.static_shape, dtype) for node in nodes}
            old, new = evaluate([before, after], feeds)
            assert_same_bits(old, new, f"{row} {dtype} {sizes}")


def awkward(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Random bits, ordinary numbers, and those that rules get wrong: NaN, infinities, zeros, the ends of the range."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape))
    bits = rng.bytes(size * kind.itemsize)
    if kind.kind == "b":
        return (np.frombuffer(bits, np.uint8) % 2).astype(bool).reshape(shape)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        special = np.array([0, 1, 2, limits.min, limits.max], kind)
    else:
        limit = np.finfo(kind)
        special = np.array([0.0, np.inf, np.nan, 1.0, 2.0, limit.max, limit.tiny, limit.smallest_subnormal, limit.eps])
        special = np.concatenate([special, -special]).astype(kind)
    values = np.frombuffer(bits, kind).copy()
    choice = rng.integers(0, 3, size)
    values[choice == 1] = rng.normal(size=size).astype(kind)[choice == 1] if kind.kind == "f" else 3
    values[choice == 2] = rng.choice(special, size)[choice == 2]
    return values.reshape(shape)


def assert_same_bits(a: np.ndarray, b: np.ndarray, what: str) -> None:
    """Equal to the bit; one NaN is as good as another."""
    assert a.dtype == b.dtype and a.shape == b.shape, what
    same = a == b
    if a.dtype.kind == "f":
        same = (same & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))
    assert np.all(same), f"{what}: {a[~same][:3]} became {b[~same][:3]}"
