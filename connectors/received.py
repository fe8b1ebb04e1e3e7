"""How much each connector received, and when last: counted with every batch, shown on the connector.

A row that every batch updates would be a queue, so batches add to rows of their own (`ReceivedCount`, one for each
writer and quarter of an hour) in their own transaction, and the dispatcher takes those over into the connector. Nothing
is counted twice or lost, whoever dies in between.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from alerts.choices import Outcome
from connectors.journal import OWN_SOURCE, Item
from opsconductor import pgtext

SHARDS = 16
QUARTER = timedelta(minutes=15)
KEPT = timedelta(hours=1)

_ADD = """
INSERT INTO connectors_receivedcount AS c (connector_id, shard, quarter, count, last_at)
SELECT connector_id, %s, quarter, n, last_at
FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::timestamptz[]) AS v(connector_id, quarter, n, last_at)
ON CONFLICT (connector_id, shard, quarter) DO UPDATE
SET count = c.count + EXCLUDED.count, last_at = greatest(c.last_at, EXCLUDED.last_at)"""
# Rows a batch is adding to just now are taken the next time; nobody waits.
_TAKE = """
WITH found AS (
    SELECT id, connector_id, quarter, count, last_at FROM connectors_receivedcount
    WHERE count > 0 ORDER BY id FOR UPDATE SKIP LOCKED
), emptied AS (
    UPDATE connectors_receivedcount AS c SET count = 0 FROM found WHERE c.id = found.id
), sums AS (
    SELECT connector_id, sum(count)::bigint AS n, max(last_at) AS last_at,
        COALESCE(sum(count) FILTER (WHERE (quarter AT TIME ZONE %(zone)s)::date = %(today)s), 0)::bigint AS today
    FROM found GROUP BY 1
)
UPDATE connectors_connector AS c SET
    alerts_received = c.alerts_received + s.n,
    alerts_today = CASE WHEN c.counted_on = %(today)s THEN c.alerts_today ELSE 0 END + s.today,
    counted_on = %(today)s,
    last_success_at = greatest(c.last_success_at, s.last_at),
    status = CASE WHEN c.status = 'unknown' THEN 'connected' ELSE c.status END
FROM sums AS s WHERE c.id = s.connector_id"""
_NEW_DAY = "UPDATE connectors_connector SET alerts_today = 0, counted_on = %s WHERE counted_on < %s"
_FORGET = "DELETE FROM connectors_receivedcount WHERE count = 0 AND quarter < %s"


def add(cur: Any, items: Iterable[Item]) -> None:
    """Within the transaction of their batch. What was refused, and what we say ourselves, is not received."""
    counts: dict[tuple[int, datetime], int] = {}
    last: dict[tuple[int, datetime], datetime] = {}
    start = end = datetime.min.replace(tzinfo=UTC)  # of the quarter of the item before: mostly the same
    for item in items:
        if item.connector_id is None or item.outcome is Outcome.REJECTED or item.source == OWN_SOURCE:
            continue
        at = item.received_at
        if not start <= at < end:
            at = at.astimezone(UTC)
            start = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
            end = start + QUARTER
        key = (item.connector_id, start)
        counts[key] = counts.get(key, 0) + 1
        if key not in last or item.received_at > last[key]:
            last[key] = item.received_at
    if counts:
        keys = sorted(counts)
        columns: list[list[Any]] = [[k[0] for k in keys], [k[1] for k in keys], [*map(counts.get, keys)]]
        columns.append([*map(last.get, keys)])
        cur.execute(_ADD, (os.getpid() % SHARDS, *map(pgtext.array, columns)))


def take_over(conn: psycopg.Connection[Any], zone: ZoneInfo, now: datetime | None = None) -> None:
    """Into the connectors' own counters; days begin by `zone`."""
    now = now or datetime.now(UTC)
    today = now.astimezone(zone).date()
    conn.execute(_TAKE, {"zone": zone.key, "today": today})
    conn.execute(_NEW_DAY, (today, today))
    conn.execute(_FORGET, (now - KEPT,))
