"""Draw a model: as declared, as differentiated, as compiled, and the memory of its training step."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path

from graphnet.cli import values
from graphnet.cli.models import add_model, find_model
from graphnet.cli.steps import training_graph
from graphnet.errors import ArgumentError
from graphnet.executable import Executable
from graphnet.viz import draw, draw_memory, draw_program

STAGES = ("declared", "differentiated", "compiled", "memory")
FORMATS = ("svg", "png", "pdf", "dot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet draw`."""
    add_model(parser)
    parser.add_argument("--out", type=Path, default=Path(), metavar="PATH", help="a folder or a file (default: here)")
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all", help="what to draw (default: all)")
    parser.add_argument("--format", choices=FORMATS, help="default: what the name of the file says, else svg")
    parser.add_argument(
        "--detail", choices=("layers", "ops", "nodes"), help="how fine (default: ops; layers where those are too many)"
    )
    parser.add_argument("--batch-size", type=values.whole(1), help="for the compiled step (default: the recipe's)")
    parser.add_argument("--backend", type=values.backend, help="for the compiled step")
    parser.add_argument("--profile", action="store_true", help="measure, and write the time of each step into its box")


def run(options: argparse.Namespace) -> None:
    """Write a picture a stage, and print where they are. The memory map is always SVG."""
    file = find_model(options.model)
    form, name = _form_and_name(options, file.name)
    stages = STAGES if options.stage == "all" else (options.stage,)
    painters = _painters(options)
    for stage in stages:
        path = name(stage, "svg" if stage == "memory" else form)
        painters[stage](path)
        print(path)


def _form_and_name(options: argparse.Namespace, model: str) -> tuple[str, Callable[[str, str], Path]]:
    """The format, and the file for a stage: `--out` where it names one, else the model and the stage in that folder."""
    out: Path = options.out
    suffix = out.suffix.removeprefix(".").lower()
    if out.is_dir() or not suffix:
        folder = values.make_folder(out)
        return options.format or "svg", lambda stage, form: folder / f"{model}-{stage}.{form}"
    if suffix not in FORMATS:
        endings = ", ".join(f".{known}" for known in FORMATS)
        raise ArgumentError(f"--out must end in {endings} or name a folder, got {str(out)!r}")
    if options.format not in (None, suffix):
        raise ArgumentError(f"--format {options.format} does not fit --out {str(out)!r}")
    folder = values.make_folder(out.parent)
    if options.stage == "all":
        return suffix, lambda stage, form: folder / f"{out.stem}-{stage}.{form}"
    return suffix, lambda stage, form: out


def _painters(options: argparse.Namespace) -> dict[str, Callable[[Path], object]]:
    file = find_model(options.model)
    graph = training_graph(file)
    size = options.batch_size or int(file.recipe.get("batch_size", 64))
    detail = options.detail

    @cache
    def compiled_step() -> Executable:
        step = graph.compile(backend=options.backend)
        step.specialize(N=size)
        return step

    def compiled(path: Path) -> object:
        step = compiled_step()
        program = step.program
        profile = step.profile(*graph.random_batch(size)) if options.profile else None
        title = f"{file.name}: a training step as compiled, batches of {size}"
        return draw_program(program, path, title=title, detail=detail, profile=profile, names=["loss"])

    def memory(path: Path) -> object:
        title = f"{file.name}: memory of a training step, batches of {size}"
        return draw_memory(compiled_step().plan, path, title=title)

    results = {**graph.named_outputs, "loss": graph.loss}
    return {
        "declared": lambda path: draw(results, path, title=f"{file.name} as declared", detail=detail),
        "differentiated": lambda path: draw(
            {"loss": graph.loss}, path, updates=graph.updates, detail=detail,
            title=f"{file.name} with its gradients and updates",
        ),
        "compiled": compiled,
        "memory": memory,
    }  # fmt: skip
