"""Layers without weights that arrange what is there: flattening and its inverse, upsampling, channels and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphnet.errors import ArgumentError, ShapeError
from graphnet.graph.node import Node
from graphnet.graph.types import normalize_axis
from graphnet.nn.arguments import integer, one_of, positive, refuse
from graphnet.nn.module import Module
from graphnet.ops.convolution import as_rows
from graphnet.ops.layout import flatten, squeeze, transpose
from graphnet.ops.resampling import interpolate
from graphnet.ops.shaping import reshape


class Flatten(Module):
    """Axes start_dim to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = integer("Flatten", "start_dim", start_dim)
        self.end_dim = integer("Flatten", "end_dim", end_dim)

    def forward(self, x: Node) -> Node:
        return flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis `dim` as several, of `unflattened_size`, one of which may be -1: the inverse of `Flatten`."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = integer("Unflatten", "dim", dim)
        if not isinstance(unflattened_size, (tuple, list)) or not unflattened_size:
            raise ArgumentError(f"Unflatten: unflattened_size must be a tuple of integers, got {unflattened_size!r}")
        sizes = [integer("Unflatten", "a size", size, least=-1) for size in unflattened_size]
        if sizes.count(-1) > 1:
            raise ArgumentError(f"Unflatten: only one size may be -1, got {unflattened_size!r}")
        self.unflattened_size = type(unflattened_size)(sizes)  # a list is printed as one, as in PyTorch

    def forward(self, x: Node) -> Node:
        axis = normalize_axis(self.dim, x.ndim)
        return reshape(x, (*x.shape[:axis], *self.unflattened_size, *x.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Upsample(Module):
    """Images (N, C, H, W), or sequences (N, C, L), made larger by repeating elements.

    Give `scale_factor`, how many times, or `size`, a whole multiple: one number, or one for each spatial axis.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        refuse("Upsample", "align_corners", align_corners, None, "it is for modes other than nearest")
        refuse("Upsample", "recompute_scale_factor", recompute_scale_factor, None)
        self.mode = one_of("Upsample", "mode", mode, ("nearest",))
        if (size is None) == (scale_factor is None):
            raise ArgumentError(
                f"Upsample: give either size or scale_factor, got size={size!r} and scale_factor={scale_factor!r}"
            )
        for argument, value in (("size", size), ("scale_factor", scale_factor)):
            for each in value if isinstance(value, (tuple, list)) else (value,):
                if each is not None and not _is_whole(each):
                    raise ArgumentError(f"Upsample: {argument} must be whole numbers >= 1, got {value!r}")
        self.size = size
        self.scale_factor: float | tuple[float, ...] | None = None
        if isinstance(scale_factor, (tuple, list)):
            self.scale_factor = tuple(map(float, scale_factor))
        elif scale_factor is not None:
            self.scale_factor = float(scale_factor)  # type: ignore[arg-type]

    def forward(self, x: Node) -> Node:
        if x.ndim not in (3, 4):
            raise ShapeError(f"Upsample: expected 3 or 4 dimensions, got {x.type}")
        size, factor = (self._of_axes(value, x) for value in (self.size, self.scale_factor))
        if x.ndim == 4:
            return interpolate(x, size, factor, self.mode)
        rows = interpolate(as_rows(x), size and (1, *size), factor and (1, *factor), self.mode)
        return squeeze(rows, 2)

    def _of_axes(self, value: Any, x: Node) -> tuple[int, ...] | None:
        """One number for each spatial axis of x."""
        if value is None:
            return None
        values = value if isinstance(value, (tuple, list)) else (value,) * (x.ndim - 2)
        if len(values) != x.ndim - 2:
            raise ShapeError(f"Upsample: {value!r} is not one number for each spatial axis of {x.type}")
        return tuple(map(int, values))

    def extra_repr(self) -> str:
        if self.size is not None:
            return f"size={self.size}, mode={self.mode!r}"
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}"


class PixelShuffle(Module):
    """(..., C * r^2, H, W) to (..., C, H * r, W * r): each r^2 channels become squares of pixels. Shi et al., 2016."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = positive("PixelShuffle", "upscale_factor", upscale_factor)

    def forward(self, x: Node) -> Node:
        r = self.upscale_factor
        if x.ndim < 3 or x.shape[-3] % (r * r) != 0:
            raise ShapeError(f"PixelShuffle: expected (..., channels that {r * r} divides, H, W), got {x.type}")
        *batch, channels, height, width = x.shape
        split = reshape(x, (*batch, channels // (r * r), r, r, height, width))
        n = len(batch)
        mixed = transpose(split, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
        return reshape(mixed, (*batch, channels // (r * r), height * r, width * r))

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(..., C, H * r, W * r) to (..., C * r^2, H, W): the inverse of `PixelShuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = positive("PixelUnshuffle", "downscale_factor", downscale_factor)

    def forward(self, x: Node) -> Node:
        r = self.downscale_factor
        if x.ndim < 3 or any(size % r != 0 for size in x.shape[-2:]):
            raise ShapeError(f"PixelUnshuffle: expected (..., C, H, W), of which {r} divides H and W, got {x.type}")
        *batch, channels, height, width = x.shape
        split = reshape(x, (*batch, channels, height // r, r, width // r, r))
        n = len(batch)
        mixed = transpose(split, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
        return reshape(mixed, (*batch, channels * r * r, height // r, width // r))

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


def _is_whole(value: object) -> bool:
    """Whether a size or factor is a whole number >= 1, as PyTorch takes them: 2 or 2.0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1 and value % 1 == 0
