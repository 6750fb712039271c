"""A placed diagram as SVG text, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from graphnet.viz.diagram import Arrow, Box, Diagram
from graphnet.viz.layered import Band, Item, Point, text_width
from graphnet.viz.routes import best_layout
from graphnet.viz.style import (
    CLUSTER_FILL,
    CLUSTER_LINE,
    FONT,
    LABEL_SIZE,
    LINE_SIZE,
    LOOKS,
    TEXT,
    TITLE_SIZE,
    printable,
)

MARGIN, HEAD = 16.0, 84.0
RADIUS = 6.0


def svg_text(diagram: Diagram) -> str:
    """The diagram as one SVG document."""
    layout = best_layout(diagram)
    width = max(layout.width, _legend_width(diagram)) + 2 * MARGIN
    height = layout.height + HEAD + MARGIN
    body = [
        *_head(diagram),
        f'<g transform="translate({MARGIN},{HEAD})">',
        *(_band(band) for band in layout.bands),
        *(_arrow(arrow, points) for arrow, points in layout.paths),
        *(_box(item.box, item) for item in layout.boxes.values() if item.box is not None),
        *(_label(*label) for label in layout.labels),
        *(_label(band.x + 5, band.y + 10, band.name, LINE_SIZE) for band in layout.bands),
        "</g>",
    ]
    return document(width, height, body)


def document(width: float, height: float, body: Sequence[str]) -> str:
    """An SVG document of this size, on white."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *body,
        "</svg>\n",
    ])  # fmt: skip


def words(
    x: float, y: float, text: str, size: float, *, anchor: str = "start", bold: bool = False, fill: str = TEXT
) -> str:
    """One line of text; y is its base line."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}"{weight}>'
        f"{escape(printable(text))}</text>"
    )


def _head(diagram: Diagram) -> list[str]:
    """Title, notes and the legend, one key for each role that occurs."""
    parts = [words(MARGIN, 24, diagram.title, 15, bold=True), words(MARGIN, 41, "   ·   ".join(diagram.notes), 10)]
    x = MARGIN
    for role in diagram.roles:
        look = LOOKS[role]
        width = text_width(look.meaning, LINE_SIZE) + 16
        parts.append(_outline(look.outline, x, 50, width, 17, look.fill, look.line))
        parts.append(words(x + width / 2, 62, look.meaning, LINE_SIZE, anchor="middle"))
        x += width + 8
    return parts


def _legend_width(diagram: Diagram) -> float:
    keys = sum(text_width(LOOKS[role].meaning, LINE_SIZE) + 24 for role in diagram.roles)
    return max(keys, text_width(diagram.title, 15) * 1.1, text_width("   ·   ".join(diagram.notes), 10))


def _outline(outline: str, x: float, y: float, width: float, height: float, fill: str, line: str) -> str:
    radius = {"solid": 5.0, "round": height / 2}.get(outline, 0.0)
    dash = ' stroke-dasharray="5 3"' if outline == "dashed" else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    rect = f'<rect {place} rx="{radius:.1f}" fill="{fill}" stroke="{line}"{dash}/>'
    if outline == "double":
        inner = f'x="{x + 2.5:.1f}" y="{y + 2.5:.1f}" width="{width - 5:.1f}" height="{height - 5:.1f}"'
        rect += f'<rect {inner} fill="none" stroke="{line}"/>'
    return rect


def _box(box: Box, placed: Item) -> str:
    look = LOOKS[box.role]
    x, y = placed.x - placed.width / 2, placed.y - placed.height / 2
    lines = [
        "<g>",
        f"<title>{escape(printable(box.tip or box.title))}</title>",
        _outline(look.outline, x, y, placed.width, placed.height, look.fill, look.line),
        words(placed.x, y + TITLE_SIZE * 1.3, look.mark + box.title, TITLE_SIZE, anchor="middle", bold=True),
    ]
    for position, line in enumerate(box.lines, 1):
        base = y + TITLE_SIZE * 1.3 + position * LINE_SIZE * 1.25
        lines.append(words(placed.x, base, line, LINE_SIZE, anchor="middle"))
    return "\n".join([*lines, "</g>"])


def _band(band: Band) -> str:
    place = f'x="{band.x:.1f}" y="{band.y:.1f}" width="{band.width:.1f}" height="{band.height:.1f}"'
    layer = quoteattr(printable(band.name))
    return f'<rect {place} rx="6" fill="{CLUSTER_FILL}" stroke="{CLUSTER_LINE}" data-layer={layer}/>'


def _arrow(arrow: Arrow, points: Sequence[Point]) -> str:
    look = LOOKS[arrow.role]
    dash = ' stroke-dasharray="4 3"' if look.outline == "dashed" else ""
    tip = escape(printable(arrow.label))
    look_of_line = f'fill="none" stroke="{look.line}" stroke-opacity="0.8"{dash}'
    line = f'<path d="{_rounded(points)}" {look_of_line}><title>{tip}</title></path>'
    return line + _head_of_arrow(points[-2], points[-1], look.line)


def _head_of_arrow(before: Point, tip: Point, colour: str) -> str:
    dx, dy = tip[0] - before[0], tip[1] - before[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    ux, uy = dx / length, dy / length
    left = (tip[0] - 6 * ux - 2.5 * uy, tip[1] - 6 * uy + 2.5 * ux)
    right = (tip[0] - 6 * ux + 2.5 * uy, tip[1] - 6 * uy - 2.5 * ux)
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (tip, left, right))
    return f'<polygon points="{corners}" fill="{colour}"/>'


def _rounded(points: Sequence[Point]) -> str:
    """The data of an SVG path along `points`, its corners rounded."""
    parts = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        entry, leave = _towards(corner, before), _towards(corner, after)
        parts.append(f"L{entry[0]:.1f},{entry[1]:.1f} Q{corner[0]:.1f},{corner[1]:.1f} {leave[0]:.1f},{leave[1]:.1f}")
    return " ".join([*parts, f"L{points[-1][0]:.1f},{points[-1][1]:.1f}"])


def _towards(corner: Point, other: Point) -> Point:
    """The point a radius from `corner` (or half-way, where that is nearer) in the direction of `other`."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = (dx * dx + dy * dy) ** 0.5
    share = min(RADIUS / length, 0.5) if length else 0.0
    return corner[0] + share * dx, corner[1] + share * dy


def _label(x: float, y: float, text: str, size: float = LABEL_SIZE) -> str:
    """A text that lines may pass behind: on a white ground so that lines do not cross it."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{TEXT}" '
        f'stroke="#ffffff" stroke-width="2.5" paint-order="stroke">{escape(printable(text))}</text>'
    )
