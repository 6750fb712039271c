"""Changes to images that keep their meaning: a `DataLoader`'s `transform`, so that no epoch shows the same twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphnet.errors import ArgumentError, ShapeError

Transform = Callable[..., "tuple[np.ndarray, ...]"]


def random_shift(pixels: int) -> Transform:
    """Shifts every image by up to `pixels` along each side, all shifts equally likely; what comes in is zeros.

    The first array of a batch holds the images, (N, ..., height, width); the others stay as they are.
    """
    if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 1:
        raise ArgumentError(f"random_shift: pixels must be a positive integer, got {pixels!r}")

    def shift(rng: np.random.Generator, images: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        if images.ndim < 3:
            raise ShapeError(f"random_shift: images must be (N, ..., height, width), got {images.shape}")
        across = [(0, 0)] * (images.ndim - 2) + [(pixels, pixels)] * 2
        # Every place that an image may be taken from: (N, ..., 2 * pixels + 1, 2 * pixels + 1, height, width).
        places = np.lib.stride_tricks.sliding_window_view(np.pad(images, across), images.shape[-2:], axis=(-2, -1))
        down, right = rng.integers(0, 2 * pixels + 1, (2, len(images)))
        return np.ascontiguousarray(places[np.arange(len(images)), ..., down, right, :, :]), *others

    return shift
