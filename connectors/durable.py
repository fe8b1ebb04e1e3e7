"""Events that are kept whatever happens: in the database, else in the spool of this process.

The contract `Durable.keep` offers those who wait for an answer (an inform, a webhook): when it returns, the events
survive the death of this process. While the spool holds anything, everything new goes behind it, so that the order in
which events were received stays the order in which they are applied.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path

import psycopg

from alerts.choices import Outcome
from connectors import journal
from connectors.ingest import Away, Ingest, Place
from connectors.journal import Item
from connectors.spool import Record, Spool, SpoolUnusable
from opsconductor.exceptions import OpsConductorError, sentence

log = logging.getLogger(__name__)

# Between two looks whether the database is back.
RETRY_SECONDS = 1.0


class Kept(Enum):
    STORED = "stored"  # committed; the items carry their outcomes
    SPOOLED = "spooled"  # on the disk, in order; applied when the database is back


class NotKept(OpsConductorError):
    """Neither the database nor the spool takes events: whoever waits gets no answer."""


class Durable:
    """For one thread. `ingest` is its own and has a patience; `read` interprets an item once more, with the mappings of
    the moment, for what was spooled is applied later: it gives the item its event, or the outcome that says why not.

    `say` is told in a sentence when spooling begins, fails, and is over: (subject, text).
    """

    def __init__(
        self,
        ingest: Ingest,
        spool: Spool,
        read: Callable[[Item], None],
        say: Callable[[str, str], None] | None = None,
    ) -> None:
        self.spooled = 0  # events ever put into the spool
        self.lost = 0  # events neither of the two took, of those nobody waits for an answer to
        self._ingest = ingest
        self._spool = spool
        self._read = read
        self._say = say or (lambda subject, text: log.critical("%s: %s", subject, text))
        self._spooling_since: float | None = None
        self._refusing = False
        self._next_try = 0.0
        self._in_use = False
        self._storing: Path | None = None  # the file
        self._events = 0  # for other threads: the spool's own count is this thread's

    def adopt(self) -> int:
        """Take over what dead processes of this host left in the spool; how many files. Call it now and then."""
        found = self._spool.adopt()
        if found:
            log.warning("%d spool files of an earlier process are stored first.", found)
            self._note()
        return found

    def keep(self, items: Sequence[Item], extra: Counter[journal.Bucket] | None = None) -> Kept:
        """Raises NotKept, and Stopped where the ingest was asked to stop before anything was done."""
        if self._spool.is_empty():
            given = [(item.outcome, item.reason) for item in items]
            try:
                self._ingest.store(items, extra)
                self._is_kept_again("The database takes events again.")
                return Kept.STORED
            except Away as away:
                self._next_try = time.monotonic() + RETRY_SECONDS
                for item, (outcome, reason) in zip(items[away.done :], given[away.done :], strict=True):
                    item.outcome, item.reason, item.alert_id, item.fingerprint = outcome, reason, None, ""
                left, counts = items[away.done :], None if away.done else extra
                if away.xid is not None:
                    self._put(left[: away.doubtful], counts, away.xid)
                    left, counts = left[away.doubtful :], None
                self._put(left, counts, None)
                return Kept.SPOOLED
        self._put(items, extra, None)
        return Kept.SPOOLED

    def drain(self, seconds: float) -> int:
        """Apply what is in the spool, oldest first, for about so long; how many events. A database that is still away
        is no error."""
        until = time.monotonic() + seconds
        if self._spool.is_empty() or time.monotonic() < self._next_try:
            return 0
        total = 0
        try:
            while not self._spool.is_empty() and time.monotonic() < until:
                if not self._spool.knows_position():
                    self._find_position()
                record = self._spool.read()
                if record is None:
                    continue
                self._store(record)
                self._spool.stored(record)
                total += len(record.items)
        except (Away, psycopg.Error, OSError) as error:
            if isinstance(error, Away):
                # What is stored of a record is in the database: ask again where to go on.
                self._spool.forget_position()
            self._next_try = time.monotonic() + RETRY_SECONDS
        self._note()
        if self._spool.is_empty() and self._spooling_since is not None:
            lasted, self._spooling_since = time.monotonic() - self._spooling_since, None
            self._say("Events are stored again", f"The spool is empty; it was in use for {lasted:,.0f} s.")
        return total

    def waiting(self) -> int:
        """Events in the spool. Any thread may ask."""
        return self._events

    def is_spooling(self) -> bool:
        """There is something in the spool, if only a file that is to be put away. Any thread may ask."""
        return self._in_use

    def is_refusing(self) -> bool:
        """Neither the database nor the spool took the last events."""
        return self._refusing

    def away_seconds(self) -> float:
        """How long the database has taken nothing. Any thread may ask."""
        return self._ingest.away_seconds()

    def close(self) -> None:
        """What is left in the spool stays there for the next start."""
        self._spool.close()

    def _store(self, record: Record) -> None:
        for item in record.items:
            if item.outcome is None:
                try:
                    self._read(item)
                except Exception as error:  # it was readable when it came, or it would not be here
                    log.exception("Spooled event %s from %s cannot be read.", item.event_key, item.source)
                    item.event, item.outcome, item.reason = None, Outcome.FAILED, type(error).__name__
                    item.error = sentence(error)
        place = Place(record.spool, record.after, record.end)
        self._ingest.store(record.items, record.extra, place, record.doubtful)

    def _find_position(self) -> None:
        """How far the file has been stored, by an earlier process or by an attempt nobody saw the end of."""
        spool, path = self._spool.next_of() or (None, None)
        row = self._ingest.ask("SELECT position FROM connectors_spoolprogress WHERE spool = %s", (spool,))
        self._spool.go_to(row[0] if row else None)
        if path != self._storing:  # said once, however often the database goes away meanwhile
            log.info("Storing what waits in %s.", path)
        self._storing = path

    def _put(self, items: Sequence[Item], extra: Counter[journal.Bucket] | None, xid: str | None) -> None:
        if not items and not extra:
            return
        try:
            self._spool.append(items, extra, xid)
        except SpoolUnusable as error:
            if not self._refusing:
                self._refusing = True
                self._say("Events are being lost", f"The database takes no events, nor does the spool. {error}")
            raise NotKept(str(error)) from error
        self._is_kept_again("The spool takes events again.")
        self.spooled += len(items)
        self._note()
        if self._spooling_since is None:
            self._spooling_since = time.monotonic()
            self._say("Events are spooled", "The database takes no events; they are kept on the disk until it does.")

    def _is_kept_again(self, why: str) -> None:
        if self._refusing:
            self._refusing = False
            self._say("Events are kept again", why)

    def _note(self) -> None:
        self._events = self._spool.events()
        self._in_use = not self._spool.is_empty()
