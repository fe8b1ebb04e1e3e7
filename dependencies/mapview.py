"""The map around one device: everything above it, and below it as far as somebody opened it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlencode

from django.db import connection

from dependencies import states
from dependencies.addresses import canonical_ip
from dependencies.graph import Edge
from dependencies.states import Health, State

FIRST_SHOWN, STEP, MOST_SHOWN = 12, 100, 500
MOST_SORTED = 5_000  # of so many children the worst ones come first
MOST_OPEN = 40
MOST_ABOVE = 60
PAGE = "/dependencies/map/"


class Opened(NamedTuple):
    """Which devices show what they carry, and how much of it."""

    limits: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> Opened:
        """`10.0.0.1,10.0.0.2*112`; what is no address is left out."""
        limits = {}
        for part in text.split(",")[:MOST_OPEN]:
            address, _, number = part.partition("*")
            try:
                ip = canonical_ip(address)
            except ValueError:
                continue
            limits[ip] = min(int(number), MOST_SHOWN) if number.isascii() and number.isdigit() and number else 0
            limits[ip] = max(limits[ip], FIRST_SHOWN) if number else FIRST_SHOWN
        return cls(limits)

    def __str__(self) -> str:
        return ",".join(ip if n == FIRST_SHOWN else f"{ip}*{n}" for ip, n in self.limits.items())

    def with_(self, address: str, limit: int = FIRST_SHOWN) -> Opened:
        return Opened({**self.limits, address: limit})

    def without(self, address: str) -> Opened:
        return Opened({ip: n for ip, n in self.limits.items() if ip != address})


def url(device: str, opened: Opened | None = None) -> str:
    asked = {"device": device, **({"open": str(opened)} if opened and opened.limits else {})}
    return f"{PAGE}?{urlencode(asked, safe=',:*')}"


@dataclass
class Node:
    """A device on the map. `level` 0 is the focus, above it is negative."""

    health: Health
    level: int
    is_focus: bool = False
    carried: int = 0
    shown: int = 0  # of what it carries, here
    other_parents: int = 0  # it stands on, and that are not here
    url: str = ""
    toggle: str = ""  # address of the map with this one opened or closed; empty: nothing to open
    is_open: bool = False
    more: str = ""  # address of the map with more of what it carries
    children: list[Node] = field(default_factory=list)
    parents: list[Link] = field(default_factory=list)

    @property
    def rest(self) -> int:
        return self.carried - self.shown if self.is_open else 0

    @property
    def address(self) -> str:
        return self.health.address


@dataclass
class Link:
    """An edge of the list above the focus: to that parent, and how."""

    node: Node
    edges: list[Edge]
    is_repeated: bool = False  # its own parents stand elsewhere in the list already

    @property
    def how(self) -> str:
        return describe(self.edges)


@dataclass
class Map:
    focus: Node
    nodes: dict[str, Node]
    edges: list[Edge]
    opened: Opened
    gone: frozenset[Edge] = frozenset()  # nothing comes through them at present
    hidden_above: int = 0

    @property
    def digest(self) -> str:
        """Of everything that is shown; the same one: nothing to show anew."""
        told = [(n.health, n.carried, n.shown, n.level, n.other_parents) for n in self.nodes.values()]
        return sha256(repr((told, self.edges, sorted(self.gone), self.hidden_above)).encode()).hexdigest()[:16]

    @property
    def url(self) -> str:
        return url(self.focus.address, self.opened)


def describe(edges: Sequence[Edge]) -> str:
    """power through outlet=3; network, one of group uplink suffices"""
    told = []
    for edge in edges:
        text = edge.kind + (f" through {edge.through}" if edge.through else "")
        told.append(text + (f", one of group “{edge.group}” suffices" if edge.group else ""))
    return "; ".join(dict.fromkeys(told))


def around(device: str, opened: Opened) -> Map | None:
    """None: nobody knows this address, neither the inventory nor any dependency nor an open alert."""
    up = states.edges_above([device])
    levels, hidden = _levels_above(device, up)
    below, parent_of, limits = _below(device, opened, set(levels))
    addresses = [*levels, *below]
    down = _edges_between(addresses)
    all_above = states.edges_above(list(below)) if below else up
    above = list(dict.fromkeys([*up, *all_above]))
    health = states.health(addresses, above)
    carried = states.carried(addresses)
    mine = health[device]
    if len(addresses) == 1 and mine.state is State.UNKNOWN and not carried and not up:
        return None
    nodes = {a: Node(health[a], level, carried=carried.get(a, 0)) for a, level in {**levels, **below}.items()}
    nodes[device].is_focus = True
    for address, parent in parent_of.items():
        nodes[parent].children.append(nodes[address])
        nodes[parent].shown += 1
    parents_of: dict[str, set[str]] = defaultdict(set)
    for edge in all_above:
        parents_of[edge.child].add(edge.parent)
    for address, node in nodes.items():
        node.other_parents = len(parents_of[address] - nodes.keys())
        _offer(node, device, opened, limits)
    result = Map(nodes[device], nodes, down, opened, states.gone(down, above), hidden)
    _list_above(result)
    return result


def _offer(node: Node, device: str, opened: Opened, limits: Mapping[str, int]) -> None:
    """What can be done from a node: go there, open it, close it, show more."""
    address = node.address
    node.url = url(address)
    node.is_open = address in limits
    if node.level < 0 or not node.carried:
        return
    if node.is_open:
        node.toggle = "" if node.is_focus else url(device, opened.without(address))
        if node.rest > 0 and limits[address] < MOST_SHOWN:
            limit = min(limits[address] + STEP, MOST_SHOWN)
            node.more = url(device, opened.with_(address, limit))
    else:
        node.toggle = url(device, opened.with_(address))


def _levels_above(device: str, up: Sequence[Edge]) -> tuple[dict[str, int], int]:
    """Level by the longest way to the device, the nearest MOST_ABOVE of them, and how many more there are."""
    parents: dict[str, set[str]] = defaultdict(set)
    for edge in up:
        parents[edge.child].add(edge.parent)
    order: list[str] = [device]  # nearest first
    seen = {device}
    for here in order:
        for parent in sorted(parents[here] - seen):
            seen.add(parent)
            order.append(parent)
    kept = set(order[: MOST_ABOVE + 1])
    levels = dict.fromkeys(order[: MOST_ABOVE + 1], -1)
    levels[device] = 0
    for _ in range(len(kept)):  # settles after as many rounds as the longest way has steps
        changed = False
        for here in order[: MOST_ABOVE + 1]:
            for parent in parents[here] & kept:
                if levels[parent] > levels[here] - 1:
                    levels[parent], changed = levels[here] - 1, True
        if not changed:
            break
    return levels, len(order) - len(kept)


def _below(device: str, opened: Opened, taken: set[str]) -> tuple[dict[str, int], dict[str, str], dict[str, int]]:
    """Levels of what is shown below, under which parent each stands, and how many each opened one shows."""
    limits = {device: opened.limits.get(device, FIRST_SHOWN)}
    levels: dict[str, int] = {}
    parent_of: dict[str, str] = {}
    row, level = [device], 0
    while row:
        level += 1
        children = _children(row)
        following: list[str] = []
        for parent in row:
            candidates = [c for c in children[parent] if c not in taken]
            health = states.health(candidates) if len(candidates) > limits[parent] else {}
            if health:
                candidates.sort(key=lambda c: health[c].order)
            for child in candidates[: limits[parent]]:
                taken.add(child)
                levels[child], parent_of[child] = level, parent
                if child in opened.limits:
                    limits[child] = opened.limits[child]
                    following.append(child)
        row = following
    return levels, parent_of, limits


def _children(parents: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    with connection.cursor() as cur:
        cur.execute(
            "SELECT host(p.ip), host(c.device_ip) FROM unnest(%s::inet[]) AS p(ip), LATERAL (SELECT DISTINCT device_ip "
            "FROM dependencies_dependency WHERE depends_on_ip = p.ip ORDER BY device_ip LIMIT %s) AS c",
            (list(parents), MOST_SORTED),
        )
        for parent, child in cur.fetchall():
            found[parent].append(child)
    return found


def _edges_between(addresses: Sequence[str]) -> list[Edge]:
    with connection.cursor() as cur:
        cur.execute(
            "SELECT host(device_ip), host(depends_on_ip), dependency_type, redundancy_group, depends_on_component "
            "FROM dependencies_dependency WHERE device_ip = ANY(%(shown)s::inet[]) "
            "AND depends_on_ip = ANY(%(shown)s::inet[]) ORDER BY device_ip, depends_on_ip, dependency_type",
            {"shown": list(addresses)},
        )
        return [Edge(*row) for row in cur.fetchall()]


def _list_above(result: Map) -> None:
    """The way up as nested lists: each device once with its parents, afterwards only by name."""
    up: dict[str, dict[str, list[Edge]]] = defaultdict(lambda: defaultdict(list))
    for edge in result.edges:
        if result.nodes[edge.parent].level < 0:
            up[edge.child][edge.parent].append(edge)
    seen: set[str] = set()
    todo = [result.focus]
    for node in todo:
        for parent, edges in sorted(up[node.address].items(), key=lambda item: result.nodes[item[0]].health.order):
            link = Link(result.nodes[parent], edges, parent in seen)
            node.parents.append(link)
            if parent not in seen:
                seen.add(parent)
                todo.append(result.nodes[parent])
