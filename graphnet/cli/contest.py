"""Rivals in processes of their own: the same work, results compared, then turns in which nobody else runs."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from graphnet.cli.measuring import Times, Watch, machine
from graphnet.cli.rivals import LIMIT, PREDICT, REFEREE, RIVALS, TRAIN, subject
from graphnet.cli.rivals.agreement import BOUNDS, disagreement
from graphnet.cli.rivals.hands import Hands, RivalError
from graphnet.cli.rivals.work import Work
from graphnet.errors import GraphnetError

_TURN_SECONDS = 0.2
_MOST_STEPS = 200
_BUSY = 0.05
_REST_SECONDS = 0.03
"""Between turns, so that the threads of the one before have stopped spinning for work that does not come."""

__all__ = ["PREDICT", "RIVALS", "TRAIN", "Work", "contest", "table"]

Tell = Callable[[str], None]


def contest(work: Work, names: Sequence[str], rounds: int, tell: Tell, *, naive_rounds: int = 3) -> dict[str, Any]:
    """The figures of all `names` and of graphnet's own fastest backend, as `graphnet bench --json` writes them.

    A rival whose packages are missing, that cannot translate the model, or whose results differ gets no time but the
    reason. Raises `GraphnetError` where that holds for graphnet's own.
    """
    own = subject()
    listed = [own, *(name for name in names if name != own)]
    found = _left_out(listed, work.mode)
    with ExitStack() as stack:
        tell("referee")
        with Hands(REFEREE, work) as referee:
            truth = referee.ask("compare")
        limit = stack.enter_context(Hands(LIMIT, work))
        flops_of_limit = limit.ask("compare")["flops"]
        hands: dict[str, Hands] = {}
        for name in listed:
            if name in found:
                continue
            tell(f"checking {name}")
            found[name] = _entered(stack, name, work, truth, hands)
            if found[name]["status"] != "measured":
                print(f"graphnet bench: {name}: {found[name]['problem']}", file=sys.stderr)
        if own not in hands:
            raise GraphnetError(f"{own} {found[own]['status']}: {found[own]['problem']}; nothing was measured")
        with Watch() as watch:
            times = _take_turns({"limit": limit, **hands}, rounds, naive_rounds, tell)
    # A median like all others, of the same turns: where the machine is slow for a while, it is so for a product too.
    peak = flops_of_limit / times["limit"].median
    for name in hands:
        found[name].update(_figures(times[name], times[own].median, truth["flops"], peak))
    return {
        "title": f"{work.model}, {_what(work)}, batches of {work.batch}",
        "model": work.model,
        "mode": work.mode,
        "batch": work.batch,
        "threads": work.threads,
        "rounds": rounds,
        "machine": {**machine(), "blas_threads": work.threads},
        "subject": own,
        "flops": truth["flops"],
        "flops_counted": "declared graph, three times for training" if work.mode == TRAIN else "declared graph",
        "limit_flops_per_second": peak,
        "fastest_limit_flops_per_second": flops_of_limit / min(times["limit"].seconds),
        "others_share": watch.others_share,
        "bounds": BOUNDS,
        "rivals": found,
    }


def _left_out(names: Sequence[str], mode: str) -> dict[str, dict[str, Any]]:
    """Those of `names` that cannot take part, told on standard error."""
    found = {}
    for name in names:
        rival = RIVALS[name]
        if mode not in rival.modes:
            found[name] = {"status": "left out", "problem": f"it does not {mode}"}
        elif missing := rival.missing:
            found[name] = {"status": "not installed", "problem": f"{', '.join(missing)} is not installed"}
        if name in found:
            print(f"graphnet bench: {name} is left out: {found[name]['problem']}", file=sys.stderr)
    return found


def _what(work: Work) -> str:
    return "a training step" if work.mode == TRAIN else "a prediction"


def _entered(
    stack: ExitStack, name: str, work: Work, truth: Mapping[str, Any], hands: dict[str, Hands]
) -> dict[str, Any]:
    """Start a rival and compare its first steps; it is among `hands` where they agree."""
    try:
        started = Hands(RIVALS[name], work)
        stack.enter_context(started)
        given = started.ask("compare")
    except RivalError as error:
        return {"status": "failed", "problem": error.problem}
    wrong = disagreement(work.mode, truth, given)
    seconds = {name: given[name] for name in ("settings", "ready_seconds", "first_seconds")}
    if wrong is not None:
        started.close()
        return {"status": "wrong", "problem": f"wrong results, so no time: {wrong}", **seconds}
    hands[name] = started
    return {"status": "measured", "problem": None, **seconds}


def _take_turns(hands: Mapping[str, Hands], rounds: int, naive_rounds: int, tell: Tell) -> dict[str, _Turns]:
    """Each round every rival makes its steps while all others rest; who begins changes from round to round."""
    turns = {name: _Turns() for name in hands}
    steps = {name: _steps_a_turn(rival, name) for name, rival in hands.items()}
    order = list(hands)
    for turn in range(rounds):
        tell(f"round {turn + 1} of {rounds}")
        for name in order:
            if name == "naive" and turn >= naive_rounds:
                continue
            time.sleep(_REST_SECONDS)
            answer = hands[name].ask("run", steps[name])
            turns[name].add(answer)
        order.append(order.pop(0))
    return turns


def _steps_a_turn(rival: Hands, name: str) -> int:
    if name == "naive":
        return 1
    time.sleep(_REST_SECONDS)
    seconds = min(rival.ask("run", 2)["seconds"])
    return max(1, min(_MOST_STEPS, round(_TURN_SECONDS / max(seconds, 1e-6))))


class _Turns:
    """What one rival took, step by step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.medians: list[float] = []
        self.resident_bytes = 0

    def add(self, answer: Mapping[str, Any]) -> None:
        self.seconds += answer["seconds"]
        self.medians.append(statistics.median(answer["seconds"]))
        self.resident_bytes = max(self.resident_bytes, answer["resident_bytes"])

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def _figures(turns: _Turns, own: float, flops: int, peak: float) -> dict[str, Any]:
    times = Times(tuple(turns.seconds))
    return {
        "median_seconds": times.median,
        "quartiles_seconds": times.quartiles,
        "least_seconds": min(times.seconds),
        "ratio": times.median / own,
        "share_of_limit": flops / times.median / peak,
        "steps": len(times.seconds),
        "round_seconds": turns.medians,
        "resident_bytes": turns.resident_bytes,
    }


