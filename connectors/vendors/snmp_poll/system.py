"""Who a device is and how long it runs (SNMPv2-MIB, RFC 3418). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.framework.base import Finding, Target

SYSTEM = {
    "sysDescr": "1.3.6.1.2.1.1.1.0",
    "sysObjectID": "1.3.6.1.2.1.1.2.0",
    "sysUpTime": "1.3.6.1.2.1.1.3.0",
    "sysName": "1.3.6.1.2.1.1.5.0",
    "hrSystemUptime": "1.3.6.1.2.1.25.1.1.0",
}
TICKS = 100  # a second
WRAP = 2**32  # 497 days
NEAR_WRAP = WRAP - 2 * 86_400 * TICKS


@dataclass(frozen=True, slots=True)
class Identity:
    """Times in hundredths of a second: sysUpTime is the agent's, hrSystemUptime the host's where there is one."""

    name: str
    description: str
    object_id: str
    agent_ticks: int | None
    host_ticks: int | None

    @property
    def ticks(self) -> int | None:
        return self.host_ticks if self.host_ticks is not None else self.agent_ticks

    def uptime_in_words(self) -> str:
        if self.ticks is None:
            return "for an unknown time"
        minutes = self.ticks // TICKS // 60
        days, hours = minutes // 1440, minutes // 60 % 24
        return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min"

    def values(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description[:300],
            "sysObjectID": self.object_id,
            **({"uptime_s": self.ticks // TICKS} if self.ticks is not None else {}),
        }

    def memory(self, before: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in before.items() if name not in ("agent_ticks", "host_ticks")}
        ticks = {"agent_ticks": self.agent_ticks, "host_ticks": self.host_ticks}
        return kept | {name: value for name, value in ticks.items() if value is not None}


def rebooted(now: Identity, target: Target) -> list[Finding]:
    """A counter that fell is a restart, unless it went round after 497 days. The host's counts where both polls had
    it: an agent that was restarted alone is no reboot."""
    for name, ticks in (("host_ticks", now.host_ticks), ("agent_ticks", now.agent_ticks)):
        before = target.memory.get(name)
        if ticks is None or before is None:
            continue
        if ticks < before and not (before > NEAR_WRAP and ticks < WRAP - NEAR_WRAP):
            up = Identity("", "", "", ticks, None).uptime_in_words()
            return [Finding("device_rebooted", title="Restarted", message=f"Up for {up} now.")]
        return []
    return []
