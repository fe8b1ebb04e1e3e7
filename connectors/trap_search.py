"""What became of the traps of a device, a sender or an OID: read from the counts, the journal and the alerts.

A page's worth of work whatever is stored: the counts of one address come from their index, of the journal the newest
ROWS of an address are read, and for an OID alone the newest SCANNED events are looked through.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from alerts.choices import Outcome
from alerts.columns import age
from alerts.models import Alert
from connectors import trap_advice as advice
from connectors.mapping_search import exact_patterns, is_oid, patterns
from connectors.mappings import MappingTable
from connectors.models import Connector, OIDMapping
from connectors.oids import NameTable
from connectors.trap_advice import MEANINGS, Listener, Remedy
from connectors.traps.identity import NAMED, NOBODY, Senders
from connectors.traps.interpret import CONNECTOR_TYPE, describe
from connectors.traps.values import normalise_oid
from dependencies.addresses import canonical_ip
from dependencies.models import Device
from opsconductor.models import Heartbeat

ROWS = 1_000
SHOWN = 50
SUBJECTS = 40
SCANNED = 20_000
ALERTS = 30
TOP_SOURCES = 20
LISTENER_SILENT_SECONDS = 15
# What an alert counts as an occurrence.
RAISES = frozenset({Outcome.OPENED, Outcome.REPEATED, Outcome.REOPENED, Outcome.UNMAPPED})


class Span(NamedTuple):
    """A time one may look back, and the width of a bar in it."""

    key: str
    label: str
    length: timedelta
    bar: timedelta


SPANS = (
    Span("hour", "last hour", timedelta(hours=1), timedelta(minutes=1)),
    Span("day", "last 24 hours", timedelta(days=1), timedelta(minutes=30)),
    Span("week", "last 7 days", timedelta(days=7), timedelta(hours=3)),
)


@dataclass
class Tally:
    """One outcome of the time looked at."""

    outcome: str
    label: str
    meaning: str
    count: int
    todo: Remedy | None = None


@dataclass
class Refusal:
    """What one sender had refused for one reason."""

    source: str
    reason: str
    sentence: str
    count: int
    last: datetime | None
    todo: Remedy
    sample: int | None = None


@dataclass
class Mapped:
    """What the traps of one OID were read as, today."""

    subject: str
    count: int
    outcomes: list[tuple[str, int]]
    last: datetime
    mapping: dict[str, Any] | None

    @property
    def url(self) -> str:
        if self.mapping is None:
            return f"{reverse('mappings:unmapped')}?{urlencode({'q': normalise_oid(self.subject)})}"
        return reverse("admin:connectors_oidmapping_change", args=[self.mapping["id"]])


@dataclass
class Merged:
    """An alert, how many of the events raised it, and how many ended it."""

    alert: Alert
    raises: int
    clears: int


@dataclass
class Named:
    """What a sender said about the address without being believed."""

    source: str
    count: int
    last: datetime
    todo: Remedy


@dataclass
class Bar:
    """Heights of 100; x counts bars."""

    x: int
    taken: float
    refused: float
    title: str

    @property
    def taken_y(self) -> float:
        return 100 - self.taken

    @property
    def refused_y(self) -> float:
        return 100 - self.taken - self.refused


@dataclass
class JournalRow:
    id: int
    received_at: datetime
    source: str
    device_ip: str
    kind: str
    subject: str
    outcome: str
    reason: str
    alert_id: UUID | None
    error: str = ""
    named: str = ""

    @property
    def label(self) -> str:
        return MEANINGS[self.outcome].label if self.outcome in MEANINGS else self.outcome


@dataclass
class Story:
    """Everything the page says about one address or OID."""

    span: Span
    listener: Listener
    address: str = ""
    oid: str = ""
    error: str = ""
    device: Device | None = None
    addresses: list[str] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    mapped: list[Mapped] = field(default_factory=list)
    alerts: list[Merged] = field(default_factory=list)
    rows: list[JournalRow] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    bars_peak: int = 0
    total: int = 0
    read: int = 0
    more: bool = False
    senders: list[str] = field(default_factory=list)
    speaks_for: list[str] = field(default_factory=list)
    named_by: list[Named] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    names_todo: Remedy | None = None
    checks: list[Remedy] = field(default_factory=list)

    @property
    def asked(self) -> bool:
        return bool(self.address or self.oid)

    @property
    def asked_for(self) -> str:
        """In one word: what the inbox is searched for."""
        return self.oid or (self.addresses[0] if self.addresses else "")


def span_of(key: str) -> Span:
    return next((s for s in SPANS if s.key == key), SPANS[0])


def look(address: str, oid: str, span: Span, now: datetime | None = None) -> Story:
    """`address`: of a device or a sender, an alias, or a device's name. At most ten queries."""
    now = now or timezone.now()
    since = now - span.length
    story = Story(span, _listener(now), address, oid)
    if oid and not is_oid(oid):
        story.error = f"“{oid}” is not an OID. Write it in numbers: 1.3.6.1.6.3.1.1.5.3."
        return story
    if not address and not oid:
        _overview(story, since)
        return story
    if address and not _find(story, address):
        return story
    rows = _rows(story.addresses, oid, since)
    story.more = len(rows) >= ROWS
    story.read = len(rows)
    story.rows = rows[:SHOWN]
    own = set(story.addresses)
    story.senders = sorted({r.source for r in rows if r.source not in own}) if own else []
    story.speaks_for = (
        sorted({r.device_ip for r in rows if r.source in own and r.device_ip and r.device_ip not in own}) if own else []
    )
    if own:
        _add_named(story, rows, own)
    if story.addresses and not oid:
        counts = _counts(story.addresses, since, span.bar)
        relayed = [r for r in rows if r.source not in own]
        _tally(story, counts, relayed)
        story.bars, story.bars_peak = _bars(counts, since, now, span.bar)
    else:
        counts = [(r.received_at, r.source, r.outcome, r.reason, 1) for r in rows]
        _tally(story, counts, [])
    _add_mapped(story, rows)
    _add_alerts(story, rows)
    if not story.total:
        story.checks = advice.when_nothing_arrived(story.address, story.listener)
    return story


