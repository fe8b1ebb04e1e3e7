"""What is kept how long, and how it goes: in small steps, none of which an ingest transaction has to wait for.

Days of the journal are detached concurrently, then dropped: a plain DROP of a partition locks the whole journal, and
behind one that waits every batch would wait too. A detach that did not finish is finished by a later step. Ended alerts
go with their history, a few hundred a transaction, under the fingerprint locks the engine and people take; a lock
somebody holds is passed over. Counts are never lost: what is too old to be kept by minute is folded into hours, and in
the end into totals that stand at the beginning of time, so that every sum stays what it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors, sql

from alerts import locks
from alerts.fingerprints import lock_key
from connectors import storage
from connectors.account import EARLIER, EARLIER_EVENTS, EPOCH, WAY
from connectors.events import KEEP_KEYS
from connectors.partitions import LOCK as PARTITION_LOCK
from connectors.partitions import ensure_partition
from opsconductor import pgtext

log = logging.getLogger(__name__)

ONE_AT_A_TIME = (locks.LOCK_CLASS, 5)
ALERT_BATCH = 500
HISTORY_BATCH = 5_000
COUNT_BATCH = 5_000
# The trap page and the chart read minutes of the last day; what is older they read by hours.
MINUTES_KEPT = timedelta(days=2)
COUNTS_KEPT = timedelta(days=35)
PROGRESS_KEPT = timedelta(days=30)
# Longer than they are compared: what was received within a minute of them may still wait in a spool.
INFORMS_KEPT = timedelta(hours=1)
LOCK_TIMEOUT_MS = 300  # below PostgreSQL's deadlock_timeout: a step gives way before anybody has to be sacrificed
MARK = "Retention removes this day."

# Waiting for a lock that others hold is no error: the next step tries again.
GIVES_WAY = (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected, errors.SerializationFailure)

Connect = Callable[[], psycopg.Connection[Any]]


@dataclass
class Result:
    """What a step did, or in a dry run what is to be done. `more`: there is work left."""

    days: list[date] = field(default_factory=list)
    held: dict[date, str] = field(default_factory=dict)  # days that are due and stay, and why
    alerts: int = 0
    history: int = 0
    reasons: int = 0  # why alerts were quiet
    counts: int = 0  # rows folded
    sockets: int = 0
    keys: int = 0
    progress: int = 0
    informs: int = 0
    more: bool = False
    busy: bool = False  # another process is at it

    def __bool__(self) -> bool:
        return bool(
            self.days or self.alerts or self.history or self.reasons or self.counts or self.sockets
            or self.keys or self.progress or self.informs
        )  # fmt: skip

    def sentences(self) -> Iterator[str]:
        for day in self.days:
            yield f"journal of {day}"
        for number, what in (
            (self.alerts, "ended alerts"),
            (self.history, "rows of their history"),
            (self.reasons, "reasons why alerts were quiet"),
            (self.counts, "counts folded into longer spans"),
            (self.sockets, "socket counts folded into the total"),
            (self.keys, "idempotency keys"),
            (self.progress, "marks of spool files"),
            (self.informs, "remembered informs"),
        ):
            if number:
                yield f"{number:,} {what}"


def step(
    connect: Connect,
    budget_seconds: float,
    *,
    journal_days: int,
    alert_days: int,
    now: datetime | None = None,
    dry_run: bool = False,
    thorough: bool = True,
    lock_timeout_ms: int = LOCK_TIMEOUT_MS,
) -> Result:
    """Do some of what is due for about so long. At least one step of each kind, so that none starves another.

    `thorough` looks everywhere. Without it the look is short on tables of any size, and finds all but what came late:
    alerts that were made after the time they ended at, counts of days that were folded before.
    """
    run = Retention(journal_days, alert_days, now or datetime.now(UTC), thorough)
    until = time.monotonic() + budget_seconds
    with connect() as conn:
        conn.execute("SELECT set_config('lock_timeout', %s, false)", (f"{lock_timeout_ms}ms",))
        if dry_run:
            return run.due(conn)
        row = conn.execute("SELECT pg_try_advisory_lock(%s, %s)", ONE_AT_A_TIME).fetchone()
        if not row or not row[0]:
            run.result.busy = True
            return run.result
        for job in (run.journal, run.alerts, run.reasons, run.counts, run.sockets, run.leftovers):
            for _ in job(conn):
                if time.monotonic() > until:
                    run.result.more = bool(run.result)  # what others held may be held for long: later, not at once
                    break
    return run.result


class Retention:
    """The jobs. Each is a generator that yields after every transaction, while there is more to do."""

    def __init__(self, journal_days: int, alert_days: int, now: datetime, thorough: bool = True) -> None:
        self.result = Result()
        self._now = now
        self._thorough = thorough
        # `journal_days` whole days and today.
        self._first_day = now.astimezone(UTC).date() - timedelta(days=journal_days)
        self._alerts_before = now - timedelta(days=alert_days)

    # --- the journal ------------------------------------------------------------------------------------

    def journal(self, conn: psycopg.Connection[Any]) -> Iterator[None]:
        for part in self._overdue(conn):
            try:
                held = self._remove_day(conn, part)
            except GIVES_WAY as error:
                # The other days wait with it: one can be detached at a time.
                self.result.held[part.day] = "It is being read; a later step removes it."
                log.debug("The journal of %s stays for now: %s", part.day, error)
                return
            if held:
                self.result.held[part.day] = held
            else:
                self.result.days.append(part.day)
                log.info("The journal of %s was removed: kept for longer than the retention.", part.day)
            yield

    def _overdue(self, conn: psycopg.Connection[Any]) -> list[storage.Partition]:
        """Oldest first, but before all others the one whose detach was begun: there may be one at a time."""
        parts = [p for p in storage.partitions(conn) if p.day < self._first_day]
        ours = [p for p in parts if p.attached or self._is_marked(conn, p)]
        return sorted(ours, key=lambda p: (not p.detaching, p.day))

    def _is_marked(self, conn: psycopg.Connection[Any], part: storage.Partition) -> bool:
        """A table that was detached by hand stays: somebody wanted to keep it."""
        row = conn.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (part.name,)).fetchone()
        return bool(row and row[0] == MARK)

    def _remove_day(self, conn: psycopg.Connection[Any], part: storage.Partition) -> str:
        """Empty when it is gone, else why it stays."""
        table = sql.Identifier(part.name)
        if part.detaching:
            # The journal no longer shows it; whatever waits in it is looked at below.
            conn.execute(sql.SQL("ALTER TABLE connectors_rawevent DETACH PARTITION {} FINALIZE").format(table))
            if not self._is_marked(conn, part):
                return "It was detached by hand, and stays as a table of its own."
        elif part.attached:
            waiting = self._pending(conn, table)
            if waiting:
                return f"{waiting:,} of its events are still pending; they are applied first."
            conn.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(MARK)))
            conn.execute(sql.SQL("ALTER TABLE connectors_rawevent DETACH PARTITION {} CONCURRENTLY").format(table))
        with conn.transaction():
            # Who makes partitions takes a detached one back; not between this look and the drop.
            conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", PARTITION_LOCK)
            row = conn.execute("SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass(%s)", (part.name,)).fetchone()
            if row:
                return "An event of that day came in meanwhile; a later step removes it."
            waiting = self._pending(conn, table)
            if not waiting:
                conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
                return ""
        conn.execute(sql.SQL("COMMENT ON TABLE {} IS NULL").format(table))
        ensure_partition(conn, part.day)
        return f"{waiting:,} of its events are still pending; they are applied first."

    @staticmethod
    def _pending(conn: psycopg.Connection[Any], table: sql.Identifier) -> int:
        row = conn.execute(sql.SQL("SELECT count(*) FROM {} WHERE outcome = 'pending'").format(table)).fetchone()
        return int(row[0]) if row else 0

    # --- alerts -----------------------------------------------------------------------------------------

    _ENDED = """
