"""Days of the journal. Made ahead, so that no batch ever waits for one; made on the spot when one is missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

DAYS_AHEAD = 14
LOCK = (8632, 3)


_STATE = """
SELECT c.oid IS NOT NULL, i.inhparent IS NOT NULL
FROM (SELECT to_regclass(%s) AS oid) AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = 'connectors_rawevent'::regclass"""


def partition_name(day: date) -> str:
    return f"connectors_rawevent_{day:%Y%m%d}"


def ensure_partition(conn: psycopg.Connection[Any], day: date) -> bool:
    """Create the partition of one UTC day on a connection of its own; True when it was missing.

    CREATE ... LIKE, then ATTACH: a plain CREATE ... PARTITION OF would lock out every writer of the journal.
    """
    name = partition_name(day)
    with conn.transaction(), conn.cursor() as cur:
        cur.execute("SELECT pg_advisory_xact_lock(%s, %s)", LOCK)
        cur.execute(_STATE, (name,))
        exists, attached = cur.fetchone() or (False, False)
        if attached:
            return False
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        table = sql.Identifier(name)
        if not exists:  # a table that was detached by hand is taken back as it is
            cur.execute(
                sql.SQL("CREATE TABLE {} (LIKE connectors_rawevent INCLUDING DEFAULTS INCLUDING CONSTRAINTS)").format(
                    table
                )
            )
        cur.execute(
            sql.SQL("ALTER TABLE connectors_rawevent ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                table, sql.Literal(start.isoformat()), sql.Literal((start + timedelta(days=1)).isoformat())
            )
        )
    return True


def ensure_ahead(conn: psycopg.Connection[Any], today: date | None = None) -> int:
    """Yesterday (late events around midnight) to DAYS_AHEAD; how many were missing."""
    today = today or datetime.now(UTC).date()
    return sum(ensure_partition(conn, today + timedelta(days=n)) for n in range(-1, DAYS_AHEAD + 1))