# --- who is meant -------------------------------------------------------------------------------------------


def _find(story: Story, text: str) -> bool:
    """The addresses that are meant: of a known device all of its own."""
    try:
        ip = canonical_ip(text)
    except ValueError:
        ip = ""
    if ip:
        found = Device.objects.filter(Q(ip=ip) | Q(aliases__contains=[ip])).first()
    else:
        found = Device.objects.filter(name__iexact=text).first()
        if found is None:
            story.error = f"“{text}” is neither an address nor the name of a device. Write 10.1.2.3 or 2001:db8::1."
            return False
    story.device = found
    listed = [ip, found.ip, *found.aliases] if found else [ip]
    story.addresses = list(dict.fromkeys(canonical_ip(a) for a in listed if a))
    return True


def _add_named(story: Story, rows: Sequence[JournalRow], own: set[str]) -> None:
    """Who named this device without being believed, and whom it named so itself."""
    by_sender: dict[tuple[str, str], list[JournalRow]] = defaultdict(list)
    for row in rows:
        if row.named in own and row.source not in own and row.device_ip not in own:
            by_sender[row.source, row.reason if row.outcome == Outcome.REJECTED else ""].append(row)
    names = [r for r in rows if r.source in own and r.named and r.named not in own and r.outcome != Outcome.REJECTED]
    if not by_sender and not names:
        return
    connector = (
        Connector.objects.defer(*Connector.SECRETS).filter(type=CONNECTOR_TYPE).order_by("-enabled", "pk").first()
    )
    senders = Senders.of(connector.config or {}) if connector else NOBODY
    url = reverse("admin:connectors_connector_change", args=[connector.pk]) if connector else ""

    def todo(row: JournalRow) -> Remedy:
        return advice.for_named(row.source, senders, row.kind.startswith("snmp v1"), url)

    for (source, reason), found in sorted(by_sender.items(), key=lambda pair: -len(pair[1])):
        remedy = Remedy(f"Refused: {describe(reason)}. Look under {source}.") if reason else todo(found[0])
        story.named_by.append(Named(source, len(found), found[0].received_at, remedy))
    if names:
        story.names, story.names_todo = sorted({r.named for r in names}), todo(names[0])


# --- counts and journal -------------------------------------------------------------------------------------

Count = tuple[datetime, str, str, str, int]

_COUNTS = """
SELECT date_bin(%s, minute, 'epoch'), source, outcome, reason, sum(count)::bigint
FROM connectors_ingestcount WHERE source = ANY(%s) AND minute >= %s
GROUP BY 1, 2, 3, 4 HAVING sum(count) <> 0"""

_COLUMNS = f"""id, received_at, source, coalesce(host(device_ip), ''), kind, subject, outcome, reason, alert_id,
    left(error, 300), CASE WHEN datagram IS NOT NULL THEN coalesce(data ->> '{NAMED}', '') ELSE '' END"""

