"""Winograd's convolutions: values within the stated bound, on the shapes that hurt; blocks of tiles; the choice."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.backend.native import rules, winograd_choice
from graphnet.backend.native.ops import Panels
from graphnet.backend.native.target import target
from graphnet.backend.native.winograd import (
    KERNEL,
    TILES,
    WinogradConvolution,
    WinogradFilterGradient,
    WinogradWeights,
    array,
    transforms,
)
from graphnet.backend.native.winograd_choice import blocks, gradient_tile_of, tile_of
from graphnet.ops.convolution import Conv2d, Conv2dFilterGradient, Conv2dInputGradient
from graphnet.ops.windows import Sides
from tests.backend.native.kernels import native

# batch, height, width, channels, filters
Case = tuple[int, int, int, int, int]
CASES: list[Case] = [
    (1, 1, 1, 1, 1),
    (3, 5, 7, 17, 33),
    (1, 4, 4, 3, 5),
    (2, 13, 11, 33, 17),
    (3, 8, 8, 16, 24),
    (19, 2, 3, 8, 16),
    (2, 6, 30, 40, 9),
    (1, 3, 5, 64, 32),
    (1, 13, 18, 16, 9),
]


def _windows(x: np.ndarray, size: tuple[int, int], side: int, step: int = 1) -> np.ndarray:
    """(N, rows, columns, C, side, side): what each place of `size`, `step` apart, sees of an image (N, H, W, C)."""
    seen = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return seen[:, : size[0] * step : step, : size[1] * step : step]


def _exact(x: np.ndarray, w: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.einsum("nhwcij,ijco->nhwo", _windows(x.astype("f8"), size, KERNEL), w.astype("f8"), optimize=True)


def _bound(tile: int, x: np.ndarray, w: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C + 4 m + 10) u |A^T| [sum over channels of (|G| |g| |G^T|) * (|B^T| |d| |B|)] |A| for each result."""
    found = transforms(tile)
    back, image, kernel = (np.abs(array(matrix)) for matrix in (found.back, found.image, found.kernel))
    counts = (-(-size[0] // tile), -(-size[1] // tile))
    d = np.abs(_windows(x.astype("f8"), counts, tile + KERNEL - 1, tile))
    u = np.einsum("ai,ijco,bj->abco", kernel, np.abs(w.astype("f8")), kernel, optimize=True)
    v = np.einsum("ai,nrqcij,bj->nrqabc", image, d, image, optimize=True)
    y = np.einsum("ka,nrqabc,abco,lb->nrkqlo", back, v, u, back, optimize=True)
    whole = y.reshape(len(x), counts[0] * tile, counts[1] * tile, -1)[:, : size[0], : size[1]]
    roundings = w.shape[2] + 4 * tile + 10
    bound: np.ndarray = roundings * np.finfo(x.dtype).eps / 2 * whole * (1 + 1e-3)  # and terms of higher order
    return bound


def _operands(tile: int, case: Case, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image with as much around it as whole tiles need, a weight, and this as panels."""
    batch, height, width, channels, filters = case
    generator = np.random.default_rng(0)
    rows, columns = (-(-size // tile) * tile + KERNEL - 1 for size in (height, width))
    x = generator.standard_normal((batch, rows, columns, channels)).astype(dtype)
    w = generator.standard_normal((KERNEL, KERNEL, channels, filters)).astype(dtype)
    wide = 2 * target().lanes(w.itemsize)
    panels = np.empty((-(-filters // wide), KERNEL, KERNEL, channels, wide), dtype)
    Panels(wide).compute(panels, w)
    return x, w, panels


def _weights(tile: int, panels: np.ndarray, turned: bool = False) -> np.ndarray:
    shape = ((tile + KERNEL - 1) ** 2, panels.shape[0], *panels.shape[3:])
    found = np.full(shape, np.nan, panels.dtype)
    native(WinogradWeights(tile, turned), found, [panels])
    return found


@pytest.mark.parametrize("tile", TILES)
def test_the_matrices_filter_exactly(tile: int) -> None:
    """A^T [(G g) * (B^T d)] is what g makes of d, in exact arithmetic."""
    found = transforms(tile)
    g, d = [Fraction(3), Fraction(-5), Fraction(7, 3)], [Fraction(i * i - 4, i + 1) for i in range(tile + 2)]

    def times(matrix, vector):
        return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]

    products = [a * b for a, b in zip(times(found.kernel, g), times(found.image, d), strict=True)]
    assert times(found.back, products) == [sum(g[j] * d[i + j] for j in range(KERNEL)) for i in range(tile)]
    for matrix in (found.back, found.image):  # constants that are not rounded
        assert all(Fraction(float(np.float32(float(entry)))) == entry for row in matrix for entry in row)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tile", TILES)
def test_weights(tile: int, dtype: str) -> None:
    for channels, filters, turned in ((1, 1, False), (17, 40, True), (33, 16, False), (64, 48, True)):
        _, _, panels = _operands(tile, (1, 1, 1, channels, filters), dtype)
        found = _weights(tile, panels, turned)
        exact = np.empty(found.shape)
        WinogradWeights(tile, turned).compute(exact, panels.astype("f8"))
        # Entries of G are below 2: at most 9 terms of less than 4, each rounded a few times in float64, and once more.
        np.testing.assert_allclose(found, exact, rtol=np.finfo(dtype).eps, atol=100 * np.finfo("f8").eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("in_blocks", [False, True])
def test_values_within_the_bound(tile: int, dtype: str, in_blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_blocks:
        monkeypatch.setattr(winograd_choice, "_STAGED", 0)
        monkeypatch.setattr(winograd_choice, "_BLOCK", 0)
        monkeypatch.setattr(winograd_choice, "_LEAST", 5)
    for case in CASES:
        batch, height, width, _, filters = case
        x, w, panels = _operands(tile, case, dtype)
        y = np.full((batch, height, width, filters), np.nan, dtype)
        native(WinogradConvolution(tile, (height, width), filters), y, [x, _weights(tile, panels)], threads=2)
        error = np.abs(y - _exact(x, w, (height, width)))
        assert (error <= _bound(tile, x, w, (height, width))).all(), case


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("in_blocks", [False, True])
def test_filter_gradients_within_the_bound(
    tile: int, dtype: str, in_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_blocks:
        for name, value in (("_GRADIENT_STAGED", 0), ("_CHUNKS", 1), ("_BLOCK", 0), ("_LEAST", 5)):
            monkeypatch.setattr(winograd_choice, name, value)
    found = transforms(tile)
    back, image, kernel = (np.abs(array(matrix)) for matrix in (found.back, found.image, found.kernel))
    for case in CASES:
        batch, height, width, channels, filters = case
        x, _, _ = _operands(tile, case, dtype)
        dy = np.random.default_rng(1).standard_normal((batch, height, width, filters)).astype(dtype)
        dw = np.full((filters, channels, KERNEL, KERNEL), np.nan, dtype)
        native(WinogradFilterGradient(tile), dw, [x, dy], threads=2)
        windows = _windows(x.astype("f8"), (height, width), KERNEL)
        error = np.abs(dw - np.einsum("nhwo,nhwcij->ocij", dy.astype("f8"), windows, optimize=True))
        rows, columns = -(-height // tile), -(-width // tile)
        whole = np.zeros((batch, rows * tile, columns * tile, filters))
        whole[:, :height, :width] = np.abs(dy)
        e = np.einsum("ka,nrkqlo,lb->nrqabo", back, whole.reshape(batch, rows, tile, columns, tile, -1), back)
        d = np.abs(_windows(x.astype("f8"), (rows, columns), tile + KERNEL - 1, tile))
        v = np.einsum("ai,nrqcij,bj->nrqabc", image, d, image, optimize=True)
        bound = np.einsum("ai,nrqabc,nrqabo,bj->ocij", kernel, v, e, kernel, optimize=True)
        assert (error <= (batch * rows * columns + 40) * np.finfo(dtype).eps / 2 * bound * (1 + 1e-3)).all(), case


@pytest.mark.parametrize("tile", TILES)
def test_the_reference_is_the_convolution(tile: int) -> None:
    for case in CASES:
        batch, height, width, _, filters = case
        x, w, panels = _operands(tile, case, "float64")
        op = WinogradConvolution(tile, (height, width), filters)
        y, u = np.empty((batch, height, width, filters)), _weights(tile, panels)
        op.compute(y, x, u)
        assert (np.abs(y - _exact(x, w, (height, width))) <= 2 * _bound(tile, x, w, (height, width))).all(), case


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("tile", TILES)
def test_what_is_not_finite_is_felt_by_few(tile: int, value: float) -> None:
    """By all results that read it, and by 3 x 3 in all, or 5 x 5 for tiles of 4 x 4."""
    places = list(np.ndindex(10, 10))
    x, _, panels = _operands(tile, (len(places), 8, 8, 1, 1), "float32")
    for image, place in zip(x, places, strict=True):
        image[place] = value
    y = np.zeros((len(places), 8, 8, 1), "f")
    native(WinogradConvolution(tile, (8, 8), 1), y, [x, _weights(tile, panels)])
    for (row, column), felt in zip(places, ~np.isfinite(y[..., 0]), strict=True):
        assert felt[max(0, row - 2) : row + 1, max(0, column - 2) : column + 1].all()
        assert felt.any(0).sum() <= tile + 1 and felt.any(1).sum() <= tile + 1


def test_channels_that_do_not_lie_side_by_side() -> None:
    case = (2, 6, 5, 12, 9)
    x, w, panels = _operands(4, case, "float32")
    y = np.empty((2, 6, 5, 9), "f")
    op = WinogradConvolution(4, (6, 5), 9)
    native(op, y, [np.asfortranarray(x), _weights(4, panels)])
    assert (np.abs(y - _exact(x, w, (6, 5))) <= _bound(4, x, w, (6, 5))).all()


@pytest.mark.parametrize("tile", TILES)
def test_each_tile_is_in_one_block(tile: int) -> None:
    """And those that overhang the lower edge are in blocks that no other row of tiles is a copy of."""
    for batch, height, width, channels in product((1, 3, 7, 64, 67), (1, 8, 13, 62), (4, 33), (16, 600)):
        rows = -(-height // tile)
        seen = np.zeros((batch, rows), int)
        for piece in blocks(tile, (batch, height, width, channels), channels, 4):
            for chunk, image, down in np.ndindex(piece.chunks, piece.image_blocks, piece.row_blocks):
                n = piece.first_image + chunk * piece.chunk_step[0] + image * piece.images
                r = piece.first_row + chunk * piece.chunk_step[1] + down * piece.rows
                seen[n : n + piece.images, r : r + piece.rows] += 1
            if piece.end * tile > height:
                assert piece.end == rows == piece.first_row + piece.rows
        assert (seen == 1).all(), (batch, height, width, channels)


def test_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", "32")  # for others, other tiles cost least
    f4 = np.dtype("float32")
    assert tile_of((64, 16, 16, 128), 64, f4) == 4
    assert tile_of((64, 2, 2, 512), 512, f4) == 2  # tiles of 4 would be empty by three quarters
    assert tile_of((64, 32, 32, 64), 3, f4) is None  # a transform for three products
    assert tile_of((1, 2, 2, 512), 512, f4) is None  # all the time is for reading weights, of which there are more
    assert tile_of((64, 16, 16, 128), 64, np.dtype("float64")) is None
    assert gradient_tile_of((64, 16, 16, 64), 32, f4) == 4
    assert gradient_tile_of((64, 32, 32, 32), 3, f4) is None
    assert gradient_tile_of((64, 16, 16, 64), 32, np.dtype("float64")) is None


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 0), (1, 2))])
def test_convolution_and_gradients(padding: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    feeds = [generator.standard_normal(shape).astype("f") for shape in ((2, 9, 7, 10), (11, 9, 3, 3))]
    x, w = (gn.input(name, array.shape) for name, array in zip("xw", feeds, strict=True))
    y = Conv2d((1, 1), padding, (1, 1), 1)(x, w)
    feeds.append(generator.standard_normal(y.shape).astype("f"))
    dy = gn.input("dy", y.shape)
    made = [y, Conv2dInputGradient((1, 1), padding, (1, 1), 1, (7, 10))(dy, w)]
    made.append(Conv2dFilterGradient((1, 1), padding, (1, 1), 1, (3, 3))(x, dy))
    exact = gn.compile([x, w, dy], made, backend="numpy")(*feeds)
    for tile in TILES:
        monkeypatch.setattr(rules, "tile_of", lambda *_, tile=tile: tile)
        monkeypatch.setattr(rules, "gradient_tile_of", lambda *_, tile=tile: tile)
        step = gn.compile([x, w, dy], made, backend="native", threads=2, check=1)
        for found, wanted, terms in zip(step(*feeds), exact, (9, 11, 160), strict=True):
            # 64 (565 for m = 4) times what sums of so many products of about 1 are wrong by at the worst.
            np.testing.assert_allclose(found, wanted, rtol=0, atol={2: 64, 4: 565}[tile] * terms * 2**-24)
        names = [node.op.name for node in step.schedule.steps]
        assert names.count("winograd_convolution") == 2
        assert names.count("winograd_filter_gradient") == 1
        assert step.program.lowered.own == len(names), "some of it is left to reference kernels"


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = gn.input("x", (8, 32, 16, 16)), gn.input("w", (32, 32, 3, 3))
    feeds = [np.random.default_rng(0).standard_normal(node.shape).astype("f") for node in (x, w)]

    def names() -> set[str]:
        step = gn.compile([x, w], gn.conv2d(x, w, padding=1), backend="native")
        step(*feeds)
        return {node.op.name for node in step.schedule.steps}

    assert "winograd_convolution" in names()
    monkeypatch.setenv("GRAPHNET_NATIVE_WINOGRAD", "off")
    assert "winograd_convolution" not in names()


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_bits_do_not_depend_on_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNET_NATIVE_VECTOR", "32")  # for others, other tiles cost least
    generator = np.random.default_rng(0)
    x, w = gn.input("x", (13, 32, 14, 14)), gn.input("w", (40, 32, 3, 3))
    y = gn.conv2d(x, w, padding=1)
    made = [y, *gn.gradients(gn.sum(y * y), [x, w])]
    feeds = [generator.standard_normal(node.shape).astype("f") for node in (x, w)]
    step = gn.compile([x, w], made, backend="native", threads=1)
    alone = step(*feeds)
    names = [node.op.name for node in step.schedule.steps]
    assert names.count("winograd_convolution") == 2
    assert names.count("winograd_filter_gradient") == 1
    for a, b in zip(alone, gn.compile([x, w], made, backend="native", threads=threads)(*feeds), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", [(1, 13, 18, 16, 9), (2, 13, 18, 16, 9), (1, 5, 6, 64, 48)])
def test_bits_of_few_images_do_not_depend_on_threads(case: Case) -> None:
    """Chunks are rows of tiles, or channels."""
    batch, height, width, _, filters = case
    x, _, panels = _operands(4, case, "float32")
    u, y = _weights(4, panels), [np.full((batch, height, width, filters), np.nan, "f") for _ in range(3)]
    for threads, result in enumerate(y, 1):
        native(WinogradConvolution(4, (height, width), filters), result, [x, u], threads=threads)
        np.testing.assert_array_equal(result, y[0])
    assert np.isfinite(y[0]).all()


def test_an_image_whose_weights_stay_near_goes_all_the_way_in_each_chunk() -> None:
    for tile, shape, channels in ((4, (1, 32, 32, 16), 16), (4, (1, 14, 14, 32), 32), (2, (1, 8, 8, 64), 64)):
        way = blocks(tile, shape, channels, 4)
        assert not any(piece.is_whole for piece in way) and sum(piece.chunks for piece in way) >= 4
    assert blocks(4, (1, 16, 16, 128), 128, 4)[0].is_whole  # weights are read once
    assert blocks(4, (2, 32, 32, 16), 16, 4)[0].is_whole


def test_what_follows_rides_along() -> None:
    """Bias, residual and activation are worked out in the last transform, and stored with the next one's border."""
    gn.manual_seed(0)
    x = gn.input("x", ("N", 32, 15, 15))
    y = gn.relu(nn.Conv2d(32, 32, 3, padding=1)(x))
    y = gn.relu(nn.Conv2d(32, 32, 3, padding=1)(y) + y)
    step = gn.compile([x], y, backend="native", threads=2)
    array = np.random.default_rng(0).standard_normal((9, 32, 15, 15)).astype("f")
    found, exact = step(array), gn.compile([x], y, backend="numpy")(array)
    # Two layers whose sums are of about 1: a few times the 288 roundings of either.
    np.testing.assert_allclose(found, exact, rtol=0, atol=4 * 288 * 2**-24 * np.abs(exact).max())
    riding = [{step.schedule.steps[number].op.name for number in numbers} for numbers in step.program.lowered.merged]
    assert sum("winograd_convolution" in names for names in riding) == 2
