"""Rows for convolution, its transpose, and the columns it is computed from."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphnet as gn
from graphnet.graph.node import Node
from graphnet.ops.windows import Col2im, Im2col
from tests.ops.case import Arg, Case, torch


def _conv2d(name: str, x: tuple[int, ...], w: tuple[int, ...], bias: bool = False, **options: Any) -> Case:
    args = (Arg(x), Arg(w), *([Arg((w[0],))] if bias else []))
    return Case(
        f"conv2d-{name}",
        lambda *nodes: gn.conv2d(*nodes, **options),
        args,
        torch=lambda *tensors: torch.nn.functional.conv2d(*tensors, **options),
        tolerance32=1e-4,
    )


def _per_side(name: str, x: tuple[int, ...], w: tuple[int, ...], padding: Any, mode: str, **options: Any) -> Case:
    """Padding per side, or by a mode: torch pads first."""
    (top, bottom), (left, right) = padding
    torch_mode = "constant" if mode == "zeros" else mode
    return Case(
        f"conv2d-{name}",
        lambda a, b: gn.conv2d(a, b, padding=padding, padding_mode=mode, **options),
        (Arg(x), Arg(w)),
        torch=lambda a, b: torch.nn.functional.conv2d(
            torch.nn.functional.pad(a, (left, right, top, bottom), mode=torch_mode), b, **options
        ),
        tolerance32=1e-4,
    )


def _conv_transpose2d(name: str, x: tuple[int, ...], w: tuple[int, ...], bias: int = 0, **options: Any) -> Case:
    args = (Arg(x), Arg(w), *([Arg((bias,))] if bias else []))
    return Case(
        f"conv-transpose2d-{name}",
        lambda *nodes: gn.conv_transpose2d(*nodes, **options),
        args,
        torch=lambda *tensors: torch.nn.functional.conv_transpose2d(*tensors, **options),
        tolerance32=1e-4,
    )


def _conv1d(name: str, x: tuple[int, ...], w: tuple[int, ...], bias: bool = False, **options: Any) -> Case:
    args = (Arg(x), Arg(w), *([Arg((w[0],))] if bias else []))
    return Case(
        f"conv1d-{name}",
        lambda *nodes: gn.conv1d(*nodes, **options),
        args,
        torch=lambda *tensors: torch.nn.functional.conv1d(*tensors, **options),
        tolerance32=1e-4,
    )


def _batch_last(x: Node) -> Node:
    return gn.transpose(x, (1, 2, 3, 0))


def _numpy_columns(x: np.ndarray) -> np.ndarray:
    """The columns of (C, H, W, N) for a kernel (2, 3), stride (2, 1), padding ((1, 0), (0, 2)), dilation (1, 2)."""
    padded = np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)))
    channels, height, width, batch = padded.shape
    windows = [(h, w) for h in range(0, height - 1, 2) for w in range(width - 4)]
    taps = [(c, i, j) for c in range(channels) for i in range(2) for j in range(0, 6, 2)]
    rows = [[padded[c, h + i, w + j, n] for h, w in windows for n in range(batch)] for c, i, j in taps]
    return np.array(rows)


_IM2COL = Im2col((2, 3), (2, 1), ((1, 0), (0, 2)), (1, 2))

CASES = [
    _conv2d("plain", (2, 3, 5, 6), (4, 3, 3, 3)),
    _conv2d("bias", (2, 3, 5, 5), (4, 3, 3, 3), bias=True),
    _conv2d("1x1", (2, 3, 4, 4), (5, 3, 1, 1), bias=True),
    _conv2d("one-of-everything", (1, 1, 1, 1), (1, 1, 1, 1)),
    _conv2d("kernel-is-input", (2, 2, 4, 5), (3, 2, 4, 5)),
    _conv2d("rectangular-kernel", (2, 2, 6, 5), (3, 2, 2, 4), padding=(1, 2)),
    _conv2d("stride-2-padding-1", (2, 3, 7, 6), (4, 3, 3, 3), stride=2, padding=1),
    _conv2d("stride-above-kernel", (2, 2, 9, 8), (3, 2, 2, 2), stride=(4, 3)),
    _conv2d("stride-leaves-rows-unseen", (1, 1, 8, 9), (1, 1, 3, 3), stride=3),
    _conv2d("padding-above-kernel", (1, 2, 3, 3), (2, 2, 2, 2), padding=3),
    _conv2d("dilation", (2, 2, 7, 9), (3, 2, 3, 2), dilation=(2, 3), padding=(1, 2)),
    _conv2d("dilation-stride", (2, 1, 9, 9), (2, 1, 3, 3), dilation=2, stride=2, padding=2),
    _conv2d("groups", (2, 4, 5, 5), (6, 2, 3, 3), groups=2, bias=True),
    _conv2d("groups-stride-dilation", (2, 6, 7, 8), (3, 2, 2, 3), groups=3, stride=(2, 1), dilation=(1, 2), padding=1),
    _conv2d("depthwise", (2, 4, 5, 5), (4, 1, 3, 3), groups=4, padding=1),
    _conv2d("depthwise-multiplier", (2, 3, 5, 5), (6, 1, 3, 3), groups=3, bias=True),
    _conv2d("valid", (2, 2, 5, 5), (3, 2, 3, 3), padding="valid"),
    _conv2d("same", (2, 2, 5, 6), (3, 2, 3, 5), padding="same"),
    _conv2d("same-dilated", (1, 2, 5, 6), (2, 2, 3, 2), padding="same", dilation=2),
    _per_side("same-even", (1, 2, 5, 6), (2, 2, 2, 4), ((0, 1), (1, 2)), "zeros"),
    _per_side("per-side", (2, 2, 4, 5), (3, 2, 3, 3), ((2, 0), (0, 1)), "zeros", stride=2),
    _per_side("reflect", (2, 2, 5, 5), (3, 2, 3, 3), ((1, 2), (2, 0)), "reflect"),
    _per_side("replicate", (2, 2, 4, 5), (3, 2, 3, 3), ((1, 1), (2, 2)), "replicate", stride=2),
    _per_side("circular", (2, 4, 4, 5), (4, 2, 3, 3), ((1, 1), (2, 2)), "circular", groups=2),
    _conv1d("plain", (2, 3, 8), (4, 3, 3), bias=True),
    _conv1d("options", (2, 4, 9), (6, 2, 3), stride=2, padding=2, dilation=2, groups=2),
    _conv1d("same", (1, 2, 7), (2, 2, 5), padding="same"),
    _conv_transpose2d("plain", (2, 3, 4, 5), (3, 2, 3, 3), bias=2),
    _conv_transpose2d("stride-2", (2, 3, 3, 4), (3, 2, 2, 2), stride=2),
    _conv_transpose2d("output-padding", (2, 2, 3, 4), (2, 3, 3, 3), stride=(2, 3), padding=1, output_padding=(1, 2)),
    _conv_transpose2d("output-padding-dilated", (1, 2, 4, 4), (2, 1, 2, 3), padding=1, output_padding=1, dilation=3),
    _conv_transpose2d("groups", (2, 4, 3, 3), (4, 3, 3, 2), bias=6, stride=2, padding=1, groups=2),
    Case(
        "im2col",
        lambda x: _IM2COL(x),
        (Arg((2, 5, 6, 3)),),
        numpy=_numpy_columns,
    ),
    Case(
        "im2col-of-a-transposed-batch",
        lambda x: Im2col((3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))(_batch_last(x)),
        (Arg((2, 3, 4, 5)),),
        torch=lambda x: (
            torch.nn.functional.unfold(x, (3, 2)).permute(1, 2, 0).reshape(18, -1)  # (N, C*k, windows) in torch
        ),
    ),
    Case(
        "col2im",
        lambda c: Col2im((2, 2), (1, 2), ((1, 1), (0, 1)), (1, 1), (3, 4, 5, 2))(c),
        (Arg((12, 5 * 3 * 2)),),
        torch=lambda c: torch.nn.functional.fold(
            # fold pads both sides alike: on an image a column wider, whose last column is then dropped.
            c.reshape(12, 15, 2).permute(2, 0, 1),
            (4, 6),
            (2, 2),
            padding=(1, 0),
            stride=(1, 2),
        ).permute(1, 2, 3, 0)[:, :, :5],
    ),
]
