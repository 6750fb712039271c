"""Compiled code between processes: found again, and never taken from an entry that is not exactly what was written."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native import engine, objects, pool
from graphnet.backend.native.store import Store

KEY = hashlib.sha256(b"key").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
CODE = bytes(range(256)) * 8


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "cache" / "objects", 1_000_000)
    made.put(KEY, CODE)
    return made


def test_what_was_stored_comes_back(store):
    assert store.get(KEY) == CODE
    assert store.get(OTHER) is None
    assert Store(store.folder, 1_000_000).get(KEY) == CODE
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert (store.folder / KEY).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in store.folder.iterdir()) == sorted([KEY, "lock"])


def test_a_flipped_bit_anywhere_is_noticed(store):
    path = store.folder / KEY
    whole = path.read_bytes()
    for place in [*range(0, len(whole) - len(CODE)), len(whole) - len(CODE), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert store.get(KEY) is None, place


def test_a_shorter_or_longer_file_is_noticed(store):
    path = store.folder / KEY
    whole = path.read_bytes()
    for text in (b"", whole[:10], whole[: len(whole) - len(CODE)], whole[:-1], whole + b"\0"):
        path.write_bytes(text)
        assert store.get(KEY) is None
    store.put(KEY, CODE)
    assert store.get(KEY) == CODE


def test_an_entry_under_another_name_is_none(store):
    (store.folder / KEY).rename(store.folder / OTHER)
    assert store.get(OTHER) is None


def test_links_are_not_followed(store, tmp_path):
    path = store.folder / KEY
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert store.get(KEY) is None
    store.put(KEY, CODE)  # replaces the link, not what it points to
    assert not path.is_symlink() and store.get(KEY) == CODE
    linked = tmp_path / "linked"
    linked.symlink_to(store.folder)
    with pytest.warns(RuntimeWarning, match="linked cannot be used"):
        assert Store(linked, 1_000_000).get(KEY) is None


def test_pipes_and_folders_are_no_entries(store):
    path = store.folder / KEY
    path.unlink()
    os.mkfifo(path)
    assert store.get(KEY) is None  # and does not wait for a writer
    path.unlink()
    path.mkdir()
    assert store.get(KEY) is None


def test_what_belongs_to_another_user_is_not_read(store, monkeypatch):
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    with pytest.warns(RuntimeWarning, match=f"objects cannot be used .it belongs to user {real}.; GRAPHNET_CACHE=off"):
        assert store.get(KEY) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.put(OTHER, CODE)  # one warning is enough
    assert not (store.folder / OTHER).exists()


def test_an_entry_of_another_user_is_not_read(store, monkeypatch):
    real = os.fstat

    def foreign(descriptor):
        found = real(descriptor)
        fields = list(found)
        if fields[0] & 0o170000 == 0o100000:  # a plain file
            fields[4] += 1
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", foreign)
    assert store.get(KEY) is None


def test_a_folder_that_others_may_enter_is_closed_to_them(store):
    store.folder.chmod(0o777)
    assert store.get(KEY) == CODE
    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_written_fails_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "objects", 1_000_000)
    with pytest.warns(RuntimeWarning, match="file/objects cannot be used") as caught:
        store.put(KEY, CODE)
        store.put(OTHER, CODE)
        assert store.get(KEY) is None
    assert len(caught) == 1


def test_a_full_disk_fails_nothing_and_leaves_nothing(store, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        store.put(OTHER, CODE)
    assert sorted(path.name for path in store.folder.iterdir()) == sorted([KEY, "lock"])
    assert store.get(KEY) == CODE


def test_the_oldest_entries_make_room(tmp_path):
    size = len(CODE) + 200
    store = Store(tmp_path / "objects", 3 * size)
    keys = [hashlib.sha256(bytes([number])).hexdigest() for number in range(4)]
    for age, key in enumerate(keys[:3]):
        store.put(key, CODE)
        os.utime(store.folder / key, (time.time() - 100 + age,) * 2)
    assert store.get(keys[0]) == CODE  # used now, so it is the second that is oldest
    store.put(keys[3], CODE)
    assert [store.get(key) is not None for key in keys] == [True, False, True, True]
    store.put(OTHER, CODE * 4)  # more than all together
    assert store.get(OTHER) is None and store.get(keys[3]) == CODE


def test_files_that_a_killed_process_left_are_removed(store):
    left = store.folder / f".{OTHER}.1.00"
    left.write_bytes(b"half")
    os.utime(left, (time.time() - 7200,) * 2)
    store.put(KEY, CODE)
    assert not left.exists()


def test_processes_write_at_once(tmp_path):
    code = """
import hashlib, sys
from pathlib import Path
from graphnet.backend.native.store import Store
store = Store(Path(sys.argv[1]), 40_000)
for number in range(150):
    key = hashlib.sha256(bytes([number % 8])).hexdigest()
    found = store.get(key)
    assert found in (None, bytes([number % 8]) * 9000)
    store.put(key, bytes([number % 8]) * 9000)
"""
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "objects")]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for writer in writers:
        assert (writer.communicate(timeout=60)[1], writer.returncode) == ("", 0)
    left = [path for path in (tmp_path / "objects").iterdir() if path.name != "lock"]
    assert sum(path.stat().st_size for path in left) <= 40_000
    assert all(not path.name.startswith(".") for path in left)


# -- what compiling makes of it ------------------------------------------------------------------------------------


@pytest.fixture
def compiles(tmp_path, monkeypatch):
    """How many modules LLVM has compiled, with the cache in a folder of its own."""
    pool.library()  # compiled by now, not counted
    made = []
    real = engine.compile_object
    monkeypatch.setattr(engine, "compile_object", lambda text: made.append(text) or real(text))
    monkeypatch.setenv("GRAPHNET_CACHE", str(tmp_path))
    return made


TEXT = "define double @gn_test(double %x) { %y = fadd double %x, 1.0 ret double %y }"


def test_the_second_compile_reads_the_first_ones_code(compiles, tmp_path):
    first = objects.object_code(TEXT)
    assert objects.object_code(TEXT) == first and len(compiles) == 1
    (entry,) = (path for path in (tmp_path / "objects").iterdir() if path.name != "lock")
    entry.write_bytes(entry.read_bytes()[:-1])
    assert objects.object_code(TEXT) == first and len(compiles) == 2  # made anew,
    assert objects.object_code(TEXT) == first and len(compiles) == 2  # and stored again


def test_the_key_holds_all_that_decides_the_code(compiles, monkeypatch):
    objects.object_code(TEXT)
    objects.object_code(TEXT.replace("1.0", "2.0"))
    assert len(compiles) == 2
    known = engine.identity()
    for place in range(len(known)):
        other = (*known[:place], known[place] + "x", *known[place + 1 :])
        monkeypatch.setattr(engine, "identity", lambda other=other: other)
        objects.object_code(TEXT)
    assert len(compiles) == 2 + len(known)


def test_switched_off_nothing_is_written(compiles, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHNET_CACHE", "off")
    for _ in range(2):
        objects.object_code(TEXT)
    assert len(compiles) == 2 and not (tmp_path / "objects").exists()


def test_a_step_from_the_store_gives_the_same_bits(compiles):
    x = gn.input("x", (6, 11, 2))
    array = np.random.default_rng(0).standard_normal((6, 11, 2)).astype("f")
    results = []
    for _ in range(2):
        step = gn.compile(x, gn.sum(gn.exp(x * 0.7), axis=1), backend="native")
        results.append(step(array).tobytes())
        del step  # and its code with it, so that the next one comes from the store
    assert results[0] == results[1] and len(compiles) == 1
