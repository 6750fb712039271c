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
    store, key = kept(), object_key(text)
    code = None if store is None else store.get(key)
    if code is None:
        code = engine.compile_object(text)
        if store is not None:
            store.put(key, code)
    return code


def stored(key: str) -> bytes | None:
    """What is stored under `key`; None where nothing is."""
    store = kept()
    return None if store is None else store.get(key)


def kept() -> Store | None:
    """The store of this process; None where nothing is to be kept."""
    folder = config.cache()
    return None if folder is None else _store(folder, config.cache_bytes())


@cache
def _store(folder: str, limit: int) -> Store:
    """One for each folder in a process, so that each warns once."""
    return Store(Path(folder) / "objects", limit)


def object_key(text: str) -> str:
    """A digest of everything that decides the code."""
    return key_of(_FORMAT, text)


def key_of(form: str, text: str) -> str:
    """The key of what this machine and this LLVM make of `text`. form: what that is."""
    return hashlib.sha256("\0".join((form, *engine.identity(), text)).encode()).hexdigest()
