"""Threads: the same bits on any number of them, several callers at once, and a life after fork."""

from __future__ import annotations

import os
import re
import threading

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.backend.registry import native
from graphnet.errors import ArgumentError


def training(threads):
    """A small net with its optimizer, compiled natively, and a batch."""
    gn.manual_seed(0)
    model = nn.Sequential(nn.Linear(70, 130), nn.Tanh(), nn.Linear(130, 33), nn.ReLU(), nn.Linear(33, 10))
    x, labels = gn.input("x", ("N", 70)), gn.input("labels", ("N",), "int64")
    loss = gn.cross_entropy(model(x), labels)
    updates = optim.Adam(model.parameters(), lr=1e-2).updates(loss)
    step = gn.compile([x, labels], loss, updates, backend="native", threads=threads)
    rng = np.random.default_rng(0)
    return model, step, (rng.standard_normal((96, 70)).astype("f"), rng.integers(0, 10, 96))


def trained(threads, steps=30):
    model, step, batch = training(threads)
    losses = [float(step(*batch)) for _ in range(steps)]
    return losses, {name: value.tobytes() for name, value in model.state_dict().items()}


def test_bits_do_not_depend_on_the_number_of_threads():
    losses, weights = trained(1)
    assert losses[-1] < 0.2 * losses[0]
    for threads in (2, 3, 4, 8):
        assert trained(threads) == (losses, weights), threads


def test_callers_at_once_get_their_own_results():
    x = gn.input("x", ("N", 300))
    steps = [gn.compile(x, gn.sum(gn.exp(x * float(k)), axis=1), backend="native", threads=2) for k in range(3)]
    arrays = [np.random.default_rng(k).standard_normal((200, 300)).astype("f") for k in range(3)]
    expected = [step(array) for step, array in zip(steps, arrays, strict=True)]
    wrong = []

    def call(k):
        for _ in range(200):
            if not np.array_equal(steps[k](arrays[k]), expected[k]):
                wrong.append(k)

    callers = [threading.Thread(target=call, args=(k,)) for k in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    _, step, batch = training(2)
    step(*batch)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.write(writing, np.float32(step(*batch)).tobytes())
        os._exit(0)
    os.close(writing)
    found = os.read(reading, 4)
    assert os.waitpid(child, 0)[1] == 0
    assert np.frombuffer(found, np.float32)[0] == np.float32(step(*batch))


def test_wrong_numbers_of_threads():
    x = gn.input("x", (2,))
    for threads in (0, -1, 1.5, True, "2"):
        with pytest.raises(ArgumentError, match="threads must be a positive integer or None"):
            gn.compile(x, x + 1.0, backend="native", threads=threads)
    with pytest.raises(ArgumentError, match="numpy backend has no threads of its own"):
        gn.compile(x, x + 1.0, backend="numpy", threads=2)


def test_the_generated_code_is_shown_when_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("GRAPHNET_DEBUG", "5")
    x = gn.input("x", (9, 5, 3, 1))  # a shape that no other test compiles, so that its code is made here
    gn.compile(x, gn.exp(x), backend="native").specialize()
    shown = capsys.readouterr().err
    (name,) = re.findall("^; (gn[0-9a-f]+) is step0.0.exp$", shown, re.MULTILINE)
    assert f"define void @{name}(" in shown


def test_where_llvm_is_missing_numpy_does_the_work(monkeypatch):
    monkeypatch.setattr(native(), "why_not", lambda: "llvmlite is needed for this and cannot be imported")
    x = gn.input("x", (2,))
    with pytest.warns(RuntimeWarning, match="the numpy backend does the work: llvmlite is needed"):
        step = gn.compile(x, x + 1.0, backend="native")
    assert step(np.ones(2, "f")).tolist() == [2, 2]
    assert "0 numpy" in step.explain()