# Per address, so that each is one walk down its index, newest first: as the sender, as the device that was believed,
# and as the device that somebody named without being believed.
_BY_ADDRESS = f"""
SELECT * FROM (
    SELECT r.* FROM unnest(%s::text[]) AS a(address) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM connectors_rawevent
        WHERE source = a.address AND received_at >= %s ORDER BY received_at DESC LIMIT %s) AS r
    UNION ALL
    SELECT r.* FROM unnest(%s::text[]) AS a(address) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM connectors_rawevent
        WHERE device_ip = a.address::inet AND device_ip IS NOT NULL AND host(device_ip) <> source AND received_at >= %s
        ORDER BY received_at DESC LIMIT %s) AS r
    UNION ALL
    SELECT r.* FROM unnest(%s::text[]) AS a(address) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM connectors_rawevent
        WHERE data ->> '{NAMED}' = a.address AND datagram IS NOT NULL AND data IS NOT NULL AND received_at >= %s
        ORDER BY received_at DESC LIMIT %s) AS r
) AS three_ways ORDER BY received_at DESC, id DESC LIMIT %s"""  # noqa: S608

_BY_OID = f"""
SELECT * FROM (
    SELECT {_COLUMNS} FROM connectors_rawevent WHERE received_at >= %s ORDER BY received_at DESC LIMIT {SCANNED}
) AS newest WHERE subject = ANY(%s) OR subject LIKE %s ORDER BY received_at DESC, id DESC LIMIT %s"""  # noqa: S608


def _rows(addresses: list[str], oid: str, since: datetime) -> list[JournalRow]:
    with connection.cursor() as cur:
        if addresses:
            given: list[Any] = [addresses, since, ROWS] * 3
            cur.execute(_BY_ADDRESS, [*given, ROWS])
        else:
            cur.execute(_BY_OID, [since, exact_patterns(oid), _below(oid), ROWS])
        unique = {row[0]: JournalRow(*row) for row in cur.fetchall()}
    rows = list(unique.values())
    if addresses and oid:
        wanted, below = set(exact_patterns(oid)), _below(oid)[:-1]
        rows = [r for r in rows if r.subject in wanted or r.subject.startswith(below)]
    return rows


def _below(oid: str) -> str:
    return oid.lstrip(".").removesuffix(".*") + ".%"


def _counts(addresses: list[str], since: datetime, bar: timedelta) -> list[Count]:
    with connection.cursor() as cur:
        given: list[Any] = [bar, addresses, since.replace(second=0, microsecond=0)]
        cur.execute(_COUNTS, given)
        return [(at, source, outcome, reason, int(n)) for at, source, outcome, reason, n in cur.fetchall()]


def _tally(story: Story, counts: Sequence[Count], relayed: Sequence[JournalRow]) -> None:
    """By outcome and refusal. What came through others is not in the counts of its own address; the journal tells."""
    outcomes: Counter[str] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    reasons: dict[str, set[str]] = defaultdict(set)
    for _, source, outcome, reason, number in counts:
        outcomes[outcome] += number
        reasons[outcome].add(reason)
        if outcome == Outcome.REJECTED:
            refused[source, reason] += number
    for row in relayed:
        outcomes[row.outcome] += 1
        reasons[row.outcome].add(row.reason)
    story.total = sum(outcomes.values())
    story.tallies = [
        Tally(
            word,
            meaning.label,
            meaning.meaning,
            outcomes[word],
            advice.for_outcome(word, reasons[word], story.asked_for),
        )
        for word, meaning in MEANINGS.items()
        if outcomes[word]
    ]
    samples = {}
    for row in reversed(story.rows):
        if row.outcome == Outcome.REJECTED:
            samples[row.source, row.reason] = row
    for (source, reason), number in refused.most_common():
        sample = samples.get((source, reason))
        story.refusals.append(
            Refusal(
                source,
                reason,
                describe(reason, sample.error if sample else ""),
                number,
                sample.received_at if sample else None,
                advice.for_refusal(reason, source),
                sample.id if sample else None,
            )
        )


def _bars(counts: Iterable[Count], since: datetime, now: datetime, width: timedelta) -> tuple[list[Bar], int]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    start = epoch + (since - epoch) // width * width
    number = (now - start) // width + 1
    taken, refused = [0] * number, [0] * number
    for at, _, outcome, _, n in counts:
        index = (at - start) // width
        if 0 <= index < number:
            (refused if outcome == Outcome.REJECTED else taken)[index] += n
    peak = max((a + b for a, b in zip(taken, refused, strict=True)), default=0)
    if not peak:
        return [], 0
    return [
        Bar(
            i,
            round(taken[i] * 100 / peak, 2),
            round(refused[i] * 100 / peak, 2),
            f"{start + i * width:%Y-%m-%d %H:%M} UTC: {taken[i]} taken, {refused[i]} refused",
        )
        for i in range(number)
    ], peak


# --- mappings and alerts ------------------------------------------------------------------------------------


