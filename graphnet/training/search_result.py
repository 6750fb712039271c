"""What a search for hyper-parameters found: a table, as text, CSV and JSON, and a picture."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphnet.errors import ArgumentError
from graphnet.interop.safetensors import write_atomically
from graphnet.training.picture import check_format, new_figure, save_figure
from graphnet.training.spaces import Choice, Space, Value

FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"


@dataclass(frozen=True)
class Trial:
    """One training with some settings. full: on all of the data. value: NaN unless it finished. why: of a failure."""

    number: int
    full: bool
    settings: Mapping[str, Value]
    state: str
    value: float
    why: str = ""


@dataclass
class SearchResult:
    """The trials of a search, in the order in which they were made."""

    spaces: dict[str, Space]
    mode: str
    measure: str
    trials: list[Trial] = field(default_factory=list)
    interrupted: bool = False

    def ranked(self, full: bool = False) -> list[Trial]:
        """The finished trials on a part of the data (`full`: on all of it), best first; equal ones as they came."""
        sign = -1.0 if self.mode == "max" else 1.0
        finished = [trial for trial in self.trials if trial.state == FINISHED and trial.full == full]
        return sorted(finished, key=lambda trial: sign * trial.value)

    @property
    def best(self) -> Trial:
        """The best of those on all of the data; where there is none, the best of all. Raises `ArgumentError`."""
        ranked = self.ranked(full=True) or self.ranked()
        if not ranked:
            raise ArgumentError("no trial of the search finished")
        return ranked[0]

    # -- as a table ------------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """One row a trial: its number, on what, its settings, its measure (None unless finished), its state."""
        return [
            {
                "trial": trial.number,
                "data": "all" if trial.full else "part",
                **trial.settings,
                self.measure: trial.value if trial.state == FINISHED else None,
                "state": trial.state,
                "why": trial.why,
            }
            for trial in self.trials
        ]

    def table(self) -> str:
        """The trials as text: those on all of the data first, the best on top; then what did not finish."""
        order = [*self.ranked(full=True), *self.ranked()]
        order += [trial for trial in self.trials if trial.state != FINISHED]
        names = ["trial", "data", *self.spaces, self.measure]
        lines = [names]
        for trial in order:
            found = f"{trial.value:.6g}" if trial.state == FINISHED else trial.state
            shown = [_shown(trial.settings[name]) for name in self.spaces]
            lines.append([str(trial.number), "all" if trial.full else "part", *shown, found])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines]
        reasons = [f"trial {trial.number} failed: {trial.why}" for trial in order if trial.why]
        return "\n".join([*text, *reasons])

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a line a trial."""
        text = io.StringIO(newline="")
        names = ["trial", "data", *self.spaces, self.measure, "state", "why"]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        write_atomically(path, text.getvalue().encode())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the trials and which was best."""
        best = self.best if self.ranked() or self.ranked(full=True) else None
        report = {
            "measure": self.measure,
            "mode": self.mode,
            "interrupted": self.interrupted,
            "best": None if best is None else {"trial": best.number, **best.settings, self.measure: best.value},
            "trials": self.rows(),
        }
        write_atomically(path, (json.dumps(report, indent=2) + "\n").encode())

    # -- as a picture ----------------------------------------------------------------------------------------------

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the measure over each hyper-parameter; the suffix of `path` says the format."""
        check_format(path, "searches")
        if not any(trial.state == FINISHED for trial in self.trials):
            raise ArgumentError("there is nothing to draw: no trial of the search finished")
        columns = min(3, len(self.spaces))
        rows = math.ceil(len(self.spaces) / columns)
        figure = new_figure(max(4.8, 3.6 * columns), 3.2 * rows + 0.4)
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
        for axes, (name, space) in zip(panels, self.spaces.items(), strict=False):
            self._panel(axes, name, space)
        for axes in panels[len(self.spaces) :]:
            axes.set_visible(False)
        for place in range(0, len(self.spaces), columns):
            panels[place].set_ylabel(self.measure)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        count = len({trial.number for trial in self.trials})
        figure.suptitle(f"{count} trial{'s' * (count != 1)}, best {self.best.value:.4g}", fontsize=11)
        save_figure(figure, path, "searches")

    def _panel(self, axes: Any, name: str, space: Space) -> None:
        """Points of finished trials; those that did not finish as crosses at the worse edge."""
        finished = [trial.value for trial in self.trials if trial.state == FINISHED]
        spread = max(finished) - min(finished) or max(abs(finished[0]), 1.0) * 0.1
        edge = min(finished) - 0.08 * spread if self.mode == "max" else max(finished) + 0.08 * spread
        texts = [str(value) for value in space.values] if isinstance(space, Choice) else []

        def where(trial: Trial) -> Any:
            value = trial.settings[name]
            return texts.index(str(value)) if texts else value

        kinds: Sequence[tuple[str, Any, dict[str, Any]]] = (
            ("on a part", lambda t: t.state == FINISHED and not t.full, {"color": "#60a5fa", "s": 22}),
            ("on all data", lambda t: t.state == FINISHED and t.full, {"color": "#1d4ed8", "s": 60, "marker": "D"}),
            ("diverged or failed", lambda t: t.state != FINISHED, {"color": "#dc2626", "s": 30, "marker": "x"}),
        )
        for label, belongs, style in kinds:
            chosen = [trial for trial in self.trials if belongs(trial)]
            if chosen:
                up = [trial.value if trial.state == FINISHED else edge for trial in chosen]
                axes.scatter([where(trial) for trial in chosen], up, label=label, **style)
        best = self.best
        ring = {"facecolors": "none", "edgecolors": "#f59e0b", "linewidths": 2, "s": 170}
        axes.scatter([where(best)], [best.value], label="best", **ring)
        if texts:
            axes.set_xticks(range(len(texts)), texts)
            axes.margins(x=0.3)
        elif space.is_log:
            axes.set_xscale("log")
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
