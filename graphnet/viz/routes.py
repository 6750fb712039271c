"""The arrows of a placed diagram: along their bends inside a column, through gutters between columns; and labels."""

from __future__ import annotations

from collections import Counter

from graphnet.viz.diagram import Arrow, Diagram
from graphnet.viz.layered import GAP_RANK, GUTTER, GUTTER_STEP, Item, Layout, Point, candidates, scale_on_page
from graphnet.viz.style import LABEL_SIZE

_CHANNEL = 4.0  # between two arrows that run side by side


def best_layout(diagram: Diagram) -> Layout:
    """The layout with the number of columns that gives the largest picture on a page, with its arrows."""
    layout = max(candidates(diagram), key=scale_on_page)
    route(diagram, layout)
    return layout


def route(diagram: Diagram, layout: Layout) -> None:
    """Draw every arrow, and write what flows along it beside where it starts."""
    column_of = {key: i for i, column in enumerate(layout.columns) for key in column.rank}
    for column in layout.columns:
        for arrow, chain in column.chains:
            layout.paths.append((arrow, _inside(layout, arrow, chain)))
    used: Counter[object] = Counter()
    for arrow in diagram.arrows:
        if column_of[arrow.source] != column_of[arrow.target]:
            layout.paths.append((arrow, _across(layout, arrow, column_of, used)))
    _add_labels(layout)


def _inside(layout: Layout, arrow: Arrow, chain: list[Item]) -> list[Point]:
    """Down (or up) through the rows between; from side to side where both boxes are in one row."""
    first, *bends, last = chain
    source = layout.boxes[arrow.source]
    if first.y == last.y:
        target = layout.boxes[arrow.target]
        sign = 1 if target.x > source.x else -1
        return [(source.x + sign * source.width / 2, source.y), (target.x - sign * target.width / 2, target.y)]
    upper, lower = (first.x, first.y + first.height / 2), (last.x, last.y - last.height / 2)
    points = [upper, *((bend.x, bend.y) for bend in bends), lower]
    return points if source is first else points[::-1]


def _across(layout: Layout, arrow: Arrow, column_of: dict[str, int], used: Counter[object]) -> list[Point]:
    """Out of the source between two rows, along the gutter, and between two rows to the target: never over a box."""
    a, b = layout.boxes[arrow.source], layout.boxes[arrow.target]
    here, there = column_of[arrow.source], column_of[arrow.target]
    start, leave = _beside_row(layout, here, a, up=arrow.against, used=used)
    end, enter = _beside_row(layout, there, b, up=not arrow.against, used=used)
    if abs(here - there) == 1:
        x = _gutter_x(layout, max(here, there), used)
        return [start, (a.x, leave), (x, leave), (x, enter), (b.x, enter), end]
    used["top"] += 1
    top = -_CHANNEL * used["top"]
    x0 = _gutter_x(layout, here + (there > here), used)
    x1 = _gutter_x(layout, there + (there < here), used)
    return [start, (a.x, leave), (x0, leave), (x0, top), (x1, top), (x1, enter), (b.x, enter), end]


def _beside_row(layout: Layout, column: int, item: Item, *, up: bool, used: Counter[object]) -> tuple[Point, float]:
    """Where an arrow leaves or meets `item`, and the height at which it runs along the row of that item."""
    row = next(row for row in layout.columns[column].rows if item in row)
    height = max(other.height for other in row)
    used[column, id(row), up] += 1
    away = GAP_RANK / 2 + _CHANNEL * (used[column, id(row), up] - 1)
    if up:
        return (item.x, item.y - item.height / 2), item.y - height / 2 - away
    return (item.x, item.y + item.height / 2), item.y + height / 2 + away


def _gutter_x(layout: Layout, column: int, used: Counter[object]) -> float:
    """A line of its own in the gutter to the left of `column`; beyond the last column, to its right."""
    used["gutter", column] += 1
    if column == len(layout.columns):
        return layout.columns[-1].right + GUTTER_STEP * used["gutter", column]
    return layout.columns[column].left - GUTTER / 2 - GUTTER_STEP * (used["gutter", column] - 1)


def _add_labels(layout: Layout) -> None:
    """The types that leave a box, each written once at each side of it that they leave from."""
    seen: set[tuple[str, str, str]] = set()
    lines: Counter[tuple[str, str]] = Counter()
    for arrow, points in layout.paths:
        source = layout.boxes[arrow.source]
        side = "below" if points[0][1] > source.y else "above" if points[0][1] < source.y else "beside"
        for text in arrow.label.splitlines():
            if (arrow.source, side, text) in seen:
                continue
            seen.add((arrow.source, side, text))
            down = LABEL_SIZE * 1.05 * lines[arrow.source, side]
            lines[arrow.source, side] += 1
            y = points[0][1] + (LABEL_SIZE + 1 + down if side == "below" else -3 - down)
            layout.labels.append((points[0][0] + 4, y, text))
