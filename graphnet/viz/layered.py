"""Placing a diagram: layers as bands, boxes in ranks, in as many columns as fill a page best.

The steps are those of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
structures" (1981): longest-path ranks, bends where an arrow passes a rank, order by barycenters, then coordinates.
We place pictures ourselves, and not by `dot`, so that they look the same on every machine, and fill a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from graphnet.viz.columns import MAX_COLUMNS, columns_of, lanes_of, ranks_of
from graphnet.viz.diagram import TIMES, Arrow, Box, Diagram
from graphnet.viz.style import LABEL_SIZE, LINE_SIZE, LOOKS, PAGE_HEIGHT, PAGE_WIDTH, TITLE_SIZE

SWEEPS = 8
GAP_X, GAP_RANK, GAP_BAND, GAP_LANE = 12.0, 24.0, 22.0, 26.0
GUTTER, GUTTER_STEP = 18.0, 7.0
BEND_WIDTH = 6.0
PADDING = 8.0
BETWEEN_LANES = 0.5
Point = tuple[float, float]


@dataclass
class Item:
    """A box, or a bend of an arrow that passes its row (`box` is None); x, y is the centre.

    `right` is how far it reaches to the right of its centre, the label at its lower edge included.
    """

    box: Box | None
    lane: float
    width: float
    height: float
    right: float
    x: float = 0.0
    y: float = 0.0

    @property
    def left(self) -> float:
        return self.width / 2


@dataclass
class Column:
    """The rows of one column, and the chains of items that its own arrows pass, from the upper end to the lower."""

    rows: list[list[Item]]
    blocks: list[int]  # the block of each row
    rank: dict[str, int]
    chains: list[tuple[Arrow, list[Item]]]
    left: float = 0.0
    right: float = 0.0

    def items(self) -> Iterator[Item]:
        return (item for row in self.rows for item in row)


@dataclass(frozen=True)
class Band:
    """The ground on which the boxes `keys` of one layer stand; x, y is its upper left corner."""

    name: str
    keys: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float


@dataclass
class Layout:
    """Where everything goes: boxes by key, the points of each arrow, its label, and a band for each layer."""

    columns: list[Column]
    boxes: dict[str, Item]
    bands: list[Band] = field(default_factory=list)
    paths: list[tuple[Arrow, list[Point]]] = field(default_factory=list)
    labels: list[tuple[float, float, str]] = field(default_factory=list)  # the left end of each line's base line
    width: float = 0.0
    height: float = 0.0


def text_width(text: str, size: float) -> float:
    """About how wide Helvetica sets a text; erring to the wide side, since what shows it may have another font."""
    narrow = sum(1 for c in text if c in "ijl.,:;|!'()[]1 tfrI")
    wide = sum(1 for c in text if c in f"mwMW@%{TIMES}∇←" or ord(c) > 0x2FF)
    return size * (0.58 * (len(text) - narrow - wide) + 0.36 * narrow + 0.9 * wide)


def place(diagram: Diagram, columns: int) -> Layout:
    """Boxes and bands in at most `columns` columns; `routes.route` then draws the arrows."""
    lanes = lanes_of(diagram)
    folded = columns_of(diagram, columns)
    column_of = {key: i for i, blocks in enumerate(folded) for block in blocks for key in block}
    layout = Layout([], {})
    left = 0.0
    for position, blocks in enumerate(folded):
        column = _column(diagram, blocks, lanes)
        layout.columns.append(column)
        layout.boxes |= {item.box.key: item for item in column.items() if item.box is not None}
        _order(column)
        layout.height = max(layout.height, _set_y(column))
        _set_x(column)
        crossing = sum(1 for a in diagram.arrows if position in _gutters(column_of[a.source], column_of[a.target]))
        _shift(column, left + GUTTER + crossing * GUTTER_STEP)
        _add_bands(diagram, blocks, column, layout)
        left = column.right
    layout.width = left
    return layout


def _gutters(source: int, target: int) -> set[int]:
    """The columns to the left of which an arrow between two columns runs up or down."""
    if source == target:
        return set()
    if abs(source - target) == 1:
        return {max(source, target)}
    return {source + (target > source), target + (target < source)}


def scale_on_page(layout: Layout) -> float:
    """How large a layout is shown on a sheet on its side, 1 being its natural size."""
    return min(PAGE_WIDTH / max(layout.width, 1.0), PAGE_HEIGHT / max(layout.height, 1.0))


def candidates(diagram: Diagram) -> list[Layout]:
    """The diagram in one column, in two, and so on."""
    return [place(diagram, columns) for columns in range(1, MAX_COLUMNS + 1)]


# -- rows and ranks ----------------------------------------------------------------------------------------------------


def _column(diagram: Diagram, blocks: Sequence[Sequence[str]], lanes: Mapping[str, int]) -> Column:
    rank: dict[str, int] = {}
    block_of_row: list[int] = []
    for number, keys in enumerate(blocks):
        top = len(block_of_row)
        for lane in (0, 1):
            inner = ranks_of(diagram, [key for key in keys if lanes[key] == lane])
            rank |= {key: top + r for key, r in inner.items()}
        block_of_row += [number] * (max(rank[key] for key in keys) + 1 - top)
    rows: list[list[Item]] = [[] for _ in block_of_row]
    items: dict[str, Item] = {}
    for key in rank:
        items[key] = _item(diagram.boxes[key], lanes[key], diagram.arrows)
        rows[rank[key]].append(items[key])
    chains = []
    for arrow in diagram.arrows:
        if arrow.source in rank and arrow.target in rank:
            upper, lower = sorted((arrow.source, arrow.target), key=rank.__getitem__)
            chains.append((arrow, _chain(items, rank, upper, lower, rows)))
    return Column(rows, block_of_row, rank, chains)


def _chain(
    items: Mapping[str, Item], rank: Mapping[str, int], upper: str, lower: str, rows: Sequence[list[Item]]
) -> list[Item]:
    """From the upper box to the lower one, with a bend in every row that the arrow passes."""
    first, last = items[upper], items[lower]
    lane = first.lane if first.lane == last.lane else BETWEEN_LANES
    bends = [Item(None, lane, BEND_WIDTH, 0.0, BEND_WIDTH / 2) for _ in range(rank[upper] + 1, rank[lower])]
    for row, bend in enumerate(bends, rank[upper] + 1):
        rows[row].append(bend)
    return [first, *bends, last]


def _item(box: Box, lane: int, arrows: Sequence[Arrow]) -> Item:
    mark = LOOKS[box.role].mark
    widths = [text_width(mark + box.title, TITLE_SIZE) * 1.08, *(text_width(line, LINE_SIZE) for line in box.lines)]
    width = max(max(widths) * (1.25 if LOOKS[box.role].outline == "round" else 1.0) + 14, 40.0)
    height = TITLE_SIZE * 1.3 + len(box.lines) * LINE_SIZE * 1.25 + 6
    labels = [text_width(text, LABEL_SIZE) + 6 for a in arrows if a.source == box.key for text in a.types]
    return Item(box, lane, width, height, max(width / 2, max(labels, default=0.0)))


# -- order and coordinates ---------------------------------------------------------------------------------------------


def _neighbours(column: Column) -> tuple[dict[int, list[Item]], dict[int, list[Item]]]:
    """What each item is joined to in the row above and in the row below, by identity."""
    above: dict[int, list[Item]] = {}
    below: dict[int, list[Item]] = {}
    for _, chain in column.chains:
        for upper, lower in pairwise(chain):
            below.setdefault(id(upper), []).append(lower)
            above.setdefault(id(lower), []).append(upper)
    return above, below


def _order(column: Column) -> None:
    """Sort each row by lane, and in a lane by the mean position of the neighbours, sweeping down and up."""
    above, below = _neighbours(column)
    position = {id(item): i / len(row) for row in column.rows for i, item in enumerate(row)}
    for sweep in range(SWEEPS):
        near, rows = (above, column.rows) if sweep % 2 == 0 else (below, column.rows[::-1])
        for row in rows:
            means = {id(i): _mean([position[id(n)] for n in near.get(id(i), ())], position[id(i)]) for i in row}
            row.sort(key=lambda item: (item.lane, means[id(item)]))
            position.update({id(item): i / len(row) for i, item in enumerate(row)})


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _set_y(column: Column) -> float:
    """Rows under each other; how tall the column is."""
    y = GAP_BAND
    for number, row in enumerate(column.rows):
        if number and column.blocks[number] != column.blocks[number - 1]:
            y += GAP_BAND
        height = max(item.height for item in row)
        for item in row:
            item.y = y + height / 2
        y += height + GAP_RANK
    return y


def _set_x(column: Column) -> None:
    """Lanes beside each other at first; then each item moves towards its neighbours as far as its row lets it."""
    above, below = _neighbours(column)
    reach = {lane: max((i.right + i.left for i in column.items() if i.lane == lane), default=0.0) for lane in (0, 1)}
    middle = {0: 0.0, 1: (reach[0] + reach[1]) / 2 + GAP_LANE, BETWEEN_LANES: reach[0] / 2 + GAP_LANE / 2}
    for row in column.rows:
        _spread(row, [middle[item.lane] for item in row])
    for sweep in range(2 * SWEEPS):
        for row in column.rows if sweep % 2 == 0 else column.rows[::-1]:
            _spread(row, [_pull(item, above, below) for item in row])


def _pull(item: Item, above: Mapping[int, Sequence[Item]], below: Mapping[int, Sequence[Item]]) -> float:
    """Where an item would like to be: under and over its neighbours, a box only those of its own lane."""
    near = [*above.get(id(item), ()), *below.get(id(item), ())]
    return _mean([other.x for other in near if item.box is None or other.lane == item.lane], item.x)


def _spread(row: Sequence[Item], wanted: Sequence[float]) -> None:
    """Give each item the x wanted, moved apart evenly to both sides where two would overlap."""
    from_left, from_right = list(wanted), list(wanted)
    for i in range(1, len(row)):
        from_left[i] = max(from_left[i], from_left[i - 1] + row[i - 1].right + row[i].left + GAP_X)
    for i in range(len(row) - 2, -1, -1):
        from_right[i] = min(from_right[i], from_right[i + 1] - row[i].right - row[i + 1].left - GAP_X)
    for item, low, high in zip(row, from_left, from_right, strict=True):
        item.x = (low + high) / 2


def _shift(column: Column, left: float) -> None:
    move = left + PADDING - min(item.x - item.left for item in column.items())
    for item in column.items():
        item.x += move
    column.left = left
    column.right = max(item.x + item.right for item in column.items()) + PADDING


def _add_bands(diagram: Diagram, blocks: Sequence[Sequence[str]], column: Column, layout: Layout) -> None:
    """A band behind each block that is a layer."""
    for keys in blocks:
        names = {diagram.boxes[key].layer[0] for key in keys if diagram.boxes[key].layer}
        inside = tuple(key for key in keys if diagram.boxes[key].layer)
        items = [layout.boxes[key] for key in inside]
        if len(names) == 1:
            top = min(item.y - item.height / 2 for item in items) - 14
            bottom = max(item.y + item.height / 2 for item in items) + 13
            width = column.right - column.left
            layout.bands.append(Band(names.pop(), inside, column.left, top, width, bottom - top))
