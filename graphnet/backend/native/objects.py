"""LLVM's text in, object code out: from the store of earlier processes where it is there, else from LLVM."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from graphnet import config
from graphnet.backend.native import engine
from graphnet.backend.native.store import Store

_FORMAT = "graphnet 1"  # goes up where the same text becomes other code by our own doing


def object_code(text: str) -> bytes:
    """The machine's code for a module."""
    folder = config.cache()
    if folder is None:
        return engine.compile_object(text)
    store, key = _store(folder, config.cache_bytes()), _key(text)
    code = store.get(key)
    if code is None:
        code = engine.compile_object(text)
        store.put(key, code)
    return code


@cache
def _store(folder: str, limit: int) -> Store:
    """One for each folder in a process, so that each warns once."""
    return Store(Path(folder) / "objects", limit)


def _key(text: str) -> str:
    """A digest of everything that decides the code."""
    return hashlib.sha256("\0".join((_FORMAT, *engine.identity(), text)).encode()).hexdigest()
