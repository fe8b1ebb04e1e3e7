"""Sources that send by themselves and have been silent for longer than they may: an alert, until they speak again.

Set for each connector (`webhook_silence_s` of its configuration, off where nothing is said). What is kept of it lies in
the database (`Listening`), so a restart neither tells it again nor forgets. Time in which nobody listened is not the
source's silence: after a break of our own the time begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from alerts.choices import SEVERITY_WORDS, Outcome, Severity
from alerts.ids import uuid7
from alerts.types import NormalizedAlert
from connectors.framework.shared import HEALTH, SILENCE_SETTING
from connectors.ingest import Ingest
from connectors.journal import OWN_SOURCE, Item
from connectors.snapshot import ConnectorRow, Snapshot

KIND = "silence"
ALERT_TYPE = "webhook_silent"
# Without a look for so long nobody was listening either.
BREAK = timedelta(minutes=2)
ONE_AT_A_TIME = (8632, 7)
SEVERITIES = {word: value for value, word in SEVERITY_WORDS.items()}

# Its own column is up to date to some seconds, the counts of the writers to the moment.
_LOOK = f"""
SELECT c.id, c.name, (c.config->>'{SILENCE_SETTING}')::float,
    greatest(c.last_success_at, (SELECT max(r.last_at) FROM connectors_receivedcount AS r WHERE r.connector_id = c.id)),
    l.since, l.looked_at, l.told_at
FROM connectors_connector AS c LEFT JOIN connectors_listening AS l ON l.connector_id = c.id
WHERE c.enabled AND jsonb_typeof(c.config->'{SILENCE_SETTING}') = 'number'
    AND (c.config->>'{SILENCE_SETTING}')::float > 0
ORDER BY c.id"""  # noqa: S608
_KEEP = """
INSERT INTO connectors_listening (connector_id, since, looked_at, told_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (connector_id) DO UPDATE
SET since = EXCLUDED.since, looked_at = EXCLUDED.looked_at, told_at = EXCLUDED.told_at"""
_OVER = "DELETE FROM connectors_listening WHERE NOT connector_id = ANY(%s) RETURNING connector_id, told_at"


@dataclass(frozen=True, slots=True)
class Source:
    """One that is listened for. `heard`: receipt of its newest event; `told_at`: when its silence was told."""

    heard: datetime | None
    since: datetime
    told_at: datetime | None
    limit: timedelta

    def says(self, now: datetime) -> bool | None:
        """True: its silence is to be told now; False: it is over; None: nothing is new."""
        if self.told_at is not None:
            return False if self.heard is not None and self.heard > self.told_at else None
        last = max(self.heard, self.since) if self.heard is not None else self.since
        return True if now - last >= self.limit else None


class Silence:
    """For the dispatcher. `connection` gives a psycopg connection in autocommit."""

    def __init__(self, ingest: Ingest, connection: Callable[[], psycopg.Connection[Any]]) -> None:
        self._ingest, self._connection = ingest, connection

    def look(self, snapshot: Snapshot, now: datetime | None = None) -> int:
        """How many events it took to say what is new."""
        conn, now = self._connection(), now or datetime.now(UTC)
        items: list[Item] = []
        with conn.transaction():
            row = conn.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", ONE_AT_A_TIME).fetchone()
            if not row or not row[0]:
                return 0  # another dispatcher is looking
            watched = []
            for pk, name, seconds, heard, since, looked_at, told_at in conn.execute(_LOOK).fetchall():
                connector = snapshot.by_id(pk)
                if connector is None or not connector.enabled:
                    continue  # known in a second
                watched.append(pk)
                if since is None or now - looked_at > BREAK:
                    since = now
                source = Source(heard, since, told_at, timedelta(seconds=seconds))
                said = source.says(now)
                if said is not None:
                    items.append(_item(connector, name, source, now, is_silent=said))
                    told_at = now if said else None
                conn.execute(_KEEP, (pk, since, now, told_at))
            for pk, told_at in conn.execute(_OVER, (watched,)).fetchall():
                # Switched off, or nobody wants to know any more: what was told of it ends too.
                connector = snapshot.by_id(pk)
                if told_at is not None and connector is not None:
                    items.append(_item(connector, connector.slug, None, now, is_silent=False))
            if items:
                self._ingest.store(items)
        return len(items)


def _item(connector: ConnectorRow, name: str, source: Source | None, now: datetime, *, is_silent: bool) -> Item:
    item = Item(uuid7(), now, connector.id, OWN_SOURCE, None, KIND, ALERT_TYPE)
    heard = source.heard if source is not None else None
    item.data = {
        "name": name,
        "is_silent": is_silent,
        "heard": heard.isoformat() if heard else None,
        "limit_s": source.limit.total_seconds() if source else None,
    }
    _read(item, connector, None)
    return item


def reread(item: Item, snapshot: Snapshot) -> None:
    """A journalled event of ours, once more."""
    connector = snapshot.by_id(item.connector_id)
    item.event, item.outcome, item.reason, item.error = None, None, "", ""
    if connector is None:
        item.outcome, item.reason = Outcome.DISABLED, "connector"
    else:
        _read(item, connector, snapshot)


def _read(item: Item, connector: ConnectorRow, snapshot: Snapshot | None) -> None:
    data = dict(item.data or {})
    kind, is_silent = HEALTH[ALERT_TYPE], bool(data["is_silent"])
    since = f"Its last event came at {data['heard'][:19].replace('T', ' ')} UTC." if data["heard"] else ""
    item.event = NormalizedAlert(
        source_system=connector.type,
        connector_id=connector.id,
        identity_scope=f"source/{connector.slug}",
        device_key=connector.slug,
        device_ip=None,
        device_name=str(data["name"]),
        device_id=None,
        alert_type=ALERT_TYPE if is_silent else str(kind["cleared_by"]),
        component=f"source={connector.slug}",
        category=str(kind["category"]),
        severity=SEVERITIES[kind["severity"]] if is_silent else int(Severity.CLEAR),
        is_clear=not is_silent,
        t=item.received_at,
        received_at=item.received_at,
        title=f"{data['name']} has sent nothing for {in_words(data['limit_s'])}" if is_silent else "It is heard again",
        message=since or ("Nothing was ever received from it." if is_silent else ""),
        clears=() if is_silent else (ALERT_TYPE,),
        raw_data=data,
    )
    if snapshot is not None and snapshot.normalisation.applies:
        snapshot.normalisation.apply(item.event)


def in_words(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)} {word}"
    return f"{int(seconds)} s"
