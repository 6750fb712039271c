"""What training measured, epoch by epoch: as rows, as CSV, as a picture."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping

from graphnet.errors import ArgumentError
from graphnet.interop.safetensors import write_atomically
from graphnet.training.picture import check_format, new_figure, save_figure


class History:
    """One row an epoch, such as {"epoch": 1, "train_loss": 0.7, "validation_loss": 0.5, ...}; numbers only."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def append(self, row: Mapping[str, float]) -> None:
        """Add the row of one more epoch."""
        self.rows.append(dict(row))

    @property
    def columns(self) -> list[str]:
        """Every name that a row has, in the order first met."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def column(self, name: str) -> list[float]:
        """One measure over the epochs that have it. Raises `ArgumentError` for a name that no row has."""
        if name not in self.columns:
            raise ArgumentError(f"history has no column {name!r}; it has {', '.join(self.columns) or 'no rows yet'}")
        return [row[name] for row in self.rows if name in row]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> dict[str, float]:
        return self.rows[index]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line an epoch, under a line of names; nothing where there is no epoch yet."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        if self.rows:
            writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(path, text.getvalue().encode())

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the curves, one panel a measure, train and validation in each; the suffix says the format."""
        if not self.rows:
            raise ArgumentError("there is nothing to draw: the history has no rows yet")
        check_format(path, "curves")
        panels = self._panels()
        figure = new_figure(4.5 * len(panels), 3.2)
        row_of_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (measure, names) in zip(row_of_axes, panels.items(), strict=True):
            for name in names:
                points = [(row["epoch"], row[name]) for row in self.rows if name in row]
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name.removesuffix(f"_{measure}"))
            axes.set_xlabel("epoch")
            axes.set_title(measure)
            axes.grid(alpha=0.3)
            axes.xaxis.get_major_locator().set_params(integer=True)
            if len(names) > 1:
                axes.legend()
        save_figure(figure, path, "curves")

    def _panels(self) -> dict[str, list[str]]:
        panels: dict[str, list[str]] = {}
        for name in self.columns:
            if name not in ("epoch", "seconds"):
                panels.setdefault(name.split("_", 1)[-1], []).append(name)
        return panels
