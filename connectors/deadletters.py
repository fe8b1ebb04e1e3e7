"""Events that could not be applied: looked at, tried again, or discarded.

Tried again means: pending once more, then applied as the sweep applies what is pending. Whoever makes it pending first
is the one who tries, and should he die the sweep goes on, so an event is applied once however many people ask. What
fails again is failed again, with its new traceback.

Discarded ones stay in the journal as failed, for the reason `discarded`, with who and when before the traceback: the
account of what was received balances as before, the list is rid of them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from alerts.choices import Outcome
from alerts.detailview import Varbind, varbinds
from connectors import journal, snapshot, sweep
from connectors.ingest import Ingest, Stopped
from connectors.journal import READ_COLUMNS, item_of
from connectors.models import RawEvent
from connectors.snapshot import Snapshot
from connectors.traps import ber
from connectors.traps.normalize import named, raw_data
from opsconductor import db, doorbell

log = logging.getLogger(__name__)

DISCARDED = "discarded"
# What is pending for longer is not just being written; a sweep takes it within seconds.
PENDING_AGE = timedelta(minutes=1)
BATCH = 500
SECONDS = 15.0  # a person waits for it
OCTETS_SHOWN = 2_048
MOST_COUNTED = 10_000
KINDS_LISTED = 50

# Under the row locks: who comes second finds them changed.
_TAKE = """
SELECT r.received_at, r.event_key, r.source, r.outcome, r.reason FROM connectors_rawevent AS r
JOIN unnest(%s::timestamptz[], %s::uuid[]) AS v(received_at, event_key)
    ON r.received_at = v.received_at AND r.event_key = v.event_key
