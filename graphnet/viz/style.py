"""Colours, shapes and words of the pictures. Roles differ in outline and wording too, never in colour alone."""

from __future__ import annotations

from dataclasses import dataclass

from graphnet.graph.provenance import BACKWARD, FORWARD, UPDATE
from graphnet.viz.diagram import INPUT, OUTPUT

FONT = "Helvetica,Arial,sans-serif"
TITLE_SIZE, LINE_SIZE, LABEL_SIZE = 11, 9, 8.5
PAGE_WIDTH, PAGE_HEIGHT = 1140.0, 790.0  # points inside the margins of an A3 sheet on its side


@dataclass(frozen=True)
class Look:
    """How one role is drawn: `outline` is solid, dashed, double or round; `mark` stands before the title."""

    fill: str
    line: str
    outline: str
    mark: str
    meaning: str


LOOKS = {
    INPUT: Look("#f3f4f6", "#374151", "round", "", "input"),
    FORWARD: Look("#dbeafe", "#1d4ed8", "solid", "", "forward"),
    BACKWARD: Look("#ffedd5", "#c2410c", "dashed", "∇ ", "backward (∇, dashed)"),
    UPDATE: Look("#dcfce7", "#15803d", "double", "← ", "update (←, double frame)"),
    OUTPUT: Look("#ffffff", "#374151", "round", "", "result"),
}
CLUSTER_FILL, CLUSTER_LINE, TEXT = "#fafafa", "#9ca3af", "#111827"


def printable(text: str) -> str:
    """`text` without the control characters that no XML document may hold."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
