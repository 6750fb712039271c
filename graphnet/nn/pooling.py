"""Pooling layers over (N, channels, height, width)."""

from __future__ import annotations

from collections.abc import Sequence

from graphnet.graph.node import Node
from graphnet.nn.arguments import per_axis, refuse
from graphnet.nn.module import Module
from graphnet.ops.pooling import avg_pool2d, max_pool2d
from graphnet.ops.resampling import adaptive_avg_pool2d


class MaxPool2d(Module):
    """The largest element of each window. stride: the kernel size, where not given."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        refuse("MaxPool2d", "return_indices", return_indices, False)
        self.kernel_size = per_axis("MaxPool2d", "kernel_size", kernel_size, 2, least=1)
        self.stride = self.kernel_size if stride is None else per_axis("MaxPool2d", "stride", stride, 2, least=1)
        self.padding = per_axis("MaxPool2d", "padding", padding, 2, least=0)
        self.dilation = per_axis("MaxPool2d", "dilation", dilation, 2, least=1)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, x: Node) -> Node:
        return max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window (the sum by divisor_override, where given). stride: the kernel size, where not given."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = per_axis("AvgPool2d", "kernel_size", kernel_size, 2, least=1)
        self.stride = self.kernel_size if stride is None else per_axis("AvgPool2d", "stride", stride, 2, least=1)
        self.padding = per_axis("AvgPool2d", "padding", padding, 2, least=0)
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: Node) -> Node:
        return avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The mean of as many windows as give `output_size`; 1 is global average pooling."""

    def __init__(self, output_size: int | Sequence[int]) -> None:
        super().__init__()
        self.output_size = per_axis("AdaptiveAvgPool2d", "output_size", output_size, 2, least=1)

    def forward(self, x: Node) -> Node:
        return adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
