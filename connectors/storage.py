"""What the database takes up on the disk, and for how many days the disk will last."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

PARTITION = re.compile(r"connectors_rawevent_(\d{4})(\d{2})(\d{2})")
PARTITION_SQL = r"^connectors_rawevent_\d{8}$"
GROWTH_DAYS = 7
DAY_SECONDS = 86_400

# What is listed on its own; the rest is summed up.
TABLES = {
    "alerts_alert": "Alerts",
    "alerts_alerthistory": "Alert history",
    "connectors_ingestcount": "Counts by minute and source",
}

_SIZES = """
SELECT relname, pg_table_size(oid), pg_indexes_size(oid), nullif(reltuples, -1)::bigint FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname = ANY(%s)"""

_PARTITIONS = """
SELECT c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid), nullif(c.reltuples, -1)::bigint,
       i.inhparent IS NOT NULL, coalesce(i.inhdetachpending, false)
FROM pg_class AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = 'connectors_rawevent'::regclass
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname ~ %s ORDER BY c.relname"""

# By the sequence, which is in the order of time: the first rows tell.
_OLDEST = """
SELECT min(created_at) FROM (SELECT created_at FROM alerts_alerthistory ORDER BY id LIMIT 100) AS first_ones"""


@dataclass(frozen=True)
class Table:
    label: str
    table: int  # octets
    indexes: int
    rows: int | None  # as the planner estimates; None: nobody has counted yet

    @property
    def total(self) -> int:
        return self.table + self.indexes


@dataclass(frozen=True)
class Partition:
    """A day of the journal; one that is not attached is on its way out, or was taken out by a person."""

    name: str
    day: date
    table: int
    indexes: int
    rows: int | None
    attached: bool = True
    detaching: bool = False

    @property
    def total(self) -> int:
        return self.table + self.indexes


@dataclass(frozen=True)
class Disk:
    """Of the file system the database lies on. None: it is on another host, or may not be read."""

    free: int | None = None
    size: int | None = None
    path: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Forecast:
    """At the present rate, with what retention takes away each day."""

    per_day: int  # octets the journal and the alerts grow by
    days: int | None  # until the disk is full; None: never, retention keeps up
    peak: int  # octets still to come until as much goes as comes
    measured_days: int  # whole days the rate was taken from; 0: today's, scaled up


@dataclass(frozen=True)
class Storage:
    tables: list[Table] = field(default_factory=list)
    partitions: list[Partition] = field(default_factory=list)
    database: int = 0
    disk: Disk = Disk()
    forecast: Forecast | None = None
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    @property
    def journal(self) -> Table:
        return Table(
            "Journal",
            sum(p.table for p in self.partitions),
            sum(p.indexes for p in self.partitions),
            sum(counted) if (counted := [p.rows for p in self.partitions if p.rows is not None]) else None,
        )


def day_of(name: str) -> date | None:
    found = PARTITION.fullmatch(name)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def partitions(conn: Any) -> list[Partition]:
    """The days of the journal, oldest first, attached or not."""
    found = []
    for name, table, indexes, rows, attached, detaching in _all(conn, _PARTITIONS, [PARTITION_SQL]):
        day = day_of(name)
        if day is not None and table is not None:  # null: dropped a moment ago
            found.append(Partition(name, day, table, indexes or 0, rows, attached, detaching))
    return found


def look(conn: Any, journal_days: int, alert_days: int, now: datetime | None = None) -> Storage:
    """Sizes and forecast. `conn` is a psycopg connection or a Django cursor."""
    now = now or datetime.now(UTC)
    days = partitions(conn)
    sizes = {name: (table, indexes, rows) for name, table, indexes, rows in _all(conn, _SIZES, [list(TABLES)])}
    database = int(_all(conn, "SELECT pg_database_size(current_database())", [])[0][0])
    tables = [Table(label, *sizes[name]) for name, label in TABLES.items() if name in sizes]
    disk = _disk(conn)
    oldest = _all(conn, _OLDEST, [])[0][0]
    kept_days = 0.0 if oldest is None else (now - oldest).total_seconds() / DAY_SECONDS
    seconds = (now - datetime(now.year, now.month, now.day, tzinfo=UTC)).total_seconds()
    forecast = foresee(
        disk.free,
        [(p.day, p.total) for p in days],
        sum(t.total for t in tables),
        kept_days,
        today=now.date(),
        passed=seconds / DAY_SECONDS,
        journal_days=journal_days,
        alert_days=alert_days,
    )
    return Storage(tables, days, database, disk, forecast, now)


def foresee(
    free: int | None,
    days: Sequence[tuple[date, int]],
    others: int,
    others_days: float,
    *,
    today: date,
    passed: float,
    journal_days: int,
    alert_days: int,
) -> Forecast:
    """Each day to come adds as much as the last ones did, and retention takes the oldest away.

    `days` are the sizes of the journal's days, `others` the octets of all that is kept with the alerts and
    `others_days` how long it took to gather them; `passed` is the part of today that is over.
    """
    sizes = {day: size for day, size in days if day <= today}
    whole = [sizes[day] for n in range(1, GROWTH_DAYS + 1) if (day := today - timedelta(days=n)) in sizes]
    begun = next((n for n, size in enumerate(reversed(whole)) if size > 200_000), len(whole))
    whole = whole[: len(whole) - begun]  # days before the first event, which hold nothing but empty indexes
    # Today's rate too, once it says something: a flood that began this morning is tomorrow's disk.
    scaled = int(sizes.get(today, 0) / max(passed, 0.05))
    journal = max(sum(whole) // len(whole), scaled if passed > 0.2 else 0) if whole else scaled
    alerts = int(others / max(1.0, min(others_days, alert_days)))
    used = peak = max(0, journal - sizes.get(today, 0))
    full: int | None = 0 if free is not None and used > free else None
    still = max(0.0, alert_days - others_days)  # days until alerts go as fast as they come
    for n in range(1, max(journal_days, alert_days) + 2):
        goes = today + timedelta(days=n - journal_days - 1)
        used += journal - (sizes.get(goes, 0) if goes < today else journal) + (alerts if n <= still else 0)
        peak = max(peak, used)
        if full is None and free is not None and used > free:
            full = n
    return Forecast(journal + alerts, full, peak, len(whole))


def _disk(conn: Any) -> Disk:
    """Only where the server shares our file system: a path of another host would say something about the wrong disk."""
    embedded = Path(settings.VAR_DIR) / "postgresql"
    host = str(settings.DATABASES["default"].get("HOST") or "")
    path: Path | None = None
    if host.startswith("/"):
        path = embedded if embedded.is_dir() and _is_embedded(host) else _data_directory(conn)
    if path is None:
        return Disk(reason="The database is on another host, or does not tell where its data lies.")
    try:
        found = os.statvfs(path)
    except OSError as error:
        return Disk(reason=f"{path} cannot be looked at: {error.strerror}.")
    return Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, str(path))


def _is_embedded(host: str) -> bool:
    from opsconductor import embedded

    return Path(host) == embedded.run_dir(Path(settings.VAR_DIR))


def _data_directory(conn: Any) -> Path | None:
    may = "pg_has_role('pg_read_all_settings', 'member')"
    rows = _all(conn, f"SELECT setting FROM pg_settings WHERE name = 'data_directory' AND {may}", [])  # noqa: S608
    return Path(rows[0][0]) if rows and rows[0][0] else None


def _all(conn: Any, query: str, params: list[Any]) -> list[Any]:
    """Of a psycopg connection, whose execute returns the cursor, or of a Django cursor, whose does not."""
    answer = conn.execute(query, params)
    return list((answer or conn).fetchall())
