"""Data for the commands: the bundled digits in a model's shape, arrays and pictures from files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.extras import extra
from graphnet.training.datasets import Digits, Split, digits, enlarge

DATA_SETS = ("digits",)
_SMALL = 8  # pixels a side of the digits as they were scanned


def digits_for(shape: tuple[int, ...]) -> Digits:
    """The digits in the shape (..., height, width) that a model takes. Raises `ArgumentError` where they do not fit."""
    side = math.isqrt(math.prod(shape))
    is_square = side * side == math.prod(shape) and (len(shape) == 1 or shape[-2:] == (side, side))
    if not is_square or side < _SMALL:
        raise ArgumentError(f"digits are square grey images of 8x8 pixels or more; they do not fit inputs of {shape}")
    train, test = digits(side)
    return Digits(*(Split(part.images.reshape(-1, *shape), part.labels) for part in (train, test)))


def read_inputs(paths: Sequence[Path], shape: tuple[int, ...], *, invert: bool) -> tuple[np.ndarray, list[str]]:
    """Examples (count, *shape) in float32 from .npy files and pictures, and a name for each."""
    arrays, names = [], []
    for path in paths:
        if not path.is_file():
            raise ArgumentError(f"there is no input file {str(path)!r}")
        found = _from_npy(path, shape) if path.suffix == ".npy" else _from_picture(path, shape)
        arrays.append(1 - found if invert else found)
        names += [path.name] if len(found) == 1 else [f"{path.name}[{i}]" for i in range(len(found))]
    return np.concatenate(arrays), names


def _from_npy(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ArgumentError(f"{str(path)!r} is not a NumPy file, or a damaged one ({error})") from None
    if array.shape == shape:
        array = array[np.newaxis]
    if array.shape[1:] != shape or not len(array):
        wanted = f"({', '.join(map(str, ('N', *shape)))})"
        raise ArgumentError(f"{str(path)!r} holds an array of shape {array.shape}; the model takes {wanted}")
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"{str(path)!r} holds {array.dtype}; numbers are expected")
    if not np.isfinite(array).all():
        raise ArgumentError(f"{str(path)!r} holds NaN or infinity")
    scale = 255 if array.dtype == np.uint8 else 1
    return (array / scale).astype(np.float32)


def _from_picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A picture as grey values from 0 (black) to 1 (white), its pixels repeated or thinned out to fit the model."""
    try:
        pixels = np.asarray(extra("matplotlib.image").imread(path))
    except (ValueError, SyntaxError, OSError) as error:
        raise ArgumentError(f"{str(path)!r} cannot be read as a picture ({error})") from None
    grey = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    grey = grey[..., :3].mean(axis=-1) if grey.ndim == 3 else grey
    side = math.isqrt(math.prod(shape))
    if side * side != math.prod(shape):
        raise ArgumentError(f"a picture does not fit the model's inputs of {shape}: square grey images are expected")
    if grey.shape == (_SMALL, _SMALL) and side >= _SMALL:
        fitted = enlarge(grey[np.newaxis], side)
    else:
        rows, columns = (np.arange(side) * size // side for size in grey.shape)
        fitted = grey[rows][:, columns]
    return fitted.reshape(1, *shape)
