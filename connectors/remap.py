"""After an edit of the mappings: what waits as an unknown trap is read again and goes where it belongs now.

Per device, because a raise and its clear are two OIDs and wait in two unknown alerts: all journalled traps behind them
are interpreted at their own time, oldest first, and applied by the engine under its locks. Their journal rows and the
counts follow in the same transaction, so the account of what was received balances at every commit. An unknown alert
whose traps have gone is closed.

Only what is still raised in the end is told. Rows the journal keeps no longer cannot be read again; their number
stays on the unknown alert, which is closed all the same.

Safe to run at any time, twice, in two processes and beside listeners: whoever comes second finds the rows moved.
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from alerts import correlation, engine, locked, store
from alerts.choices import Outcome
from alerts.engine import Plan, State
from alerts.policy import DEFAULT, Policy
from alerts.surroundings import shared
from connectors import journal
from connectors.ingest import is_lasting
from connectors.journal import Item, item_of
from connectors.moving import decide, lasts, move, still_raised, told
from connectors.registry import reader
from connectors.snapshot import Snapshot
from connectors.traps.normalize import UNKNOWN_TYPE
from opsconductor import db, doorbell

log = logging.getLogger(__name__)

# Rows a transaction moves; with the alert types a clear may end, far below locks.MAX_FINGERPRINTS.
BATCH = 500
PAGE = 1_000

_WAITING = f"""
SELECT id, fingerprint, host(device_ip), component, raw_data ->> 'trap_oid' FROM alerts_alert
WHERE condition = 'raised' AND alert_type = '{UNKNOWN_TYPE}' AND id > %s ORDER BY id LIMIT %s"""  # noqa: S608

# Keyset by (received_at, event_key): rows that stay unmapped must not be met again.
_ROWS = """
SELECT received_at, event_key, connector_id, source, source_port, kind, subject, host(device_ip), datagram, data,
       alert_id, outcome, reason
