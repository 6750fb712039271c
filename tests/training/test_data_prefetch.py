"""Batches made ahead: the same ones, the same errors, and threads that end."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest

from graphnet.errors import ArgumentError, DataError, ShapeError
from graphnet.training import DataLoader, random_shift

X, Y = np.random.default_rng(0).random((50, 6, 6), np.float32), np.arange(50)
SECONDS = 10


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "graphnet prefetch"]


def no_thread_is_left():
    end = time.monotonic() + SECONDS
    while threads() and time.monotonic() < end:
        time.sleep(0.005)
    return not threads()


def run(prefetch, epochs=2, state=None):
    loader = DataLoader((X, Y), 8, shuffle=True, seed=3, transform=random_shift(1), prefetch=prefetch)
    if state is not None:
        loader.load_state_dict(state)
    return [[array.tobytes() for batch in loader for array in batch] for _ in range(epochs)], loader.state_dict()


@pytest.mark.parametrize("prefetch", [1, 2, 100])
def test_order_and_bits_are_those_without(prefetch):
    assert run(prefetch) == run(0)
    assert no_thread_is_left()


def test_a_run_continues_from_its_state():
    whole, _ = run(0, 4)
    first, state = run(2)
    assert first + run(2, 2, state)[0] == whole


def test_batches_are_made_while_the_caller_works_but_not_too_many():
    made, far = [], threading.Event()

    def batches():
        for position in range(10):
            made.append(position)
            if position == 3:
                far.set()
            yield X[:2], Y[:2]

    loader = iter(DataLoader(batches, prefetch=3))
    next(loader)
    assert far.wait(SECONDS)  # three lie ready, and a fifth at most is in the making
    time.sleep(0.05)
    assert len(made) <= 5
    assert len(list(loader)) == 9 and no_thread_is_left()
    with pytest.raises(StopIteration):
        next(loader)


def test_an_error_is_raised_in_the_caller_where_it_belongs_with_its_traceback():
    def batches():
        yield X[:2], Y[:2]
        raise KeyError("planted")

    loader = iter(DataLoader(batches, prefetch=2))
    next(loader)
    with pytest.raises(KeyError, match="planted") as caught:
        next(loader)
    assert "batches" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    with pytest.raises(StopIteration):
        next(loader)
    assert no_thread_is_left()


def test_an_error_of_ours_names_the_users_line():
    messages = []
    for prefetch in (0, 2):
        with pytest.raises(ShapeError) as caught:
            list(DataLoader((Y, Y), 8, transform=random_shift(1), prefetch=prefetch))
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "test_data_prefetch.py" in messages[0]
    with pytest.raises(DataError, match="batch 0 from the generator"):
        list(DataLoader(lambda: [(X, Y[:3])], prefetch=1))


def test_a_thread_ends_when_its_iterator_is_dropped_or_closed():
    closed = threading.Event()

    def batches():
        try:
            while True:
                yield X[:2], Y[:2]
        finally:
            closed.set()

    for _ in DataLoader(batches, prefetch=2):
        break
    gc.collect()
    assert no_thread_is_left() and closed.wait(SECONDS)
    loader = iter(DataLoader((X, Y), 2, prefetch=2))
    next(loader)
    assert threads()
    loader.close()
    assert no_thread_is_left()
    assert list(loader) == []


def test_the_thread_sees_the_callers_error_state():
    def overflow(rng, x, y):
        return x * np.float32(1e38) * np.float32(1e38), y

    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        list(DataLoader((X + 1, Y), 8, transform=overflow, prefetch=2))


SCRIPT = """
import signal, sys, time
import numpy as np
from graphnet.training import DataLoader

signal.signal(signal.SIGINT, signal.default_int_handler)

def batches():
    yield np.zeros(2)
    print("up", flush=True)
    if sys.argv[1] == "wait":
        time.sleep(60)
    while True:
        yield np.zeros(2)

for batch in DataLoader(batches, prefetch=2):
    if sys.argv[1] == "exit":
        kept = DataLoader(batches, prefetch=2).__iter__()
        next(kept)
        break
"""


@pytest.mark.parametrize("how", ["wait", "exit"])
def test_an_interrupt_is_prompt_and_a_process_ends_with_its_threads_running(how):
    command = [sys.executable, "-c", SCRIPT, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        begin = time.monotonic()
        if how == "wait":
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert time.monotonic() - begin < 30
    assert ("KeyboardInterrupt" in error) == (how == "wait") and (process.returncode == 0) == (how == "exit")
    assert "Fatal" not in error


LEFT = """
import numpy as np
from graphnet.training import DataLoader

def batches():
    try:
        while True:
            yield np.zeros(2)
    finally:
        print("closed")

kept = iter(DataLoader(batches, prefetch=2))
next(kept)
"""


def test_a_source_is_closed_before_the_process_ends():
    """A thread that printed when the interpreter ends would hold what that needs: the process aborted now and then."""
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


def test_wrong_numbers_are_told():
    for prefetch in (-1, 1.5, True):
        with pytest.raises(ArgumentError, match="prefetch must be an integer >= 0"):
            DataLoader((X, Y), prefetch=prefetch)
