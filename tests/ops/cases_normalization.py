"""Rows for batch, layer, group and instance normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graphnet as gn
from tests.ops.case import Arg, Case, torch

STEEP = 2e-4
"""Dividing by a small deviation magnifies what float32 has rounded."""


def _norm(
    name: str, shape: tuple[int, ...], affine: tuple[int, ...], build: Callable[..., Any], judge: Callable[..., Any]
) -> Case:
    return Case(name, build, (Arg(shape), Arg(affine), Arg(affine)), torch=judge, tolerance32=STEEP)


def _batch(shape: tuple[int, ...]) -> Case:
    return _norm(
        f"batch-norm-training-{len(shape)}d",
        shape,
        (shape[1],),
        lambda x, w, b: gn.batch_norm(x, None, None, w, b, training=True),
        lambda x, w, b: torch.nn.functional.batch_norm(x, None, None, w, b, training=True),
    )


def _batch_eval(shape: tuple[int, ...]) -> Case:
    channels = Arg((shape[1],))
    return Case(
        f"batch-norm-eval-{len(shape)}d",
        lambda x, m, v, w, b: gn.batch_norm(x, m, v, w, b, eps=1e-3),
        (Arg(shape), channels, Arg((shape[1],), low=0.5), channels, channels),
        torch=lambda x, m, v, w, b: (
            (x - m.reshape(-1, *[1] * (x.ndim - 2)))
            / (v.reshape(-1, *[1] * (x.ndim - 2)) + 1e-3).sqrt()
            * w.reshape(-1, *[1] * (x.ndim - 2))
            + b.reshape(-1, *[1] * (x.ndim - 2))
        ),
        tolerance32=STEEP,
    )


CASES = [
    _batch((6, 3)),
    _batch((4, 3, 5)),
    _batch((2, 3, 4, 3)),
    _batch_eval((4, 3)),
    _batch_eval((2, 3, 2, 2)),
    Case(
        "batch-norm-plain",
        lambda x: gn.batch_norm(x, None, None, training=True, eps=0.1),
        (Arg((5, 2)),),
        torch=lambda x: torch.nn.functional.batch_norm(x, None, None, training=True, eps=0.1),
        tolerance32=STEEP,
    ),
    _norm(
        "layer-norm",
        (3, 2, 4),
        (4,),
        lambda x, w, b: gn.layer_norm(x, 4, w, b),
        lambda x, w, b: torch.nn.functional.layer_norm(x, (4,), w, b),
    ),
    _norm(
        "layer-norm-two-axes",
        (3, 2, 4),
        (2, 4),
        lambda x, w, b: gn.layer_norm(x, (2, 4), w, b, eps=1e-3),
        lambda x, w, b: torch.nn.functional.layer_norm(x, (2, 4), w, b, eps=1e-3),
    ),
    _norm(
        "group-norm",
        (2, 6, 3, 2),
        (6,),
        lambda x, w, b: gn.group_norm(x, 3, w, b),
        lambda x, w, b: torch.nn.functional.group_norm(x, 3, w, b),
    ),
    _norm(
        "group-norm-2d",
        (3, 6),
        (6,),
        lambda x, w, b: gn.group_norm(x, 2, w, b),
        lambda x, w, b: torch.nn.functional.group_norm(x, 2, w, b),
    ),
    _norm(
        "instance-norm",
        (2, 3, 5),
        (3,),
        lambda x, w, b: gn.instance_norm(x, weight=w, bias=b),
        lambda x, w, b: torch.nn.functional.instance_norm(x, weight=w, bias=b),
    ),
    _norm(
        "instance-norm-2d",
        (2, 2, 3, 3),
        (2,),
        lambda x, w, b: gn.instance_norm(x, weight=w, bias=b),
        lambda x, w, b: torch.nn.functional.instance_norm(x, weight=w, bias=b),
    ),
    Case(
        "rms-norm",
        lambda x, w: gn.rms_norm(x, (2, 4), w, eps=1e-3),
        (Arg((3, 2, 4)), Arg((2, 4))),
        torch=lambda x, w: torch.nn.functional.rms_norm(x, (2, 4), w, eps=1e-3),
        tolerance32=STEEP,
    ),
    Case(
        "rms-norm-plain",
        lambda x: gn.rms_norm(x, 5),
        (Arg((3, 5)),),
        torch=lambda x: torch.nn.functional.rms_norm(x, (5,)),
        tolerance32=STEEP,
    ),
]