SELECT id, fingerprint FROM alerts_alert
WHERE condition <> 'raised' AND resolved_at < %s AND id > %s AND id < %s ORDER BY id LIMIT %s"""
    # What an open alert is explained by stays as long as that alert.
    _NEEDED = """
SELECT DISTINCT correlated_to_id FROM alerts_alert WHERE condition = 'raised' AND correlated_to_id IS NOT NULL"""
    _LOCK = "SELECT k FROM unnest(%s::bigint[]) AS k WHERE pg_try_advisory_xact_lock(k)"
    _STILL = """
SELECT id FROM alerts_alert
WHERE id = ANY(%s::uuid[]) AND condition <> 'raised' AND resolved_at < %s ORDER BY id FOR UPDATE SKIP LOCKED"""
    _HISTORY = """
DELETE FROM alerts_alerthistory WHERE id IN (
    SELECT id FROM alerts_alerthistory WHERE alert_id = ANY(%s::uuid[]) ORDER BY id LIMIT %s)"""
    _REASONS = "DELETE FROM alerts_suppression WHERE alert_id = ANY(%s::uuid[])"
    _ALERTS = "DELETE FROM alerts_alert WHERE id = ANY(%s::uuid[])"
    # An alert that stays open for years collects them; and one that went by another way leaves some behind.
    _OLD_REASONS = """
