"""Measure naive, unplanned and compiled steps, and other libraries, on the same work: median, spread, ratio."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphnet.autodiff import gradients
from graphnet.cli import contest, values
from graphnet.cli.measuring import Call, Times, clock, machine, processors, take_turns
from graphnet.cli.models import add_model, find_model
from graphnet.cli.steps import SEED, training_graph
from graphnet.compiler import compile
from graphnet.errors import ArgumentError, GraphnetError
from graphnet.extras import extra
from graphnet.nn.module import Module
from graphnet.ops.convolution import conv2d
from graphnet.ops.random import manual_seed
from graphnet.ops.sources import input

RIVALS = ("naive", "unplanned", "compiled")
EVERYBODY = (*RIVALS, *(name for name in contest.RIVALS if name not in RIVALS))
KERNELS = ("conv2d",)


@dataclass(frozen=True)
class Match:
    """The same work as several rivals do it; the last is the one that the others are compared with.

    first: seconds of the call whose results were compared.
    """

    title: str
    calls: Mapping[str, Call]
    peak_bytes: Mapping[str, int]
    first: Mapping[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `graphnet bench`."""
    add_model(parser, optional=True)
    parser.add_argument("--kernel", choices=KERNELS, help="instead of a model: a convolution and both its gradients")
    parser.add_argument("--batch-size", "--batch", type=values.whole(1), default=8, help="examples a step (default: 8)")
    names = f"of {','.join(EVERYBODY)} (default: {','.join(RIVALS)}); what is not installed is left out"
    parser.add_argument("--against", type=_rivals, default=RIVALS, metavar="LIST", help=names)
    help_mode = "what to measure: a training step or a prediction (default: train)"
    parser.add_argument("--mode", choices=(contest.TRAIN, contest.PREDICT), default=contest.TRAIN, help=help_mode)
    help_threads = "hold every rival to so many; each then has a process of its own (default: all processors)"
    parser.add_argument("--threads", type=values.whole(1), help=help_threads)
    parser.add_argument("--rounds", type=values.whole(1), default=30, help="turns of each rival (default: 30)")
    parser.add_argument("--naive-rounds", type=values.whole(1), help="turns of naive (default: 3; 1 for a kernel)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write bench.txt, bench.json and bench.png there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--picture", "--save", type=Path, metavar="FILE", help="draw them there (.png, .svg or .pdf)")


def run(options: argparse.Namespace) -> None:
    """Compare the results of all rivals, then their times."""
    if (options.model is None) == (options.kernel is None):
        raise ArgumentError("name either a MODEL or a --kernel to measure")
    files = _files(options)
    if _is_contest(options):
        report = _contest(options)
        _write(report, contest.table(report), files)
        return
    match = _kernel_match(options) if options.kernel else _model_match(options)
    naive_rounds = options.naive_rounds or (1 if options.kernel else 3)
    rounds = {name: min(naive_rounds, options.rounds) if name == "naive" else options.rounds for name in match.calls}
    times = take_turns(match.calls, rounds, match.first, _tell)
    _tell("")
    report = {"title": match.title, "machine": machine(), "rivals": _figures(match, times)}
    _write(report, _table(report), files)


def _is_contest(options: argparse.Namespace) -> bool:
    """Whether each rival gets a process of its own: for another library, for a number of threads, for predictions."""
    wanted = not set(options.against) <= set(RIVALS) or options.mode != contest.TRAIN or options.threads is not None
    if wanted and options.kernel:
        raise ArgumentError(f"a --kernel is measured with {', '.join(RIVALS)} only, in training, on all processors")
    return wanted


def _contest(options: argparse.Namespace) -> dict[str, Any]:
    find_model(options.model)  # what is wrong with it is told here, not by a rival
    work = contest.Work(options.model, options.mode, options.batch_size, options.threads or processors())
    names = [name for name in options.against if name != RIVALS[-1]]  # compiled: graphnet's own always takes part
    report = contest.contest(work, names, options.rounds, _tell, naive_rounds=options.naive_rounds or 3)
    _tell("")
    return report


