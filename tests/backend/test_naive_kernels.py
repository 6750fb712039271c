"""The naive kernels against the ops' own: two computations that share nothing but the formula."""

from __future__ import annotations

import numpy as np
import pytest

from graphnet.backend.naive import KERNELS
from graphnet.graph.node import Op
from graphnet.graph.traversal import topological
from graphnet.graph.types import TensorType
from graphnet.ops import convolution, pooling, resampling
from graphnet.ops.evaluate import apply_op, evaluate
from graphnet.ops.linear import Matmul
from tests.ops import cases_convolution, cases_pooling
from tests.ops.case import Case, assert_close, built

CASES = [*cases_convolution.CASES, *cases_pooling.CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_spatial_row_by_plain_loops(case: Case, dtype: str) -> None:
    graph = built(case, dtype)
    nodes = topological([graph.output, *graph.gradients])
    values = dict(zip(nodes, evaluate(nodes, graph.feeds), strict=True))
    for node in nodes:
        if type(node.op) in KERNELS:
            found = np.full_like(values[node], 99)
            KERNELS[type(node.op)](node.op, found, *(values[value] for value in node.inputs))
            assert_close(found, values[node], 1e-11 if dtype == "float64" else 1e-5, repr(node))


@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 4), (4, 2)), ((2, 3, 4), (2, 4, 5)), ((5, 1, 2, 3), (4, 3, 2)), ((2, 0), (0, 3)), ((0, 2), (2, 3))],
)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_matmul(left: tuple[int, ...], right: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-9, 9, shape).astype(dtype) for shape in (left, right))
    out = np.empty(Matmul().infer(*(TensorType(x.dtype, x.shape) for x in (a, b))).static_shape, dtype)
    KERNELS[Matmul](Matmul(), out, a, b)
    assert_close(out, apply_op(Matmul(), a, b), 1e-13, "matmul")


def test_every_spatial_op_has_a_naive_kernel() -> None:
    spatial = {
        op
        for module in (convolution, pooling, resampling)
        for op in vars(module).values()
        if isinstance(op, type) and issubclass(op, Op) and "infer" in vars(op) and op is not Op
    }
    assert spatial <= set(KERNELS)