DELETE FROM alerts_suppression WHERE id = ANY(ARRAY(
    SELECT s.id FROM alerts_suppression AS s
    WHERE s.ended_at < %s
       OR (s.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM alerts_alert AS a WHERE a.id = s.alert_id))
    LIMIT %s FOR UPDATE SKIP LOCKED))"""

    def alerts(self, conn: psycopg.Connection[Any]) -> Iterator[None]:
        """In the order of their ids, which is that of time: what ended before a moment was mostly made before it, so
        younger ones need not be looked at."""
        last, end = UUID(int=0), self._end()
        needed: set[UUID] | None = None
        while True:
            found = conn.execute(self._ENDED, (self._alerts_before, last, end, ALERT_BATCH)).fetchall()
            if not found:
                return
            if needed is None:
                needed = {row[0] for row in conn.execute(self._NEEDED).fetchall()}
            last = found[-1][0]
            batch = [(alert, fingerprint) for alert, fingerprint in found if alert not in needed]
            try:
                while batch and not self._remove_alerts(conn, batch):
                    yield
            except GIVES_WAY as error:
                log.debug("Some ended alerts stay for now: %s", error)
            yield

    def _end(self) -> UUID:
        return UUID(int=(1 << 128) - 1) if self._thorough else _first_id(self._alerts_before)

    def _remove_alerts(self, conn: psycopg.Connection[Any], batch: list[tuple[UUID, str]]) -> bool:
        """One transaction. False while there is more history of these alerts than goes in one."""
        with conn.transaction():
            # Tried, never waited for. Somebody may be writing a note: it must not land beside an alert that is gone.
            # Who holds REACH alone locks no fingerprints.
            row = conn.execute("SELECT pg_try_advisory_xact_lock_shared(%s, %s)", (locks.LOCK_CLASS, locks.REACH))
            if not row.fetchone()[0]:  # type: ignore[index]
                return True
            keys = sorted({lock_key(fingerprint) for _, fingerprint in batch})
            mine = {row[0] for row in conn.execute(self._LOCK, (pgtext.array(keys),)).fetchall()}
            ids = [alert for alert, fingerprint in batch if lock_key(fingerprint) in mine]
            ids = [r[0] for r in conn.execute(self._STILL, (pgtext.array(ids), self._alerts_before)).fetchall()]
            history = conn.execute(self._HISTORY, (pgtext.array(ids), HISTORY_BATCH)).rowcount
            self.result.history += history
            if history >= HISTORY_BATCH:
                return False
            self.result.reasons += conn.execute(self._REASONS, (pgtext.array(ids),)).rowcount
            self.result.alerts += conn.execute(self._ALERTS, (pgtext.array(ids),)).rowcount
        return True

    def reasons(self, conn: psycopg.Connection[Any]) -> Iterator[None]:
        """What was over long ago of alerts that are still kept. It reads them all: once a day."""
        while self._thorough:
            with conn.transaction():
                row = conn.execute("SELECT pg_try_advisory_xact_lock_shared(%s, %s)", (locks.LOCK_CLASS, locks.REACH))
                free = row.fetchone()[0]  # type: ignore[index]
                gone = conn.execute(self._OLD_REASONS, (self._alerts_before, COUNT_BATCH)).rowcount if free else 0
            self.result.reasons += gone
            yield
            if gone < COUNT_BATCH:
                return

    # --- counts -----------------------------------------------------------------------------------------

    # What is taken out and what it is added to are never the same row: a total is not folded again.
    _FOLD = """
