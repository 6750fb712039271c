"""Figures as files: without a display, and the same bytes for the same figure."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphnet.errors import ArgumentError
from graphnet.extras import extra
from graphnet.interop.safetensors import write_atomically

FORMATS = ("svg", "png", "pdf")


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches. It is made without pyplot: no display is needed, nor are its settings touched."""
    return extra("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")


def check_format(path: str | os.PathLike[str], what: str) -> str:
    """The format that the suffix of `path` names. Raises `ArgumentError` for another."""
    suffix = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
    if suffix not in FORMATS:
        raise ArgumentError(f"{what} are drawn as {', '.join(FORMATS)}, not {os.fspath(path)!r}")
    return suffix


def save_figure(figure: Any, path: str | os.PathLike[str], what: str = "pictures") -> None:
    """Write a figure as its suffix says, whole or not at all."""
    suffix = check_format(path, what)
    picture = io.BytesIO()
    # Without a date the same figure gives the same bytes.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix)
    with extra("matplotlib").rc_context({"svg.hashsalt": "graphnet"}):
        figure.savefig(picture, format=suffix, dpi=150, metadata=metadata)
    write_atomically(path, picture.getvalue())


def draw_confusion(matrix: np.ndarray, path: str | os.PathLike[str], classes: Sequence[str] | None = None) -> None:
    """Draw a confusion matrix: counts in the cells, colours by the share of each row's class. classes: their names.

    Raises `ArgumentError` for what is no square of integer counts, or names that are not one a class.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size or counts.dtype.kind not in "iu":
        wanted = "integer counts (classes, classes)"
        raise ArgumentError(f"draw_confusion: expected {wanted}, got {counts.dtype} of shape {counts.shape}")
    size = len(counts)
    names = [str(number) for number in range(size)] if classes is None else [str(name) for name in classes]
    if len(names) != size:
        raise ArgumentError(f"draw_confusion: expected {size} names of classes, got {len(names)}")
    check_format(path, "confusion matrices")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(14.0, 2.2 + 0.42 * size)
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if size <= 30:  # more would be too small to read
        for row, column in np.ndindex(*counts.shape):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.55 else "black"
                text = str(counts[row, column])
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        long = max(map(len, names)) > 3
        axes.set_xticks(range(size), names, rotation=60 if long else 0, ha="right" if long else "center")
        axes.set_yticks(range(size), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right = float(np.trace(counts)) / max(int(counts.sum()), 1)
    axes.set_title(f"{int(np.trace(counts)):,} of {int(counts.sum()):,} right ({right:.2%})", fontsize=11)
    figure.colorbar(image, ax=axes, label="share of the true class")
    save_figure(figure, path, "confusion matrices")
