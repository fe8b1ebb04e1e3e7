"""Eaton UPS over SNMP: ConnectUPS, Network-M2 and M3, MGE cards, and others that speak RFC 1628.

Sources: UPS-MIB (RFC 1628), XUPS-MIB, EATON-EMP-MIB, MG-SNMP-UPS-MIB; the project's SNMP notes, sections 2 and 3, and
Eaton notes. Alert types, severities and components are those of the trap mappings.
"""

from __future__ import annotations

from typing import Any

from connectors.framework.base import BaseConnector, Observation, Target
from connectors.framework.errors import ApiError
from connectors.framework.snmp import Agent, agent_of, as_dict, number, text
from connectors.framework.snmp_device import SnmpDevice
from connectors.vendors.eaton import judge
from connectors.vendors.eaton.objects import ALARM_TABLES, COLUMNS, CONTACTS, LOADS, SCALARS, Readings


def no_ups(target: Target) -> ApiError:
    return ApiError(f"{target.name or target.ip} answers SNMP, but has no objects of a UPS.")


async def read(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """The UPS (RFC 1628, XUPS, MG)."""
    named = as_dict(await agent.get(SCALARS.values()), SCALARS)
    ups = Readings(named, await _loads(agent))
    tables = await _alarms(agent, named)
    if not ups.is_ups and not tables:
        raise no_ups(target)
    verdicts = judge.Verdicts()
    judge.from_states(verdicts, ups)
    judge.from_limits(verdicts, ups, connector, target)
    unknown = judge.from_alarms(verdicts, tables)
    seen.findings += judge.of_load(ups, connector, target, verdicts)
    seen.findings += verdicts.findings(connector.manifest.alert_types)
    seen.findings += unknown
    if not tables or any(count and not present for count, present in tables.values()):
        seen.unsure.add("ups_alarm")
    seen.values |= _values(ups, tables, await _phases(agent))


async def contacts(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """Contacts of the environment probe (xupsContactSenseTable)."""
    seen.findings += judge.of_contacts(await agent.table(CONTACTS, {2: "type", 3: "state", 4: "descr"}))


async def _loads(agent: Agent) -> tuple[float, ...]:
    """Percent by phase; three phases of a one-phase UPS say the same thrice."""
    for column in LOADS:
        found = [number(value, low=0, high=300) for value in (await agent.column(column)).values()]
        if found:
            return tuple(value for value in found if value is not None)
    return ()


async def _alarms(agent: Agent, named: dict[str, Any]) -> dict[str, tuple[int, list[str]]]:
    """The tables this card has. One without alarms is not walked."""
    found: dict[str, tuple[int, list[str]]] = {}
    for counter, column, varbind in ALARM_TABLES:
        count = number(named.get(counter), low=0)
        if count is not None:
            rows = (await agent.column(column)).values() if count else ()
            found[varbind] = int(count), [text(value) for value in rows]
    return found


async def _phases(agent: Agent) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name, dialects in COLUMNS.items():
        for column, unit in dialects:
            known = [number(value, low=0) for value in (await agent.column(column)).values()]
            if known:
                found[name] = [round(value * unit, 1) for value in known if value is not None]
                break
    return found


def _values(ups: Readings, tables: dict[str, tuple[int, list[str]]], phases: dict[str, list[float]]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "model": text(ups.named.get("xups_model")) or text(ups.named.get("mg_model")) or None,
        "output_source": ups.source,
        "battery_charge_pct": ups.charge,
        "runtime_min": round(ups.seconds_left / 60, 1) if ups.seconds_left is not None else None,
        "battery_v": ups.battery_volts,
        "load_pct": ups.load,
        "ambient_c": ups.temperature("xups_ambient"),
        "probe_c": ups.temperature("xups_remote"),
        "battery_c": ups.temperature("rfc_battery_temperature"),
        "humidity_pct": ups.value("xups_humidity", low=1, high=100),
        "alarms": max(count for count, _ in tables.values()) if tables else None,
        **phases,
    }
    return {name: value for name, value in shown.items() if value is not None}


class Connector(SnmpDevice):
    parts = (read, contacts)

    async def test(self, target: Target) -> str:
        async with agent_of(self, target) as agent:
            ups = Readings(as_dict(await agent.get(SCALARS.values()), SCALARS))
            if not ups.is_ups:
                raise no_ups(target)
            charge = f", battery {ups.charge:.0f} %" if ups.charge is not None else ""
            name = text(ups.named.get("xups_model")) or text(ups.named.get("mg_model")) or target.name or target.ip
            return f"Connected. {name}: output source {ups.source or 'unknown'}{charge}."
