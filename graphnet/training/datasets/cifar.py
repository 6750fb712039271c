"""CIFAR-10 and CIFAR-100 in their binary version: https://www.cs.toronto.edu/~kriz/cifar.html.

A record is a label (for CIFAR-100 two: coarse, fine) and 3,072 bytes: the red, the green and the blue plane of 32 by 32
pixels, row by row. The "python version" is pickles, which run code when they are opened; it is not read here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graphnet.errors import DataError
from graphnet.training.datasets.base import Dataset, Split, pixels_to_floats
from graphnet.training.datasets.files import Path, Source, damaged, opened
from graphnet.training.datasets.tar import members

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_MOST_NAMES = 1 << 16  # bytes of a file of class names


@dataclass(frozen=True)
class Cifar:
    """How a CIFAR lies on disk. labels: the number of classes of each label of a record; the last is the one used."""

    train: tuple[str, ...]
    test: str
    names: str
    folder: str
    archive: str
    labels: tuple[int, ...]

    @property
    def record(self) -> int:
        """Bytes a record."""
        return len(self.labels) + _PIXELS

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files."""
        return (*self.train, self.test, self.names)


CIFAR10 = Cifar(
    tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "batches.meta.txt", "cifar-10-batches-bin",
    "cifar-10-binary.tar.gz", (10,),
)  # fmt: skip
CIFAR100 = Cifar(
    ("train.bin",), "test.bin", "fine_label_names.txt", "cifar-100-binary", "cifar-100-binary.tar.gz", (20, 100)
)


def cifar(kind: Cifar, folder: Path) -> Dataset:
    """A CIFAR from a folder that holds its archive, its unpacked folder, or the files themselves.

    The archive is read member by member; nothing is unpacked to disk. Raises `DataError`, which names the file and the
    byte, for what is missing, cut, too long, or has a label out of range.
    """
    place = os.fspath(folder)
    inner = os.path.join(place, kind.folder)
    for candidate in (inner, place):
        if os.path.lexists(os.path.join(candidate, kind.test)):
            return _dataset(kind, {name: _read_file(kind, os.path.join(candidate, name)) for name in kind.files})
    archive = os.path.join(place, kind.archive)
    if not os.path.lexists(archive):
        raise DataError(f"{place}: has neither {kind.archive} nor a folder {kind.folder} with {kind.test}")
    return _dataset(kind, _read_archive(kind, archive))


def _read_file(kind: Cifar, path: str) -> bytearray:
    """A file of records, or of names; labels are checked, so that the error says the byte."""
    with opened(path) as source:
        content = source.read(source.size, "records")
    _check(kind, os.path.basename(path), content, lambda offset, *rest: damaged(path, offset, *rest))
    return content


def _read_archive(kind: Cifar, path: str) -> dict[str, bytearray]:
    found: dict[str, bytearray] = {}
    with opened(path) as source:
        for name, size in members(source):
            base = name.rpartition("/")[2]
            if base not in kind.files:
                continue
            if base in found:
                damaged(source.place, source.offset, f"one file {base}", "a second")
            begin = source.offset
            found[base] = source.read(size, name)
            _check(kind, base, found[base], _error_in(source, name, begin))
    missing = [name for name in kind.files if name not in found]
    if missing:
        raise DataError(f"{path}: expected {', '.join(kind.files)} inside, found no {', '.join(missing)}")
    return found


def _error_in(source: Source, name: str, begin: int) -> Callable[[int, object, object], None]:
    return lambda offset, *rest: damaged(f"{source.place}, in {name}", begin + offset, *rest)


def _check(kind: Cifar, name: str, content: bytearray, fail: Callable[[int, object, object], None]) -> None:
    if name == kind.names:
        if len(content) > _MOST_NAMES:
            fail(_MOST_NAMES, "the end of a list of names", "more bytes")
        if len(_names(content)) != kind.labels[-1]:
            fail(0, f"{kind.labels[-1]} names of classes", len(_names(content)))
        return
    whole, rest = divmod(len(content), kind.record)
    if rest or not whole:
        fail(whole * kind.record, f"whole records of {kind.record} bytes", f"{rest} bytes and the end of the file")
    records = np.frombuffer(content, np.uint8).reshape(whole, kind.record)
    for column, classes in enumerate(kind.labels):
        wrong = np.flatnonzero(records[:, column] >= classes)
        if wrong.size:
            at = int(wrong[0])
            fail(at * kind.record + column, f"a label from 0 to {classes - 1}", int(records[at, column]))


def _names(content: bytearray) -> tuple[str, ...]:
    return tuple(line.strip() for line in content.decode("ascii", "replace").split("\n") if line.strip())


def _dataset(kind: Cifar, contents: dict[str, bytearray]) -> Dataset:
    classes = _names(contents.pop(kind.names))
    return Dataset(_split(kind, contents, kind.train), _split(kind, contents, (kind.test,)), classes)


def _split(kind: Cifar, contents: dict[str, bytearray], names: tuple[str, ...]) -> Split:
    """The records of these files as arrays; each file's bytes are let go of once they are copied."""
    count = sum(len(contents[name]) for name in names) // kind.record
    images, labels = np.empty((count, *_SHAPE), np.float32), np.empty(count, np.int64)
    begin = 0
    for name in names:
        records = np.frombuffer(contents.pop(name), np.uint8).reshape(-1, kind.record)
        end = begin + len(records)
        pixels_to_floats(records[:, len(kind.labels) :].reshape(-1, *_SHAPE), out=images[begin:end])
        labels[begin:end] = records[:, len(kind.labels) - 1]
        begin = end
    return Split(images, labels)
