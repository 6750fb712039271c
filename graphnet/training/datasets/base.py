"""What a data set is: a part for training and a part for testing, each a tuple of arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Images (count, channels, height, width), float32 in [0, 1], and their labels (count), int64.

    Of plain arrays they are what the arrays are: any float32 (count, ...), and labels of integers or floats.
    """

    images: np.ndarray
    labels: np.ndarray


class Digits(NamedTuple):
    """Handwritten digits, apart for training and for testing."""

    train: Split
    test: Split


class Dataset(NamedTuple):
    """Examples apart for training and for testing; classes: what the labels stand for, empty where nobody says."""

    train: Split
    test: Split
    classes: tuple[str, ...] = ()


class Windows(NamedTuple):
    """Pieces of a text, (count, length) int64: numbers of characters, and of the characters that come next."""

    tokens: np.ndarray
    targets: np.ndarray


class Text(NamedTuple):
    """Pieces of a text, apart for training and for testing; token i stands for the character `alphabet[i]`."""

    train: Windows
    test: Windows
    alphabet: str


def pixels_to_floats(pixels: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Bytes from 0 to 255 as float32 from 0 to 1, in `out` where it is given."""
    return np.divide(pixels, np.float32(255), out=out, dtype=np.float32)


def apart(images: np.ndarray, labels: np.ndarray, share: float, seed: int) -> tuple[Split, Split]:
    """Examples for training and for testing: `share` of them, at least one, drawn by `seed`."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(labels))
    test, train = np.split(order, [max(1, round(len(order) * share))])
    return Split(images[train], labels[train]), Split(images[test], labels[test])
