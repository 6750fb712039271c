"""Files as they are: opened with one clear error for whatever is in the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NoReturn

from graphnet.errors import DataError

_KINDS = {stat.S_ISDIR: "a directory", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket",
          stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}  # fmt: skip


def damaged(path: str | os.PathLike[str], offset: int, expected: object, found: object) -> NoReturn:
    """Raise the `DataError` that says where a file is not what it should be."""
    raise DataError(f"{os.fspath(path)}: byte {offset}: expected {expected}, found {found}")


def regular_size(path: str | os.PathLike[str]) -> int:
    """The size in bytes of the file at `path`. Raises `DataError` unless it is an ordinary file, and not empty."""
    name = os.fspath(path)
    try:
        status = os.stat(path)
    except OSError as error:  # a loop of links is one, and so is a name too long
        raise DataError(f"{name}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null character in the name
        raise DataError(f"{name!r}: cannot be read: {error}") from None
    for test, kind in _KINDS.items():
        if test(status.st_mode):
            raise DataError(f"{name}: expected a file, found {kind}")
    if not status.st_size:
        damaged(name, 0, "data", "an empty file")
    return status.st_size


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file. Raises `DataError` where it cannot be read, is no ordinary file, or is empty."""
    regular_size(path)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from None
