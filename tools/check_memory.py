"""Two promises about bytes: steps leave nothing behind, and plans are tight.

    python -m tools.check_memory [--steps 1000]

For LeNet: how much traced memory has grown after so many steps. For each model in models/, with the optimizer of its
recipe: `plan.peak_bytes` over the largest sum of live bytes of the same schedule. Exit code 1 where one is missed.
"""

from __future__ import annotations

import argparse
import gc
import tracemalloc
from pathlib import Path

from graphnet.cli.models import ModelFile, find_model
from graphnet.cli.steps import training_graph

ROOT = Path(__file__).resolve().parent.parent
MOST_SLACK = 1.05
WARM_UP = 3000  # steps; the lists of freed small objects that NumPy and the interpreter keep fill slowly


def models() -> dict[str, ModelFile]:
    """Every file of models/, by name."""
    names = sorted(path.stem for path in (ROOT / "models").glob("*.py") if path.stem != "__init__")
    return {name: find_model(f"models.{name}") for name in names}


def growth(model: ModelFile, steps: int) -> int:
    """Bytes of traced memory that `steps` training steps leave behind, once it is warm."""
    graph = training_graph(model)
    step, batch = graph.compile(), graph.random_batch(model.recipe["batch_size"])

    def held_after(steps: int) -> int:
        for index in range(steps):
            step(*batch)
            if index % 100 == 99:
                gc.collect()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = held_after(WARM_UP)
        return held_after(steps) - before
    finally:
        tracemalloc.stop()


def main() -> None:
    """Print both tables; exit code 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    missed = []

    everything = models()
    grown = growth(everything["lenet"], options.steps)
    print(f"lenet: {options.steps:,} steps left {grown:,} bytes behind")
    if grown >= options.steps:  # less than a byte a step is the tracer's own noise
        missed.append("growth")

    print(f"{'model':20} {'batch':>6} {'peak bytes':>14} {'live bytes':>14} {'ratio':>7}")
    for name, model in everything.items():
        step = training_graph(model).compile()
        for batch in (2, model.recipe["batch_size"]):  # a batch of one has no variance to normalize by
            plan = step.specialize(N=batch).plan
            slack = plan.peak_bytes / plan.live_bytes
            print(f"{name:20} {batch:6} {plan.peak_bytes:14,} {plan.live_bytes:14,} {slack:7.4f}")
            if slack > MOST_SLACK:
                missed.append(name)
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
