"""What a report counts. Each function is one statement over the gathered alarms, or one over their surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from alerts.choices import Priority
from alerts.reports.asked import Asked
from alerts.reports.floods import Rate, rate
from alerts.reports.gathered import Alarms

TOP = 10
CHATTER_TIMES, CHATTER_SECONDS = 3, 60
FLEETING_SECONDS = 60
STANDING = timedelta(hours=24)
SHOWN = 25
# EEMUA 191: how alarms should be spread over priorities.
WANTED = {"high": 0.05, "medium": 0.15, "low": 0.80}
GROUPS = {1: "high", 2: "high", 3: "medium", 4: "low", 5: "low"}


@dataclass(frozen=True)
class Spread:
    """Seconds; None where there is none to count."""

    number: int
    missing: int
    mean: float | None
    median: float | None
    p90: float | None


@dataclass(frozen=True)
class Volume:
    """Alarms in one stretch of the chart."""

    at: Any
    number: int


def alarm_rate(alarms: Alarms, asked: Asked) -> Rate:
    rows = alarms.rows(
        "SELECT floor(extract(epoch FROM at) / 600)::bigint AS slot, count(*) AS number FROM report_alarm GROUP BY slot"
    )
    return rate({row["slot"]: row["number"] for row in rows}, asked.begin, asked.end, asked.operators)


def volumes(alarms: Alarms, asked: Asked) -> tuple[str, list[Volume]]:
    """By hour up to three days, by day beyond, of the reader's own days; the hour that comes twice in autumn is one."""
    unit = "hour" if asked.days <= 3 else "day"
    rows = alarms.rows(
        f"SELECT g.at AT TIME ZONE %(zone)s AS at, count(r.id) AS number FROM generate_series("  # noqa: S608
        f"date_trunc('{unit}', %(begin)s::timestamptz AT TIME ZONE %(zone)s), "
        f"(%(end)s::timestamptz - interval '1 microsecond') AT TIME ZONE %(zone)s, interval '1 {unit}') AS g(at) "
        f"LEFT JOIN report_alarm AS r ON date_trunc('{unit}', r.at AT TIME ZONE %(zone)s) = g.at "
        "GROUP BY g.at ORDER BY g.at",
        {"begin": asked.begin, "end": asked.end, "zone": asked.zone},
    )
    return unit, [Volume(row["at"], row["number"]) for row in rows]


def top(alarms: Alarms, by: str) -> list[dict[str, Any]]:
    """The most frequent alert types or devices, with how many of their alarms nobody acted on."""
    columns = {"type": "alert_type, source_system", "device": "device, device_ip"}[by]
    return alarms.rows(
        f"SELECT {columns}, count(*) AS number, count(*) FILTER (WHERE NOT acted) AS untouched, "  # noqa: S608
        "count(DISTINCT fingerprint) AS problems, sum(count(*)) OVER () AS total "
        f"FROM report_alarm GROUP BY {columns} ORDER BY number DESC, 1 LIMIT {TOP}"
    )


