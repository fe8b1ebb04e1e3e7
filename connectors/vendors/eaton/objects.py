"""What is read of a UPS, in three dialects. Each quantity is taken from RFC 1628 first, from XUPS second and from MG
third, because cards answer a bit of each.

Sources: UPS-MIB (RFC 1628), XUPS-MIB, EATON-EMP-MIB, MG-SNMP-UPS-MIB; the project's SNMP notes, 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.framework.snmp import number

RFC, XUPS, MG = "1.3.6.1.2.1.33.1", "1.3.6.1.4.1.534.1", "1.3.6.1.4.1.705.1"

SCALARS = {
    "rfc_battery_status": f"{RFC}.2.1.0",
    "rfc_minutes_left": f"{RFC}.2.3.0",
    "rfc_charge": f"{RFC}.2.4.0",
    "rfc_battery_decivolts": f"{RFC}.2.5.0",
    "rfc_battery_temperature": f"{RFC}.2.7.0",
    "rfc_output_source": f"{RFC}.4.1.0",
    "rfc_alarms": f"{RFC}.6.1.0",
    "rfc_test_result": f"{RFC}.7.3.0",
    "xups_model": f"{XUPS}.1.2.0",
    "xups_seconds_left": f"{XUPS}.2.1.0",
    "xups_battery_volts": f"{XUPS}.2.2.0",
    "xups_charge": f"{XUPS}.2.4.0",
    "xups_battery_status": f"{XUPS}.2.5.0",
    "xups_battery_failure": f"{XUPS}.2.7.0",
    "xups_battery_missing": f"{XUPS}.2.8.0",
    "xups_battery_aged": f"{XUPS}.2.9.0",
    "xups_battery_low_capacity": f"{XUPS}.2.10.0",
    "xups_input_source": f"{XUPS}.3.5.0",
    "xups_input_status": f"{XUPS}.3.9.0",
    "xups_load": f"{XUPS}.4.1.0",
    "xups_output_source": f"{XUPS}.4.5.0",
    "xups_output_status": f"{XUPS}.4.10.0",
    "xups_ambient": f"{XUPS}.6.1.0",
    "xups_ambient_low": f"{XUPS}.6.2.0",
    "xups_ambient_high": f"{XUPS}.6.3.0",
    "xups_remote": f"{XUPS}.6.5.0",
    "xups_humidity": f"{XUPS}.6.6.0",
    "xups_remote_low": f"{XUPS}.6.9.0",
    "xups_remote_high": f"{XUPS}.6.10.0",
    "xups_humidity_low": f"{XUPS}.6.11.0",
    "xups_humidity_high": f"{XUPS}.6.12.0",
    "xups_alarms": f"{XUPS}.7.1.0",
    "xups_battery_test": f"{XUPS}.8.2.0",
    "mg_model": f"{MG}.1.1.0",
    "mg_seconds_left": f"{MG}.5.1.0",
    "mg_charge": f"{MG}.5.2.0",
    "mg_battery_decivolts": f"{MG}.5.5.0",
    "mg_battery_fault": f"{MG}.5.9.0",
    "mg_no_battery": f"{MG}.5.10.0",
    "mg_replace_battery": f"{MG}.5.11.0",
    "mg_battery_unavailable": f"{MG}.5.12.0",
    "mg_low_battery": f"{MG}.5.14.0",
    "mg_charger_fault": f"{MG}.5.15.0",
    "mg_low_condition": f"{MG}.5.16.0",
    "mg_low_recharge": f"{MG}.5.17.0",
    "mg_input_bad": f"{MG}.6.3.0",
    "mg_on_battery": f"{MG}.7.3.0",
    "mg_on_bypass": f"{MG}.7.4.0",
    "mg_utility_off": f"{MG}.7.7.0",
    "mg_on_boost": f"{MG}.7.8.0",
    "mg_overload": f"{MG}.7.10.0",
    "mg_too_hot": f"{MG}.7.11.0",
    "mg_on_buck": f"{MG}.7.12.0",
}
# Per phase: the first dialect that has any.
COLUMNS = {
    "input_v": ((f"{RFC}.3.3.1.3", 1.0), (f"{XUPS}.3.4.1.2", 1.0), (f"{MG}.6.2.1.2", 0.1)),
    "output_v": ((f"{RFC}.4.4.1.2", 1.0), (f"{XUPS}.4.4.1.2", 1.0), (f"{MG}.7.2.1.2", 0.1)),
    "output_w": ((f"{RFC}.4.4.1.4", 1.0), (f"{XUPS}.4.4.1.4", 1.0)),
}
LOADS = (f"{RFC}.4.4.1.5", f"{MG}.7.2.1.4")
ALARM_TABLES = (("rfc_alarms", f"{RFC}.6.2.1.2", "upsAlarmDescr"), ("xups_alarms", f"{XUPS}.7.2.1.2", "xupsAlarmDescr"))
CONTACTS = f"{XUPS}.6.8.1"
CONTACT_UNUSED = 4  # xupsContactType
CONTACT_ALARMS = frozenset({3, 4})  # openWithNotice, closedWithNotice

YES, NO = 1, 2
SOURCES = {
    1: "other",
    2: "none",
    3: "normal",
    4: "bypass",
    5: "battery",
    6: "booster",
    7: "reducer",
    8: "parallel capacity",
    9: "parallel redundant",
    10: "high efficiency",
    11: "maintenance bypass",
    12: "ESS mode",
}


@dataclass(frozen=True, slots=True)
class Readings:
    """One UPS in units people use; None for what no dialect says. `named`: the raw answers by name."""

    named: Mapping[str, Any]
    loads: tuple[float, ...] = ()  # percent, by phase

    @property
    def is_ups(self) -> bool:
        return self.source is not None or self.charge is not None or self.load is not None

    def value(self, *names: str, low: float | None = None, high: float | None = None) -> float | None:
        """The first of these that is there and possible."""
        for name in names:
            known = number(self.named.get(name), low=low, high=high)
            if known is not None:
                return known
        return None

    def flag(self, name: str) -> bool | None:
        """Of yes(1), no(2)."""
        known = self.named.get(name)
        return known == YES if known in (YES, NO) else None

    @property
    def charge(self) -> float | None:
        return self.value("rfc_charge", "xups_charge", "mg_charge", low=0, high=100)

    @property
    def seconds_left(self) -> float | None:
        minutes = self.value("rfc_minutes_left", low=0)
        return minutes * 60 if minutes is not None else self.value("xups_seconds_left", "mg_seconds_left", low=0)

    @property
    def load(self) -> float | None:
        """Of the busiest phase, in percent of what it can carry."""
        return max(self.loads) if self.loads else self.value("xups_load", low=0, high=200)

    @property
    def source(self) -> str | None:
        known = self.value("rfc_output_source", "xups_output_source")
        if known is not None:
            return SOURCES.get(int(known), "other")
        battery, bypass = self.flag("mg_on_battery"), self.flag("mg_on_bypass")
        if battery is None and bypass is None:
            return None
        return "battery" if battery else "bypass" if bypass else "normal"

    @property
    def battery_volts(self) -> float | None:
        tenths = self.value("rfc_battery_decivolts", low=0)
        if tenths is None:
            volts = self.value("xups_battery_volts", low=0)
            if volts is not None:
                return volts
            tenths = self.value("mg_battery_decivolts", low=0)
        return tenths / 10 if tenths is not None else None

    def temperature(self, name: str) -> float | None:
        """In °C. Exactly 0 is what cards say that have no sensor there."""
        return self.value(name, low=-60, high=150) or None
