"""Finishes what a batch could not: journal rows that are pending are read again and applied one by one."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q

from alerts.choices import Outcome
from connectors.ingest import Ingest
from connectors.journal import READ_COLUMNS, Item, item_of
from connectors.models import RawEvent
from connectors.registry import reader
from connectors.snapshot import Snapshot

log = logging.getLogger(__name__)

# Younger rows belong to the batch that is writing them.
PENDING_AGE = timedelta(seconds=5)
BATCH = 500


Place = tuple[datetime, int]  # received_at and id of a journal row


class Swept(NamedTuple):
    """How many events were looked at; `place` is the last of them when there are more that time did not suffice for."""

    events: int
    place: Place | None


def sweep_pending(
    ingest: Ingest,
    snapshot: Snapshot,
    now: datetime | None = None,
    *,
    seconds: float | None = None,
    behind: Place | None = None,
) -> Swept:
    """Apply pending events, oldest first, for about so long; without a time all of them. `behind` goes on from a place,
    so that one that could not be given its bucket, and stays pending, is not in the way of the others. Each ends in its
    bucket, at worst as failed."""
    until = math.inf if seconds is None else time.monotonic() + seconds
    swept, place = 0, None
    for row in _pending((now or datetime.now(UTC)) - PENDING_AGE, behind):
        if place and time.monotonic() >= until:
            break
        finish(ingest, snapshot, item_of([getattr(row, name) for name in READ_COLUMNS]))
        swept, place = swept + 1, (row.received_at, row.pk)
    else:
        place = None
    if swept:
        log.info("%d pending events were finished.", swept)
    return Swept(swept, place)


def _pending(older_than: datetime, behind: Place | None) -> Iterator[RawEvent]:
    """Each once, a batch of rows at a time."""
    waiting = RawEvent.objects.filter(outcome=Outcome.PENDING, received_at__lt=older_than).order_by("received_at", "id")
    while True:
        rest = Q()
        if behind is not None:
            rest = Q(received_at__gt=behind[0]) | Q(received_at=behind[0], id__gt=behind[1])
        rows = list(waiting.filter(rest)[:BATCH])
        yield from rows
        if len(rows) < BATCH:
            return
        behind = rows[-1].received_at, rows[-1].pk


def finish(ingest: Ingest, snapshot: Snapshot, item: Item) -> None:
    """Read one pending event with the mappings of the snapshot, and give it its bucket."""
    try:
        reader(item.kind)(item, snapshot)
    except Exception as error:
        ingest.fail_pending(item, error)
        return
    if item.event is not None:
        ingest.finish_pending(item)
    elif item.outcome is not None:
        ingest.settle_pending(item, item.outcome, item.reason, item.error)
