"""What changed in an alert's raw data between its first event and its last one, as the journal has them.

Journalled events are read again with today's mappings, so traps show names and words; what merely goes on (uptimes,
counters) is told apart from what changed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.choices import Outcome
from alerts.models import Alert
from connectors.journal import READ_COLUMNS, item_of
from connectors.models import RawEvent
from connectors.registry import reader
from connectors.snapshot import Snapshot, Watcher

RAISES = (Outcome.OPENED, Outcome.REPEATED, Outcome.REOPENED, Outcome.UNMAPPED)
MOST_ROWS = 300
VALUE_MAX = 500
GOES_ON = frozenset({"TimeTicks", "Counter32", "Counter64"})

_watcher, _lock = Watcher(), threading.Lock()


@dataclass(frozen=True)
class Row:
    """One value. `kind`: changed, advancing, added, removed or same."""

    name: str
    before: str
    after: str
    kind: str


@dataclass(frozen=True)
class Difference:
    first_at: datetime
    last_at: datetime
    rows: list[Row]
    same: int
    first_raw: str
    last_raw: str

    @property
    def changed(self) -> list[Row]:
        return [row for row in self.rows if row.kind != "advancing"]

    @property
    def advancing(self) -> list[Row]:
        return [row for row in self.rows if row.kind == "advancing"]


def difference(alert: Alert) -> Difference | None:
    """None where the journal has fewer than two raises of it, or cannot read them any more."""
    raises = RawEvent.objects.filter(alert_id=alert.pk, outcome__in=RAISES)
    first = raises.order_by("received_at").values_list(*READ_COLUMNS).first()
    last = raises.order_by("-received_at").values_list(*READ_COLUMNS).first()
    if first is None or last is None or first[1] == last[1]:
        return None
    snapshot = _snapshot()
    before, after = _read(first, snapshot), _read(last, snapshot)
    if before is None or after is None:
        return None
    rows = list(compared(before, after))
    return Difference(
        first[0],
        last[0],
        [row for row in rows if row.kind != "same"][:MOST_ROWS],
        sum(row.kind == "same" for row in rows),
        shown(before),
        shown(after),
    )


def _snapshot() -> Snapshot:
    with _lock:
        _watcher.refresh()
        return _watcher.snapshot


def _read(record: Any, snapshot: Snapshot) -> dict[str, Any] | None:
    item = item_of(record)
    try:
        reader(item.kind)(item, snapshot)
    except Exception:  # it was readable when it came; the page does without
        return dict(item.data) if item.data else None
    facts = item.event.facts() if item.event is not None else item.data
    return dict(facts) if facts else None


def shown(raw: Mapping[str, Any]) -> str:
    return json.dumps(raw, indent=2, ensure_ascii=False, default=str)


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Row]:
    """Value by value, in the order of the first. Pure."""
    old, new = dict(flat(before)), dict(flat(after))
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name), new.get(name)
        if was is None and now is not None:
            yield Row(name, "", now[0], "added")
        elif now is None and was is not None:
            yield Row(name, was[0], "", "removed")
        elif was is not None and now is not None:
            if was[0] == now[0]:
                yield Row(name, was[0], now[0], "same")
            else:
                yield Row(name, was[0], now[0], "advancing" if was[1] and now[1] else "changed")


def flat(raw: Any, path: str = "", goes_on: bool = False) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Name, and value with whether it merely goes on. Varbinds go by their name, else by their OID."""
    if isinstance(raw, Mapping):
        for name, value in raw.items():
            if name == "varbinds" and isinstance(value, list):
                yield from _varbinds(value)
            elif isinstance(value, Mapping | list):
                yield from flat(value, f"{path}{name}.", goes_on)
            else:
                yield f"{path}{name}", (str(value)[:VALUE_MAX], goes_on or _is_time(str(name)))
    elif isinstance(raw, list):
        for number, value in enumerate(raw):
            if isinstance(value, Mapping | list):
                yield from flat(value, f"{path}{number}.", goes_on)
            else:
                yield f"{path}{number}", (str(value)[:VALUE_MAX], goes_on)


def _varbinds(listed: list[Any]) -> Iterator[tuple[str, tuple[str, bool]]]:
    for item in listed:
        if isinstance(item, Mapping):
            name = str(item.get("name") or item.get("oid") or "")
            value = item.get("word") or item.get("readable") or item.get("value")
            yield name, (str(value)[:VALUE_MAX], item.get("type") in GOES_ON)


def _is_time(name: str) -> bool:
    return name.lower() in ("timestamp", "at", "uptime", "received_at", "time", "starts_at", "ends_at", "started_at")
