"""A diagram by python-graphviz: in the DOT language for others to place, and as PNG or PDF as we placed it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape

from graphnet.viz.columns import layer_tree
from graphnet.viz.diagram import Arrow, Box, Diagram
from graphnet.viz.layered import Layout, Point, text_width
from graphnet.viz.routes import best_layout
from graphnet.viz.style import (
    CLUSTER_FILL,
    CLUSTER_LINE,
    FONT,
    LABEL_SIZE,
    LINE_SIZE,
    LOOKS,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    TEXT,
    TITLE_SIZE,
    printable,
)

ARROW_HEAD = 5.0
_SHAPES = {
    "solid": {"shape": "box", "style": "filled,rounded"},
    "dashed": {"shape": "box", "style": "filled,dashed"},
    "double": {"shape": "box", "style": "filled", "peripheries": "2"},
    "round": {"shape": "ellipse", "style": "filled"},
}


def dot_source(diagram: Diagram) -> Any:
    """The `graphviz.Digraph` of a diagram, layers as clusters, for `dot` to place."""
    import graphviz

    graph = graphviz.Digraph("graphnet", node_attr={"fontname": FONT, "margin": "0.08,0.03", "height": "0.2"})
    size = f"{PAGE_WIDTH / 72:.2f},{PAGE_HEIGHT / 72:.2f}"
    graph.attr(rankdir="TB", nodesep="0.16", ranksep="0.2", size=size)
    graph.attr(fontname=FONT, labelloc="t", label=_headline(diagram))
    graph.attr("edge", fontname=FONT, fontsize=str(LABEL_SIZE), arrowsize="0.6", fontcolor=TEXT)
    _add_layers(graph, layer_tree(diagram.boxes.values()), ())
    for arrow in diagram.arrows:
        label = "<br/>".join(_html(line, LABEL_SIZE) for line in arrow.label.splitlines())
        ends = (arrow.target, arrow.source) if arrow.against else (arrow.source, arrow.target)
        graph.edge(*ends, label=f"<{label}>", dir="back" if arrow.against else "forward", **_line_attributes(arrow))
    return graph


def placed_bytes(diagram: Diagram, form: str) -> bytes:
    """The diagram as we placed it, painted by graphviz: `neato -n2` leaves everything where it is."""
    import graphviz

    layout = best_layout(diagram)
    nodes = {"fontname": FONT, "margin": "0", "fixedsize": "true"}
    graph = graphviz.Digraph("graphnet", engine="neato", node_attr=nodes, edge_attr={"arrowsize": "0.6"})
    graph.attr(label=_headline(diagram), labelloc="t", fontname=FONT, pad="0.2", dpi="144" if form == "png" else "72")
    inside = {key: f"cluster{number}" for number, band in enumerate(layout.bands) for key in band.keys}
    for number, band in enumerate(layout.bands):
        with graph.subgraph(name=f"cluster{number}") as cluster:
            bottom, top = layout.height - band.y - band.height, layout.height - band.y
            cluster.attr(bb=f"{band.x:.1f},{bottom:.1f},{band.x + band.width:.1f},{top:.1f}", style="filled,rounded",
                         fillcolor=CLUSTER_FILL, color=CLUSTER_LINE, label="")  # fmt: skip
            for key in band.keys:
                _add_placed(cluster, layout, key)
    for key in layout.boxes:
        if key not in inside:
            _add_placed(graph, layout, key)
    for arrow, points in layout.paths:
        graph.edge(arrow.source, arrow.target, pos=_spline(layout, points), **_line_attributes(arrow))
    names = [(band.x + 5, band.y + 10, band.name) for band in layout.bands]
    for number, (x, y, text) in enumerate([*layout.labels, *names]):
        width = text_width(text, LABEL_SIZE)
        place = _pinned(layout, x + width / 2, y - LABEL_SIZE / 3, width, LABEL_SIZE)
        graph.node(f"text{number}", label=f"<{_html(text, LABEL_SIZE)}>", shape="plaintext", **place)
    # quiet: neato complains of every label that its own fonts set wider than we estimated, by a fraction of a point.
    content: bytes = graph.pipe(format=form, neato_no_op=2, quiet=True)
    return content


def _add_placed(graph: Any, layout: Layout, key: str) -> None:
    item = layout.boxes[key]
    assert item.box is not None
    graph.node(key, **_box_attributes(item.box), **_pinned(layout, item.x, item.y, item.width, item.height))


def _pinned(layout: Layout, x: float, y: float, width: float, height: float) -> dict[str, str]:
    """A place as graphviz takes it: points with y upwards, sizes in inches."""
    return {"pos": f"{x:.1f},{layout.height - y:.1f}!", "width": f"{width / 72:.3f}", "height": f"{height / 72:.3f}"}


def _spline(layout: Layout, points: Sequence[Point]) -> str:
    """Straight stretches as the cubic curves that graphviz draws; the last few points are the arrow head's."""
    flipped = [(x, layout.height - y) for x, y in points]
    (x0, y0), (x1, y1) = flipped[-2:]
    share = min(ARROW_HEAD / max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, ARROW_HEAD), 0.9)
    flipped[-1] = (x1 - share * (x1 - x0), y1 - share * (y1 - y0))
    parts = [f"e,{x1:.1f},{y1:.1f} {flipped[0][0]:.1f},{flipped[0][1]:.1f}"]
    for (ax, ay), (bx, by) in pairwise(flipped):
        thirds = [(ax + (bx - ax) * t, ay + (by - ay) * t) for t in (1 / 3, 2 / 3, 1)]
        parts += [f"{x:.1f},{y:.1f}" for x, y in thirds]
    return " ".join(parts)