def _add_mapped(story: Story, rows: Sequence[JournalRow]) -> None:
    """By OID, with the row that reads it today. Only rows that could are loaded."""
    by_subject: dict[str, list[JournalRow]] = defaultdict(list)
    for row in rows:
        if row.subject and row.outcome != Outcome.REJECTED:
            by_subject[row.subject].append(row)
    subjects = sorted(by_subject, key=lambda s: -len(by_subject[s]))[:SUBJECTS]
    wanted = {pattern for subject in subjects for pattern in patterns(subject)}
    candidates = [m.as_row() for m in OIDMapping.objects.filter(oid_pattern__in=wanted)] if wanted else []
    table = MappingTable(candidates, NameTable({}))
    vendor = story.device.vendor if story.device else ""
    for subject in subjects:
        found = by_subject[subject]
        outcomes = Counter(r.label for r in found)
        story.mapped.append(
            Mapped(subject, len(found), outcomes.most_common(), found[0].received_at, table.row_for(subject, vendor))
        )


def _add_alerts(story: Story, rows: Sequence[JournalRow]) -> None:
    seen = Counter(r.alert_id for r in rows if r.alert_id)
    raises = Counter(r.alert_id for r in rows if r.outcome in RAISES)
    clears = Counter(r.alert_id for r in rows if r.outcome == Outcome.CLEARED)
    ids = [alert_id for alert_id, _ in seen.most_common(ALERTS)]
    found = Alert.objects.only(
        "id", "title", "status", "severity", "device_name", "device_ip", "occurrence_count", "last_occurrence_at"
    ).in_bulk(ids)
    story.alerts = [Merged(found[i], raises[i], clears[i]) for i in ids if i in found]


# --- the listener, and everybody ----------------------------------------------------------------------------

_FACTS = (
    ("received", "received since it started"),
    ("stored", "stored"),
    ("waiting", "waiting in memory"),
    ("dropped", "dropped by the kernel"),
    ("buffer_bytes", "receive buffer, bytes"),
)


LABELS = {"snmp_engine": "Own SNMP engine", "not_storing_seconds": "Seconds without storing",
          "host_dropped": "Dropped by the host's UDP sockets, of any program"}  # fmt: skip


def _listener(now: datetime) -> Listener:
    beats = list(Heartbeat.objects.filter(process="trap_listener").order_by("-seen_at")[:8])
    if not beats:
        return Listener(False, "No listener has said that it runs.")
    silent = (now - beats[0].seen_at).total_seconds()
    alive = [b for b in beats if (now - b.seen_at).total_seconds() <= LISTENER_SILENT_SECONDS]
    if not alive:
        return Listener(False, f"The listener was last heard of {age(timedelta(seconds=silent))} ago.")
    details = [b.detail if isinstance(b.detail, dict) else {} for b in alive]
    bound = sorted({str(address) for d in details for address in d.get("bound") or []})
    sums = {key: sum(int(d.get(key) or 0) for d in details) for key, _ in _FACTS}
    known = {"bound", *sums}
    others = [
        (LABELS.get(key, key.replace("_", " ")), str(value))
        for key, value in details[0].items()
        if key not in known and isinstance(value, str | int | float) and not isinstance(value, bool)
    ]
    facts = [(label, f"{sums[key]:,}") for key, label in _FACTS if any(key in d for d in details)] + others
    who = "The listener works" if len(alive) == 1 else f"{len(alive)} listeners work"
    return Listener(
        True,
        f"{who}, heard of {age(timedelta(seconds=max(0.0, silent)))} ago.",
        bound,
        facts,
        sums["dropped"],
        bool(bound) and all(_is_loopback(address) for address in bound),
    )


def _is_loopback(bound: str) -> bool:
    host = bound.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_HOUR = """
SELECT outcome, sum(count)::bigint FROM connectors_ingestcount WHERE minute >= %s GROUP BY 1 HAVING sum(count) <> 0"""

_WORST = """
SELECT source, reason, sum(count)::bigint, max(minute) FROM connectors_ingestcount
WHERE minute >= %s AND outcome = 'rejected' GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT %s"""


def _overview(story: Story, since: datetime) -> None:
    """Nobody in particular: the last hour by outcome, and who is refused most."""
    since = max(since, timezone.now() - SPANS[0].length)
    story.span = SPANS[0]
    with connection.cursor() as cur:
        cur.execute(_HOUR, [since.replace(second=0, microsecond=0)])
        outcomes = dict(cur.fetchall())
        cur.execute(_WORST, [since.replace(second=0, microsecond=0), TOP_SOURCES])
        worst = cur.fetchall()
    story.total = int(sum(outcomes.values()))
    story.tallies = [
        Tally(word, meaning.label, meaning.meaning, int(outcomes[word]), advice.for_outcome(word, set(), ""))
        for word, meaning in MEANINGS.items()
        if outcomes.get(word)
    ]
    story.refusals = [
        Refusal(source, reason, describe(reason), int(n), last, advice.for_refusal(reason, source))
        for source, reason, n, last in worst
    ]
    if not story.total:
        story.checks = advice.when_nothing_arrived(story.address, story.listener)
