"""Ubiquiti devices over SNMP: airMAX, airFiber, airFiber 60, LTU, UniFi access points, EdgeMAX, EdgeSwitch.

Sources: the MIBs named in `families`; IF-MIB (RFC 2863); the project's SNMP notes, section 7, and Ubiquiti notes.
"""

from __future__ import annotations

from typing import Any

import regex

from connectors.framework.base import BaseConnector, Observation, Target
from connectors.framework.errors import ApiError
from connectors.framework.snmp import Agent
from connectors.framework.snmp_device import SnmpDevice
from connectors.framework.snmp_ports import Port, ports_of, seen_up
from connectors.framework.thresholds import state
from connectors.vendors.ubiquiti_snmp.families import FAMILIES, known, resources
from connectors.vendors.ubiquiti_snmp.judge import judge
from connectors.vendors.ubiquiti_snmp.readings import Readings

PATTERN_SECONDS = 0.2
# Ubiquiti, the maker of its first chips, and of the system of its switches.
UBIQUITI = ("1.3.6.1.4.1.41112", "1.3.6.1.4.1.10002", "1.3.6.1.4.1.4413")


async def read(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """Radio, processor and sensors (UBNT MIBs)."""
    found = Readings()
    for family in (*FAMILIES, resources):
        await family(agent, found)
    if not found.families and not str(seen.values.get("sysObjectID", "")).startswith(UBIQUITI):
        raise ApiError(f"{target.name or target.ip} answers SNMP, but is no Ubiquiti device.")
    seen.findings += judge(found, connector, target, seen)
    seen.values |= values(found)


async def ports(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """Ports (ifTable)."""
    pattern = connector.setting("ignored_interfaces", target)
    watched = [port for port in await ports_of(agent) if not _is_ignored(port, pattern)]
    if not watched:
        seen.unsure.add("link_down")
        return
    used = seen_up(watched, target, seen)
    for port in watched:
        component = f"ifIndex={port.index}"
        if port.is_down and port.label not in used and ("link_down", component) not in target.raised:
            seen.unsure.add("link_down")
            continue
        seen.findings.append(state("link_down", port.is_down, component, f"Interface {port.title} is down"))
    seen.values |= {
        "interfaces_up": sum(port.is_up for port in watched),
        "interfaces_down": sum(f.is_raised for f in seen.findings if f.component.startswith("ifIndex=")),
    }


def _is_ignored(port: Port, pattern: Any) -> bool:
    try:
        return bool(pattern) and any(
            name and regex.search(str(pattern), name, timeout=PATTERN_SECONDS) for name in (port.name, port.description)
        )
    except (regex.error, TimeoutError):
        return False


def values(found: Readings) -> dict[str, Any]:
    radios = {
        radio.label: known(
            {
                "link": None if radio.up is None else "up" if radio.up else "down",
                "signal_dbm": radio.signal,
                "expected_dbm": radio.expected,
                "rx_capacity_mbps": radio.capacity,
                **radio.shown,
            }
        )
        for radio in found.radios
    }
    return known(
        {
            "family": ", ".join(found.families) or None,
            "cpu_pct": round(found.cpu, 1) if found.cpu is not None else None,
            "memory_pct": round(found.memory, 1) if found.memory is not None else None,
            "stations": found.stations,
            "temperature_c": dict(found.temperatures.values()) or None,
            "radios": radios or None,
            "power_supplies": {index: "up" if up else "down" for index, up in found.supplies.items()} or None,
            "fans_rpm": found.fans or None,
            **found.shown,
        }
    )


class Connector(SnmpDevice):
    parts = (read, ports)
