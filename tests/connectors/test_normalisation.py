"""The rules of normalisation, as values: which row wins, what it says, and what that costs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from alerts.choices import Severity
from alerts.fingerprints import MOST, fingerprint, fingerprints_of
from alerts.types import NormalizedAlert
from connectors.normalisation import (
    DEFAULT_IDENTITY,
    NOTHING,
    DeduplicationRow,
    Normalisation,
    PriorityRow,
    ValueRow,
    effective_time,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MAJOR, MINOR, INFO = int(Severity.MAJOR), int(Severity.MINOR), int(Severity.INFO)


def severity(rows, event, kind="api"):
    found = Normalisation(severities=[ValueRow(*row) for row in rows]).severity(kind, event)
    return None if found is None else found.target


def alert(**fields):
    values = {
        "source_system": "api",
        "connector_id": 1,
        "identity_scope": "api",
        "device_key": "10.1.1.1",
        "device_ip": "10.1.1.1",
        "device_name": "",
        "device_id": None,
        "alert_type": "disk_full",
        "component": "disk=/var",
        "category": "storage",
        "severity": MAJOR,
        "is_clear": False,
        "t": NOW,
        "received_at": NOW,
        "title": "Disk full",
        **fields,
    }
    return NormalizedAlert(**values)


# --- severity and category ---


def test_a_word_is_found_in_any_case_and_only_in_its_field():
    rows = [("", "severity", "CRIT", 5)]

    assert severity(rows, {"severity": " crit "}) == 5
    assert severity(rows, {"state": "crit"}) is None
    assert severity(rows, {"severity": None}) is None


def test_the_connectors_own_row_wins_over_one_for_any_and_exact_over_the_longest_beginning():
    rows = [
        ("", "severity", "high", 4),
        ("", "severity", "h*", 3),
        ("", "severity", "hig*", 2),
        ("zabbix", "severity", "*", 1),
    ]

    assert severity(rows, {"severity": "high"}) == 4
    assert severity(rows, {"severity": "higher"}) == 2
    assert severity(rows, {"severity": "hot"}) == 3
    assert severity(rows, {"severity": "high"}, "zabbix") == 1


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_rows_alike_the_one_that_reads_another_field_wins_whatever_the_order(order):
    rows = [("", "severity", "critical", 5), ("", "metrics.test", "true", 1)][::order]
    event = {"severity": "critical", "metrics": {"test": True}}

    assert severity(rows, event) == 1
    assert severity(rows, dict(reversed(event.items()))) == 1


def test_numbers_lists_and_metrics_are_values_too_and_odd_ones_are_passed_over():
    rows = [("", "metrics.state", "3", 5), ("", "tags", "test", 1), ("", "message", "*", 2)]

    assert severity(rows, {"metrics": {"state": 3}}) == 5
    assert severity(rows, {"tags": ["a", "Test"]}) == 1
    assert severity(rows, {"metrics": 7, "tags": [["x"]], "message": {"a": 1}}) is None
    assert severity(rows, {"message": "x" * 201}) is None


def test_a_row_that_is_switched_off_is_said():
    rules = Normalisation(categories=[ValueRow("", "alert_type", "lab_*", "unknown", False)])

    assert rules.category("api", {"alert_type": "lab_7"}) == ("unknown", False, None)


# --- title ---


def test_the_title_of_the_most_exact_pattern_and_nothing_when_it_fails():
    rules = Normalisation(
        titles=[
            ("", "disk_*", "{{ device }}: disk"),
            ("", "disk_full", "{{ component }} is at {{ metrics['used'] }} %"),
            ("", "boom", "{{ 1 / metrics['zero'] }}"),
        ]
    )
    context = {"device": "sw-1", "component": "/var", "metrics": {"used": 97, "zero": 0}}

    assert rules.title("api", "disk_full", context) == "/var is at 97 %"
    assert rules.title("api", "disk_bad", context) == "sw-1: disk"
    assert rules.title("api", "boom", context) == ""
    assert rules.title("api", "cpu", context) == ""


# --- priority ---


def test_the_rule_that_names_most_wins():
    rules = Normalisation(
        priorities=[
            PriorityRow("", "", None, "low", "low"),
            PriorityRow("", "power", None, "medium", "medium"),
            PriorityRow("api", "", None, "medium", "low"),
            PriorityRow("api", "power", MAJOR, "high", "high", 2),
        ]
    )

    assert rules.priority("api", "power", MAJOR) == ("high", "high", 2)
    assert rules.priority("api", "power", MINOR) == ("medium", "low", 4)  # a connector type before a category
    assert rules.priority("snmp_trap", "power", MAJOR) == ("medium", "medium", 3)
    assert rules.priority("snmp_trap", "video", MAJOR) == ("low", "low", 5)
    assert Normalisation(priorities=[PriorityRow("", "video", None, "low", "low")]).priority("a", "power", 1) is None


# --- identity (cases 27, 28) ---


def test_without_rules_there_is_one_fingerprint_the_usual_one():
    assert fingerprints_of(alert(), "disk_full") == [fingerprint("api", "10.1.1.1", "disk_full", "disk=/var")]


def applied(rows, **fields):
    found = alert(**fields)
    Normalisation(identities=[DeduplicationRow(*row) for row in rows]).apply(found)
    return found


def test_a_rule_decides_what_makes_two_events_one_problem():
    rows = [("api", ["source_alert_id", "identity_scope"])]

    one = fingerprints_of(applied(rows, source_alert_id="7"), "disk_full")

    assert one == fingerprints_of(applied(rows, source_alert_id="7", component="x"), "cpu_high")
    assert one != fingerprints_of(applied(rows, source_alert_id="8"), "disk_full")
    assert len(one) == 1


def test_an_event_without_the_id_its_rule_asks_for_is_told_apart_as_usual():
    rows = [("api", ["source_alert_id"])]

    assert fingerprints_of(applied(rows), "disk_full") == [fingerprint("api", "10.1.1.1", "disk_full", "disk=/var")]
    assert fingerprints_of(applied(rows), "disk_full") != fingerprints_of(applied(rows, component="x"), "disk_full")


def test_case_27_after_an_edit_of_the_rule_the_old_fingerprint_is_an_alias():
    usual = fingerprint("api", "10.1.1.1", "disk_full", "disk=/var")
    edited = applied([("api", ["device", "alert_type"], [list(DEFAULT_IDENTITY)])])

    first, *aliases = fingerprints_of(edited, "disk_full")

    assert aliases == [usual]
    assert first != usual
    # And back: switched off, what it opened is still found.
    off = applied([("api", ["device", "alert_type"], [], False)])
    assert fingerprints_of(off, "disk_full") == [usual, first]


def test_case_28_a_device_that_moved_is_still_known_by_its_earlier_addresses():
    found = fingerprints_of(alert(former_keys=("10.9.9.2", "10.9.9.1")), "disk_full")

    assert found == [fingerprint("api", key, "disk_full", "disk=/var") for key in ("10.1.1.1", "10.9.9.2", "10.9.9.1")]


def test_the_number_of_fingerprints_is_bounded_and_none_comes_twice():
    former = (("device",), ("device", "alert_type"), ("source_alert_id",))
    event = alert(
        identity=("device", "component"), former=former, former_keys=("a", "b", "c", "d"), source_alert_id="1"
    )

    found = fingerprints_of(event, "disk_full")

    assert len(found) == len(set(found)) == MOST


def test_what_is_said_again_keeps_what_rules_said():
    rules = Normalisation(
        identities=[DeduplicationRow("api", ["device"], [])],
        priorities=[PriorityRow("", "", None, "low", "low")],
        ttls=[("", "disk_*", 5)],
    )
    first = alert(former_keys=("10.9.9.9",))
    rules.apply(first)

    again = first.again(NOW, dict)

    for name in ("importance", "identity", "former", "former_keys", "ttl_minutes"):
        assert getattr(again, name) == getattr(first, name)
    assert (again.importance, again.ttl_minutes) == (("low", "low", 5), 5)
    assert not again.withheld


# --- time to live, time ---


def test_the_most_exact_setting_of_an_alert_type_says_how_long_it_lives_even_when_it_says_nothing():
    rules = Normalisation(ttls=[("", "reboot*", 5), ("", "reboot_ups", None), ("snmp_trap", "*", 9)])

    assert rules.ttl("api", "reboot_router") == 5
    assert rules.ttl("api", "reboot_ups") is None
    assert rules.ttl("snmp_trap", "reboot_ups") == 9
    cleared = alert(is_clear=True, alert_type="reboot_router")
    rules.apply(cleared)
    assert cleared.ttl_minutes is None


@pytest.mark.parametrize(
    ("seconds", "trusted", "believed", "told"),
    [(60, True, True, False), (61, True, False, True), (-61, True, False, True), (10, False, False, False)],
)
def test_the_effective_time(seconds, trusted, believed, told):
    own = NOW + timedelta(seconds=seconds)

    t, skew = effective_time(own, NOW, trusted=trusted, limit=timedelta(seconds=60))

    assert t == (own if believed else NOW)
    assert (skew is not None) is told


# --- cost ---


def test_without_rows_there_is_nothing_to_do():
    assert [NOTHING.maps, NOTHING.titles, NOTHING.applies] == [False, False, False]
    assert NOTHING.severity("api", {"severity": "crit"}) is None


def test_an_event_looks_up_as_often_with_a_thousand_rows_as_with_one():
    """Counted, not timed: how often the rows' tables are asked."""

    class Counting(dict):
        asked = 0

        def get(self, *args):
            Counting.asked += 1
            return super().get(*args)

    def lookups(rows):
        rules = Normalisation(severities=rows)
        rules._severities._fields = Counting(rules._severities._fields)
        Counting.asked = 0
        rules.severity("api", {"severity": "w1", "alert_type": "t", "metrics": {"load": 3}})
        return Counting.asked

    one = [ValueRow("", "severity", "w1", 3), ValueRow("", "metrics.load", "3", 3)]
    many = [ValueRow("", "severity", f"w{n}", 3) for n in range(1_000)]
    many += [ValueRow("", f"metrics.m{n}", "1", 3) for n in range(1_000)]
    assert lookups(many) == lookups(one) > 0


def test_values_that_senders_choose_do_not_stay_in_memory():
    rules = Normalisation(severities=[ValueRow("", "severity", "crit", 5)])
    began = time.monotonic()
    for number in range(25_000):
        rules.severity("api", {"severity": f"word {number}"})
    assert time.monotonic() - began < 60
    assert len(rules._severities._fields["severity"]._cache) <= 20_000
    assert rules.severity("api", {"severity": "crit"}) == (5, True, None)
