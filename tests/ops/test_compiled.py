"""Every row of the table as a compiled program: each step checked against its reference, freed bytes made NaN."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from tests.ops.case import Case, built
from tests.ops.test_table import rows


@rows()
@pytest.mark.parametrize("rewrite", [True, False], ids=["rewritten", "declared"])
def test_a_checked_run_gives_the_same_bits(case: Case, rewrite: bool) -> None:
    graph = built(case, "float32")
    outputs = [graph.output, *graph.gradients]
    plain = gn.compile(list(graph.inputs), outputs, rewrite=rewrite, check=0)(*graph.arrays)
    checked = gn.compile(list(graph.inputs), outputs, rewrite=rewrite, check=2)(*graph.arrays)
    apart = gn.compile(list(graph.inputs), outputs, rewrite=rewrite, reuse=False)(*graph.arrays)
    for a, b, c in zip(plain, checked, apart, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
