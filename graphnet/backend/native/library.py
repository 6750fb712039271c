"""Kernels in, addresses of their code out. Every different kernel is compiled once in a process."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from graphnet import config
from graphnet.backend.native import engine
from graphnet.backend.native.canonical import canonical
from graphnet.backend.native.emit import emit
from graphnet.backend.native.loops import Kernel
from graphnet.backend.native.objects import object_code, object_key, stored
from graphnet.backend.native.pool import available

MODULE = 16  # kernels compiled together: beside them a module costs some 2 ms, and LLVM megabytes for each at a time


@dataclass(frozen=True)
class Code:
    """A kernel's function, as an address; the code lives as long as this object.

    symbol: its name. source: the key under which the store has the code of its module.
    """

    address: int
    symbol: str
    source: str
    keep: Any = field(repr=False)


_loaded: WeakValueDictionary[str, Code] = WeakValueDictionary()
_lock = threading.RLock()
_Parts: TypeAlias = "tuple[object, ...]"


def compiled(kernels: Sequence[Kernel]) -> list[Code]:
    """The code of each kernel. Kernels that differ in nothing but names share theirs, whoever asked first."""
    texts: dict[_Parts, str] = {}  # of kernels under several names, found by what they are made of
    symbols = []
    for kernel in kernels:
        parts = (kernel.buffers, kernel.chunk, kernel.body, id(kernel.aligned))
        if parts not in texts:
            texts[parts] = symbol(kernel)
        symbols.append(texts[parts])
    with _lock:
        found = {name: code for name in symbols if (code := _loaded.get(name)) is not None}
        wanted = {name: kernel for name, kernel in zip(symbols, kernels, strict=True) if name not in found}
        if wanted and config.debug() >= 5:
            print("\n".join(f"; {name} is {kernel.name}" for name, kernel in wanted.items()), file=sys.stderr)
        missing = [replace(kernel, name=name) for name, kernel in wanted.items()]
        for codes in _compiled([missing[start : start + MODULE] for start in range(0, len(missing), MODULE)]):
            found |= codes
        if missing:
            engine.rest()
        _loaded.update(found)
    return [found[name] for name in symbols]


def _forget_lock() -> None:
    global _lock
    _lock = threading.RLock()  # in a forked child: another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


def symbol(kernel: Kernel) -> str:
    """The name of a kernel's function: the same for every kernel that is the same code, and only for those."""
    return "gn" + hashlib.sha256(canonical(kernel).encode()).hexdigest()[:32]


def _compiled(modules: Sequence[Sequence[Kernel]]) -> Iterator[dict[str, Code]]:
    """The code of each module, in turn. LLVM works on one while Python writes the next, and on several at once."""
    threads = ThreadPoolExecutor(available())
    try:
        objects = []
        for kernels in modules:
            text = emit(kernels)
            if config.debug() >= 5:
                print(text, file=sys.stderr)
            objects.append((threads.submit(object_code, text), object_key(text)))
        for kernels, (code, key) in zip(modules, objects, strict=True):
            yield _linked(code.result(), key, [kernel.name for kernel in kernels])
    finally:
        threads.shutdown(cancel_futures=True)


def recalled(sources: Mapping[str, str]) -> dict[str, Code] | None:
    """The code of kernels that were compiled before, by their symbols; None where the store has not kept all of it.

    sources: for each symbol the key of its module.
    """
    with _lock:
        found = {name: code for name in sources if (code := _loaded.get(name)) is not None}
        modules: dict[str, list[str]] = {}
        for name, key in sources.items():
            if name not in found:
                modules.setdefault(key, []).append(name)
        for key, names in modules.items():
            module = stored(key)
            if module is None:
                return None
            found |= _linked(module, key, names)
        if modules:
            engine.rest()
        _loaded.update(found)
    return found


def _linked(code: bytes, key: str, names: list[str]) -> dict[str, Code]:
    loaded = engine.load(code, names)
    return {name: Code(loaded.addresses[name], name, key, loaded) for name in names}
