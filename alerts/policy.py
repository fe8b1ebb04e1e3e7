"""The engine's time windows and rules of thumb: system settings, and what differs for an alert type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any


@dataclass(frozen=True)
class Policy:
    """Shipped defaults; see docs/engine.md for what each one does. Spans of time are timedeltas."""

    # A raise this soon after the end continues the same episode instead of opening a new one.
    reopen_window: timedelta = timedelta(minutes=5)
    # How long a clear that found nothing makes older raises late.
    tombstone_ttl: timedelta = timedelta(minutes=10)
    # An alert that got worse is news even to whoever acknowledged it.
    severity_rise_drops_acknowledgement: bool = True
    # What a parent may explain waits so long for it before it is told.
    hold: timedelta = timedelta(seconds=30)
    # When a parent recovered, what it hid may take so long to recover too.
    release: timedelta = timedelta(seconds=120)
    # So many transitions within the window are flapping (0: never); calm is at most one within `flap_calm`.
    flap_transitions: int = 6
    flap_window: timedelta = timedelta(minutes=10)
    flap_calm: timedelta = timedelta(minutes=10)
    # New alerts of one type within `storm_window` beyond which they are quiet; None: never.
    storm_alerts: int | None = None
    storm_window: timedelta = timedelta(seconds=60)
    absent_snapshots: int = 2
    poll_overrules_trap: bool = True
    # A new alert asks for a poll of its device at once.
    verify: bool = False
    by_type: ByType | None = field(default=None, compare=False, repr=False)

    def of(self, connector_type: str, alert_type: str) -> Policy:
        """What holds for alerts of a type; this policy itself where nothing differs."""
        return self if self.by_type is None else self.by_type.of(self, connector_type, alert_type)


class ByType:
    """AlertTypeSetting rows and the windows of DeduplicationRule rows, looked up by type and kept."""

    KEPT = 20_000

    def __init__(self, settings: Iterable[Mapping[str, Any]], reopen_minutes: Mapping[str, int]) -> None:
        self._exact: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._beginnings: list[tuple[str, str, Mapping[str, Any]]] = []
        self._reopen_minutes = dict(reopen_minutes)
        for row in settings:
            pattern = str(row["alert_type"])
            if pattern.endswith("*"):
                self._beginnings.append((row["connector_type"], pattern[:-1], row))
            else:
                self._exact[row["connector_type"], pattern] = row
        self._beginnings.sort(key=lambda b: (len(b[1]), bool(b[0])), reverse=True)
        self._found: dict[tuple[str, str], Policy] = {}

    def __bool__(self) -> bool:
        return bool(self._exact or self._beginnings or self._reopen_minutes)

    def apart(self) -> ByType:
        """The same for another policy: what was worked out is kept for one."""
        twin = copy(self)
        twin._found = {}
        return twin

    def row(self, connector_type: str, alert_type: str) -> Mapping[str, Any] | None:
        """The row for a type: exact before the longest beginning, of this source before any."""
        for source in (connector_type, ""):
            found = self._exact.get((source, alert_type))
            if found is not None:
                return found
        return next(
            (
                row
                for source, beginning, row in self._beginnings
                if alert_type.startswith(beginning) and source in ("", connector_type)
            ),
            None,
        )

    def of(self, base: Policy, connector_type: str, alert_type: str) -> Policy:
        key = (connector_type, alert_type)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= self.KEPT:
                self._found.clear()
            found = self._found[key] = self._made(base, connector_type, alert_type)
        return found

    def _made(self, base: Policy, connector_type: str, alert_type: str) -> Policy:
        changes: dict[str, Any] = {}
        if connector_type in self._reopen_minutes:
            changes["reopen_window"] = timedelta(minutes=self._reopen_minutes[connector_type])
        row = self.row(connector_type, alert_type)
        if row is not None:
            for name, column, unit in _COLUMNS:
                if row.get(column) is not None:
                    changes[name] = timedelta(**{unit: row[column]}) if unit else row[column]
        return replace(base, **changes) if changes else base


_COLUMNS = (
    ("reopen_window", "reopen_window_seconds", "seconds"),
    ("hold", "hold_seconds", "seconds"),
    ("flap_transitions", "flap_transitions", ""),
    ("flap_window", "flap_window_minutes", "minutes"),
    ("flap_calm", "flap_calm_minutes", "minutes"),
    ("storm_alerts", "storm_alerts", ""),
    ("storm_window", "storm_seconds", "seconds"),
    ("verify", "verify", ""),
)

DEFAULT = Policy()
