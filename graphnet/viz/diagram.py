"""What a picture of a graph says, before anything is placed: boxes, arrows between them, and the layers they are in.

A box is an operation, or several: constants and parameters are written into the boxes that read them, views (reshape,
transpose, broadcast) become the arrows that they are, and all that updates one parameter is one box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphnet.errors import ArgumentError
from graphnet.graph.dims import Dim
from graphnet.graph.node import Node, shown
from graphnet.graph.provenance import BACKWARD, FORWARD, UPDATE
from graphnet.graph.text import origin_text
from graphnet.graph.traversal import topological
from graphnet.graph.types import TensorType
from graphnet.ops.fused import Fused
from graphnet.ops.sources import Assign, Constant, Input, Parameter, SizeOf
from graphnet.viz.collapse import SHARED, Parts, parts_of

INPUT, OUTPUT = "input", "output"
DETAILS = ("layers", "ops", "nodes")
TIMES = "\N{MULTIPLICATION SIGN}"
DEFAULTS = (0, 1, -100, "", "zeros", "constant", "mean")
MAX_INLINE = 4
MAX_LABELS = 2


@dataclass
class Box:
    """One box: its title, smaller lines under it, its part in the step, and the layers around it, outermost first."""

    key: str
    title: str
    role: str
    layer: tuple[str, ...]
    nodes: list[Node]
    lines: list[str] = field(default_factory=list)
    tip: str = ""


@dataclass
class Arrow:
    """Values that go from one box to another. `against` says that it points against the order of drawing."""

    source: str
    target: str
    role: str
    types: list[str] = field(default_factory=list)

    @property
    def against(self) -> bool:
        """A gradient flows from the loss back to the inputs; drawn beside the forward pass, it points up."""
        return self.role == BACKWARD

    @property
    def label(self) -> str:
        more = len(self.types) - MAX_LABELS
        return "\n".join([*self.types[:MAX_LABELS], *([f"and {more} more"] if more > 0 else [])])


@dataclass
class Diagram:
    """Boxes by key in topological order, and the arrows between them."""

    title: str
    notes: list[str]
    boxes: dict[str, Box]
    arrows: list[Arrow]

    @property
    def roles(self) -> list[str]:
        """The roles that occur, in the order of the legend."""
        found = {box.role for box in self.boxes.values()}
        return [role for role in (INPUT, FORWARD, BACKWARD, UPDATE, OUTPUT) if role in found]


def diagram(
    outputs: Mapping[str, Node],
    updates: Sequence[Node] = (),
    *,
    title: str = "",
    detail: str = "ops",
    nbytes: Mapping[Node, int] | None = None,
    seconds: Mapping[Node, float] | None = None,
) -> Diagram:
    """The picture of what `outputs` (by name) and `updates` depend on.

    detail: "nodes" draws every node, "ops" folds as the module says, "layers" has one box a layer and role.
    nbytes, seconds: bytes that each node occupies, time that it took; boxes show their sums.
    """
    if detail not in DETAILS:
        raise ArgumentError(f"detail must be one of {', '.join(DETAILS)}, not {detail!r}")
    order = topological([*outputs.values(), *updates])
    parts = parts_of(order, detail)
    boxes = {key: _box(key, nodes, parts, detail) for key, nodes in parts.members.items()}
    _drop_common_layer(boxes)
    for box in boxes.values():
        if detail != "nodes":
            box.lines += _inline_texts(box, parts)
        box.lines += _cost_lines(box, nbytes or {}, seconds or {})
    arrows = _arrows(order, boxes, parts)
    _add_outputs(outputs, boxes, arrows, parts)
    arrows = _without_shared(boxes, arrows)
    return Diagram(title, _notes(order, seconds), boxes, arrows)


def type_text(of: TensorType) -> str:
    """A type as arrows show it: its dtype, then its sizes with multiplication signs between."""
    return f"{of.dtype.name} {_sizes_text(of.shape)}"


def bytes_text(count: float) -> str:
    """Bytes with a binary unit: `17.2 KiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def time_text(seconds: float) -> str:
    """A duration with a unit that fits it: `12.3 µs`."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} µs"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _sizes_text(shape: Sequence[object]) -> str:
    texts = [f"({size})" if isinstance(size, Dim) and len(str(size)) > 2 else str(size) for size in shape]
    return TIMES.join(texts) if texts else "scalar"


def _box(key: str, nodes: list[Node], parts: Parts, detail: str) -> Box:
    role, layer = parts.roles[key], parts.layers[key]
    tip = "\n".join(f"{node!r}  {origin_text(node)}" for node in nodes[:8])
    if role == UPDATE and parts.titles[key]:
        count = len(nodes)
        return Box(key, parts.titles[key], role, layer, nodes, [f"{count} operation{'s' * (count != 1)}"], tip)
    if len(nodes) == 1:
        (node,) = nodes
        if isinstance(node.op, Input):
            return Box(key, node.op.label, INPUT, layer, nodes, [], tip)
        if isinstance(node, Parameter):
            return Box(key, node.name, role, layer, nodes, ["parameter"], tip)
        attributes = _attributes_text(node, everything=detail == "nodes")
        return Box(key, node.op.name, role, layer, nodes, [attributes] if attributes else [], tip)
    names = list(dict.fromkeys(name for node in nodes if not node.op.is_view for name in _op_names(node)))
    more = len(names) - MAX_INLINE
    lines = [", ".join(names[:MAX_INLINE]) + (f" and {more} more" if more > 0 else "")]
    # Outside innermost layers the longest name says most: softmax_cross_entropy, not the divide after it.
    is_layer = layer and nodes[0] not in parts.loose
    return Box(key, layer[-1] if is_layer else max(names, key=len), role, layer, nodes, lines, tip)


def _drop_common_layer(boxes: Mapping[str, Box]) -> None:
    """Leave out the name of the model itself where all layers are in it."""
    layers = {box.layer for box in boxes.values() if box.layer}
    if len({layer[0] for layer in layers}) == 1 and len(layers) > 1:
        for box in boxes.values():
            box.layer = box.layer[1:]


def _attributes_text(node: Node, *, everything: bool) -> str:
    """The fields of an op that say more than their defaults: stride and padding, say."""
    texts = _op_names(node) if isinstance(node.op, Fused) else []
    for name, value in () if texts else node.op.attributes.items():
        if isinstance(value, TensorType) or (not everything and _says_nothing(name, value)):
            continue
        if name == "axis" and "kernel" in node.op.attributes:  # where a window lies says its kernel
            continue
        texts.append(f"{name} {shown(value) if name.startswith('ax') else _value_text(value)}")
    joined = ", ".join(texts)
    return joined if len(joined) <= 44 else f"{joined[:43]}…"


def _op_names(node: Node) -> list[str]:
    """The op of a node, or those that are fused into it."""
    return [op.name for op, _ in node.op.parts] if isinstance(node.op, Fused) else [node.op.name]


def _value_text(value: Any) -> str:
    """A field's value; sizes with multiplication signs, and a padding that is the same on both sides as one number."""
    if isinstance(value, tuple) and value and all(isinstance(pair, tuple) and len(set(pair)) == 1 for pair in value):
        value = tuple(pair[0] for pair in value)
    if isinstance(value, tuple) and value and all(isinstance(item, (int, Dim)) for item in value):
        return _sizes_text(value)
    return shown(value)


def _says_nothing(name: str, value: Any) -> bool:
    if name.startswith("ax"):
        return False
    if isinstance(value, tuple):
        return all(_says_nothing("", item) for item in value)
    return value is None or value is False or (isinstance(value, (int, float, str)) and value in DEFAULTS)


def _inline_texts(box: Box, parts: Parts) -> list[str]:
    """Parameters and constants that the box reads, a line each."""
    texts: dict[str, None] = {}
    for node in box.nodes:
        for value in node.inputs:
            base = parts.base(value)
            if isinstance(base, Parameter) and box.role != UPDATE:
                texts[f"{base.name.split('.')[-1] if box.layer else base.name} {_sizes_text(base.shape)}"] = None
            elif isinstance(base.op, Constant) and len(box.nodes) == 1 and base.type.size == 1:
                texts[f"constant {base.op.value.reshape(-1)[0]:.6g}"] = None
            elif isinstance(base.op, SizeOf) and len(box.nodes) == 1:
                texts[f"size {base.op.size}"] = None
    listed = list(texts)
    more = len(listed) - MAX_INLINE
    return [*listed[:MAX_INLINE], *([f"and {more} more"] if more > 0 else [])]


def _cost_lines(box: Box, nbytes: Mapping[Node, int], seconds: Mapping[Node, float]) -> list[str]:
    texts = []
    if any(node in nbytes for node in box.nodes):
        texts.append(bytes_text(sum(nbytes.get(node, 0) for node in box.nodes)) + " of arena")
    if any(node in seconds for node in box.nodes):
        texts.append(time_text(sum(seconds.get(node, 0.0) for node in box.nodes)))
    return [", ".join(texts)] if texts else []


def _arrows(order: Sequence[Node], boxes: Mapping[str, Box], parts: Parts) -> list[Arrow]:
    found: dict[tuple[str, str], Arrow] = {}
    for node in order:
        target = parts.home.get(node)
        for value in node.inputs if target else ():
            source = parts.home.get(parts.base(value))
            if source is None or target is None or source == target:
                continue
            roles = (boxes[source].role, boxes[target].role)
            role = BACKWARD if roles == (BACKWARD, BACKWARD) else UPDATE if UPDATE in roles else FORWARD
            arrow = found.setdefault((source, target), Arrow(source, target, role))
            text = type_text(value.type)
            if text not in arrow.types:
                arrow.types.append(text)
    return list(found.values())


def _without_shared(boxes: Mapping[str, Box], arrows: list[Arrow]) -> list[Arrow]:
    """The arrows, less those of a box that all updates share (a step counter, a global norm): words say it better."""
    shared = next((key for key, box in boxes.items() if box.title == SHARED and box.role == UPDATE), None)
    if shared is None:
        return arrows
    boxes[shared].lines.append("read by every update")
    reads_many = sum(1 for arrow in arrows if arrow.target == shared) > MAX_INLINE
    if reads_many:
        boxes[shared].lines.append("reads every gradient")
    return [a for a in arrows if a.source != shared and not (reads_many and a.target == shared)]


def _add_outputs(outputs: Mapping[str, Node], boxes: dict[str, Box], arrows: list[Arrow], parts: Parts) -> None:
    """A box for every result, by its name; a result that an update carries out has its box already."""
    for position, (name, node) in enumerate(outputs.items()):
        base = parts.base(node)
        if isinstance(base.op, Assign):
            continue
        key = f"output{position}"
        is_gradient = node.provenance.role == BACKWARD
        layer = node.provenance.scope if is_gradient else ()
        boxes[key] = Box(key, name, OUTPUT, layer, [], [] if base in parts.home else [repr(base)])
        if base in parts.home:
            role = UPDATE if is_gradient else FORWARD
            arrows.append(Arrow(parts.home[base], key, role, [type_text(node.type)]))


def _notes(order: Sequence[Node], seconds: Mapping[Node, float] | None) -> list[str]:
    operations = sum(1 for node in order if node.inputs and not node.op.is_view)
    trained = [node.value.size for node in order if isinstance(node, Parameter) and node.requires_grad]
    notes = [f"{operations:,} operations", f"{sum(trained):,} trainable parameters"]
    if seconds:
        notes.append(f"{time_text(sum(seconds.values()))} a run")
    return notes
