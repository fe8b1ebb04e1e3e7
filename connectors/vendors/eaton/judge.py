"""What is wrong with a UPS and what is well. Pure.

Several objects speak of one condition (output source, battery status, the alarm table). It is wrong when one of them
says so, well when one says that it is not and none that it is, and unsaid when the card has none of them: a card
without an alarm table ends no alert a trap has opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alerts.choices import SEVERITY_WORDS
from connectors.framework.base import BaseConnector, Finding, Target
from connectors.framework.snmp import number, text
from connectors.framework.thresholds import Level, Measure, state
from connectors.vendors.eaton import alarms
from connectors.vendors.eaton.objects import CONTACT_ALARMS, CONTACT_UNUSED, Readings

LOAD = Measure("UPS load", "%", (Level("overload", "load_crit_pct"), Level("load_high", "load_warn_pct")))
LOW_BATTERY, HIGH, LOW, HUMIDITY = "low_battery", "high_temperature", "low_temperature", "humidity_alarm"
# °C and %RH a value has to come back from the limit of the card itself.
WAY_BACK = 2.0
SEVERITIES = {word: value for value, word in SEVERITY_WORDS.items()}
DISCONNECTED, CHECK_BATTERY = 6, 8  # xupsBatteryAbmStatus


@dataclass(slots=True)
class Verdicts:
    """By alert type: whether it is wrong, why, and how bad where that differs."""

    wrong: dict[str, tuple[str, str]] = field(default_factory=dict)
    well: set[str] = field(default_factory=set)

    def say(self, alert_type: str, is_wrong: bool | None, why: str = "", severity: str = "") -> None:
        """None: nothing is known. The first reason is kept, and the worst severity."""
        if is_wrong:
            before, worst = self.wrong.get(alert_type, ("", ""))
            worse = severity if SEVERITIES.get(severity, 0) > SEVERITIES.get(worst, 0) else worst
            self.wrong[alert_type] = before or why, worse
        elif is_wrong is False:
            self.well.add(alert_type)

    def findings(self, titles: Mapping[str, Any]) -> list[Finding]:
        found = [
            Finding(name, "", True, titles[name].title, why, severity=severity)
            for name, (why, severity) in self.wrong.items()
        ]
        return found + [state(name, False) for name in sorted(self.well - set(self.wrong))]


def is_one_of(value: float | None, *wrong: int) -> bool | None:
    return None if value is None else int(value) in wrong


def from_alarms(verdicts: Verdicts, tables: Mapping[str, tuple[int, Iterable[str]]]) -> list[Finding]:
    """Of the alarm tables there are: how many alarms the card counts, and their identities, by the name of the varbind
    that carries them in traps. Answers those nobody knows."""
    unknown: list[Finding] = []
    for varbind, (count, identities) in tables.items():
        present = [text(identity) for identity in identities]
        for identity in present:
            meaning = alarms.KNOWN.get(identity)
            if meaning is not None:
                verdicts.say(meaning.alert_type, True, f"Alarm {identity}", meaning.severity)
            elif identity not in alarms.GOOD:
                title = f"UPS reports an alarm (identity {identity})"
                unknown.append(Finding("ups_alarm", f"{varbind}={identity}", True, title))
        if not count:
            judged = alarms.EVERY_TYPE
        elif present:
            own = alarms.OF_RFC if varbind == "upsAlarmDescr" else alarms.OF_XUPS
            judged = frozenset(meaning.alert_type for meaning in own.values())
        else:
            continue  # alarms are counted and none is listed: nothing is known of any
        for alert_type in judged:
            verdicts.say(alert_type, False)
    return unknown


def from_states(verdicts: Verdicts, ups: Readings) -> None:
    """What objects of their own say."""
    say, flag, value = verdicts.say, ups.flag, ups.value
    source = ups.source
    if source is not None:
        say("on_battery", source == "battery", _battery(ups))
        say("on_bypass", "bypass" in source, f"Output source: {source}", "major")
        say("output_off", source == "none", "Output source: none")
        say("on_boost", source == "booster")
        say("on_buck", source == "reducer")
    status = value("rfc_battery_status")
    if status is not None and status != 1:  # 1: it does not know
        say(LOW_BATTERY, status >= 3, _battery(ups))
        say("battery_depleted", status == 4)
    output = value("xups_output_status")
    say("output_off", is_one_of(output, 1), "Output is not powered")
    say("output_not_protected", is_one_of(output, 2))
    say("input_bad", is_one_of(value("xups_input_status"), 1), "", "minor")
    battery = value("xups_battery_status")
    say("battery_unavailable", is_one_of(battery, DISCONNECTED), "Battery is disconnected")
    say("battery_fault", is_one_of(battery, CHECK_BATTERY), "The UPS asks to check the battery")
    tested = value("xups_battery_test")
    if tested in (2, 3):
        say("self_test_failed", tested == 3, "Battery test failed")
    tested = value("rfc_test_result")
    if tested in (1, 3):
        say("self_test_failed", tested == 3, "Self-test ended with an error")
    for name, alert_type in (
        ("xups_battery_failure", "battery_fault"),
        ("xups_battery_missing", "battery_unavailable"),
        ("xups_battery_aged", "battery_replace_due"),
        ("xups_battery_low_capacity", "battery_low_condition"),
        ("mg_battery_fault", "battery_fault"),
        ("mg_no_battery", "battery_unavailable"),
        ("mg_replace_battery", "battery_replace_due"),
        ("mg_battery_unavailable", "battery_unavailable"),
        ("mg_low_battery", LOW_BATTERY),
        ("mg_charger_fault", "charger_failure"),
        ("mg_low_condition", "battery_low_condition"),
        ("mg_low_recharge", "awaiting_recharge"),
        ("mg_on_battery", "on_battery"),
        ("mg_on_bypass", "on_bypass"),
        ("mg_utility_off", "utility_failure"),
        ("mg_on_boost", "on_boost"),
        ("mg_overload", "overload"),
        ("mg_too_hot", "ups_overtemperature"),
        ("mg_on_buck", "on_buck"),
    ):
        say(alert_type, flag(name))
    say("input_bad", flag("mg_input_bad"), "", "minor")


def _battery(ups: Readings) -> str:
    charge = f"Charge {ups.charge:.0f} %" if ups.charge is not None else ""
    left = f"{ups.seconds_left / 60:.0f} min left" if ups.seconds_left is not None else ""
    return ", ".join(part for part in (charge, left) if part)


def from_limits(verdicts: Verdicts, ups: Readings, connector: BaseConnector, target: Target) -> None:
    """What lies beyond limits: ours, and those set on the card, by which it sends its traps."""

    def below(value: float | None, key: str, alert_type: str) -> bool | None:
        if value is None:
            return None
        back = connector.manifest.limits[key].hysteresis if (alert_type, "") in target.raised else 0.0
        return value < connector.limit(key, target) + back

    charge, seconds = ups.charge, ups.seconds_left
    verdicts.say(LOW_BATTERY, below(charge, "charge_low_pct", LOW_BATTERY), _battery(ups))
    if ups.source == "battery":  # on mains it is an estimate nobody asked for
        verdicts.say(LOW_BATTERY, below(seconds, "runtime_low_s", LOW_BATTERY), _battery(ups))

    limit, known = connector.limit("temp_warn_c", target), connector.manifest.limits["temp_warn_c"]
    hot = known.hysteresis if (HIGH, "") in target.raised else 0.0
    cold = WAY_BACK if (LOW, "") in target.raised else 0.0
    for label, name, own in (
        ("Ambient", "xups_ambient", True),
        ("Probe", "xups_remote", True),
        ("Battery", "rfc_battery_temperature", False),
    ):
        degrees = ups.temperature(name)
        if degrees is None:
            continue
        lowest, highest = (ups.value(f"{name}_low"), ups.value(f"{name}_high")) if own else (None, None)
        most = limit
        if lowest is not None and highest is not None and lowest < highest:
            most = min(limit, highest)
            verdicts.say(LOW, degrees < lowest + cold, f"{label} {degrees:.0f} °C, limit {lowest:.0f} °C")
        verdicts.say(HIGH, degrees > most - hot, f"{label} {degrees:.0f} °C, limit {most:.0f} °C")

    humidity, dry, wet = ups.value("xups_humidity", low=1, high=100), *_range(ups)
    if humidity is not None and dry is not None and wet is not None:
        back = WAY_BACK if (HUMIDITY, "") in target.raised else 0.0
        is_wrong = not dry + back <= humidity <= wet - back
        verdicts.say(HUMIDITY, is_wrong, f"{humidity:.0f} %RH, limits {dry:.0f} to {wet:.0f} %RH")


def _range(ups: Readings) -> tuple[float | None, float | None]:
    dry, wet = ups.value("xups_humidity_low"), ups.value("xups_humidity_high")
    return (dry, wet) if dry is not None and wet is not None and dry < wet else (None, None)


def of_load(ups: Readings, connector: BaseConnector, target: Target, verdicts: Verdicts) -> list[Finding]:
    """The load by our limits, unless the UPS itself says that it is too much."""
    if "overload" in verdicts.wrong:
        return [state("load_high", False)]
    found = LOAD.judge(connector, target, ups.load)
    if found:
        verdicts.well.discard("overload")
    return found


def of_contacts(rows: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    found = []
    for index, row in rows.items():
        known = number(row.get("state"))
        if known is None or row.get("type") == CONTACT_UNUSED:
            continue
        label = text(row.get("descr")) or f"Contact {index}"
        wrong = int(known) in CONTACT_ALARMS
        found.append(state("contact_active", wrong, f"xupsContactIndex={index}", f"{label} is active"))
    return found
