"""Eaton UPS by SNMP: every condition in every dialect, there and back, and the same words as the traps use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from alerts.choices import SEVERITY_WORDS
from alerts.models import Alert
from connectors.framework import polling
from connectors.framework.errors import ApiError
from connectors.framework.registry import manifest_of
from connectors.models import Connector, Target
from connectors.vendors.eaton import alarms
from connectors.vendors.eaton.objects import MG, RFC, XUPS
from opsconductor.seeds import shipped_rows
from tests.connectors.framework.agents import Agent, agent, object_id
from tests.connectors.test_shipped_mappings_fixtures import of
from tests.connectors.vendors.polled import Polled, system
from tests.line import Line

SYSTEM = system("Eaton 9PX", "1.3.6.1.4.1.534.1", "ups-1")
RFC_UPS = {
    f"{RFC}.2.1.0": 2,
    f"{RFC}.2.3.0": 43,
    f"{RFC}.2.4.0": 100,
    f"{RFC}.2.5.0": 540,
    f"{RFC}.2.7.0": 27,
    f"{RFC}.3.3.1.3.1": 231,
    f"{RFC}.4.1.0": 3,
    f"{RFC}.4.4.1.2.1": 230,
    f"{RFC}.4.4.1.5.1": 40,
    f"{RFC}.6.1.0": 0,
    f"{RFC}.7.3.0": 6,
}
XUPS_UPS = {
    f"{XUPS}.1.2.0": "9PX 3000i",
    f"{XUPS}.2.1.0": 2_600,
    f"{XUPS}.2.2.0": 78,
    f"{XUPS}.2.4.0": 98,
    f"{XUPS}.2.5.0": 3,
    f"{XUPS}.2.7.0": 2,
    f"{XUPS}.2.8.0": 2,
    f"{XUPS}.2.9.0": 2,
    f"{XUPS}.2.10.0": 2,
    f"{XUPS}.3.9.0": 2,
    f"{XUPS}.4.1.0": 40,
    f"{XUPS}.4.5.0": 3,
    f"{XUPS}.4.10.0": 3,
    f"{XUPS}.6.1.0": 25,
    f"{XUPS}.6.2.0": 5,
    f"{XUPS}.6.3.0": 65,
    f"{XUPS}.6.5.0": 22,
    f"{XUPS}.6.6.0": 40,
    f"{XUPS}.6.9.0": 5,
    f"{XUPS}.6.10.0": 35,
    f"{XUPS}.6.11.0": 10,
    f"{XUPS}.6.12.0": 90,
    f"{XUPS}.6.8.1.2.1": 1,
    f"{XUPS}.6.8.1.3.1": 1,
    f"{XUPS}.6.8.1.4.1": "Door",
    f"{XUPS}.8.2.0": 2,
}
MG_UPS = {
    f"{MG}.1.1.0": "Eaton 5PX",
    f"{MG}.5.1.0": 2_594,
    f"{MG}.5.2.0": 100,
    f"{MG}.5.5.0": 810,
    **{f"{MG}.5.{n}.0": 2 for n in (9, 10, 11, 12, 14, 15, 16, 17)},
    f"{MG}.6.3.0": 2,
    **{f"{MG}.7.{n}.0": 2 for n in (3, 4, 7, 8, 10, 11, 12)},
    f"{MG}.7.2.1.4.1": 59,
}
FAMILIES: dict[str, dict[str, Any]] = {"rfc": RFC_UPS, "xups": XUPS_UPS, "mg": MG_UPS}


@pytest.fixture
def card() -> Iterator[Agent]:
    with agent(SYSTEM) as running:
        yield running


@pytest.fixture
def ups(card: Agent) -> Polled:
    return Polled("eaton", card)


@pytest.mark.parametrize(
    ("family", "changed", "alert_type", "severity"),
    [
        ("rfc", {f"{RFC}.4.1.0": 5}, "on_battery", ""),
        ("rfc", {f"{RFC}.4.1.0": 4}, "on_bypass", "major"),
        ("rfc", {f"{RFC}.4.1.0": 2}, "output_off", ""),
        ("rfc", {f"{RFC}.4.1.0": 6}, "on_boost", ""),
        ("rfc", {f"{RFC}.4.1.0": 7}, "on_buck", ""),
        ("rfc", {f"{RFC}.2.1.0": 3}, "low_battery", ""),
        ("rfc", {f"{RFC}.2.4.0": 12}, "low_battery", ""),
        ("rfc", {f"{RFC}.4.4.1.5.1": 85}, "load_high", ""),
        ("rfc", {f"{RFC}.4.4.1.5.1": 110}, "overload", ""),
        ("rfc", {f"{RFC}.2.7.0": 48}, "high_temperature", ""),
        ("xups", {f"{XUPS}.4.5.0": 5}, "on_battery", ""),
        ("xups", {f"{XUPS}.4.5.0": 11}, "on_bypass", "major"),
        ("xups", {f"{XUPS}.4.10.0": 1}, "output_off", ""),
        ("xups", {f"{XUPS}.4.10.0": 2}, "output_not_protected", ""),
        ("xups", {f"{XUPS}.3.9.0": 1}, "input_bad", "minor"),
        ("xups", {f"{XUPS}.2.5.0": 6}, "battery_unavailable", ""),
        ("xups", {f"{XUPS}.2.5.0": 8}, "battery_fault", ""),
        ("xups", {f"{XUPS}.2.7.0": 1}, "battery_fault", ""),
        ("xups", {f"{XUPS}.2.8.0": 1}, "battery_unavailable", ""),
        ("xups", {f"{XUPS}.2.9.0": 1}, "battery_replace_due", ""),
        ("xups", {f"{XUPS}.2.10.0": 1}, "battery_low_condition", ""),
        ("xups", {f"{XUPS}.8.2.0": 3}, "self_test_failed", ""),
        ("xups", {f"{XUPS}.4.1.0": 120}, "overload", ""),
        ("xups", {f"{XUPS}.6.1.0": 45}, "high_temperature", ""),
        ("xups", {f"{XUPS}.6.5.0": 37}, "high_temperature", ""),  # its own limit is 35
        ("xups", {f"{XUPS}.6.1.0": 2}, "low_temperature", ""),
        ("xups", {f"{XUPS}.6.6.0": 95}, "humidity_alarm", ""),
        ("mg", {f"{MG}.7.3.0": 1}, "on_battery", ""),
        ("mg", {f"{MG}.7.4.0": 1}, "on_bypass", "major"),
        ("mg", {f"{MG}.7.7.0": 1}, "utility_failure", ""),
        ("mg", {f"{MG}.7.8.0": 1}, "on_boost", ""),
        ("mg", {f"{MG}.7.10.0": 1}, "overload", ""),
        ("mg", {f"{MG}.7.11.0": 1}, "ups_overtemperature", ""),
        ("mg", {f"{MG}.7.12.0": 1}, "on_buck", ""),
        ("mg", {f"{MG}.6.3.0": 1}, "input_bad", "minor"),
        ("mg", {f"{MG}.5.9.0": 1}, "battery_fault", ""),
        ("mg", {f"{MG}.5.10.0": 1}, "battery_unavailable", ""),
        ("mg", {f"{MG}.5.11.0": 1}, "battery_replace_due", ""),
        ("mg", {f"{MG}.5.12.0": 1}, "battery_unavailable", ""),
        ("mg", {f"{MG}.5.14.0": 1}, "low_battery", ""),
        ("mg", {f"{MG}.5.15.0": 1}, "charger_failure", ""),
        ("mg", {f"{MG}.5.16.0": 1}, "battery_low_condition", ""),
        ("mg", {f"{MG}.5.17.0": 1}, "awaiting_recharge", ""),
    ],
)
def test_each_condition_comes_and_goes(
    card: Agent, ups: Polled, family: str, changed: dict[str, Any], alert_type: str, severity: str
) -> None:
    card.values |= FAMILIES[family]
    assert ups.poll() == {}
    card.values |= changed
    wrong = ups.poll()
    assert list(wrong) == [(alert_type, "")]
    assert wrong[alert_type, ""].severity == severity
    assert wrong[alert_type, ""].title
    assert not ups.ends((alert_type, ""))
    card.values |= FAMILIES[family]
    assert ups.poll() == {}
    assert ups.ends((alert_type, ""))


def test_an_empty_battery_is_low_too(card: Agent, ups: Polled) -> None:
    card.values |= {**RFC_UPS, f"{RFC}.2.1.0": 4, f"{RFC}.2.4.0": 0}
    assert set(ups.poll()) == {("low_battery", ""), ("battery_depleted", "")}
    card.values |= {f"{RFC}.2.1.0": 3}
    assert set(ups.poll()) == {("low_battery", "")}
    assert ups.ends(("battery_depleted", ""))


def test_minutes_left_count_on_battery_alone(card: Agent, ups: Polled) -> None:
    card.values |= {**RFC_UPS, f"{RFC}.2.3.0": 3}
    assert ups.poll() == {}
    card.values |= {f"{RFC}.4.1.0": 5}
    wrong = ups.poll()
    assert set(wrong) == {("on_battery", ""), ("low_battery", "")}
    assert wrong["low_battery", ""].message == "Charge 100 %, 3 min left"


@pytest.mark.parametrize(
    ("family", "oid", "readings", "alert_type"),
    [
        ("rfc", f"{RFC}.2.4.0", [(19, True), (22, True), (26, False), (22, False)], "low_battery"),
        ("rfc", f"{RFC}.4.4.1.5.1", [(81, True), (79, True), (76, False), (79, False)], "load_high"),
        ("xups", f"{XUPS}.4.1.0", [(96, True), (94, True), (91, False)], "overload"),
        ("xups", f"{XUPS}.6.1.0", [(41, True), (39, True), (37, False), (40, False)], "high_temperature"),
        ("xups", f"{XUPS}.6.1.0", [(4, True), (6, True), (8, False), (6, False)], "low_temperature"),
        ("xups", f"{XUPS}.6.6.0", [(91, True), (89, True), (87, False)], "humidity_alarm"),
    ],
)
def test_a_value_has_to_come_back_some_way(
    card: Agent, ups: Polled, family: str, oid: str, readings: list[tuple[int, bool]], alert_type: str
) -> None:
    card.values |= FAMILIES[family]
    for value, is_raised in readings:
        card.values[oid] = value
        assert ((alert_type, "") in ups.poll()) is is_raised, value


def test_two_levels_of_load_replace_each_other(card: Agent, ups: Polled) -> None:
    card.values |= {**RFC_UPS, f"{RFC}.4.4.1.5.1": 85}
    assert set(ups.poll()) == {("load_high", "")}
    card.values[f"{RFC}.4.4.1.5.1"] = 97
    assert set(ups.poll()) == {("overload", "")}
    assert ups.ends(("load_high", ""))
    card.values[f"{RFC}.4.4.1.5.1"] = 85
    assert set(ups.poll()) == {("load_high", "")}
    assert ups.ends(("overload", ""))


def test_limits_of_a_target_go_before_those_of_the_connector(card: Agent) -> None:
    card.values |= {**RFC_UPS, f"{RFC}.4.4.1.5.1": 70}
    ups = Polled("eaton", card, thresholds={"load_warn_pct": 65})
    assert set(ups.poll()) == {("load_high", "")}
    ups.settings = {"thresholds": {"load_warn_pct": 75}}
    assert ups.poll() == {}


@pytest.mark.parametrize("identity", sorted(alarms.KNOWN))
def test_each_alarm_of_the_tables_comes_and_goes(card: Agent, ups: Polled, identity: str) -> None:
    root = f"{RFC}.6" if identity.startswith(alarms.RFC) else f"{XUPS}.7"
    card.values |= {**RFC_UPS, **XUPS_UPS, f"{XUPS}.7.1.0": 0}
    assert ups.poll() == {}
    card.values |= {f"{root}.1.0": 1, f"{root}.2.1.2.7": object_id(identity)}
    meaning = alarms.KNOWN[identity]
    wrong = ups.poll()
    assert (meaning.alert_type, "") in wrong
    finding = wrong[meaning.alert_type, ""]
    assert finding.severity == meaning.severity
    del card.values[f"{root}.2.1.2.7"]
    card.values[f"{root}.1.0"] = 0
    assert ups.poll() == {}
    assert ups.ends((meaning.alert_type, ""))


def test_alarms_mean_what_the_traps_say_of_them() -> None:
    kinds = manifest_of("eaton").raises
    said = json.loads((manifest_of("eaton").folder / "manifest.json").read_text())["alert_types"]
    for identity, meaning in alarms.KNOWN.items():
        trap, varbind = ("1.3.6.1.4.1.534.1.11.4.1.0.21", "1.3.6.1.4.1.534.1.7.2.1.2.4")
        if identity.startswith(alarms.RFC):
            trap, varbind = "1.3.6.1.2.1.33.2.3", "1.3.6.1.2.1.33.1.6.2.1.2.4"
        match = of(trap, (varbind, "ObjectIdentifier", identity))
        assert (match.alert_type, match.component) == (meaning.alert_type, ""), identity
        assert SEVERITY_WORDS[match.severity] == meaning.severity, identity
        kind = kinds[meaning.alert_type]
        assert match.category == kind.category, identity
        assert kind.severity == meaning.severity or said[kind.name].get("own_severity"), identity


def test_types_that_traps_raise_too_end_with_their_words() -> None:
    clears: dict[str, set[str]] = {}
    for row in shipped_rows():
        if not row["oid_pattern"].startswith(("1.3.6.1.2.1.33.", "1.3.6.1.4.1.534.1.", "1.3.6.1.4.1.705.1.")):
            continue
        for said in (row, *row["conditions"]):
            for ended in said.get("clears") or ():
                clears.setdefault(ended, set()).add(said.get("alert_type") or row["alert_type"])
    for name, kind in manifest_of("eaton").raises.items():
        if name in clears:
            assert set(kind.cleared_by) & clears[name], name


def test_an_alarm_nobody_knows_is_one_of_its_own(card: Agent, ups: Polled) -> None:
    card.values |= {**RFC_UPS, f"{RFC}.6.1.0": 1, f"{RFC}.6.2.1.2.1": object_id("1.3.6.1.4.1.9999.5")}
    assert set(ups.poll()) == {("ups_alarm", "upsAlarmDescr=1.3.6.1.4.1.9999.5")}
    trap = of("1.3.6.1.2.1.33.2.3", ("1.3.6.1.2.1.33.1.6.2.1.2.1", "ObjectIdentifier", "1.3.6.1.4.1.9999.5"))
    assert (trap.alert_type, trap.component) == ("ups_alarm", "upsAlarmDescr=1.3.6.1.4.1.9999.5")
    card.values[f"{RFC}.6.1.0"] = 0
    assert ups.poll() == {}
    assert ups.ends(("ups_alarm", "upsAlarmDescr=1.3.6.1.4.1.9999.5"))


def test_good_news_in_the_table_is_no_alarm(card: Agent, ups: Polled) -> None:
    card.values |= {**XUPS_UPS, f"{XUPS}.7.1.0": 1, f"{XUPS}.7.2.1.2.1": object_id(f"{alarms.XUPS}.5")}
    assert ups.poll() == {}


def test_a_card_without_alarm_table_ends_nothing_it_cannot_see(card: Agent, ups: Polled) -> None:
    card.values |= XUPS_UPS
    ups.poll()
    for alert_type in ("charger_failure", "fan_failure", "ups_alarm", "redundancy_lost"):
        assert not ups.ends((alert_type, ""))
    assert ups.ends(("on_battery", ""))


def test_a_table_that_counts_alarms_and_lists_none_ends_nothing(card: Agent, ups: Polled) -> None:
    card.values |= {**RFC_UPS, f"{RFC}.6.1.0": 2}
    ups.poll()
    assert not ups.ends(("charger_failure", ""))
    assert not ups.ends(("ups_alarm", "upsAlarmDescr=1.3.6.1.4.1.9999.5"))


def test_a_contact_is_known_by_its_number(card: Agent, ups: Polled) -> None:
    card.values |= {**XUPS_UPS, f"{XUPS}.6.8.1.3.1": 4}
    wrong = ups.poll()
    assert wrong["contact_active", "xupsContactIndex=1"].title == "Door is active"
    trap = of("1.3.6.1.4.1.534.1.11.4.1.0.30", (f"{XUPS}.6.8.1.1.1", "Integer32", 1))
    assert (trap.alert_type, trap.component) == ("contact_active", "xupsContactIndex=1")
    card.values |= {f"{XUPS}.6.8.1.3.1": 1}
    assert ups.poll() == {}
    assert ups.ends(("contact_active", "xupsContactIndex=1"))
    card.values |= {f"{XUPS}.6.8.1.2.1": 4, f"{XUPS}.6.8.1.3.1": 4}  # not used
    assert ups.poll() == {}


def test_each_quantity_comes_from_the_first_dialect_that_has_it(card: Agent, ups: Polled) -> None:
    card.values |= {**XUPS_UPS, **MG_UPS, f"{RFC}.2.4.0": 91}
    ups.poll()
    shown = ups.seen.values
    assert shown["battery_charge_pct"] == 91
    assert shown["runtime_min"] == 43.3  # XUPS
    assert shown["load_pct"] == 59  # MG, by phase
    assert shown["output_source"] == "normal"
    assert ups.sentence() == "Connected. 9PX 3000i: output source normal, battery 91 %."


def test_what_is_no_ups_is_said(card: Agent, ups: Polled) -> None:
    with pytest.raises(ApiError, match="no objects of a UPS"):
        ups.poll()
    with pytest.raises(ApiError, match="no objects of a UPS"):
        ups.sentence()


@pytest.mark.django_db(transaction=True)
def test_a_poll_ends_what_a_trap_began(line: Line, card: Agent) -> None:
    card.values |= {**RFC_UPS, f"{RFC}.4.1.0": 5}
    row = Connector.objects.get(slug="eaton")
    row.enabled, row.config, row.secrets = True, {"timeout_s": 2}, {"community": "public"}
    row.save()
    Target.objects.create(connector=row, ip="127.0.0.1", name="ups-1", port=card.port)
    line.trap("1.3.6.1.4.1.534.1.11.4.1.0.3")  # on battery
    line.trap("1.3.6.1.4.1.534.1.11.4.1.0.34", after=0.01)  # charger failed: no trap will ever end it
    assert Alert.objects.filter(condition="raised").count() == 2

    polling.poll(row.pk)
    assert {a.alert_type: (a.condition, a.occurrence_count) for a in Alert.objects.all()} == {
        "on_battery": ("raised", 2),
        "charger_failure": ("cleared", 1),
    }

    card.values |= RFC_UPS
    polling.poll(row.pk)
    assert not Alert.objects.filter(condition="raised").exists()