FROM connectors_rawevent
WHERE alert_id = ANY(%s) AND outcome = 'unmapped' AND (received_at, event_key) > (%s, %s)
ORDER BY received_at, event_key LIMIT %s"""

# Under the locks of their fingerprints nobody else moves them; those moved since they were read are not here.
_STILL = """
SELECT r.event_key FROM unnest(%s::timestamptz[], %s::uuid[]) AS v(received_at, event_key)
JOIN connectors_rawevent AS r ON r.received_at = v.received_at AND r.event_key = v.event_key
WHERE r.outcome = 'unmapped' AND r.alert_id = ANY(%s)
FOR UPDATE OF r"""

_LEFT = """
SELECT DISTINCT alert_id FROM connectors_rawevent WHERE alert_id = ANY(%s) AND outcome = 'unmapped'"""

_START = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


@dataclass(slots=True)
class Waiting:
    """An open alert of a trap that had no mapping, and the row that has one now."""

    alert_id: UUID
    fingerprint: str
    device: str
    mapped_by: dict[str, Any]


@dataclass(slots=True)
class Row:
    """A journalled trap on its way from an unknown alert to where it belongs."""

    item: Item
    alert_id: UUID
    bucket: journal.Bucket
    targets: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """What one run did: journal rows moved, unknown alerts closed, and those that hold rows no mapping can take."""

    moved: int = 0
    closed: int = 0
    stuck: set[UUID] = field(default_factory=set)


class Remap:
    """One run over all waiting alerts with the mappings of one snapshot. `steps()` is its life, in bounded pieces."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        snapshot: Snapshot,
        policy: Policy | None = None,
        *,
        skip: Iterable[UUID] = (),
    ) -> None:
        """`skip`: what was stuck in an earlier run with the same mappings. `policy`: else the installation's."""
        self.result = Result(stuck=set(skip))
        self._skip = frozenset(skip)
        self._connect = connect
        self._snapshot = snapshot
        self._policy = policy or DEFAULT
        self._policy_given = policy is not None

    def steps(self) -> Iterator[None]:
        """Each step reads or moves at most BATCH rows. Database errors reach the caller, who may begin again."""
        for device, waiting in self._by_device():
            if not self._policy_given:
                with self._connect().cursor() as cur:
                    self._policy = shared.fresh(cur).policy
            yield from self._device(device, waiting)
        if self.result.moved or self.result.closed:
            log.info(
                "Mappings changed: %d journalled traps were read again, %d unknown alerts closed.",
                self.result.moved,
                self.result.closed,
            )

    def run(self) -> Result:
        """All steps at once."""
        for _ in self.steps():
            pass
        return self.result

    # --- what waits -------------------------------------------------------------------------------------

    def _by_device(self) -> list[tuple[str, list[Waiting]]]:
        """A device's alerts together; small: these are alerts, not events."""
        found: dict[str, list[Waiting]] = defaultdict(list)
        after = UUID(int=0)
        while True:
            rows = self._connect().execute(_WAITING, (after, PAGE)).fetchall()
            for alert_id, fingerprint, device, component, trap_oid in rows:
                # The component is normalised; a subtree row may only cover the OID as it was sent.
                mapped_by = next(
                    (row for oid in (trap_oid, component) if oid and (row := self._snapshot.mappings.row_for(oid))),
                    None,
                )
                if mapped_by is not None and alert_id not in self._skip:
                    found[device or ""].append(Waiting(alert_id, fingerprint, device or "", mapped_by))
            if len(rows) < PAGE:
                return list(found.items())
            after = rows[-1][0]

    def _read(self, ids: list[UUID], after: tuple[datetime, UUID]) -> list[Row]:
        """The next rows, interpreted with today's mappings."""
        found = []
        for record in self._connect().execute(_ROWS, (ids, *after, BATCH)).fetchall():
            item = item_of(record[:10])
            minute = item.received_at.replace(second=0, microsecond=0)
            row = Row(item, record[10], (minute, item.source, record[11], record[12][:60]))
            try:
                reader(item.kind)(item, self._snapshot)
            except Exception:
                # It was readable when it came. Left where it is: nothing is lost, and the log says why.
                log.exception("Journalled event %s from %s cannot be read again.", item.event_key, item.source)
                item.event = item.outcome = None
            if not _has_place(item):
                item.event, item.outcome, item.reason, item.error = None, None, "", ""
                self.result.stuck.add(row.alert_id)
            elif item.event is not None:
                row.targets = engine.targets(item.event)
            found.append(row)
        return found

    # --- one device -------------------------------------------------------------------------------------

    def _device(self, device: str, waiting: list[Waiting]) -> Iterator[None]:
        ids = [w.alert_id for w in waiting]
        rows = self._read(ids, _START)
        tell: set[UUID] | None = None
        if len(rows) == BATCH:
            # What a later batch ends must not be told by an earlier one: think it through before anything is written.
            forecast = Forecast(self._connect, self._policy)
            after = _START
            while rows:
                forecast.add(rows)
                yield
                after = (rows[-1].item.received_at, rows[-1].item.event_key)
                rows = self._read(ids, after) if len(rows) == BATCH else []
            tell = forecast.still_raised()
            rows = self._read(ids, _START)
        quiet: set[UUID] = set()
        while rows:
            self._move(waiting, rows, tell, quiet)
            yield
            after = (rows[-1].item.received_at, rows[-1].item.event_key)
            rows = self._read(ids, after) if len(rows) == BATCH else []
        self._close(waiting)
        yield

    def _move(self, waiting: list[Waiting], rows: list[Row], tell: set[UUID] | None, quiet: set[UUID]) -> None:
        """Apply rows; when the database refuses something of them, one by one, and the one at fault fails alone."""
        try:
            self._once(waiting, rows, tell, quiet)
        except Exception as error:
            if not is_lasting(error):
                raise
            if len(rows) > 1:
                for row in rows:
                    self._move(waiting, [row], tell, quiet)
                return
            item = rows[0].item
            log.exception("Journalled event %s from %s cannot be mapped anew.", item.event_key, item.source)
            item.event, item.outcome, item.reason = None, Outcome.FAILED, type(error).__name__
            item.error = traceback.format_exc()[-8_000:].replace("\x00", "")
            rows[0].targets = []
            self._once(waiting, rows, tell, quiet)

    def _once(self, waiting: list[Waiting], rows: list[Row], tell: set[UUID] | None, quiet: set[UUID]) -> None:
        locked.again(lambda: self._connect().cursor(), lambda: self._transaction(waiting, rows, tell, quiet))

    def _transaction(self, waiting: list[Waiting], rows: list[Row], tell: set[UUID] | None, quiet: set[UUID]) -> None:
        """The order of every batch: locks, state, decisions, alerts, journal, counts, history."""
        moving = [row for row in rows if row.item.event is not None or row.item.outcome is not None]
        if not moving:
            return
        own = {w.alert_id: w.fingerprint for w in waiting}
        conn = self._connect()
        with conn.transaction(), conn.cursor() as cur:
            targets = {key for row in moving for key in row.targets}
            held = locked.take(cur, targets | {own[row.alert_id] for row in moving})
            now = datetime.now(UTC)
            cur.execute(_STILL, ([r.item.received_at for r in moving], [r.item.event_key for r in moving], list(own)))
            still = {key for (key,) in cur.fetchall()}
            moving = [row for row in moving if row.item.event_key in still]
            if not moving:
                return
            targets = {key for row in moving for key in row.targets}
            states = store.read_states(cur, targets, now)
            plan = Plan(decisions=[], states=states)
            announced = tell
            per_item = [(row.item, decide(row.item, row.targets, plan, self._policy)) for row in moving]
            if announced is None:
                announced = still_raised(per_item, states, now)
            plan.history = list(told(per_item, announced, quiet))
            plan.states = {**states, **self._lessened(cur, moving, own, now)}
            history = correlation.apply(cur, plan, held.surroundings, now, exclusive=held.exclusive)
            move(cur, (row.item for row in moving))
            counts: Counter[journal.Bucket] = Counter()
            for row in moving:
                counts[row.bucket] -= 1
                counts[journal.bucket(row.item)] += 1
            journal.count(cur, counts)
            store.write_history(cur, history, now)
        self.result.moved += len(moving)
        doorbell.ring()

    def _lessened(self, cur: Any, moving: Sequence[Row], own: dict[UUID, str], now: datetime) -> dict[str, State]:
        """The unknown alerts without the events that leave them."""
        gone = Counter(row.alert_id for row in moving)
        states = store.read_states(cur, [own[alert_id] for alert_id in gone], now)
        for alert_id, number in gone.items():
            episode = states[own[alert_id]].episode
            if episode is not None and episode.id == alert_id:
                episode.added -= number
                episode.touched = True
        return states

    def _close(self, waiting: list[Waiting]) -> None:
        """End the unknown alerts no journalled trap belongs to any more.

        They end at their last trap and leave a tombstone there: should a listener that has not seen the edit yet add
        one more, the alert reopens and is found again, instead of the trap being late to an alert nobody looks at.
        """
        closed = 0
        for start in range(0, len(waiting), BATCH):
            part = waiting[start : start + BATCH]
            closed += locked.again(lambda: self._connect().cursor(), lambda part=part: self._close_part(part))  # type: ignore[misc]
        if closed:
            self.result.closed += closed
            doorbell.ring()

    def _close_part(self, part: list[Waiting]) -> int:
        now, closed = datetime.now(UTC), 0
        conn = self._connect()
        with conn.transaction(), conn.cursor() as cur:
            held = locked.take(cur, [w.fingerprint for w in part])
            cur.execute(_LEFT, ([w.alert_id for w in part],))
            left = {alert_id for (alert_id,) in cur.fetchall()}
            states = store.read_states(cur, [w.fingerprint for w in part], now)
            plan = Plan(decisions=[], states=states)
            for w in part:
                state = states[w.fingerprint]
                episode = state.episode
                if w.alert_id in left or episode is None or episode.id != w.alert_id or not episode.is_raised:
                    continue
                engine.close(episode, plan, notes=_note(w.mapped_by))
                state.tombstone, state.tombstone_changed = episode.resolved_at, True
                closed += 1
            history = correlation.apply(cur, plan, held.surroundings, now, exclusive=held.exclusive)
            store.write_history(cur, history, now)
        return closed


