"""How much each source sends. Above its rate it opens no new alerts; all is journalled, clears and repeats apply.

A token bucket for each source, by the receive times of its own events, so that a backlog is judged as it came and not
as it is worked off. A storm is an alert of its own: raised when half of the burst is used up, told again with new
numbers now and then, cleared when the source has been within its rate for a while. Kept in memory: sources are steered
to one process each, and after a restart the alert of a storm that is over expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alerts.choices import Category, Severity
from alerts.ids import uuid7
from alerts.types import NormalizedAlert
from connectors.journal import OWN_SOURCE, Item
from connectors.snapshot import ConnectorRow, Limits, Snapshot

KIND = "storm"
ALERT_TYPE = "event_storm"
TELL_SECONDS = 30
CALM_SECONDS = 60
TTL_MINUTES = 15
SOURCES_KEPT = 50_000
SECOND = 1_000_000_000


@dataclass(slots=True)
class _Source:
    tokens: float
    at: int  # ns
    # Of the storm, if there is one:
    since: int = 0
    hot_at: int = 0  # last seen with less than half of its burst left
    told_at: int = 0
    events: int = 0
    withheld: int = 0
    told_withheld: int = 0


class Storms:
    """For one thread."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}
        self._storming: dict[str, _Source] = {}

    def is_above(self, source: str, at: int, limits: Limits) -> bool:
        """Count an event received at `at` (ns); whether its source is above its rate."""
        found = self._sources.get(source)
        if found is None:
            if len(self._sources) >= SOURCES_KEPT:  # senders may be forged; those at rest need not be remembered
                self._sources = dict(self._storming)
            found = self._sources[source] = _Source(limits.burst, at)
        if at > found.at:
            found.tokens = min(limits.burst, found.tokens + (at - found.at) * limits.rate / SECOND)
            found.at = at
        above = found.tokens < 1
        if not above:
            found.tokens -= 1
        if found.tokens < limits.burst / 2:
            if not found.since:
                found.since, found.events, found.told_at = at, 0, 0
                found.withheld = found.told_withheld = 0
                self._storming[source] = found
            found.hot_at = max(found.hot_at, at)
        if found.since:
            found.events += 1
            found.withheld += above
        return above

    def report(self, now: int, snapshot: Snapshot, connector: ConnectorRow) -> list[Item]:
        """What there is to say of storms at `now` (ns): items that raise, tell again and clear their alerts. Told again
        when the first alert was withheld, and every TELL_SECONDS."""
        if not self._storming:
            return []
        items = []
        for source, storm in list(self._storming.items()):
            over = now - storm.hot_at > CALM_SECONDS * SECOND
            first = storm.withheld > 0 and not storm.told_withheld
            if over or first or now - storm.told_at >= TELL_SECONDS * SECOND:
                storm.told_at, storm.told_withheld = now, storm.withheld
                data = {
                    "source": source,
                    "since": _time(storm.since).isoformat(),
                    "events": storm.events,
                    "withheld": storm.withheld,
                    "rate": snapshot.limits.rate,
                    "over": over,
                }
                item = Item(uuid7(), _time(now), connector.id or None, OWN_SOURCE, None, KIND, ALERT_TYPE, source)
                item.data = data
                read(item, snapshot, connector)
                items.append(item)
            if over:
                storm.since = 0
                del self._storming[source]
        return items


def read(item: Item, snapshot: Snapshot, connector: ConnectorRow) -> None:
    """Give a storm's item its event."""
    data: dict[str, Any] = item.data or {}
    source = str(data["source"])
    device = snapshot.devices.find(source)
    key = device.ip if device else source
    since = datetime.fromisoformat(data["since"])
    told = f"{data['events']:,} events since {since:%H:%M:%S} UTC."
    if data["withheld"]:
        told += f" {data['withheld']:,} of them came above {data['rate']:,} a second and opened no alert."
    item.event = NormalizedAlert(
        source_system=connector.type,
        connector_id=connector.id,
        identity_scope=connector.identity_scope,
        device_key=key,
        device_ip=key,
        device_name=device.name if device else "",
        device_id=device.id if device else None,
        alert_type=ALERT_TYPE,
        component=f"source={source}",
        category=Category.NETWORK.value,
        severity=int(Severity.CLEAR if data["over"] else Severity.MAJOR),
        is_clear=bool(data["over"]),
        t=item.received_at,
        received_at=item.received_at,
        title=f"Event storm from {device.name if device and device.name else source}",
        message=told,
        ttl_minutes=None if data["over"] else TTL_MINUTES,
        raw_data=dict(data),
        former_keys=device.former if device else (),
    )
    if snapshot.normalisation.applies:
        snapshot.normalisation.apply(item.event)


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000 / 1_000_000, UTC)
