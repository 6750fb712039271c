"""Pooling layers over (N, channels, length) and (N, channels, height, width), or one example of those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.nn.arguments import flag, integer, number, per_axis, refuse
from graphnet.nn.module import Module
from graphnet.nn.unbatched import on_batch
from graphnet.ops.activations import relu
from graphnet.ops.convolution import as_rows
from graphnet.ops.joining import concatenate
from graphnet.ops.layout import squeeze
from graphnet.ops.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from graphnet.ops.powers import power
from graphnet.ops.resampling import adaptive_avg_pool2d, adaptive_windows


class _Pool(Module):
    """What windows have in common; printed, as in PyTorch, as it was written."""

    axes: ClassVar[int]
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None
    padding: int | tuple[int, ...]
    dilation: int | tuple[int, ...]

    def _set_windows(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None,
        padding: int | Sequence[int],
        dilation: int | Sequence[int] = 1,
    ) -> None:
        name = type(self).__name__
        kernel = per_axis(name, "kernel_size", kernel_size, self.axes, least=1)
        steps = kernel if stride is None else per_axis(name, "stride", stride, self.axes, least=1)
        border = per_axis(name, "padding", padding, self.axes, least=0)
        spread = per_axis(name, "dilation", dilation, self.axes, least=1)
        for size, step, around in zip(kernel, spread, border, strict=True):
            if 2 * around > (size - 1) * step + 1:
                raise ArgumentError(f"{name}: padding={padding!r} must be at most half of the kernel's span")
        self.kernel_size = _as_written(kernel_size, kernel)
        self.stride = self.kernel_size if stride is None else _as_written(stride, steps)
        self.padding, self.dilation = _as_written(padding, border), _as_written(dilation, spread)


class _MaxPool(_Pool):
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
        name = type(self).__name__
        refuse(name, "return_indices", return_indices, False)
        self._set_windows(kernel_size, stride, padding, dilation)
        self.ceil_mode = flag(name, "ceil_mode", ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of (N, C, L). stride: the kernel size, where not given."""

    axes = 1

    def forward(self, x: Node) -> Node:
        args = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return on_batch(x, 3, lambda batch: max_pool1d(batch, *args))


class MaxPool2d(_MaxPool):
    """The largest element of each window of (N, C, H, W). stride: the kernel size, where not given."""

    axes = 2

    def forward(self, x: Node) -> Node:
        args = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return on_batch(x, 4, lambda batch: max_pool2d(batch, *args))


