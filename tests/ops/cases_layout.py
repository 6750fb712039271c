"""Rows for transpose and its kin, slicing, joining and padding."""

from __future__ import annotations

import numpy as np

import graphnet as gn
from tests.ops.case import Arg, Case, torch

X = Arg((3, 4, 5))


def _pad_case(mode: str, shape: tuple[int, ...], padding: tuple[int, ...]) -> Case:
    return Case(
        f"pad-{mode}-{len(shape)}d",
        lambda x: gn.pad(x, padding, mode),
        (Arg(shape),),
        torch=lambda x: torch.nn.functional.pad(x, padding, mode),
    )


def _index_case(name: str, index: object) -> Case:
    return Case(f"slice-{name}", lambda x: x[index], (X,), numpy=lambda x: x[index])


CASES = [
    Case("transpose", lambda x: gn.transpose(x, (2, 0, 1)), (X,), torch=lambda x: x.permute(2, 0, 1)),
    Case("transpose-reversed", lambda x: gn.transpose(x) * x.T, (X,), torch=lambda x: x.permute(2, 1, 0) ** 2),
    Case("transpose-scalar", lambda x: gn.transpose(x), (Arg(()),), torch=lambda x: x),
    Case("swapaxes", lambda x: gn.swapaxes(x, 0, -1), (X,), torch=lambda x: x.swapaxes(0, -1)),
    Case("moveaxis", lambda x: gn.moveaxis(x, (0, 1), (-1, 0)), (X,), torch=lambda x: x.moveaxis((0, 1), (-1, 0))),
    Case("expand-dims", lambda x: gn.expand_dims(x, (0, -1)), (X,), numpy=lambda x: np.expand_dims(x, (0, -1))),
    Case("squeeze", lambda x: gn.squeeze(x), (Arg((1, 3, 1)),), torch=lambda x: x.squeeze()),
    Case("squeeze-axis", lambda x: gn.squeeze(x, -1), (Arg((1, 3, 1)),), torch=lambda x: x.squeeze(-1)),
    Case("flatten", lambda x: gn.flatten(x, 1), (X,), torch=lambda x: x.flatten(1)),
    Case("flatten-scalar", lambda x: gn.flatten(x), (Arg(()),), torch=lambda x: x.flatten()),
    Case("diagonal", lambda x: gn.diagonal(x, 2, 0), (Arg((3, 2, 3)),), torch=lambda x: x.diagonal(0, 2, 0)),
    _index_case("integer", 1),
    _index_case("all-integers", (0, -1, 2)),
    _index_case("negative", (-1, slice(-3, -1))),
    _index_case("steps", (slice(None, None, 2), slice(1, None, 3))),
    _index_case("negative-steps", (slice(None, None, -1), slice(3, 0, -2), slice(None, None, -3))),
    _index_case("ellipsis-newaxis", (..., None, slice(1, 2))),
    _index_case("newaxis-integer", (None, 0, ..., None, 3)),
    _index_case("clipped", (slice(-10, 10), slice(7, 9))),
    _index_case("empty", (slice(2, 1),)),
    Case("slice-bool", lambda x: x[1:, ::-1], (Arg((3, 3), "bool"),), numpy=lambda x: x[1:, ::-1]),
    Case("slice-twice", lambda x: x[1:] * x[:-1], (X,), torch=lambda x: x[1:] * x[:-1]),
    Case("flip", lambda x: gn.flip(x, (0, -1)), (X,), torch=lambda x: x.flip((0, -1))),
    Case("flip-all", lambda x: gn.flip(x), (X,), torch=lambda x: x.flip((0, 1, 2))),
    Case(
        "split-sections",
        lambda x: gn.split(x, 2, axis=1)[0] * gn.split(x, 2, axis=1)[1],
        (X,),
        torch=lambda x: x[:, :2] * x[:, 2:],
    ),
    Case(
        "split-sizes",
        lambda x: gn.concatenate(gn.split(x, (1, 4), axis=-1)[::-1], axis=-1),
        (X,),
        torch=lambda x: torch.cat(x.split((1, 4), -1)[::-1], -1),
    ),
    Case(
        "concatenate",
        lambda x, y: gn.concatenate([x, y, x * y[:, :1]], axis=1),
        (Arg((2, 3)), Arg((2, 2))),
        torch=lambda x, y: torch.cat([x, y, x * y[:, :1]], 1),
    ),
    Case(
        "concatenate-mixed-dtypes",
        lambda x, n: gn.concatenate([x, n]),
        (Arg((2, 3)), Arg((1, 3), "int32", 0, 9)),
        torch=lambda x, n: torch.cat([x, n]),
    ),
    Case(
        "concatenate-integers",
        lambda x, y: gn.concatenate([x, y]),
        (Arg((2,), "int64", 0, 9), Arg((0,), "int64", 0, 9)),
        torch=lambda x, y: torch.cat([x, y]),
    ),
    Case("stack", lambda x, y: gn.stack([x, y], -1), (X, X), torch=lambda x, y: torch.stack([x, y], -1)),
    Case("tile", lambda x: gn.tile(x, (2, 1, 3)), (X,), numpy=lambda x: np.tile(x, (2, 1, 3))),
    Case("tile-more-axes", lambda x: gn.tile(x, (2, 2)), (Arg((3,)),), torch=lambda x: x.tile((2, 2))),
    Case("tile-fewer-reps", lambda x: gn.tile(x, 2), (Arg((2, 3)),), torch=lambda x: x.tile((2,))),
    Case("repeat", lambda x: gn.repeat(x, 3, axis=1), (X,), torch=lambda x: x.repeat_interleave(3, 1)),
    _pad_case("constant", (2, 3), (1, 2, 0, 1)),
    _pad_case("reflect", (2, 3, 5), (4, 3, 1, 2)),
    _pad_case("reflect", (1, 2, 3, 4), (3, 1, 2, 2)),
    _pad_case("replicate", (2, 2, 3), (2, 3)),
    _pad_case("replicate", (1, 2, 3, 4), (3, 0, 1, 5)),
    _pad_case("circular", (2, 2, 3), (3, 2)),
    _pad_case("circular", (1, 2, 3, 4), (4, 1, 2, 3)),
    Case(
        "pad-constant-value",
        lambda x: gn.pad(x, ((1, 0), (2, 3)), value=-1.5),
        (Arg((2, 3)),),
        numpy=lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=-1.5),
    ),
    Case(
        "pad-constant-integers",
        lambda x: gn.pad(x, (1, 1), value=7),
        (Arg((2, 3), "int32", 0, 9),),
        torch=lambda x: torch.nn.functional.pad(x, (1, 1), value=7),
    ),
]
