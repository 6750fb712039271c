"""Batch normalization layers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.graph.provenance import UPDATE, acting_as
from graphnet.graph.types import DtypeLike
from graphnet.nn.linear import float_dtype, positive
from graphnet.nn.module import Module
from graphnet.ops.normalization import batch_norm
from graphnet.ops.sources import Parameter, assign, parameter, with_updates


class _BatchNorm(Module):
    """What BatchNorm1d and BatchNorm2d share.

    In training each channel is normalized by its mean and variance over the batch, and the running statistics move
    towards them by `momentum`, together with the step that computes it; in evaluation they are what normalizes.
    Ioffe and Szegedy, 2015. The running variance is the unbiased one, as in PyTorch.
    """

    dimensions: ClassVar[tuple[int, ...]]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Parameter | None
    running_var: Parameter | None
    num_batches_tracked: Parameter | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = positive(name, "num_features", num_features)
        kind = float_dtype(name, dtype)
        if isinstance(momentum, bool) or not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            why = " (the cumulative average of PyTorch's None is not supported)" if momentum is None else ""
            raise ArgumentError(f"{name}: momentum must be a number in [0, 1], got {momentum!r}{why}")
        if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not eps >= 0:
            raise ArgumentError(f"{name}: eps must be a number >= 0, got {eps!r}")
        self.eps, self.momentum = float(eps), float(momentum)
        self.affine, self.track_running_stats = bool(affine), bool(track_running_stats)
        ones, zeros = np.ones(num_features, kind), np.zeros(num_features, kind)
        self.register_parameter("weight", parameter(ones, "weight") if affine else None)
        self.register_parameter("bias", parameter(zeros, "bias") if affine and bias else None)
        self.register_buffer("running_mean", zeros if track_running_stats else None)
        self.register_buffer("running_var", ones if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.array(0, np.int64) if track_running_stats else None)

    def forward(self, x: Node) -> Node:
        if x.ndim not in self.dimensions:
            wanted = " or ".join(map(str, self.dimensions))
            raise ShapeError(f"{type(self).__name__}: expected {wanted} dimensions, got {x.type}")
        if x.shape[1] != self.num_features:
            raise ShapeError(f"{type(self).__name__}: expected {self.num_features} channels, got {x.type}")
        training = self.training or not self.track_running_stats
        y = batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, self.momentum, self.eps
        )
        if self.training and self.num_batches_tracked is not None:
            with acting_as(UPDATE):
                counted = assign(self.num_batches_tracked, self.num_batches_tracked + 1)
            return with_updates(y, counted)
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Over the batch, (N, C), or over batch and length, (N, C, L)."""

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Over batch, height and width: (N, C, H, W)."""

    dimensions = (4,)
