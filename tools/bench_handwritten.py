"""The compiled training step beside the same step written by hand in plain NumPy: time, and bytes.

    python -m tools.bench_handwritten [--rounds 100] [--json FILE]

First both must give the same losses from the same weights. Then they take turns, once with the allocator as it is and
once with freed memory kept, which helps only the hand-written step, since the compiled one allocates nothing.
`OMP_NUM_THREADS=1` in the environment gives the steadiest figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import graphnet as gn
from graphnet import nn, optim
from graphnet.executable import Executable
from tools.handwritten import LENET_SHAPES, MLP_SHAPES, HandwrittenLeNet, HandwrittenMLP, random_weights, traced_peak
from tools.measure import in_turns, keep_heap, ratio, shown

SAME_LOSS = 2e-4  # relative, float32


@dataclass(frozen=True)
class Match:
    """One net, compiled and by hand, and a batch for both."""

    name: str
    compiled: Executable
    by_hand: HandwrittenLeNet | HandwrittenMLP
    images: np.ndarray
    labels: np.ndarray

    def rivals(self) -> dict[str, Callable[[], object]]:
        return {
            "compiled": lambda: self.compiled(self.images, self.labels),
            "by hand": lambda: self.by_hand.step(self.images, self.labels),
        }

    def check_losses(self, steps: int = 10) -> None:
        """Raise where the two do not follow each other."""
        for step in range(steps):
            ours = float(self.compiled(self.images, self.labels))
            theirs = self.by_hand.step(self.images, self.labels)
            if abs(ours - theirs) > SAME_LOSS * abs(theirs):
                raise SystemExit(f"{self.name}, step {step}: {ours} compiled, {theirs} by hand: not the same work")


def lenet(batch: int = 64) -> Match:
    """LeNet-5, stochastic gradient descent with momentum 0.9."""
    images = gn.input("images", ("N", 1, 28, 28))
    labels = gn.input("labels", ("N",), dtype="int64")
    model = nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    weights = random_weights(LENET_SHAPES)
    model.load_state_dict(weights)
    loss = gn.cross_entropy(model(images), labels)
    updates = optim.SGD(model.parameters(), lr=0.01, momentum=0.9).updates(loss)
    step = gn.compile([images, labels], loss, updates=updates)
    return Match(f"LeNet-5, batch {batch}, SGD", step, HandwrittenLeNet(weights, lr=0.01), *_batch(batch, 1, 28, 28))


def mlp(batch: int = 128) -> Match:
    """The 784-512-512-10 relu net, Adam."""
    images = gn.input("images", ("N", 784))
    labels = gn.input("labels", ("N",), dtype="int64")
    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )  # fmt: skip
    weights = random_weights(MLP_SHAPES)
    model.load_state_dict(weights)
    loss = gn.cross_entropy(model(images), labels)
    step = gn.compile([images, labels], loss, updates=optim.Adam(model.parameters(), lr=1e-3).updates(loss))
    return Match(f"784-512-512-10, batch {batch}, Adam", step, HandwrittenMLP(weights, lr=1e-3), *_batch(batch, 784))


def _batch(count: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, *shape)).astype("float32"), rng.integers(0, 10, count)


def measure_bytes(match: Match) -> dict[str, int]:
    """What each holds at its highest point, beyond weights and optimizer state."""
    rivals = match.rivals()
    rivals["compiled"]()
    return {
        "peak_bytes": match.compiled.plan.peak_bytes,
        "live_bytes": match.compiled.plan.live_bytes,
        "feed_bytes": match.images.nbytes + match.labels.nbytes,
        "compiled_traced_peak": traced_peak(rivals["compiled"]),
        "by_hand_traced_peak": traced_peak(rivals["by hand"]),
    }


def measure_time(match: Match, rounds: int, allocator: str) -> dict[str, Any]:
    """Times of both, printed and returned."""
    times = in_turns(match.rivals(), rounds)
    print(f"  {allocator}, {rounds} rounds")
    for name, measured in times.items():
        print(f"    {name:9} {shown(measured)}")
    print(f"    compiled / by hand {ratio(times, 'compiled', 'by hand'):.3f}")
    seconds = {name: measured.median for name, measured in times.items()}
    return {"allocator": allocator, "median": seconds, "ratio": ratio(times, "compiled", "by hand")}


def main() -> None:
    """Print (and write) the comparison for both nets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    matches = [lenet(), mlp()]
    for match in matches:
        match.check_losses()
        held = measure_bytes(match)
        print(f"{match.name}: the losses agree")
        print(
            f"  bytes: peak_bytes {held['peak_bytes']:,} (live {held['live_bytes']:,}), "
            f"by hand {held['by_hand_traced_peak']:,}: {held['peak_bytes'] / held['by_hand_traced_peak']:.3f}"
        )
        print(f"  a compiled step allocates at most {held['compiled_traced_peak']:,} bytes at once")
        results.append({"name": match.name, "bytes": held, "times": [measure_time(match, options.rounds, "as it is")]})
    if keep_heap():
        for match, result in zip(matches, results, strict=True):
            print(match.name)
            result["times"].append(measure_time(match, options.rounds, "freed memory kept"))  # type: ignore[attr-defined]
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