WITH old AS (
    DELETE FROM connectors_ingestcount WHERE id IN (
        SELECT id FROM connectors_ingestcount WHERE {which} ORDER BY minute LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
    RETURNING {minute} AS minute, {source} AS source, outcome, reason, count, moved
), added AS (
    INSERT INTO connectors_ingestcount AS c (minute, source, outcome, reason, count, moved)
    SELECT minute, source, outcome, reason, sum(count), sum(moved) FROM old GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (minute, source, outcome, reason) DO UPDATE
    SET count = c.count + EXCLUDED.count, moved = c.moved + EXCLUDED.moved
)
SELECT count(*) FROM old"""
    _HOUR = "date_bin('1 hour', minute, %(epoch)s)"
    _TO_HOURS = _FOLD.format(
        which=f"minute < %(before)s AND minute > %(after)s AND minute <> {_HOUR}", minute=_HOUR, source="source"
    )
    # Of those who sent long ago only the way they came is kept: forged senders would fill the table for ever.
    _TO_TOTALS = _FOLD.format(
        which="minute < %(before)s AND minute > %(epoch)s",
        minute="%(epoch)s::timestamptz",
        source=f"CASE {WAY} WHEN 'datagram' THEN '{EARLIER}' WHEN 'own' THEN source ELSE '{EARLIER_EVENTS}' END",
    )

    def counts(self, conn: psycopg.Connection[Any]) -> Iterator[None]:
        totals, hours = self._midnight(COUNTS_KEPT), self._midnight(MINUTES_KEPT)
        for query, before, after in (
            (self._TO_TOTALS, totals, EPOCH),
            (self._TO_HOURS, hours, totals if self._thorough else hours - MINUTES_KEPT),
        ):
            params = {"before": before, "after": after, "epoch": EPOCH, "batch": COUNT_BATCH}
            while (folded := self._fold(conn, query, params)) > 0:
                self.result.counts += folded
                yield
                if folded < COUNT_BATCH:
                    break

    _SOCKETS = """
WITH old AS (
    DELETE FROM connectors_socketcount WHERE id IN (
        SELECT id FROM connectors_socketcount WHERE minute < %(before)s AND minute > %(epoch)s
        ORDER BY minute LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
    RETURNING address, received, dropped
), added AS (
    INSERT INTO connectors_socketcount AS c (minute, instance, address, received, dropped)
    SELECT %(epoch)s::timestamptz, '', address, sum(received), sum(dropped) FROM old GROUP BY 3 ORDER BY 3
    ON CONFLICT (minute, instance, address) DO UPDATE
    SET received = c.received + EXCLUDED.received, dropped = c.dropped + EXCLUDED.dropped
)
SELECT count(*) FROM old"""

    def sockets(self, conn: psycopg.Connection[Any]) -> Iterator[None]:
        params = {"before": self._midnight(COUNTS_KEPT), "epoch": EPOCH, "batch": COUNT_BATCH}
        while (folded := self._fold(conn, self._SOCKETS, params)) > 0:
            self.result.sockets += folded
            yield
            if folded < COUNT_BATCH:
                return

    def _fold(self, conn: psycopg.Connection[Any], query: str, params: dict[str, Any]) -> int:
        try:
            row = conn.execute(query, params).fetchone()
        except GIVES_WAY as error:
            log.debug("Counts stay for now: %s", error)
            return 0
        return int(row[0]) if row else 0

    def _midnight(self, length: timedelta) -> datetime:
        """Of the day so long ago: hours and days are folded whole."""
        day = (self._now - length).astimezone(UTC).date()
        return datetime(day.year, day.month, day.day, tzinfo=UTC)

    # --- small things -----------------------------------------------------------------------------------

    def _small(self) -> tuple[tuple[str, str, str, datetime], ...]:
        return (
            ("keys", "connectors_idempotencykey", "created_at", self._now - KEEP_KEYS),
            ("progress", "connectors_spoolprogress", "updated_at", self._now - PROGRESS_KEPT),
            ("informs", "connectors_informseen", "seen_at", self._now - INFORMS_KEPT),
        )

    def leftovers(self, conn: psycopg.Connection[Any]) -> Iterator[None]:
        for name, table, column, before in self._small():
            query = sql.SQL(
                "DELETE FROM {t} WHERE ctid = ANY(ARRAY("
                "SELECT ctid FROM {t} WHERE {c} < %s LIMIT %s FOR UPDATE SKIP LOCKED))"
            ).format(t=sql.Identifier(table), c=sql.Identifier(column))
            while (gone := conn.execute(query, (before, COUNT_BATCH)).rowcount) > 0:
                setattr(self.result, name, getattr(self.result, name) + gone)
                yield
                if gone < COUNT_BATCH:
                    break

    # --- a look, without a touch ------------------------------------------------------------------------

    def due(self, conn: psycopg.Connection[Any]) -> Result:
        """What is to be done, counted."""
        result = self.result
        for part in self._overdue(conn):
            waiting = self._pending(conn, sql.Identifier(part.name))
            if waiting:
                result.held[part.day] = f"{waiting:,} of its events are still pending; they are applied first."
            else:
                result.days.append(part.day)
        ended = "FROM alerts_alert AS a WHERE a.condition <> 'raised' AND a.resolved_at < %s AND a.id < %s"
        limits = (self._alerts_before, self._end())
        result.alerts = _one(
            conn,
            f"SELECT count(*) {ended} AND NOT EXISTS (SELECT 1 FROM ({self._NEEDED}) AS n "  # noqa: S608
            "WHERE n.correlated_to_id = a.id)",
            limits,
        )
        result.history = _one(
            conn,
            f"SELECT count(*) FROM alerts_alerthistory WHERE alert_id IN (SELECT a.id {ended})",  # noqa: S608
            limits,
        )
        result.reasons = _one(
            conn, "SELECT count(*) FROM alerts_suppression WHERE ended_at < %s", (self._alerts_before,)
        )
        oldest = self._midnight(COUNTS_KEPT)
        result.counts = _one(
            conn,
            "SELECT count(*) FROM connectors_ingestcount WHERE minute > %s AND (minute < %s OR minute < %s "
            "AND minute <> date_bin('1 hour', minute, %s))",
            (EPOCH, oldest, self._midnight(MINUTES_KEPT), EPOCH),
        )
        result.sockets = _one(
            conn, "SELECT count(*) FROM connectors_socketcount WHERE minute > %s AND minute < %s", (EPOCH, oldest)
        )
        for name, table, column, before in self._small():
            setattr(result, name, _one(conn, f"SELECT count(*) FROM {table} WHERE {column} < %s", (before,)))  # noqa: S608
        return result


def _first_id(at: datetime) -> UUID:
    """Smaller than every UUIDv7 made at that moment or later (alerts/ids.py)."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)


def _one(conn: psycopg.Connection[Any], query: str, params: tuple[Any, ...]) -> int:
    row = conn.execute(query, params).fetchone()
    return int(row[0]) if row else 0