def chattering(alarms: Alarms, asked: Asked) -> list[dict[str, Any]]:
    """Problems that were raised three times or more within a minute, or were found flapping; told or not."""
    return alarms.rows(
        """
WITH raises AS (
    SELECT a.fingerprint, h.alert_id, h.created_at, h.action,
           h.created_at - lag(h.created_at, %(back)s) OVER (
               PARTITION BY a.fingerprint, h.action = 'flapping' ORDER BY h.id) AS span
    FROM alerts_alerthistory AS h JOIN alerts_alert AS a ON a.id = h.alert_id
    LEFT JOIN dependencies_device AS d ON d.id = a.device_id
    WHERE h.created_at >= %(begin)s AND h.created_at < %(end)s AND h.action IN ('opened', 'reopened', 'flapping')
      AND (%(category)s = '' OR a.category = %(category)s) AND (%(site)s = '' OR d.site = %(site)s)
), found AS (
    SELECT fingerprint, count(*) FILTER (WHERE action <> 'flapping') AS number,
           count(*) FILTER (WHERE action = 'flapping') AS flapping,
           (array_agg(alert_id ORDER BY created_at DESC))[1] AS alert_id
    FROM raises GROUP BY fingerprint
    HAVING bool_or(action = 'flapping') OR min(span) FILTER (WHERE action <> 'flapping') <= %(within)s
)
SELECT f.number, f.flapping, f.alert_id, a.alert_type, a.source_system, a.title, host(a.device_ip) AS device_ip,
       COALESCE(NULLIF(d.name, ''), NULLIF(a.device_name, ''), host(a.device_ip), '') AS device,
       count(*) OVER () AS total
FROM found AS f JOIN alerts_alert AS a ON a.id = f.alert_id LEFT JOIN dependencies_device AS d ON d.id = a.device_id
ORDER BY f.number DESC, a.alert_type, f.alert_id LIMIT %(most)s""",
        {
            "back": CHATTER_TIMES - 1,
            "within": timedelta(seconds=CHATTER_SECONDS),
            "begin": asked.begin,
            "end": asked.end,
            "category": asked.category,
            "site": asked.site,
            "most": SHOWN,
        },
    )


def fleeting(alarms: Alarms) -> list[dict[str, Any]]:
    """Types whose alarms were over within a minute, before anybody could do anything."""
    return alarms.rows(
        "SELECT alert_type, source_system, count(*) AS number, sum(count(*)) OVER () AS total FROM report_alarm "
        "WHERE ended_how IN ('cleared', 'expired') AND ended_at - at < %s AND NOT acted "
        "GROUP BY alert_type, source_system ORDER BY number DESC, alert_type LIMIT %s",
        [timedelta(seconds=FLEETING_SECONDS), SHOWN],
    )


def standing(alarms: Alarms, asked: Asked) -> list[dict[str, Any]]:
    """Told problems that had stood for a day and more when the period ended."""
    return alarms.rows(
        """
SELECT a.id AS alert_id, a.title, a.alert_type, a.occurred_at, host(a.device_ip) AS device_ip,
       COALESCE(NULLIF(d.name, ''), NULLIF(a.device_name, ''), host(a.device_ip), '') AS device,
       count(*) OVER () AS total
FROM alerts_alert AS a LEFT JOIN dependencies_device AS d ON d.id = a.device_id
WHERE a.occurred_at <= %(day)s AND (a.condition = 'raised' OR a.resolved_at > %(end)s)
  AND EXISTS (SELECT 1 FROM alerts_alerthistory AS h
              WHERE h.alert_id = a.id AND h.news = 'problem' AND h.created_at < %(end)s)
  AND (%(category)s = '' OR a.category = %(category)s) AND (%(site)s = '' OR d.site = %(site)s)
ORDER BY a.occurred_at, a.id LIMIT %(most)s""",
        {
            "day": asked.end - STANDING,
            "end": asked.end,
            "category": asked.category,
            "site": asked.site,
            "most": SHOWN,
        },
    )


def priorities(alarms: Alarms) -> list[dict[str, Any]]:
    """Every priority, also without alarms."""
    found = {
        row["priority"]: row["number"]
        for row in alarms.rows("SELECT priority, count(*) AS number FROM report_alarm GROUP BY priority")
    }
    total = sum(found.values())
    return [
        {
            "priority": level.label,
            "group": GROUPS[level.value],
            "number": found.get(level.value, 0),
            "share": found.get(level.value, 0) / total if total else 0.0,
        }
        for level in Priority
    ]


def time_to(alarms: Alarms, what: str) -> Spread:
    """Until somebody acknowledged (`acked_at`), or until it ended (`ended_at`); what ended needs no acknowledgement."""
    missing = "acked_at IS NULL AND ended_at IS NULL" if what == "acked_at" else "ended_at IS NULL"
    row = alarms.row(
        f"SELECT count({what}) AS number, count(*) FILTER (WHERE {missing}) AS missing, avg(s) AS mean, "  # noqa: S608
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS median, "
        "percentile_cont(0.9) WITHIN GROUP (ORDER BY s) AS p90 "
        f"FROM (SELECT *, extract(epoch FROM {what} - at)::float8 AS s FROM report_alarm) AS r"
    )
    return Spread(**row)


