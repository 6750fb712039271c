"""Check a model before training it: can it learn a few samples by heart, and does every parameter get a gradient?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from graphnet.cli import values
from graphnet.cli.data import add_data, add_data_folder, examples
from graphnet.cli.models import add_model, find_model
from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.nn.module import Module
from graphnet.ops.sources import Parameter
from graphnet.optim import Adam, Optimizer
from graphnet.training import can_overfit

UNSOUND = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet check`; its exit code is 1 where something is not as it should be."""
    add_model(parser)
    add_data(parser)
    add_data_folder(parser)
    parser.add_argument("--samples", type=values.whole(2), default=16, help="how many to learn (default: 16)")
    parser.add_argument("--steps", type=values.whole(1), default=300, help="steps to learn them in (default: 300)")
    parser.add_argument("--lr", type=values.positive, default=1e-3, help="Adam's learning rate (default: 0.001)")
    parser.add_argument("--floor", type=float, default=0.0, help="what the loss cannot fall below (default: 0)")
    parser.add_argument("--seed", type=values.whole(0), default=0, help="decides the weights (default: 0)")
    parser.add_argument("--backend", type=values.backend, help="what runs the steps")


def run(options: argparse.Namespace) -> int:
    """Print the report; the exit code."""
    file = find_model(options.model)
    arrays = examples(file, options).train
    if len(arrays[0]) < options.samples:
        raise ArgumentError(f"--samples: the data has {len(arrays[0])} examples, got {options.samples}")
    built: list[Module] = []

    def build() -> Module:
        built.append(file.build())
        return built[-1]

    def loss(outputs: Any, target: Node) -> Node:
        return file.loss_of(built[-1])(outputs, target)

    def optimizer(parameters: Sequence[Parameter]) -> Optimizer:
        return Adam(parameters, lr=options.lr)

    found = can_overfit(
        build, loss, [array[: options.samples] for array in arrays], optimizer=optimizer, steps=options.steps,
        classes=file.classes if file.gives_scores else None, floor=options.floor, seed=options.seed,
        backend=options.backend,
    )  # fmt: skip
    print(f"model         {file.name}\n{found}")
    return 0 if found.sound else UNSOUND
