"""What crosses from connectors into the engine, and what comes back."""

from __future__ import annotations

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
    `choices.Severity`; clears lists the alert types a clear ends, empty means its own.
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
    raw_data: dict[str, Any] = field(default_factory=dict)
    unmapped: bool = False


@dataclass(slots=True)
class Decision:
    """What became of one event: its bucket, and the alert and fingerprint its journal row names."""

    outcome: Outcome
    alert_id: UUID | None
    fingerprint: str