WHERE r.outcome = ANY(%s) AND r.reason <> 'discarded'
ORDER BY r.received_at, r.event_key FOR UPDATE OF r"""
_SET = """
UPDATE connectors_rawevent AS r SET outcome = %s, reason = %s, error = left(%s || r.error, 16000)
FROM unnest(%s::timestamptz[], %s::uuid[]) AS v(received_at, event_key)
WHERE r.received_at = v.received_at AND r.event_key = v.event_key"""
_READ = f"""
SELECT {", ".join("host(r.device_ip)" if name == "device_ip" else f"r.{name}" for name in READ_COLUMNS)}
FROM unnest(%s::timestamptz[], %s::uuid[]) AS v(received_at, event_key)
JOIN connectors_rawevent AS r ON r.received_at = v.received_at AND r.event_key = v.event_key
WHERE r.outcome = 'pending' ORDER BY r.received_at, r.event_key"""  # noqa: S608

Key = tuple[datetime, UUID]


@dataclass(frozen=True)
class Filters:
    """Empty text means any. `until`: nothing that came later, for what a person agreed to when he saw a list."""

    source: str = ""
    reason: str = ""
    kind: str = ""
    until: datetime | None = None

    @property
    def given(self) -> dict[str, str]:
        return {n: v for n, v in (("source", self.source), ("reason", self.reason), ("kind", self.kind)) if v}

    def events(self) -> QuerySet[RawEvent]:
        """Newest first. The conditions on outcome and reason are those of its index."""
        waiting = Q(outcome=Outcome.FAILED) | Q(received_at__lt=timezone.now() - PENDING_AGE)
        found = RawEvent.objects.filter(waiting, outcome__in=(Outcome.FAILED.value, Outcome.PENDING.value))
        found = found.exclude(reason=DISCARDED)
        if self.source:
            found = found.filter(source=self.source)
        if self.reason:
            found = found.filter(reason=self.reason)
        if self.kind:
            found = found.filter(kind=self.kind)
        if self.until is not None:
            found = found.filter(received_at__lte=self.until)
        return found.order_by("-received_at", "-id")

    def count(self) -> int:
        """At most MOST_COUNTED + 1."""
        return self.events().order_by()[: MOST_COUNTED + 1].count()


def choices() -> dict[str, list[tuple[str, int]]]:
    """What there is to filter by, of the newest: reasons, kinds and sources with their numbers."""
    newest = Filters().events().values_list("pk", flat=True)[:MOST_COUNTED]
    found = {}
    for name in ("reason", "kind", "source"):
        rows = RawEvent.objects.filter(pk__in=list(newest)).order_by().values_list(name).annotate(n=Count("pk"))
        found[name] = sorted(((value, n) for value, n in rows if value), key=lambda pair: (-pair[1], pair[0]))
    return {name: values[:KINDS_LISTED] for name, values in found.items()}


@dataclass
class Done:
    """What an action did. `waiting` are pending: the sweep goes on with them."""

    outcomes: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    more: bool = False  # it took too long for one request; what is left was not touched

    @property
    def total(self) -> int:
        return sum(self.outcomes.values()) + self.waiting


def retry(filters: Filters, seconds: float = SECONDS) -> Done:
    """All of them, oldest first, for about so long; then the rest becomes pending for the sweep."""
    done = Done()
    deadline = time.monotonic() + seconds
    ingest = Ingest(application="dead letters", stopped=lambda: time.monotonic() > deadline + seconds)
    try:
        with db.connect(application="dead letters", settings=db.BY_INDEX) as conn:
            today = snapshot.load()
            for keys in _batches(filters):
                if time.monotonic() > deadline + seconds:
                    done.more = True
                    break
                taken = _take(conn, keys, Outcome.PENDING, "", "")
                if time.monotonic() > deadline:
                    done.waiting += len(taken)
                else:
                    _apply(conn, ingest, today, taken, done)
    except Stopped:
        done.more = True
    finally:
        ingest.close()
    doorbell.ring()
    return done


def retry_one(event: RawEvent) -> Done:
    return _retry_keys([(event.received_at, event.event_key)])


def _retry_keys(keys: list[Key]) -> Done:
    done = Done()
    deadline = time.monotonic() + SECONDS
    ingest = Ingest(application="dead letters", stopped=lambda: time.monotonic() > deadline)
    try:
        with db.connect(application="dead letters", settings=db.BY_INDEX) as conn:
            _apply(conn, ingest, snapshot.load(), _take(conn, keys, Outcome.PENDING, "", ""), done)
    except Stopped:
        done.more = True
    finally:
        ingest.close()
    doorbell.ring()
    return done


def discard(filters: Filters, by: User, seconds: float = SECONDS) -> Done:
    """All of them, for about so long."""
    done = Done()
    deadline = time.monotonic() + seconds
    with db.connect(application="dead letters", settings=db.BY_INDEX) as conn:
        for keys in _batches(filters):
            if time.monotonic() > deadline:
                done.more = True
                break
            done.outcomes[DISCARDED] += len(_discard(conn, keys, by))
    return done


def discard_one(event: RawEvent, by: User) -> Done:
    with db.connect(application="dead letters", settings=db.BY_INDEX) as conn:
        return Done(Counter({DISCARDED: len(_discard(conn, [(event.received_at, event.event_key)], by))}))


def _discard(conn: psycopg.Connection[Any], keys: list[Key], by: User) -> list[Key]:
    said = f"Discarded by {by.get_username()}, {timezone.now():%Y-%m-%d %H:%M} UTC.\n\n"
    return _take(conn, keys, Outcome.FAILED, DISCARDED, said)


def _take(conn: psycopg.Connection[Any], keys: list[Key], outcome: Outcome, reason: str, said: str) -> list[Key]:
    """Give those that still are dead letters another outcome and reason, and their counts with them; which they were.

    What is pending already needs no taking to be tried again.
    """
    with conn.transaction(), conn.cursor() as cur:
        cur.execute(_TAKE, (*_columns(keys), [Outcome.FAILED.value, Outcome.PENDING.value]))
        found = cur.fetchall()
        changing = [row for row in found if (row[3], row[4]) != (outcome.value, reason)]
        if changing:
            cur.execute(_SET, (outcome.value, reason, said, *_columns([(row[0], row[1]) for row in changing])))
        counts: Counter[journal.Bucket] = Counter()
        for received_at, _, source, was, why in changing:
            minute = received_at.replace(second=0, microsecond=0)
            counts[minute, source, was, why[:60]] -= 1
            counts[minute, source, outcome.value, reason] += 1
        journal.count(cur, counts)
    return [(row[0], row[1]) for row in found]


def _apply(conn: psycopg.Connection[Any], ingest: Ingest, today: Snapshot, keys: list[Key], done: Done) -> None:
    """As the sweep does it: each ends in its bucket, at worst as failed."""
    if not keys:
        return
    records = conn.execute(_READ, _columns(keys)).fetchall()
    for number, record in enumerate(records):
        item = item_of(record)
        try:
            sweep.finish(ingest, today, item)
        except Stopped:
            done.waiting += len(records) - number
            raise
        done.outcomes[item.outcome.value if item.outcome else Outcome.PENDING.value] += 1


def _batches(filters: Filters) -> Iterator[list[Key]]:
    """Keys, oldest first, each once: what fails again is not met again."""
    after: tuple[datetime, int] | None = None
    while True:
        events = filters.events().order_by("received_at", "id")
        if after is not None:
            events = events.filter(Q(received_at__gt=after[0]) | Q(received_at=after[0], id__gt=after[1]))
        rows = list(events.values_list("received_at", "event_key", "id")[:BATCH])
        if rows:
            yield [(received_at, key) for received_at, key, _ in rows]
            after = (rows[-1][0], rows[-1][2])
        if len(rows) < BATCH:
            return


def _columns(keys: list[Key]) -> tuple[list[datetime], list[UUID]]:
    return [received_at for received_at, _ in keys], [key for _, key in keys]


# --- one of them, to be looked at ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Content:
    """What arrived. Communities were starred out when it was stored, and are once more here."""

    octets: int = 0
    hex: str = ""
    cut: bool = False
    said: str = ""  # version and trap OID, or why it cannot be decoded
    varbinds: list[Varbind] = field(default_factory=list)
    text: str = ""  # of what is no datagram: the body of a request


def content(event: RawEvent) -> Content:
    if event.datagram is None:
        return Content()
    datagram = bytes(event.datagram)
    octets = ber.masked(datagram)[:OCTETS_SHOWN]
    lines = [_line(octets, at) for at in range(0, len(octets), 16)]
    said, rows = "", []
    if not event.kind.startswith("snmp"):
        text = datagram[:OCTETS_SHOWN].decode(errors="replace").replace("\0", "�")
        return Content(len(datagram), "", len(datagram) > OCTETS_SHOWN, text=text)
    try:
        notification = ber.parse(datagram)
    except ber.Refused as refusal:
        said = "It cannot be decoded here: SNMPv3 is encrypted." if refusal.reason == "v3" else f"{refusal.detail}"
    except Exception as error:
        said = f"It cannot be decoded: {error}"
    else:
        said = f"SNMP {notification.version}, {notification.trap_oid}"
        try:
            rows = varbinds(raw_data(notification, named(notification, snapshot.names()), event.source))
        except Exception as error:
            said += f". Its variables cannot be shown: {error}"
    return Content(len(datagram), "\n".join(lines), len(datagram) > OCTETS_SHOWN, said, rows)


def _text(octets: bytes) -> str:
    return "".join(chr(octet) if 32 <= octet < 127 else "." for octet in octets)


def _line(octets: bytes, at: int) -> str:
    part = octets[at : at + 16]
    return f"{at:04x}  {part.hex(' '):<47}  {_text(part)}"
