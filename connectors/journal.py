"""The journal and its counts: every event as received, once, with the bucket it ended in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from alerts.choices import Outcome
from alerts.types import NormalizedAlert
from connectors.claims import RequestKey
from opsconductor import pgtext


@dataclass(slots=True)
class InformKey:
    """What makes two informs the same one sent again."""

    source: str
    port: int
    request_id: int
    payload_hash: str


@dataclass(slots=True)
class Item:
    """One received event on its way. event_key and received_at are given once, when it is received, and never change.

    `outcome` is set before the engine for what never reaches it (rejected, disabled, failed); `journalled` is off
    for refusals beyond the sample, which are only counted. `withheld`: its source is above its rate, so it opens
    nothing new.
    """

    event_key: UUID
    received_at: datetime
    connector_id: int | None
    source: str
    source_port: int | None
    kind: str
    subject: str = ""
    device_ip: str | None = None
    datagram: bytes | None = None
    data: dict[str, Any] | None = None
    event: NormalizedAlert | None = None
    outcome: Outcome | None = None
    reason: str = ""
    error: str = ""
    alert_id: UUID | None = None
    fingerprint: str = ""
    inform: InformKey | None = None
    journalled: bool = True
    withheld: bool = False
    request: RequestKey | None = None


# What a journalled event is read again from, in the order `item_of` takes it.
READ_COLUMNS = (
    "received_at",
    "event_key",
    "connector_id",
    "source",
    "source_port",
    "kind",
    "subject",
    "device_ip",
    "datagram",
    "data",
)


def item_of(values: Sequence[Any]) -> Item:
    """The event of a journal row, from the values of READ_COLUMNS; not interpreted yet."""
    fields = dict(zip(READ_COLUMNS, values, strict=True))
    if fields["datagram"] is not None:
        fields["datagram"] = bytes(fields["datagram"])  # Django hands out a memoryview
    return Item(**fields)


_COLUMNS = (
    "received_at, event_key, connector_id, source, source_port, kind, subject, device_ip, datagram, data, "
    "outcome, reason, error, alert_id, fingerprint"
)
_TYPES = (
    "timestamptz", "uuid", "int8", "varchar", "int4", "varchar", "varchar", "inet", "bytea", "jsonb",
    "varchar", "varchar", "text", "uuid", "varchar",
)  # fmt: skip
_COPY = f"COPY connectors_rawevent ({_COLUMNS}) FROM STDIN"
_INSERT_ONCE = (
    f"INSERT INTO connectors_rawevent ({_COLUMNS}) "  # noqa: S608
    f"VALUES ({', '.join(f'%s::{t}' for t in _TYPES)}) ON CONFLICT DO NOTHING"
)
_UPDATE = """
UPDATE connectors_rawevent SET
    outcome = %s, reason = %s, error = %s, alert_id = %s, fingerprint = %s, device_ip = %s::inet, subject = %s
WHERE received_at = %s AND event_key = %s"""

_COUNT = """
INSERT INTO connectors_ingestcount AS c (minute, source, outcome, reason, count, moved)
SELECT minute, source, outcome, reason, n, greatest(-n, 0)
FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bigint[])
    AS v(minute, source, outcome, reason, n)
ON CONFLICT (minute, source, outcome, reason) DO UPDATE
SET count = c.count + EXCLUDED.count, moved = c.moved + EXCLUDED.moved"""

# Not a device: what OpsConductor says itself is no datagram and stays out of the account of any source.
OWN_SOURCE = "opsconductor"

Bucket = tuple[datetime, str, str, str]
MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def copy_rows(cur: Any, items: Iterable[Item]) -> None:
    """Append rows; the live path. A row that is already there is a unique violation."""
    with cur.copy(_COPY) as copy:
        for item in items:
            if item.journalled:
                copy.write_row(_row(item))


def insert_once(cur: Any, items: Iterable[Item]) -> None:
    """Append the rows that are not there yet; the path of everything that may have been written before."""
    cur.executemany(_INSERT_ONCE, [_row(item) for item in items if item.journalled])


def finish(cur: Any, item: Item) -> None:
    """Give a pending row its outcome."""
    cur.execute(
        _UPDATE,
        (
            _outcome(item),
            item.reason[:200],
            item.error,
            item.alert_id,
            item.fingerprint,
            item.device_ip,
            item.subject[:300],
            item.received_at,
            item.event_key,
        ),
    )


def count(cur: Any, buckets: Counter[Bucket]) -> None:
    """Add to the counts per minute, source, outcome and reason; sorted, so that two writers never wait crosswise. What
    is taken from a bucket was moved to another one, and is noted as that."""
    rows = sorted((*bucket, n) for bucket, n in buckets.items() if n)
    if rows:
        minutes, sources, outcomes, reasons, numbers = zip(*rows, strict=True)
        texts = (pgtext.text_array(column) for column in (sources, outcomes, reasons))
        cur.execute(_COUNT, (pgtext.array(minutes), *texts, pgtext.array(numbers)))


def tally(items: Sequence[Item]) -> Counter[Bucket]:
    """How many items ended in which bucket."""
    found: Counter[Bucket] = Counter()
    start = end = EPOCH  # of the minute of the item before: mostly the same
    for item in items:
        if not start <= item.received_at < end:
            start = item.received_at.replace(second=0, microsecond=0)
            end = start + MINUTE
        found[start, item.source, _outcome(item), item.reason[:60]] += 1
    return found


def bucket(item: Item) -> Bucket:
    return (item.received_at.replace(second=0, microsecond=0), item.source, _outcome(item), item.reason[:60])


def _outcome(item: Item) -> str:
    if item.outcome is None:
        raise ValueError(f"event {item.event_key} has no outcome")
    return item.outcome.value


def _row(item: Item) -> tuple[Any, ...]:
    return (
        item.received_at,
        item.event_key,
        item.connector_id,
        item.source,
        item.source_port,
        item.kind,
        item.subject[:300],
        item.device_ip,
        item.datagram,
        None if item.data is None else orjson.dumps(item.data).decode(),
        _outcome(item),
        item.reason[:200],
        item.error,
        item.alert_id,
        item.fingerprint,
    )
