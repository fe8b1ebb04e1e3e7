"""OpsConductor's own alerts: what an administrator has to know of it, by the same way as every other alert.

`gather` reads the facts, `judge` says what is wrong (pure), `decide` what of it is news (pure), `SelfAlerts` stores
that through the engine. Events are journalled with all they say, so they can be read again like any other.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from alerts.choices import Category, Outcome, Severity
from alerts.ids import uuid7
from alerts.types import NormalizedAlert
from connectors import account, storage
from connectors.account import MINUTE, Waiting
from connectors.ingest import Ingest
from connectors.journal import OWN_SOURCE, Item
from connectors.normalisation import NOTHING, Normalisation
from connectors.snapshot import ConnectorRow, Snapshot
from opsconductor.models import SystemSettings

KIND = "self"
CONNECTOR_TYPE = "self"
CONNECTOR_SLUG = "opsconductor"
DEVICE_NAME = "OpsConductor"
ONE_AT_A_TIME = (8632, 6)

DROPS_FOR = timedelta(minutes=10)  # without a drop, until the alert ends
# An imbalance counts when these three hours show it alike: what is under way at the edge of one is not at the others'.
WINDOW = timedelta(hours=1)
WINDOWS_END = (timedelta(minutes=2), timedelta(minutes=7), timedelta(minutes=12))
DAYS_AHEAD = 2  # of the journal that must be there
LATE_DAYS = 2  # a day of the journal may stay beyond its time
DISK_MAJOR, DISK_CRITICAL, DISK_WELL = 3, 1, 4  # days
TELL_EVERY = timedelta(minutes=10)
SIZES_SECONDS = 60.0

Key = tuple[str, str]  # alert type, component


@dataclass(frozen=True)
class Finding:
    """Something is wrong now."""

    alert_type: str
    component: str
    severity: int
    title: str
    message: str
    category: str = Category.APPLICATION.value

    @property
    def key(self) -> Key:
        return self.alert_type, self.component


@dataclass(frozen=True)
class Facts:
    """What `judge` goes by. None or empty where it is not known."""

    now: datetime
    drops: Mapping[str, int] = field(default_factory=dict)  # socket -> within DROPS_FOR
    windows: Sequence[tuple[int, int]] = ()  # difference, and how much of it may be under way
    hosts: Mapping[str, Waiting] = field(default_factory=dict)
    days: frozenset[date] = frozenset()  # of the journal, in use
    journal_days: int = 30
    forecast: storage.Forecast | None = None
    free: int | None = None
    storms: Mapping[str, int] = field(default_factory=dict)  # alert type -> alerts it keeps quiet


@dataclass(frozen=True)
class Open:
    """An alert of ours that is raised."""

    severity: int
    told_at: datetime
    title: str = ""
    category: str = Category.APPLICATION.value


KERNEL_DROPS, IMBALANCE, SPOOL, LOSING, NO_DAY, LATE, DISK, TYPE_STORM = (
    "kernel_drops", "account_imbalance", "spool_in_use", "events_lost", "journal_day_missing", "retention_late",
    "disk_full_soon", "alert_type_storm",
)  # fmt: skip


def judge(facts: Facts, is_open: frozenset[Key] = frozenset()) -> tuple[list[Finding], set[str]]:
    """What is wrong, and the alert types of which nothing can be said now: those stay as they are."""
    found: list[Finding] = []
    unknown: set[str] = set()
    for address, number in sorted(facts.drops.items()):
        if number:
            found.append(
                Finding(
                    KERNEL_DROPS,
                    f"socket={address}",
                    Severity.MAJOR,
                    f"The kernel dropped {number:,} trap{'' if number == 1 else 's'} on {address}",
                    "Within the last 10 minutes they came faster than the listener read them, and the receive buffer "
                    "was full. Raise net.core.rmem_max, or start more listeners on the port (docs/traps.md).",
                    Category.NETWORK.value,
                )
            )
    if any(w.spooled or w.lasts_seconds for w in facts.hosts.values()) or not facts.windows:
        unknown.add(IMBALANCE)  # what is on the disk comes into the account later, at the time it was received
    else:
        found += _imbalance(facts.windows)
    for host, waiting in sorted(facts.hosts.items()):
        if waiting.refusing:
            found.append(
                Finding(
                    LOSING,
                    f"host={host}",
                    Severity.CRITICAL,
                    f"{host} loses events: neither the database nor the spool takes them",
                    "The spool is full or its disk is. Informs are not answered, and senders of the API are told to "
                    "come again. Traps are lost.",
                )
            )
        if waiting.spooled:
            found.append(
                Finding(
                    SPOOL,
                    f"host={host}",
                    Severity.MAJOR,
                    f"{waiting.spooled:,} events wait in the spool of {host}",
                    "The database did not take them, or not fast enough. They are stored in their order; nothing is "
                    "lost while the disk has room.",
                )
            )
    for alert_type, number in sorted(facts.storms.items()):
        found.append(
            Finding(
                TYPE_STORM,
                f"alert_type={alert_type}",
                Severity.MAJOR,
                f"Too many new alerts of type {alert_type}",
                f"{number:,} of them are on the board and nobody is told of them one by one, until they come slower "
                "than the limit of the alert type's settings again.",
            )
        )
    found += _journal(facts)
    if facts.free is None or facts.forecast is None:
        unknown.add(DISK)
    else:
        found += _disk(facts.forecast, facts.free, (DISK, "") in is_open)
    return found, unknown


def _imbalance(windows: Sequence[tuple[int, int]]) -> list[Finding]:
    beyond = [difference for difference, under_way in windows if abs(difference) > under_way]
    if len(beyond) < len(windows) or (min(beyond) < 0 < max(beyond)):
        return []
    number = min(abs(difference) for difference in beyond)
    if beyond[0] > 0:
        title = f"{number:,} datagrams of the last hour are in no bucket"
        why = "A listener was killed, or its host lost power, after it had read them and before it stored them."
    else:
        title = f"{number:,} datagrams of the last hour were stored and never reported as received"
        why = "A listener was killed within 5 s of reading them, before it could report them."
    return [Finding(IMBALANCE, "", Severity.WARNING, title, f"{why} The page System shows the account.")]


def _journal(facts: Facts) -> list[Finding]:
    today = facts.now.astimezone(UTC).date()
    found = []
    missing = [day for n in range(DAYS_AHEAD + 1) if (day := today + timedelta(days=n)) not in facts.days]
    if missing:
        found.append(
            Finding(
                NO_DAY,
                "",
                Severity.CRITICAL if missing[0] == today else Severity.MAJOR,
                f"The journal has no room for {', '.join(map(str, missing))}",
                "Days are made two weeks ahead by beat, the listener and every start; none of them did. A listener "
                "makes a day on the spot when one is missing, at the price of a pause.",
                Category.STORAGE.value,
            )
        )
    last = today - timedelta(days=facts.journal_days + LATE_DAYS)
    late = sorted(day for day in facts.days if day < last)
    if late:
        found.append(
            Finding(
                LATE,
                "",
                Severity.WARNING,
                f"{len(late)} day{'' if len(late) == 1 else 's'} of the journal should be gone, the oldest {late[0]}",
                "Events in it are still pending, or somebody has been reading it for days. manage.py prune says which.",
                Category.STORAGE.value,
            )
        )
    return found


def _disk(forecast: storage.Forecast, free: int, is_open: bool) -> list[Finding]:
    days = forecast.days
    if days is None or days >= (DISK_WELL if is_open else DISK_MAJOR):
        return []
    return [
        Finding(
            DISK,
            "",
            Severity.CRITICAL if days < DISK_CRITICAL else Severity.MAJOR,
            "The disk of the database is full within a day"
            if days < DISK_CRITICAL
            else f"The disk of the database is full in {days} day{'' if days == 1 else 's'}",
            f"{free / 1024**3:,.1f} GB are free, {forecast.per_day / 1024**3:,.1f} GB a day are added. Make room, or "
            "keep the journal for fewer days.",
            Category.STORAGE.value,
        )
    ]


def decide(
    found: Sequence[Finding],
    unknown: set[str],
    is_open: Mapping[Key, Open],
    told: Mapping[Key, datetime],
    now: datetime,
) -> tuple[list[Finding], list[Key]]:
    """What to raise, and what to clear. What lasts is told again now and then; what a person closed is not raised
    anew with every look (`told`: when each was raised last)."""
    raises = []
    for finding in found:
        alert = is_open.get(finding.key)
        last = told.get(finding.key) if alert is None else max(alert.told_at, told.get(finding.key, alert.told_at))
        changed = alert is not None and alert.severity != finding.severity
        if last is None or changed or now - last >= TELL_EVERY:
            raises.append(finding)
    still = {finding.key for finding in found}
    return raises, [key for key in is_open if key not in still and key[0] not in unknown]


# --- events -------------------------------------------------------------------------------------------------


def item_of(
    finding: Finding,
    connector: ConnectorRow,
    now: datetime,
    *,
    over: bool = False,
    rules: Normalisation = NOTHING,
) -> Item:
    item = Item(uuid7(), now, connector.id, OWN_SOURCE, None, KIND, finding.alert_type)
    item.data = {**asdict(finding), "severity": int(finding.severity), "over": over}
    _read(item, connector, rules)
    return item


def reread(item: Item, snapshot: Snapshot) -> None:
    """A journalled event of ours, once more."""
    connector = snapshot.by_id(item.connector_id) or snapshot.of_type(CONNECTOR_TYPE)
    item.event, item.outcome, item.reason, item.error = None, None, "", ""
    if connector is None or not connector.enabled:
        item.outcome, item.reason = Outcome.DISABLED, "connector"
    else:
        _read(item, connector, snapshot.normalisation)


def _read(item: Item, connector: ConnectorRow, rules: Normalisation) -> None:
    data = dict(item.data or {})
    over = bool(data["over"])
    item.event = NormalizedAlert(
        source_system=connector.type,
        connector_id=connector.id,
        identity_scope=connector.identity_scope,
        device_key=CONNECTOR_SLUG,
        device_ip=None,
        device_name=DEVICE_NAME,
        device_id=None,
        alert_type=f"{data['alert_type']}_cleared" if over else str(data["alert_type"]),
        component=str(data["component"]),
        category=str(data["category"]),
        severity=int(Severity.CLEAR) if over else int(data["severity"]),
        is_clear=over,
        t=item.received_at,
        received_at=item.received_at,
        title=str(data["title"]),
        message=str(data["message"]),
        clears=(str(data["alert_type"]),) if over else (),
        raw_data={k: v for k, v in data.items() if k != "over"},
    )
    if rules.applies:
        rules.apply(item.event)


# --- looking ------------------------------------------------------------------------------------------------

_DROPS = """
SELECT address, sum(dropped)::bigint FROM connectors_socketcount WHERE minute > %s AND dropped > 0 GROUP BY 1"""

_STORMS = """
SELECT a.alert_type, count(*)::int FROM alerts_suppression AS s JOIN alerts_alert AS a ON a.id = s.alert_id
WHERE s.ended_at IS NULL AND s.until IS NOT NULL AND s.kind = 'storm' GROUP BY 1"""

_BEATS = "SELECT instance, detail FROM opsconductor_heartbeat WHERE seen_at >= %s"

# No address is known of ourselves, and the index by device leads to those few.
_OPEN = """
SELECT alert_type, component, severity, last_occurrence_at, title, category FROM alerts_alert
WHERE device_ip IS NULL AND condition = 'raised' AND source_system = %s"""


def gather(conn: psycopg.Connection[Any], now: datetime, journal_days: int, sizes: storage.Storage) -> Facts:
    last = account.floor(now)
    hosts: dict[str, list[dict[str, Any]]] = {}
    for instance, detail in conn.execute(_BEATS, (now - account.FRESH,)).fetchall():
        if isinstance(detail, dict) and ("waiting" in detail or "spooled" in detail):
            hosts.setdefault(instance.rpartition(":")[0] or socket.gethostname(), []).append(detail)
    ends = [last - ago for ago in WINDOWS_END]
    return Facts(
        now=now,
        drops=dict(conn.execute(_DROPS, (last - DROPS_FOR - MINUTE,)).fetchall()),
        windows=[account.imbalance(conn, end - WINDOW, end) for end in ends],
        hosts={host: account.waiting_of(details) for host, details in hosts.items()},
        days=frozenset(p.day for p in sizes.partitions if p.attached and not p.detaching),
        journal_days=journal_days,
        forecast=sizes.forecast,
        free=sizes.disk.free,
        storms=dict(conn.execute(_STORMS).fetchall()),
    )


class SelfAlerts:
    """For the dispatcher: looks, and tells what is new. `connection` gives a psycopg connection in autocommit."""

    def __init__(self, ingest: Ingest, connection: Callable[[], psycopg.Connection[Any]]) -> None:
        self._ingest = ingest
        self._connection = connection
        self._told: dict[Key, datetime] = {}
        self._sizes: storage.Storage | None = None
        self._sizes_at = 0.0

    def look(self, snapshot: Snapshot, now: datetime | None = None) -> int:
        """How many events it took to say what is new. None where the connector is switched off or was deleted."""
        connector = snapshot.of_type(CONNECTOR_TYPE)
        if connector is None or not connector.enabled:
            return 0
        conn, now = self._connection(), now or datetime.now(UTC)
        with conn.transaction():
            row = conn.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", ONE_AT_A_TIME).fetchone()
            if not row or not row[0]:
                return 0  # another dispatcher is looking
            current = SystemSettings.current()
            if self._sizes is None or time.monotonic() - self._sizes_at > SIZES_SECONDS:
                self._sizes = storage.look(conn, current.journal_days, current.alert_days, now)
                self._sizes_at = time.monotonic()
            facts = gather(conn, now, current.journal_days, self._sizes)
            is_open = {
                (alert_type, component): Open(severity, at, title, category)
                for alert_type, component, severity, at, title, category in conn.execute(_OPEN, (CONNECTOR_TYPE,))
            }
            found, unknown = judge(facts, frozenset(is_open))
            raises, clears = decide(found, unknown, is_open, self._told, now)
            rules = snapshot.normalisation
            items = [item_of(finding, connector, now, rules=rules) for finding in raises]
            for key in clears:
                alert = is_open[key]
                ended = Finding(*key, alert.severity, alert.title, "It is over.", alert.category)
                items.append(item_of(ended, connector, now, over=True, rules=rules))
            if items:
                self._ingest.store(items)
            self._told = {k: at for k, at in self._told.items() if k not in clears}
            self._told.update((finding.key, now) for finding in raises)
        return len(items)