def _write(report: Mapping[str, Any], text: str, files: Mapping[str, Path]) -> None:
    """The report printed, and in the files asked for."""
    print(text)
    if "text" in files:
        files["text"].write_text(text + "\n", encoding="utf-8")
    if "json" in files:
        files["json"].write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if "picture" in files:
        _draw(report, files["picture"])
    for path in files.values():
        print(path)


def _rivals(text: str) -> tuple[str, ...]:
    """Reads `naive,compiled`; the compiled step always takes part, since all others are compared with it."""
    named = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in named if name not in EVERYBODY]
    if unknown or not named:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(EVERYBODY)}, got {text!r}")
    return tuple(name for name in EVERYBODY if name in named or name == RIVALS[-1])


def _files(options: argparse.Namespace) -> dict[str, Path]:
    """Where to write what, checked before the work."""
    files: dict[str, Path] = {}
    if options.out:
        folder = values.make_folder(options.out)
        files = {"text": folder / "bench.txt", "json": folder / "bench.json", "picture": folder / "bench.png"}
    if options.json:
        files["json"] = options.json
    if options.picture:
        files["picture"] = options.picture
    for path in files.values():
        values.writable(path.parent)
    if "picture" in files:
        extra("matplotlib.figure")
        if files["picture"].suffix not in (".png", ".svg", ".pdf"):
            raise ArgumentError(f"--picture must end in .png, .svg or .pdf, got {str(options.picture)!r}")
    return files


def _model_match(options: argparse.Namespace) -> Match:
    """A training step of one model, from the same weights on the same batch, as each rival runs it."""
    file = find_model(options.model)
    settings: dict[str, dict[str, Any]] = {
        "naive": {"backend": "naive"},
        "unplanned": {"backend": "numpy", "rewrite": False, "reuse": False},
        "compiled": {},
    }
    graphs = {name: training_graph(file) for name in options.against}
    steps = {name: graph.compile(**settings[name]) for name, graph in graphs.items()}
    batch = graphs["compiled"].random_batch(options.batch_size)
    results, moves, first = {}, {}, {}
    for name, step in steps.items():
        _tell(f"checking {name}")
        model = graphs[name].model
        before = _weights(model)
        step.specialize(N=options.batch_size)
        manual_seed(SEED)  # dropout draws the same for all
        first[name], loss = _first(lambda step=step: step(*batch))  # type: ignore[misc]
        results[name] = {"loss": loss, **{buffer: value.value for buffer, value in model.named_buffers()}}
        moves[name] = _weights(model) - before
    _check_same(results)
    _check_moves(moves)
    peaks = {name: step.plan.peak_bytes for name, step in steps.items()}
    calls: dict[str, Call] = {name: lambda step=step: step(*batch) for name, step in steps.items()}  # type: ignore[misc]
    return Match(f"{file.name}, a training step, batches of {options.batch_size}", calls, peaks, first)


def _kernel_match(options: argparse.Namespace) -> Match:
    """(8, 16, 32, 32) * (32, 16, 3, 3): the convolution and its gradients by images and filters."""
    images, filters = input("images", (8, 16, 32, 32)), input("filters", (32, 16, 3, 3))
    result = conv2d(images, filters)
    dy = input("dy", result.shape)
    outputs = {"result": result}
    outputs["images"], outputs["filters"] = gradients((result * dy).sum(), [images, filters])
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(node.type.static_shape).astype(np.float32) for node in (images, filters, dy)]
    names = [name for name in options.against if name != "unplanned"]
    functions = {
        name: compile([images, filters, dy], outputs, backend="naive" if name == "naive" else None) for name in names
    }
    results, first = {}, {}
    for name, function in functions.items():
        _tell(f"checking {name}")
        first[name], results[name] = _first(lambda f=function: f(*arrays))  # type: ignore[misc]
    _check_same(results)
    calls: dict[str, Call] = {name: lambda f=f: f(*arrays) for name, f in functions.items()}  # type: ignore[misc]
    peaks = {name: function.plan.peak_bytes for name, function in functions.items()}
    return Match("conv2d and both its gradients, (8, 16, 32, 32) * (32, 16, 3, 3)", calls, peaks, first)


def _first(call: Call) -> tuple[float, Any]:
    """Seconds of a call, and what it gave."""
    given: list[Any] = []
    seconds = clock(lambda: given.append(call()))
    return seconds, given[0]


