"""`/metrics`: the account, the queues, the alerts and the processes, in Prometheus' text format.

No login, like the health checks: it names processes, sockets and numbers, no sender and nothing that is secret. Cheap:
what takes the database long is asked once a minute, however many ask. With the database away it still answers, with
what this process knows and `opsconductor_up 0`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from alerts.choices import SEVERITY_WORDS, Outcome
from connectors import account, storage
from connectors.socketcounts import LISTENER
from opsconductor import db, health
from opsconductor.exceptions import sentence
from opsconductor.models import SystemSettings

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TIMEOUT_SECONDS = 3.0
FRESH_SECONDS = 1.0  # anybody may ask; those who ask at once get one answer
FRESH_TIMES = 5  # at least so many times what it took
OLD_COUNTS_SECONDS = 60.0
SIZES_SECONDS = 60.0

Labels = Mapping[str, str]


@dataclass
class Family:
    """One metric with its samples, as the text format groups them."""

    name: str
    kind: str
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> Family:
        self.samples.append((labels, value))
        return self

    def lines(self) -> Iterator[str]:
        if not self.samples:
            return
        yield f"# HELP {self.name} {_escape(self.help)}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            inside = ",".join(f'{key}="{_escape(text, quote=True)}"' for key, text in labels.items())
            yield f"{self.name}{{{inside}}} {_number(value)}" if inside else f"{self.name} {_number(value)}"


def _escape(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def render(families: Iterable[Family]) -> str:
    return "".join(f"{line}\n" for family in families for line in family.lines())


# --- the view -----------------------------------------------------------------------------------------------

_lock = threading.Lock()
_answer: tuple[float, str] = (0.0, "")


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    global _answer
    with _lock:
        began = time.monotonic()
        if began >= _answer[0]:
            text = render(collect())
            made = time.monotonic()
            _answer = (made + max(FRESH_SECONDS, FRESH_TIMES * (made - began)), text)
        return HttpResponse(_answer[1], content_type=CONTENT_TYPE)


def collect() -> list[Family]:
    """Everything that can be had within TIMEOUT_SECONDS."""
    # Not a context manager: leaving one waits for its thread, and the timeout is against one that hangs.
    threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")
    up = Family("opsconductor_up", "gauge", "1 while the database answers, else 0 and only what this process knows.")
    found: list[Family] = []
    try:
        found = threads.submit(_from_database).result(timeout=TIMEOUT_SECONDS)
    except FutureTimeout:
        log.warning("The database did not answer /metrics within %g s.", TIMEOUT_SECONDS)
    except psycopg.Error as error:
        log.warning("The database does not answer /metrics: %s", sentence(error))
    finally:
        threads.shutdown(wait=False)
    return [up.add(1 if found else 0), *_process(), *found]


def _process() -> list[Family]:
    """The names every client library gives them."""
    found = [Family("process_cpu_seconds_total", "counter", "CPU time of this web process.").add(time.process_time())]
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        descriptors = len(os.listdir("/proc/self/fd"))
    except (OSError, ValueError, IndexError):  # not Linux
        return found
    resident = Family("process_resident_memory_bytes", "gauge", "Memory of this web process.")
    open_ = Family("process_open_fds", "gauge", "Open file descriptors of this web process.")
    python = Family("python_info", "gauge", "The interpreter.")
    version = ".".join(map(str, sys.version_info[:3]))
    resident.add(pages * os.sysconf("SC_PAGE_SIZE"))
    return [*found, resident, open_.add(descriptors), python.add(1, version=version)]


def _from_database() -> list[Family]:
    with db.connect(application="metrics", settings={"statement_timeout": f"{int(TIMEOUT_SECONDS * 1000)}ms"}) as conn:
        beats = conn.execute(
            "SELECT process, instance, extract(epoch FROM now() - seen_at)::float8, detail FROM opsconductor_heartbeat "
            "ORDER BY process, instance"
        ).fetchall()
        return [*_events(conn, beats), *_alerts(conn), *_beats(beats), *_sizes(conn)]


# --- events -------------------------------------------------------------------------------------------------

_COUNTS = f"""
SELECT {account.WAY}, outcome, reason, sum(n), sum(n + moved)
FROM (SELECT source, outcome, reason, sum(count) AS n, sum(moved) AS moved FROM connectors_ingestcount
      WHERE minute >= %s AND minute < %s GROUP BY 1, 2, 3) AS by_source
