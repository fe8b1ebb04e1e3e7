"""What the alarm tables of a UPS say: identities of alarms as alert types. Pure data, equal to what the trap mappings
say of the same identities, so that a poll closes what a trap opened.

Sources: UPS-MIB (RFC 1628, upsWellKnownAlarms), XUPS-MIB (xupsAlarm); `snmp_trap/mappings/ups_mib.json` and
`eaton_xups.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

RFC, XUPS = "1.3.6.1.2.1.33.1.6.3", "1.3.6.1.4.1.534.1.7"


@dataclass(frozen=True, slots=True)
class Meaning:
    alert_type: str
    severity: str


_RFC = {
    1: ("battery_fault", "major"),
    2: ("on_battery", "major"),
    3: ("low_battery", "critical"),
    4: ("battery_depleted", "critical"),
    5: ("high_temperature", "warning"),
    6: ("input_bad", "major"),
    7: ("output_bad", "critical"),
    8: ("overload", "critical"),
    9: ("on_bypass", "major"),
    10: ("bypass_unavailable", "major"),
    11: ("output_off_requested", "info"),
    12: ("ups_off_requested", "info"),
    13: ("charger_failure", "major"),
    14: ("output_off", "critical"),
    15: ("ups_off", "critical"),
    16: ("fan_failure", "major"),
    17: ("fuse_failure", "critical"),
    18: ("ups_internal_fault", "critical"),
    19: ("self_test_failed", "minor"),
    20: ("ups_comm_lost", "major"),
    21: ("awaiting_power", "minor"),
    22: ("shutdown_pending", "major"),
    23: ("shutdown_imminent", "critical"),
    24: ("self_test_running", "info"),
}
# Up to 29 the number of the trap too; from 30 on the two go apart.
_XUPS = {
    3: ("on_battery", "major"),
    4: ("low_battery", "critical"),
    7: ("overload", "critical"),
    8: ("ups_internal_fault", "critical"),
    9: ("low_battery", "critical"),
    10: ("ups_internal_fault", "critical"),
    11: ("on_bypass", "critical"),
    12: ("bypass_unavailable", "major"),
    13: ("output_off", "critical"),
    14: ("input_bad", "minor"),
    15: ("contact_active", "major"),
    16: ("shutdown_imminent", "critical"),
    20: ("breaker_open", "major"),
    23: ("battery_fault", "major"),
    24: ("output_off_requested", "info"),
    25: ("self_test_failed", "minor"),
    26: ("ups_comm_lost", "major"),
    27: ("shutdown_pending", "major"),
    28: ("self_test_running", "info"),
    29: ("high_temperature", "warning"),
    30: ("redundancy_lost", "minor"),
    31: ("high_temperature", "major"),
    32: ("charger_failure", "major"),
    33: ("fan_failure", "major"),
    34: ("fuse_failure", "critical"),
    35: ("ups_internal_fault", "critical"),
    36: ("module_failure", "major"),
    37: ("alternate_source", "minor"),
    38: ("alternate_source_unavailable", "minor"),
    39: ("ups_notice", "minor"),
    40: ("high_temperature", "warning"),
    41: ("humidity_alarm", "warning"),
    42: ("output_bad", "critical"),
    43: ("awaiting_power", "minor"),
    44: ("on_bypass", "major"),
    51: ("output_not_protected", "critical"),
}
# Utility restored, return from low battery, on inverter: good news, though they stand in the table of alarms.
GOOD = frozenset(f"{XUPS}.{number}" for number in (5, 6, 17))

OF_RFC = {f"{RFC}.{number}": Meaning(*said) for number, said in _RFC.items()}
OF_XUPS = {f"{XUPS}.{number}": Meaning(*said) for number, said in _XUPS.items()}
KNOWN = {**OF_RFC, **OF_XUPS}
EVERY_TYPE = frozenset(meaning.alert_type for meaning in KNOWN.values())
