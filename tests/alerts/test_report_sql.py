"""Every number of a report equals a plain SQL query, written here without a look at how the report counts.

The queries say once more what docs/reports.md says, as simply as it can be said: subqueries for each row, no window
functions where counting does, nothing collected beforehand.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from alerts.choices import News
from alerts.models import AlertHistory, Suppression
from alerts.reports import words
from alerts.reports.asked import Asked
from alerts.reports.gathered import gathered
from alerts.reports.tables import report
from tests.factories import AlertFactory, DeviceFactory, UserFactory

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
END = BEGIN + timedelta(days=2)
VARIANTS = {
    "all": Asked(BEGIN, END),
    "three on duty": Asked(BEGIN, END, operators=3),
    "a site": Asked(BEGIN, END, site="North"),
    "a category": Asked(BEGIN, END, category="power", operators=2),
    "a person": Asked(BEGIN, END, operator="ann"),
    "a site, a category and a person": Asked(BEGIN, END, site="North", category="network", operator="bea"),
    "a day": Asked(BEGIN + timedelta(days=1), END),
    "nothing": Asked(BEGIN - timedelta(days=9), BEGIN - timedelta(days=8)),
}


# --- a world ---

STEPS = (*("cleared", "reopened", "acknowledged", "note", "assigned", "resolved") * 5, "expired", "expired", "flapping")


@dataclass
class Event:
    at: datetime
    alert: Any
    action: str
    news: str = News.NONE
    user: Any = None


@pytest.fixture
def world(db):
    """170 problems of 14 types on 12 devices: floods, what chatters, stands, nobody touches. Always the same."""
    chance = random.Random(20261128)
    devices = [DeviceFactory(name=f"sw-{n}", site=("North", "South", "")[n % 3]) for n in range(12)]
    people = [UserFactory(username=name) for name in ("ann", "bea", "cleo")]
    flood = [BEGIN + timedelta(hours=7, minutes=2, seconds=8 * n) for n in range(60)]
    events: list[Event] = []
    for n in range(170):
        began = flood[n - 110] if n >= 110 else BEGIN + timedelta(minutes=chance.randint(-1_500, 2_900))
        device = chance.choice(devices)
        number = 13 if n < 4 else min(chance.randint(0, 12), chance.randint(0, 12))
        alert = AlertFactory(
            device=device, device_ip=device.ip, device_name=device.name, alert_type=f"type_{number:02}",
            source_system=("snmp_trap", "api")[number % 2], category=("network", "power")[number % 2],
            priority=chance.choice([1, 2, 3, 3, 4, 5, 5]), fingerprint=f"{n:064}", occurred_at=began,
            title=f"Problem {n}", condition=chance.choice(["raised", "cleared"]),
        )  # fmt: skip
        ended = None
        events += life(chance, alert, began, people, quick=number == 13 or chance.random() < 0.07)
        if alert.condition == "cleared":
            ended = max(event.at for event in events if event.alert is alert)
        type(alert).objects.filter(pk=alert.pk).update(resolved_at=ended)
        for kind in chance.sample(["maintenance", "dependency", "hold"], chance.choice([0, 0, 0, 1, 2])):
            Suppression.objects.create(alert=alert, kind=kind, started_at=began + timedelta(minutes=1))
    for event in sorted(events, key=lambda event: event.at):
        AlertHistory.objects.create(
            alert=event.alert, action=event.action, news=event.news, user=event.user, created_at=event.at
        )


def life(chance, alert, at, people, *, quick):
    """What happened to it, in order; no two things at one time."""
    told = chance.random() < 0.8
    found = [Event(at, alert, "opened", News.PROBLEM if told else News.NONE)]
    for _ in range(chance.randint(0, 6)):
        at += timedelta(seconds=chance.choice([7, 19] if quick else [23, 58, 140, 900, 5_000, 31_000]))
        action = chance.choice(("cleared", "reopened") if quick else STEPS)
        by = chance.choice(people) if action in ("acknowledged", "note", "assigned", "resolved") else None
        news = News.PROBLEM if action == "reopened" and chance.random() < 0.7 else News.NONE
        at += timedelta(microseconds=chance.randint(1, 999))
        found.append(Event(at, alert, action, news, by))
    return found


# --- what is counted, again ---

ALARM = """
alarm AS (
    SELECT h.id, h.created_at AS at, a.id AS alert_id, a.alert_type, a.source_system, a.priority, a.fingerprint,
           d.name AS device,
           (SELECT min(y.created_at) FROM then_of y WHERE y.telling = h.id AND y.action = 'acknowledged') AS acked,
           (SELECT y.user_id FROM then_of y WHERE y.telling = h.id AND y.action = 'acknowledged'
            ORDER BY y.id LIMIT 1) AS acked_by,
           (SELECT min(y.created_at) FROM then_of y
            WHERE y.telling = h.id AND y.action IN ('cleared', 'resolved', 'expired')) AS ended,
           (SELECT y.action FROM then_of y
            WHERE y.telling = h.id AND y.action IN ('cleared', 'resolved', 'expired') ORDER BY y.id LIMIT 1) AS how,
           EXISTS (SELECT 1 FROM then_of y WHERE y.telling = h.id AND y.user_id IS NOT NULL) AS acted
    FROM telling h JOIN alerts_alert a ON a.id = h.alert_id JOIN dependencies_device d ON d.id = a.device_id
    WHERE a.category LIKE %(category)s AND d.site LIKE %(site)s
      AND (%(operator)s = '' OR EXISTS (SELECT 1 FROM then_of y JOIN auth_user u ON u.id = y.user_id
                                        WHERE y.telling = h.id AND u.username = %(operator)s))
)"""
TELLING = """
telling AS (
    SELECT * FROM alerts_alerthistory WHERE news = 'problem' AND created_at >= %(begin)s AND created_at < %(end)s
), then_of AS (
    SELECT (SELECT max(t.id) FROM telling t WHERE t.alert_id = y.alert_id AND t.id < y.id) AS telling, y.*
    FROM alerts_alerthistory y WHERE NOT EXISTS (SELECT 1 FROM telling t WHERE t.id = y.id)
)"""
FITS = "JOIN alerts_alert a ON a.id = {}.alert_id JOIN dependencies_device d ON d.id = a.device_id AND a.category LIKE %(category)s AND d.site LIKE %(site)s"  # fmt: skip # noqa: E501
SLOT = """
slot AS (
    SELECT s AS begins, (SELECT count(*) FROM alarm WHERE at >= s AND at < s + interval '10 minutes') AS number
    FROM generate_series(%(begin)s::timestamptz, %(end)s::timestamptz - interval '1 second', interval '10 minutes') s
), walk(begins, number, inside, flood) AS (
    SELECT begins, number, number > 10 * %(operators)s, 1 FROM slot WHERE begins = %(begin)s
    UNION ALL
    SELECT s.begins, s.number,
           CASE WHEN w.inside THEN s.number >= 5 * %(operators)s ELSE s.number > 10 * %(operators)s END,
           w.flood + CASE WHEN w.inside THEN 0 ELSE 1 END
    FROM walk w JOIN slot s ON s.begins = w.begins + interval '10 minutes'
)"""
SECONDS = "extract(epoch FROM {} - at)::float8"


def spread(moment: str, missing: str) -> str:
    seconds = SECONDS.format(moment)
    return (
        f"SELECT count({moment}), (SELECT count(*) FROM alarm WHERE {missing}), avg({seconds}), "
        f"percentile_cont(0.5) WITHIN GROUP (ORDER BY {seconds}), "
        f"percentile_cont(0.9) WITHIN GROUP (ORDER BY {seconds}) FROM alarm WHERE {moment} IS NOT NULL"
    )


def of_spread(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(found[name] for name in ("number", "missing", "mean", "median", "p90"))]


def rows(key: str, *columns: str) -> Any:
    return lambda found: [tuple(row[name] for name in columns) for row in found["tables"][key]]


def one(*names: str) -> Any:
    return lambda found: [tuple(found[name] for name in names)]


# What it is called -> how it is read out of the report, and the query. Rows in any order.
NUMBERS: dict[str, tuple[Any, str]] = {
    "alarms": (one("alarms"), "SELECT count(*) FROM alarm"),
    "rate": (
        one("alarms_per_operator_and_10_min", "alarms_per_operator_and_day"),
        "SELECT count(*) / (%(operators)s * extract(epoch FROM %(end)s::timestamptz - %(begin)s)::float8 / 600), "
        "count(*) / (%(operators)s * extract(epoch FROM %(end)s::timestamptz - %(begin)s)::float8 / 86400) FROM alarm",
    ),
    "worst and calm stretches": (
        one("most_in_10_min", "share_of_time_acceptable"),
        "SELECT max(number), avg((number <= %(operators)s)::int)::float8 FROM slot",
    ),
    "time in flood": (one("share_of_time_in_flood"), "SELECT avg(inside::int)::float8 FROM walk"),
    "floods": (
        rows("floods", "begin", "end", "alarms", "peak"),
        "SELECT min(begins), max(begins) + interval '10 minutes', sum(number)::int, max(number) FROM walk WHERE inside "
        "GROUP BY flood",
    ),
    "time to acknowledge": (
        lambda found: of_spread(found["time_to_acknowledge"]),
        spread("acked", "acked IS NULL AND ended IS NULL"),
    ),
    "time to end": (lambda found: of_spread(found["time_to_end"]), spread("ended", "ended IS NULL")),
    "opened, never told": (
        one("opened", "never_told"),
        f"SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM alerts_alerthistory p WHERE p.news = "
        f"'problem' AND p.alert_id = h.alert_id)) FROM alerts_alerthistory h {FITS.format('h')} "
        "WHERE h.action = 'opened' AND h.created_at >= %(begin)s AND h.created_at < %(end)s",
    ),
    "top ten": (
        one("top_10_share"),
        "SELECT coalesce(sum(n), 0)::float8 / greatest(1, (SELECT count(*) FROM alarm)) FROM "
        "(SELECT count(*) AS n FROM alarm GROUP BY alert_type ORDER BY n DESC LIMIT 10) t",
    ),
    "types": (
        rows("types", "alert_type", "source_system", "number", "share", "problems", "untouched"),
        "SELECT alert_type, source_system, count(*), count(*)::float8 / (SELECT count(*) FROM alarm), "
        "count(DISTINCT fingerprint), sum((NOT acted)::int) FROM alarm GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT 10",
    ),
    "devices": (
        rows("devices", "device", "number", "share", "problems", "untouched"),
        "SELECT device, count(*), count(*)::float8 / (SELECT count(*) FROM alarm), count(DISTINCT fingerprint), "
        "sum((NOT acted)::int) FROM alarm GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10",
    ),
    "chattering": (
        rows("chattering", "title", "device", "number", "flapping"),
        f"WITH h AS (SELECT h.*, a.title, d.name FROM alerts_alerthistory h {FITS.format('h')} WHERE "
        "h.created_at >= %(begin)s AND h.created_at < %(end)s), up AS (SELECT * FROM h WHERE action IN ('opened', "
        "'reopened')) SELECT title, name, (SELECT count(*) FROM up WHERE up.alert_id = h.alert_id), "
        "(SELECT count(*) FROM h f WHERE f.alert_id = h.alert_id AND f.action = 'flapping') FROM h WHERE "
        "h.action = 'flapping' OR (h.action IN ('opened', 'reopened') AND (SELECT count(*) FROM up WHERE up.alert_id = "
        "h.alert_id AND up.created_at BETWEEN h.created_at AND h.created_at + interval '60 s') >= 3) "
        "GROUP BY title, name, h.alert_id",
    ),
    "fleeting": (
        rows("fleeting", "alert_type", "source_system", "number"),
        "SELECT alert_type, source_system, count(*) FROM alarm WHERE how IN ('cleared', 'expired') AND NOT acted "
        "AND ended < at + interval '60 s' GROUP BY 1, 2",
    ),
    "standing": (
        rows("standing", "title", "device", "occurred_at"),
        "SELECT a.title, d.name, a.occurred_at FROM alerts_alert a JOIN dependencies_device d ON d.id = a.device_id "
        "WHERE a.category LIKE %(category)s AND d.site LIKE %(site)s AND a.occurred_at + interval '24 hours' <= "
        "%(end)s AND (a.resolved_at IS NULL OR a.resolved_at > %(end)s) AND a.id IN (SELECT alert_id FROM "
        "alerts_alerthistory WHERE news = 'problem' AND created_at < %(end)s) ORDER BY a.occurred_at, a.id LIMIT 25",
    ),
    "never acted on": (
        rows("untouched", "alert_type", "source_system", "number", "devices"),
        "SELECT alert_type, source_system, count(*), count(DISTINCT device) FROM alarm x WHERE NOT EXISTS "
        "(SELECT 1 FROM alarm o WHERE o.alert_type = x.alert_type AND o.acted) GROUP BY 1, 2",
    ),
    "priorities": (
        rows("priorities", "priority", "number", "share", "group_share"),
        "SELECT 'P' || p, (SELECT count(*) FROM alarm WHERE priority = p), (SELECT count(*) FROM alarm WHERE priority "
        "= p)::float8 / greatest(1, (SELECT count(*) FROM alarm)), (SELECT count(*) FROM alarm WHERE CASE WHEN "
        "priority < 3 THEN 1 WHEN priority = 3 THEN 2 ELSE 3 END = CASE WHEN p < 3 THEN 1 WHEN p = 3 THEN 2 ELSE 3 "
        "END)::float8 / greatest(1, (SELECT count(*) FROM alarm)) FROM generate_series(1, 5) p",
    ),
    "kept quiet": (
        rows("quiet", "number"),
        f"SELECT count(DISTINCT s.alert_id) FROM alerts_suppression s {FITS.format('s')} "
        "WHERE s.started_at >= %(begin)s AND s.started_at < %(end)s GROUP BY s.kind",
    ),
    "people": (
        rows("people", "username", "alerts", "acknowledged", "resolved", "assigned", "notes", "median"),
        "SELECT u.username, count(DISTINCT h.alert_id), sum((h.action = 'acknowledged')::int), "
        "sum((h.action = 'resolved')::int), sum((h.action = 'assigned')::int), sum((h.action = 'note')::int), "
        f"(SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY {SECONDS.format('acked')}) FROM alarm "
        f"WHERE acked_by = u.id) FROM alerts_alerthistory h {FITS.format('h')} JOIN auth_user u ON u.id = h.user_id "
        "WHERE h.created_at >= %(begin)s AND h.created_at < %(end)s AND %(operator)s IN ('', u.username) GROUP BY u.id",
    ),
}


def asked_of_postgres(query: str, asked: Asked) -> list[tuple[Any, ...]]:
    ahead = f"WITH RECURSIVE {TELLING}, {ALARM}, {SLOT}"
    query = f"{ahead}, {query.removeprefix('WITH ')}" if query.startswith("WITH ") else f"{ahead} {query}"
    with connection.cursor() as cur:
        cur.execute(
            query,
            {
                "begin": asked.begin, "end": asked.end, "site": asked.site or "%", "category": asked.category or "%",
                "operator": asked.operator, "operators": asked.operators,
            },
        )  # fmt: skip
        return cur.fetchall()


def in_order(lines: list[tuple[Any, ...]]) -> list[Any]:
    """The values of all rows one after the other, the rows sorted by what does not depend on the last digits."""
    plain = [tuple(float(v) if isinstance(v, int | float | Decimal) else v for v in line) for line in lines]
    plain.sort(key=lambda line: [repr(round(v, 3)) if isinstance(v, float) else repr(v) for v in line])
    return [value for line in plain for value in line]


def alike(one_: list[Any], other: list[Any]) -> bool:
    """Sums of floating numbers may differ in the last digits, by the order in which they are added."""
    return len(one_) == len(other) and all(
        a == pytest.approx(b, rel=1e-9) if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in zip(one_, other, strict=True)
    )


def as_found(asked: Asked) -> tuple[dict[str, Any], Any]:
    with gathered(asked) as alarms:
        found = report(alarms, asked)
    return words.as_json(found), found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_equals_a_plain_query(world, variant):
    asked = VARIANTS[variant]
    found, whole = as_found(asked)

    wrong = {}
    for name, (read, query) in NUMBERS.items():
        shown, counted = in_order(read(found)), in_order(asked_of_postgres(query, asked))
        if not alike(shown, counted):
            wrong[name] = {"report": shown, "query": counted}
    assert not wrong

    # the chart, by hour
    volumes = asked_of_postgres(
        "SELECT g, (SELECT count(*) FROM alarm WHERE at >= g AND at < g + interval '1 hour') FROM "
        "generate_series(%(begin)s::timestamptz, %(end)s::timestamptz - interval '1 second', interval '1 hour') g",
        asked,
    )
    assert [(v.at, v.number) for v in whole.volumes] == volumes


def test_every_number_of_the_answer_is_among_them(world):
    """A figure or column that is added later fails here until a query of its own is written for it."""
    found, _ = as_found(VARIANTS["all"])
    read: set[str] = set()

    class Watched(dict[str, Any]):
        prefix = ""

        def __getitem__(self, name: str) -> Any:
            read.add(f"{self.prefix}{name}")
            return super().__getitem__(name)

    def watched(value: Any, prefix: str) -> Any:
        if isinstance(value, dict):
            made = Watched({name: watched(inner, f"{prefix}{name}.") for name, inner in value.items()})
            made.prefix = prefix
            return made
        return [watched(inner, prefix) for inner in value] if isinstance(value, list) else value

    def numbers(value: Any, path: str) -> set[str]:
        if isinstance(value, dict):
            return set().union(*(numbers(inner, f"{path}.{name}" if path else name) for name, inner in value.items()))
        if isinstance(value, list):
            return set().union(*(numbers(inner, path) for inner in value))
        return {path} if isinstance(value, int | float) else set()

    for of, _query in NUMBERS.values():
        of(watched(found, ""))
    assert numbers(found, "") - {"operators"} <= read


def test_the_world_holds_something_of_everything(world):
    """So that no equality above is one of nothing with nothing."""
    found, _ = as_found(VARIANTS["all"])
    assert all(found["tables"].values())
    assert 0 < found["top_10_share"] < 1
    assert 0 < found["share_of_time_in_flood"] < 0.1
    assert all(len(found["tables"][key]) < 25 for key in ("chattering", "fleeting", "untouched"))
