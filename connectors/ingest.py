"""The transaction of a batch: locks, state, decisions, alerts, journal, history, commit, doorbell; and its retries.

The one entry for events into the engine. `Ingest.store` returns when the batch is committed; until then whoever
waits for an answer (an inform) gets none. A batch is applied once, also when the connection is lost in the middle
of its COMMIT: the server is asked what became of the transaction before anything runs again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg import errors

from alerts import correlation, engine, fingerprints, locks, store
from alerts.choices import Outcome
from alerts.correlation import ReachNeeded
from alerts.ids import uuid7
from alerts.surroundings import PATIENT, VERSIONS, Holder, Stale
from alerts.types import NormalizedAlert
from alerts.wanted import MOST_OPEN, Wanted
from connectors import claims, journal, received
from connectors.journal import Item
from connectors.partitions import ensure_partition
from opsconductor import db, doorbell
from opsconductor.exceptions import sentence

log = logging.getLogger(__name__)

# How long an inform sent again is recognised (RFC 3584 leaves it to the receiver; net-snmp retries within seconds).
INFORM_MEMORY = timedelta(seconds=60)

BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

# The data's fault, and it would be again: these events are applied one by one. Everything else the database says
# (away, full, read-only, not migrated, locks, privileges) is not, and the batch runs again as it is.
POISON = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded)

_INFORMS = """
INSERT INTO connectors_informseen AS i (source, port, request_id, payload_hash, seen_at)
SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::text[], %s::timestamptz[])
ON CONFLICT (source, port, request_id, payload_hash) DO UPDATE SET seen_at = EXCLUDED.seen_at
    WHERE i.seen_at < EXCLUDED.seen_at - %s
