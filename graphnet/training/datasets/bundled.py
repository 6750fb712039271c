"""Handwritten digits that need no download."""

from __future__ import annotations

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.extras import extra
from graphnet.training.datasets.base import Digits, Split

_TEST_SHARE = 0.2


def digits(size: int = 28, *, seed: int = 0) -> Digits:
    """1,797 handwritten digits, 8 by 8 pixels, enlarged to `size`; a fifth, drawn by `seed`, is for testing.

    The images come with scikit-learn (`load_digits`): the test part of Alpaydin and Kaynak, "Optical recognition of
    handwritten digits", UCI, 1998. They are enlarged as `enlarge` says, to 20 by 20 pixels in the middle of 28 by 28.
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
    """Square images (count, n, n) as (count, size, size): enlarged to 5/7 of `size`, with zeros around.

    That is 20 of 28, MNIST's proportion. Between pixel centres the interpolation is bilinear; what lies outside the
    outermost centres is as the nearest of them: `torch.nn.functional.interpolate` with mode="bilinear".
    """
    side = images.shape[-1]
    inner = max(side, size * 5 // 7)
    places = ((np.arange(inner) + 0.5) * side / inner - 0.5).clip(0, side - 1)
    # Row i holds how much of each old pixel goes into new pixel i; the same matrix serves rows and columns.
    weights = np.maximum(0.0, 1.0 - np.abs(places[:, np.newaxis] - np.arange(side)))
    before = (size - inner) // 2
    margin = (before, size - inner - before)
    return np.pad((weights @ images @ weights.T).astype(images.dtype), ((0, 0), margin, margin))
