"""A folder of object code that outlives processes. What lies there is checked before anybody reads it as code.

An entry is a file named by its key: a mark, the key, the length and the SHA-256 of what follows, and then the code. It
is written beside its place and renamed, so that nobody sees half of one. What is damaged, of another owner, no plain
file or no entry of that key counts as not there. Nothing here ever fails: where the folder cannot be used, one warning
names it, and everything is compiled anew.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MARK = b"graphnet object code 1\n"
_HEADER = struct.Struct(f"<{len(_MARK)}s32sQ32s")  # mark, key, length, SHA-256
_LOCK = "lock"
_ABANDONED = 3600  # seconds after which a file that was never renamed is nobody's


class Store:
    """Object code by key (32 bytes, as hexadecimal digits), in `folder`, `limit` bytes of it at most."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._warned = False

    def get(self, key: str) -> bytes | None:
        """The code stored under `key`; None where there is none that can be trusted."""
        try:
            with self._open(create=False) as folder:
                return self._read(folder, key)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error)
            return None

    def put(self, key: str, code: bytes) -> None:
        """Store `code` under `key`; the entries that nobody read or wrote for longest go where it gets too much."""
        if _HEADER.size + len(code) > self.limit:
            return
        try:
            with self._open(create=True) as folder:
                self._write(folder, key, code)
                self._prune(folder)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            text = f"compiled code is not kept: {self.folder} cannot be used ({error.strerror or error})"
            warnings.warn(f"{text}; GRAPHNET_CACHE=off turns it off", RuntimeWarning, stacklevel=2)

    @contextmanager
    def _open(self, create: bool) -> Iterator[int]:
        """A descriptor of the folder, which is nobody's but ours. Raises `OSError`."""
        if create:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                self.folder.mkdir(0o700)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid():
                raise PermissionError(1, f"it belongs to user {found.st_uid}")
            if stat.S_IMODE(found.st_mode) & 0o077:
                os.fchmod(folder, 0o700)
            yield folder
        finally:
            os.close(folder)

    def _read(self, folder: int, key: str) -> bytes | None:
        """The entry, if it is whole, ours, and of this key."""
        try:
            # Not to wait for whoever should write into a pipe of this name.
            entry = os.open(key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError:  # not there, a link, unreadable: in each case compiled anew, and replaced
            return None
        try:
            found = os.fstat(entry)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size > self.limit:
                return None
            with open(entry, "rb", closefd=False) as file:
                code = _checked(file.read(self.limit), key)
            if code is not None:
                os.utime(entry)  # those used last stay longest
            return code
        finally:
            os.close(entry)

    def _write(self, folder: int, key: str, code: bytes) -> None:
        name = f".{key}.{os.getpid()}.{os.urandom(8).hex()}"
        entry = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with open(entry, "wb") as file:
                file.write(_HEADER.pack(_MARK, bytes.fromhex(key), len(code), hashlib.sha256(code).digest()))
                file.write(code)
            os.rename(name, key, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            _remove(folder, name)
            raise

    def _prune(self, folder: int) -> None:
        """Remove the oldest entries until the rest fit. Where another process is at it, it does."""
        lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            os.lockf(lock, os.F_TLOCK, 0)
        except BlockingIOError:
            os.close(lock)
            return
        try:
            entries = sorted(_entries(folder))
            total = sum(size for _, size, name in entries if not name.startswith("."))
            for modified, size, name in entries:
                if name.startswith("."):  # being written, or left behind by a process that was killed
                    if modified < time.time() - _ABANDONED:
                        _remove(folder, name)
                elif total > self.limit:
                    _remove(folder, name)
                    total -= size
        finally:
            os.close(lock)


def _entries(folder: int) -> Iterator[tuple[float, int, str]]:
    """(when it was used last, bytes, name) of each file but the lock."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name != _LOCK:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process has removed it
                    continue
                yield status.st_mtime, status.st_size, entry.name


def _remove(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):  # another process was first
        os.unlink(name, dir_fd=folder)


def _checked(whole: bytes, key: str) -> bytes | None:
    """The code of an entry; None where anything of it is not as it was written."""
    if len(whole) < _HEADER.size:
        return None
    mark, own, length, digest = _HEADER.unpack_from(whole)
    code = whole[_HEADER.size :]
    right = mark == _MARK and own.hex() == key and length == len(code) and hashlib.sha256(code).digest() == digest
    return code if right else None
