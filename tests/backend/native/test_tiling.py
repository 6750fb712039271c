"""How kernels go through places: every row and column once, whatever the sizes."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest

from graphnet.backend.native.contraction import best_vectors, cycles, most_rows, panels, row_tiles
from graphnet.backend.native.target import target
from graphnet.backend.native.tiling import images

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
