"""The radio of an EtherHaul: its link, signal, modulation and temperatures. Pure.

Source: RADIO-BRIDGE-MIB (rbRfTable, rbEthernetTable); the project's SNMP notes, section 4, and Siklu notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.framework.base import BaseConnector, Finding, Target
from connectors.framework.snmp import number
from connectors.framework.snmp_ports import ADMIN_UP, Port
from connectors.framework.thresholds import Level, Measure, state

ROOT = "1.3.6.1.4.1.31926"
RF = f"{ROOT}.2.1.1"
ETHERNET_LOOPS = f"{ROOT}.5.1.1.3"
SCALARS = {
    "system_volts": f"{ROOT}.1.1.0",
    "system_temperature": f"{ROOT}.1.2.0",
    "frequency": f"{RF}.4.1",
    "mode": f"{RF}.6.1",
    "modulation": f"{RF}.7.1",
    "operational": f"{RF}.17.1",
    "cinr": f"{RF}.18.1",
    "rsl": f"{RF}.19.1",
    "rf_temperature": f"{RF}.26.1",
    "lowest_modulation": f"{RF}.30.1",
    "tx_mute": f"{RF}.34.1",
    "loop": f"{RF}.36.1",
    "tx_power": f"{RF}.42.1",
    "alignment": f"{RF}.44.1",
    "alarm_counter": f"{ROOT}.11.1.1.0",
}
RADIO_PORT, ETHERNET_PORT = 188, 6  # ifType
TRUE, FALSE = 1, 2
NO_LINK = -128  # what signal and ratio say then: no reading
ADAPTIVE, ALIGN = 1, 3  # rfModeSelector
MODULATIONS = {1: "QPSK", 2: "QAM 16", 3: "QAM 64"}
RADIO = "eth eth0"  # as alarms name it

TEMPERATURE = Measure(
    "Temperature", "°C", (Level("temperature_critical", "temp_crit_c"), Level("high_temperature", "temp_warn_c"))
)


def source_of(port: Port) -> str:
    """A port as alarms name it: Eth 1 is “eth eth1”."""
    return f"eth {(port.name or port.description).lower().replace(' ', '')}"


def is_up(named: Mapping[str, Any], port: Port | None) -> bool | None:
    """The link over the air; None where nothing says. A radio that is switched off has none, and none is missed."""
    if port is not None and port.admin != ADMIN_UP:
        return None
    if NO_LINK in (number(named.get("rsl")), number(named.get("cinr"))):
        return False
    known = named.get("operational")
    if known in (TRUE, FALSE):
        return known == TRUE
    return port.is_up if port is not None and (port.is_up or port.is_down) else None


def of_link(named: Mapping[str, Any], port: Port | None) -> list[Finding]:
    up = is_up(named, port)
    if up is None:
        return []
    component = f"rbCurrentAlarmSource={source_of(port) if port else RADIO}"
    found = [state("link_down", not up, component, "Radio link is down")]
    if up and port is not None:  # what a linkDown trap began
        found.append(state("link_down", False, f"ifIndex={port.index}"))
    return found


def of_signal(named: Mapping[str, Any], up: bool | None, connector: BaseConnector, target: Target) -> list[Finding]:
    """Signal and ratio, while there is a link: without one they are no readings."""
    if up is False:
        return []
    found: list[Finding] = []
    rsl = number(named.get("rsl"), low=NO_LINK + 1, high=20)
    if rsl is not None:
        expected = number(connector.setting("expected_rsl_dbm", target))
        key = "rsl_margin_{}_db" if expected is not None else "rsl_{}_dbm"
        limits = [connector.limit(key.format(level), target) for level in ("crit", "warn")]
        if expected is not None:
            limits = [expected - margin for margin in limits]
        back = connector.manifest.limits["rsl_warn_dbm"].hysteresis
        passed = False
        for alert_type, limit in zip(("rsl_critical", "rsl_low"), limits, strict=True):
            is_low = rsl < limit + (back if (alert_type, "") in target.raised else 0)
            expects = f", expected {expected:g} dBm" if expected is not None else ""
            title = f"Received signal {rsl:g} dBm"
            found.append(state(alert_type, is_low and not passed, "", title, f"Limit {limit:g} dBm{expects}"))
            passed = passed or is_low
    cinr = number(named.get("cinr"), low=-60, high=80)
    if cinr is not None:
        warn, critical = (connector.limit(key, target) for key in ("cinr_warn_db", "cinr_crit_db"))
        back = connector.manifest.limits["cinr_warn_db"].hysteresis if ("cinr_low", "") in target.raised else 0
        finding = state("cinr_low", cinr < warn + back, "", f"CINR {cinr:g} dB", f"Limit {warn:g} dB")
        if finding.is_raised and cinr < critical:
            finding.severity = "critical"
        found.append(finding)
    modulation, lowest = number(named.get("modulation")), number(named.get("lowest_modulation"))
    if named.get("mode") == ADAPTIVE and modulation is not None and lowest is not None:
        word = MODULATIONS.get(int(modulation), f"modulation {modulation:g}")
        found.append(
            state("modulation_degraded", modulation <= lowest, "", f"Radio is down to its lowest modulation, {word}")
        )
    return found


def of_temperatures(named: Mapping[str, Any], connector: BaseConnector, target: Target) -> list[Finding]:
    """The hotter of radio and system."""
    known = [number(named.get(name), low=-60, high=150) for name in ("system_temperature", "rf_temperature")]
    readings = [value for value in known if value is not None]
    return TEMPERATURE.judge(connector, target, max(readings, default=None))


def of_leftovers(named: Mapping[str, Any], loops: Mapping[str, Any], port: Port | None) -> list[Finding]:
    """What an engineer switched on and may have forgotten."""
    found = []
    if named.get("tx_mute") in (TRUE, FALSE):
        found.append(state("tx_muted", named["tx_mute"] == TRUE, "", "Radio transmitter is muted"))
    aligning = number(named.get("alignment"))
    if aligning is not None or named.get("mode") is not None:
        active = aligning == 1 or named.get("mode") == ALIGN
        found.append(state("rf_misaligned", active, "", "Radio is being aligned"))
    if (loop := number(named.get("loop"))) is not None:
        component = f"ifIndex={port.index}" if port else ""
        found.append(state("loopback_on", loop > 1, component, "Loopback is active on the radio"))
    for index, mode in loops.items():
        if (known := number(mode)) is not None and not (port and port.index == index):
            found.append(state("loopback_on", known > 0, f"ifIndex={index}", f"Loopback is active on port {index}"))
    return found


def of_ports(ports: Sequence[Port], used: frozenset[str], target: Target) -> tuple[list[Finding], bool]:
    """Sockets that were in use and are down, and whether there are some nothing can be said of."""
    found: list[Finding] = []
    unsure = False
    for port in ports:
        if port.kind != ETHERNET_PORT:
            continue
        component = f"rbCurrentAlarmSource={source_of(port)}"
        if port.is_down and port.label not in used and ("eth_port_down", component) not in target.raised:
            unsure = True
            continue
        found.append(state("eth_port_down", port.is_down, component, f"Ethernet port {port.title} is down"))
        if not port.is_down:
            found.append(state("link_down", False, f"ifIndex={port.index}"))
    return found, unsure


@dataclass(slots=True)
class Told:
    """Findings by their keys: what is wrong goes before what is well, and the worse level before the other."""

    found: dict[tuple[str, str], Finding]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Told:
        told = cls({})
        for finding in findings:
            told.add(finding)
        return told

    def add(self, finding: Finding) -> None:
        before = self.found.get(finding.key)
        if before is None or (finding.is_raised and not before.is_raised):
            self.found[finding.key] = finding

    def end(self, keys: Iterable[tuple[str, str]]) -> None:
        self.found |= {key: state(key[0], False, key[1]) for key in keys}

    def is_raised(self, alert_type: str) -> bool:
        return any(finding.is_raised for key, finding in self.found.items() if key[0] == alert_type)
