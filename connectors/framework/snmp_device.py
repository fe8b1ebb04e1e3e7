"""What all devices have that are polled by SNMP: who they are, how long they run, and a poll that is read in parts.

    class Connector(SnmpDevice):
        parts = (interfaces.read, sensors.read)

Each part reads some objects and adds what it found to the observation. A part that gets no answer makes the poll
incomplete: the device answered before, so it is not offline, and what was not read is neither raised nor cleared.

Source: SNMPv2-MIB (RFC 3418), HOST-RESOURCES-MIB (RFC 2790).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from connectors.framework.base import BaseConnector, DeviceConnector, Finding, Observation, Target
from connectors.framework.errors import ApiError, Unreachable
from connectors.framework.snmp import Agent, agent_of, text

Part = Callable[[BaseConnector, Target, Agent, Observation], Awaitable[None]]

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
REBOOTED = "device_rebooted"


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
            return [Finding(REBOOTED, title="Restarted", message=f"Up for {up} now.")]
        return []
    return []


class SnmpDevice(DeviceConnector):
    """`parts` are read in their order; later ones may use what earlier ones left in the observation."""

    parts: ClassVar[Sequence[Part]] = ()

    async def read(self, target: Target) -> Observation:
        async with agent_of(self, target) as agent:
            identity = await self.identity(agent, target)
            seen = Observation(values=identity.values(), memory=identity.memory(target.memory))
            seen.findings += rebooted(identity, target)
            for part in self.parts:
                try:
                    await part(self, target, agent, seen)
                except Unreachable:
                    what = (part.__doc__ or "some of its objects").strip().splitlines()[0].rstrip(".")
                    seen.incomplete = f"{target.name or target.ip} answers SNMP, but this was not answered: {what}."
                    break
            return seen

    async def test(self, target: Target) -> str:
        async with agent_of(self, target) as agent:
            found = await self.identity(agent, target)
            return f"Connected. {found.name or target.ip}: {found.description[:120]}, up {found.uptime_in_words()}."

    async def identity(self, agent: Agent, target: Target) -> Identity:
        """Raises ApiError where there is no system group."""
        found = await agent.get(SYSTEM.values())
        if not found:
            raise ApiError(f"{target.name or target.ip} answers SNMP, but has no system group (RFC 3418).")
        named = {name: found.get(oid) for name, oid in SYSTEM.items()}
        return Identity(
            text(named["sysName"]),
            text(named["sysDescr"]),
            text(named["sysObjectID"]),
            int(named["sysUpTime"]) if isinstance(named["sysUpTime"], int) else None,
            int(named["hrSystemUptime"]) if isinstance(named["hrSystemUptime"], int) else None,
        )
