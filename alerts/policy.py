"""The engine's time windows and rules of thumb."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Policy:
    """Shipped defaults; see the alert life cycle in docs/architecture.md for what each one does."""

    # A raise this soon after the end continues the same episode instead of opening a new one.
    reopen_window: timedelta = timedelta(minutes=5)
    # How long a clear that found nothing makes older raises late.
    tombstone_ttl: timedelta = timedelta(minutes=10)
    # An alert that got worse is news even to whoever acknowledged it.
    severity_rise_drops_acknowledgement: bool = True


DEFAULT = Policy()
