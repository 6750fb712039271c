"""Programs that an earlier process compiled: the same bits, the same story, and nothing taken for what it is not."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.backend.native import library, recall
from graphnet.backend.native.recall import _Memory
from graphnet.graph.node import Op
from graphnet.program import Recalled


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHNET_CHECK", "0")  # what is checked while it is compiled is compiled anew
    monkeypatch.setenv("GRAPHNET_CACHE", str(tmp_path))
    return tmp_path / "objects"


def trained():
    """A training step with what steps may have: running statistics, dropout, labels that are looked at, momentum."""
    gn.manual_seed(0)
    x, labels = gn.input("x", ("N", 3, 6, 6)), gn.input("labels", ("N",), dtype="int64")
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(8 * 36, 4))
    loss = gn.cross_entropy(model(x) * gn.constant(np.full(4, 2.0, "f")), labels)
    updates = optim.SGD(model.parameters(), lr=0.1, momentum=0.9).updates(loss)
    return gn.compile([x, labels], loss, updates, backend="native"), model


def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 3, 6, 6)).astype("f"), rng.integers(0, 4, 3)


def is_recalled(step):
    return isinstance(step.program, Recalled)


def test_it_runs_to_the_same_bits_and_tells_the_same_story():
    runs = []
    for _ in range(2):
        step, model = trained()
        losses = [step(*batch()) for _ in range(3)]
        runs.append((step, losses, [value.tobytes() for value in model.state_dict().values()]))
    (first, losses, state), (second, again, state_again) = runs
    assert not is_recalled(first) and is_recalled(second)
    assert np.array(losses).tobytes() == np.array(again).tobytes() and state == state_again
    assert "_here" not in second.program.__dict__, "nothing was to be compiled"
    assert second.explain() == first.explain()
    assert second.plan.peak_bytes == first.plan.peak_bytes
    assert len(second.profile(*batch(), repeats=1).seconds) == len(first.schedule.steps)


def test_prepared_values_follow_their_parameters():
    layer = nn.Linear(5, 5)
    x = gn.input("x", ("N", 5))
    array = np.ones((2, 5), "f")
    for _ in range(2):
        predict = gn.compile([x], x @ gn.transpose(gn.square(layer.weight)), backend="native")
        predict(array)
        layer.weight.set_value(layer.weight.value + 1)
        expected = array @ np.square(layer.weight.value).T
        assert np.allclose(predict(array), expected, rtol=1e-5)  # sums of 5 products: 5 roundings of 6e-8 each
    assert is_recalled(predict)


def test_data_that_cannot_be_used_are_refused_in_the_same_words():
    said = []
    for _ in range(2):
        step, model = trained()
        before = {name: value.tobytes() for name, value in model.state_dict().items()}
        with pytest.raises(gn.DataError, match="label 4") as caught:
            step(batch()[0], np.full(3, 4))
        said.append(str(caught.value))
        assert {name: value.tobytes() for name, value in model.state_dict().items()} == before
    assert is_recalled(step) and said[0] == said[1]


def small(number=2.5, power=2, dtype="float32", name="x", **options):
    """A step of two kernels at most."""
    x = gn.input(name, ("N",), dtype=dtype)
    y = gn.exp(x) + number
    return gn.compile([x], y * y if power == 2 else y, backend="native", **options)


def ran(step, size=7):
    (dtype,) = step._dtypes
    assert np.allclose(step(np.zeros(size, dtype))[0], step(np.zeros(size + 1, dtype))[1])
    return step


@pytest.mark.parametrize(
    "change",
    [
        {"number": -2.5}, {"power": 1}, {"dtype": "float64"}, {"name": "z"}, {"reuse": False}, {"rewrite": False},
        {"fast_math": True},
    ],
    ids=str,
)  # fmt: skip
def test_what_differs_is_compiled(change):
    ran(small())
    assert is_recalled(ran(small())) and not is_recalled(ran(small(**change)))


def test_another_size_other_vectors_and_other_sources_are_compiled(monkeypatch):
    ran(small())
    assert not is_recalled(ran(small(), 9))
    with monkeypatch.context() as changed:
        changed.setenv("GRAPHNET_NATIVE_VECTOR", "16")
        assert not is_recalled(ran(small()))
    assert is_recalled(ran(small()))
    monkeypatch.setattr(recall, "SOURCES", "changed")
    assert not is_recalled(ran(small()))


def test_who_switches_winograd_off_does_not_get_what_was_compiled_with_it(monkeypatch):
    x, w = gn.input("x", (2, 32, 16, 16)), gn.input("w", (32, 32, 3, 3))
    feeds = [np.random.default_rng(0).standard_normal(node.shape).astype("f") for node in (x, w)]

    def bits(setting):
        monkeypatch.setenv("GRAPHNET_NATIVE_WINOGRAD", setting)
        step = gn.compile([x, w], gn.conv2d(x, w, padding=1), backend="native")
        return is_recalled(step), step(*feeds).tobytes()

    first = {setting: bits(setting) for setting in ("on", "off")}
    assert not any(recalled for recalled, _ in first.values())
    for setting, (_, same) in first.items():
        assert bits(setting) == (True, same)
    with pytest.raises(gn.ArgumentError, match="GRAPHNET_NATIVE_WINOGRAD"):
        bits("neither")


@pytest.mark.parametrize("place", [0, 40, -1])
def test_what_is_damaged_is_compiled_anew(_folder, place):
    ran(small())
    for path in _folder.iterdir():
        if path.name != "lock":
            content = bytearray(path.read_bytes())
            content[place] ^= 1
            path.write_bytes(content)
    gc.collect()  # code that is still in memory would not be stored again
    assert not is_recalled(ran(small()))
    assert is_recalled(ran(small()))


def test_code_that_is_gone_is_compiled_anew(_folder, monkeypatch):
    ran(small())
    gc.collect()  # what was linked into this process goes with it
    monkeypatch.setattr(library, "_loaded", {})
    entries = sorted((path for path in _folder.iterdir() if path.name != "lock"), key=os.path.getsize)
    sizes = [path.stat().st_size for path in entries]
    for path in entries:
        if b"symbols" not in path.read_bytes():
            path.unlink()
    assert len(list(_folder.iterdir())) < len(sizes)
    assert not is_recalled(ran(small()))


class Doubled(Op):
    """2 x, by an op of the user's own."""

    elementwise = True

    def infer(self, x):
        return x

    def compute(self, out, x):
        np.multiply(x, 2, out=out)


def test_ops_of_the_users_own_are_not_kept():
    x = gn.input("x", (7,))
    for _ in range(2):
        step = gn.compile([x], Doubled()(gn.exp(x)), backend="native")
        assert np.all(step(np.zeros(7, "f")) == 2) and not is_recalled(step)


@pytest.mark.parametrize("place", [(0, -1, 4), (0, 61, 4), (1, 0, 65), (2, 0, 1)])
def test_no_place_is_outside_its_array(place):
    memory = _Memory([np.zeros(64, np.uint8), np.zeros(16, "f")])
    assert memory.address(1, 60, 4) == memory.arrays[1].ctypes.data + 60
    with pytest.raises((ValueError, IndexError)):
        memory.address(*place)
    number, offset, nbytes = place
    with pytest.raises((ValueError, TypeError, IndexError)):
        memory.array([number, offset, "|u1", [nbytes], [1]])
