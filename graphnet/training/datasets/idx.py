"""IDX, the format of MNIST: http://yann.lecun.com/exdb/mnist/, "File formats for the MNIST database".

Two zero bytes, a byte for the type of the numbers, one for the number of axes, the sizes (32 bits each, the most
significant byte first), then the numbers, the last axis running fastest.
"""

from __future__ import annotations

import math
import os

import numpy as np

from graphnet.errors import DataError
from graphnet.training.datasets.base import Dataset, Split, pixels_to_floats
from graphnet.training.datasets.files import Path, damaged, opened

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_AXES = 8
_HEADER = 4


def read_idx(path: Path, *, axes: int | None = None) -> np.ndarray:
    """The array in an IDX file, which may be in gzip, in this machine's byte order.

    axes: how many it must have; then the numbers must be unsigned bytes, as images (3) and labels (1) are.
    Raises `DataError`, which names the file and the byte, for a file that is not such a one, is cut, or goes on after
    the array. No more memory is taken than the file's size allows (see `files`).
    """
    with opened(path) as source:
        magic = source.read(_HEADER, "the header of an IDX file")
        dtype = _DTYPES.get(magic[2])
        if axes is not None and magic != bytes([0, 0, 8, axes]):
            damaged(path, 0, f"0x{0x800 + axes:08x}, bytes along {axes} axes in IDX", f"0x{magic.hex()}")
        if magic[:2] != b"\0\0" or dtype is None or not 0 < magic[3] <= _MOST_AXES:
            damaged(path, 0, "0x0000, a type and a number of axes: an IDX file", f"0x{magic.hex()}")
        shape = tuple(np.frombuffer(source.read(4 * magic[3], "sizes of axes"), ">u4").tolist())
        if not math.prod(shape):
            damaged(path, _HEADER, "sizes of at least 1", shape)
        count = math.prod(shape) * np.dtype(dtype).itemsize
        content = source.read(count, f"an array of shape {shape}")
        source.end()
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def mnist_like(folder: Path, classes: tuple[str, ...], side: int = 28) -> Dataset:
    """The four files of MNIST, or of a set made like it, from a folder; unpacked or as .gz.

    Raises `DataError` where one is missing or damaged, images are not `side` by `side`, or images and labels do not
    fit one another.
    """
    train, test = (_part(folder, part, len(classes), side) for part in ("train", "t10k"))
    return Dataset(train, test, classes)


def _part(folder: Path, part: str, classes: int, side: int) -> Split:
    images_path, labels_path = find(folder, f"{part}-images-idx3-ubyte"), find(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, axes=3), read_idx(labels_path, axes=1)
    if images.shape[1:] != (side, side):
        found = f"{images.shape[1]} by {images.shape[2]}"
        damaged(images_path, _HEADER + 4, f"images of {side} by {side} pixels", found)
    if len(images) != len(labels):
        damaged(labels_path, _HEADER, f"{len(images)} labels, one for each image of {images_path}", len(labels))
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        damaged(labels_path, _HEADER + 4 + int(wrong[0]), f"a label from 0 to {classes - 1}", int(labels[wrong[0]]))
    return Split(pixels_to_floats(images[:, np.newaxis]), labels.astype(np.int64))


def find(folder: Path, name: str) -> str:
    """The file called `name`, or with a dot before "idx" as some call it, with or without .gz."""
    forms = [name, name.replace("-idx", ".idx")]
    for form in (*forms, *(f"{form}.gz" for form in forms)):
        path = os.path.join(os.fspath(folder), form)
        if os.path.lexists(path):
            return path
    raise DataError(f"{os.fspath(folder)}: has no file {name} or {name}.gz")