GROUP BY 1, 2, 3"""  # noqa: S608
_SOCKETS = """
SELECT address, sum(received)::bigint, sum(dropped)::bigint FROM connectors_socketcount GROUP BY 1 ORDER BY 1"""
FAR = datetime(9999, 1, 1, tzinfo=account.EPOCH.tzinfo)

Bucket = tuple[str, str, str]  # way, outcome, reason


@dataclass
class Totals:
    """By bucket: how many events are in it, and how many ever were. A replay moves events from one bucket to another,
    and the first number of the one they leave gets smaller; a monitor would take that for a restart. The second never
    does, whichever process is asked and however often it was restarted."""

    there: Counter[Bucket] = field(default_factory=Counter)
    ever: Counter[Bucket] = field(default_factory=Counter)

    def plus(self, other: Totals) -> Totals:
        found = Totals(Counter(self.there), Counter(self.ever))
        found.there.update(other.there)
        found.ever.update(other.ever)
        return found


@dataclass
class _OldCounts:
    """Sums up to an hour that is over: asked once in a while, for there may be millions of rows."""

    until: datetime = account.EPOCH
    totals: Totals = field(default_factory=Totals)
    good_until: float = 0.0


_old = _OldCounts()


def totals(conn: psycopg.Connection[Any]) -> Totals:
    """All that was ever counted. What comes late to an hour that is over shows within a minute."""
    global _old
    if time.monotonic() >= _old.good_until:
        until = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        _old = _OldCounts(until, _sums(conn, account.EPOCH, until), time.monotonic() + OLD_COUNTS_SECONDS)
    return _old.totals.plus(_sums(conn, _old.until, FAR))


def _sums(conn: psycopg.Connection[Any], since: datetime, until: datetime) -> Totals:
    found = Totals()
    for way, outcome, reason, there, ever in conn.execute(_COUNTS, (since, until)).fetchall():
        # Of what other ways refused, the reason names a field the sender made up.
        bucket = way, outcome, reason if way == "datagram" else ""
        found.there[bucket] += int(there)
        found.ever[bucket] += int(ever)
    return found


def _events(conn: psycopg.Connection[Any], beats: list[Any]) -> list[Family]:
    counts = totals(conn)
    sockets = conn.execute(_SOCKETS).fetchall()
    events = Family(
        "opsconductor_events_total",
        "counter",
        "Events by the bucket they came to, those that a replay moved in each of theirs; way: datagram, event (API, "
        "webhooks), own.",
    )
    pending = Family("opsconductor_events_pending", "gauge", "Events that are journalled and not yet applied.")
    pending.add(sum(number for (_, outcome, _), number in counts.there.items() if outcome == Outcome.PENDING))
    for (way, outcome, reason), number in sorted(counts.ever.items()):
        if outcome != Outcome.PENDING:  # events come to it and leave it: the gauge has them
            events.add(number, way=way, outcome=outcome, reason=reason)
    received = Family(
        "opsconductor_socket_received_datagrams_total", "counter", "Datagrams the listeners read from the kernel."
    )
    dropped = Family(
        "opsconductor_socket_dropped_datagrams_total",
        "counter",
        "Datagrams the kernel dropped because a socket's receive buffer was full.",
    )
    for address, got, lost in sockets:
        received.add(got, address=address)
        dropped.add(lost, address=address)
    listeners = [
        (instance, detail)
        for process, instance, age, detail in sorted(beats, key=lambda beat: -beat[2])
        if process == LISTENER and isinstance(detail, dict) and age <= account.FRESH.total_seconds()
    ]
    hosts = Family(
        "opsconductor_host_udp_dropped_datagrams_total",
        "counter",
        "Datagrams all UDP sockets of a listener's host dropped since it was started, whatever program's they are.",
    )
    for host, number in sorted(account.dropped_by_host(listeners).items()):
        hosts.add(number, host=host)
    waiting = account.waiting_of(detail for _, detail in listeners)
    found = account.Account(account.PERIODS[-1], received=sum(got for _, got, _ in sockets), waiting=waiting)
    for (way, outcome, _), number in counts.there.items():
        if way == "datagram":
            found.buckets[outcome] += number
    difference = Family(
        "opsconductor_account_difference_datagrams",
        "gauge",
        "Datagrams received less those in a bucket or waiting: 0, but for what is under way and what a killed process "
        "took with it.",
    ).add(found.difference)
    return [events, pending, received, dropped, hosts, difference]


# --- alerts, processes, sizes -------------------------------------------------------------------------------


def _alerts(conn: psycopg.Connection[Any]) -> list[Family]:
    family = Family("opsconductor_open_alerts", "gauge", "Open alerts by severity and status.")
    rows = conn.execute(
        "SELECT severity, status, count(*) FROM alerts_alert WHERE condition = 'raised' GROUP BY 1, 2"
    ).fetchall()
    counts = {(SEVERITY_WORDS.get(severity, str(severity)), status): number for severity, status, number in rows}
    for severity in SEVERITY_WORDS.values():  # also those that are 0, so that a series does not end with its last alert
        for status in ("active", "acknowledged", "suppressed"):
            family.add(counts.get((severity, status), 0), severity=severity, status=status)
    return [family]


def _beats(beats: list[Any]) -> list[Family]:
    up = Family("opsconductor_process_up", "gauge", "1 when one of these processes reported in time.")
    age = Family("opsconductor_heartbeat_age_seconds", "gauge", "Since a process last reported.")
    memory = Family("opsconductor_queue_events", "gauge", "Events received and waiting in the memory of a process.")
    spool = Family("opsconductor_spool_events", "gauge", "Events waiting on the disk for the database.")
    away = Family("opsconductor_not_storing_seconds", "gauge", "How long the database has refused a process's events.")
    youngest: dict[str, float] = {}
    for process, instance, seconds, detail in beats:
        labels = {"process": process, "instance": instance}
        age.add(max(0.0, round(seconds, 3)), **labels)
        youngest[process] = min(seconds, youngest.get(process, seconds))
        if not isinstance(detail, dict) or seconds > account.FRESH.total_seconds():
            continue
        for name, family in (("waiting", memory), ("spooled", spool), ("not_storing_seconds", away)):
            if isinstance(detail.get(name), int | float):
                family.add(detail[name], **labels)
    limits = {health.WEB: health.WEB_SECONDS, **{process: limit for process, (_, limit) in health.PROCESSES.items()}}
    for process, limit in limits.items():
        up.add(1 if youngest.get(process, limit + 1) <= limit else 0, process=process)
    return [up, age, memory, spool, away]


_sizes_kept: tuple[float, list[Family]] = (0.0, [])


def _sizes(conn: psycopg.Connection[Any]) -> list[Family]:
    global _sizes_kept
    if time.monotonic() < _sizes_kept[0]:
        return _sizes_kept[1]
    row = conn.execute("SELECT journal_days, alert_days FROM opsconductor_systemsettings WHERE id = 1").fetchone()
    defaults = SystemSettings()
    found = storage.look(conn, *(row or (defaults.journal_days, defaults.alert_days)))
    tables = Family("opsconductor_table_size_bytes", "gauge", "Tables with their indexes; the journal is all its days.")
    tables.add(found.journal.total, table="journal")
    for name, table in zip(storage.TABLES, found.tables, strict=False):
        tables.add(table.total, table=name)
    families = [
        tables,
        Family("opsconductor_database_size_bytes", "gauge", "The whole database.").add(found.database),
        Family("opsconductor_journal_days", "gauge", "Days of the journal that hold room for events.").add(
            sum(p.attached for p in found.partitions)
        ),
    ]
    if found.disk.free is not None:
        families.append(
            Family("opsconductor_disk_free_bytes", "gauge", "Free on the disk of the database.").add(found.disk.free)
        )
    if found.forecast is not None and found.forecast.days is not None:
        families.append(
            Family(
                "opsconductor_disk_full_in_seconds", "gauge", "Until it is full; absent while retention keeps up."
            ).add(found.forecast.days * storage.DAY_SECONDS)
        )
    _sizes_kept = (time.monotonic() + SIZES_SECONDS, families)
    return families


def forget() -> None:
    """For tests: what is kept belongs to another one's database."""
    global _answer, _old, _sizes_kept
    _answer, _old, _sizes_kept = (0.0, ""), _OldCounts(), (0.0, [])
