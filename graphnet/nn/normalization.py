"""Normalization layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.graph.provenance import UPDATE, acting_as
from graphnet.graph.types import DtypeLike
from graphnet.nn.arguments import flag, float_dtype, fraction, number, positive, sizes
from graphnet.nn.module import Module
from graphnet.ops.layout import expand_dims, squeeze
from graphnet.ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from graphnet.ops.shaping import cast
from graphnet.ops.sources import Parameter, assign, parameter, with_updates


class _Affine(Module):
    """A scale that starts at 1 and a shift that starts at 0, where they are wanted."""

    weight: Parameter | None
    bias: Parameter | None

    def _make_affine(self, shape: tuple[int, ...], affine: bool, bias: bool, kind: np.dtype) -> None:
        self.register_parameter("weight", parameter(np.ones(shape, kind), "weight") if affine else None)
        self.register_parameter("bias", parameter(np.zeros(shape, kind), "bias") if affine and bias else None)


class _ChannelNorm(_Affine):
    """What batch and instance normalization share: channels on axis 1, and running statistics of each."""

    dimensions: ClassVar[tuple[int, ...]]
    running_mean: Parameter | None
    running_var: Parameter | None
    num_batches_tracked: Parameter | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = positive(name, "num_features", num_features)
        self.eps = number(name, "eps", eps, least=0)
        self.momentum = None if momentum is None else fraction(name, "momentum", momentum, "a number or None,")
        self.affine = flag(name, "affine", affine)
        self.track_running_stats = tracks = flag(name, "track_running_stats", track_running_stats)
        kind = float_dtype(name, dtype)
        self._make_affine((num_features,), affine, flag(name, "bias", bias), kind)
        self.register_buffer("running_mean", np.zeros(num_features, kind) if tracks else None)
        self.register_buffer("running_var", np.ones(num_features, kind) if tracks else None)
        self.register_buffer("num_batches_tracked", np.array(0, np.int64) if tracks else None)

    def _check(self, x: Node) -> None:
        if x.ndim not in self.dimensions:
            wanted = " or ".join(map(str, self.dimensions))
            raise ShapeError(f"{type(self).__name__}: expected {wanted} dimensions, got {x.type}")

    def _check_channels(self, x: Node) -> None:
        if x.shape[1] != self.num_features:
            raise ShapeError(f"{type(self).__name__}: expected {self.num_features} channels, got {x.type}")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    """What BatchNorm1d and BatchNorm2d share.

    In training each channel is normalized by its mean and variance over the batch, and the running statistics move
    towards them by `momentum`, together with the step that computes it; with momentum None they are the averages over
    all batches so far. In evaluation they are what normalizes. Ioffe and Szegedy, 2015. The running variance is the
    unbiased one, as in PyTorch.
    """

    def forward(self, x: Node) -> Node:
        self._check(x)
        self._check_channels(x)
        training = self.training or not self.track_running_stats
        mean, var, tracked = self.running_mean, self.running_var, self.num_batches_tracked
        if not self.training or tracked is None:
            momentum = 0.0 if self.momentum is None else self.momentum
            return batch_norm(x, mean, var, self.weight, self.bias, training, momentum, self.eps)
        with acting_as(UPDATE):
            counted = tracked + 1
            moved = 1 / cast(counted, x.dtype) if self.momentum is None else self.momentum
            counting = assign(tracked, counted)
        return with_updates(batch_norm(x, mean, var, self.weight, self.bias, True, moved, self.eps), counting)


class BatchNorm1d(_BatchNorm):
    """Over the batch, (N, C), or over batch and length, (N, C, L)."""

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Over batch, height and width: (N, C, H, W)."""

    dimensions = (4,)


class _InstanceNorm(_ChannelNorm):
    """What InstanceNorm1d and InstanceNorm2d share: each channel of each example on its own. Ulyanov et al., 2016.

    Running statistics, where tracked, move by `momentum` in training (not at all where it is None) and normalize in
    evaluation. As in PyTorch, `num_batches_tracked` is saved with them and stays 0.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)

    def forward(self, x: Node) -> Node:
        self._check(x)
        single = x.ndim == self.dimensions[0]
        batch = expand_dims(x, 0) if single else x
        self._check_channels(batch)
        mean, var = self.running_mean, self.running_var
        own = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        y = instance_norm(batch, mean, var, self.weight, self.bias, own, momentum, self.eps)
        return squeeze(y, 0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """Over the length of (N, C, L), or of one example (C, L)."""

    dimensions = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Over height and width of (N, C, H, W), or of one example (C, H, W)."""

    dimensions = (3, 4)


class LayerNorm(_Affine):
    """Each example normalized over its last axes, `normalized_shape`; weight and bias are of that shape.

    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization", 2016.
    """

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = sizes("LayerNorm", "normalized_shape", normalized_shape)
        self.eps = number("LayerNorm", "eps", eps, least=0)
        self.elementwise_affine = flag("LayerNorm", "elementwise_affine", elementwise_affine)
        kind = float_dtype("LayerNorm", dtype)
        self._make_affine(self.normalized_shape, elementwise_affine, flag("LayerNorm", "bias", bias), kind)

    def forward(self, x: Node) -> Node:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """x / sqrt(mean(x^2) + eps) over the last axes, `normalized_shape`, times weight.

    eps None is the distance from 1 to the next float. B. Zhang and R. Sennrich, "Root Mean Square Layer
    Normalization", 2019.
    """

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = sizes("RMSNorm", "normalized_shape", normalized_shape)
        self.eps = None if eps is None else number("RMSNorm", "eps", eps, least=0)
        self.elementwise_affine = flag("RMSNorm", "elementwise_affine", elementwise_affine)
        ones = np.ones(self.normalized_shape, float_dtype("RMSNorm", dtype))
        self.register_parameter("weight", parameter(ones, "weight") if elementwise_affine else None)

    def forward(self, x: Node) -> Node:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """Each of `num_groups` groups of channels of (N, C, ...) normalized per example; weight and bias are (C,).

    Y. Wu and K. He, "Group Normalization", 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        self.num_groups = positive("GroupNorm", "num_groups", num_groups)
        self.num_channels = positive("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ArgumentError(f"GroupNorm: num_channels={num_channels} must be divisible by num_groups={num_groups}")
        self.eps = number("GroupNorm", "eps", eps, least=0)
        self.affine = flag("GroupNorm", "affine", affine)
        self._make_affine((num_channels,), affine, flag("GroupNorm", "bias", bias), float_dtype("GroupNorm", dtype))

    def forward(self, x: Node) -> Node:
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(f"GroupNorm: expected (N, {self.num_channels}, ...), got {x.type}")
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
