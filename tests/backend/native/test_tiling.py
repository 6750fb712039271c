"""How kernels go through places: every row and column once, whatever the sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

import numpy as np
import pytest

from graphnet.backend.native.contraction import (
    Contraction,
    Operand,
    best_vectors,
    contraction,
    cycles,
    most_rows,
    panels,
    row_tiles,
)
from graphnet.backend.native.loops import Buffer, For, Kernel, Prefetch, Statement, Var
from graphnet.backend.native.parting import asking
from graphnet.backend.native.target import target
from graphnet.backend.native.tiling import images
from tests.backend.native.kernels import run

SHAPES = [
    (1, 1, 1, 1),
    (64, 32, 32, 16),
    (1, 32, 32, 16),
    (7, 13, 11, 6),
    (48, 2, 2, 512),
    (3, 4, 4, 33),
    (64, 14, 14, 6),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_place_is_passed_once(shape: tuple[int, ...]) -> None:
    way = images(shape, 8)
    batch, height, width, _ = shape
    strides = way.strides(height * width, width, 1)
    places = [
        sum(index * strides[name] for index, name in zip(indices, way.sizes, strict=True))
        for indices in product(*(range(size) for size in way.sizes.values()))
    ]
    assert sorted(places) == list(range(batch * height * width))
    assert (not set(way.rows) & set(way.loops) and prod(way.sizes[name] for name in way.rows) <= 32) or width >= 12


@pytest.mark.parametrize("rows", [1, 5, 6, 7, 12, 13, 512])
@pytest.mark.parametrize("most", [1, 4, 6, 12])
def test_tiles_of_rows(rows: int, most: int) -> None:
    found = [
        first + tile * tall + r
        for first, tall, count in row_tiles(rows, most)
        for tile in range(count)
        for r in range(tall)
    ]
    assert found == list(range(rows))
    heights = {tall for _, tall, count in row_tiles(rows, most) if count}
    assert max(heights) <= most and max(heights) - min(heights) <= 1


@pytest.mark.parametrize("columns", [1, 7, 8, 16, 17, 40, 129])
@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_panels(columns: int, vectors: int) -> None:
    found = [
        first + panel * wide + c
        for first, wide, _, count in panels(columns, vectors, 8)
        for panel in range(count)
        for c in range(wide)
    ]
    assert found == list(range(columns))
    assert all((count_of - 1) * 8 < wide <= count_of * 8 for _, wide, count_of, _ in panels(columns, vectors, 8))


@pytest.mark.parametrize("width", ["16", "32", "64"])
def test_a_tile_fits_into_the_registers(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", width)
    for vectors in (1, 2, 3):
        assert most_rows(vectors) * vectors + vectors + 1 <= target().registers


def test_wider_panels_where_tiles_are_low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows beside two vectors are four sums, which wait for one another; beside three they are six."""
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", "32")
    assert cycles(2, 48, 3, 8) < cycles(2, 48, 2, 8)
    assert best_vectors(2, 48, 8) == 3
    assert best_vectors(6, 48, 8) == 2


def test_as_many_sums_as_the_registers_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 registers, 28 sums with the two vectors and the element that they are made of, or 27 with three."""
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", "64")
    assert [most_rows(vectors) for vectors in (1, 2, 3)] == [24, 14, 9]
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", "32")
    assert [most_rows(vectors) for vectors in (1, 2, 3)] == [12, 6, 4]


def _asked(body: Sequence[Statement], known: Mapping[Var, int]) -> Iterator[int]:
    """The elements that are asked for, one after the other."""
    for statement in body:
        if isinstance(statement, For):
            for value in range(statement.var.extent):
                yield from _asked(statement.body, {**known, statement.var: value})
        elif isinstance(statement, Prefetch):
            index = statement.value.index
            yield index.constant + sum(factor * known[var] for var, factor in index.terms) + statement.ahead


@pytest.mark.parametrize("rows", [1, 5, 16, 61])
@pytest.mark.parametrize("depth", [1, 2, 37])
def test_tiles_share_what_they_ask_for(rows: int, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In equal shares, each line once, but for those at the end that there is no whole turn of the tiles for."""
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", "32")
    around, width = 3, 16
    left, right = Buffer("left", "f32", rows * around * depth), Buffer("right", "f32", around * depth * width)
    out = Buffer("out", "f32", rows * width)
    c = Contraction(
        sizes={"row": rows, "column": width, "i": around, "c": depth},
        loops=(),
        rows=("row",),
        column="column",
        depth=("i", "c"),
        left=Operand(left, {"row": around * depth, "i": depth, "c": 1}),
        right=Operand(right, {"i": depth * width, "c": width, "column": 1}),
        out=Operand(out, {"row": width, "column": 1}),
        vectors=2,
        lanes=8,
    )
    chunk = Var("chunk", 1)
    kernel = Kernel("asking", (left, right, out), chunk, tuple(contraction(asking(c, "i"), {})))
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal(shape).astype("f") for shape in ((rows, around * depth), (around * depth, width)))
    y = np.full((rows, width), np.nan, "f")
    run(kernel, {left: a, right: b, out: y})
    # Sums of at most 111 products of about 1, each rounded once.
    np.testing.assert_allclose(y, a.astype("f8") @ b.astype("f8"), rtol=0, atol=111 * 2**-23 * 4)
    tiles = -(-rows // 6)
    lines = sorted((asked - around * depth * width) // width for asked in _asked(kernel.body, {chunk: 0}))
    if tiles <= min(8, depth):
        turns = depth // tiles
        assert lines == [i * depth + line for i in range(around) for line in range(turns * tiles)]
    else:  # a line in eight steps or fewer: some are asked for twice, and fewer than there are tiles are left out
        assert len(lines) == around * tiles * (depth // min(8, depth))
        whole = set(range(around * depth))
        assert set(lines) <= whole and len(whole - set(lines)) < around * tiles
