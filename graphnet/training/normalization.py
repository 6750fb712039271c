"""Inputs moved and scaled by what the training part is like: the mean image, or mean and deviation of each channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError, DataError, ShapeError

KINDS = ("mean-image", "per-channel")
_EXAMPLES = 1024  # whose sums are taken at a time


@dataclass(frozen=True, eq=False)
class Normalization:
    """(images - mean) / deviation, in float32.

    shape: of one image, (channels, ...). mean, deviation: float32, of that shape or (channels, 1, ...). Made by `fit`
    from training images, and applied as it is to all others.
    """

    kind: str
    shape: tuple[int, ...]
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, images: np.ndarray, kind: str) -> Normalization:
        """What `images` (N, channels, ...), the training part, are like.

        "mean-image" takes the mean of each pixel away; "per-channel" the mean of each channel, and divides by its
        standard deviation (by 1 where it is 0). Sums are taken in float64.
        """
        if kind not in KINDS:
            raise ArgumentError(f"Normalization: expected one of {', '.join(KINDS)}, got {kind!r}")
        if not isinstance(images, np.ndarray) or images.ndim < 2 or not images.size or images.dtype.kind not in "fiub":
            shown = f"{images.dtype}{images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
            raise ShapeError(f"Normalization: images must be (N, channels, ...), got {shown}")
        shape = images.shape[1:]
        across = () if kind == "mean-image" else tuple(range(1, len(shape)))
        mean = _mean(images, across, lambda part: part)
        deviation = np.ones_like(mean)
        if kind == "per-channel":
            deviation = np.sqrt(_mean(images, across, lambda part: np.square(part - mean)))
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise DataError("Normalization: images hold NaN or infinity")
        deviation = np.where(deviation.astype(np.float32) > 0, deviation, 1)
        return cls(kind, shape, mean.astype(np.float32), deviation.astype(np.float32))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images (N, *shape), normalized. Raises `ShapeError` for those of another shape."""
        if images.shape[1:] != self.shape:
            raise ShapeError(f"Normalization: fitted to images of {self.shape}, got {images.shape[1:]}")
        return ((images - self.mean) / self.deviation).astype(np.float32, copy=False)

    def to_json(self) -> dict[str, Any]:
        """All of it in lists and numbers, exactly."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "mean": self.mean.ravel().tolist(),
            "deviation": self.deviation.ravel().tolist(),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Normalization:
        """What `to_json` gave. Raises `DataError` for anything else."""
        try:
            kind, shape = saved["kind"], tuple(int(size) for size in saved["shape"])
            own = shape if kind == "mean-image" else (shape[0], *[1] * (len(shape) - 1))
            arrays = [np.array(saved[name], np.float32) for name in ("mean", "deviation")]
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"what is saved is no normalization ({error!r})") from None
        fits = kind in KINDS and all(array.shape == (math.prod(own),) for array in arrays)
        if not fits or not all(np.isfinite(array).all() for array in arrays) or not (arrays[1] > 0).all():
            raise DataError(f"what is saved is no normalization of kind {kind!r} and shape {shape}")
        return cls(kind, shape, *(array.reshape(own) for array in arrays))


def _mean(images: np.ndarray, across: tuple[int, ...], of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The mean over examples and axes `across` (of one image), which stay with a size of 1, of what `of` makes."""
    total: Any = 0.0
    for begin in range(0, len(images), _EXAMPLES):
        part = of(images[begin : begin + _EXAMPLES].astype(np.float64))
        if across:
            part = part.mean(axis=tuple(axis + 1 for axis in across), keepdims=True)
        total = total + part.sum(axis=0)
    return np.asarray(total / len(images))
