"""Plain arrays: an .npz file, or a folder of .npy files. Files with pickled objects are refused, never opened."""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
import zipfile
import zlib
from typing import IO, Any, NoReturn

import numpy as np

from graphnet.errors import DataError
from graphnet.training.datasets.base import Dataset, Split, apart, pixels_to_floats
from graphnet.training.datasets.files import EXPANSION, FREE, Path, damaged, entries, opened_file, regular_size

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_UNDIVIDED = ("x", "y")
_PIECE = 1 << 18
_MOST_HEADER = 1 << 14  # NumPy itself reads headers of up to 10,000 bytes


def arrays(path: Path, *, test_share: float = 0.2, seed: int = 0) -> Dataset:
    """Examples and labels by name: x_train, y_train, x_test, y_test; or x and y, of which `test_share` is for testing.

    path: an .npz file with these names, as that of MNIST that comes with Keras, or a folder with a .npy file of each.
    Bytes become floats from 0 to 1, other numbers float32 as they are; bytes of (count, height, width) get an axis for
    their channel, (count, 1, height, width). Labels of integers become int64, floats float32.
    Raises `DataError`, which names the file and, where there is one, the byte, for a file that is damaged or holds
    objects, for names that are missing, and for arrays that do not fit one another.
    """
    name = os.fspath(path)
    found = _folder(name) if os.path.isdir(name) else read_npz(name)
    for names in (_NAMES, _UNDIVIDED):
        if set(names) <= found.keys():
            splits = [_split(name, found, *names[i : i + 2]) for i in range(0, len(names), 2)]
            break
    else:
        expected = "x_train, y_train, x_test and y_test, or x and y"
        raise DataError(f"{name}: expected arrays called {expected}, found {', '.join(sorted(found)) or 'none'}")
    if len(splits) == 1:
        if len(splits[0].labels) < 2:
            raise DataError(f"{name}: one example cannot be for training and for testing")
        return Dataset(*apart(*splits[0], test_share, seed))
    train, test = splits
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(f"{name}: x_train{train.images.shape} and x_test{test.images.shape} differ in more than number")
    return Dataset(train, test)


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file. Raises `DataError` for anything else, objects among it."""
    size = regular_size(path)
    with opened_file(path) as file:
        return _array(file, os.fspath(path), size)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in an .npz file, by name. Raises `DataError` for anything else, objects among it."""
    name, size = os.fspath(path), regular_size(path)
    found: dict[str, np.ndarray] = {}
    with opened_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                room = FREE + EXPANSION * size
                for info in archive.infolist():
                    room -= info.file_size
                    if room < 0:
                        claimed = f"{info.filename}, {info.file_size} bytes"
                        damaged(path, info.header_offset, f"arrays that fit a file of {size} bytes", claimed)
                    with archive.open(info) as member:
                        inner = f"{name}, {info.filename}"
                        found[info.filename.removesuffix(".npy")] = _array(member, inner, info.file_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
            raise DataError(f"{name}: not an .npz file, or a damaged one ({error or 'it ends early'})") from None
        except (OSError, ValueError, UnicodeError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{name}: not an .npz file, or a damaged one ({error})") from None
    return found


def _array(file: IO[bytes], name: str, size: int) -> np.ndarray:
    """The array that begins here and must fill `size` bytes; nothing is allocated before that is certain."""
    head = io.BytesIO(file.read(min(size, _MOST_HEADER)))
    shape, fortran, dtype = _header(head, name)
    begin = head.tell()
    if dtype.hasobject:
        raise DataError(f"{name}: byte {begin}: holds Python objects, which are not read: they can run code")
    if dtype.kind not in "fiub":
        raise DataError(f"{name}: byte {begin}: expected numbers, found {dtype}")
    count = math.prod(shape) * dtype.itemsize
    if begin + count != size:
        damaged(name, begin, f"{count} bytes, {dtype} of shape {shape}", f"{size - begin}")
    content = bytearray(head.read())
    while piece := file.read(min(_PIECE, count - len(content))):
        content += piece
    if len(content) != count:
        damaged(name, begin + len(content), f"{count} bytes of an array", f"the end of the file after {len(content)}")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="), copy=False)


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    formats = np.lib.format
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what NumPy only wonders about is damage, or older than this format
            version = formats.read_magic(file)
            if version == (1, 0):
                shape, fortran, dtype = formats.read_array_header_1_0(file)
            elif version == (2, 0):
                shape, fortran, dtype = formats.read_array_header_2_0(file)
            else:
                raise ValueError(f"version {version} is not read")
    except Exception as error:  # the header is a Python literal: reading it can fail in every way that Python can
        _not_npy(name, error)
    if not all(type(size) is int and size >= 0 for size in shape):
        damaged(name, 0, "sizes of axes", shape)
    return shape, fortran, dtype


def _not_npy(name: str, error: Exception) -> NoReturn:
    raise DataError(f"{name}: byte 0: expected the header of a .npy file, found another or a damaged one ({error})")


def _folder(name: str) -> dict[str, np.ndarray]:
    wanted = {*_NAMES, *_UNDIVIDED}
    files = {entry.name.removesuffix(".npy"): entry.path for entry in entries(name) if entry.name.endswith(".npy")}
    return {key: read_npy(path) for key, path in files.items() if key in wanted}


def _split(name: str, found: dict[str, np.ndarray], inputs: str, targets: str) -> Split:
    x, y = found.pop(inputs), found.pop(targets)
    if not x.ndim or not y.ndim or len(x) != len(y) or not len(x):
        raise DataError(f"{name}: expected as many examples in {inputs} as in {targets}, got {x.shape} and {y.shape}")
    if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind in "iu":
        y = y[:, 0]  # a column of labels, as the CIFAR of Keras has them
    for key, array in ((inputs, x), (targets, y)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise DataError(f"{name}: {key} holds {array[place]} at {place}")
    if x.dtype == np.uint8:
        x = pixels_to_floats(x[:, np.newaxis] if x.ndim == 3 else x)
    wanted = np.float32 if y.dtype.kind == "f" else np.int64
    return Split(x.astype(np.float32, copy=False), y.astype(wanted, copy=False))
