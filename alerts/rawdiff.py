"""What changed in an alert's raw data between its first event and its last one, as the journal has them.

Journalled events are read again with today's mappings, so traps show names and words; what merely goes on (uptimes,
counters) is told apart from what changed.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

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
# Without underscores.
TIMES = frozenset(
    {
        "timestamp", "at", "time", "uptime", "sysuptime", "receivedat", "occurredat", "sentat", "startsat",
        "startedat", "endsat", "endedat", "updatedat",
    }
)  # fmt: skip
DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")

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
    more: int  # that differ and are not listed
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
    differing = [row for row in rows if row.kind != "same"]
    return Difference(
        first[0],
        last[0],
        differing[:MOST_ROWS],
        max(0, len(differing) - MOST_ROWS),
        len(rows) - len(differing),
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
            yield Row(name, "", now.text[:VALUE_MAX], "added")
        elif now is None and was is not None:
            yield Row(name, was.text[:VALUE_MAX], "", "removed")
        elif was is not None and now is not None:
            kind = "same" if was.text == now.text else "advancing" if advances(was, now) else "changed"
            yield Row(name, *excerpts(was.text, now.text), kind)


class Value(NamedTuple):
    """`text` as people read it; `order`: what grows while it merely goes on, None where nothing does."""

    text: str
    order: Any = None


def advances(was: Value, now: Value) -> bool:
    """A counter or a clock that went back did not go on: its device began anew."""
    if was.order is None or now.order is None or isinstance(was.order, str) != isinstance(now.order, str):
        return False
    return bool(now.order >= was.order)


def excerpts(was: str, now: str) -> tuple[str, str]:
    """Of long values where they begin to differ."""
    if len(was) <= VALUE_MAX and len(now) <= VALUE_MAX:
        return was, now
    alike = next((n for n, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    start = max(0, alike - VALUE_MAX // 4)

    def cut(text: str) -> str:
        return (
            f"{'… ' if start else ''}{text[start : start + VALUE_MAX]}{' …' if len(text) > start + VALUE_MAX else ''}"
        )

    return cut(was), cut(now)


def flat(raw: Any, path: str = "", goes_on: bool = False) -> Iterator[tuple[str, Value]]:
    """Name and value. Varbinds go by their name, else by their OID."""
    if isinstance(raw, Mapping) and raw:
        for name, value in raw.items():
            if name == "varbinds" and isinstance(value, list):
                yield from _varbinds(value, path)
            else:
                yield from flat(value, f"{path}.{name}" if path else str(name), _is_time(str(name)))
    elif isinstance(raw, list) and raw:
        for number, value in enumerate(raw):
            yield from flat(value, f"{path}.{number}" if path else str(number), goes_on)
    elif path or not isinstance(raw, Mapping | list):
        text = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False, default=str)
        yield path, Value(text, _order(raw, text) if goes_on else None)


def _varbinds(listed: list[Any], path: str) -> Iterator[tuple[str, Value]]:
    seen: Counter[str] = Counter()
    for item in listed:
        if not isinstance(item, Mapping):
            continue
        name = str(item.get("name") or item.get("oid") or "")
        seen[name] += 1  # a trap may hold one variable twice
        stored = item.get("value")
        text = str(next((v for v in (item.get("word"), item.get("readable"), stored) if v not in (None, "")), ""))
        named = f"{path}.{name}" if path else name
        yield (
            named if seen[name] == 1 else f"{named} ({seen[name]})",
            Value(text, _order(stored, str(stored)) if item.get("type") in GOES_ON else None),
        )


def _order(raw: Any, text: str) -> Any:
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return raw
    try:
        return float(text)
    except ValueError:
        return text if DATE.match(text) else None


def _is_time(name: str) -> bool:
    return name.lower().replace("_", "") in TIMES
