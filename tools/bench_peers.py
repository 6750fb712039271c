"""graphnet beside every library that is installed: five nets in training, five predicting at batches of 1 and 64.

    python -m tools.bench_peers --out runs/peers                  # all rows: half an hour; best on an idle machine
    python -m tools.bench_peers --rows train --against torch --threads 1

Each row is one `graphnet bench`: processes of their own, turns, results compared before times. Rows are written as they
are done, to peers.json and peers.md; the latter ends with the geometric mean of what the best peer took over what
graphnet took.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphnet.cli.contest import PREDICT, RIVALS, TRAIN, Work, contest
from graphnet.cli.measuring import processors
from graphnet.errors import GraphnetError

MODELS = Path(__file__).resolve().parent / "bench_models"
PEERS = ("torch", "torch-compile", "jax", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Row:
    """One line of the table: a file of tools/bench_models, what is measured, and examples a step."""

    model: str
    mode: str
    batch: int

    @property
    def name(self) -> str:
        return f"{self.model}, {self.mode}, {self.batch}"


ROWS = (
    *(Row(model, TRAIN, 16 if model == "transformer" else 128 if model == "dense" else 64)
      for model in ("dense", "lenet", "convnet", "resnet20", "transformer")),
    *(Row(model, PREDICT, batch)
      for model in ("lenet", "convnet", "resnet20", "vgg11", "transformer") for batch in (1, 64)),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows asked for."""
    options = _parser().parse_args(arguments)
    rows = [row for row in ROWS if not options.rows or any(word in row.name for word in options.rows.split(","))]
    against = options.against.split(",")
    unknown = [name for name in against if name not in RIVALS]
    if unknown or not rows:
        problem = f"no row's name holds any of {options.rows!r}" if not rows else f"unknown: {', '.join(unknown)}"
        print(f"{problem}; rows: {'; '.join(row.name for row in ROWS)}; peers: {', '.join(RIVALS)}", file=sys.stderr)
        return 2
    reports: dict[str, dict[str, Any]] = {}
    for row in rows:
        names = [name for name in against if row.mode in RIVALS[name].modes]
        work = Work(os.path.relpath(MODELS / f"{row.model}.py"), row.mode, row.batch, options.threads)
        print(f"-- {row.name}", file=sys.stderr, flush=True)
        try:
            reports[row.name] = contest(work, names, options.rounds, lambda text: None)
        except GraphnetError as error:
            reports[row.name] = {"problem": str(error)}
            print(f"{row.name}: {error}", file=sys.stderr)
        _write(options.out, reports)
    print(markdown(reports))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench_peers", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="", help="only those whose names hold one of these words, such as train,vgg")
    parser.add_argument("--against", default=",".join(PEERS), help="the peers (default: all)")
    parser.add_argument("--threads", type=int, default=processors(), help="of every engine (default: all processors)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each (default: 20)")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"), help="folder (default: runs/peers)")
    return parser


def _write(folder: Path, reports: Mapping[str, Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.json").write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    (folder / "peers.md").write_text(markdown(reports) + "\n", encoding="utf-8")


def markdown(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The reports as a table: medians in milliseconds, the share of the limit, and the best peer's time over ours."""
    done = {name: report for name, report in reports.items() if "rivals" in report}
    peers = list(dict.fromkeys(name for report in done.values() for name in report["rivals"]))
    own = next((report["subject"] for report in done.values()), "native")
    peers.sort(key=lambda name: name != own)
    lines = [
        *_head(done),
        f"| | GFLOP | limit; fastest | {' | '.join(peers)} | best peer / {own} |",
        f"|---|---|---|{'---|' * len(peers)}---|",
    ]
    for name, report in reports.items():
        if name not in done:
            lines.append(f"| {name} | | | {report['problem'].splitlines()[0]} |")
            continue
        limits = (report["limit_flops_per_second"], report["fastest_limit_flops_per_second"])
        at_limit, at_fastest = (_milliseconds(1e3 * report["flops"] / limit) for limit in limits)
        cells = [_cell(report["rivals"].get(peer)) for peer in peers]
        lead = lead_of(report)
        lines.append(
            f"| {name} | {report['flops'] / 1e9:.3g} | {at_limit}; {at_fastest} | {' | '.join(cells)} | "
            f"{'' if lead is None else f'{lead:.2f}'} |"
        )
    for mode in (TRAIN, PREDICT):
        leads = [lead for report in done.values() if report["mode"] == mode and (lead := lead_of(report)) is not None]
        if leads:
            mean = math.exp(sum(math.log(lead) for lead in leads) / len(leads))
            lines += [
                "",
                f"{mode}: geometric mean over {len(leads)} rows of the best peer's time over ours: {mean:.2f}",
            ]
    return "\n".join(lines)


def _head(done: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The machine, the versions, and how busy others kept it."""
    if not done:
        return []
    last = list(done.values())[-1]
    on, versions = last["machine"], {}
    for report in done.values():
        for name, row in report["rivals"].items():
            versions.update({key: value for key, value in row.get("settings", {}).items() if key == name.split("-")[0]})
    busy = [report["others_share"] for report in done.values() if report["others_share"] is not None]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        f"{on['processor']}, {on['cores']} cores; every engine held to {last['threads']} threads; numpy {on['numpy']} "
        f"with {on['blas']}, {told}. Median milliseconds of a step (share of the limit, the "
        "speed of the median 1024^3 matrix product; beside it what the fastest would give). "
        f"Other processes took {min(busy, default=0):.0%} to {max(busy, default=0):.0%} of the processors.",
        "",
    ]


def lead_of(report: Mapping[str, Any]) -> float | None:
    """What the fastest peer that gave right results took, over what graphnet took; None without a peer."""
    ratios = [row["ratio"] for name, row in report["rivals"].items() if name in PEERS and row["status"] == "measured"]
    return min(ratios, default=None)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["status"] != "measured":
        return str(row["status"])
    return f"{_milliseconds(1e3 * row['median_seconds'])} ({row['share_of_limit']:.0%})"


def _milliseconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
