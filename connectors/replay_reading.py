"""The first half of a replay: read journalled events again, and find those that today's configuration reads otherwise.

Nothing is locked and nothing written. What comes out is small: keys of events that move, by device, and of clears that
may end more than they did.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from struct import Struct
from typing import Any
from uuid import UUID

import psycopg

from alerts import engine, store
from alerts.choices import Outcome
from alerts.engine import State
from connectors import journal
from connectors.journal import READ_COLUMNS, Item, item_of
from connectors.registry import reader
from connectors.replay_difference import Difference
from connectors.replay_selection import Selection
from connectors.snapshot import Snapshot
from opsconductor.exceptions import OpsConductorError

log = logging.getLogger(__name__)

PAGE = 1_000
# Keys are kept in memory: so many are some hundred megabytes.
MAX_MOVES = 500_000
# Outcomes of an event that stands in the count of an alert.
RAISES = (Outcome.OPENED, Outcome.REPEATED, Outcome.REOPENED, Outcome.UNMAPPED)
CLEARS = (Outcome.CLEARED, Outcome.ORPHAN_CLEAR, Outcome.LATE)

COLUMNS = ", ".join("host(r.device_ip)" if name == "device_ip" else f"r.{name}" for name in READ_COLUMNS)
WAS = "r.id, r.outcome, r.reason, r.alert_id, r.fingerprint"

_PAGE = """
SELECT {columns} FROM connectors_rawevent AS r
WHERE {condition} AND received_at >= %s AND (received_at, event_key) > (%s, %s)
ORDER BY received_at, event_key LIMIT %s"""
_BY_KEY = f"""
SELECT {COLUMNS}, {WAS} FROM unnest(%s::timestamptz[], %s::uuid[]) AS v(received_at, event_key)
JOIN connectors_rawevent AS r ON r.received_at = v.received_at AND r.event_key = v.event_key
ORDER BY r.received_at, r.event_key"""  # noqa: S608
_OPEN = "SELECT id, host(device_ip) FROM alerts_alert WHERE condition = 'raised' AND id = ANY(%s)"

_KEY = Struct(">q16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Connect = Callable[[], psycopg.Connection[Any]]
Again = Callable[[Callable[[], Any]], Any]


class TooMany(OpsConductorError):
    """More events would move than one run takes."""


@dataclass(slots=True)
class Row:
    """A journalled event as it was taken, and as it is read today.

    `verdict` is `same`, `move`, `clear` (the same clear, which may end more than it did) or a word of LEFT.
    """

    item: Item
    id: int
    was: Outcome
    was_reason: str
    alert_id: UUID | None
    fingerprint: str
    verdict: str = "same"
    targets: list[str] = field(default_factory=list)

    @property
    def t(self) -> datetime:
        return self.item.event.t if self.item.event is not None else self.item.received_at

    @property
    def device(self) -> str:
        return self.item.event.device_key if self.item.event is not None else self.item.device_ip or self.item.source

    @property
    def leaves(self) -> UUID | None:
        """The alert whose count it stands in."""
        return self.alert_id if self.was in RAISES else None

    @property
    def tied(self) -> UUID | None:
        """The alert that must still be open for this event to be touched at all."""
        return self.alert_id if self.was in RAISES or self.was is Outcome.LATE else None

    @property
    def bucket(self) -> journal.Bucket:
        """Where it was counted."""
        minute = self.item.received_at.replace(second=0, microsecond=0)
        return (minute, self.item.source, self.was.value, self.was_reason[:60])

    def as_json(self) -> dict[str, Any]:
        return {
            "event": self.id,
            "received_at": self.item.received_at.isoformat(),
            "source": self.item.source,
            "subject": self.item.subject,
            "was": self.was.value,
            "alert": str(self.alert_id) if self.alert_id else None,
        }


def read(record: Sequence[Any], snapshot: Snapshot, *, keep: bool = False) -> Row:
    """A journal row (COLUMNS, WAS) as it is read today. `keep`: with its event, also where nothing changes."""
    row = Row(item_of(record[:-5]), record[-5], Outcome(record[-4]), record[-3], record[-2], record[-1])
    item = row.item
    try:
        reader(item.kind)(item, snapshot)
    except Exception as error:
        # It was readable when it came; left where it is, nothing is lost.
        log.debug("Journalled event %s from %s cannot be read again: %s", item.event_key, item.source, error)
        item.event, item.outcome = None, Outcome.FAILED
    row.verdict = _verdict(row)
    if row.verdict not in ("move", "clear") and not keep:
        item.event = None
    return row


def _verdict(row: Row) -> str:
    event = row.item.event
    if event is None:
        if row.item.outcome is not Outcome.DISABLED:
            return "unreadable"
        if row.was is Outcome.DISABLED:
            return "same"
        # That says nothing about the event: all of a connector's alerts would end when it is switched off.
        return "connector" if row.item.reason == "connector" else "move"
    row.targets = engine.targets(event)
    if event.is_clear:
        is_same = row.was in CLEARS and row.fingerprint in row.targets
    else:
        is_same = row.fingerprint == row.targets[0] and (
            row.was in (Outcome.LATE, Outcome.RATE_LIMITED)
            or (row.was in RAISES and (row.was is Outcome.UNMAPPED) == event.unmapped)
        )
    if is_same:
        return "clear" if event.is_clear else "same"
    # Its release is the engine's affair, not ours.
    return "withheld" if row.was is Outcome.RATE_LIMITED else "move"


def ends_more(state: State, t: datetime) -> bool:
    """Whether a clear of that time, taken before as the same clear, ends an episode it did not end then.

    What it was applied to before stays as it is now, also when a person opened it again.
    """
    episode = state.episode
    if episode is None or not episode.is_raised or episode.last_raise_at >= t:
        return False
    return episode.last_clear_at is None or episode.last_clear_at < t


@dataclass(slots=True)
class Group:
    """The events of one device that may move, oldest first, and the alerts they leave."""

    keys: bytearray = field(default_factory=bytearray)
    alerts: set[UUID] = field(default_factory=set)
    is_active: bool = False

    def add(self, row: Row) -> None:
        self.keys += _KEY.pack((row.item.received_at - _EPOCH) // _MICROSECOND, row.item.event_key.bytes)

    def take(self, other: Group) -> None:
        keys = [*_KEY.iter_unpack(self.keys), *_KEY.iter_unpack(other.keys)]
        self.keys = bytearray().join(_KEY.pack(*key) for key in sorted(keys))
        self.alerts |= other.alerts
        self.is_active |= other.is_active

    def parts(self, size: int) -> Iterator[tuple[list[datetime], list[UUID]]]:
        step = _KEY.size * size
        for start in range(0, len(self.keys), step):
            keys = list(_KEY.iter_unpack(self.keys[start : start + step]))
            yield [_EPOCH + micro * _MICROSECOND for micro, _ in keys], [UUID(bytes=key) for _, key in keys]

    def __len__(self) -> int:
        return len(self.keys) // _KEY.size


@dataclass(slots=True)
class Leaving:
    """The events that leave an alert."""

    keys: set[UUID] = field(default_factory=set)
    newest: datetime = _EPOCH


class Reading:
    """One look at everything selected. `steps()` is its life, a page of the journal each; `again` does a piece once
    more when the database was away."""

    def __init__(
        self, connect: Connect, again: Again, snapshot: Snapshot, selection: Selection, difference: Difference
    ) -> None:
        self.groups: dict[str, Group] = {}
        self.leaving: dict[UUID, Leaving] = defaultdict(Leaving)
        self.staying: set[UUID] = set()  # open alerts whose events are read as before, at least in who they are
        self.at: datetime | None = None
        self._connect = connect
        self._again = again
        self._snapshot = snapshot
        self._difference = difference
        self._takes = selection.takes
        self._since = selection.since or _EPOCH
        condition, self._params = selection.condition()
        self._query = _PAGE.format(columns=f"{COLUMNS}, {WAS}", condition=condition)
        self._moves = 0
        self._by_device: dict[str, Group] = defaultdict(Group)
        self._related: dict[str, str] = {}  # devices an event goes between, towards the one that stands for all

    def steps(self) -> Iterator[None]:
        after = (self._since, UUID(int=0))
        while True:
            records = self._again(partial(self._records, after))
            read_again = [read(record, self._snapshot) for record in records]
            rows = [row for row in read_again if self._takes(row.item, self._snapshot)]
            is_open, states = self._again(partial(self._alerts, rows))
            for row in rows:
                self._row(row, is_open, states)
            self._difference.read += len(rows)
            if read_again:
                newest = read_again[-1].item
                self.at = newest.received_at
                after = (newest.received_at, newest.event_key)
            yield
            if len(read_again) < PAGE:
                break
        self._arrange()

    def _records(self, after: tuple[datetime, UUID]) -> list[Any]:
        params = (*self._params, after[0], *after, PAGE)
        return self._connect().execute(self._query.encode(), params).fetchall()

    def _alerts(self, rows: list[Row]) -> tuple[dict[UUID, str], dict[str, State]]:
        """Which alerts of the rows are open, and of what device; and what their clears would meet."""
        conn = self._connect()
        ids = {row.alert_id for row in rows if row.tied is not None}
        is_open = {key: device or "" for key, device in conn.execute(_OPEN, (list(ids),)).fetchall()} if ids else {}
        keys = [key for row in rows if row.verdict == "clear" for key in row.targets]
        if not keys:
            return is_open, {}
        with conn.cursor() as cur:
            return is_open, store.read_states(cur, keys, datetime.now(UTC))

    def _row(self, row: Row, is_open: dict[UUID, str], states: dict[str, State]) -> None:
        if row.verdict == "same":
            if row.leaves is not None and row.leaves in is_open:
                self.staying.add(row.leaves)
        elif row.verdict == "clear":
            group = self._by_device[row.device]
            group.add(row)
            group.is_active |= any(ends_more(states[key], row.t) for key in row.targets)
        elif row.verdict != "move":
            self._difference.leave(row.verdict, row.as_json())
        elif row.tied is not None and row.tied not in is_open:
            self._difference.leave("ended", row.as_json())
        else:
            self._moving(row)
            if row.tied is not None:
                self._relate(row.device, is_open[row.tied])

    def _relate(self, one: str, other: str) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self._related[one] = other

    def _root(self, device: str) -> str:
        while device in self._related:
            device = self._related[device]
        return device

    def _arrange(self) -> None:
        """Devices that events go between become one group; those without anything to do go."""
        for device, group in self._by_device.items():
            root = self._root(device)
            if root in self.groups:
                self.groups[root].take(group)
            else:
                self.groups[root] = group
        self._by_device.clear()
        for device in [d for d, group in self.groups.items() if not group.is_active]:
            del self.groups[device]

    def _moving(self, row: Row) -> None:
        self._moves += 1
        if self._moves > MAX_MOVES:
            raise TooMany(f"More than {MAX_MOVES:,} events would move. Replay a shorter span of time, then the next.")
        group = self._by_device[row.device]
        group.add(row)
        group.is_active = True
        if row.leaves is not None:
            group.alerts.add(row.leaves)
            leaving = self.leaving[row.leaves]
            leaving.keys.add(row.item.event_key)
            leaving.newest = max(leaving.newest, row.t)


def rows_of(conn: psycopg.Connection[Any], keys: tuple[list[datetime], list[UUID]], snapshot: Snapshot) -> list[Row]:
    """Those of the keys that are still there, oldest first, read again."""
    return [read(record, snapshot) for record in conn.execute(_BY_KEY, keys).fetchall()]