def untouched(alarms: Alarms) -> list[dict[str, Any]]:
    """Types of which nobody touched a single alarm: they interrupt and lead to nothing."""
    return alarms.rows(
        "SELECT alert_type, source_system, count(*) AS number, count(DISTINCT device) AS devices, "  # noqa: S608
        "count(*) OVER () AS total FROM report_alarm GROUP BY alert_type, source_system HAVING NOT bool_or(acted) "
        f"ORDER BY number DESC, alert_type LIMIT {SHOWN}"
    )


def people(alarms: Alarms, asked: Asked) -> list[dict[str, Any]]:
    """What each person did, and how soon they acknowledged."""
    return alarms.rows(
        """
SELECT u.username, count(*) FILTER (WHERE h.action = 'acknowledged') AS acknowledged,
       count(*) FILTER (WHERE h.action = 'resolved') AS resolved, count(*) FILTER (WHERE h.action = 'note') AS notes,
       count(*) FILTER (WHERE h.action = 'assigned') AS assigned, count(DISTINCT h.alert_id) AS alerts,
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM r.acked_at - r.at)::float8)
        FROM report_alarm AS r WHERE r.acked_by = u.id) AS median
FROM alerts_alerthistory AS h JOIN auth_user AS u ON u.id = h.user_id JOIN alerts_alert AS a ON a.id = h.alert_id
LEFT JOIN dependencies_device AS d ON d.id = a.device_id
WHERE h.created_at >= %(begin)s AND h.created_at < %(end)s
  AND (%(category)s = '' OR a.category = %(category)s) AND (%(site)s = '' OR d.site = %(site)s)
  AND (%(operator)s = '' OR u.username = %(operator)s)
GROUP BY u.id, u.username ORDER BY alerts DESC, u.username LIMIT %(most)s""",
        {
            "begin": asked.begin,
            "end": asked.end,
            "category": asked.category,
            "site": asked.site,
            "operator": asked.operator,
            "most": SHOWN,
        },
    )


def kept_quiet(alarms: Alarms, asked: Asked) -> dict[str, Any]:
    """Of the problems that began in the period: how many were never told, and by what reasons alerts were quiet."""
    params = {"begin": asked.begin, "end": asked.end, "category": asked.category, "site": asked.site}
    where = "(%(category)s = '' OR a.category = %(category)s) AND (%(site)s = '' OR d.site = %(site)s)"
    whole = alarms.row(
        f"""
SELECT count(*) AS opened, count(*) FILTER (WHERE t.alert_id IS NULL) AS never_told
FROM alerts_alerthistory AS h JOIN alerts_alert AS a ON a.id = h.alert_id
LEFT JOIN dependencies_device AS d ON d.id = a.device_id
LEFT JOIN (SELECT DISTINCT y.alert_id FROM alerts_alerthistory AS y
           WHERE y.news = 'problem' AND y.created_at >= %(begin)s) AS t ON t.alert_id = h.alert_id
WHERE h.action = 'opened' AND h.created_at >= %(begin)s AND h.created_at < %(end)s AND {where}""",  # noqa: S608
        params,
    )
    reasons = alarms.rows(
        f"""
SELECT s.kind, count(DISTINCT s.alert_id) AS number
FROM alerts_suppression AS s JOIN alerts_alert AS a ON a.id = s.alert_id
LEFT JOIN dependencies_device AS d ON d.id = a.device_id
WHERE s.started_at >= %(begin)s AND s.started_at < %(end)s AND {where}
GROUP BY s.kind ORDER BY number DESC, s.kind""",  # noqa: S608
        params,
    )
    return {**whole, "reasons": reasons}
