"""The alarms of a report, collected once into a table of the transaction, from which all figures are counted.

An *alarm* is one time a problem was told: a history row with the news “problem”. What was quiet all the time (behind a
dead parent, in maintenance, silenced) is none; a problem that came back is another one; repeats are none. Each carries
what became of it until it was told the next time: when somebody acknowledged it and who, when and how it ended, and
whether a person did anything at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection, transaction

from alerts.reports.asked import Asked

SECONDS = 30

_GATHER = """
CREATE TEMP TABLE report_alarm ON COMMIT DROP AS
WITH told AS (
    SELECT h.id, h.alert_id, h.created_at AS at, lead(h.id) OVER (PARTITION BY h.alert_id ORDER BY h.id) AS next_id
    FROM alerts_alerthistory AS h
    WHERE h.news = 'problem' AND h.created_at >= %(begin)s AND h.created_at < %(end)s
)
SELECT t.id, t.alert_id, t.at, a.fingerprint, a.alert_type, a.source_system, a.category, a.severity, a.priority,
       host(a.device_ip) AS device_ip, COALESCE(NULLIF(d.name, ''), NULLIF(a.device_name, ''), host(a.device_ip), '')
           AS device, COALESCE(d.site, '') AS site, a.title,
       x.acked_at, x.acked_by, x.ended_at, x.ended_how, COALESCE(x.acted, false) AS acted
FROM told AS t
JOIN alerts_alert AS a ON a.id = t.alert_id
LEFT JOIN dependencies_device AS d ON d.id = a.device_id
CROSS JOIN LATERAL (
    SELECT min(y.created_at) FILTER (WHERE y.action = 'acknowledged') AS acked_at,
           (array_agg(y.user_id ORDER BY y.id) FILTER (WHERE y.action = 'acknowledged'))[1] AS acked_by,
           min(y.created_at) FILTER (WHERE y.action IN ('cleared', 'resolved', 'expired')) AS ended_at,
           (array_agg(y.action ORDER BY y.id) FILTER (WHERE y.action IN ('cleared', 'resolved', 'expired')))[1]
               AS ended_how,
           bool_or(y.user_id IS NOT NULL) AS acted
    FROM alerts_alerthistory AS y
    WHERE y.alert_id = t.alert_id AND y.id > t.id AND (t.next_id IS NULL OR y.id < t.next_id)
) AS x
WHERE (%(category)s = '' OR a.category = %(category)s)
  AND (%(site)s = '' OR d.site = %(site)s)
  AND (%(operator)s = '' OR EXISTS (
        SELECT 1 FROM alerts_alerthistory AS y JOIN auth_user AS u ON u.id = y.user_id
        WHERE y.alert_id = t.alert_id AND y.id > t.id AND (t.next_id IS NULL OR y.id < t.next_id)
          AND u.username = %(operator)s))"""


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


@contextmanager
def gathered(asked: Asked) -> Iterator[Alarms]:
    """Raises TooMuch."""
    try:
        with transaction.atomic(), connection.cursor() as cur:
            cur.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            cur.execute("DROP TABLE IF EXISTS pg_temp.report_alarm")  # of an earlier report in a transaction around us
            cur.execute(
                _GATHER,
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
