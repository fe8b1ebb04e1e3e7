"""Where things stand in the drawing of a map: roots on the left, leaves on the right, children in rows.

Units are pixels of the SVG's view box. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from dependencies.graph import Edge
from dependencies.mapview import Map, Node

CARD_WIDTH, CARD_HEIGHT = 184, 50
ROW, COLUMN, MARGIN = 60, 238, 2
MOST_ROWS_DOWN = 5.0  # beside many children a device stands near the first ones, where the reading begins
EDGE_STEP = 6  # between edges of two types that join the same two devices


@dataclass
class Card:
    node: Node
    x: float
    y: float

    @property
    def right(self) -> float:
        return self.x + CARD_WIDTH

    @property
    def middle(self) -> float:
        return self.y + CARD_HEIGHT / 2


@dataclass
class Fold:
    """Stands for what is not shown."""

    node: Node
    x: float
    y: float


@dataclass
class Line:
    path: str
    kind: str
    is_gone: bool
    title: str


@dataclass
class Drawing:
    width: float = 0
    height: float = 0
    cards: list[Card] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    card_width: int = CARD_WIDTH
    card_height: int = CARD_HEIGHT


def draw(map_: Map) -> Drawing:
    result = Drawing()
    first = min(node.level for node in map_.nodes.values())
    rows_below, folds = _rows(map_.focus, {a: n.children for a, n in map_.nodes.items()}, with_folds=True)
    rows_above, _ = _rows(map_.focus, _hosts(map_), with_folds=False)
    shift = rows_below[map_.focus.address] - rows_above[map_.focus.address]
    above_shift, below_shift = (shift, 0.0) if shift > 0 else (0.0, -shift)
    rows = {a: row + above_shift for a, row in rows_above.items()}
    rows.update({a: row + below_shift for a, row in rows_below.items()})
    places: dict[str, Card] = {}
    for address, row in rows.items():
        node = map_.nodes[address]
        places[address] = Card(node, MARGIN + (node.level - first) * COLUMN, MARGIN + row * ROW)
    result.cards = sorted(places.values(), key=lambda card: (card.x, card.y))
    for node, row in folds:
        x = MARGIN + (node.level + 1 - first) * COLUMN
        result.folds.append(Fold(node, x, MARGIN + (row + below_shift) * ROW))
    result.lines = list(_lines(map_, places))
    corners = [(card.x, card.y) for card in result.cards] + [(fold.x, fold.y) for fold in result.folds]
    result.width = max(x for x, _ in corners) + CARD_WIDTH + MARGIN
    result.height = max(y for _, y in corners) + CARD_HEIGHT + MARGIN
    return result


def _hosts(map_: Map) -> dict[str, list[Node]]:
    """The way up as a tree: each device above stands with the one nearest to the focus that stands on it."""
    hosted: dict[str, list[Node]] = defaultdict(list)
    below: dict[str, set[str]] = defaultdict(set)
    for edge in map_.edges:
        below[edge.parent].add(edge.child)
    for address, node in map_.nodes.items():
        if node.level < 0:
            near = [c for c in below[address] if map_.nodes[c].level <= 0]
            host = max(near, key=lambda c: (map_.nodes[c].level, c))
            hosted[host].append(node)
    for nodes in hosted.values():
        nodes.sort(key=lambda n: (-n.level, n.health.label.lower(), n.address))
    return hosted


def _rows(
    start: Node, children: dict[str, list[Node]], *, with_folds: bool
) -> tuple[dict[str, float], list[tuple[Node, float]]]:
    """Leaves take a row each, in order; the others stand in the middle of theirs. Iterative: chains are long."""
    rows: dict[str, float] = {}
    folds: list[tuple[Node, float]] = []
    next_row = 0.0
    stack: list[tuple[Node, bool]] = [(start, False)]
    while stack:
        node, is_done = stack.pop()
        own = children.get(node.address, [])
        if not is_done:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(own))
            continue
        fold = None
        if with_folds and node.is_open and node.rest > 0:
            fold = next_row
            folds.append((node, fold))
            next_row += 1
        if own:
            last = rows[own[-1].address] if fold is None else fold
            start_row = rows[own[0].address]
            rows[node.address] = min((start_row + last) / 2, start_row + MOST_ROWS_DOWN)
        elif fold is not None:
            rows[node.address] = fold
        else:
            rows[node.address] = next_row
            next_row += 1
    return rows, folds


def _lines(map_: Map, places: dict[str, Card]) -> Iterable[Line]:
    pairs: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in map_.edges:
        pairs[edge.child, edge.parent].append(edge)
    for (child, parent), edges in pairs.items():
        by_kind: dict[str, Edge] = {}
        for edge in edges:
            by_kind.setdefault(edge.kind, edge)
        for number, (kind, edge) in enumerate(sorted(by_kind.items())):
            offset = (number - (len(by_kind) - 1) / 2) * EDGE_STEP
            start, end = places[parent], places[child]
            x1, y1, x2, y2 = start.right, start.middle + offset, end.x, end.middle + offset
            bend = min(max((x2 - x1) / 2, 20), 60)
            path = f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
            through = f" through {edge.through}" if edge.through else ""
            group = f", group “{edge.group}”" if edge.group else ""
            yield Line(path, kind, edge in map_.gone, f"{kind}{through}{group}")
