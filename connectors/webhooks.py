"""Webhooks: a body as a vendor's system posts it, split into events; each is journalled, whatever it says.

A vendor is a folder, `connectors/vendors/<type>/` with a module `webhook` in it, which has

- `LABEL`, what the type is called where an engineer chooses it;
- `read(body, headers, connector)`: the events of a body, each a JSON object as it is journalled. `headers` holds those
  of HEADERS_KEPT, lower case. Raises Unreadable for a body that cannot be split;
- `normalize(raw, item, connector, snapshot)`: what one of them means, today and when it is read again. Raises Unmapped
  where it says too little; may make the item DISABLED.

Senders are machines that nobody reads the answers of: what is authentic is never refused for what it says.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast
from uuid import UUID

import orjson

from alerts.choices import Outcome, Severity
from alerts.ids import uuid7
from alerts.types import NormalizedAlert
from connectors import seen, vendors
from connectors.events import TITLE_MAX, facts, storable
from connectors.journal import Item
from connectors.snapshot import ConnectorRow, Snapshot

log = logging.getLogger(__name__)

KIND = "webhook"
UNKNOWN_TYPE = "unknown_event"
EVENTS_MAX = 5_000  # of one body; more are journalled as the one body they came in
# What a body is read by; kept beside one that could not be read.
HEADERS_KEPT = ("content-type", "content-encoding")

Headers = Mapping[str, str]


class Unreadable(ValueError):
    """A body that cannot be split into events. `reason` is a word for the counts."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Unmapped(ValueError):
    """An event that does not say what an alert needs. `reason` is a word for the counts: the field at fault."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Reader(Protocol):
    """A vendor's module `webhook`."""

    LABEL: str

    def read(self, body: bytes, headers: Headers, connector: ConnectorRow) -> list[dict[str, Any]]: ...
    def normalize(
        self, raw: dict[str, Any], item: Item, connector: ConnectorRow, snapshot: Snapshot
    ) -> NormalizedAlert: ...


@lru_cache(maxsize=1)
def readers() -> dict[str, Reader]:
    """By connector type."""
    folders = sorted(path.parent.name for path in Path(vendors.__path__[0]).glob("*/webhook.py"))
    return {name: cast(Reader, import_module(f"{vendors.__name__}.{name}.webhook")) for name in folders}


@dataclass(frozen=True, slots=True)
class Part:
    """What becomes one row of the journal: an event's JSON, or a whole body with the reason why it is not split."""

    data: dict[str, Any]
    body: bytes | None = None
    reason: str = ""
    error: str = ""


def source_of(connector: ConnectorRow) -> str:
    """What its events are counted under."""
    return f"webhook:{connector.slug}"


def kind_of(connector: ConnectorRow) -> str:
    return " ".join(dict.fromkeys((KIND, connector.type)))


def split(body: bytes, headers: Headers, connector: ConnectorRow) -> list[Part]:
    """At least one part. Never raises for what was sent."""
    try:
        if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise Unreadable("compressed", "The body is compressed. Let its sender send it as it is.")
        raws = readers()[connector.type].read(body, headers, connector)
        if not raws:
            raise Unreadable("empty", "The body holds no event.")
        if len(raws) > EVENTS_MAX:
            raise Unreadable("too_many", f"The body holds {len(raws):,} events; at most {EVENTS_MAX:,} are taken.")
        return [Part(_storable(raw)) for raw in raws]
    except Unreadable as error:
        reason, said = error.reason, str(error)
    except Exception as error:
        log.exception("A body for the webhook of “%s” could not be read; it is journalled.", connector.slug)
        reason, said = type(error).__name__, _traceback()
    return [Part({"headers": {n: storable(headers[n]) for n in HEADERS_KEPT if n in headers}}, body, reason, said)]


