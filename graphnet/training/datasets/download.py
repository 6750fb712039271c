"""Files from the network, by pooch: whole and with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from graphnet.errors import DataError
from graphnet.extras import extra

_SECONDS = 30  # without a byte
_PIECE = 1 << 20


def fetch(url: str, path: str, checksum: str) -> None:
    """Put what is at `url` where `path` says, unless it is there. checksum: "md5:..." or "sha256:...", in hexadecimal.

    The file appears once it is whole and its checksum is right. A file that is there and has another checksum is left
    alone. Raises `DataError` for that, and where the transfer fails or its checksum is wrong.
    """
    if os.path.lexists(path):
        if (found := _checksum(path, checksum)) != checksum:
            problem = f"is there, but with the checksum {found}; expected {checksum}"
            raise DataError(f"{path}: {problem}: remove it to load it anew")
        return
    pooch = extra("pooch")
    extra("requests")
    pooch.get_logger().setLevel("WARNING")
    folder, name = os.path.split(os.path.abspath(path))
    answers: list[Any] = []
    hooks = {"response": lambda answer, *_, **__: answers.append(answer)}
    downloader = pooch.HTTPDownloader(timeout=_SECONDS, hooks=hooks)
    try:
        pooch.retrieve(url, checksum, name, folder, downloader=downloader)
    except (ValueError, OSError) as error:  # a wrong checksum; the network, and the disk
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: could not be loaded from {url}: {reason}") from None
    finally:
        for answer in answers:  # pooch leaves an answer that it did not read to its end open
            answer.close()


def _checksum(path: str, like: str) -> str:
    algorithm = like.partition(":")[0]
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return f"{algorithm}:{digest.hexdigest()}"
