"""Interfaces that should be up and are not (IF-MIB, RFC 2863); the component is what linkDown traps say: ifIndex=3."""

from __future__ import annotations

from typing import Any

import regex

from connectors.framework.base import BaseConnector, Observation, Target
from connectors.framework.snmp import Agent, text
from connectors.framework.thresholds import state

IF_TABLE, IF_X_TABLE = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
ADMIN_UP = 1
OPER_UP, OPER_TESTING, OPER_DORMANT = 1, 3, 5
# Not lower than up: testing and dormant wait for something that is not the link's fault; 4 says nothing is known.
NOT_DOWN = frozenset({OPER_UP, OPER_TESTING, 4, OPER_DORMANT})
SOFTWARE_LOOPBACK = 24
PATTERN_SECONDS = 0.2


async def read(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    which = connector.setting("interfaces", target)
    if which == "none":
        return
    rows = await agent.table(IF_TABLE, {2: "descr", 3: "type", 7: "admin", 8: "oper"})
    if not rows:
        return
    names = await agent.table(IF_X_TABLE, {1: "name", 18: "alias"})
    down = up = 0
    for index, row in rows.items():
        known = [
            text(names.get(index, {}).get("name")),
            text(row.get("descr")),
            text(names.get(index, {}).get("alias")),
        ]
        admin, oper = row.get("admin"), row.get("oper")
        if not isinstance(admin, int) or not isinstance(oper, int) or row.get("type") == SOFTWARE_LOOPBACK:
            continue
        if not _watched(connector, target, which, known):
            continue
        is_down = admin == ADMIN_UP and oper not in NOT_DOWN
        up, down = up + (oper == OPER_UP), down + is_down
        label = known[0] or known[1] or f"ifIndex {index}"
        alias = f" ({known[2]})" if known[2] and known[2] != label else ""
        seen.findings.append(state("link_down", is_down, f"ifIndex={index}", f"Interface {label}{alias} is down"))
    seen.values |= {"interfaces_up": up, "interfaces_down": down}


def _watched(connector: BaseConnector, target: Target, which: Any, names: list[str]) -> bool:
    if _matches(connector.setting("ignored_interfaces", target), names):
        return False
    return which != "matching" or _matches(connector.setting("interface_pattern", target), names)


def _matches(pattern: Any, names: list[str]) -> bool:
    """Whether one of the names matches; an expression that takes too long, or is none, matches nothing."""
    if not pattern:
        return False
    try:
        return any(name and regex.search(str(pattern), name, timeout=PATTERN_SECONDS) for name in names)
    except (regex.error, TimeoutError):
        return False
