"""Rows for matrix products and Einstein summation."""

from __future__ import annotations

import numpy as np

import graphnet as gn
from tests.ops.case import Arg, Case, torch


def _matmul(name: str, left: tuple[int, ...], right: tuple[int, ...]) -> Case:
    return Case(f"matmul-{name}", lambda a, b: a @ b, (Arg(left), Arg(right)), torch=lambda a, b: a @ b)


def _einsum(subscripts: str, *shapes: tuple[int, ...]) -> Case:
    return Case(
        f"einsum-{subscripts}",
        lambda *arrays: gn.einsum(subscripts, *arrays),
        tuple(Arg(shape) for shape in shapes),
        numpy=lambda *arrays: np.einsum(subscripts, *arrays),
    )


CASES = [
    _matmul("2d", (3, 4), (4, 5)),
    _matmul("vectors", (4,), (4,)),
    _matmul("matrix-vector", (3, 4), (4,)),
    _matmul("vector-matrix", (4,), (4, 3)),
    _matmul("batch", (2, 3, 4), (2, 4, 5)),
    _matmul("rows-by-matrix", (2, 3, 4), (4, 5)),
    _matmul("rows-by-vector", (2, 3, 4), (4,)),
    _matmul("matrix-by-batch", (3, 4), (2, 4, 5)),
    _matmul("vector-by-batch", (4,), (2, 4, 5)),
    _matmul("broadcast", (2, 1, 3, 4), (5, 4, 2)),
    _matmul("no-inner", (3, 0), (0, 2)),
    _matmul("no-rows", (2, 0, 3), (3, 2)),
    Case("matmul-square", lambda a: a @ a, (Arg((3, 3)),), torch=lambda a: a @ a),
    Case("matmul-gram", lambda a: a.T @ a, (Arg((4, 3)),), torch=lambda a: a.T @ a),
    Case(
        "matmul-integers",
        lambda a, b: a @ b,
        (Arg((2, 3), "int64", -5, 5), Arg((3, 2), "int64", -5, 5)),
        torch=lambda a, b: a @ b,
    ),
    Case(
        "linear",
        lambda x, w, b: gn.linear(x, w, b),
        (Arg((2, 3, 4)), Arg((5, 4)), Arg((5,))),
        torch=lambda x, w, b: torch.nn.functional.linear(x, w, b),
    ),
    Case(
        "linear-no-bias",
        lambda x, w: gn.linear(x, w),
        (Arg((4,)), Arg((5, 4))),
        torch=lambda x, w: torch.nn.functional.linear(x, w),
    ),
    _einsum("ij,jk->ik", (2, 3), (3, 4)),
    _einsum("ij,kj->ki", (2, 3), (4, 3)),
    _einsum("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
    _einsum("bcij,bij->cb", (2, 3, 2, 2), (2, 2, 2)),
    _einsum("nchw,fc->nfhw", (2, 3, 2, 2), (4, 3)),
    _einsum("i,j->ji", (3,), (4,)),
    _einsum("i,i", (3,), (3,)),
    _einsum("bi,bj->bij", (2, 3), (2, 4)),
    _einsum("bij,bj->bij", (2, 3, 4), (2, 4)),
    _einsum("j,bij->ib", (4,), (2, 3, 4)),
    _einsum("ij,ij,ij->", (2, 3), (2, 3), (2, 3)),
    _einsum("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    _einsum("ijk->ki", (2, 3, 4)),
    _einsum("ijk", (2, 3, 4)),
    _einsum("kij", (2, 3, 4)),
    _einsum("ii", (3, 3)),
    _einsum("ii->i", (3, 3)),
    _einsum("iji,j->i", (3, 2, 3), (2,)),
    _einsum("iii->i", (2, 2, 2)),
    _einsum("ij,kl->", (2, 3), (2, 2)),
    _einsum("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2)),
    _einsum("...i->i...", (2, 3, 4)),
    _einsum("i...,...i", (3, 2, 1), (4, 3)),
    _einsum("...,...", (), (3,)),
    Case(
        "einsum-integers",
        lambda a, b: gn.einsum("ij,k->ik", a, b),
        (Arg((2, 3), "int32", -5, 5), Arg((3,), "int32", -5, 5)),
        numpy=lambda a, b: np.einsum("ij,k->ik", a, b),
    ),
]
