"""Any device with an SNMP agent, by standard MIBs.

One GET says that it lives and how long it runs; each table is walked only where the agent has it. A table that times
out makes the poll incomplete: what it would have said is neither raised nor cleared.

Sources: IF-MIB (RFC 2863), HOST-RESOURCES-MIB (RFC 2790), UCD-SNMP-MIB, CISCO-PROCESS-MIB, CISCO-MEMORY-POOL-MIB,
ENTITY-SENSOR-MIB (RFC 3433); the project's SNMP notes, "Poll objects common to all devices" and section 6.
"""

from __future__ import annotations

from connectors.framework.base import DeviceConnector, Observation, Target
from connectors.framework.errors import ApiError
from connectors.framework.snmp import Agent, agent_of, text
from connectors.vendors.snmp_poll import custom, host, interfaces, sensors
from connectors.vendors.snmp_poll.system import SYSTEM, Identity, rebooted

PARTS = (interfaces.read, host.read, sensors.read, custom.read)


class Connector(DeviceConnector):
    async def read(self, target: Target) -> Observation:
        async with agent_of(self, target) as agent:
            identity = await self._identity(agent, target)
            seen = Observation(values=identity.values(), memory=identity.memory(target.memory))
            seen.findings += rebooted(identity, target)
            for part in PARTS:
                await part(self, target, agent, seen)
            return seen

    async def test(self, target: Target) -> str:
        async with agent_of(self, target) as agent:
            found = await self._identity(agent, target)
            return f"Connected. {found.name or target.ip}: {found.description[:120]}, up {found.uptime_in_words()}."

    async def _identity(self, agent: Agent, target: Target) -> Identity:
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
