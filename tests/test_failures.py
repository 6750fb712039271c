"""Steps that fail, are interrupted or run in several threads change all or nothing, and leave nothing behind."""

from __future__ import annotations

import gc
import signal
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn, optim
from graphnet.errors import DataError
from tests.test_executable import rows

# -- failures ----------------------------------------------------------------------------------------------------------

FAILING = {
    "one_hot": lambda x, labels: gn.sum(x * gn.one_hot(labels, 3)),
    "take": lambda x, labels: gn.sum(gn.take(x, labels, axis=1)),
    "cross_entropy": lambda x, labels: gn.cross_entropy(x, labels),
    "nll_loss": lambda x, labels: gn.nll_loss(gn.log_softmax(x, axis=1), labels),
    "gather": lambda x, labels: gn.sum(gn.gather(x, 1, gn.expand_dims(labels, 1))),
}


@pytest.mark.parametrize("check", [0, 2])
@pytest.mark.parametrize("kind", FAILING)
def test_a_step_that_fails_changes_no_parameter_and_says_where(kind, check):
    x, labels = gn.input("given", ("N", 3)), gn.input("labels", ("N",), "int64")
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    loss = FAILING[kind](model(x), labels)  # the line that the error names
    adam = optim.Adam(model.parameters(), lr=0.1)
    step = gn.compile([x, labels], loss, adam.updates(loss), check=check)
    good, bad = np.array([0, 1, 2, 0]), np.array([0, 1, 7, 0])
    step(rows(4), good)
    parameters = [node.inputs[0] for node in step.graph.updates]
    assert len(parameters) > 10
    before = [p.value for p in parameters]
    with pytest.raises(DataError, match=r"(?s)7.*out of range.*declared at .*test_failures.py:\d+") as raised:
        step(rows(4), bad)
    assert any(name in str(raised.value) for name in (kind.removesuffix("_loss"), "gather", "take"))
    for parameter, value in zip(parameters, before, strict=True):
        assert parameter.value.tobytes() == value.tobytes()
    step(rows(4), good)
    assert parameters[0].value.tobytes() != before[0].tobytes()