RETURNING source, port, request_id, payload_hash"""


# A spool is read in one direction.
_PLACE = """
INSERT INTO connectors_spoolprogress AS p (spool, position, updated_at) VALUES (%s, %s, now())
ON CONFLICT (spool) DO UPDATE SET position = GREATEST(p.position, EXCLUDED.position), updated_at = now()"""


class Stopped(Exception):
    """Asked to stop while the database was away; the batch is not stored."""


class Away(Exception):
    """The database took no events for as long as this writer may wait.

    `done` items of the batch are committed. The next `doubtful` ones were under way when the connection was lost: the
    server knows, by `xid`, what became of them. The rest never got there.
    """

    def __init__(self, done: int, doubtful: int, xid: str | None) -> None:
        super().__init__("The database does not take events.")
        self.done = done
        self.doubtful = doubtful
        self.xid = xid


class Place(NamedTuple):
    """Where events were read from that are stored once, however often this is tried: a spool, how far it has been
    stored when the first, the second ... of them are, and when all are."""

    spool: UUID
    after: Sequence[int]
    end: int


class Ingest:
    """Stores batches on one connection of its own. One per thread.

    `stopped` is asked between attempts; when it says yes while the database is away, `store` raises Stopped. With
    `patience`, in seconds, it raises Away after so long; without, it waits as long as it takes.
    """

    def __init__(
        self,
        *,
        application: str = "ingest",
        stopped: Callable[[], bool] | None = None,
        patience: float | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.clock = clock or _utc_now
        self.surroundings = Holder()
        self.database_away_since: float | None = None
        self._application = application
        self._stopped = stopped or (lambda: False)
        self._patience = patience
        self._failing_since: float | None = None
        self._working_since: float | None = None  # with the database, without an answer
        self._conn: psycopg.Connection[Any] | None = None
        self._xid: str | None = None
        self._day_missing = False

    def store(
        self,
        items: Sequence[Item],
        extra: Counter[journal.Bucket] | None = None,
        place: Place | None = None,
        doubtful: str | None = None,
    ) -> None:
        """Commit a batch, whatever it takes, and ring. Every item leaves with its outcome.

        `extra` counts what was received and could not be kept; it commits with the batch, as does how far `place` has
        come. `doubtful` is the transaction of an earlier attempt whose end nobody saw.

        Raises Stopped and Away. Data the database refuses never stops the batch: it is journalled as pending and its
        events are applied one by one; the ones at fault end as failed, with their traceback.
        """
        done = 0
        self._working_since = time.monotonic()
        try:
            cut = parts(items, extra)
            for number, (part, counts) in enumerate(cut, 1):
                step = None
                if place is not None:
                    end = place.end if number == len(cut) else place.after[done + len(part) - 1]
                    step = place._replace(end=end)
                try:
                    self._store(part, counts, step, doubtful)
                except Away as away:
                    away.done = done
                    raise
                done += len(part)
        finally:
            self._working_since = None
        self._is_back()
        doorbell.ring()

    def _store(
        self,
        items: Sequence[Item],
        extra: Counter[journal.Bucket] | None,
        place: Place | None = None,
        doubtful: str | None = None,
    ) -> None:
        attempt = 0
        fixed = [(item.outcome, item.reason) for item in items]
        self._xid = doubtful
        while True:
            try:
                if attempt or doubtful:
                    if self._is_committed(items):
                        self._note_place(place)
                        return
                    self._make_missing_days(items)
                for item, (outcome, reason) in zip(items, fixed, strict=True):
                    item.outcome, item.reason, item.alert_id, item.fingerprint = outcome, reason, None, ""
                self._xid = None
                self._transaction(items, extra=extra, place=place)
                return
            except Stopped:
                raise
            except Exception as error:
                if self._is_lasting(error, attempt):
                    self._one_by_one(items, error, extra)
                    self._note_place(place)
                    return
                try:
                    self._wait(attempt, error, impatient=True)
                except Away as away:
                    for item, (outcome, reason) in zip(items, fixed, strict=True):
                        item.outcome, item.reason, item.alert_id, item.fingerprint = outcome, reason, None, ""
                    away.doubtful, away.xid = (len(items), self._xid) if self._xid else (0, None)
                    raise
                attempt += 1

    def _is_lasting(self, error: Exception, attempt: int) -> bool:
        """Whether trying the same again must fail again."""
        if isinstance(error, errors.CheckViolation) and "no partition of relation" in str(error):
            self._day_missing = True
            return False
        if isinstance(error, errors.UniqueViolation):
            # Most likely our own earlier attempt, landed after we asked; the next look will find it.
            return attempt > len(BACKOFF_SECONDS)
        return is_lasting(error)

    def away_seconds(self) -> float:
        """How long the database has been refusing this writer's events; 0 while it takes them. Any thread may ask."""
        since = self.database_away_since
        return 0.0 if since is None else round(time.monotonic() - since, 1)

    def hang_up(self, after: float) -> bool:
        """End the connection when it has been without an answer for so many seconds; any thread may. True when it did.

        A server that stands still, or a network that swallows packets, would otherwise hold up everything behind it.
        """
        since, conn = self._working_since, self._conn
        if since is None or conn is None or time.monotonic() - since < after:
            return False
        self._working_since = time.monotonic()
        try:
            with socket.socket(fileno=os.dup(conn.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
        except (OSError, psycopg.Error):
            return False  # it is gone already
        return True

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    # --- one transaction --------------------------------------------------------------------------------

    def _transaction(
        self,
        items: Sequence[Item],
        pending: Item | None = None,
        extra: Counter[journal.Bucket] | None = None,
        place: Place | None = None,
    ) -> None:
        """One batch, with what is true now: when the configuration was edited meanwhile, or more alerts are concerned
        than was thought, nothing of it has happened and it runs again."""
        fixed = [(item.outcome, item.reason) for item in items]
        exclusive, stale = False, 0
        while True:
            try:
                events = [item.event for item in items if item.event is not None and item.outcome is None]
                if events:
                    if 0 < stale < PATIENT or self.surroundings.value.versions is None:
                        with self._connected().cursor() as cur:
                            self.surroundings.fresh(cur)
                    exclusive = exclusive or self.surroundings.value.reaches(events)
                self._attempt(items, pending, extra, place, exclusive, stale >= PATIENT)
                return
            except (Stale, ReachNeeded) as again:
                stale += isinstance(again, Stale)
                exclusive = exclusive or isinstance(again, ReachNeeded)
                for item, (outcome, reason) in zip(items, fixed, strict=True):
                    item.outcome, item.reason, item.alert_id, item.fingerprint = outcome, reason, None, ""

    def _attempt(
        self,
        items: Sequence[Item],
        pending: Item | None,
        extra: Counter[journal.Bucket] | None,
        place: Place | None,
        exclusive: bool,
        reload: bool = False,
    ) -> None:
        """engine.md's order of a batch. With `pending`, that one item's journal row exists already. With `reload` the
        configuration is read under REACH, where edits have to wait."""
        conn = self._connected()
        with conn.transaction(), conn.cursor() as cur:
            cur.execute("SELECT pg_current_xact_id()::text")
            self._xid = cur.fetchone()[0]  # type: ignore[index]
            events = [item for item in items if item.event is not None and item.outcome is None]
            keys = [engine.targets(item.event) for item in events]  # type: ignore[arg-type]
            surroundings = self.surroundings.value
            wanted = Wanted.of([item.event for item in events], keys)  # type: ignore[misc]
            if events:
                locks.lock_reach(cur, exclusive=exclusive)
                if reload:
                    surroundings = self.surroundings.fresh(cur)
                    if not exclusive and surroundings.reaches([item.event for item in events]):  # type: ignore[misc]
                        raise ReachNeeded
                wanted.look_for_wildcards(cur, surroundings, exclusive=exclusive)
                # Whoever holds REACH alone is alone, and needs no other lock.
                prints = () if exclusive else wanted.fingerprints
                surroundings = self.surroundings.check(locks.lock_fingerprints(cur, prints, VERSIONS))
            now = self.clock()  # under the locks: a window may have begun while they were waited for
            if pending is not None and not self._still_pending(cur, pending):
                return  # another process finished it; the item carries what became of it
            repeated = self._mark_duplicates(cur, [i for i in items if i.inform and pending is None])
            if claims.mark_sent_again(cur, items, waited=place is not None) or repeated:
                kept = [(i, k) for i, k in zip(events, keys, strict=True) if i.outcome is None]
                events, keys = [i for i, _ in kept], [k for _, k in kept]
            history: list[engine.HistoryRow] = []
            for item in events:
                item.event.withheld = item.withheld  # type: ignore[union-attr]
            if events:
                states = store.read_states(cur, wanted.fingerprints, now)
                plan = engine.decide(
                    [i.event for i in events],  # type: ignore[misc]
                    keys,
                    states,
                    surroundings.policy,
                    uuid7,
                    aliases=wanted.aliases,
                    identities=wanted.identities,
                )
                for item, decision in zip(events, plan.decisions, strict=True):
                    item.outcome, item.alert_id, item.fingerprint = (
                        decision.outcome,
                        decision.alert_id,
                        decision.fingerprint,
                    )
                history = correlation.apply(cur, plan, surroundings, now, exclusive=exclusive)
            if pending is None:
                journal.copy_rows(cur, items)
                journal.count(cur, journal.tally(items) + (extra or Counter()))
                received.add(cur, items)
            else:
                journal.finish(cur, pending)
                moved = Counter({journal.bucket(pending): 1})
                moved[(*journal.bucket(pending)[:2], Outcome.PENDING.value, "")] = -1
                journal.count(cur, moved)
            if place is not None:
                cur.execute(_PLACE, (place.spool, place.end))
            store.write_history(cur, history, now)

    def _note_place(self, place: Place | None) -> None:
        """Events that are stored already, by an attempt that could not say so or one by one."""
        if place is not None:
            self._connected().execute(_PLACE, (place.spool, place.end))

    def _still_pending(self, cur: Any, item: Item) -> bool:
        """Another process may have finished it since it was read; then the item takes over what that one wrote."""
        cur.execute(
            "SELECT outcome, reason, alert_id, fingerprint FROM connectors_rawevent "
            "WHERE received_at = %s AND event_key = %s FOR UPDATE",
            (item.received_at, item.event_key),
        )
        row = cur.fetchone()
        if row is not None and row[0] == Outcome.PENDING:
            return True
        if row is not None:
            item.outcome, item.reason, item.alert_id, item.fingerprint = Outcome(row[0]), row[1], row[2], row[3]
        return False

    def _mark_duplicates(self, cur: Any, informs: Sequence[Item]) -> bool:
        """Informs that were seen before, in this batch or within a minute, are duplicates; True when there are any."""
        first: dict[tuple[str, int, int, str], Item] = {}
        repeated = []
        for item in informs:
            if item.inform is None:
                continue
            key = (item.inform.source, item.inform.port, item.inform.request_id, item.inform.payload_hash)
            if first.setdefault(key, item) is not item:
                repeated.append(item)
        if not first:
            return False
        # By the time it was received, not stored: an outage in between must not make a repetition look new.
        rows = sorted((*key, item.received_at) for key, item in first.items())
        cur.execute(_INFORMS, [*([list(c) for c in zip(*rows, strict=True)]), INFORM_MEMORY])
        new = set(cur.fetchall())
        repeated += [item for key, item in first.items() if key not in new]
        for item in repeated:
            item.outcome = Outcome.DUPLICATE
        return bool(repeated)

    # --- trouble ----------------------------------------------------------------------------------------

    def ask(self, query: LiteralString, params: Sequence[Any]) -> tuple[Any, ...] | None:
        """A row, for small questions between two batches by this writer's thread. Raises psycopg.Error."""
        self._working_since = time.monotonic()
        try:
            return self._connected().execute(query, params).fetchone()
        finally:
            self._working_since = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            self._conn = db.connect(application=self._application, settings=db.BY_INDEX)
        return self._conn

    def _wait(self, attempt: int, error: Exception, impatient: bool = False) -> None:
        """Back off; say the first lasting failure once. A connection that is lost or leads to a standby is given up.

        `impatient` where the batch can be put aside whole: raises Away when this writer's patience is over.
        """
        conn = self._conn
        if conn is not None and (conn.closed or conn.broken or isinstance(error, errors.ReadOnlySqlTransaction)):
            conn.close()
            self._conn = None
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        if attempt >= 2 and self.database_away_since is None:
            self.database_away_since = self._failing_since
            log.error("The database does not take events (%s). They wait; trying again.", sentence(error))
        if impatient and self._patience is not None and time.monotonic() - self._failing_since >= self._patience:
            if self.database_away_since is None:
                self.database_away_since = self._failing_since
                log.error("The database does not take events (%s).", sentence(error))
            raise Away(0, 0, None) from error
        if self._stopped():
            raise Stopped from error
        time.sleep(BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)])

    def _is_back(self) -> None:
        self._failing_since = None
        if self.database_away_since is not None:
            log.warning("The database takes events again after %.1f s.", time.monotonic() - self.database_away_since)
            self.database_away_since = None

    def _is_committed(self, items: Sequence[Item]) -> bool:
        """Whether an earlier attempt of this batch was committed although its connection was lost.

        The journal answers: its rows commit with everything else. The transaction's status only says whether it is
        still under way; on its own it proves nothing, because a crashed server may give the same id out again.
        """
        if self._xid is None:
            return False
        asked_at = time.monotonic()
        with self._connected().cursor() as cur:
            while (status := self._status(cur)) == "in progress":
                if self._stopped():
                    raise Stopped
                if self._patience is not None and time.monotonic() - asked_at >= self._patience:
                    # For all that is known it may be somebody else's, and take hours.
                    raise TimeoutError(f"Transaction {self._xid} is still under way.")
                time.sleep(0.05)
            rows = [item for item in items if item.journalled]
            if not rows:  # nothing but counts of refusals
                return status == "committed"
            cur.execute(
                "SELECT count(*) FROM connectors_rawevent WHERE received_at = ANY(%s) AND event_key = ANY(%s)",
                ([i.received_at for i in rows], [i.event_key for i in rows]),
            )
            # All or none are ours; some alone are another process's, which took over a part of what we hold.
            return cur.fetchone()[0] == len(rows)  # type: ignore[index]

    def _status(self, cur: Any) -> str:
        try:
            cur.execute("SELECT pg_xact_status(%s::xid8)", (self._xid,))
            return str(cur.fetchone()[0])
        except errors.InvalidParameterValue:  # "transaction ID is in the future": another server answers now
            return "unknown"

    def _make_missing_days(self, items: Sequence[Item]) -> None:
        """A missing day of the journal is the one violation that is not the data's fault."""
        if not self._day_missing:
            return
        with db.connect(application="partitions") as conn:
            for day in sorted({item.received_at.astimezone(UTC).date() for item in items}):
                ensure_partition(conn, day)
        self._day_missing = False

    # --- one by one -------------------------------------------------------------------------------------

    def _one_by_one(self, items: Sequence[Item], error: Exception, extra: Counter[journal.Bucket] | None) -> None:
        """Something in the batch cannot be applied: journal it all as pending, then apply each event alone."""
        log.error(
            "A batch of %d events could not be applied (%s); applying them one by one.", len(items), sentence(error)
        )
        for item in items:
            if item.event is not None:
                item.outcome, item.reason, item.alert_id, item.fingerprint = Outcome.PENDING, "", None, ""
        if extra:
            self._journal_only([], extra)
        self._journal_only(items)
        for item in items:
            if item.outcome is Outcome.PENDING:
                self.finish_pending(item)

    def _journal_only(
        self, items: Sequence[Item], extra: Counter[journal.Bucket] | None = None, bare: bool = False
    ) -> None:
        """Journal rows and counts, nothing else; informs that were seen before become duplicates.

        Rows at fault are found by halves; one that is refused even bare can only be said.
        """
        attempt = 0
        self._xid = None
        before = [item.outcome for item in items]
        while True:
            try:
                if attempt:
                    if self._is_committed(items):
                        return
                    self._make_missing_days(items)
                for item, outcome in zip(items, before, strict=True):
                    item.outcome = outcome
                conn = self._connected()
                with conn.transaction(), conn.cursor() as cur:
                    cur.execute("SELECT pg_current_xact_id()::text")
                    self._xid = cur.fetchone()[0]  # type: ignore[index]
                    self._mark_duplicates(cur, [i for i in items if i.inform and not bare])
                    claims.mark_sent_again(cur, [] if bare else items, waited=True)
                    journal.insert_once(cur, items)
                    journal.count(cur, journal.tally(items) + (extra or Counter()))
                    received.add(cur, items)
                return
            except Stopped:
                raise
            except Exception as error:
                if not self._is_lasting(error, attempt):
                    self._wait(attempt, error)
                    attempt += 1
                    continue
                if len(items) > 1:
                    half = len(items) // 2
                    self._journal_only(items[:half], bare=bare)
                    self._journal_only(items[half:], bare=bare)
                elif items and not bare:
                    self._journal_only([self._bared(items[0], error)], bare=True)
                else:
                    log.error("%d events cannot be journalled at all (%s): %s", len(items), sentence(error), extra)
                return

    def _bared(self, item: Item, error: Exception) -> Item:
        """What cannot be refused of an event: its datagram and where it came from."""
        log.error("Event %s from %s cannot be journalled as it is: %s", item.event_key, item.source, sentence(error))
        item.outcome, item.reason = Outcome.FAILED, type(error).__name__
        item.error = sentence(error).replace("\x00", "")
        item.event, item.data, item.device_ip, item.subject, item.fingerprint = None, None, None, "", ""
        item.inform, item.alert_id = None, None
        item.source, item.kind = item.source[:200].replace("\x00", ""), item.kind[:40].replace("\x00", "")
        return item

    def finish_pending(self, item: Item) -> None:
        """Apply one event whose journal row is pending. What fails for good ends as failed, with its traceback."""
        attempt = 0
        while True:
            try:
                item.outcome, item.reason = None, ""
                self._transaction([item], pending=item)
                return
            except Stopped:
                raise
            except Exception as error:
                if self._is_lasting(error, attempt):
                    self.fail_pending(item, error)
                    return
                self._wait(attempt, error)
                attempt += 1

    def settle_pending(self, item: Item, outcome: Outcome, reason: str = "", error: str = "") -> None:
        """Give a pending row an outcome that needs no engine; where even that fails it stays pending, and is said."""
        attempt = 0
        while True:
            try:
                item.event, item.alert_id, item.fingerprint = None, None, ""
                item.outcome, item.reason, item.error = outcome, reason, error
                self._transaction([item], pending=item)
                return
            except Stopped:
                raise
            except Exception as failure:
                if self._is_lasting(failure, attempt):
                    log.exception("Event %s from %s stays pending.", item.event_key, item.source)
                    return
                self._wait(attempt, failure)
                attempt += 1

    def fail_pending(self, item: Item, error: BaseException) -> None:
        """Mark a pending event as failed; it can be looked at and tried again."""
        log.error("Event %s from %s failed: %s", item.event_key, item.source, sentence(error))
        text = "".join(traceback.format_exception(error))[-8_000:].replace("\x00", "")
        self.settle_pending(item, Outcome.FAILED, type(error).__name__, text)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def is_lasting(error: Exception) -> bool:
    """Whether the events are at fault: data the database refuses, or a fault of our own in reading them. Everything
    else the database says passes, and the same is tried again."""
    return isinstance(error, POISON) or not isinstance(error, psycopg.Error | TimeoutError | OSError)


def _locks_needed(event: NormalizedAlert | None) -> int:
    """How many fingerprints an event may lock: one for each type it ends and each name the problem may go by, and all
    that is open on its device for a clear of many."""
    if event is None:
        return 0
    needs = max(len(event.clears), 1)
    if event.identity or event.former or event.former_keys:
        needs *= fingerprints.MOST
    if event.is_clear and any(map(engine.is_wildcard, event.clears)):
        needs += MOST_OPEN
    return needs


def parts(
    items: Sequence[Item], extra: Counter[journal.Bucket] | None
) -> list[tuple[Sequence[Item], Counter[journal.Bucket] | None]]:
    """The batch, cut so that no transaction locks more fingerprints than it may; extra counts go with the first."""
    cut: list[list[Item]] = [[]]
    locked = 0
    for item in items:
        needs = _locks_needed(item.event)
        if locked + needs > locks.MAX_FINGERPRINTS and cut[-1]:
            cut.append([])
            locked = 0
        cut[-1].append(item)
        locked += needs
    return [(part, None if number else extra) for number, part in enumerate(cut)]
