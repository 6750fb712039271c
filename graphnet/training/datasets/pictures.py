"""Folders of pictures, one folder a class."""

from __future__ import annotations

import io
import os
import warnings

import numpy as np

from graphnet.errors import ArgumentError, DataError
from graphnet.extras import extra
from graphnet.training.datasets.base import Dataset, Split, apart, pixels_to_floats
from graphnet.training.datasets.files import EXPANSION, FREE, Path, damaged, entries, read_bytes

_GREY = {"1", "L", "LA"}
_COLOURED = {"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}


def image_folder(
    root: Path, *, size: int | tuple[int, int] | None = None, channels: int | None = None, test_share: float = 0.2,
    seed: int = 0,
) -> Dataset:  # fmt: skip
    """The pictures root/CLASS/NAME, in any format that Pillow reads; classes are the folders' names, sorted.

    Where `root` has no folders but "train" and "test", each holds folders of classes, the same ones; else `test_share`
    of the pictures, drawn by `seed`, is for testing. size: a side, or (height, width), to which every picture is
    resized (bilinear); without it all must have the first one's. channels: 1 (grey) or 3 (red, green, blue); without
    it as the first picture has. What is transparent is not: its colour counts. Hidden files are left out.
    Raises `DataError`, which names the file, for what is no picture, is damaged, of another size, or has far more
    pixels than a file of its size holds.
    """
    shape = _shape(size)
    if channels not in (None, 1, 3):
        raise ArgumentError(f"image_folder: channels must be 1 or 3, got {channels!r}")
    if not 0 < test_share < 1:
        raise ArgumentError(f"image_folder: test_share must be between 0 and 1, got {test_share!r}")
    inside = [entry.name for entry in entries(root)]
    if inside == ["test", "train"]:
        folders = [os.path.join(os.fspath(root), part) for part in ("train", "test")]
    else:
        folders = [os.fspath(root)]
    classes = _classes(folders[0])
    for folder in folders[1:]:
        if _classes(folder) != classes:
            raise DataError(f"{folder}: expected the classes of {folders[0]}, {classes}, found {_classes(folder)}")
    parts = []
    for folder in folders:
        split, shape, channels = _read(folder, classes, shape, channels)
        parts.append(split)
    if len(parts) == 1:
        if len(parts[0].labels) < 2:
            raise DataError(f"{folders[0]}: one picture cannot be for training and for testing")
        parts = list(apart(*parts[0], test_share, seed))
    return Dataset(parts[0], parts[1], classes)


def read_picture(path: Path, channels: int | None = None, shape: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of a picture, (channels, height, width) in bytes; as it is, or of these channels and this shape."""
    content = read_bytes(path)  # Pillow would allocate what a chunk claims to hold
    name = os.fspath(path)
    images = extra("PIL.Image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's about size: what may be is decided here
            with images.open(io.BytesIO(content)) as picture:
                width, height = picture.size
                if 4 * width * height > FREE + EXPANSION * len(content):
                    fits = f"a picture that fits a file of {len(content)} bytes"
                    damaged(name, 0, fits, f"{width} by {height} pixels")
                if picture.mode not in _GREY | _COLOURED:
                    raise DataError(f"{name}: expected a picture of 8 bits a channel, found the mode {picture.mode}")
                if channels is None:
                    channels = 1 if picture.mode in _GREY else 3
                pixels = picture.convert("L" if channels == 1 else "RGB")
                if shape is not None and shape != (height, width):
                    pixels = pixels.resize(shape[::-1], images.Resampling.BILINEAR)
                array = np.asarray(pixels)
    except DataError:
        raise
    except Exception as error:  # Pillow's readers fail in many ways on damaged files, with no common base
        reason = "no format that Pillow knows" if type(error).__name__ == "UnidentifiedImageError" else error
        raise DataError(f"{name}: cannot be read as a picture: {reason}") from None
    return array[np.newaxis] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _read(
    folder: str, classes: tuple[str, ...], shape: tuple[int, int] | None, channels: int | None
) -> tuple[Split, tuple[int, int], int]:
    """All pictures of a folder of classes, with the size and the channels that they have."""
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    first = ""
    resized = shape
    for label, name in enumerate(classes):
        for entry in entries(os.path.join(folder, name)):
            found = read_picture(entry.path, channels, resized)
            first = first or entry.path
            shape = shape or (found.shape[1], found.shape[2])
            channels = found.shape[0]
            if found.shape[1:] != shape:
                wanted = f"{shape[0]} by {shape[1]} pixels as {first} has, or a `size` to resize to"
                raise DataError(f"{entry.path}: expected {wanted}, found {found.shape[1]} by {found.shape[2]}")
            pixels.append(found)
            labels.append(label)
    if shape is None or channels is None or not pixels:
        raise DataError(f"{folder}: expected pictures in the folders of its classes, found none")
    return Split(pixels_to_floats(np.stack(pixels)), np.array(labels, np.int64)), shape, channels


def _classes(folder: str) -> tuple[str, ...]:
    found = entries(folder)
    for entry in found:
        if not os.path.isdir(entry.path):
            raise DataError(f"{entry.path}: expected a folder of pictures, one for each class, found a file")
    if not found:
        raise DataError(f"{folder}: expected folders of pictures, one for each class, found none")
    return tuple(entry.name for entry in found)


def _shape(size: object) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else size
    if isinstance(sides, (tuple, list)) and len(sides) == 2:
        height, width = sides
        if all(type(side) is int and 0 < side < 1 << 15 for side in (height, width)):
            return height, width
    raise ArgumentError(f"image_folder: size must be a positive integer, or two, got {size!r}")
