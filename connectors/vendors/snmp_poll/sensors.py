"""Temperature and states of sensors: ENTITY-SENSOR-MIB (RFC 3433) and CISCO-ENVMON-MIB."""

from __future__ import annotations

from typing import Any

from connectors.framework.base import BaseConnector, Observation, Target
from connectors.framework.snmp import Agent, number, text
from connectors.framework.thresholds import Level, Measure, state

SENSOR = "1.3.6.1.2.1.99.1.1.1"
ENTITY_DESCR, ENTITY_NAME = "1.3.6.1.2.1.47.1.1.1.1.2", "1.3.6.1.2.1.47.1.1.1.1.7"
ENVMON = "1.3.6.1.4.1.9.9.13.1"
CELSIUS, SCALE_UNITS = 8, 9
OK, UNAVAILABLE = 1, 2  # operStatus: nonoperational is 3
ENVMON_STATES = {1: "normal", 2: "warning", 3: "critical", 4: "shutdown", 5: "not present", 6: "not functioning"}
FAULTY = frozenset({2, 3, 4, 6})
# A reading beyond is a sensor that is not there, or garbage of the firmware.
COLDEST, HOTTEST = -60, 200

TEMPERATURE = Measure("", "°C", (Level("high_temperature", "temp_warn_c"),), digits=0)


def celsius(value: Any, scale: Any, precision: Any) -> float | None:
    """value x 10^(3 (scale - 9)) x 10^-precision; None for what no sensor measures."""
    known, power = number(value), number(precision, low=-8, high=9)
    if known is None:
        return None
    exponent = 3 * (int(number(scale, low=1, high=17) or SCALE_UNITS) - SCALE_UNITS) - int(power or 0)
    degrees = known * 10.0**exponent
    return degrees if COLDEST <= degrees <= HOTTEST else None


async def read(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """Sensors (entPhySensorTable, ciscoEnvMonTemperatureStatusTable)."""
    temperatures: dict[str, float] = {}
    rows = await agent.table(SENSOR, {1: "type", 2: "scale", 3: "precision", 4: "value", 5: "status"})
    if rows:
        names = await agent.column(ENTITY_NAME)
        descriptions = await agent.column(ENTITY_DESCR)
        for index, row in rows.items():
            label = text(names.get(index)) or text(descriptions.get(index)) or f"sensor {index}"
            if row.get("status") == UNAVAILABLE:
                continue
            seen.findings.append(
                state("sensor_alarm", row.get("status") == 3, f"sensor={index}", f"Sensor {label} does not work")
            )
            if row.get("type") == CELSIUS and row.get("status") == OK:
                degrees = celsius(row.get("value"), row.get("scale"), row.get("precision"))
                seen.findings += TEMPERATURE.judge(connector, target, degrees, f"sensor={index}", label)
                if degrees is not None:
                    temperatures[label] = degrees
    await _envmon(connector, target, agent, seen, temperatures)
    if temperatures:
        seen.values["temperature_c"] = {name: round(value, 1) for name, value in temperatures.items()}


async def _envmon(
    connector: BaseConnector, target: Target, agent: Agent, seen: Observation, temperatures: dict[str, float]
) -> None:
    for index, row in (await agent.table(f"{ENVMON}.3.1", {2: "descr", 3: "value", 6: "state"})).items():
        label = text(row.get("descr")) or f"temperature {index}"
        degrees = number(row.get("value"), low=COLDEST, high=HOTTEST)
        if row.get("state") == 5:
            continue
        seen.findings += TEMPERATURE.judge(connector, target, degrees, f"envmon={index}", label)
        if degrees is not None:
            temperatures[label] = degrees
    for kind, branch in (("Fan", "4.1"), ("Power supply", "5.1")):
        for index, row in (await agent.table(f"{ENVMON}.{branch}", {2: "descr", 3: "state"})).items():
            known = row.get("state")
            if not isinstance(known, int) or known == 5:
                continue
            label = text(row.get("descr")) or f"{kind} {index}"
            word = ENVMON_STATES.get(known, str(known))
            part = f"{kind.lower().replace(' ', '_')}={index}"
            seen.findings.append(state("sensor_alarm", known in FAULTY, part, f"{kind} {label}: {word}"))
