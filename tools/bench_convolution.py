"""A convolution and both its gradients, (8, 16, 32, 32) * (32, 16, 3, 3): the numpy backend beside the naive one.

    python -m tools.bench_convolution [--rounds 3]

A naive round takes minutes, so the numpy backend runs many times within each and its median counts.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np

import graphnet as gn
from graphnet.executable import Executable
from tools.measure import in_turns, shown

IMAGES, FILTERS = (8, 16, 32, 32), (32, 16, 3, 3)
WANTED = 500


def convolution(backend: str) -> Executable:
    """(x, w, dy) -> the convolution and its gradients by x and w, all three computed from the arrays given."""
    x, w = gn.input("x", IMAGES), gn.input("w", FILTERS)
    y = gn.conv2d(x, w)
    dy = gn.input("dy", y.shape)
    return gn.compile([x, w, dy], [y, *gn.gradients(gn.sum(y * dy), [x, w])], backend=backend)


def main() -> None:
    """Print both times and the ratio; exit code 1 below the ratio wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape).astype("float32") for shape in (IMAGES, FILTERS, (8, 32, 30, 30)))
    fast, naive = convolution("numpy"), convolution("naive")
    for ours, theirs in zip(fast(x, w, dy), naive(x, w, dy), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)

    ratios = []
    for _ in range(options.rounds):
        one = in_turns({"naive": lambda: naive(x, w, dy)}, rounds=1, warm_up=0)["naive"].seconds[0]
        many = in_turns({"numpy": lambda: fast(x, w, dy)}, rounds=200)["numpy"]
        ratios.append(one / many.median)
        print(f"naive {one:8.2f} s   numpy {shown(many)}   ratio {ratios[-1]:,.0f}")
    ratio = statistics.median(ratios)
    print(f"the numpy backend is {ratio:,.0f} times as fast; at least {WANTED} is wanted")
    if ratio < WANTED:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
