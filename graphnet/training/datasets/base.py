"""What a data set is: a part for training and a part for testing, each a tuple of arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Images (count, channels, height, width), float32 in [0, 1], and their labels (count), int64."""

    images: np.ndarray
    labels: np.ndarray


class Digits(NamedTuple):
    """Handwritten digits, apart for training and for testing."""

    train: Split
    test: Split


class Windows(NamedTuple):
    """Pieces of a text, (count, length) int64: numbers of characters, and of the characters that come next."""

    tokens: np.ndarray
    targets: np.ndarray


class Text(NamedTuple):
    """Pieces of a text, apart for training and for testing; token i stands for the character `alphabet[i]`."""

    train: Windows
    test: Windows
    alphabet: str
