"""Files as they are: opened with one clear error for whatever is in the way, read in pieces of bounded size.

What a header claims is never believed: no more is allocated than the file's size allows. A compressed file may grow
to `EXPANSION` times its size, and to `FREE` bytes whatever its size; data sets of images grow by less than ten.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NoReturn

from graphnet.errors import DataError

EXPANSION = 200
FREE = 1 << 20
_PIECE = 1 << 18
_GZIP = b"\x1f\x8b"
_KINDS = {stat.S_ISDIR: "a directory", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket",
          stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}  # fmt: skip
Path = str | os.PathLike[str]


def damaged(path: Path, offset: int, expected: object, found: object) -> NoReturn:
    """Raise the `DataError` that says where a file is not what it should be."""
    raise DataError(f"{os.fspath(path)}: byte {offset}: expected {expected}, found {found}")


def regular_size(path: Path) -> int:
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


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; hidden entries (those that begin with a dot) are left out."""
    name = os.fspath(folder)
    try:
        with os.scandir(name) as found:
            return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except NotADirectoryError:
        raise DataError(f"{name}: expected a folder, found a file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be read: {getattr(error, 'strerror', error)}") from None


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises `DataError` where it cannot be read, is no ordinary file, or is empty."""
    with opened_file(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from None


class Source:
    """The bytes of a file from its beginning, unpacked where the file is in gzip, whatever its name.

    offset: how many have been read. size: of the file as it lies. limit: the most that there may be, unpacked.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = os.fspath(path)
        self.offset = 0
        self.size = os.fstat(file.fileno()).st_size
        self.packed = file.read(2) == _GZIP
        file.seek(0)
        self._raw = file
        self._stream: IO[bytes] = gzip.GzipFile(fileobj=file, mode="rb") if self.packed else file  # type: ignore[assignment]
        self.limit = FREE + EXPANSION * self.size if self.packed else self.size

    def read(self, count: int, what: str) -> bytearray:
        """The next `count` bytes, which are `what`. Raises `DataError` where the file cannot hold so many, or ends."""
        self.claim(count, what)
        content = bytearray()
        while len(content) < count:
            piece = self._some(min(_PIECE, count - len(content)))
            if not piece:
                there = f"the end of the file after {len(content)}"
                damaged(self.place, self.offset, f"{what}, {count} bytes", there)
            content += piece
            self.offset += len(piece)
        return content

    def skip(self, count: int, what: str) -> None:
        """Read over the next `count` bytes, keeping none."""
        self.claim(count, what)
        while count > 0:
            count -= len(self.read(min(_PIECE, count), what))

    def rest(self, most: int) -> bytes:
        """Up to `most` of the next bytes; none at the end of the file."""
        if self.packed:
            self.claim(0, "what follows")
        piece = self._some(most)
        self.offset += len(piece)
        return piece

    def claim(self, count: int, what: str) -> None:
        """Raise `DataError` where `count` more bytes are more than the file can hold."""
        if self.offset + count <= self.limit:
            return
        if not self.packed:
            damaged(self.place, self.offset, f"{what}, {count} bytes", f"{self.limit - self.offset} bytes")
        bound = f"at most {self.limit} bytes in all in a compressed file of {self.size}"
        damaged(self.place, self.offset, bound, f"{what}, {count} bytes")

    def end(self) -> None:
        """Raise `DataError` unless all has been read."""
        if self._some(1):
            damaged(self.place, self.offset, "the end of the file", "more bytes")

    @property
    def place(self) -> str:
        """The file as errors call it; offsets are of the unpacked bytes."""
        return f"{self.path} (unpacked)" if self.packed else self.path

    def _some(self, count: int) -> bytes:
        try:
            return self._stream.read(count)
        except EOFError:
            damaged(self.path, self._raw.tell(), "more of the gzip stream", "the end of the file")
        except (gzip.BadGzipFile, zlib.error) as error:
            damaged(self.path, self._raw.tell(), "a gzip stream", f"a damaged one ({error}), at this byte or before")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from None


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The `Source` of a file, closed at the end. Raises `DataError` as `read_bytes` does."""
    with opened_file(path) as file:
        yield Source(path, file)


@contextmanager
def opened_file(path: Path) -> Iterator[IO[bytes]]:
    """An ordinary file that is not empty, open for reading, closed at the end. Raises `DataError` for others."""
    regular_size(path)
    try:
        file = open(path, "rb")  # noqa: SIM115  # closed below; what a caller does with it is not this error's
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from None
    with file:
        yield file
