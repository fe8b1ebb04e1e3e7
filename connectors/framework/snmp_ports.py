"""Ports of a device by IF-MIB (RFC 2863), and which of them are worth an alert when they are down.

An unused socket is "up" for its administrator and down for its line, on nearly every switch and radio. So a port
counts from the first poll that saw it up; which those are is kept in the memory of the target, by name, because
numbers change at a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from connectors.framework.base import Observation, Target
from connectors.framework.snmp import Agent, text

IF_TABLE, IF_X_TABLE = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
ADMIN_UP = 1
OPER_UP, OPER_TESTING, OPER_UNKNOWN, OPER_DORMANT = 1, 3, 4, 5
# Not lower than up: testing and dormant wait for something that is not the link's fault; unknown says nothing.
NOT_DOWN = frozenset({OPER_UP, OPER_TESTING, OPER_UNKNOWN, OPER_DORMANT})
SOFTWARE_LOOPBACK = 24
MEMORY = "ports_seen_up"


@dataclass(frozen=True, slots=True)
class Port:
    index: str
    name: str
    description: str
    alias: str
    kind: Any
    admin: int
    oper: int

    @property
    def label(self) -> str:
        return self.name or self.description or f"ifIndex {self.index}"

    @property
    def title(self) -> str:
        alias = f" ({self.alias})" if self.alias and self.alias != self.label else ""
        return f"{self.label}{alias}"

    @property
    def is_up(self) -> bool:
        return self.oper == OPER_UP

    @property
    def is_down(self) -> bool:
        """Though it is switched on."""
        return self.admin == ADMIN_UP and self.oper not in NOT_DOWN


async def ports_of(agent: Agent) -> list[Port]:
    """Without loopbacks, and without those of which the agent says no state."""
    rows = await agent.table(IF_TABLE, {2: "descr", 3: "type", 7: "admin", 8: "oper"})
    names = await agent.table(IF_X_TABLE, {1: "name", 18: "alias"}) if rows else {}
    found = []
    for index, row in rows.items():
        admin, oper, more = row.get("admin"), row.get("oper"), names.get(index, {})
        if isinstance(admin, int) and isinstance(oper, int) and row.get("type") != SOFTWARE_LOOPBACK:
            name, description, alias = text(more.get("name")), text(row.get("descr")), text(more.get("alias"))
            found.append(Port(index, name, description, alias, row.get("type"), admin, oper))
    return found


def seen_up(ports: Iterable[Port], target: Target, seen: Observation) -> frozenset[str]:
    """Labels of the ports that were up at this poll or an earlier one; remembered for the next."""
    before = frozenset(target.memory.get(MEMORY) or ())
    known = frozenset(port.label for port in ports if port.is_up or port.label in before)
    seen.memory[MEMORY] = sorted(known)
    return known
