"""What an experiment found: its numbers, what it claims of them, and two sentences; as CSV, as JSON, as a picture."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from graphnet.errors import ClaimError
from graphnet.experiments.picture import save
from graphnet.interop.safetensors import write_atomically

Row: TypeAlias = "dict[str, float | str]"


def pick(rows: Sequence[Row], column: str, **where: object) -> list[Any]:
    """The values in `column` of the rows that have it and in which each column of `where` holds that value."""
    return [row[column] for row in rows if column in row and all(row.get(key) == v for key, v in where.items())]


@dataclass(frozen=True)
class Claim:
    """That `value`, which `text` says in words, is at least `low` and at most `high`."""

    text: str
    value: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def margin(self) -> float:
        """How far the value is inside its bounds; below 0 it is outside by as much. NaN is outside by any measure."""
        return -math.inf if math.isnan(self.value) else min(self.value - self.low, self.high - self.value)

    @property
    def holds(self) -> bool:
        return self.margin >= 0

    def __str__(self) -> str:
        bounds = [f"at least {self.low:.4g}"] * (self.low > -math.inf) + [f"at most {self.high:.4g}"] * (
            self.high < math.inf
        )
        verdict = "" if self.holds else f": missed by {-self.margin:.4g}"
        return f"{self.text} is {self.value:.4g}, claimed {' and '.join(bounds)}{verdict}"


@dataclass(frozen=True)
class Result:
    """One run of an experiment.

    rows: every number, a row a measurement, told apart by its columns that hold words. settings: what the run was
    made with. sentences: two, of what it shows. painter: draws the rows on an empty matplotlib figure.
    """

    name: str
    settings: Mapping[str, Any]
    rows: Sequence[Row]
    claims: Sequence[Claim]
    sentences: tuple[str, str]
    painter: Callable[[Any], None] = field(repr=False, compare=False)

    def check(self) -> None:
        """Raise `ClaimError`, which says which claims do not hold and by how much, unless all do."""
        broken = [str(claim) for claim in self.claims if not claim.holds]
        if broken:
            count = f"{len(broken)} of {len(self.claims)} claims"
            raise ClaimError(f"{self.name}: the numbers do not bear out {count}:\n  " + "\n  ".join(broken))

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.csv, NAME.json and NAME.png into `folder`, and return where they are."""
        paths = [folder / f"{self.name}.{suffix}" for suffix in ("csv", "json", "png")]
        write_atomically(paths[0], self._csv().encode())
        write_atomically(paths[1], self._json().encode())
        save(self.painter, paths[2], " ".join(self.sentences))
        return paths

    def _csv(self) -> str:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in self.rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def _json(self) -> str:
        """Everything but the picture; what is no number (a loss that overflowed) is null, for JSON has no NaN."""
        claims = [
            {"text": c.text, "value": c.value, "low": c.low, "high": c.high, "holds": c.holds} for c in self.claims
        ]
        content = {
            "name": self.name,
            "settings": dict(self.settings),
            "sentences": self.sentences,
            "claims": [_finite(claim) for claim in claims],
            "rows": [_finite(row) for row in self.rows],
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
