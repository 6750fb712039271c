"""Measure what theory says of networks: numbers, a picture, and claims that must hold. No name lists them."""

from __future__ import annotations

import argparse
from pathlib import Path

from graphnet import experiments
from graphnet.cli import values
from graphnet.errors import ArgumentError
from graphnet.extras import extra


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet experiment`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(experiments.EXPERIMENTS)}")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the files go (default: runs/experiments)")
    parser.add_argument("--seed", type=values.whole(0), help="decides data, weights and order (default: 0)")
    parser.add_argument("--quick", action="store_true", help="smaller, in seconds instead of a minute or two")


def run(options: argparse.Namespace) -> None:
    """Run one and check its claims, after its files are written; or list all."""
    if options.name is None:
        if options.out is not None or options.seed is not None or options.quick:
            raise ArgumentError(f"name what to run, one of {', '.join(experiments.EXPERIMENTS)}")
        width = max(map(len, experiments.EXPERIMENTS))
        for name in experiments.EXPERIMENTS:
            print(f"{name:{width}}  {experiments.summary(name)}")
        return
    experiments.summary(options.name)  # a wrong name is told before a folder is made
    for module in ("sklearn.datasets", "matplotlib.figure"):
        extra(module)  # what is missing is said before the work, not after it
    folder = values.make_folder(options.out or Path("runs") / "experiments")
    result = experiments.run(options.name, options.seed or 0, options.quick)
    paths = result.write(folder)
    for claim in result.claims:
        print(f"{'holds' if claim.holds else 'FAILS'}: {claim}")
    print(*result.sentences, sep="\n")
    for path in paths:
        print(path)
    result.check()
