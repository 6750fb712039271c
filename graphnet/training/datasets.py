"""Data sets that need no download."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.extras import extra

_TEST_SHARE = 0.2


class Split(NamedTuple):
    """Images (count, 1, height, width), float32 in [0, 1], and their labels (count), int64."""

    images: np.ndarray
    labels: np.ndarray


class Digits(NamedTuple):
    """Handwritten digits, apart for training and for testing."""

    train: Split
    test: Split


def digits(size: int = 28, *, seed: int = 0) -> Digits:
    """1,797 handwritten digits, 8 by 8 pixels, enlarged to `size`; a fifth, drawn by `seed`, is for testing.

    The images come with scikit-learn (`load_digits`): the test part of Alpaydin and Kaynak, "Optical recognition of
    handwritten digits", UCI, 1998. Every pixel becomes a square of size // 8 equal pixels, and black all around fills
    up: for 28, squares of 3 make 24, with a margin of 2, much as MNIST centres its digits.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 8:
        raise ArgumentError(f"digits: size must be an integer >= 8, got {size!r}")
    pixels, labels = extra("sklearn.datasets").load_digits(return_X_y=True)
    images = enlarge((pixels / 16).astype(np.float32).reshape(-1, 8, 8), size)[:, np.newaxis]
    labels = labels.astype(np.int64)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(labels))
    test, train = np.split(order, [round(len(order) * _TEST_SHARE)])
    return Digits(Split(images[train], labels[train]), Split(images[test], labels[test]))


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Square images (count, n, n) as (count, size, size): each pixel repeated size // n times, zeros around."""
    side = images.shape[-1]
    factor = size // side
    big = images.repeat(factor, axis=1).repeat(factor, axis=2)
    before = (size - factor * side) // 2
    after = size - factor * side - before
    return np.pad(big, ((0, 0), (before, after), (before, after)))
