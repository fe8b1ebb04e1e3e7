"""Which windows are in force when, and which alerts they keep quiet; pure."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.windows import Windows, check_window, occurrences
from dependencies.graph import Edge, Graph

GRAPH = Graph([Edge("10.0.0.2", "10.0.0.1"), Edge("10.0.0.3", "10.0.0.2"), Edge("10.0.9.9", "10.0.9.1")])
PLACES = {"10.0.0.1": ("Hamburg", "core switch"), "10.0.0.3": ("Bremen", "camera")}
ALERT = UUID("01900000-0000-7000-8000-000000000001")


@dataclass(frozen=True)
class Subject:
    alert_id: UUID = ALERT
    device_ip: str | None = "10.0.0.3"
    alert_type: str = "link_down"
    category: str = "network"
    connector_slug: str = "snmp_trap"
    tags: list[str] = field(default_factory=lambda: ["east"])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row(number: int = 1, **changes):
    return {
        "id": number,
        "kind": "maintenance",
        "name": f"Window {number}",
        "matchers": {},
        "starts_at": utc("2027-01-04 22:00"),
        "ends_at": utc("2027-01-05 02:00"),
        "rrule": "",
        "time_zone": "UTC",
        "enabled": True,
        "closed_at": None,
    } | changes


def windows(*rows) -> Windows:
    return Windows(rows, GRAPH, PLACES)


@pytest.mark.parametrize(
    ("matchers", "matches"),
    [
        ({}, True),
        ({"devices": ["10.0.0.3"]}, True),
        ({"devices": ["::ffff:10.0.0.3"]}, True),
        ({"devices": ["192.0.2.1", "10.0.0.0/29"]}, True),
        ({"devices": ["10.0.1.0/24", "2001:db8::/32"]}, False),
        ({"below": ["10.0.0.1"]}, True),
        ({"below": ["10.0.0.3"]}, True),  # the device itself
        ({"below": ["10.0.9.1"]}, False),
        ({"sites": ["Hamburg", "Bremen"]}, True),
        ({"sites": ["Hamburg"]}, False),
        ({"roles": ["camera"]}, True),
        ({"categories": ["network", "power"]}, True),
        ({"categories": ["power"]}, False),
        ({"connectors": ["snmp_trap"]}, True),
        ({"connectors": ["api"]}, False),
        ({"tags": ["west", "east"]}, True),
        ({"tags": ["west"]}, False),
        ({"alert_types": ["link_*"]}, True),
        ({"alert_types": ["link"]}, False),
        ({"alert_types": ["*"]}, True),
        ({"alerts": [str(ALERT).upper()]}, True),
        ({"alerts": [str(uuid4())]}, False),
        ({"sites": ["Bremen"], "categories": ["power"]}, False),  # all of them
        ({"sites": ["Bremen"], "categories": ["network"], "tags": ["east"]}, True),
    ],
)
def test_matchers(matchers, matches):
    found = windows(row(matchers=matchers))
    assert [w.id for w in found.matching(Subject(), utc("2027-01-04 23:00"))] == [1] * matches
    assert [w.id for w in found.would_match(Subject())] == [1] * matches
    assert found.matching(Subject(), utc("2027-01-04 21:59")) == []


def test_an_alert_without_device_is_matched_only_by_what_it_has():
    places = [{"devices": ["0.0.0.0/0"]}, {"below": ["10.0.0.1"]}, {"sites": [""]}, {"sites": ["Hamburg"]}]
    found = windows(*(row(n, matchers=m) for n, m in enumerate([*places, {"tags": ["east"]}])))
    assert [w.id for w in found.would_match(Subject(device_ip=None))] == [4]


MALFORMED = [
    {"matchers": []},
    {"matchers": {"device": ["10.0.0.3"]}},
    {"matchers": {"devices": "10.0.0.3"}},
    {"matchers": {"devices": ["10.0.0.300"]}},
    {"matchers": {"devices": []}},
    {"matchers": {"alerts": ["7"]}},
    {"matchers": {"alert_types": ["*_down"]}},
    {"rrule": "FREQ=SECONDLY"},
    {"rrule": "FREQ=DAILY", "ends_at": None},
    {"rrule": "FREQ=DAILY", "time_zone": "Europe/Atlantis"},
    {"rrule": "FREQ=DAILY", "time_zone": "../../etc/passwd"},
    {"ends_at": utc("2027-01-04 21:00")},
    {"starts_at": None},
]


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_row_keeps_nothing_quiet_and_is_complained_about_once(fault, caplog):
    number = 1000 + MALFORMED.index(fault)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            found = windows(row(number, **fault), row(2))
    assert [w.id for w in found.matching(Subject(), utc("2027-01-04 23:00"))] == [2]
    assert len([r for r in caplog.records if f"window {number} " in r.getMessage()]) == 1


def test_a_disabled_window_is_none():
    assert not windows(row(enabled=False))
    assert windows(row())


def test_one_off_window_begins_and_ends_on_time():
    found = windows(row())
    start, end = utc("2027-01-04 22:00"), utc("2027-01-05 02:00")
    assert found.next_change(start - timedelta(days=9)) == start
    assert not found.in_force(start - timedelta(microseconds=1))
    assert found.in_force(start)[0].occurrence(start) == (start, end)
    assert found.next_change(start) == end
    assert not found.in_force(end)
    assert found.next_change(end) is None


def test_a_silence_until_cleared_has_no_end():
    found = windows(row(kind="silence", ends_at=None))
    now = utc("2027-05-05 05:05")
    assert found.in_force(now)[0].occurrence(now) == (utc("2027-01-04 22:00"), None)
    assert found.next_change(now) is None


@pytest.mark.parametrize(
    ("closed", "end"),
    [("2027-01-04 23:00", "2027-01-04 23:00"), ("2027-01-05 03:00", "2027-01-05 02:00"), ("2027-01-01 00:00", None)],
)
def test_a_closed_window_is_over(closed, end):
    found = windows(row(closed_at=utc(closed)))
    assert found.next_change(utc("2027-01-04 22:00")) == (utc(end) if end else None)
    assert bool(found.in_force(utc("2027-01-04 22:30"))) == bool(end)
    assert bool(found.in_force(utc("2027-01-04 23:30"))) == (end == "2027-01-05 02:00")


def test_closing_a_recurring_window_ends_the_occurrence_that_runs():
    found = windows(row(rrule="FREQ=DAILY", closed_at=utc("2027-01-05 23:00")))
    assert found.in_force(utc("2027-01-05 22:59"))
    assert found.next_change(utc("2027-01-05 22:30")) == utc("2027-01-05 23:00")
    assert not found.in_force(utc("2027-01-05 23:00"))
    assert found.in_force(utc("2027-01-04 23:30"))
    assert found.in_force(utc("2027-01-06 23:30"))


def test_overlapping_windows_keep_quiet_until_the_last_ends():
    found = windows(row(1), row(2, starts_at=utc("2027-01-05 01:00"), ends_at=utc("2027-01-05 04:00")))
    seen, now = [], utc("2027-01-04 00:00")
    while (change := found.next_change(now)) is not None:
        now = change
        seen.append((f"{now:%H:%M}", [w.id for w in found.matching(Subject(), now)]))
    assert seen == [("22:00", [1]), ("01:00", [1, 2]), ("02:00", [2]), ("04:00", [])]


def test_over_midnight_on_the_wall():
    """Sunday 22:00 to Monday 02:00 in Berlin, for a year."""
    first = row(
        starts_at=utc("2027-01-03 21:00"),
        ends_at=utc("2027-01-04 01:00"),
        rrule="FREQ=WEEKLY",
        time_zone="Europe/Berlin",
    )
    found = windows(first)
    assert found.in_force(utc("2027-07-04 20:00"))  # 22:00 in summer
    assert not found.in_force(utc("2027-07-04 19:59"))
    assert found.in_force(utc("2027-07-04 23:59"))
    assert not found.in_force(utc("2027-07-05 00:00"))
    assert found.in_force(utc("2027-12-06 00:59"))  # Monday 01:59 in winter
    assert not found.in_force(utc("2027-12-06 01:00"))


def test_on_the_nights_of_the_change():
    """02:30 to 03:30 every night: half an hour in spring, two hours in autumn, and an hour in all other nights."""
    first = row(
        starts_at=utc("2027-01-01 01:30"),
        ends_at=utc("2027-01-01 02:30"),
        rrule="FREQ=DAILY",
        time_zone="Europe/Berlin",
    )
    window = windows(first).in_force(utc("2027-01-01 01:30"))[0]
    found = occurrences(window, utc("2027-01-01 00:00"), 365)
    lasting = {f"{start:%m-%d}": end - start for start, end in found}
    assert lasting.pop("03-28") == timedelta(minutes=30)
    assert lasting.pop("10-31") == timedelta(hours=2)
    assert set(lasting.values()) == {timedelta(hours=1)}


@pytest.mark.parametrize("count", [1, 3])
def test_counted_occurrences_end(count):
    found = windows(row(rrule=f"FREQ=DAILY;COUNT={count}"))
    changes, now = 0, utc("2027-01-01 00:00")
    while (change := found.next_change(now)) is not None:
        now, changes = change, changes + 1
    assert changes == 2 * count
    assert now == utc("2027-01-05 02:00") + timedelta(days=count - 1)


DAY = utc("2027-01-04 00:00")
SPANS = st.tuples(st.integers(0, 60), st.integers(1, 30), st.sampled_from(["", "FREQ=DAILY", "FREQ=HOURLY;INTERVAL=7"]))


@given(st.lists(SPANS, min_size=1, max_size=4), st.lists(st.integers(-5, 150), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_in_force_is_what_counting_says_in_whatever_order_it_is_asked(spans, hours):
    """Also for occurrences that overlap themselves: only checked rows are saved, but a row may come by SQL."""
    rows, expected = [], []
    for number, (start, length, rule) in enumerate(spans):
        starts_at = DAY + timedelta(hours=start)
        rows.append(row(number, starts_at=starts_at, ends_at=starts_at + timedelta(hours=length), rrule=rule))
        step = {"": None, "FREQ=DAILY": 24, "FREQ=HOURLY;INTERVAL=7": 7}[rule]
        begins = range(start, 400, step) if step else [start]
        expected.append([(begin, begin + length) for begin in begins])
    found = windows(*rows)
    for hour in hours:
        now = DAY + timedelta(hours=hour)
        running = [n for n, times in enumerate(expected) if any(a <= hour < b for a, b in times)]
        assert [w.id for w in found.in_force(now)] == running
        for window in found.in_force(now):
            start, end = window.occurrence(now)
            last = max(b for a, b in expected[window.id] if a <= hour < b)
            assert end == DAY + timedelta(hours=last)
        change = found.next_change(now)
        if change is not None:
            assert change > now
            before = change - timedelta(minutes=1)
            assert [w.occurrence(before) for w in found.in_force(before)] == [
                w.occurrence(now) for w in found.in_force(now)
            ]
            assert [w.occurrence(change) for w in found.in_force(change)] != [
                w.occurrence(before) for w in found.in_force(before)
            ]


def good(**changes):
    return row() | changes


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "holiday"}, "kind"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"matchers": {"sites": []}}, "matchers"),
        ({"matchers": {"categories": ["gas"]}}, "matchers"),
        ({"matchers": None}, "matchers"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        ({"starts_at": None}, "starts_at"),
        ({"ends_at": utc("2027-01-04 22:00")}, "ends_at"),
        ({"ends_at": None}, "ends_at"),
        ({"ends_at": None, "kind": "silence"}, "ends_at"),
        ({"ends_at": None, "rrule": "FREQ=DAILY"}, "ends_at"),
        ({"ends_at": utc("2027-01-05 23:00"), "rrule": "FREQ=DAILY"}, "ends_at"),  # 25 hours a day
        ({"ends_at": utc("2029-01-05 23:00"), "rrule": "FREQ=YEARLY"}, "ends_at"),
        ({"ends_at": datetime(2027, 1, 5)}, "ends_at"),
        ({"rrule": "FREQ=SECONDLY"}, "rrule"),
        ({"rrule": "FREQ=DAILY;" + "BYHOUR=1;" * 99}, "rrule"),
        (
            {
                "starts_at": utc("2027-10-31 00:30"),
                "ends_at": utc("2027-10-31 01:15"),
                "rrule": "FREQ=DAILY",
                "time_zone": "Europe/Berlin",
            },
            "ends_at",
        ),
    ],
)
def test_check_names_the_field(changes, field):
    errors = check_window(good(**changes))
    assert list(errors) == [field]
    assert errors[field].endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rrule": "FREQ=DAILY", "ends_at": utc("2027-01-05 22:00")},  # all day, every day
        {"rrule": "RRULE:freq=monthly;byday=1su;"},
        {"kind": "silence", "ends_at": None, "matchers": {"alerts": [str(ALERT)]}},
    ],
)
def test_check_lets_good_rows_pass(changes):
    assert check_window(good(**changes)) == {}
    assert windows(good(**changes))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["10.0.0.1", "10.0.0.0/8", "a*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)
NAMES = st.sampled_from(["devices", "below", "sites", "categories", "alert_types", "alerts", "site", ""])
RULES = st.lists(
    st.sampled_from(
        ["FREQ=DAILY", "FREQ=MINUTELY", "INTERVAL=0", "BYDAY=1MO", "BYHOUR=25", "COUNT=2", "X", "=", "UNTIL=1"]
    ),
    max_size=3,
).map(";".join)


@given(
    st.dictionaries(NAMES, st.lists(st.sampled_from(["10.0.0.1", "a*", "*b", ""]), max_size=2) | ANYTHING, max_size=2)
    | ANYTHING,
    RULES | ANYTHING,
    st.sampled_from(["UTC", "Europe/Berlin", "", "..", "a\0b", "Europe", None, 7]),
    st.sampled_from([None, "soon", utc("2027-01-05 02:00"), utc("2027-01-04 22:01"), utc("2199-01-01 00:00")]),
)
@settings(max_examples=400, deadline=None)
def test_what_passes_the_check_works_and_nothing_raises(matchers, rule, zone, ends_at):
    given_row = row(matchers=matchers, rrule=rule, time_zone=zone, ends_at=ends_at)
    errors = check_window(given_row)
    assert all(isinstance(sentence, str) and sentence for sentence in errors.values())
    found = windows(given_row)
    if not errors:
        assert found
    found.next_change(utc("2027-01-01 00:00"))
    found.matching(Subject(), utc("2027-01-04 23:00"))
