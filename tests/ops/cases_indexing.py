"""Rows for take, embedding, gather, scatter and one-hot."""

from __future__ import annotations

import numpy as np

import graphnet as gn
from tests.ops.case import Arg, Case, torch

CASES = [
    Case(
        "take",
        lambda x: gn.take(x, [[0, 2], [-1, 2]], axis=1),
        (Arg((2, 3, 4)),),
        numpy=lambda x: x[:, [[0, 2], [2, 2]]],
    ),
    Case(
        "take-flat",
        lambda x: gn.take(x, np.array([5, 0, -6])),
        (Arg((2, 3)),),
        numpy=lambda x: x.reshape(-1)[[5, 0, 0]],
    ),
    Case("take-scalar-index", lambda x: gn.take(x, 1, axis=-1), (Arg((2, 3)),), torch=lambda x: x[..., 1]),
    Case(
        "take-no-indices",
        lambda x, i: gn.take(x, i, axis=0),
        (Arg((2, 3)), Arg((0,), "int64")),
        torch=lambda x, i: torch.index_select(x, 0, i),
    ),
    Case(
        "take-integers",
        lambda x, i: gn.take(x, i, axis=0),
        (Arg((4, 2), "int32", 0, 9), Arg((3,), "int32", 0, 4)),
        numpy=lambda x, i: x[i],
    ),
    Case(
        "embedding",
        lambda w, i: gn.embedding(i, w),
        (Arg((5, 3)), Arg((4, 6), "int64", 0, 5)),
        torch=lambda w, i: torch.nn.functional.embedding(i, w),
    ),
    Case(
        "take-along-axis",
        lambda x, i: gn.take_along_axis(x, i, axis=1),
        (Arg((2, 4, 3)), Arg((2, 5, 3), "int64", -4, 4)),
        numpy=lambda x, i: np.take_along_axis(x, i, 1),
    ),
    Case(
        "take-along-axis-broadcast",
        lambda x, i: gn.take_along_axis(x, i, axis=-1),
        (Arg((3, 4)), Arg((1, 2), "int64", -4, 4)),
        numpy=lambda x, i: np.take_along_axis(x, i, -1),
    ),
    Case(
        "gather",
        lambda x, i: gn.gather(x, 0, i),
        (Arg((4, 3, 2)), Arg((5, 2, 2), "int64", 0, 4)),
        torch=lambda x, i: torch.gather(x, 0, i),
    ),
    Case(
        "scatter-add",
        lambda x, i, s: gn.scatter_add(x, 1, i, s),
        (Arg((2, 3)), Arg((2, 6), "int64", 0, 3), Arg((2, 6))),
        torch=lambda x, i, s: torch.scatter_add(x, 1, i, s),
    ),
    Case(
        "index-add",
        lambda x, i, s: gn.index_add(x, 1, i, s),
        (Arg((2, 3, 4)), Arg((5,), "int64", 0, 3), Arg((2, 5, 4))),
        torch=lambda x, i, s: torch.index_add(x, 1, i, s),
    ),
    Case(
        "one-hot",
        lambda i: gn.one_hot(i, 4, "int64"),
        (Arg((2, 3), "int64", 0, 4),),
        torch=lambda i: torch.nn.functional.one_hot(i, 4),
    ),
    Case(
        "one-hot-bool",
        lambda i: gn.one_hot(i, 4, "bool"),
        (Arg((), "int64", 0, 4),),
        numpy=lambda i: np.arange(4) == i,
    ),
    Case(
        "one-hot-times",
        lambda x, i: x * gn.one_hot(i, 3, x.dtype),
        (Arg((2, 3)), Arg((2,), "int64", 0, 3)),
        torch=lambda x, i: x * torch.nn.functional.one_hot(i, 3),
    ),
]