def _line_attributes(arrow: Arrow) -> dict[str, str]:
    look = LOOKS[arrow.role]
    return {"color": look.line, "style": "dashed" if look.outline == "dashed" else "solid"}


def _add_layers(graph: Any, tree: Mapping[str, Any], path: tuple[str, ...]) -> None:
    for box in tree.get("", ()):
        graph.node(box.key, **_box_attributes(box))
    for name, inner in tree.items():
        if not name:
            continue
        with graph.subgraph(name="cluster " + json.dumps([*path, name])) as cluster:
            cluster.attr(label=f"<{_html(name, TITLE_SIZE - 1)}>", labeljust="l", style="filled,rounded", margin="6",
                         fillcolor=CLUSTER_FILL, color=CLUSTER_LINE)  # fmt: skip
            _add_layers(cluster, inner, (*path, name))


def _box_attributes(box: Box) -> dict[str, str]:
    import graphviz

    look = LOOKS[box.role]
    rows = [f"<b>{_html(look.mark + box.title, TITLE_SIZE)}</b>", *(_html(line, LINE_SIZE) for line in box.lines)]
    return {
        "label": f"<{'<br/>'.join(rows)}>",
        "fillcolor": look.fill,
        "color": look.line,
        "tooltip": graphviz.escape(printable(box.tip or box.title)),
        **_SHAPES[look.outline],
    }


def _headline(diagram: Diagram) -> str:
    """The title, what the picture counts, and the legend, as one HTML-like label."""
    keys = "".join(
        f'<td bgcolor="{look.fill}" color="{look.line}" border="1" '
        f'style="{"dashed" if look.outline == "dashed" else "rounded"}">{_html(look.meaning, LINE_SIZE)}</td>'
        for look in map(LOOKS.__getitem__, diagram.roles)
    )
    title = f"<b>{_html(diagram.title, 15)}</b>"
    notes = _html("   ·   ".join(diagram.notes), LINE_SIZE + 1)
    return (
        f'<<table border="0" cellspacing="6"><tr><td colspan="{len(diagram.roles)}">{title}</td></tr>'
        f'<tr><td colspan="{len(diagram.roles)}">{notes}</td></tr><tr>{keys}</tr></table>>'
    )


def _html(text: str, size: float) -> str:
    return f'<font point-size="{size}">{escape(printable(text)) or " "}</font>'
