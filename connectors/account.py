"""The account: of every datagram the kernel delivered, what became of it; and of those it could not deliver, how many.

Two sides that are counted apart: the sockets (`SocketCount`, every 5 s) and the buckets (`IngestCount`, in the
transaction of each batch). What is still waiting in memory and in the spool comes from the heartbeats. What remains is
the difference: 0, but for what is under way between the two counts, and for what a killed process took with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from alerts.choices import Outcome
from connectors.socketcounts import LISTENER
from connectors.trap_advice import MEANINGS
from connectors.traps.interpret import describe
from opsconductor.models import Heartbeat

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# What retention folds counts into that are too old to be kept by minute and source (connectors/retention.py).
EARLIER = ""
EARLIER_EVENTS = "events"
OWN = "opsconductor"

FRESH = timedelta(seconds=15)  # as in opsconductor.health: a process that has been silent for longer is gone
TIMEOUT_MS = 5_000
CHART_LENGTH = timedelta(hours=3)
SOURCES_A_PAGE = 25

# Senders of datagrams are written as addresses (`other` in a flood of forged ones); every other way of receiving
# events writes a name, and OpsConductor itself writes its own.
IS_DATAGRAM = r"(source = '' OR source = 'other' OR source ~ '^[0-9A-Fa-f.:]*[.:][0-9A-Fa-f.:]*(%%.*)?$')"
WAY = f"CASE WHEN {IS_DATAGRAM} THEN 'datagram' WHEN source = '{OWN}' THEN 'own' ELSE 'event' END"


# What is refused of events that come by HTTP; any other reason is the name of the field at fault.
EVENT_REASONS = {
    "": "refused",
    "event": "no object, or a field nobody knows",
    "rate": "above the rate of its key or connector",
    "secret": "the secret of the webhook was not shown, or was wrong",
    "overflow": "too many were waiting",
    "unavailable": "nothing could store it, which its sender was told",
    "malformed": "no JSON",
    "too_large": "request too large",
    "too_many": "too many in one request",
}


class Period(NamedTuple):
    key: str
    label: str
    length: timedelta | None  # None: everything that was ever counted


PERIODS = (
    Period("hour", "Last hour", timedelta(hours=1)),
    Period("day", "24 hours", timedelta(days=1)),
    Period("week", "7 days", timedelta(days=7)),
    Period("all", "All time", None),
)


def period_of(key: str) -> Period:
    return next((p for p in PERIODS if p.key == key), PERIODS[0])


# --- numbers ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waiting:
    """What processes that live hold: in memory, and in the spool on their host's disk. Those of an account are
    listeners; other processes hold what is no datagram."""

    memory: int = 0
    spooled: int = 0
    lasts_seconds: float = 0.0  # for how long the database has not taken events
    refusing: bool = False

    @property
    def total(self) -> int:
        return self.memory + self.spooled


@dataclass
class Entry:
    """One line of the account."""

    key: str
    label: str
    meaning: str
    count: int
    share: float = 0.0  # of what was delivered, in percent


@dataclass
class Account:
    """Everything of one period. Datagrams only, but for `events`: what came another way has no kernel to count it."""

    period: Period
    received: int = 0
    dropped: int = 0
    buckets: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    events: int = 0
    waiting: Waiting = Waiting()
    edge: int = 0  # datagrams of the minutes at the ends of the period: so many may be in one count and not the other
    sockets: list[tuple[str, int, int]] = field(default_factory=list)  # address, received, dropped

    @property
    def accounted(self) -> int:
        return sum(self.buckets.values())

    @property
    def journalled(self) -> int:
        return self.accounted - self.buckets[Outcome.REJECTED]

    @property
    def still_waiting(self) -> int:
        """What of the waiting the period lacks: some of it may have come before or after."""
        return max(0, min(self.waiting.total, self.received - self.accounted))

    @property
    def difference(self) -> int:
        return self.received - self.accounted - self.still_waiting

    @property
    def is_balanced(self) -> bool:
        """What is between the two counts at the edges of the period is not missing."""
        return abs(self.difference) <= self.edge

    @property
    def verdict(self) -> str:
        if not self.difference:
            return "Balanced: every datagram is in exactly one bucket."
        if self.is_balanced:
            return "Under way: sockets are counted every 5 s, buckets with each batch. It is 0 when nothing comes."
        if self.difference > 0:
            return (
                "A process was killed, or lost power, after it had read these and before it stored them. Informs among "
                "them were not answered, so they were sent again."
            )
        return (
            "More was stored than the sockets have reported. A process was killed within 5 s of reading these, before "
            "it could report them; they are stored."
        )

    def entries(self) -> list[Entry]:
        """The buckets but for refusals, in the order of a trap's life; those that are empty too, so that none hides."""
        return [
            Entry(word, meaning.label, meaning.meaning, self.buckets[word], self._share(self.buckets[word]))
            for word, meaning in MEANINGS.items()
            if word != Outcome.REJECTED
        ]

    def refusals(self) -> list[Entry]:
        return [
            Entry(reason, describe(reason), "", count, self._share(count))
            for reason, count in sorted(self.refused.items(), key=lambda pair: (-pair[1], pair[0]))
        ]

    def _share(self, count: int) -> float:
        return round(100 * count / self.received, 1) if self.received > 0 else 0.0


