"""Does compile time grow linearly? Chains of 10,000 and 20,000 elementwise nodes, in turns.

    python -m tools.bench_compile [--rounds 5] [--nodes 10000]

Timed is `gn.compile` up to a function that can run, all stages included; building the chain is timed beside it. The
second table is the gradient of the chain, several times as many nodes, for information.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable

import numpy as np

import graphnet as gn

GROWTH_ALLOWED, SECONDS_ALLOWED = 2.4, 3.0


def chain(nodes: int) -> tuple[gn.Node, gn.Node]:
    """An input, and `nodes` elementwise operations on it one after the other, none of which simplifies away."""
    x = gn.input("x", (16,))
    y = x
    for index in range(nodes // 4):
        y = gn.sin(y * 0.9) + (0.1 + index / nodes)
        y = gn.tanh(y)
    return x, y


def forward(nodes: int) -> tuple[float, float]:
    """Seconds to build the chain, and to compile it."""
    start = time.perf_counter()
    x, y = chain(nodes)
    built = time.perf_counter()
    step = gn.compile([x], y)
    step.specialize({})
    done = time.perf_counter()
    assert np.isfinite(step(np.ones(16, np.float32))).all()
    return built - start, done - built


def with_gradient(nodes: int) -> tuple[float, float]:
    """Seconds to build and differentiate the chain, and to compile value and gradient."""
    start = time.perf_counter()
    x, y = chain(nodes)
    loss = gn.sum(y)
    (slope,) = gn.gradients(loss, [x])
    built = time.perf_counter()
    gn.compile([x], [loss, slope]).specialize({})
    return built - start, time.perf_counter() - built


def compare(name: str, run: Callable[[int], tuple[float, float]], nodes: int, rounds: int) -> tuple[float, float]:
    """Print medians of both lengths; the median compile time of the shorter, and the growth."""
    sizes = (nodes, 2 * nodes)
    compiled: dict[int, list[float]] = {size: [] for size in sizes}
    built: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            gc.collect()
            build, compile_ = run(size)
            built[size].append(build)
            compiled[size].append(compile_)
    for size in sizes:
        low, high = min(compiled[size]), max(compiled[size])
        print(
            f"{name:14} {size:6,} nodes: compile {statistics.median(compiled[size]):6.3f} s ({low:.3f} to {high:.3f}), "
            f"build {statistics.median(built[size]):.3f} s"
        )
    short, long = (statistics.median(compiled[size]) for size in sizes)
    print(f"{name:14} twice the nodes take {long / short:.2f} times as long to compile")
    return short, long / short


def main() -> None:
    """Print both tables; exit code 1 where the forward chain misses its bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=10_000)
    options = parser.parse_args()
    seconds, growth = compare("forward", forward, options.nodes, options.rounds)
    compare("with gradient", with_gradient, options.nodes, options.rounds)
    if growth > GROWTH_ALLOWED or (options.nodes == 10_000 and seconds > SECONDS_ALLOWED):
        raise SystemExit(f"missed: at most {GROWTH_ALLOWED} times as long, 10,000 nodes in {SECONDS_ALLOWED} s")


if __name__ == "__main__":
    main()
