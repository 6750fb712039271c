"""LLVM behind its small interface: the second linker where the first does not work, and nothing where none does."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native import backend, engine, runtime
from graphnet.backend.native.residence import unchanged

TEXT = """
declare i64 @gn_test_import(i64)
define i64 @gn_test_twice(i64 %x) { %y = call i64 @gn_test_import(i64 %x) %z = add i64 %y, %y ret i64 %z }
"""


def broken(*_):
    raise RuntimeError("no JITLink on this machine")


@pytest.mark.parametrize("link", [engine._link_by_orc, engine._link_by_mcjit])
def test_both_linkers_give_functions_that_call_what_they_import(link):
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    imported = kind(lambda x: x + 1)
    address = ctypes.cast(imported, ctypes.c_void_p).value
    loaded = link(engine.compile_object(TEXT), ["gn_test_twice"], {"gn_test_import": address})
    assert kind(loaded.addresses["gn_test_twice"])(20) == 42


def test_where_the_first_linker_fails_the_second_does_all_the_work(monkeypatch):
    linkers = [broken, engine._link_by_mcjit]
    monkeypatch.setattr(engine, "_linkers", linkers)
    assert engine.load(engine.compile_object(runtime.runtime()), ["gn_launch"]).addresses["gn_launch"]
    assert linkers == [engine._link_by_mcjit]
    x = gn.input("x", (13, 3))
    step = gn.compile(x, gn.sum(gn.exp(x * 0.1), axis=0), backend="native", threads=2)
    array = np.random.default_rng(0).standard_normal((13, 3)).astype("f")
    assert np.allclose(step(array), np.exp(array * 0.1).sum(axis=0), rtol=1e-5)


def test_missing_functions_are_told():
    with pytest.raises(RuntimeError, match="cannot link code"):
        engine.load(engine.compile_object("define void @gn_test_here() { ret void }"), ["gn_test_gone"])
    assert engine._linkers[-1] is engine._link_by_mcjit


@pytest.mark.parametrize("error", [RuntimeError, OSError, AttributeError])
def test_where_no_linker_works_one_warning_and_numpy_does_the_work(monkeypatch, error):
    def unusable(*_):
        raise error("not here")

    monkeypatch.setattr(engine, "_linkers", [unusable, unusable])
    monkeypatch.setattr(backend, "runtime_library", lambda: engine.load(b"", ["gn_launch"]))
    x = gn.input("x", (2,))
    with pytest.warns(RuntimeWarning, match="numpy backend does the work: LLVM cannot run: .*not here") as caught:
        step = gn.compile(x, x + 1.0, backend="native")
    assert len(caught) == 1
    assert step(np.ones(2, "f")).tolist() == [2, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what lies in memory")
def test_llvm_rests_in_little_memory_and_works_again():
    before = engine.compile_object(TEXT)
    assert resident() > 10_000_000
    engine.rest()
    assert resident() < 10_000_000  # nothing has used it in between
    assert engine.compile_object(TEXT) == before
    assert resident() > 10_000_000
    engine.rest()  # as often as wanted
    assert resident() < 10_000_000
    assert unchanged("libnothing.so") == []


def resident():
    """Bytes of LLVM's library that lie in memory."""
    library = "/" + Path(engine._binding().ffi.lib._name).name
    mappings = re.split(r"^(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    found = [re.search(r"^Rss: +([0-9]+) kB$", text, re.MULTILINE) for text in mappings if library in text]
    return sum(int(size[1]) * 1024 for size in found)
