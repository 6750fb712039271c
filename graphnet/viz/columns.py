"""Ranks, lanes, blocks and columns: how a long graph is folded, as a newspaper is, so that it fills a page on its side.

A block is an outermost layer, or a box outside all layers; blocks stand one under the other, the columns beside each
other. In each block the forward pass has the left lane, its gradients and updates the right one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphnet.graph.provenance import BACKWARD, FORWARD, UPDATE
from graphnet.viz.diagram import OUTPUT, Box, Diagram

MAX_COLUMNS = 6


def ranks_of(diagram: Diagram, keep: Iterable[str] | None = None) -> dict[str, int]:
    """For each box (of `keep`) the length of the longest path to it, gradient arrows taken the other way round.

    An arrow that closes a cycle, as a layer called twice makes in a picture of layers, is left out of account.
    """
    kept = dict.fromkeys(diagram.boxes if keep is None else keep)
    below: dict[str, list[str]] = {key: [] for key in kept}
    for source, target in downward(diagram, kept):
        below[source].append(target)
    order, done = _order_without_cycles(below)
    ranks = dict.fromkeys(kept, 0)
    for key in order:
        for target in below[key]:
            if done[target] > done[key]:
                ranks[target] = max(ranks[target], ranks[key] + 1)
    return ranks


def downward(diagram: Diagram, kept: Iterable[str]) -> list[tuple[str, str]]:
    """The arrows as they are drawn, from top to bottom, between the boxes kept."""
    inside = set(kept)
    ends = [(a.target, a.source) if a.against else (a.source, a.target) for a in diagram.arrows]
    return [(source, target) for source, target in ends if source in inside and target in inside]


def _order_without_cycles(below: dict[str, list[str]]) -> tuple[list[str], dict[str, int]]:
    """Reverse post-order of a depth-first walk: a topological order, but for the arrows that close a cycle."""
    order: list[str] = []
    seen: set[str] = set()
    for root in reversed(below):
        stack = [(root, False)]
        while stack:
            key, ready = stack.pop()
            if ready:
                order.append(key)
            elif key not in seen:
                seen.add(key)
                stack.append((key, True))
                stack.extend((target, False) for target in below[key] if target not in seen)
    order.reverse()
    return order, {key: position for position, key in enumerate(order)}


def lanes_of(diagram: Diagram) -> dict[str, int]:
    """0 for the forward pass and what goes in and out of it, 1 for gradients and updates."""
    lanes = {key: int(box.role in (BACKWARD, UPDATE)) for key, box in diagram.boxes.items()}
    for arrow in diagram.arrows:
        if diagram.boxes[arrow.target].role == OUTPUT:
            lanes[arrow.target] = lanes[arrow.source]
    return lanes


def blocks_of(diagram: Diagram) -> dict[str, str]:
    """For each box, the box that leads its block: the first of its outermost layer, or of what it belongs to."""
    leaders: dict[tuple[str, ...] | int, str] = {}
    blocks: dict[str, str] = {}
    loose = _loose_parts(diagram)
    for key, box in sorted(diagram.boxes.items(), key=lambda entry: entry[1].role != FORWARD):
        if box.layer or key in loose:
            blocks[key] = leaders.setdefault(box.layer[:1] or loose[key], key)
    for arrow in diagram.arrows:
        for key, other in ((arrow.source, arrow.target), (arrow.target, arrow.source)):
            if key not in blocks and other in blocks:
                blocks[key] = blocks[other]
    return {key: blocks.get(key, key) for key in diagram.boxes}


def _loose_parts(diagram: Diagram) -> dict[str, int]:
    """Boxes outside all layers; those of one line of the user's that arrows join, as a loss and its gradient, share a
    number (by networkx)."""
    import networkx

    graph = networkx.Graph()
    lines = {
        key: box.nodes[0].provenance.location
        for key, box in diagram.boxes.items()
        if not box.layer and box.role in (FORWARD, BACKWARD, UPDATE)
    }
    graph.add_nodes_from(lines)
    for arrow in diagram.arrows:
        if arrow.source in lines and lines[arrow.source] == lines.get(arrow.target):
            graph.add_edge(arrow.source, arrow.target)
    components = networkx.connected_components(graph)
    return {key: number for number, component in enumerate(components) for key in component}


def columns_of(diagram: Diagram, columns: int) -> list[list[list[str]]]:
    """Columns of blocks of boxes, in order; blocks stay whole, and every column is about equally tall."""
    ranks, blocks, lanes = ranks_of(diagram), blocks_of(diagram), lanes_of(diagram)
    members: dict[str, list[str]] = {}
    for key, block in blocks.items():
        members.setdefault(block, []).append(key)
    last = {block: max(ranks[key] for key in keys if lanes[key] == lanes[block]) for block, keys in members.items()}
    order = sorted(members, key=lambda block: (diagram.boxes[block].role == UPDATE, last[block]))
    heights = [_height(diagram, members[block], lanes) for block in order]
    total, filled = sum(heights), 0.0
    folded: list[list[list[str]]] = [[] for _ in range(columns)]
    for block, height in zip(order, heights, strict=True):
        folded[min(columns - 1, int((filled + height / 2) * columns / total))].append(members[block])
        filled += height
    return [column for column in folded if column]


def _height(diagram: Diagram, keys: list[str], lanes: dict[str, int]) -> float:
    return 0.7 + max(
        max(ranks_of(diagram, [key for key in keys if lanes[key] == lane]).values(), default=-1) + 1 for lane in (0, 1)
    )


def layer_tree(boxes: Iterable[Box]) -> dict[str, Any]:
    """Boxes by layer, layers within layers: a dict a layer, whose own boxes are listed under ""."""
    tree: dict[str, Any] = {"": []}
    for box in boxes:
        place = tree
        for name in box.layer:
            place = place.setdefault(name, {"": []})
        place[""].append(box)
    return tree