def test_an_interrupt_leaves_all_old_or_all_new():
    """SIGALRM at random times, its handler raising as SIGINT's does; every parameter counts the same steps."""
    count = 60
    parameters = [gn.parameter(np.zeros(50 + i, np.float32), f"p{i}") for i in range(count)]
    updates = [gn.assign(p, p + 1.0) for p in parameters[: count // 2]]
    # A rotation cannot be written in place, so these go through the closing copies.
    rotated = [gn.parameter(np.zeros(64, np.float32), f"r{i}") for i in range(count // 2)]
    updates += [gn.assign(a, b + 1.0) for a, b in zip(rotated, rotated[1:] + rotated[:1], strict=True)]
    # So large a parameter is updated tile by tile.
    large = gn.parameter(np.zeros(70_000, np.float32), "large")
    updates.append(gn.assign(large, large * 0.5 + large * 0.5 + 1.0))
    x = gn.input("given", (64,))
    step = gn.compile(x, gn.sum(x), updates)
    feed = np.ones(64, np.float32)
    step(feed)
    assert step.schedule.copied and step.schedule.direct and "fused" in str(step.schedule)
    everything = [*parameters[: count // 2], *rotated, large]

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    generator = np.random.default_rng(0)
    caught = done = 0
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(600):
            try:
                signal.setitimer(signal.ITIMER_REAL, float(generator.uniform(1e-6, 8e-4)))
                for _ in range(40):
                    step(feed)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                caught += 1
            seen = {float(v) for p in everything for v in (p.value.min(), p.value.max())}
            assert len(seen) == 1, f"after {caught} interrupts the parameters are of steps {sorted(seen)}"
            done = seen.pop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert caught > 300 and done > 300
    assert step(feed) == 64  # nothing is left locked


# -- threads -----------------------------------------------------------------------------------------------------------


def test_threads_do_not_mix_results():
    x = gn.input("given", ("N", 16))
    step = gn.compile(x, [x * 2.0, gn.sum(gn.exp(x * 0.001), axis=1), gn.transpose(x)])
    barrier = threading.Barrier(8)

    def work(number):
        barrier.wait()
        for turn in range(40):
            size = 1 + (number + turn) % 5
            array = np.full((size, 16), number * 100 + turn, np.float32)
            doubled, sums, transposed = step(array)
            assert doubled.shape == (size, 16) and (doubled == array * 2).all()
            assert (transposed == array.T).all()
            np.testing.assert_allclose(sums, np.exp(array * 0.001).sum(1), rtol=1e-5)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, number) for number in range(8)]:
            future.result()


def test_training_from_several_threads_is_some_serial_order():
    x = gn.input("given", ("N",))
    counter = gn.parameter(np.array(0, np.int64), "counter")
    total = gn.parameter(np.zeros((), np.float64), "total")
    updates = [gn.assign(counter, counter + 1), gn.assign(total, total + gn.sum(gn.cast(x, "float64")))]
    step = gn.compile(x, [counter, total], updates)

    def work(number):
        return [step(np.full(1 + turn % 3, number, np.float32)) for turn in range(50)]

    with ThreadPoolExecutor(8) as pool:
        seen = [result for results in pool.map(work, range(8)) for result in results]
    assert counter.value == 400
    assert sorted(int(count) for count, _ in seen) == list(range(400))
    totals = [float(sum_) for _, sum_ in sorted(seen, key=lambda pair: int(pair[0]))]
    assert totals == sorted(totals)
    assert total.value == sum(number * (1 + turn % 3) for number in range(8) for turn in range(50))


# -- allocation --------------------------------------------------------------------------------------------------------


def _lenet_step():
    from models import lenet

    x, labels = gn.input("given", ("N", 1, 28, 28)), gn.input("labels", ("N",), "int64")
    model = lenet.build()
    loss = gn.cross_entropy(model(x), labels)
    return gn.compile([x, labels], loss, optim.Adam(model.parameters()).updates(loss), check=0)


def test_a_thousand_steps_grow_traced_memory_by_nothing():
    x, labels = gn.input("given", ("N", 3)), gn.input("labels", ("N",), "int64")
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    loss = gn.cross_entropy(model(x), labels)
    step = gn.compile([x, labels], loss, optim.Adam(model.parameters()).updates(loss), check=0)
    feeds = {n: (rows(n), np.zeros(n, np.int64)) for n in (8, 5)}

    def run(times):
        for turn in range(times):
            step(*feeds[5 if turn % 50 == 49 else 8])

    tracemalloc.start()
    try:
        run(200)
        gc.collect()  # which also empties the interpreter's lists of free tuples
        before = tracemalloc.get_traced_memory()[0]
        run(1000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # An integer or a tuple of the interpreter may differ between the two readings; one smallest object kept a step
    # would be 1,000 * 16 bytes.
    assert grown < 1_000


def test_a_step_of_lenet_allocates_no_more_than_its_results():
    step = _lenet_step()
    x = np.random.default_rng(0).random((64, 1, 28, 28), dtype=np.float32)
    labels = np.arange(64) % 10
    for _ in range(3):
        step(x, labels)
    tracemalloc.start()
    try:
        step(x, labels)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        step(x, labels)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    # NumPy converts and gathers through buffers of 8,192 elements, at most 32 KiB an operand, whatever the data.
    assert peak < 128 * 1024 and step.plan.peak_bytes > 4_000_000


def test_a_sum_that_cancels_passes_the_check():
    gn.manual_seed(3)
    # A bias before a normalization has gradient 0: what is left is rounding, which the order of summation decides.
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    x, y = gn.input("given", ("N", 1, 8, 8)), gn.input("y", ("N",), "int64")
    loss = gn.cross_entropy(model(x), y)
    step = gn.compile([x, y], loss, optim.SGD(model.parameters(), lr=0.1).updates(loss), check=2)
    random = np.random.default_rng(0)
    for _ in range(4):
        step(random.random((16, 1, 8, 8), np.float32), random.integers(0, 3, 16))
