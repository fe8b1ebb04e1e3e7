"""Which alerts a maintenance window is about: the matchers of a row, checked and compiled. Pure, no queries.

A row holds lists by name; all names must match, each by any of its values. An empty object matches everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

from alerts.choices import Category
from dependencies.addresses import canonical_ip
from dependencies.graph import Graph

MOST_VALUES = 1_000
LONGEST_VALUE = 200

Places = Mapping[str, tuple[str, str]]


class Subject(Protocol):
    """What a window looks at; alerts of the engine and rows of the model both have it. Addresses are canonical."""

    @property
    def alert_id(self) -> UUID: ...
    @property
    def device_ip(self) -> str | None: ...
    @property
    def alert_type(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def connector_slug(self) -> str: ...
    @property
    def tags(self) -> Sequence[str]: ...


Test = Callable[[Subject], bool]


def compile_matchers(matchers: Any, graph: Graph, places: Places) -> list[Test]:
    """A test for each name; all must hold. Raises ValueError with a sentence for a malformed row."""
    problem = check_matchers(matchers)
    if problem:
        raise ValueError(problem)
    return [COMPILERS[name](values, graph, places) for name, values in matchers.items()]


def _devices(values: Sequence[str], graph: Graph, places: Places) -> Test:
    addresses = {canonical_ip(v) for v in values if "/" not in v}
    networks = [ipaddress.ip_network(v.strip(), strict=False) for v in values if "/" in v]

    def test(subject: Subject) -> bool:
        ip = subject.device_ip
        if ip is None:
            return False
        return ip in addresses or any(_address(ip) in network for network in networks)

    return test


def _below(values: Sequence[str], graph: Graph, places: Places) -> Test:
    tops = {canonical_ip(v) for v in values}
    devices = tops | graph.descendants(tops)
    return lambda subject: subject.device_ip in devices


def _sites(values: Sequence[str], graph: Graph, places: Places) -> Test:
    return _place(values, places, 0)


def _roles(values: Sequence[str], graph: Graph, places: Places) -> Test:
    return _place(values, places, 1)


def _place(values: Sequence[str], places: Places, which: int) -> Test:
    wanted = {v.strip() for v in values}

    def test(subject: Subject) -> bool:
        place = places.get(subject.device_ip) if subject.device_ip is not None else None
        return place is not None and place[which] in wanted

    return test


def _categories(values: Sequence[str], graph: Graph, places: Places) -> Test:
    wanted = {v.strip() for v in values}
    return lambda subject: subject.category in wanted


def _connectors(values: Sequence[str], graph: Graph, places: Places) -> Test:
    wanted = {v.strip() for v in values}
    return lambda subject: subject.connector_slug in wanted


def _tags(values: Sequence[str], graph: Graph, places: Places) -> Test:
    wanted = {v.strip() for v in values}
    return lambda subject: not wanted.isdisjoint(subject.tags)


def _alert_types(values: Sequence[str], graph: Graph, places: Places) -> Test:
    exact = {v.strip() for v in values if not v.strip().endswith("*")}
    beginnings = tuple(v.strip()[:-1] for v in values if v.strip().endswith("*"))
    return lambda subject: subject.alert_type in exact or subject.alert_type.startswith(beginnings)


def _alerts(values: Sequence[str], graph: Graph, places: Places) -> Test:
    wanted = {UUID(v.strip()) for v in values}
    return lambda subject: subject.alert_id in wanted


COMPILERS: Mapping[str, Callable[[Sequence[str], Graph, Places], Test]] = {
    "devices": _devices,
    "below": _below,
    "sites": _sites,
    "roles": _roles,
    "categories": _categories,
    "connectors": _connectors,
    "tags": _tags,
    "alert_types": _alert_types,
    "alerts": _alerts,
}


@lru_cache(maxsize=100_000)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


def check_matchers(matchers: Any) -> str:
    """What is wrong with the matchers of a row, as a sentence; empty when they can be used."""
    if not isinstance(matchers, dict):
        return 'Matchers are an object of lists, for example {"sites": ["Hamburg"]}.'
    for name, values in matchers.items():
        if name not in COMPILERS:
            return f"“{str(name)[:40]}” is not a matcher; there are {', '.join(COMPILERS)}."
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            return f"{name} must be a list of texts."
        if not values:
            return f"{name} is empty and would match nothing: give a value or leave it out."
        if len(values) > MOST_VALUES:
            return f"{name} has {len(values)} values; at most {MOST_VALUES} are possible."
        for value in values:
            problem = _check_value(name, value.strip())
            if problem:
                return problem
    return ""


def _check_value(name: str, value: str) -> str:
    if not value or len(value) > LONGEST_VALUE or "\0" in value:
        return f"Each value of {name} has 1 to {LONGEST_VALUE} characters."
    if name == "devices":
        try:
            ipaddress.ip_network(value, strict=False) if "/" in value else canonical_ip(value)
        except ValueError:
            return f"devices: “{value}” is neither an address (192.0.2.7) nor a network (192.0.2.0/24)."
    elif name == "below":
        try:
            canonical_ip(value)
        except ValueError:
            return f"below: “{value}” is not an address; write for example 192.0.2.7."
    elif name == "categories" and value not in Category.values:
        return f"categories: “{value}” is not one of {', '.join(Category.values)}."
    elif name == "alert_types" and "*" in value[:-1]:
        return f"alert_types: in “{value}” a * may stand only at the end, for example link_*."
    elif name == "alerts":
        try:
            UUID(value)
        except ValueError:
            return f"alerts: “{value}” is not the id of an alert."
    return ""