def table(report: Mapping[str, Any]) -> str:
    """The report as lines of text."""
    on, own = report["machine"], report["subject"]
    lines = [
        report["title"],
        f"{on['processor']}, {on['cores']} cores{on['governor'] and ', governor ' + on['governor']}; every engine held "
        f"to {report['threads']} threads",
        f"{report['flops'] / 1e9:.4g} GFLOP a step ({report['flops_counted']}); limit "
        f"{report['limit_flops_per_second'] / 1e9:.1f} GFLOP/s, the median 1024^3 matrix product by {on['blas']} "
        f"(the fastest: {report['fastest_limit_flops_per_second'] / 1e9:.1f})",
        f"{'':14} {'median':>12} {'half of all between':>27} {'least':>9} {'limit':>7} {'times ' + own:>13} "
        f"{'first step':>11} {'resident':>9}",
    ]
    if (busy := report["others_share"]) is not None and busy > _BUSY:
        lines.insert(3, f"other processes took {busy:.0%} of the processors meanwhile: measure on an idle machine")
    for name, row in report["rivals"].items():
        if row["status"] != "measured":
            lines.append(f"{name:14} {row['status']}: {row['problem'].splitlines()[0]}")
            continue
        lower, upper = (f"{seconds * 1e3:,.3f}" for seconds in row["quartiles_seconds"])
        lines.append(
            f"{name:14} {row['median_seconds'] * 1e3:>9,.3f} ms {f'{lower} and {upper} ms':>27} "
            f"{row['least_seconds'] * 1e3:>9,.3f} {row['share_of_limit']:>7.1%} {row['ratio']:>13,.2f} "
            f"{row['ready_seconds'] + row['first_seconds']:>9,.2f} s {row['resident_bytes'] / 1e6:>6,.0f} MB"
        )
    return "\n".join(lines)
