"""Native random numbers: the reference's bits, whatever the count, the seed and the number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.ops.random import Uniform
from tests.backend.native.kernels import native


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (8,), (1, 9), (7, 1), (5, 11_003)])
def test_the_same_bits(shape, dtype):
    for seed, stream, step in [(7, 2, 5), ((1 << 63) - 1, (1 << 64) - 2, 1 << 40)]:
        state, op = np.array((seed, step)), Uniform(shape, np.dtype(dtype), stream)
        out, expected = np.full(shape, np.nan, dtype), np.empty(shape, dtype)
        native(op, out, [state], threads=3)
        op.compute(expected, state)
        np.testing.assert_array_equal(out, expected, strict=True)
