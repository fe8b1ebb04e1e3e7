"""What of the readings of a Ubiquiti device is wrong, and what is well. Pure.

Power supplies and fans that never worked since the device is polled are no loss: an empty slot reads as a supply that
is down. What once worked is kept in the memory of the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.framework.base import BaseConnector, Finding, Observation, Target
from connectors.framework.snmp import number
from connectors.framework.thresholds import Level, Measure, held, state
from connectors.vendors.ubiquiti_snmp.readings import Radio, Readings

CPU = Measure("CPU", "%", (Level("high_cpu", "cpu_warn_pct"),))
MEMORY = Measure("Memory", "%", (Level("high_memory", "mem_warn_pct"),))
TEMPERATURE = Measure("", "°C", (Level("high_temperature", "temp_warn_c"),))
WORKED, HELD = "worked", "held"
LEVELS = (("signal_critical", "crit"), ("signal_degraded", "warn"))


def judge(found: Readings, connector: BaseConnector, target: Target, seen: Observation) -> list[Finding]:
    """Findings; those of values that move count from the second poll in a row (setting `hold_polls`)."""
    worked = set(target.memory.get(WORKED) or ())
    counts = dict(target.memory.get(HELD) or {})
    polls = int(connector.setting("hold_polls", target) or 1)
    moving = [
        *CPU.judge(connector, target, found.cpu),
        *MEMORY.judge(connector, target, found.memory),
        *(f for radio in found.radios for f in of_signal(radio, connector, target)),
        *(f for radio in found.radios for f in of_capacity(radio, connector, target)),
        *of_stations(found, connector, target),
    ]
    findings = worst([held(finding, counts, polls, target.raised) for finding in moving])
    for component, (label, degrees) in found.temperatures.items():
        findings += TEMPERATURE.judge(connector, target, degrees, component, label)
    findings += of_links(found.radios, worked)
    if found.isolated is not None:
        findings.append(state("ap_isolated", found.isolated, "", "Access point has lost its uplink"))
    for index, works in found.supplies.items():
        findings += _once(worked, "psu_failure", works, f"psu={index}", f"Power supply {index} is down")
    for index, turns in found.fans.items():
        findings += _once(worked, "fan_failure", turns > 0, f"fan={index}", f"Fan {index} stands still")
    seen.memory |= {WORKED: sorted(worked), HELD: counts}
    return findings


def of_links(radios: Sequence[Radio], worked: set[str]) -> Iterator[Finding]:
    for radio in radios:
        if radio.up is not None:
            title = f"Radio link of {radio.label} is down"
            yield from _once(worked, "radio_link_down", radio.up, radio.component, title, is_told=radio.is_told)


def _once(
    worked: set[str], alert_type: str, works: bool, component: str, title: str, *, is_told: bool = False
) -> list[Finding]:
    """A loss of what worked before; silence on what never did, unless `is_told`."""
    key = f"{alert_type} {component}"
    if works:
        worked.add(key)
    return [state(alert_type, not works, component, title)] if works or is_told or key in worked else []


def of_signal(radio: Radio, connector: BaseConnector, target: Target) -> list[Finding]:
    """By its distance from what the target says it should receive, or the device itself; else by fixed limits."""
    if radio.signal is None or radio.up is False:
        return []
    expected = number(connector.setting("expected_signal_dbm", target))
    expected = expected if expected is not None else radio.expected
    back = connector.manifest.limits["signal_warn_dbm"].hysteresis
    found: list[Finding] = []
    for alert_type, level in LEVELS:
        key = f"signal_{level}_dbm" if expected is None else f"signal_margin_{level}_db"
        limit = connector.limit(key, target)
        if expected is not None:
            limit = expected - limit
        was = (alert_type, radio.component) in target.raised
        is_low = radio.signal < limit + (back if was else 0)
        expects = f", expected {expected:g} dBm" if expected is not None else ""
        title = f"Signal of {radio.label} is {radio.signal:g} dBm"
        found.append(state(alert_type, is_low, radio.component, title, f"Limit {limit:g} dBm{expects}"))
    return found


def worst(findings: Sequence[Finding]) -> list[Finding]:
    """Of two levels the worse: only once it has held, so that the milder stands until then."""
    critical = {f.component for f in findings if f.is_raised and f.alert_type == "signal_critical"}
    return [
        state(f.alert_type, False, f.component) if f.alert_type == "signal_degraded" and f.component in critical else f
        for f in findings
    ]


def of_capacity(radio: Radio, connector: BaseConnector, target: Target) -> list[Finding]:
    expected = number(connector.setting("expected_capacity_mbps", target), low=1)
    if expected is None or radio.capacity is None or radio.up is False:
        return []
    part = radio.capacity * 100 / expected
    known = connector.manifest.limits["capacity_warn_pct"]
    back = known.hysteresis if ("link_capacity_low", radio.component) in target.raised else 0
    title = f"Capacity of {radio.label} is {radio.capacity:g} Mbit/s"
    is_low = part < connector.limit(known.key, target) + back
    return [state("link_capacity_low", is_low, radio.component, title, f"Expected {expected:g} Mbit/s")]


def of_stations(found: Readings, connector: BaseConnector, target: Target) -> list[Finding]:
    expected = int(number(connector.setting("expected_stations", target), low=0) or 0)
    if not expected or found.stations is None:
        return []
    title = f"{found.stations} of {expected} stations are connected"
    return [state("station_lost", found.stations < expected, "", title)]
