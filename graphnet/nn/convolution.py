"""Convolution layers: (N, channels, *spatial) or one example of it, weights (out, in // groups, *kernel)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.graph.types import DtypeLike
from graphnet.nn.arguments import one_of, per_axis, positive, refuse
from graphnet.nn.linear import make_weight_and_bias
from graphnet.nn.module import Module
from graphnet.nn.unbatched import on_batch
from graphnet.ops.convolution import conv1d, conv2d, conv_transpose2d
from graphnet.ops.sources import Parameter

_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What Conv1d and Conv2d share: arguments, initial values, printing."""

    axes: ClassVar[int]
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels = positive(name, "in_channels", in_channels)
        self.out_channels = positive(name, "out_channels", out_channels)
        self.groups = positive(name, "groups", groups)
        _check_groups(name, in_channels, out_channels, groups)
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.axes, least=1)
        self.stride = per_axis(name, "stride", stride, self.axes, least=1)
        self.dilation = per_axis(name, "dilation", dilation, self.axes, least=1)
        self.padding = padding if isinstance(padding, str) else per_axis(name, "padding", padding, self.axes, least=0)
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ArgumentError(f"{name}: padding must be 'same', 'valid' or numbers, got {padding!r}")
        if padding == "same" and self.stride != (1,) * self.axes:
            raise ArgumentError(f"{name}: padding='same' needs stride 1, got stride={stride!r}")
        self.padding_mode = one_of(name, "padding_mode", padding_mode, _MODES)
        make_weight_and_bias(self, (out_channels, in_channels // groups, *self.kernel_size), bias, dtype)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.axes:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.axes:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class Conv1d(_Convolution):
    """Cross-correlation over one spatial axis: (N, C, L) to (N, F, L')."""

    axes = 1

    def forward(self, x: Node) -> Node:
        padding = self.padding if isinstance(self.padding, str) else self.padding[0]
        (stride,), (dilation,) = self.stride, self.dilation
        args = (stride, padding, dilation, self.groups, self.padding_mode)
        return on_batch(x, 3, lambda batch: conv1d(batch, self.weight, self.bias, *args))


class Conv2d(_Convolution):
    """Cross-correlation over two spatial axes: (N, C, H, W) to (N, F, H', W')."""

    axes = 2

    def forward(self, x: Node) -> Node:
        args = (self.stride, self.padding, self.dilation, self.groups, self.padding_mode)
        return on_batch(x, 4, lambda batch: conv2d(batch, self.weight, self.bias, *args))


class ConvTranspose2d(Module):
    """The transposed convolution, (N, C, H, W) to (N, F, H', W'): the gradient of a `Conv2d` by its input.

    weight is (in, out // groups, *kernel). It makes an image larger by `stride`; `output_padding` adds rows below and
    columns to the right.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        *,
        dtype: DtypeLike = "float32",
    ) -> None:
        super().__init__()
        name = "ConvTranspose2d"
        self.in_channels = positive(name, "in_channels", in_channels)
        self.out_channels = positive(name, "out_channels", out_channels)
        self.groups = positive(name, "groups", groups)
        _check_groups(name, in_channels, out_channels, groups)
        refuse(name, "padding_mode", padding_mode, "zeros", "as in PyTorch")
        self.padding_mode = padding_mode
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, 2, least=1)
        self.stride = per_axis(name, "stride", stride, 2, least=1)
        self.padding = per_axis(name, "padding", padding, 2, least=0)
        self.output_padding = per_axis(name, "output_padding", output_padding, 2, least=0)
        self.dilation = per_axis(name, "dilation", dilation, 2, least=1)
        for more, step, spread in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if more >= max(step, spread):
                raise ArgumentError(
                    f"{name}: output_padding must be below the stride or the dilation, got {output_padding!r} "
                    f"for stride={stride!r} and dilation={dilation!r}"
                )
        make_weight_and_bias(self, (in_channels, out_channels // groups, *self.kernel_size), bias, dtype, out_channels)

    def forward(self, x: Node) -> Node:
        args = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return on_batch(x, 4, lambda batch: conv_transpose2d(batch, self.weight, self.bias, *args))

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.output_padding != (0, 0):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else f"{text}, bias=False"


def _check_groups(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    for argument, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ArgumentError(f"{name}: {argument}={channels} must be divisible by groups={groups}")