@dataclass
class Source:
    """What one sender sent: the buckets sum up to its total."""

    address: str
    total: int
    buckets: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return {EARLIER: "earlier, all senders", EARLIER_EVENTS: "earlier, other ways"}.get(self.address, self.address)

    @property
    def is_sender(self) -> bool:
        """Whether the trap page can be asked about it."""
        return is_datagram(self.address) and self.address not in (EARLIER, "other")

    @property
    def rejected(self) -> int:
        return self.buckets[Outcome.REJECTED]

    @property
    def journalled(self) -> int:
        return self.total - self.rejected

    @property
    def became(self) -> list[tuple[str, int]]:
        return [
            (MEANINGS[word].label, count)
            for word, count in self.buckets.most_common()
            if word != Outcome.REJECTED and count and word in MEANINGS
        ]

    @property
    def reasons(self) -> list[tuple[str, int]]:
        named = self.refused.most_common()
        if not is_datagram(self.address):
            return [(EVENT_REASONS.get(reason, f"field {reason}"), count) for reason, count in named if count]
        return [(describe(reason), count) for reason, count in named if count]


@dataclass
class Sources:
    rows: list[Source]
    page: int
    total: int  # sources in all

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // SOURCES_A_PAGE))


def is_datagram(source: str) -> bool:
    """As IS_DATAGRAM says it in SQL."""
    plain = source.partition("%")[0]
    return source in (EARLIER, "other") or (
        any(c in plain for c in ".:") and all(c in "0123456789abcdefABCDEF.:" for c in plain)
    )


# --- queries ------------------------------------------------------------------------------------------------

# Sources first: they are looked at once each, not once a minute.
_BUCKETS = f"""
SELECT {WAY} AS way, outcome, reason, sum(n)::bigint
FROM (
    SELECT source, outcome, reason, sum(count) AS n FROM connectors_ingestcount WHERE minute >= %s GROUP BY 1, 2, 3
) AS by_source GROUP BY 1, 2, 3 HAVING sum(n) <> 0"""  # noqa: S608

_SOCKETS = """
SELECT address, sum(received)::bigint, sum(dropped)::bigint FROM connectors_socketcount
WHERE minute >= %s GROUP BY 1 ORDER BY 1"""

# The minute before an edge and the one after it, in whichever count holds more of them.
_EDGE = f"""
SELECT greatest(
    (SELECT coalesce(sum(count), 0) FROM connectors_ingestcount
     WHERE (minute BETWEEN %(a)s AND %(b)s OR minute BETWEEN %(c)s AND %(d)s) AND {IS_DATAGRAM}),
    (SELECT coalesce(sum(received), 0) FROM connectors_socketcount
     WHERE minute BETWEEN %(a)s AND %(b)s OR minute BETWEEN %(c)s AND %(d)s))::bigint"""  # noqa: S608

_TOP = """
SELECT source, sum(count)::bigint, count(*) OVER () FROM connectors_ingestcount
WHERE minute >= %s AND (%s = '' OR position(lower(%s) IN lower(source)) > 0)
GROUP BY 1 HAVING sum(count) <> 0 ORDER BY 2 DESC, 1 LIMIT %s OFFSET %s"""

_OF_SOURCES = """
SELECT source, outcome, reason, sum(count)::bigint FROM connectors_ingestcount
WHERE minute >= %s AND source = ANY(%s) GROUP BY 1, 2, 3 HAVING sum(count) <> 0"""

_MINUTES = f"""
SELECT minute, sum(count) FILTER (WHERE outcome <> 'rejected')::bigint,
       sum(count) FILTER (WHERE outcome = 'rejected')::bigint
FROM connectors_ingestcount WHERE minute >= %s AND source <> '{OWN}' GROUP BY 1"""  # noqa: S608

