"""The alarms of a report, collected once into a table of the transaction, from which all figures are counted.

An *alarm* is one time a problem was told: a history row with the news “problem”. What was quiet all the time (behind a
dead parent, in maintenance, silenced) is none; a problem that came back is another one; repeats are none. Each carries
what became of it until it was told the next time: when somebody acknowledged it and who, when and how it ended, and
whether a person did anything at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from alerts.reports.asked import Asked

SECONDS = 30

_ALARM = """
CREATE TEMP TABLE report_alarm ON COMMIT DROP AS
WITH {told}
SELECT t.id, t.alert_id, t.at, a.fingerprint, a.alert_type, a.source_system, a.category, a.severity, a.priority,
       host(a.device_ip) AS device_ip, COALESCE(NULLIF(d.name, ''), NULLIF(a.device_name, ''), host(a.device_ip), '')
           AS device, COALESCE(d.site, '') AS site, a.title,
       t.acked_at, t.acked_by, t.ended_at, t.ended_how, COALESCE(t.acted, false) AS acted
FROM t
JOIN alerts_alert AS a ON a.id = t.alert_id
LEFT JOIN dependencies_device AS d ON d.id = a.device_id
WHERE (%(category)s = '' OR a.category = %(category)s)
  AND (%(site)s = '' OR d.site = %(site)s)
  AND (%(operator)s = '' OR t.people @> ARRAY[(SELECT id FROM auth_user WHERE username = %(operator)s)])"""

_BECAME = """
       min(y.created_at) FILTER (WHERE y.action = 'acknowledged') AS acked_at,
       (array_agg(y.user_id ORDER BY y.id) FILTER (WHERE y.action = 'acknowledged'))[1] AS acked_by,
       min(y.created_at) FILTER (WHERE y.action IN ('cleared', 'resolved', 'expired')) AS ended_at,
       (array_agg(y.action ORDER BY y.id) FILTER (WHERE y.action IN ('cleared', 'resolved', 'expired')))[1]
           AS ended_how,
       bool_or(y.user_id IS NOT NULL) AS acted,
       array_agg(y.user_id) FILTER (WHERE y.user_id IS NOT NULL) AS people"""

# For a period that is over for long: what became of each alarm is looked up alert by alert.
_LOOKED_UP = f"""
told AS (
    SELECT h.id, h.alert_id, h.created_at AS at, lead(h.id) OVER (PARTITION BY h.alert_id ORDER BY h.id) AS next_id
    FROM alerts_alerthistory AS h
    WHERE h.news = 'problem' AND h.created_at >= %(begin)s AND h.created_at < %(end)s
), t AS (
    SELECT told.*, x.* FROM told CROSS JOIN LATERAL (
        SELECT {_BECAME} FROM alerts_alerthistory AS y
        WHERE y.alert_id = told.alert_id AND y.id > told.id AND (told.next_id IS NULL OR y.id < told.next_id)
    ) AS x
)"""  # noqa: S608

# For one that reaches to now: everything since it began is read once; each row belongs to the last telling before.
_READ_ONCE = f"""
lately AS MATERIALIZED (
    SELECT id, alert_id, action, user_id, created_at, news FROM alerts_alerthistory WHERE created_at >= %(begin)s
), since AS (
    SELECT h.*, max(h.id) FILTER (WHERE h.news = 'problem' AND h.created_at < %(end)s) OVER (
        PARTITION BY h.alert_id ORDER BY h.id ROWS UNBOUNDED PRECEDING) AS told_id
    FROM lately AS h
), t AS (
    SELECT z.told_id AS id, z.alert_id, min(z.at) AS at, {_BECAME}
    FROM (SELECT s.*, CASE WHEN s.id = s.told_id THEN s.created_at END AS at FROM since AS s
          WHERE s.told_id IS NOT NULL) AS z
    LEFT JOIN LATERAL (SELECT z.id, z.action, z.user_id, z.created_at WHERE z.id <> z.told_id) AS y ON true
    GROUP BY z.told_id, z.alert_id
)"""  # noqa: S608

LOOKED_UP, READ_ONCE = _ALARM.format(told=_LOOKED_UP), _ALARM.format(told=_READ_ONCE)


# One sort of what a period holds, in memory where it fits; and no walk through whole indexes in the order of ids.
_SESSION = "SET LOCAL work_mem = '64MB'; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"


class TooMuch(Exception):
    """The period holds more than can be counted in time."""


class Alarms:
    """Rows by name out of statements over `report_alarm`."""

    def __init__(self, cur: Any) -> None:
        self._cur = cur

    def rows(self, query: str, params: Any = None) -> list[dict[str, Any]]:
        self._cur.execute(query, params)
        names = [column[0] for column in self._cur.description]
        return [dict(zip(names, row, strict=True)) for row in self._cur.fetchall()]

    def row(self, query: str, params: Any = None) -> dict[str, Any]:
        return self.rows(query, params)[0]


def statement_for(asked: Asked, now: datetime) -> str:
    """Both give the same alarms; the second reads more than it needs where much has happened since."""
    return READ_ONCE if now - asked.end <= asked.end - asked.begin else LOOKED_UP


@contextmanager
def gathered(asked: Asked) -> Iterator[Alarms]:
    """Raises TooMuch."""
    try:
        with transaction.atomic(), connection.cursor() as cur:
            cur.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            cur.execute("DROP TABLE IF EXISTS pg_temp.report_alarm")  # of an earlier report in a transaction around us
            cur.execute(_SESSION)
            cur.execute(
                statement_for(asked, timezone.now()),
                {
                    "begin": asked.begin,
                    "end": asked.end,
                    "category": asked.category,
                    "site": asked.site,
                    "operator": asked.operator,
                },
            )
            yield Alarms(cur)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == "57014":
            raise TooMuch from None
        raise