class AvgPool1d(_Pool):
    """The mean of each window of (N, C, L). stride: the kernel size, where not given."""

    axes = 1

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self._set_windows(kernel_size, stride, padding)
        self.kernel_size = per_axis("AvgPool1d", "kernel_size", kernel_size, 1, least=1)
        self.stride = self.kernel_size if stride is None else per_axis("AvgPool1d", "stride", stride, 1, least=1)
        self.padding = per_axis("AvgPool1d", "padding", padding, 1, least=0)
        self.ceil_mode = flag("AvgPool1d", "ceil_mode", ceil_mode)
        self.count_include_pad = flag("AvgPool1d", "count_include_pad", count_include_pad)

    def forward(self, x: Node) -> Node:
        args = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return on_batch(x, 3, lambda batch: avg_pool1d(batch, *args))

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_Pool):
    """The mean of each window (the sum by divisor_override, where given). stride: the kernel size, where not given."""

    axes = 2

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
        self._set_windows(kernel_size, stride, padding)
        self.ceil_mode = flag("AvgPool2d", "ceil_mode", ceil_mode)
        self.count_include_pad = flag("AvgPool2d", "count_include_pad", count_include_pad)
        self.divisor_override = divisor_override
        if divisor_override is not None and integer("AvgPool2d", "divisor_override", divisor_override) == 0:
            raise ArgumentError("AvgPool2d: divisor_override must not be 0")

    def forward(self, x: Node) -> Node:
        geometry = (self.kernel_size, self.stride, self.padding)
        rest = (self.ceil_mode, self.count_include_pad, self.divisor_override)
        return on_batch(x, 4, lambda batch: avg_pool2d(batch, *geometry, *rest))

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LPPool2d(_Pool):
    """The p-norm of each window, (sum of x^p)^(1/p) with p = norm_type: 1 is the sum, more comes close to the maximum.

    As in PyTorch, a sum below 0 (an odd p) gives 0.
    """

    axes = 2

    def __init__(
        self,
        norm_type: float,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type = number("LPPool2d", "norm_type", norm_type)
        if self.norm_type <= 0:
            raise ArgumentError(f"LPPool2d: norm_type must be positive, got {norm_type!r}")
        self._set_windows(kernel_size, stride, 0)
        self.stride = None if stride is None else self.stride  # None too is printed as it was written
        self.ceil_mode = flag("LPPool2d", "ceil_mode", ceil_mode)

    def forward(self, x: Node) -> Node:
        return on_batch(x, 4, self._norms)

    def _norms(self, x: Node) -> Node:
        rows, columns = per_axis("LPPool2d", "kernel_size", self.kernel_size, 2, least=1)
        means = avg_pool2d(power(x, self.norm_type), self.kernel_size, self.stride, 0, self.ceil_mode)
        return power(relu(means) * (rows * columns), 1 / self.norm_type)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class AdaptiveAvgPool1d(Module):
    """The mean of as many windows as give `output_size`; 1 is global average pooling, None keeps the length."""

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = _output_size("AdaptiveAvgPool1d", output_size, 1)

    def forward(self, x: Node) -> Node:
        count = self.output_size[0] if isinstance(self.output_size, tuple) else self.output_size
        return on_batch(x, 3, lambda batch: squeeze(adaptive_avg_pool2d(as_rows(batch), (1, count)), 2))

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(Module):
    """The mean of as many windows as give `output_size`; 1 is global average pooling, None keeps an axis."""

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = _output_size("AdaptiveAvgPool2d", output_size, 2)

    def forward(self, x: Node) -> Node:
        return on_batch(x, 4, lambda batch: adaptive_avg_pool2d(batch, self.output_size))

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(Module):
    """The largest element of as many windows as give `output_size`; 1 is global max pooling, None keeps an axis."""

    def __init__(self, output_size: int | Sequence[int | None] | None, return_indices: bool = False) -> None:
        super().__init__()
        refuse("AdaptiveMaxPool2d", "return_indices", return_indices, False)
        self.output_size = _output_size("AdaptiveMaxPool2d", output_size, 2)

    def forward(self, x: Node) -> Node:
        return on_batch(x, 4, self._maxima)

    def _maxima(self, x: Node) -> Node:
        height, width = x.shape[2:]
        if not isinstance(height, int) or not isinstance(width, int) or 0 in (height, width):
            raise ShapeError(f"AdaptiveMaxPool2d: height and width must be numbers >= 1, got {x.type}")
        wanted = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * 2
        rows, columns = height if wanted[0] is None else wanted[0], width if wanted[1] is None else wanted[1]
        if height % rows == 0 and width % columns == 0:
            return max_pool2d(x, (height // rows, width // columns))
        across = adaptive_windows(width, columns)
        strips = [
            [max_pool2d(x[:, :, top:bottom, left:right], (bottom - top, right - left)) for left, right in across]
            for top, bottom in adaptive_windows(height, rows)
        ]
        return concatenate([concatenate(strip, axis=3) for strip in strips], axis=2)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


def _output_size(
    layer: str, value: int | Sequence[int | None] | None, axes: int
) -> int | tuple[int | None, ...] | None:
    """`value`, where it is an integer >= 1, None, or one of these for each axis."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    good = all(n is None or (isinstance(n, int) and not isinstance(n, bool) and n >= 1) for n in values)
    if len(values) != axes or not good:
        several = f", or {axes} of them" if axes > 1 else ""
        raise ArgumentError(f"{layer}: output_size must be an integer >= 1 or None{several}, got {value!r}")
    return tuple(value) if isinstance(value, (tuple, list)) else value  # type: ignore[return-value]


def _as_written(value: int | Sequence[int], axes: tuple[int, ...]) -> int | tuple[int, ...]:
    """The checked numbers, one an axis, as one number where one was given."""
    return axes if isinstance(value, (tuple, list)) else axes[0]
