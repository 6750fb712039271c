"""Pictures of experiments: colours that everybody can tell apart, a marker for each too, words under the panels."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from graphnet.extras import extra
from graphnet.interop.safetensors import write_atomically

# Okabe and Ito, "Color universal design", 2008, without the yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
_PANEL_INCHES = (4.6, 3.7)
_CAPTION_LETTERS = 15  # that fit an inch


def panels(figure: Any, title: str, count: int) -> list[Any]:
    """`count` empty axes side by side under a title."""
    figure.set_size_inches(_PANEL_INCHES[0] * count, _PANEL_INCHES[1])
    figure.suptitle(title, fontsize=12)
    return list(figure.subplots(1, count, squeeze=False)[0])


def looks() -> Iterator[dict[str, Any]]:
    """For each line of a panel in turn, its colour, marker and dashes, as arguments of `axes.plot`."""
    for colour, marker, line in zip(COLOURS, MARKERS, LINES, strict=True):
        yield {"color": colour, "marker": marker, "linestyle": line, "markersize": 5, "linewidth": 1.6}


def label(axes: Any, title: str, x: str, y: str, legend: str | None = "best") -> None:
    """Name a panel and its axes, with a grid; legend: where it goes, None for none."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    if legend is not None:
        axes.legend(fontsize=8, loc=legend)


def save(painter: Callable[[Any], None], path: Path, caption: str) -> None:
    """Draw what `painter` paints, with `caption` under it, as PNG; the same numbers give the same bytes."""
    # Made without pyplot: no display is needed, and the user's own pyplot settings stay untouched.
    with extra("matplotlib").rc_context():
        extra("matplotlib").rcdefaults()
        figure = extra("matplotlib.figure").Figure(layout="constrained")
        painter(figure)
        width = figure.get_size_inches()[0]
        lines = textwrap.wrap(caption, max(40, int(width * _CAPTION_LETTERS)))
        figure.set_size_inches(width, figure.get_size_inches()[1] + 0.3 + 0.19 * len(lines))
        figure.supxlabel("\n".join(lines), fontsize=9, x=0.01, ha="left", multialignment="left")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=130, metadata={"Software": None})
    write_atomically(path, picture.getvalue())
