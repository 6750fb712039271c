"""Steps as jobs of several threads: interrupted, forked away from, left behind at the end; how they are cut up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import graphnet as gn
from graphnet.backend.native import job, library, pool
from graphnet.ops.sources import Assign

SIZE = 1024


def long_step(threads, products):
    """A step of matrix products, 20 ms of one processor each, that adds 1 to a parameter in the end; the parameter."""
    x = gn.input("x", (SIZE, SIZE))
    weight = gn.parameter(np.eye(SIZE, dtype="f"), "weight")
    count = gn.parameter(np.zeros(100_000, "f"), "count")
    y = x
    for _ in range(products):
        y = gn.tanh(y @ weight)
    step = gn.compile(x, gn.sum(y), Assign()(count, count + 1.0), backend="native", threads=threads)
    step.specialize()
    return step, count.op.storage.array


class StoppedError(Exception):
    pass


def stop(*_):
    raise StoppedError


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_signal_is_answered_while_a_step_runs(threads):
    step, count = long_step(threads, 64)
    array = np.full((SIZE, SIZE), 1 / SIZE, "f")
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for _ in range(2):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            start = time.perf_counter()
            with pytest.raises(StoppedError):
                step(array)
            # Whole it would take more than a second. 0.1 s until the signal, and at most 0.3 to answer it.
            assert time.perf_counter() - start < 0.4
            assert not count.any()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # The threads are free again, and nobody works on what was left.
    short, count = long_step(threads, 2)
    expected = np.tanh(np.tanh(array)).sum()
    assert np.allclose(short(array), expected, rtol=1e-4)
    assert (count == 1).all()


def test_a_job_that_was_left_unfinished_is_ended_before_it_starts_anew():
    step, count = long_step(2, 20)
    array = np.full((SIZE, SIZE), 1 / SIZE, "f")
    expected = step(array)
    ((_, native),) = step.program.lowered.body_calls
    native.job._calls[0, 3] = 1  # come back after a nanosecond
    assert native.job._launch() == 1
    assert step(array) == expected
    assert (count == 2).all()


@pytest.mark.parametrize("width", [1, 2])
def test_a_worker_that_makes_room_for_its_caller_may_run_where_it_might_before(width):
    """Both held to one processor, where there is no room to make; and to two, where the worker begins beside it."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < width:
        pytest.skip(f"needs {width} processors")
    step, _ = long_step(2, 1)
    array = np.full((SIZE, SIZE), 1 / SIZE, "f")
    expected = step(array)
    workers = [thread.native_id for thread in threading.enumerate() if thread.name == "graphnet-1"]
    before = [os.sched_getaffinity(worker) for worker in workers]
    try:
        os.sched_setaffinity(0, allowed[:1])
        for _ in range(20):
            for worker in workers:
                os.sched_setaffinity(worker, allowed[:1])
                os.sched_setaffinity(worker, allowed[:width])
            assert step(array) == expected
        time.sleep(0.05)  # until no worker is between two sets
        assert all(os.sched_getaffinity(worker) == set(allowed[:width]) for worker in workers)
    finally:
        os.sched_setaffinity(0, allowed)
        for worker, known in zip(workers, before, strict=True):
            os.sched_setaffinity(worker, known)


def test_two_threads_call_two_functions_at_once():
    steps = [long_step(threads, 3)[0] for threads in (2, 2, 3)]
    arrays = [np.random.default_rng(k).standard_normal((SIZE, SIZE)).astype("f") for k in range(3)]
    expected = [step(array) for step, array in zip(steps, arrays, strict=True)]
    found: list[list[float]] = [[], [], []]

    def call(k):
        found[k] += [float(steps[k](arrays[k])) for _ in range(5)]

    callers = [threading.Thread(target=call, args=(k,)) for k in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [[value] * 5 for value in expected]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_may_fork_while_locks_are_held_and_a_step_runs():
    step, _ = long_step(2, 3)
    array = np.full((SIZE, SIZE), 1 / SIZE, "f")
    expected = step(array)
    long, _ = long_step(2, 16)
    running = threading.Thread(target=long, args=(array,))
    with pool._lock, library._lock, step._lock:
        running.start()
        time.sleep(0.02)
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # where a lock were never given back
            x = gn.input("x", (7, 3, 2))
            fresh = gn.compile(x, gn.exp(x * 0.3), backend="native", threads=2)(np.zeros((7, 3, 2), "f"))
            os._exit(0 if step(array) == expected and (fresh == 1).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
    running.join()


def test_a_process_may_end_while_a_daemon_thread_runs_a_step():
    code = """
import sys, threading, time
import numpy as np
from tests.backend.native.test_job import SIZE, long_step
step, _ = long_step(3, 48)
threading.Thread(target=step, args=(np.ones((SIZE, SIZE), "f"),), daemon=True).start()
time.sleep(0.1)
print("end", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_phases_end_where_threads_have_to_wait():
    records = [(0, 0, 1, 0), (0, 0, 1, 0), (0, 0, 40, 1), (0, 0, 40, 0), (0, 0, 1, 1), (0, 0, 1000, 1)]
    assert job._phases(records, 2) == [(0, 2, 1, 0), (2, 4, 32, 0), (4, 5, 1, 0), (5, 6, 32, 0)]
    assert job._phases([(0, 0, 1_000_000, 0)], 100_000)[0][2] == 65_535
    assert job._phases([], 2) == []