def interpret(
    part: Part,
    connector: ConnectorRow,
    address: str | None,
    received_at: datetime,
    snapshot: Snapshot,
    event_key: UUID | None = None,
) -> Item:
    """The journal item of a part, with its event or the outcome that says why it has none. `address`: its sender's."""
    item = Item(event_key or uuid7(), received_at, connector.id, source_of(connector), None, kind_of(connector))
    item.device_ip, item.data, item.datagram = address, part.data, part.body
    if not connector.enabled:
        item.outcome, item.reason = Outcome.DISABLED, "connector"
    elif part.body is not None:
        item.outcome, item.reason, item.error = Outcome.FAILED, part.reason, part.error
    else:
        _fill(item, part.data, connector, snapshot)
        seen.note(connector.type, item.data or part.data, snapshot.normalisation)
    return item


def reread(item: Item, snapshot: Snapshot) -> None:
    """Interpret a journalled event once more, with today's configuration. A body that could not be split is tried
    again: it is one row, so it must be one event by now."""
    kind = item.kind.rpartition(" ")[2]
    connector = snapshot.by_id(item.connector_id) or ConnectorRow(0, kind, kind, False, kind)
    item.event, item.outcome, item.reason, item.error = None, None, "", ""
    if not connector.enabled:
        item.outcome, item.reason = Outcome.DISABLED, "connector"
        return
    raw = item.data or {}
    if item.datagram is not None:
        parts = split(item.datagram, raw.get("headers") or {}, connector)
        if len(parts) > 1:
            parts = [Part({}, b"", "several", f"It is {len(parts)} events by now. Let its sender send it again.")]
        if parts[0].body is not None:
            item.outcome, item.reason, item.error = Outcome.FAILED, parts[0].reason, parts[0].error
            return
        raw = parts[0].data
    _fill(item, raw, connector, snapshot)


def _fill(item: Item, raw: dict[str, Any], connector: ConnectorRow, snapshot: Snapshot) -> None:
    try:
        event = readers()[connector.type].normalize(raw, item, connector, snapshot)
    except Unmapped as wrong:
        event = unknown(item, raw, connector, snapshot, wrong)
        item.reason, item.error = wrong.reason, str(wrong)
    except Exception as error:
        log.exception("An event of webhook “%s” could not be read; it is journalled as failed.", connector.slug)
        item.outcome, item.reason, item.error = Outcome.FAILED, type(error).__name__, _traceback()
        return
    item.subject = event.alert_type
    item.device_ip = event.device_ip
    if item.outcome is None:
        item.event = event


def unknown(
    item: Item, raw: dict[str, Any], connector: ConnectorRow, snapshot: Snapshot, wrong: Unmapped
) -> NormalizedAlert:
    """What an event raises that nobody can tell the meaning of: an alert on its sender, as an unknown trap does."""
    address = item.device_ip or ""
    device = snapshot.devices.find(address)
    key = device.ip if device else address
    event = NormalizedAlert(
        source_system=connector.type,
        connector_id=connector.id,
        identity_scope=connector.identity_scope,
        device_key=key or connector.slug,
        device_ip=key or None,
        device_name=device.name if device else "",
        device_id=device.id if device else None,
        alert_type=UNKNOWN_TYPE,
        component=f"webhook={connector.slug},field={wrong.reason}",
        category="unknown",
        severity=int(Severity.WARNING),
        is_clear=False,
        t=item.received_at,
        received_at=item.received_at,
        title=f"Unknown event of webhook {connector.slug}: {wrong}"[:TITLE_MAX],
        message="What was sent is in the journal. It is read again once somebody asks for a replay.",
        raw_data=partial(facts, raw, item.source, None),
        former_keys=device.former if device else (),
    )
    event.unmapped = True
    if snapshot.normalisation.applies:
        snapshot.normalisation.apply(event)
    return event


def _storable(raw: dict[str, Any]) -> dict[str, Any]:
    """As it is, where the database takes it: no NUL, not nested deeper than what writes JSON goes."""
    try:
        if b"\\u0000" not in orjson.dumps(raw):
            return raw
    except orjson.JSONEncodeError:
        pass
    found: dict[str, Any] = storable(raw)
    return found


def _traceback() -> str:
    return traceback.format_exc()[-8_000:].replace("\x00", "")
