"""Print what a model's training step became: graph, schedule, memory map, and what the compiler did."""

from __future__ import annotations

import argparse

from graphnet.cli import values
from graphnet.cli.models import add_model, find_model
from graphnet.cli.steps import training_graph
from graphnet.graph.text import graph_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet inspect`."""
    add_model(parser)
    parser.add_argument("--batch-size", type=values.whole(1), help="examples a step (default: the recipe's)")
    parser.add_argument("--backend", type=values.backend, help="what the step is compiled for")


def run(options: argparse.Namespace) -> None:
    """Print all sections, headed by a summary."""
    file = find_model(options.model)
    graph = training_graph(file)
    size = options.batch_size or int(file.recipe.get("batch_size", 64))
    step = graph.compile(backend=options.backend)
    program = step.specialize(N=size)
    parameters = [value.value for value in graph.model.parameters()]
    shapes = " and ".join(str(kind.shape) for kind in file.inputs.values())
    print(f"model            {file.name}, inputs {shapes}, batches of {size}")
    nbytes = sum(array.nbytes for array in parameters)
    print(f"parameters       {sum(array.size for array in parameters):,} ({nbytes:,} bytes)")
    print(f"operations       {len(program.schedule.steps):,} steps a training step")
    print(f"peak bytes       {program.plan.peak_bytes:,} (largest sum of live bytes {program.plan.live_bytes:,})")
    sections = {
        "graph as declared": graph_text([graph.loss]),
        "graph as compiled": graph_text(program.graph.roots),
        "schedule": str(program.schedule),
        "memory": program.plan.memory_map(),
        "what the compiler did": step.explain(),
    }
    for title, text in sections.items():
        print(f"\n== {title} ==\n{text.rstrip()}")
