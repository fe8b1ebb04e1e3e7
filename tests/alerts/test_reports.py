"""Reports: every number equals one worked out independently, from lists in Python, over random histories."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.choices import PRIORITY_MATRIX, Action, News
from alerts.models import Alert, AlertHistory, Suppression
from alerts.reports import figures, floods, words
from alerts.reports import gathered as gathering
from alerts.reports.asked import Asked
from alerts.reports.gathered import TooMuch, gathered
from alerts.reports.tables import report
from tests.access import person, signed_in
from tests.factories import AlertFactory, DeviceFactory, UserFactory

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 11, 2, tzinfo=UTC)  # a Monday
END = BEGIN + timedelta(days=2)
TYPES = ("link_down", "fan_failed", "on_battery")
CATEGORIES = ("network", "environment")

# One step in the life of an alert: what happened, how many seconds later, told or not, by which person.
STEP = st.tuples(
    st.sampled_from(["opened", "reopened", "cleared", "acknowledged", "resolved", "note", "flapping", "assigned"]),
    st.sampled_from([1, 20, 59, 60, 61, 600, 3_600, 40_000]),
    st.booleans(),
    st.sampled_from([None, 0, 1]),
)
LIFE = st.tuples(
    st.sampled_from(TYPES),
    st.sampled_from(CATEGORIES),
    st.integers(0, 2),  # device
    st.sampled_from(sorted(PRIORITY_MATRIX)),
    st.integers(-7_200, 180_000),  # begins so many seconds after the period does
    st.lists(STEP, min_size=1, max_size=8),
)
BY_PEOPLE = ("acknowledged", "resolved", "note", "assigned")
ENDS = ("cleared", "resolved", "expired")


@pytest.fixture
def world(db):
    devices = [DeviceFactory(name=f"d{n}", site=site) for n, site in enumerate(("North", "South", ""))]
    return devices, [UserFactory(username=name) for name in ("ann", "bea")]


def make(lives, world):
    """The rows of these lives, and the same as plain dicts in the order of their history."""
    devices, people = world
    AlertHistory.objects.all().delete()
    Alert.objects.all().delete()
    rows = []
    for number, (alert_type, category, device, levels, start, steps) in enumerate(lives):
        at = BEGIN + timedelta(seconds=start)
        where = devices[device]
        alert = AlertFactory(
            alert_type=alert_type,
            category=category,
            device=where,
            device_ip=where.ip,
            priority=PRIORITY_MATRIX[levels],
            fingerprint=f"{number:064}",
            occurred_at=at,
            source_system="snmp_trap",
        )
        for action, later, told, who in steps:
            at += timedelta(seconds=later)
            by_people = action in BY_PEOPLE
            news = News.PROBLEM if told and action in ("opened", "reopened") else News.NONE
            rows.append(
                {
                    "alert": alert,
                    "action": action,
                    "at": at,
                    "news": news,
                    "user": people[who] if by_people and who is not None else None,
                }
            )
    rows.sort(key=lambda row: row["at"])
    for row in rows:
        row["id"] = AlertHistory.objects.create(
            alert=row["alert"], action=row["action"], news=row["news"], user=row["user"], created_at=row["at"]
        ).pk
    return rows


def alarms_of(rows, asked):
    """What an alarm is, said again: each telling in the period with what followed until the next one in it."""
    found = []
    told = [r for r in rows if r["news"] == News.PROBLEM and asked.begin <= r["at"] < asked.end]
    for row in told:
        alert = row["alert"]
        later = [r["id"] for r in told if r["alert"] == alert and r["id"] > row["id"]]
        until = min(later, default=float("inf"))
        then = [r for r in rows if r["alert"] == alert and row["id"] < r["id"] < until]
        acks = [r for r in then if r["action"] == "acknowledged"]
        ends = [r for r in then if r["action"] in ENDS]
        if asked.category and alert.category != asked.category:
            continue
        if asked.site and alert.device.site != asked.site:
            continue
        if asked.operator and not any(r["user"] and r["user"].username == asked.operator for r in then):
            continue
        found.append(
            {
                "alert": alert,
                "at": row["at"],
                "acked": min((r["at"] for r in acks), default=None),
                "ended": min((r["at"] for r in ends), default=None),
                "how": ends[0]["action"] if ends else None,
                "acted": any(r["user"] for r in then),
            }
        )
    return found


ASKED = st.builds(
    lambda site, category, operator, operators: Asked(
        BEGIN, END, site=site, category=category, operator=operator, operators=operators
    ),
    st.sampled_from(["", "", "North"]),
    st.sampled_from(["", "", "network"]),
    st.sampled_from(["", "", "ann"]),
    st.sampled_from([1, 2]),
)
SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("way", ["LOOKED_UP", "READ_ONCE"])
@SETTINGS
@given(lives=st.lists(LIFE, max_size=8), asked=ASKED)
def test_every_figure_equals_one_worked_out_by_hand(world, monkeypatch, way, lives, asked):
    monkeypatch.setattr(gathering, "statement_for", lambda asked, now: getattr(gathering, way))
    rows = make(lives, world)
    alarms = alarms_of(rows, asked)
    with gathered(asked) as counted:
        found = report(counted, asked)

    # rates and floods
    slots = Counter(int(a["at"].timestamp()) // 600 for a in alarms)
    assert found.rate.alarms == len(alarms)
    assert found.rate.peak == max(slots.values(), default=0)
    assert found.rate.per_day == pytest.approx(len(alarms) / asked.operators / 2)
    assert found.rate.per_stretch == pytest.approx(len(alarms) / asked.operators / 288)
    assert found.rate.acceptable_share == pytest.approx(
        sum(slots[int(BEGIN.timestamp()) // 600 + n] / asked.operators <= 1 for n in range(288)) / 288
    )
    # volumes
    hours = Counter(a["at"].replace(minute=0, second=0, microsecond=0) for a in alarms)
    assert found.volume_unit == "hour"
    assert [(v.at, v.number) for v in found.volumes] == [
        (BEGIN + timedelta(hours=n), hours[BEGIN + timedelta(hours=n)]) for n in range(48)
    ]
    # times
    for spread, key, lacking in (
        (found.acknowledged, "acked", lambda a: a["acked"] is None and a["ended"] is None),
        (found.ended, "ended", lambda a: a["ended"] is None),
    ):
        spans = [(a[key] - a["at"]).total_seconds() for a in alarms if a[key]]
        assert spread.number == len(spans)
        assert spread.missing == sum(map(lacking, alarms))
        if spans:
            assert spread.mean == pytest.approx(statistics.fmean(spans))
            assert spread.median == pytest.approx(statistics.median(spans))
        else:
            assert spread.mean is spread.median is spread.p90 is None
    # tables
    tables = {table.key: table for table in found.tables}
    by_type = Counter(a["alert"].alert_type for a in alarms)
    assert {line.cells["alert_type"]: line.cells["number"] for line in tables["types"].lines} == by_type
    untouched_of = Counter(a["alert"].alert_type for a in alarms if not a["acted"])
    assert {line.cells["alert_type"]: line.cells["untouched"] for line in tables["types"].lines} == {
        name: untouched_of[name] for name in by_type
    }
    assert {line.cells["device"]: line.cells["number"] for line in tables["devices"].lines} == Counter(
        a["alert"].device.name for a in alarms
    )
    assert {line.cells["alert_type"] for line in tables["untouched"].lines} == {
        name for name, number in by_type.items() if untouched_of[name] == number
    }
    assert {line.cells["alert_type"]: line.cells["number"] for line in tables["fleeting"].lines} == Counter(
        a["alert"].alert_type
        for a in alarms
        if a["how"] in ("cleared", "expired") and a["ended"] - a["at"] < timedelta(seconds=60) and not a["acted"]
    )
    levels = Counter(a["alert"].priority for a in alarms)
    assert [line.cells["number"] for line in tables["priorities"].lines] == [levels[n] for n in range(1, 6)]
    # what does not look at alarms alone
    fits = [
        r for r in rows
        if (not asked.category or r["alert"].category == asked.category)
        and (not asked.site or r["alert"].device.site == asked.site)
    ]  # fmt: skip
    within = [r for r in fits if asked.begin <= r["at"] < asked.end]
    opened = [r for r in within if r["action"] == "opened"]
    told_ever = {r["alert"].pk for r in rows if r["news"] == News.PROBLEM and r["at"] >= BEGIN}
    assert found.quiet["opened"] == len(opened)
    assert found.quiet["never_told"] == sum(r["alert"].pk not in told_ever for r in opened)
    chatter = set()
    for alert in {r["alert"] for r in within}:
        raises = [r["at"] for r in within if r["alert"] == alert and r["action"] in ("opened", "reopened")]
        quick = any(c - a <= timedelta(seconds=60) for a, c in zip(raises, raises[2:], strict=False))
        if quick or any(r["alert"] == alert and r["action"] == "flapping" for r in within):
            chatter.add(alert.pk)
    assert {line.cells["alert_id"] for line in tables["chattering"].lines} == chatter
    standing = {
        r["alert"].pk for r in fits
        if r["alert"].occurred_at <= END - timedelta(hours=24) and r["news"] == News.PROBLEM and r["at"] < END
    }  # fmt: skip
    assert {line.cells["alert_id"] for line in tables["standing"].lines} == standing
    people = {line.cells["username"]: line.cells for line in tables["people"].lines}
    for name in ("ann", "bea"):
        mine = [r for r in within if r["user"] and r["user"].username == name]
        if not mine or (asked.operator and asked.operator != name):
            assert name not in people
            continue
        for action, key in (("acknowledged", "acknowledged"), ("resolved", "resolved"), ("note", "notes")):
            assert people[name][key] == sum(r["action"] == action for r in mine)
        assert people[name]["alerts"] == len({r["alert"].pk for r in mine})


# --- floods, pure ---


@given(st.dictionaries(st.integers(0, 143), st.integers(1, 30), max_size=60), st.integers(1, 3))
def test_floods_begin_above_ten_and_end_below_five(counts, operators):
    begin = datetime(2026, 11, 2, tzinfo=UTC)
    first = int(begin.timestamp()) // 600
    found = floods.rate({first + slot: n for slot, n in counts.items()}, begin, begin + timedelta(days=1), operators)

    inside, flooded, total = False, 0, 0
    for slot in range(144):
        each = counts.get(slot, 0) / operators
        inside = each >= 5 if inside else each > 10
        flooded += inside
        total += counts.get(slot, 0) if inside else 0
    assert found.flood_share == pytest.approx(flooded / 144)
    assert sum(flood.alarms for flood in found.floods) == total
    assert all(flood.peak / operators > 10 for flood in found.floods)


# --- what is asked ---


def test_a_day_is_the_readers_day_also_when_the_clock_changes():
    asked = Asked.of({"from": "2026-10-25", "to": "2026-10-25", "zone": "Europe/Berlin"})
    assert asked.end - asked.begin == timedelta(hours=25)
    assert asked.begin == datetime(2026, 10, 24, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"from": "soon"}, "from"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "to"),
        ({"period": "decade"}, "period"),
        ({"zone": "Mars/North"}, "zone"),
        ({"category": "weather"}, "category"),
        ({"operators": "many"}, "operators"),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "from"),
    ],
)
def test_what_is_wrong_is_said_by_field(given_, field):
    assert field in Asked.of(given_).errors


# --- page ---


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(person("viewer"))
    return client


@pytest.fixture
def told(world):
    life = (
        "link_down",
        "network",
        0,
        ("high", "high"),
        60,
        [("opened", 1, True, None), ("acknowledged", 60, False, 0)],
    )
    make([life], world)
    Suppression.objects.create(alert=AlertFactory(), kind="maintenance", started_at=BEGIN + timedelta(hours=1))
    return f"from={BEGIN:%Y-%m-%dT%H:%M}&to={END:%Y-%m-%dT%H:%M}&zone=UTC"


def test_each_number_leads_to_its_alerts_and_to_what_would_help(viewer, told):
    page = signed_in(person("admin")).get(f"/reports/?{told}").content.decode()
    assert "link_down" in page
    assert "/mappings/?type=snmp_trap&amp;q=link_down#rows" in page
    assert "/maintenance/new/?devices=" in page
    asked = Asked.of({"from": f"{BEGIN:%Y-%m-%dT%H:%M}", "to": f"{END:%Y-%m-%dT%H:%M}", "zone": "UTC"})
    board = viewer.get(asked.board()).content.decode()
    assert board.count('data-id="') == 1  # the one that was told, and not the other
    assert viewer.get(asked.board(acted="false")).content.decode().count('data-id="') == 0
    assert viewer.get(asked.board(acted="true")).content.decode().count('data-id="') == 1


def test_a_table_is_csv_that_no_spreadsheet_takes_for_a_formula(viewer, world):
    life = ("=cmd|'x'!A1", "network", 0, ("high", "high"), 60, [("opened", 1, True, None)])
    make([life], world)
    answer = viewer.get(f"/reports/types.csv?from={BEGIN:%Y-%m-%dT%H:%M}&to={END:%Y-%m-%dT%H:%M}")
    rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert rows[0][0] == "Alert type"
    assert rows[1][0] == "'=cmd|'x'!A1"
    assert viewer.get("/reports/nothing.csv").status_code == 404


def test_programs_read_the_same_figures_as_json(viewer, told):
    found = viewer.get(f"/reports/?{told}&format=json").json()
    assert found["alarms"] == 1
    assert found["time_to_acknowledge"]["median"] == 60
    assert found["tables"]["types"][0]["alert_type"] == "link_down"
    assert found["tables"]["types"][0]["share"] == found["top_10_share"] == 1.0


def test_nothing_in_a_period_is_said_and_no_fault(viewer):
    answer = viewer.get("/reports/?from=2020-01-01&to=2020-01-02")
    assert answer.status_code == 200
    assert "None." in answer.content.decode()


def test_a_wrong_word_is_said_at_its_field_with_the_report_beside_it(viewer):
    answer = viewer.get("/reports/?category=weather")
    assert answer.status_code == 400
    assert "is not a category" in answer.content.decode()


def test_the_number_of_queries_does_not_grow(viewer, world, django_assert_max_num_queries):
    life = [("opened", 1, True, None), ("cleared", 30, False, None)]
    make([(t, c, d, ("low", "low"), 60, life) for t in TYPES for c in CATEGORIES for d in range(3)], world)
    with django_assert_max_num_queries(26):
        viewer.get(f"/reports/?from={BEGIN:%Y-%m-%d}&to={END:%Y-%m-%d}")


def test_what_takes_too_long_is_refused_with_a_sentence(viewer, monkeypatch):
    monkeypatch.setattr(gathering, "SECONDS", 1)
    for name in ("LOOKED_UP", "READ_ONCE"):
        monkeypatch.setattr(gathering, name, "SELECT pg_sleep(5) WHERE %(begin)s IS NOT NULL")
    with pytest.raises(TooMuch), gathered(Asked(BEGIN, END)):
        pass
    assert viewer.get("/reports/").status_code == 503


def test_only_who_may_see_alerts_sees_reports(client):
    assert client.get("/reports/").status_code == 302
    client.force_login(person("service"))
    assert client.get("/reports/").status_code in (200, 403)


def test_spans_and_cells_read_as_people_say_them():
    assert [words.span(s) for s in (None, 45, 720, 12_600, 363_000)] == ["none", "45 s", "12 min", "3.5 h", "4.2 d"]
    assert figures.GROUPS[1] == "high"
    assert Action.NOTE == "note"