def _check_same(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `GraphnetError` unless all rivals gave the same, up to rounding: faster and wrong is no figure."""
    wanted = results[RIVALS[-1]]
    for rival, got in results.items():
        for name, array in got.items():
            scale = float(np.abs(wanted[name]).max(initial=1e-6))
            if not np.allclose(array, wanted[name], rtol=0, atol=2e-3 * scale):
                raise GraphnetError(f"{rival} and {RIVALS[-1]} disagree on {name}: nothing was measured")


def _weights(model: Module) -> np.ndarray:
    """All parameters in one row."""
    return np.concatenate([value.value.ravel() for value in model.parameters()])


def _check_moves(moves: Mapping[str, np.ndarray]) -> None:
    """Raise `GraphnetError` unless all rivals moved the weights the same way, as a whole, to within a tenth.

    Not weight by weight: where a gradient is 0 but for rounding, Adam's first step is as long as anywhere, either way.
    """
    wanted = moves[RIVALS[-1]]
    for rival, got in moves.items():
        apart = float(np.linalg.norm(got - wanted))
        if not apart <= 0.1 * float(np.linalg.norm(wanted)):
            raise GraphnetError(f"{rival} and {RIVALS[-1]} disagree on the weights: nothing was measured")


def _figures(match: Match, times: Mapping[str, Times]) -> dict[str, Any]:
    fastest = times[RIVALS[-1]].median
    return {
        name: {
            "median_seconds": measured.median,
            "quartiles_seconds": measured.quartiles,
            "ratio": measured.median / fastest,
            "peak_bytes": match.peak_bytes[name],
            "seconds": measured.seconds,
        }
        for name, measured in times.items()
    }


def _table(report: Mapping[str, Any]) -> str:
    on = report["machine"]
    lines = [
        report["title"],
        f"{on['processor']}, {on['cores']} cores; numpy {on['numpy']} with {on['blas']}, threads {on['blas_threads']}",
        f"{'':10} {'median':>12} {'half of all between':>28} {'rounds':>7} {'arena bytes':>14} {'times compiled':>15}",
    ]
    for name, row in report["rivals"].items():
        lower, upper = (f"{seconds * 1e3:,.3f}" for seconds in row["quartiles_seconds"])
        lines.append(
            f"{name:10} {row['median_seconds'] * 1e3:>9,.3f} ms {f'{lower} and {upper} ms':>28} "
            f"{len(row['seconds']):>7} {row['peak_bytes']:>14,} {row['ratio']:>15,.2f}"
        )
    return "\n".join(lines)


def _draw(report: Mapping[str, Any], path: Path) -> None:
    """Medians on a logarithmic scale, with the quartiles as whiskers. Points, since a bar there has no beginning."""
    rows = {name: row for name, row in report["rivals"].items() if "median_seconds" in row}
    own = report.get("subject", RIVALS[-1])
    figure = extra("matplotlib.figure").Figure(figsize=(7, 1.4 + 0.6 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for name, row in rows.items():
        median, (lower, upper) = row["median_seconds"] * 1e3, (1e3 * side for side in row["quartiles_seconds"])
        whiskers = [[max(0.0, median - lower)], [max(0.0, upper - median)]]
        axes.errorbar([median], [name], xerr=whiskers, fmt="o", color="#1d4ed8", capsize=4)
        ratio = "" if name == own else f", {row['ratio']:,.1f} times"
        label = f"{median:,.2f} ms{ratio}"
        axes.annotate(label, (median, name), (0, 8), textcoords="offset points", ha="center", fontsize=9)
    if "limit_flops_per_second" in report:
        at_limit = 1e3 * report["flops"] / report["limit_flops_per_second"]
        label = "limit: a large matrix product"
        axes.axvline(at_limit, color="#6b7280", linestyle="--", linewidth=1, label=label)
        axes.legend(loc="best", fontsize=8, frameon=False)
    axes.set_xscale("log")
    axes.margins(x=0.3, y=0.4)  # room for the labels
    axes.grid(axis="x", alpha=0.3)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds (median and quartiles)")
    axes.set_title(report["title"], fontsize=11)
    figure.savefig(path, dpi=150)


def _tell(text: str) -> None:
    """What goes on now, on a terminal's last line."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
