"""Rows for random numbers, of which the bits are known, and for gradients that a user says."""

from __future__ import annotations

import numpy as np

import graphnet as gn
from graphnet.graph.node import Node
from graphnet.ops.random import Uniform
from tests.ops.case import Arg, Case


@gn.custom_gradient
def _product(x: Node, y: Node) -> tuple[Node, object]:
    return x * y, lambda dy: (dy * y, dy * x)


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    """The words that the documentation of `graphnet.ops.random` promises for seed 7, stream 2, step 5."""
    bits = np.random.Philox(key=np.array((7, 2), np.uint64), counter=np.array((0, 0, 5, 0), np.uint64))
    words = bits.random_raw((int(np.prod(shape)) + 1) // 2)
    halves = np.stack([words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)], axis=1).reshape(-1)
    return ((halves[: np.prod(shape)] >> np.uint64(8)) / 2**24).reshape(shape)


CASES = [
    Case(
        "uniform",
        lambda x: x * gn.cast(Uniform((3, 5), np.dtype("float32"), 2)(gn.constant([7, 5])), x.dtype),
        (Arg((3, 5)),),
        numpy=lambda x: x * _noise((3, 5)),
    ),
    Case(
        "stop-gradient",
        lambda x: x * gn.stop_gradient(x),
        (Arg((3,)),),
        torch=lambda x: x * x.detach(),
        smooth=False,
    ),
    Case("custom-gradient", lambda x, y: _product(x, y) * x, (Arg((3,)), Arg((3,))), torch=lambda x, y: x * y * x),
]
