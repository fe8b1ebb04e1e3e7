"""What crosses from connectors into the engine, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from alerts.choices import Outcome


@dataclass(slots=True)
class NormalizedAlert:
    """One event after mapping. Not changed after it was made (slots without frozen: a frozen one costs 3x to make).

    device_key is the canonical text of the device's primary address; `t` is the effective time of the event
    (its own time when the source is trusted for time, else the receive time); severity is the integer of
    `choices.Severity`; clears lists the alert types a clear ends, empty means its own. raw_data may be a function that
    makes it: of repeats, most events, it is never asked for. `withheld` opens nothing: its source is above its rate.

    importance is (impact, urgency, priority), None: by severity. identity are the fields of the fingerprint, empty:
    the usual ones; former are the lists before that one, former_keys the device's earlier keys, both newest first: what
    is still open under them is the same problem. mapping: the fields of the row a trap was read by; never changed.
    """

    source_system: str
    connector_id: int
    identity_scope: str
    device_key: str
    device_ip: str | None
    device_name: str
    device_id: int | None
    alert_type: str
    component: str
    category: str
    severity: int
    is_clear: bool
    t: datetime
    received_at: datetime
    title: str
    message: str = ""
    clears: tuple[str, ...] = ()
    ttl_minutes: int | None = None
    source_alert_id: str = ""
    tags: list[str] = field(default_factory=list)
    raw_data: dict[str, Any] | Callable[[], dict[str, Any]] = field(default_factory=dict)
    unmapped: bool = False
    withheld: bool = False
    importance: tuple[str, str, int] | None = None
    identity: tuple[str, ...] = ()
    former: tuple[tuple[str, ...], ...] = ()
    former_keys: tuple[str, ...] = ()
    mapping: Mapping[str, Any] | None = None

    def again(self, received_at: datetime, raw_data: Callable[[], dict[str, Any]]) -> NormalizedAlert:
        """The same said once more, by a source whose events carry no time of their own."""
        return NormalizedAlert(
            self.source_system,
            self.connector_id,
            self.identity_scope,
            self.device_key,
            self.device_ip,
            self.device_name,
            self.device_id,
            self.alert_type,
            self.component,
            self.category,
            self.severity,
            self.is_clear,
            received_at,
            received_at,
            self.title,
            self.message,
            self.clears,
            self.ttl_minutes,
            self.source_alert_id,
            self.tags,
            raw_data,
            self.unmapped,
            False,
            self.importance,
            self.identity,
            self.former,
            self.former_keys,
            self.mapping,
        )

    def facts(self) -> dict[str, Any]:
        """What the alert's page shows of the event as it came; JSON-safe."""
        if callable(self.raw_data):
            self.raw_data = self.raw_data()
        return self.raw_data


@dataclass(slots=True)
class Decision:
    """What became of one event: its bucket, and the alert and fingerprint its journal row names."""

    outcome: Outcome
    alert_id: UUID | None
    fingerprint: str
