"""A plan as a chart: steps to the right, bytes upwards, a rectangle for each value in the arena."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from graphnet.graph.provenance import BACKWARD, FORWARD, UPDATE
from graphnet.graph.text import origin_text
from graphnet.memory import Plan, Slot
from graphnet.viz.diagram import bytes_text
from graphnet.viz.layered import text_width
from graphnet.viz.picture import check_target
from graphnet.viz.style import LOOKS, TEXT, printable
from graphnet.viz.svg import document, words

LEFT, TOP, WIDTH, HEIGHT, BELOW = 74.0, 78.0, 1000.0, 520.0, 46.0
LABEL = 9.0
MARKS = 10  # on an axis, at most


def draw_memory(plan: Plan, path: str | Path, *, title: str = "") -> Path:
    """Write the chart of `plan` as SVG to `path`, which is given back. Raises `ArgumentError` for another suffix."""
    target = Path(path)
    check_target(target, ("svg",))
    target.write_text(memory_svg(plan, title or target.stem), encoding="utf-8")
    return target


def memory_svg(plan: Plan, title: str) -> str:
    """The chart as SVG text. Each rectangle tells its value, bytes, steps and origin where the pointer rests on it."""
    steps = len(plan.schedule.steps)
    note = (
        f"{steps} steps   ·   arena {bytes_text(plan.peak_bytes)}   ·   "
        f"largest sum of live bytes {bytes_text(plan.live_bytes)}"
    )
    body = [words(16, 24, title, 15, bold=True), words(16, 41, note, 10), *_legend(), *_axes(plan)]
    for slot, what in _slots(plan):
        body.append(_rectangle(plan, slot, what))
    return document(LEFT + WIDTH + 20, TOP + HEIGHT + BELOW, body)


def _slots(plan: Plan) -> Iterator[tuple[Slot, str]]:
    """Every slot and what it is: the role of the step, or scratch."""
    for slot in plan.slots.values():
        yield slot, slot.node.provenance.role
    for slots in plan.scratch.values():
        for slot in slots:
            yield slot, "scratch"


def _x(plan: Plan, step: float) -> float:
    return LEFT + WIDTH * step / max(len(plan.schedule.steps) + 1, 1)


def _y(plan: Plan, offset: float) -> float:
    return TOP + HEIGHT * (1 - offset / max(plan.peak_bytes, 1))


def _rectangle(plan: Plan, slot: Slot, what: str) -> str:
    look = LOOKS.get(what)
    fill, line, dash = (look.fill, look.line, look.outline) if look else ("#e5e7eb", "#6b7280", "solid")
    x, y = _x(plan, slot.first), _y(plan, slot.end)
    width, height = _x(plan, slot.last + 1) - x, _y(plan, slot.offset) - y
    dashes = ' stroke-dasharray="3 2"' if dash == "dashed" else ""
    node = slot.node
    tip = f"{slot}\n{bytes_text(slot.nbytes)}, {what}, {origin_text(node)}"
    parts = [
        f"<g><title>{escape(printable(tip))}</title>",
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{fill}" stroke="{line}" '
        f'stroke-width="0.6"{dashes}/>',
    ]
    text = node.op.name if what != "scratch" else f"scratch of {node.op.name}"
    mark = look.mark if look else ""
    if height >= LABEL * 1.2 and width >= text_width(mark + text, LABEL) + 4:
        parts.append(words(x + width / 2, y + height / 2 + LABEL / 3, mark + text, LABEL, anchor="middle"))
    return "".join([*parts, "</g>"])


def _legend() -> list[str]:
    parts = []
    x = 16.0
    entries = [(LOOKS[role].fill, LOOKS[role].line, LOOKS[role].meaning) for role in (FORWARD, BACKWARD, UPDATE)]
    for fill, line, meaning in [*entries, ("#e5e7eb", "#6b7280", "scratch")]:
        dashes = ' stroke-dasharray="3 2"' if fill == LOOKS[BACKWARD].fill else ""
        parts.append(f'<rect x="{x}" y="50" width="12" height="12" fill="{fill}" stroke="{line}"{dashes}/>')
        parts.append(words(x + 17, 60, meaning, LABEL))
        x += 17 + text_width(meaning, LABEL) + 16
    return parts


def _between_marks(end: int, choices: list[int]) -> int:
    """The smallest distance that keeps the marks from 0 to `end` few."""
    return next(choice for choice in choices if choice * MARKS >= end)


def _axes(plan: Plan) -> list[str]:
    bottom = TOP + HEIGHT
    parts = [f'<path d="M{LEFT},{TOP} V{bottom} H{LEFT + WIDTH}" fill="none" stroke="{TEXT}"/>']
    for offset in range(0, plan.peak_bytes + 1, _between_marks(plan.peak_bytes, [1 << power for power in range(60)])):
        y = _y(plan, offset)
        parts.append(f'<path d="M{LEFT - 4},{y:.1f} H{LEFT + WIDTH}" stroke="#e5e7eb"/>')
        parts.append(words(LEFT - 8, y + 3, bytes_text(offset), LABEL, anchor="end"))
    steps = len(plan.schedule.steps)
    for step in range(0, steps + 1, _between_marks(steps, [d * 10**power for power in range(12) for d in (1, 2, 5)])):
        parts.append(words(_x(plan, step), bottom + 15, str(step), LABEL, anchor="middle"))
    parts.append(words(LEFT + WIDTH / 2, bottom + 32, "step of the schedule", 10, anchor="middle"))
    return parts
