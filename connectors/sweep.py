"""Finishes what a batch could not: journal rows that are pending are read again and applied one by one."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from alerts.choices import Outcome
from connectors.ingest import Ingest
from connectors.journal import READ_COLUMNS, Item, item_of
from connectors.models import InformSeen, RawEvent
from connectors.registry import reader
from connectors.snapshot import Snapshot

log = logging.getLogger(__name__)

# Younger rows belong to the batch that is writing them.
PENDING_AGE = timedelta(seconds=5)
BATCH = 500
INFORMS_KEPT = timedelta(hours=1)


def sweep_pending(ingest: Ingest, snapshot: Snapshot, now: datetime | None = None) -> int:
    """Apply pending events, oldest first; how many were looked at. Each ends in its bucket, at worst as failed."""
    older_than = (now or datetime.now(UTC)) - PENDING_AGE
    rows = list(
        RawEvent.objects.filter(outcome=Outcome.PENDING, received_at__lt=older_than).order_by("received_at", "id")[
            :BATCH
        ]
    )
    for row in rows:
        finish(ingest, snapshot, item_of([getattr(row, name) for name in READ_COLUMNS]))
    if rows:
        log.info("%d pending events were finished.", len(rows))
    return len(rows)


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


def forget_informs(now: datetime | None = None) -> int:
    """Informs too old to be sent again; how many. Kept longer than they are compared: what was received within a minute
    of them may still wait in a spool."""
    deleted, _ = InformSeen.objects.filter(seen_at__lt=(now or datetime.now(UTC)) - INFORMS_KEPT).delete()
    return deleted
