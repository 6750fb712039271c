"""Rows for pooling, adaptive pooling and nearest upsampling."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphnet as gn
from graphnet.graph.node import Node
from tests.ops.case import Arg, Case, torch


def _max_pool2d(name: str, shape: tuple[int, ...], *arguments: Any, values: Any = None, **options: Any) -> Case:
    return Case(
        f"max-pool2d-{name}",
        lambda x: gn.max_pool2d(x, *arguments, **options),
        (Arg(shape, values=values),),
        torch=lambda x: torch.nn.functional.max_pool2d(x, *arguments, **options),
        smooth=values is None,
    )


def _avg_pool2d(name: str, shape: tuple[int, ...], *arguments: Any, **options: Any) -> Case:
    return Case(
        f"avg-pool2d-{name}",
        lambda x: gn.avg_pool2d(x, *arguments, **options),
        (Arg(shape),),
        torch=lambda x: torch.nn.functional.avg_pool2d(x, *arguments, **options),
    )


def _adaptive(name: str, shape: tuple[int, ...], output_size: Any) -> Case:
    return Case(
        f"adaptive-avg-pool2d-{name}",
        lambda x: gn.adaptive_avg_pool2d(x, output_size),
        (Arg(shape),),
        torch=lambda x: torch.nn.functional.adaptive_avg_pool2d(x, output_size),
    )


def _gradient_of_a_pool(x: Node, z: Node) -> Node:
    """The gradient of a pool as an expression, so that its gradient is a first derivative of the row."""
    (gradient,) = gn.gradients(gn.sum(gn.max_pool2d(x, 3, 2, 1) * z), [x])
    return gradient * x


def _torch_gradient_of_a_pool(x: Any, z: Any) -> Any:
    loss = (torch.nn.functional.max_pool2d(x, 3, 2, 1) * z).sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    return gradient * x


_TIES = (((((1.0, 1.0, 0.0, 2.0), (1.0, 1.0, 2.0, 2.0), (0.0, 0.0, -3.0, -3.0), (-0.0, 0.0, -3.0, -3.0)),)),)

CASES = [
    _max_pool2d("2", (2, 3, 6, 4), 2),
    _max_pool2d("odd-size", (2, 2, 7, 5), 2),
    _max_pool2d("1", (1, 1, 3, 3), 1),
    _max_pool2d("kernel-is-input", (2, 2, 3, 4), (3, 4)),
    _max_pool2d("rectangular", (2, 2, 6, 7), (3, 2), (1, 2)),
    _max_pool2d("overlapping", (2, 2, 6, 6), 3, 1),
    _max_pool2d("overlapping-padded", (2, 2, 7, 7), 3, 2, 1),
    _max_pool2d("stride-above-kernel", (2, 2, 8, 9), 2, 3),
    _max_pool2d("padded", (2, 2, 5, 5), 2, 2, 1),
    _max_pool2d("dilation", (2, 2, 7, 8), (2, 3), 1, (0, 1), 2),
    _max_pool2d("dilation-stride", (1, 2, 9, 9), 2, 2, 1, 3),
    _max_pool2d("ceil", (2, 2, 6, 7), 3, 2, 0, 1, True),
    _max_pool2d("ceil-drops-window-outside", (1, 2, 4, 5), 2, 3, 1, 1, True),
    _max_pool2d("ceil-padded", (1, 2, 6, 6), 3, 2, 1, ceil_mode=True),
    _max_pool2d("ceil-small-input", (1, 1, 1, 2), 2, 2, ceil_mode=True),
    _max_pool2d("ties", (1, 1, 4, 4), 2, values=_TIES),
    _max_pool2d("ties-overlapping", (1, 1, 4, 4), 3, 1, 1, values=_TIES),
    _max_pool2d("all-negative-padded", (1, 1, 2, 2), 2, 1, 1, values=((((-5.0, -6.0), (-7.0, -8.0)),),)),
    _max_pool2d(
        "infinite", (1, 1, 2, 4), 2, values=((((-np.inf, -np.inf, 1.0, 2.0), (-np.inf, -np.inf, np.inf, 3.0)),),)
    ),
    Case(
        "max-pool2d-nan",
        lambda x: gn.max_pool2d(x, 2),
        (Arg((1, 1, 2, 4), values=((((1.0, np.nan, 1.0, 2.0), (0.0, 3.0, 5.0, 3.0)),),)),),
        torch=lambda x: torch.nn.functional.max_pool2d(x, 2),
        differentiable=False,
    ),
    Case(
        "max-pool2d-integers",
        lambda x: gn.max_pool2d(x, 3, 2, 1),
        (Arg((2, 2, 5, 5), "int32", -9, -1),),
        torch=lambda x: torch.nn.functional.max_pool2d(x.double(), 3, 2, 1).int(),
        differentiable=False,
    ),
    Case(
        "max-pool2d-gradient",
        _gradient_of_a_pool,
        (Arg((2, 2, 5, 6)), Arg((2, 2, 3, 3))),
        torch=_torch_gradient_of_a_pool,
    ),
    _avg_pool2d("2", (2, 3, 6, 4), 2),
    _avg_pool2d("odd-size", (2, 2, 7, 5), 2),
    _avg_pool2d("kernel-is-input", (2, 2, 3, 4), (3, 4)),
    _avg_pool2d("overlapping-padded", (2, 2, 7, 7), 3, 2, 1),
    _avg_pool2d("padding-not-counted", (2, 2, 7, 7), 3, 2, 1, count_include_pad=False),
    _avg_pool2d("stride-above-kernel", (2, 2, 8, 9), (2, 1), 3),
    _avg_pool2d("ceil", (2, 2, 6, 7), 3, 2, 0, True),
    _avg_pool2d("ceil-padded", (2, 2, 6, 6), 3, 2, 1, True),
    _avg_pool2d("ceil-padding-not-counted", (2, 2, 6, 6), (3, 4), 2, (1, 2), True, False),
    _avg_pool2d("divisor", (2, 2, 6, 6), 3, 2, 1, divisor_override=5),
    _avg_pool2d("divisor-negative", (1, 1, 4, 4), 2, divisor_override=-2),
    Case(
        "max-pool1d",
        lambda x: gn.max_pool1d(x, 3, 2, 1, ceil_mode=True),
        (Arg((2, 3, 8)),),
        torch=lambda x: torch.nn.functional.max_pool1d(x, 3, 2, 1, ceil_mode=True),
    ),
    Case(
        "max-pool1d-dilated",
        lambda x: gn.max_pool1d(x, (2,), dilation=3),
        (Arg((2, 3, 8)),),
        torch=lambda x: torch.nn.functional.max_pool1d(x, 2, dilation=3),
    ),
    Case(
        "avg-pool1d",
        lambda x: gn.avg_pool1d(x, 3, 2, 1, count_include_pad=False),
        (Arg((2, 3, 8)),),
        torch=lambda x: torch.nn.functional.avg_pool1d(x, 3, 2, 1, count_include_pad=False),
    ),
    Case(
        "global-avg-pool2d",
        gn.global_avg_pool2d,
        (Arg((2, 3, 5, 4)),),
        torch=lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 1),
    ),
    _adaptive("even", (2, 2, 6, 4), (3, 2)),
    _adaptive("uneven", (2, 2, 7, 5), (3, 4)),
    _adaptive("one", (2, 3, 4, 5), 1),
    _adaptive("more-windows-than-pixels", (1, 2, 3, 2), (5, 4)),
    _adaptive("keeps-an-axis", (1, 2, 5, 6), (None, 4)),
    Case(
        "upsample",
        lambda x: gn.upsample(x, 2),
        (Arg((2, 3, 3, 4)),),
        torch=lambda x: torch.nn.functional.interpolate(x, scale_factor=2),
    ),
    Case(
        "upsample-pair",
        lambda x: gn.upsample(x, (3, 1)),
        (Arg((1, 2, 2, 3)),),
        torch=lambda x: torch.nn.functional.interpolate(x, scale_factor=(3, 1)),
    ),
    Case(
        "interpolate-size",
        lambda x: gn.interpolate(x, size=(4, 9)),
        (Arg((1, 2, 2, 3)),),
        torch=lambda x: torch.nn.functional.interpolate(x, size=(4, 9)),
    ),
    Case(
        "upsample-integers",
        lambda x: gn.upsample(x, 2),
        (Arg((1, 1, 2, 2), "int64", 0, 9),),
        numpy=lambda x: x.repeat(2, 2).repeat(2, 3),
        differentiable=False,
    ),
]
