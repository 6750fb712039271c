"""How products are cut into chunks that threads share. Their values are compared in test_kernels.py."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native.loops import Buffer
from graphnet.backend.native.matmul import matmul
from graphnet.backend.native.target import target
from graphnet.backend.native.views import Scratch, View
from graphnet.ops.linear import Matmul
from tests.backend.native.kernels import native


def chunks(rows, columns, depth):
    def view(name, *shape):
        return View(Buffer(name, "f32", shape[0] * shape[1]), 0, shape, (shape[1], 1))

    made = matmul(view("out", rows, columns), view("a", rows, depth), view("b", depth, columns), Scratch())
    assert made is not None
    return [kernel.chunk.extent for kernel in made if kernel.name == "matmul"]


@pytest.mark.parametrize("panels", [37, 41, 2 * 31, 64])
def test_few_rows_are_shared_by_threads_whatever_the_number_of_panels(panels):
    """A prime number of panels cannot be cut into equal chunks: one of them is smaller."""
    found = chunks(8, panels * 2 * target().lanes(4), 1000)
    assert 8 <= sum(found) <= 17 and len(found) <= 2


def test_a_right_operand_that_fills_the_cache_is_read_by_fewer_taller_chunks():
    """1024 x 128 floats stay there for none of 16 chunks; 256 x 128 do."""
    assert chunks(512, 128, 1024) == [8] and chunks(512, 128, 256) == [16]


def test_little_work_is_one_chunk():
    assert chunks(8, 64, 8) == [1]


@pytest.mark.parametrize(("batch", "count"), [((1, 4), 4), ((3, 4), 3), ((1, 1, 5), 5), ((1, 1), 1)])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_heads_of_one_image_are_chunks(batch, count, transposed):
    """Each of which has room of its own for what it packs."""
    rows, columns, depth = 33, 40, 300
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal((*batch, *shape)) for shape in ((rows, depth), (depth, columns)))
    if transposed:
        a, b = (np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) for x in (a, b))
    views = [
        View(Buffer(name, "f64", x.size), 0, x.shape, tuple(stride // 8 for stride in x.strides))
        for name, x in (("out", np.empty((*batch, rows, columns))), ("a", a), ("b", b))
    ]
    (kernel,) = matmul(*views, Scratch()) or []
    assert kernel.chunk.extent == count
    alone, shared = (np.full((*batch, rows, columns), np.nan) for _ in range(2))
    native(Matmul(), alone, [a, b], threads=1)
    native(Matmul(), shared, [a, b], threads=3)
    # Sums of 300 products of about 1, each rounded once, in any order.
    np.testing.assert_allclose(alone, a @ b, rtol=0, atol=300 * 2**-52 * 5)
    np.testing.assert_array_equal(alone, shared)


@pytest.mark.parametrize(("rows", "expected"), [(64, [8]), (300, [2] * 4), (1100, [5, 5]), (2100, [3, 6])])
def test_a_long_sum_of_large_operands_is_cut_into_parts_where_rows_are_few(rows, expected):
    """Nothing of a large operand is packed before all: kernels are products and what adds their sums."""
    depth, columns = 2048, 2048
    out, right = (
        View(Buffer(name, "f32", n * columns), 0, (n, columns), (columns, 1))
        for name, n in (("out", rows), ("b", depth))
    )
    left = View(Buffer("a", "f32", rows * depth), 0, (rows, depth), (1, rows))
    made = matmul(out, left, right, Scratch())
    assert made is not None
    products = [kernel for kernel in made if left.buffer in kernel.buffers]
    assert [kernel.chunk.extent for kernel in products] == expected
    assert all(right.buffer in kernel.buffers for kernel in products)
    assert not any(kernel.name == "pack" for kernel in made)


@pytest.mark.parametrize(("rows", "columns", "dtype"), [(65, 2051, "float32"), (515, 1031, "float64")])
def test_a_long_sum_of_large_operands_has_the_same_bits_on_any_number_of_threads(rows, columns, dtype):
    depth = 2063
    rng = np.random.default_rng(rows)
    x, y = gn.input("x", (depth, rows), dtype=dtype), gn.input("y", (depth, columns), dtype=dtype)
    given = [rng.standard_normal((depth, size)).astype(dtype) for size in (rows, columns)]
    one, three = (gn.compile([x, y], x.T @ y, backend="native", threads=n)(*given) for n in (1, 3))
    assert one.tobytes() == three.tobytes()
    # A sum of n products, one after the other, is off by at most n roundings of the sum of their sizes; the exact one
    # that it is compared with is off by far less in float32, and by as much again in float64.
    wide = [np.asarray(array, np.float64) for array in given]
    sizes = np.abs(wide[0]).T @ np.abs(wide[1])
    assert (np.abs(one - wide[0].T @ wide[1]) <= 2 * depth * np.finfo(dtype).eps / 2 * sizes).all()
