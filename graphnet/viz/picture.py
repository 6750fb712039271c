"""`draw`: a graph as SVG, PNG, PDF or DOT, by the suffix of the file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.viz.diagram import Diagram, diagram
from graphnet.viz.dot import dot_source, placed_bytes
from graphnet.viz.svg import svg_text

FORMATS = ("svg", "png", "pdf", "dot")
_MOST_BOXES = 3_000


def draw(
    outputs: Node | Sequence[Node] | Mapping[str, Node],
    path: str | Path,
    *,
    updates: Sequence[Node] = (),
    title: str = "",
    detail: str = "ops",
    nbytes: Mapping[Node, int] | None = None,
    seconds: Mapping[Node, float] | None = None,
) -> Path:
    """Draw what `outputs` and `updates` depend on into `path`; its suffix says the format. The path is given back.

    detail: "layers", "ops" or "nodes", from coarse to fine. nbytes, seconds: what to write on each node.
    Raises `ArgumentError` for another suffix, a folder that does not exist, a picture of too many boxes to be looked
    at, and for PNG and PDF where the program `dot` of Graphviz is not installed; SVG and DOT need no program.
    """
    target = Path(path)
    form = target.suffix.removeprefix(".").lower()
    _check(target, form)
    named = _named(outputs)
    picture = diagram(named, updates, title=title or target.stem, detail=detail, nbytes=nbytes, seconds=seconds)
    if len(picture.boxes) > _MOST_BOXES:
        raise ArgumentError(
            f"a picture of {len(picture.boxes):,} boxes is no use to anybody (at most {_MOST_BOXES:,}); "
            + ("draw a part of the graph" if detail == "layers" else 'use detail="layers"')
        )
    target.write_bytes(rendered(picture, form))
    return target


def rendered(picture: Diagram, form: str) -> bytes:
    """The bytes of a file that shows `picture`: SVG by our own hand, the same on every machine, else by graphviz."""
    if form == "svg":
        return svg_text(picture).encode()
    if form == "dot":
        text: str = dot_source(picture).source
        return text.encode()
    return placed_bytes(picture, form)


def _check(target: Path, form: str) -> None:
    if form not in FORMATS:
        endings = ", ".join(f".{known}" for known in FORMATS)
        raise ArgumentError(f"the picture's file must end in {endings}, got {target.name!r}")
    if not target.parent.is_dir():
        raise ArgumentError(f"there is no folder {str(target.parent)!r} to put {target.name!r} into")
    if form in ("png", "pdf") and shutil.which("dot") is None:
        raise ArgumentError(
            f"a .{form} picture needs the program 'dot' of Graphviz, which is not installed "
            "(graphviz.org, or your system's package 'graphviz'); without it, .svg and .dot can be written"
        )


def _named(outputs: Node | Sequence[Node] | Mapping[str, Node]) -> dict[str, Node]:
    if isinstance(outputs, Node):
        return {"output": outputs}
    if isinstance(outputs, Mapping):
        return dict(outputs)
    return {f"output {position}": node for position, node in enumerate(outputs)}