_DROPS = "SELECT minute, sum(dropped)::bigint FROM connectors_socketcount WHERE minute >= %s AND dropped > 0 GROUP BY 1"


def floor(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def since_of(period: Period, now: datetime) -> datetime:
    return EPOCH if period.length is None else floor(now - period.length)


def look(period: Period, now: datetime | None = None) -> Account:
    """The account up to this moment. Raises OperationalError when it would take longer than a reader waits."""
    now = now or timezone.now()
    since = since_of(period, now)
    account = Account(period, waiting=waiting(now, LISTENER))
    with _briefly() as cur:
        cur.execute(_BUCKETS, [since])
        for way, outcome, reason, count in cur.fetchall():
            if way == "datagram":
                account.buckets[outcome] += count
                if outcome == Outcome.REJECTED:
                    account.refused[reason] += count
            elif way == "event":
                account.events += count
        cur.execute(_SOCKETS, [since])
        account.sockets = cur.fetchall()
        account.received = sum(received for _, received, _ in account.sockets)
        account.dropped = sum(dropped for _, _, dropped in account.sockets)
        if account.received != account.accounted:
            account.edge = _edge(cur, since, now)
    return account


def _edge(cur: Any, since: datetime, now: datetime) -> int:
    last = floor(now)
    edges = {"a": since - MINUTE, "b": since, "c": last - MINUTE, "d": last}
    if since == EPOCH:  # where carried-over totals stand; nothing came before
        edges |= {"a": edges["c"], "b": edges["d"]}
    cur.execute(_EDGE, edges)
    return int(cur.fetchone()[0])


def imbalance(conn: Any, start: datetime, end: datetime) -> tuple[int, int]:
    """Delivered less accounted between two minutes, and how much of it may be under way: a tenth of what came in the
    minutes at both ends."""
    row = conn.execute(
        f"""
        SELECT (SELECT coalesce(sum(received), 0) FROM connectors_socketcount WHERE minute >= %(s)s AND minute < %(e)s)
             - (SELECT coalesce(sum(count), 0) FROM connectors_ingestcount
                WHERE minute >= %(s)s AND minute < %(e)s AND {IS_DATAGRAM})""",  # noqa: S608
        {"s": start, "e": end},
    ).fetchone()
    edges = {"a": start - MINUTE, "b": start, "c": end - MINUTE, "d": end}
    busy = conn.execute(_EDGE, edges).fetchone()
    return int(row[0]), -(-int(busy[0]) // 10)


def sources(period: Period, search: str = "", page: int = 1, now: datetime | None = None) -> Sources:
    """Who sent most, a page of them; `search` is a part of an address or a name."""
    since = since_of(period, now or timezone.now())
    page = max(1, page)
    with _briefly() as cur:
        cur.execute(_TOP, [since, search, search, SOURCES_A_PAGE, (page - 1) * SOURCES_A_PAGE])
        top = cur.fetchall()
        found = {source: Source(source, total) for source, total, _ in top}
        if found:
            cur.execute(_OF_SOURCES, [since, list(found)])
            for source, outcome, reason, count in cur.fetchall():
                found[source].buckets[outcome] += count
                if outcome == Outcome.REJECTED:
                    found[source].refused[reason] += count
    return Sources(list(found.values()), page, top[0][2] if top else 0)


def waiting(now: datetime | None = None, process: str = "") -> Waiting:
    """From the heartbeats of all that receives, or of one kind of process."""
    beats = Heartbeat.objects.filter(seen_at__gte=(now or timezone.now()) - FRESH)
    if process:
        beats = beats.filter(process=process)
    return waiting_of(detail for detail in beats.values_list("detail", flat=True) if isinstance(detail, dict))


def waiting_of(details: Iterable[dict[str, Any]]) -> Waiting:
    memory = spooled = 0
    away, refusing = 0.0, False
    for detail in details:
        memory += number(detail.get("waiting"))
        spooled += number(detail.get("spooled"))
        away = max(away, float(number(detail.get("not_storing_seconds"))))
        refusing = refusing or bool(detail.get("refusing"))
    return Waiting(memory, spooled, away, refusing)


def hosts(now: datetime | None = None) -> list[tuple[str, int]]:
    """Hosts of listeners, and what all UDP sockets of each dropped since it was started, whatever program's they are.
    None of it tells that a trap was dropped: that is counted by socket."""
    beats = Heartbeat.objects.filter(process=LISTENER, seen_at__gte=(now or timezone.now()) - FRESH)
    return sorted(dropped_by_host(beats.order_by("seen_at").values_list("instance", "detail")).items())


def dropped_by_host(beats: Iterable[tuple[str, Any]]) -> dict[str, int]:
    """From instance and detail of listeners, oldest first."""
    return {
        instance.rpartition(":")[0] or instance: int(detail["host_dropped"])
        for instance, detail in beats
        if isinstance(detail, dict) and isinstance(detail.get("host_dropped"), int)
    }


def number(value: Any) -> int:
    """What a heartbeat says, written by another release perhaps."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


# --- the chart ----------------------------------------------------------------------------------------------


@dataclass
class Bar:
    """One minute; heights of 100, x counts bars."""

    x: int
    taken: float
    refused: float
    dropped: float
    title: str

    @property
    def taken_y(self) -> float:
        return round(100 - self.taken, 2)

    @property
    def refused_y(self) -> float:
        return round(self.taken_y - self.refused, 2)

    @property
    def dropped_y(self) -> float:
        return round(self.refused_y - self.dropped, 2)


@dataclass
class Chart:
    bars: list[Bar]
    length: int
    peak: int
    start: datetime
    taken: int
    refused: int
    dropped: int


def chart(now: datetime | None = None) -> Chart:
    """Per minute over the last hours: taken, refused, dropped by the kernel."""
    now = now or timezone.now()
    start = floor(now - CHART_LENGTH) + MINUTE
    with _briefly() as cur:
        cur.execute(_MINUTES, [start])
        counts = {minute: (taken or 0, refused or 0) for minute, taken, refused in cur.fetchall()}
        cur.execute(_DROPS, [start])
        dropped = dict(cur.fetchall())
    return draw(counts, dropped, start, CHART_LENGTH // MINUTE)


def draw(counts: dict[datetime, tuple[int, int]], dropped: dict[datetime, int], start: datetime, length: int) -> Chart:
    minutes = [start + n * MINUTE for n in range(length)]
    # A replay moves events between buckets; in the minute it moved them from there may be less than nothing.
    pairs = [counts.get(m, (0, 0)) for m in minutes]
    triples = [(max(0, pair[0]), max(0, pair[1]), dropped.get(m, 0)) for m, pair in zip(minutes, pairs, strict=True)]
    peak = max(map(sum, triples), default=0)
    bars = [
        Bar(
            x,
            round(triple[0] * 100 / peak, 2),
            round(triple[1] * 100 / peak, 2),
            round(triple[2] * 100 / peak, 2),
            f"{minute:%H:%M} UTC: {triple[0]:,} taken, {triple[1]:,} refused, {triple[2]:,} dropped by the kernel",
        )
        for x, (minute, triple) in enumerate(zip(minutes, triples, strict=True))
        if sum(triple)
    ]
    taken, refused, lost = (sum(column) for column in zip(*triples, strict=True)) if triples else (0, 0, 0)
    return Chart(bars, length, peak, start, taken, refused, lost)


# --- reading it often ---------------------------------------------------------------------------------------

T = TypeVar("T")
_kept: dict[Any, tuple[float, Any]] = {}
_kept_lock = threading.Lock()
KEPT_SECONDS = 5.0
KEPT_TIMES = 20  # at least so many times what it took: a page that is left open costs a twentieth of a core at most


def kept(key: Any, make: Callable[[], T], seconds: float = KEPT_SECONDS) -> T:
    """What `make` found a moment ago: several readers of a page cost as much as one."""
    now = time.monotonic()
    with _kept_lock:
        found = _kept.get(key)
        if found is not None and found[0] > now:
            value: T = found[1]
            return value
    value = make()
    made = time.monotonic()
    with _kept_lock:
        if len(_kept) > 500:  # searches, of all sorts
            _kept.clear()
        _kept[key] = (made + max(seconds, KEPT_TIMES * (made - now)), value)
    return value


def forget() -> None:
    """For tests: what is kept belongs to another one's database."""
    with _kept_lock:
        _kept.clear()


class _briefly:
    """A cursor whose statements end before a reader gives up."""

    def __enter__(self) -> Any:
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        self._cursor = connection.cursor()
        self._cursor.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
        return self._cursor

    def __exit__(self, *error: Any) -> None:
        self._cursor.close()
        self._atomic.__exit__(*error)


def was_too_long(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", "") == "57014"
