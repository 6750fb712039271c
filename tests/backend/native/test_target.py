"""Which loops a machine gets."""

from __future__ import annotations

import pytest

from graphnet.backend.native.target import AVX, AVX512, NEON, SSE, Target, of_features, of_width, target

HASWELL = ["+sse4.2", "+avx", "+avx2", "+fma", "-avx512f", "-avx512vl", "-avx512dq"]
SKYLAKE_SERVER = ["+avx", "+avx2", "+fma", "+avx512f", "+avx512vl", "+avx512dq"]
KNIGHTS_LANDING = ["+avx", "+avx2", "+fma", "+avx512f", "-avx512vl", "-avx512dq"]


@pytest.mark.parametrize(
    ("machine", "features", "expected"),
    [
        ("x86_64", ["+sse2", "-avx", "-avx2"], SSE),
        ("x86_64", HASWELL, AVX),
        ("x86_64", SKYLAKE_SERVER, AVX512),
        ("x86_64", KNIGHTS_LANDING, AVX),
        ("aarch64", ["+neon", "+fp-armv8"], NEON),
    ],
)
def test_the_widest_vectors_that_a_processor_has(machine: str, features: list[str], expected: Target) -> None:
    assert of_features(machine, features) == expected


def test_registers_and_lanes() -> None:
    found = [(one.vector, one.registers, one.lanes(4), one.lanes(8)) for one in (SSE, AVX, AVX512, NEON)]
    assert found == [(16, 15, 4, 2), (32, 16, 8, 4), (64, 32, 16, 8), (16, 28, 4, 2)]


def test_another_width_by_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (16, 32, 64):
        monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", str(width))
        assert target().vector == width
    assert (of_width("aarch64", 16), of_width("aarch64", 32)) == (NEON, AVX)
    assert of_width("x86_64", 16) == SSE


@pytest.mark.parametrize(
    ("one", "size", "neighbours", "lanes", "within"),
    [
        (AVX512, 4, 100, 16, 16),
        (AVX512, 4, 9, 16, 8),  # a vector of 16 of which 9 count is better than two of 8
        (AVX512, 4, 8, 8, 8),
        (AVX512, 4, 3, 4, 2),
        (AVX512, 8, 1, 2, 1),
        (AVX, 4, 5, 8, 4),
        (AVX, 8, 2, 2, 2),
        (NEON, 4, 1, 4, 1),
    ],
)
def test_few_neighbours_take_a_narrow_vector(one: Target, size: int, neighbours: int, lanes: int, within: int) -> None:
    assert (one.lanes(size, neighbours), one.within(size, neighbours)) == (lanes, within)
