"""Does compile time grow linearly? Chains of 10,000 and 20,000 elementwise nodes, in turns; and native steps.

    python -m tools.bench_compile [--rounds 5] [--nodes 10000]

Timed, in processor time, is `gn.compile` for the numpy backend up to a function that can run, all stages included;
building the chain is timed beside it. The second table is the gradient of the chain, several times as many nodes, for
information. The third is native code, with nothing taken from earlier processes, by kernel: of chains, and of the
training steps of ResNets of growing depth.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

import graphnet as gn
from graphnet.executable import Executable
from models import resnet20

GROWTH_ALLOWED, SECONDS_ALLOWED, SHARE_ALLOWED = 2.4, 3.0, 1.25


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
    start = time.process_time()
    x, y = chain(nodes)
    built = time.process_time()
    step = gn.compile([x], y, backend="numpy")
    step.specialize({})
    done = time.process_time()
    assert np.isfinite(step(np.ones(16, np.float32))).all()
    return built - start, done - built


def with_gradient(nodes: int) -> tuple[float, float]:
    """Seconds to build and differentiate the chain, and to compile value and gradient."""
    start = time.process_time()
    x, y = chain(nodes)
    loss = gn.sum(y)
    (slope,) = gn.gradients(loss, [x])
    built = time.process_time()
    gn.compile([x], [loss, slope], backend="numpy").specialize({})
    return built - start, time.process_time() - built


def native_chain(nodes: int) -> Executable:
    """A native function of a chain, not compiled yet."""
    x, y = chain(nodes)
    return gn.compile([x], y, backend="native")


def native_resnet(blocks: int) -> Executable:
    """The training step of a ResNet with so many blocks a stage, batch 64, not compiled yet."""
    images, labels = gn.input("images", (64, *resnet20.INPUT_SHAPE)), gn.input("labels", (64,), dtype="int64")
    model = resnet20.build(blocks, shortcut="B")
    loss = gn.cross_entropy(model(images), labels)
    updates = gn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9).updates(loss)
    return gn.compile([images, labels], loss, updates, backend="native")


def by_kernel(name: str, build: Callable[[int], Executable], sizes: Sequence[int], rounds: int) -> float:
    """Print the least processor time of each size by kernel; how much larger the last one's share is than the first's.

    What makes a kernel once for all layers of one shape counts as well, so that the share may become smaller.
    """
    shares = []
    for size in sizes:
        seconds = []
        for _ in range(rounds):
            step = build(size)
            gc.collect()
            start = time.process_time()
            step.specialize({})
            seconds.append(time.process_time() - start)
        kernels = len(step.schedule.steps)
        shares.append(min(seconds) / kernels)
        print(
            f"{name.format(size):18} {kernels:6,} kernels: {min(seconds):6.2f} s, {1000 * shares[-1]:.2f} ms a kernel"
        )
    return shares[-1] / shares[0]


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
    os.environ["GRAPHNET_CACHE"] = "off"
    chains = by_kernel("native, {0:,} ops", native_chain, (1_250, 2_500, 5_000), rounds=1)
    nets = by_kernel("native, {0} blocks", native_resnet, (3, 5, 9), rounds=1)
    if max(chains, nets) > SHARE_ALLOWED:
        raise SystemExit(f"missed: a native kernel takes at most {SHARE_ALLOWED} times as long among more of them")
    if growth > GROWTH_ALLOWED or (options.nodes == 10_000 and seconds > SECONDS_ALLOWED):
        raise SystemExit(f"missed: at most {GROWTH_ALLOWED} times as long, 10,000 nodes in {SECONDS_ALLOWED} s")


if __name__ == "__main__":
    main()
