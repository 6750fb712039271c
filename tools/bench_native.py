"""What the native engine costs beside the arithmetic: calls, first steps, memory, and a processor that others use too.

    python -m tools.bench_native [--rounds 5] [--models lenet resnet20]

Seconds of first steps are those of `step(*batch)` in a new process, with an empty folder of compiled code and again
with what the first left there. The busy neighbour is a process that does nothing but run, on no core in particular.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable

import numpy as np

import graphnet as gn
from graphnet.cli.measuring import Watch
from graphnet.cli.models import find_model
from graphnet.cli.steps import training_graph
from graphnet.executable import Executable

BATCH = 64
CALL_ALLOWED = 5.0  # microseconds of an empty step
FIRST_ALLOWED = {"lenet": 2.0, "resnet20": 5.0}  # seconds
CACHED_ALLOWED, SLOWER_ALLOWED = 0.5, 2.5


def call_overhead() -> dict[str, float]:
    """Microseconds of the processor's time that a call takes, at best."""
    x, weight = gn.input("x", (1,)), gn.parameter(np.zeros(4, "f"), "weight")
    one = np.ones(1, "f")
    empty = gn.compile([], None, backend="native")
    through = gn.compile(x, x + 1.0, backend="native")
    update = gn.compile([], None, gn.assign(weight, weight + 1.0), backend="native")
    calls: dict[str, Callable[[], object]] = {
        "an empty step": empty,
        "one number in and out": lambda: through(one),
        "one update": update,
    }
    return {name: _microseconds(call) for name, call in calls.items()}


def _microseconds(call: Callable[[], object]) -> float:
    times = timeit.repeat(call, number=5000, repeat=20, timer=time.thread_time)
    return min(times) / 5000 * 1e6


def training(model: str) -> tuple[Executable, tuple[np.ndarray, ...]]:
    """A model's training step by its recipe, and a batch."""
    graph = training_graph(find_model(f"models/{model}.py"))
    return graph.compile(backend="native"), graph.random_batch(BATCH)


def first_step(model: str) -> None:
    """Print the seconds of the first step, and the most kilobytes that the process has held by its end."""
    step, batch = training(model)
    start = time.perf_counter()
    step(*batch)
    seconds = time.perf_counter() - start
    for _ in range(3):
        step(*batch)
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    print(seconds, peak)


def first_steps(model: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds of the first step and megabytes of its process, cold and from the folder of compiled code."""
    found: dict[str, list[tuple[float, float]]] = {"cold": [], "kept": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name in found:
                command = [sys.executable, "-m", "tools.bench_native", "--first-step", model]
                environment = {**os.environ, "GRAPHNET_CACHE": folder}
                text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
                seconds, kilobytes = map(float, text.split())
                found[name].append((seconds, kilobytes / 1000))
    return {name: _medians(values) for name, values in found.items()}


def _medians(values: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(a for a, _ in values), statistics.median(b for _, b in values)


def beside_a_busy_process(model: str, rounds: int) -> tuple[float, float]:
    """Median milliseconds of a step, alone and with a process that takes all it gets; a second of each in turns."""
    step, batch = training(model)
    step(*batch)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for busy in times:
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
            try:
                end = time.perf_counter() + 1
                while (start := time.perf_counter()) < end:
                    step(*batch)
                    times[busy].append(time.perf_counter() - start)
            finally:
                if other is not None:
                    other.kill()
                    other.wait()
    return statistics.median(times[False]) * 1e3, statistics.median(times[True]) * 1e3


def main() -> None:
    """Print every figure; exit code 1 where one misses its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["lenet", "resnet20"], help="whose first step is timed")
    parser.add_argument(
        "--beside",
        nargs="*",
        default=["lenet", "resnet20", "char_transformer"],
        help="which train beside a busy process (default: %(default)s)",
    )
    parser.add_argument("--first-step", metavar="MODEL", help=argparse.SUPPRESS)  # how it calls itself
    options = parser.parse_args()
    if options.first_step:
        return first_step(options.first_step)
    missed = []
    for name, microseconds in call_overhead().items():
        print(f"{name:24} {microseconds:6.2f} us")
        if name == "an empty step" and microseconds > CALL_ALLOWED:
            missed.append(f"{name} in {CALL_ALLOWED} us")
    for model in options.models:
        for name, (seconds, megabytes) in first_steps(model, options.rounds).items():
            allowed = CACHED_ALLOWED if name == "kept" else FIRST_ALLOWED.get(model, float("inf"))
            print(f"{model:12} first step, {name}: {seconds:6.3f} s, {megabytes:.0f} MB at most")
            if seconds > allowed:
                missed.append(f"first step of {model}, {name}, in {allowed} s")
    for model in options.beside:
        with Watch() as watch:
            alone, beside = beside_a_busy_process(model, options.rounds)
        others = "" if watch.others_share is None else f" (others took {watch.others_share:.0%} of the processors)"
        print(f"{model:16} {alone:.2f} ms, {beside:.2f} beside a busy process: {beside / alone:.2f} times{others}")
        if beside > SLOWER_ALLOWED * alone:
            missed.append(f"{model} beside a busy process at most {SLOWER_ALLOWED} times as long")
    if missed:
        raise SystemExit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
