"""Native copies against NumPy: layouts, joins, edges, on the sizes that hurt."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphnet.graph.node import Op
from graphnet.graph.types import TensorType
from graphnet.ops.joining import Concatenate, FoldEdges, PadEdges
from graphnet.ops.layout import DiagonalEmbed
from graphnet.ops.shaping import Contiguous
from tests.backend.native.kernels import native

DTYPES = ["float32", "float64", "bool"]


def drawn(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 200, shape)
    return values.astype(dtype)


def check(op: Op, x: list[np.ndarray], out: np.ndarray, threads: int = 2) -> None:
    work = tuple(
        np.empty(t.static_shape, t.dtype) for t in op.workspace(*(TensorType(value.dtype, value.shape) for value in x))
    )
    expected = np.empty(out.shape, out.dtype)
    op.compute(expected, *x, **({"work": work} if work else {}))
    out.view("u1" if out.dtype == bool else out.dtype)[...] = 77
    native(op, out, x, threads)
    np.testing.assert_array_equal(out, expected, err_msg=f"{op!r} of {[value.shape for value in x]}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (3, 50), (9, 17), (64, 129), (13, 8, 16)])
def test_every_order_of_axes(shape, dtype):
    for order in itertools.permutations(range(len(shape))):
        x = drawn(shape, dtype).transpose(order)
        check(Contiguous(), [x], np.empty(x.shape, dtype))
        check(Contiguous(), [x[::-1]], np.empty(x.shape, dtype))
        check(Contiguous(), [x], np.empty(x.shape, dtype, order="F"))


def test_images_change_their_layout():
    for shape in [(2, 3, 9, 7), (16, 5, 8, 8), (17, 33, 3, 3)]:
        x = drawn(shape, "float32")
        for order in [(1, 2, 3, 0), (0, 2, 3, 1), (2, 3, 1, 0)]:
            check(Contiguous(), [x.transpose(order)], np.empty([shape[axis] for axis in order], "f"))


def test_repeated_and_skipped_elements():
    x = drawn((5, 1, 37), "float32")
    for view in [np.broadcast_to(x, (5, 4, 37)), np.broadcast_to(x[..., :1], (5, 4, 37)), x[..., ::3], x[..., ::-1]]:
        check(Contiguous(), [view], np.empty(view.shape, "f"))
    check(Contiguous(), [np.broadcast_to(x[:1, :, :1], (5, 3, 19))], np.empty((5, 3, 19), "f"))
    check(Contiguous(), [drawn((), "float32")], np.empty((), "f"))
    check(Contiguous(), [drawn((100_003,), "float32")], np.empty((100_003,), "f"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_joining(dtype):
    shapes = [((7,), 0, (3, 0, 1, 9)), ((4, 5), 0, (1, 8)), ((3, 5, 17), 1, (2, 3)), ((3, 5), 1, (40, 1))]
    for shape, axis, counts in shapes:
        x = [drawn((*shape[:axis], count, *shape[axis + 1 :]), dtype, count) for count in counts]
        check(Concatenate(axis), x, np.empty((*shape[:axis], sum(counts), *shape[axis + 1 :]), dtype))
        turned = [value.T.copy().T for value in x]
        check(Concatenate(axis), turned, np.empty((*shape[:axis], sum(counts), *shape[axis + 1 :]), dtype, order="F"))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_edges(mode, dtype):
    for shape, pairs in [
        ((5,), ((2, 3),)),
        ((3, 9), ((0, 0), (4, 1))),
        ((2, 4, 6), ((0, 0), (3, 3), (2, 0))),
        ((2, 3, 5, 20), ((0, 0), (0, 0), (1, 1), (2, 2))),
        ((4, 6), ((1, 2), (0, 5))),
    ]:
        whole = tuple(n + before + after for n, (before, after) in zip(shape, pairs, strict=True))
        check(PadEdges(pairs, mode), [drawn(shape, dtype)], np.empty(whole, dtype))
        check(FoldEdges(pairs, mode), [drawn(whole, dtype)], np.empty(shape, dtype))


def test_diagonals():
    for axes in [(0, 1), (1, 2), (2, 0), (1, 0)]:
        check(DiagonalEmbed(*axes), [drawn((3, 10), "float64")], np.empty(_embedded((3, 10), axes)))


def _embedded(shape: tuple[int, ...], axes: tuple[int, int]) -> list[int]:
    found = list(shape[:-1])
    for axis in sorted(axes):
        found.insert(axis, shape[-1])
    return found
