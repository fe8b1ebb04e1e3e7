"""Interfaces that should be up and are not (IF-MIB, RFC 2863); the component is what linkDown traps say: ifIndex=3."""

from __future__ import annotations

from typing import Any

import regex

from connectors.framework.base import BaseConnector, Observation, Target
from connectors.framework.snmp import Agent
from connectors.framework.snmp_ports import Port, ports_of, seen_up
from connectors.framework.thresholds import state

LINK_DOWN = "link_down"
PATTERN_SECONDS = 0.2


async def read(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """Interfaces (ifTable)."""
    which = connector.setting("interfaces", target)
    if which == "none":
        seen.unsure.add(LINK_DOWN)
        return
    ports = [port for port in await ports_of(agent) if not _is_ignored(connector, target, port)]
    if not ports:  # none at all is no answer
        seen.unsure.add(LINK_DOWN)
        return
    used = seen_up(ports, target, seen)
    down = up = 0
    for port in ports:
        component = f"ifIndex={port.index}"
        watched = _is_watched(connector, target, which, port, used) or (LINK_DOWN, component) in target.raised
        if port.is_down and not watched:
            # Neither an alarm nor the end of one: a trap may know that it was in use.
            seen.unsure.add(LINK_DOWN)
            continue
        up, down = up + port.is_up, down + port.is_down
        seen.findings.append(state(LINK_DOWN, port.is_down, component, f"Interface {port.title} is down"))
    seen.values |= {"interfaces_up": up, "interfaces_down": down}


def _is_watched(connector: BaseConnector, target: Target, which: Any, port: Port, used: frozenset[str]) -> bool:
    if which == "matching":
        return _matches(connector.setting("interface_pattern", target), port)
    return which == "admin_up" or port.label in used


def _is_ignored(connector: BaseConnector, target: Target, port: Port) -> bool:
    return _matches(connector.setting("ignored_interfaces", target), port)


def _matches(pattern: Any, port: Port) -> bool:
    """Whether one of the names matches; an expression that takes too long, or is none, matches nothing."""
    if not pattern:
        return False
    names = (port.name, port.description, port.alias)
    try:
        return any(name and regex.search(str(pattern), name, timeout=PATTERN_SECONDS) for name in names)
    except (regex.error, TimeoutError):
        return False
