"""Alerts as CSV (RFC 4180, UTF-8), in memory that does not grow with their number.

A server-side cursor hands out a few thousand rows at a time; each lot is written into one piece of text and sent before
the next one is fetched.
"""

from __future__ import annotations

import csv
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.db.models import QuerySet

from alerts.choices import SEVERITY_WORDS, Priority
from alerts.models import Alert

log = logging.getLogger(__name__)

LOT = 1_000  # rows; about 250 kB of text
AT_ONCE = 2  # exports of one process: each keeps a connection of its pool
# Of a transaction nobody fetches from any more, and of one fetch.
IDLE_SECONDS, FETCH_SECONDS = 60, 120

# What a spreadsheet would take for a formula when a cell begins with it.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def text(value: Any) -> str:
    """A cell that stays text in a spreadsheet, whoever wrote it: what would be a formula gets a ' in front."""
    if value is None:
        return ""
    said = str(value)
    return f"'{said}" if said.startswith(FORMULA) else said


def time(value: datetime | None) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else ""


def _words(values: list[str] | None) -> str:
    return text(",".join(values or ()))


def _severity(value: int) -> str:
    return SEVERITY_WORDS[value]


def _priority(value: int) -> str:
    return Priority(value).label


# Name of the column, where its value is read, how it is written.
COLUMNS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("id", "id", str),
    ("occurred_at", "occurred_at", time),
    ("severity", "severity", _severity),
    ("priority", "priority", _priority),
    ("status", "status", str),
    ("category", "category", str),
    ("device_ip", "device_ip", text),
    ("device_name", "device_name", text),
    ("site", "device__site", text),
    ("alert_type", "alert_type", text),
    ("component", "component", text),
    ("title", "title", text),
    ("message", "message", text),
    ("source_system", "source_system", text),
    ("connector", "connector__slug", text),
    ("occurrence_count", "occurrence_count", int),
    ("last_occurrence_at", "last_occurrence_at", time),
    ("last_clear_at", "last_clear_at", time),
    ("acknowledged_at", "acknowledged_at", time),
    ("acknowledged_by", "acknowledged_by__username", text),
    ("assigned_to", "assigned_to__username", text),
    ("resolved_at", "resolved_at", time),
    ("resolved_by", "resolved_by__username", text),
    ("correlated_to", "correlated_to_id", text),
    ("tags", "tags", _words),
)
HEADER = tuple(name for name, _, _ in COLUMNS)


class _Lines(list[str]):
    """What csv.writer writes into."""

    def write(self, line: str) -> None:
        self.append(line)

    def take(self) -> bytes:
        taken = "".join(self).encode()
        self.clear()
        return taken


def lots(alerts: QuerySet[Alert], place: Place) -> Iterator[bytes]:
    """The header, then lots of lines. Holds a transaction open until it ends or is closed, and gives the place back."""
    try:
        yield from _lots(alerts)
    finally:
        place.close()


def _lots(alerts: QuerySet[Alert]) -> Iterator[bytes]:
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(HEADER)
    writers = [write for _, _, write in COLUMNS]
    with transaction.atomic():
        with connection.cursor() as cur:
            cur.execute(
                f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; "
                f"SET LOCAL statement_timeout = '{FETCH_SECONDS}s'"
            )
        rows = alerts.values_list(*(path for _, path, _ in COLUMNS)).iterator(chunk_size=LOT)
        for number, row in enumerate(rows, 1):
            writer.writerow([write(value) for write, value in zip(writers, row, strict=True)])
            if number % LOT == 0:
                yield lines.take()
    yield lines.take()


async def lots_async(alerts: QuerySet[Alert], place: Place) -> AsyncIterator[bytes]:
    """The same for an event loop: each lot is fetched in the request's own thread, where its transaction lives."""
    source = lots(alerts, place)

    def fetch() -> bytes | None:
        return next(source, None)

    try:
        while (lot := await sync_to_async(fetch)()) is not None:
            yield lot
    except Exception:
        log.exception("An export of alerts ended before its end.")
        raise
    finally:
        await sync_to_async(source.close)()  # type: ignore[attr-defined]


class Place:
    """One of the exports that may run at once. Given back once, at the latest when it is forgotten."""

    _free = threading.BoundedSemaphore(AT_ONCE)

    def __init__(self) -> None:
        self.taken = False

    @classmethod
    def take(cls) -> Place | None:
        """None when all are taken."""
        place = cls()
        place.taken = cls._free.acquire(blocking=False)
        return place if place.taken else None

    def close(self) -> None:
        if self.taken:
            self.taken = False
            self._free.release()

    def __del__(self) -> None:
        self.close()
