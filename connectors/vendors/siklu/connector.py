"""Siklu EtherHaul radios over SNMP, and what a MultiHaul TG says there.

Sources: RADIO-BRIDGE-MIB; the project's SNMP notes, section 4, and Siklu notes. Alert types, severities and components
are those of the trap mappings.
"""

from __future__ import annotations

from typing import Any

from connectors.framework.base import BaseConnector, Finding, Observation, Target
from connectors.framework.errors import ApiError
from connectors.framework.snmp import Agent, agent_of, as_dict, number
from connectors.framework.snmp_device import SnmpDevice
from connectors.framework.snmp_ports import Port, ports_of, seen_up
from connectors.vendors.siklu import alarms, multihaul, radio

OF_SIGNAL = frozenset({"rsl_low", "cinr_low", "modulation_degraded"})
# Of two levels of one measure only the worse is told.
LEVELS = (("rsl_critical", "rsl_low"), ("temperature_critical", "high_temperature"))


async def read(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """The radio (rbRfTable, ifTable, rbCurrentAlarmTable)."""
    named = as_dict(await agent.get(radio.SCALARS.values()), radio.SCALARS)
    if not named and not str(seen.values.get("sysObjectID", "")).startswith(radio.ROOT):
        raise no_radio(target)
    ports = await ports_of(agent)
    rows = await alarms.rows_of(agent, named.get("alarm_counter"), target, seen)
    loops = await agent.column(radio.ETHERNET_LOOPS)
    seen.findings += judged(connector, target, seen, named, ports, rows, loops)
    seen.values |= values(named, radio_port(ports))


async def remotes(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """Remote radios of a MultiHaul (35.1.1.3.1.1)."""
    await multihaul.read(target, agent, seen)


def judged(
    connector: BaseConnector,
    target: Target,
    seen: Observation,
    named: dict[str, Any],
    ports: list[Port],
    rows: list[dict[str, Any]] | None,
    loops: dict[str, Any],
) -> list[Finding]:
    port = radio_port(ports)
    up = radio.is_up(named, port)
    # Without a link there is no signal to be low, whatever the radio's own alarms say.
    told = radio.Told.of(
        [f for f in alarms.findings_of(rows or ()) if up is not False or f.alert_type not in OF_SIGNAL]
    )
    alarmed = {alert_type for alert_type, _ in told.found}
    of_ports, some_unsaid = radio.of_ports(ports, seen_up(ports, target, seen), target)
    for finding in [
        *radio.of_link(named, port),
        *radio.of_signal(named, up, connector, target),
        *radio.of_temperatures(named, connector, target),
        *radio.of_leftovers(named, loops, port),
        *of_ports,
    ]:
        # The radio's own alarm of it names its place, perhaps by other words than we would: one is enough.
        if not (finding.is_raised and finding.alert_type in alarmed and finding.alert_type != "eth_port_down"):
            told.add(finding)
    for worse, milder in LEVELS:
        if told.is_raised(worse):
            told.end([key for key, f in told.found.items() if key[0] == milder and f.is_raised])
    if rows is not None:  # what we took from a row that is gone; of the link only where it is up
        ours = [key for key in target.raised if key[0] in connector.manifest.reconciles and key not in told.found]
        told.end([key for key in ours if up or key[0] != "link_down"])
    else:
        seen.unsure |= connector.manifest.reconciles
    if up is False or some_unsaid or told.is_raised("eth_port_down"):
        seen.unsure |= {"link_down", "eth_port_down"}  # a linkDown trap of a port that is down still holds
    return list(told.found.values())


def radio_port(ports: list[Port]) -> Port | None:
    return next((port for port in ports if port.kind == radio.RADIO_PORT), None)


def values(named: dict[str, Any], port: Port | None) -> dict[str, Any]:
    up = radio.is_up(named, port)
    modulation = number(named.get("modulation"))
    shown: dict[str, Any] = {
        "link": None if up is None else "up" if up else "down",
        "rsl_dbm": number(named.get("rsl"), low=radio.NO_LINK + 1),
        "cinr_db": number(named.get("cinr"), low=radio.NO_LINK + 1),
        "modulation": radio.MODULATIONS.get(int(modulation)) if modulation is not None else None,
        "frequency_mhz": number(named.get("frequency")),
        "tx_power_dbm": number(named.get("tx_power")),
        "system_c": number(named.get("system_temperature")),
        "radio_c": number(named.get("rf_temperature")),
        "system_v": number(named.get("system_volts")),
    }
    return {name: value for name, value in shown.items() if value is not None}


def no_radio(target: Target) -> ApiError:
    return ApiError(f"{target.name or target.ip} answers SNMP, but is no Siklu radio.")


class Connector(SnmpDevice):
    parts = (read, remotes)

    async def test(self, target: Target) -> str:
        async with agent_of(self, target) as agent:
            who = await self.identity(agent, target)
            if not who.object_id.startswith(radio.ROOT):
                raise no_radio(target)
            named = as_dict(await agent.get(radio.SCALARS.values()), radio.SCALARS)
            rsl = number(named.get("rsl"))
            signal = "" if rsl is None else ", no link" if rsl == radio.NO_LINK else f", received signal {rsl:g} dBm"
            return f"Connected. {who.name or target.name}: {who.description}{signal}, up {who.uptime_in_words()}."
