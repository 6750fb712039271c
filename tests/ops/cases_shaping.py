"""Rows for sum, broadcast_to, reshape, cast and the copy that rewriting inserts."""

from __future__ import annotations

import numpy as np

import graphnet as gn
from graphnet.ops.shaping import Contiguous
from tests.ops.case import Arg, Case, torch

CASES = [
    Case("sum-all", lambda x: gn.sum(x), (Arg((3, 4)),), torch=lambda x: x.sum()),
    Case("sum-axis", lambda x: gn.sum(x, axis=1), (Arg((3, 4, 2)),), torch=lambda x: x.sum(1)),
    Case(
        "sum-negative-axes-keepdims",
        lambda x: gn.sum(x, axis=(-1, 0), keepdims=True),
        (Arg((3, 4, 2)),),
        torch=lambda x: x.sum((0, 2), keepdim=True),
    ),
    Case("sum-scalar", lambda x: gn.sum(x), (Arg(()),), torch=lambda x: x.sum()),
    Case("sum-no-axes", lambda x: gn.sum(x, axis=()), (Arg((2, 3)),), numpy=lambda x: x),
    Case("sum-size-1", lambda x: gn.sum(x, axis=1), (Arg((3, 1)),), torch=lambda x: x.sum(1)),
    Case("sum-empty", lambda x: gn.sum(x, axis=1), (Arg((3, 0)),), torch=lambda x: x.sum(1)),
    Case("sum-int32", lambda x: gn.sum(x, axis=0), (Arg((3, 4), "int32", -9, 9),), torch=lambda x: x.sum(0)),
    Case("sum-bool", lambda x: gn.sum(x), (Arg((3, 4), "bool"),), torch=lambda x: x.sum()),
    Case(
        "broadcast-to",
        lambda x: gn.broadcast_to(x, (2, 3, 4)),
        (Arg((3, 1)),),
        torch=lambda x: x.broadcast_to((2, 3, 4)),
    ),
    Case(
        "broadcast-to-scalar", lambda x: gn.broadcast_to(x, (2, 2)), (Arg(()),), torch=lambda x: x.broadcast_to((2, 2))
    ),
    Case("reshape", lambda x: gn.reshape(x, (4, -1)), (Arg((2, 3, 2)),), torch=lambda x: x.reshape(4, 3)),
    Case("reshape-to-scalar", lambda x: gn.reshape(x, ()), (Arg((1, 1)),), torch=lambda x: x.reshape(())),
    Case(
        "contiguous",
        lambda x: Contiguous()(gn.broadcast_to(x, (3, 2))),
        (Arg((2,)),),
        numpy=lambda x: np.stack([x] * 3),
    ),
    Case(
        "cast-int-to-float",
        lambda x, y: gn.cast(x, y.dtype) * y,
        (Arg((3,), "int64", -5, 5), Arg((3,))),
        torch=lambda x, y: x * y,
    ),
    Case(
        "cast-to-bool",
        lambda x: gn.cast(x, "bool"),
        (Arg((4,), values=(0.0, -0.0, 2.0, np.nan)),),
        torch=lambda x: x.bool(),
        differentiable=False,
    ),
    Case(
        "cast-to-int64",
        lambda x: gn.cast(x, "int64"),
        (Arg((20,), low=-50, high=50),),
        torch=lambda x: x.long(),
        differentiable=False,
    ),
    Case(
        "cast-to-uint8",
        lambda x: gn.cast(x, "uint8"),
        (Arg((3,), values=(-0.9, 1.5, 255.9)),),
        torch=lambda x: x.to(torch.uint8),
        differentiable=False,
    ),
]