class Forecast:
    """What a device's rows come to in the end, decided in memory before anything is written."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], policy: Policy) -> None:
        self._connect = connect
        self._policy = policy
        self._plan = Plan(decisions=[], states={})
        self._openings: dict[str, UUID] = {}

    def add(self, rows: Sequence[Row]) -> None:
        new = {key for row in rows for key in row.targets} - self._plan.states.keys()
        if new:
            with self._connect().cursor() as cur:
                self._plan.states.update(store.read_states(cur, new, datetime.now(UTC)))
        for row in rows:
            decide(row.item, row.targets, self._plan, self._policy)
            if row.item.outcome in (Outcome.OPENED, Outcome.REOPENED):
                self._openings[row.item.fingerprint] = row.item.event_key
            if row.item.event is not None:
                row.item.outcome = None
        self._plan.history.clear()

    def still_raised(self) -> set[UUID]:
        now = datetime.now(UTC)
        return {key for f, key in self._openings.items() if lasts(self._plan.states[f], now)}


def _has_place(item: Item) -> bool:
    """False for what stays unknown: of another form than the one the mapping covers, not to be interpreted any more,
    or switched off with its connector, which says nothing about the mapping."""
    if item.event is not None:
        return not item.event.unmapped
    return item.outcome is Outcome.DISABLED and item.reason == "mapping"


def _note(row: dict[str, Any]) -> str:
    """Names the mapping."""
    what = row["alert_type"] if row.get("enabled", True) else f"{row['alert_type']}, switched off"
    return f"These traps have a mapping now: {row['oid_pattern']} is {what}. They were read again and moved there."


def remap(snapshot: Snapshot) -> Result:
    """One run on a connection of its own: for commands and tests."""
    with db.connect(application="remap") as conn:
        return Remap(lambda: conn, snapshot).run()
