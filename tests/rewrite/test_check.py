"""What a pass must not do, done on purpose."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet.errors import RewriteError
from graphnet.graph.graph import Graph
from graphnet.graph.node import Node
from graphnet.rewrite.check import check_pass

x, y = gn.input("x", (2, 3)), gn.input("y", (2, 3))
w, v = (gn.parameter(np.ones(3, np.float32), name) for name in "wv")
BEFORE = Graph((x + w,), (gn.assign(w, w * 2.0),))


def wrongly_typed() -> Node:
    return Node((x + w).op, (x, w), y.astype("float64").type)


def test_a_pass_that_means_the_same_passes() -> None:
    check_pass("same", BEFORE, BEFORE)
    check_pass("rewritten", BEFORE, Graph((w + x,), (gn.assign(w, w + w),)))


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (Graph((gn.sum(x + w),), BEFORE.updates), "types of the outputs"),
        (Graph((), BEFORE.updates), "types of the outputs"),
        (Graph(BEFORE.outputs, (gn.assign(v, w * 2.0),)), "which parameters"),
        (Graph(BEFORE.outputs, ()), "which parameters"),
        (Graph(BEFORE.outputs, (w * 2.0,)), "assigns nothing"),
        (Graph((y + w,), BEFORE.updates), "brought in"),
        (Graph((x + w,), (gn.assign(w, v * 2.0),)), "brought in"),
        (Graph((gn.cast(wrongly_typed(), "float32"),), BEFORE.updates), "infers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pass_that_does_not_is_caught(after: Graph, message: str) -> None:
    with pytest.raises(RewriteError, match=message):
        check_pass("broken", BEFORE, after)
