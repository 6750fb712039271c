"""`draw`: a graph as SVG, PNG, PDF or DOT, by the suffix of the file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from graphnet.errors import ArgumentError
from graphnet.graph.node import Node
from graphnet.profile import Profile
from graphnet.program import Program
from graphnet.viz.columns import ranks_of
from graphnet.viz.diagram import Diagram, bytes_text, diagram
from graphnet.viz.dot import dot_source, placed_bytes
from graphnet.viz.svg import svg_text

FORMATS = ("svg", "png", "pdf", "dot")
_MOST_BOXES = 3_000
_MOST_PASSED = 20_000
"""Rows that arrows pass. Pictures of more take a minute to place, as unrolled steps do, and are shown by layers."""


def draw(
    outputs: Node | Sequence[Node] | Mapping[str, Node],
    path: str | Path,
    *,
    updates: Sequence[Node] = (),
    title: str = "",
    detail: str | None = None,
    nbytes: Mapping[Node, int] | None = None,
    seconds: Mapping[Node, float] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Draw what `outputs` and `updates` depend on into `path`; its suffix says the format. The path is given back.

    detail: "layers", "ops" or "nodes", from coarse to fine; None is "ops", or "layers" where these are too many.
    nbytes, seconds: what to write on each node; notes: what to write under the title.
    Raises `ArgumentError` for another suffix, a folder that does not exist, a picture of too many boxes to be looked
    at, and for PNG and PDF where the program `dot` of Graphviz is not installed; SVG and DOT need no program.
    """
    target = Path(path)
    form = check_target(target)
    named = _named(outputs)

    def shown(level: str) -> Diagram:
        return diagram(named, updates, title=title or target.stem, detail=level, nbytes=nbytes, seconds=seconds)

    picture = shown(detail or "ops")
    if detail is None and (len(picture.boxes) > _MOST_BOXES or _rows_passed(picture) > _MOST_PASSED):
        picture = shown("layers")
        notes = [*notes, "shown by layers"]
    picture.notes += notes
    if len(picture.boxes) > _MOST_BOXES:
        raise ArgumentError(
            f"a picture of {len(picture.boxes):,} boxes is no use to anybody (at most {_MOST_BOXES:,}); "
            + ("draw a part of the graph" if detail == "layers" else 'use detail="layers"')
        )
    target.write_bytes(rendered(picture, form))
    return target


def draw_program(
    program: Program,
    path: str | Path,
    *,
    title: str = "",
    detail: str | None = None,
    profile: Profile | None = None,
    names: Sequence[str] = (),
) -> Path:
    """Draw a compiled step with the bytes of the arena that each step writes and, from a `profile`, its time.

    A step that writes over an input, or into a parameter or result, takes no bytes of the arena. names: those of the
    outputs, in their order.
    """
    plan, graph = program.plan, program.graph
    nbytes = {node: plan.slots[node].nbytes if node in plan.slots else 0 for node in plan.schedule.steps}
    nbytes |= {node: 0 for node in plan.reused}
    for node, slots in plan.scratch.items():
        nbytes[node] += sum(slot.nbytes for slot in slots)
    seconds = dict(zip(profile.steps, profile.seconds, strict=True)) if profile else None
    notes = [f"arena {bytes_text(plan.peak_bytes)}"]
    outputs = dict(zip(names, graph.outputs, strict=True)) if names else list(graph.outputs)
    return draw(outputs, path, updates=graph.updates, title=title, detail=detail,
                nbytes=nbytes, seconds=seconds, notes=notes)  # fmt: skip


def rendered(picture: Diagram, form: str) -> bytes:
    """The bytes of a file that shows `picture`: SVG by our own hand, the same on every machine, else by graphviz."""
    if form == "svg":
        return svg_text(picture).encode()
    if form == "dot":
        text: str = dot_source(picture).source
        return text.encode()
    return placed_bytes(picture, form)


def check_target(target: Path, formats: Sequence[str] = FORMATS) -> str:
    """The format that the suffix of `target` names. Raises `ArgumentError` where no file of it can be written there."""
    form = target.suffix.removeprefix(".").lower()
    if form not in formats:
        endings = ", ".join(f".{known}" for known in formats)
        raise ArgumentError(f"the picture's file must end in {endings}, got {target.name!r}")
    if not target.parent.is_dir():
        raise ArgumentError(f"there is no folder {str(target.parent)!r} to put {target.name!r} into")
    if form in ("png", "pdf") and shutil.which("dot") is None:
        raise ArgumentError(
            f"a .{form} picture needs the program 'dot' of Graphviz, which is not installed "
            "(graphviz.org, or your system's package 'graphviz'); without it, .svg and .dot can be written"
        )
    return form


def _rows_passed(picture: Diagram) -> int:
    """How long all arrows are together, in rows: what placing them costs."""
    rank = ranks_of(picture)
    return sum(abs(rank[arrow.source] - rank[arrow.target]) for arrow in picture.arrows)


def _named(outputs: Node | Sequence[Node] | Mapping[str, Node]) -> dict[str, Node]:
    if isinstance(outputs, Node):
        return {"output": outputs}
    if isinstance(outputs, Mapping):
        return dict(outputs)
    listed = list(outputs)
    return {"output" if len(listed) == 1 else f"output {position}": node for position, node in enumerate(listed)}
