"""The table of current alarms of a radio: read when its counter changed, and what its rows mean. The words and
components are those of trapCurrentAlarm in the trap mappings.

Source: RADIO-BRIDGE-MIB (rbCurrentAlarmTable); `snmp_trap/mappings/siklu.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.framework.base import Finding, Observation, Target
from connectors.framework.snmp import Agent, number, text

COUNTER = "1.3.6.1.4.1.31926.11.1.1.0"
TABLE = "1.3.6.1.4.1.31926.11.2.1"
MEMORY = "alarm_table"
SEVERITIES = {1: "critical", 2: "major", 3: "minor", 4: "warning"}
NO_ALARM = 5
LINK_DOWN, WIRED = 1, re.compile(r"[eE]th ?[1-9]")


@dataclass(frozen=True, slots=True)
class Kind:
    alert_type: str
    title: str
    has_source: bool = True  # some concern the only radio there is


KINDS = {
    LINK_DOWN: Kind("link_down", "Radio link is down"),
    2: Kind("high_temperature", "Radio temperature is out of range"),
    3: Kind("synthesizer_unlock", "Radio synthesizer has lost its lock"),
    4: Kind("power_low", "Radio reports low power"),
    5: Kind("cfm_defect", "Ethernet OAM endpoint reports a defect"),
    6: Kind("loopback_on", "Loopback is active"),
    7: Kind("tx_muted", "Radio transmitter is muted", has_source=False),
    8: Kind("sync_quality_low", "Quality of the clock source is too low"),
    9: Kind("poe_incompatible", "Power over Ethernet does not match the radio"),
    10: Kind("rsl_low", "Received signal of the radio is too weak", has_source=False),
    11: Kind("cinr_low", "Signal-to-noise ratio of the radio is too low", has_source=False),
    12: Kind("modulation_degraded", "Radio is down to its lowest modulation", has_source=False),
}
PORT = Kind("eth_port_down", "Ethernet port is down")


async def rows_of(agent: Agent, counter: Any, target: Target, seen: Observation) -> list[dict[str, Any]] | None:
    """The rows, walked only when the counter is another than at the last poll or the radio restarted, for it begins at
    random then; None where the radio has no such table."""
    count = number(counter)
    if count is None:
        seen.memory.pop(MEMORY, None)
        return None
    before = target.memory.get(MEMORY) or {}
    if before.get("counter") == count and not any(f.alert_type == "device_rebooted" for f in seen.findings):
        known: list[dict[str, Any]] = before["rows"]
    else:
        found = await agent.table(TABLE, {2: "type", 3: "name", 4: "source", 5: "severity", 7: "text"})
        known = [
            {
                "type": int(number(row.get("type")) or 0),
                "severity": int(number(row.get("severity")) or 0),
                **{name: text(row.get(name)) for name in ("name", "source", "text")},
            }
            for row in found.values()
        ]
    seen.memory[MEMORY] = {"counter": count, "rows": known}
    return known


def findings_of(rows: Iterable[Mapping[str, Any]]) -> list[Finding]:
    found = []
    for row in rows:
        if row["severity"] == NO_ALARM:
            continue
        kind = KINDS.get(row["type"])
        if row["type"] == LINK_DOWN and WIRED.search(row["source"]):
            kind = PORT
        severity = SEVERITIES.get(row["severity"], "")
        source = f"rbCurrentAlarmSource={row['source']}"
        where = f" ({row['source']})" if row["source"] else ""
        if kind is None:
            title = f"Radio alarm {row['name'] or row['type']}{where}"
            component = f"rbCurrentAlarmType={row['type']},{source}"
            found.append(Finding("radio_alarm", component, True, title, row["text"], severity=severity))
            continue
        component, title = (source, kind.title + where) if kind.has_source else ("", kind.title)
        found.append(Finding(kind.alert_type, component, True, title, row["text"], severity=severity))
    return found
