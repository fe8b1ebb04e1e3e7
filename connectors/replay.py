"""Journalled events through today's configuration: what is read otherwise goes to the alert it belongs to now.

Every moved event is applied by the engine as if it arrived only now, with its own time: older than the last word of a
problem it changes nothing, younger it opens, repeats or ends. Its journal row, the counts and the alert it leaves
follow in the same transaction, so the account of what was received balances at every commit. An open alert that no
journalled event belongs to any more is closed; one that goes on says what its newest event says today.

What is over is not rewritten: events of ended alerts stay where they are, and what people did stays done.

A dry run takes the same steps in memory, without a lock. Device by device, because a raise and its clear are of one
device: what is still raised in the end is told, and nothing else. Running again changes nothing; listeners, people and
another process may work on the same alerts meanwhile, for everything is looked at once more under the engine's locks.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg

from alerts import correlation, engine, locked, locks, store
from alerts.choices import Action, Condition, News, Outcome
from alerts.engine import Episode, HistoryRow, Plan, State
from alerts.ids import uuid7
from alerts.policy import Policy
from alerts.surroundings import shared
from alerts.types import NormalizedAlert
from connectors import journal
from connectors.ingest import is_lasting
from connectors.moving import decide, lasts, move, opens, still_raised, told
from connectors.replay_difference import Difference, Facts, Tracker
from connectors.replay_reading import COLUMNS, RAISES, WAS, Connect, Group, Reading, Row, ends_more, read, rows_of
from connectors.replay_selection import Selection
from connectors.snapshot import Snapshot
from connectors.traps.normalize import UNKNOWN_TYPE
from opsconductor import doorbell, pgtext
from opsconductor.exceptions import sentence

log = logging.getLogger(__name__)

BATCH = 500  # events, or alerts, in a transaction
LOCKED = locks.MAX_FINGERPRINTS - BATCH
ATTEMPTS_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 20)

# A mapping that makes something worse is no rise of the device's: an acknowledgement stays.
POLICY = Policy(severity_rise_drops_acknowledgement=False)

_RAISED = [outcome.value for outcome in RAISES]
_FACTS = """
SELECT id, alert_type, component, COALESCE(NULLIF(device_name, ''), host(device_ip), ''), title, message, severity,
       category, ttl_minutes, condition, opening
FROM alerts_alert WHERE id = ANY(%s)"""
_STILL = """
SELECT r.event_key, r.outcome, r.alert_id, r.fingerprint
FROM unnest(%s::timestamptz[], %s::uuid[]) AS v(received_at, event_key)
JOIN connectors_rawevent AS r ON r.received_at = v.received_at AND r.event_key = v.event_key
ORDER BY r.received_at, r.event_key FOR UPDATE OF r"""
_LESS = """
UPDATE alerts_alert AS a SET occurrence_count = a.occurrence_count - v.gone, updated_at = %s
FROM unnest(%s::uuid[], %s::bigint[]) AS v(id, gone) WHERE a.id = v.id"""
_HELD = """
SELECT v.id FROM unnest(%s::uuid[]) AS v(id) CROSS JOIN LATERAL (
    SELECT 1 FROM connectors_rawevent WHERE alert_id = v.id AND outcome = ANY(%s) LIMIT 1) AS r"""
_NUMBER = "SELECT count(*) FROM connectors_rawevent WHERE alert_id = %s AND outcome = ANY(%s)"
# The raises of an alert, newest first; `chosen` says whether the replay selects them.
_RAISES_OF = f"""
SELECT {COLUMNS}, {WAS} FROM connectors_rawevent AS r
WHERE r.alert_id = %s AND r.outcome = ANY(%s) AND r.received_at <= %s
ORDER BY r.received_at DESC, r.event_key DESC LIMIT %s OFFSET %s"""  # noqa: S608
_NEWEST = """
SELECT a.id, a.fingerprint, n.* FROM alerts_alert AS a CROSS JOIN LATERAL (
    SELECT {columns}, {condition} FROM connectors_rawevent AS r
    WHERE r.alert_id = a.id AND r.outcome = ANY(%s) ORDER BY r.received_at DESC, r.event_key DESC LIMIT 1) AS n
WHERE a.id = ANY(%s) AND a.condition = 'raised'"""
# Clears that found nothing to end are remembered for minutes; the journal knows them longer.
_ORPHANS = """
SELECT f.fingerprint, n.* FROM unnest(%s::text[]) AS f(fingerprint) CROSS JOIN LATERAL (
    SELECT {columns}, {condition} FROM connectors_rawevent AS r
    WHERE r.fingerprint = f.fingerprint AND r.outcome = 'orphan_clear' ORDER BY r.received_at DESC LIMIT 1) AS n"""


class Stopped(Exception):
    """A person, or the end of the process, asked the run to stop between two steps."""


class Record:
    """What a run tells of itself. This one keeps nothing; `replay_runs.Recorded` writes it down."""

    def tick(self, phase: str, difference: Difference, at: datetime | None = None) -> None:
        """Between steps; may raise Stopped."""

    def begin(self) -> None:
        """Before a transaction."""

    def within(self, cur: Any, moved: int) -> None:
        """Inside a transaction that writes."""

    def committed(self) -> None:
        """After it."""

    def is_committed(self) -> bool:
        """Whether the transaction begun last is known to have been committed, although its connection was lost."""
        return False


@dataclass(slots=True)
class Rewind:
    """An alert whose newest event leaves while others stay: it goes back to what the newest of those said."""

    alert_id: UUID
    fingerprint: str
    newest: datetime  # of those that leave
    row: Row  # the newest that stays, with its event

    @property
    def event(self) -> NormalizedAlert:
        if self.row.item.event is None:
            raise ValueError(f"event {self.row.item.event_key} has no meaning")
        return self.row.item.event


@dataclass(slots=True)
class Newest:
    """The newest raise of an open alert. `chosen`: the replay selects it."""

    alert_id: UUID
    fingerprint: str
    row: Row
    event: NormalizedAlert
    chosen: bool

    @property
    def key(self) -> tuple[datetime, UUID]:
        return _key(self.row)


@dataclass(slots=True)
class Settled:
    """What a transaction did; taken over when it is known to be committed."""

    rows: list[Row] = field(default_factory=list)  # whose journal rows changed
    left: list[tuple[Row, str]] = field(default_factory=list)
    plan: Plan = field(default_factory=lambda: Plan(decisions=[], states={}))


class Replay:
    """One run. `steps()` is its life, in bounded pieces; `difference` what comes of it."""

    def __init__(
        self,
        connect: Connect,
        snapshot: Snapshot,
        selection: Selection,
        *,
        dry_run: bool,
        record: Record | None = None,
        policy: Policy | None = None,
        notes: str = "",
    ) -> None:
        self.difference = Difference(dry=dry_run)
        self.connect, self.snapshot, self.selection = connect, snapshot, selection
        self.policy = policy or POLICY
        self._policy_given = policy is not None
        self.record = record or Record()
        self.notes = notes
        self._dry_run = dry_run

    def run(self) -> Difference:
        for _ in self.steps():
            pass
        return self.difference

    def steps(self) -> Iterator[None]:
        if not self._policy_given:
            self.policy = self.again(self._installed)
        reading = Reading(self.connect, self.again, self.snapshot, self.selection, self.difference)
        for _ in reading.steps():
            self.record.tick("reading", self.difference, reading.at)
            yield
        touched: set[UUID] = set()
        for group in reading.groups.values():
            mover: Mover = (Planned if self._dry_run else Applied)(self, reading, group)
            for _ in mover.steps():
                self.record.tick("planning" if self._dry_run else "applying", self.difference)
                yield
            self.difference.add(mover.tracker)
            touched |= mover.tracker.after.keys()
        rest = sorted(reading.staying - touched)
        for start in range(0, len(rest), BATCH):
            mover = (Planned if self._dry_run else Applied)(self, reading, Group())
            mover.follow(rest[start : start + BATCH], moved=False)
            self.difference.add(mover.tracker)
            self.record.tick("texts", self.difference)
            yield

    def _installed(self) -> Policy:
        with self.connect().cursor() as cur:
            found = shared.fresh(cur).policy
        by_type = found.by_type.apart() if found.by_type is not None else None
        return replace(found, severity_rise_drops_acknowledgement=False, by_type=by_type)

    def again(self, work: Callable[[], Any]) -> Any:
        """Once more when the database was away, or sacrificed us to somebody else; its errors reach the caller when
        that does not end, or would be the same again."""
        for seconds in (*ATTEMPTS_SECONDS, None):
            try:
                return work()
            except (psycopg.Error, OSError) as error:
                if seconds is None or is_lasting(error):
                    raise
                log.info("The replay tries again: %s", sentence(error))
                time.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")

    def newest(self, ids: Iterable[UUID]) -> list[Newest]:
        """Of each open alert the newest raise in the journal, where it can be read and still is of that alert."""
        condition, params = self.selection.condition()
        query = _NEWEST.format(columns=f"{COLUMNS}, {WAS}", condition=f"({condition})")
        found = self.connect().execute(query.encode(), (*params, _RAISED, list(ids))).fetchall()
        result = []
        for alert_id, fingerprint, *record, chosen in found:
            row = self.read_raise(record)
            if row is not None and row.item.event is not None and row.targets[0] == fingerprint:
                is_chosen = bool(chosen) and self.selection.takes(row.item, self.snapshot)
                result.append(Newest(alert_id, fingerprint, row, row.item.event, is_chosen))
        return result

    def read_raise(self, record: Sequence[Any]) -> Row | None:
        """A journal row as a raise; None when it is read as none today."""
        row = read(record, self.snapshot, keep=True)
        event = row.item.event
        return None if event is None or event.is_clear else row

    def facts(self, ids: Iterable[UUID]) -> dict[UUID, Facts]:
        wanted = list(ids)
        if not wanted:
            return {}
        return {r[0]: Facts(*r) for r in self.connect().execute(_FACTS, (wanted,)).fetchall()}

    def orphans(self, keys: Iterable[str]) -> dict[str, datetime]:
        """The newest clear of each fingerprint that found nothing to end, unless it is read in its turn."""
        wanted = list(keys)
        if not wanted:
            return {}
        condition, params = self.selection.condition()
        query = _ORPHANS.format(columns=f"{COLUMNS}, {WAS}", condition=f"({condition})")
        found = {}
        for key, *record, chosen in self.connect().execute(query.encode(), (wanted, *params)).fetchall():
            row = read(record, self.snapshot, keep=True)
            event = row.item.event
            is_chosen = chosen and self.selection.takes(row.item, self.snapshot)
            if not is_chosen and event is not None and event.is_clear and key in row.targets:
                found[key] = event.t
        return found


class Mover:
    """One device's events. What is common to planning and applying; they differ in where states come from and go."""

    def __init__(self, replay: Replay, reading: Reading, group: Group) -> None:
        self.tracker = Tracker()
        self.replay = replay
        self.reading = reading
        self.group = group
        self.quiet: set[UUID] = set()
        self.left: set[UUID] = set()  # alerts that lost events

    def steps(self) -> Iterator[None]:
        rewinds = self.replay.again(self.rewinds)
        for start in range(0, len(rewinds), BATCH):
            self.rewind(rewinds[start : start + BATCH])
            yield
        for keys in self.group.parts(BATCH):
            rows = self.replay.again(partial(self._rows, keys))
            for part in _parts([row for row in rows if row.verdict in ("move", "clear")]):
                self.settle(part)
            yield
        touched = sorted(self.tracker.after.keys() | self.left)
        for start in range(0, len(touched), BATCH):
            self.follow(touched[start : start + BATCH], moved=True)
            yield

    def _rows(self, keys: tuple[list[datetime], list[UUID]]) -> list[Row]:
        return rows_of(self.replay.connect(), keys, self.replay.snapshot)

    # --- what differs -----------------------------------------------------------------------------------

    def rewind(self, rewinds: list[Rewind]) -> None:
        raise NotImplementedError

    def settle(self, rows: list[Row]) -> None:
        raise NotImplementedError

    def follow(self, ids: list[UUID], *, moved: bool) -> None:
        """Open alerts say what their newest event says today. `moved`: their events changed in this run."""
        raise NotImplementedError

    # --- what is common ---------------------------------------------------------------------------------

    def rewinds(self) -> list[Rewind]:
        """Alerts of which some events leave and others stay."""
        conn = self.replay.connect()
        found = []
        for alert_id in sorted(self.group.alerts):
            leaving = self.reading.leaving[alert_id]
            row = conn.execute(_NUMBER, (alert_id, _RAISED)).fetchone()
            number = row[0] if row else 0
            self.count(alert_id, number)
            if number > len(leaving.keys) and (stays := self._newest_staying(alert_id, leaving.keys)):
                found.append(Rewind(alert_id, stays.fingerprint, leaving.newest, stays))
        return found

    def count(self, alert_id: UUID, number: int) -> None:
        """So many events the alert has in the journal."""

    def _newest_staying(self, alert_id: UUID, leaving: set[UUID]) -> Row | None:
        conn, until, offset = self.replay.connect(), datetime.max.replace(tzinfo=UTC), 0
        while True:
            params = (alert_id, _RAISED, until, BATCH, offset)
            records = conn.execute(_RAISES_OF, params).fetchall()
            for record in records:
                if record[1] not in leaving:
                    return self.replay.read_raise(record)
            if len(records) < BATCH:
                return None
            last = records[-1][0]
            # Keyset by time; those of the very same microsecond are passed over by number.
            offset = sum(1 for r in records if r[0] == last) + (offset if last == until else 0)
            until = last

    def take_back(self, rewind: Rewind, state: State, plan: Plan) -> None:
        """As if the events that leave had never come; a clear that came after those that stay has its effect again."""
        episode = state.episode
        if episode is None or episode.id != rewind.alert_id or not episode.is_raised:
            return
        event, last = rewind.event, episode.last_raise_at
        if not event.t < last <= rewind.newest:
            return  # its newest event stays, or came since
        episode.last_raise_at = event.t
        episode.last_occurrence_at = event.received_at
        if episode.ttl_minutes is not None:
            episode.expires_at = event.t + timedelta(minutes=episode.ttl_minutes)
        episode.touched = True
        cleared = episode.last_clear_at
        if cleared is not None and event.t <= cleared <= last:
            clear = replace(event, is_clear=True, t=cleared, clears=())
            done = engine.decide(
                [clear], [[rewind.fingerprint]], {rewind.fingerprint: state}, self.replay.policy, uuid7
            )
            plan.history += done.history

    def stays(self, row: Row, states: dict[str, State]) -> bool:
        """Whether the event must be left alone, because the alert it stands in ended by other hands than ours."""
        alert_id = row.tied
        if alert_id is None:
            return False
        episode = states[row.fingerprint].episode
        if episode is not None and episode.id == alert_id and episode.is_raised:
            return False
        ours = self.tracker.after.get(alert_id)
        return ours is None or ours.condition == Condition.RAISED

    def apply(self, row: Row, plan: Plan) -> list[HistoryRow] | None:
        """The engine's decision on one event; None when it changes nothing."""
        event = row.item.event
        if row.verdict == "move":
            return decide(row.item, row.targets, plan, self.replay.policy)
        if event is None:
            return None
        keys = [key for key in row.targets if ends_more(plan.states[key], event.t)]
        if not keys:
            return None
        before = row.item.outcome, row.item.alert_id, row.item.fingerprint
        history = decide(row.item, keys, plan, self.replay.policy)
        if row.was is Outcome.CLEARED:  # what it ended then is what it is counted and filed for
            row.item.outcome, row.item.alert_id, row.item.fingerprint = before
        return history

    def note(self, plan: Plan) -> None:
        """After the fact: what the alerts are now."""
        for episode in plan.episodes():
            if episode.is_new or episode.changed or episode.touched:
                self.tracker.note(episode)

    def note_moves(self, settled: Settled) -> None:
        for row in settled.rows:
            self.replay.difference.moved()
            source: UUID | str = row.leaves or row.was.value
            outcome = row.item.outcome or row.was
            target: UUID | str = row.item.alert_id if row.item.alert_id and outcome in RAISES else outcome.value
            self.tracker.moves[source, target] += 1
            if row.leaves is not None:
                self.left.add(row.leaves)
        for row, reason in settled.left:
            self.replay.difference.leave(reason, row.as_json())

    def learn(self, states: dict[str, State], extra: Iterable[UUID] = ()) -> None:
        """The facts of alerts that are met for the first time, before anything is changed."""
        met = {s.episode.id for s in states.values() if s.episode is not None and not s.episode.is_new} | set(extra)
        self.tracker.before.update(self.replay.facts(met - self.tracker.before.keys() - self.tracker.new))

    def show(self, newest: Newest, episode: Episode, plan: Plan) -> bool:
        """Make the alert say what its newest event says today; whether that is another thing."""
        event = newest.event
        category = self.tracker.category(episode.id)
        changes: dict[str, list[Any]] = {}
        if event.title != episode.title:
            changes["title"] = [episode.title, event.title]
        if event.message != episode.message:
            changes["message"] = [episode.message, event.message]
        if event.category != category:
            changes["category"] = [category, event.category]
        if event.ttl_minutes != episode.ttl_minutes:
            changes["ttl_minutes"] = [episode.ttl_minutes, event.ttl_minutes]
        rises = event.severity > episode.severity
        if event.severity != episode.severity:
            changes["severity"] = [episode.severity, event.severity]
        if not changes:
            return False
        episode.remember()
        if "ttl_minutes" in changes:
            episode.ttl_minutes = event.ttl_minutes
            minutes = event.ttl_minutes
            episode.expires_at = None if minutes is None else episode.last_raise_at + timedelta(minutes=minutes)
        episode.title, episode.message, episode.severity = event.title, event.message, event.severity
        episode.peak_severity = max(episode.peak_severity, event.severity)
        episode.latest, episode.changed = event, True
        is_told = rises and episode.id not in self.tracker.new and episode.id not in self.quiet
        plan.history.append(
            HistoryRow(
                episode.id,
                Action.SEVERITY_CHANGED if "severity" in changes else Action.NOTE,
                episode.status,
                episode.status,
                News.UPDATE if is_told else News.NONE,
                changes,
                notes=f"Read again with today's mappings{self.replay.notes}.",
            )
        )
        return True

    def may_show(self, newest: Newest, episode: Episode, *, moved: bool) -> bool:
        """Text that is older than what is shown stays away, unless what was shown has left."""
        if not moved and not newest.chosen:
            return False
        return episode.is_raised and (moved or newest.event.t >= episode.last_raise_at)

    def close(self, episode: Episode, state: State, plan: Plan) -> None:
        """No journalled event belongs to the alert any more. The tombstone is what lets a straggler reopen it."""
        notes = f"Its events were read again with today's mappings{self.replay.notes} and belong elsewhere now."
        engine.close(episode, plan, notes=notes)
        state.tombstone, state.tombstone_changed = episode.resolved_at, True
        known = self.tracker.before.get(episode.id)
        if known is not None and known.alert_type != UNKNOWN_TYPE and episode.id not in self.quiet:
            # Whoever was told of the problem is told that it is none; the ledger knows who that is.
            plan.history[-1].news = News.RECOVERY


class Planned(Mover):
    """In memory, without a lock: for dry runs, and for what a device's events come to before they are applied."""

    def __init__(self, replay: Replay, reading: Reading, group: Group) -> None:
        super().__init__(replay, reading, group)
        self.opened: set[UUID] = set()  # events that opened or reopened an alert
        self._plan = Plan(decisions=[], states={})
        self._openings: dict[str, UUID] = {}
        self._held: Counter[UUID] = Counter()
        self._newest: dict[UUID, Row] = {}

    def still_raised(self) -> set[UUID]:
        now = datetime.now(UTC)
        return {key for f, key in self._openings.items() if lasts(self._plan.states[f], now)}

    def count(self, alert_id: UUID, number: int) -> None:
        self._held[alert_id] = number

    def rewind(self, rewinds: list[Rewind]) -> None:
        self._load((r.fingerprint for r in rewinds), (r.alert_id for r in rewinds))
        for each in rewinds:
            self._newest[each.alert_id] = each.row
            self.take_back(each, self._plan.states[each.fingerprint], self._plan)
        self._noted()

    def settle(self, rows: list[Row]) -> None:
        self._load(
            (key for row in rows for key in [*row.targets, *([row.fingerprint] if row.tied else [])]),
            (row.leaves for row in rows if row.leaves is not None),
        )
        settled = Settled(plan=self._plan)
        movable = []
        for row in rows:
            if row.verdict == "move" and self.stays(row, self._plan.states):
                settled.left.append((row, "ended"))
            else:
                movable.append(row)
        for row in movable:
            try:
                history = self.apply(row, self._plan)
            except Exception:
                log.debug("Event %s from %s cannot be applied.", row.item.event_key, row.item.source, exc_info=True)
                settled.left.append((row, "refused"))
                continue
            if history is None:
                continue
            if opens(history):
                self._openings[row.item.fingerprint] = row.item.event_key
                self.opened.add(row.item.event_key)
            if row.verdict == "move" or row.item.outcome is not None:
                settled.rows.append(row)
            if row.leaves is not None:
                self._held[row.leaves] -= 1
            if row.item.alert_id is not None and row.item.outcome in RAISES:
                self._held[row.item.alert_id] += 1
                self._arrived(row.item.alert_id, row)
        for row in settled.rows:
            episode = self._plan.states[row.fingerprint].episode if row.leaves else None
            if episode is not None and episode.id == row.leaves and episode.is_raised and not self._held[episode.id]:
                self.close(episode, self._plan.states[row.fingerprint], self._plan)
        self._noted()
        self.note_moves(settled)

    def _arrived(self, alert_id: UUID, row: Row) -> None:
        known = self._newest.get(alert_id)
        if known is None or _key(known) < _key(row):
            self._newest[alert_id] = row

    def follow(self, ids: list[UUID], *, moved: bool) -> None:
        wanted = set(ids)
        found = {n.alert_id: n for n in self.replay.again(lambda: self.replay.newest(ids))}
        self._load((n.fingerprint for n in found.values()), ids)
        for state in list(self._plan.states.values()):
            episode = state.episode
            if episode is None or episode.id not in wanted or not episode.is_raised:
                continue
            newest = found.get(episode.id)
            own = self._newest.get(episode.id)
            if own is not None:
                # The newest in the journal is one that leaves, where rewinding found another.
                leaving = self.reading.leaving.get(episode.id)
                leaves = newest is not None and leaving is not None and newest.key[1] in leaving.keys
                if newest is None or leaves or _key(own) > newest.key:
                    newest = _newest(own, episode)
            if newest is not None and self.may_show(newest, episode, moved=moved):
                self.show(newest, episode, self._plan)
        self._noted()

    def _load(self, keys: Iterable[str], alerts: Iterable[UUID]) -> None:
        missing = set(keys) - self._plan.states.keys()
        if missing:

            def load() -> dict[str, State]:
                with self.replay.connect().cursor() as cur:
                    return store.read_states(cur, missing, datetime.now(UTC))

            states: dict[str, State] = self.replay.again(load)
            _entomb(states, self.replay.again(lambda: self.replay.orphans(_unraised(states))))
            self._plan.states.update(states)
        self.replay.again(lambda: self.learn(self._plan.states, alerts))

    def _noted(self) -> None:
        self.note(self._plan)
        self._plan.history.clear()


class Applied(Mover):
    """For good: each piece in one transaction, in the order of every batch of the engine."""

    def __init__(self, replay: Replay, reading: Reading, group: Group) -> None:
        super().__init__(replay, reading, group)
        self._tell: set[UUID] | None = None
        self._foreseen: set[UUID] = set()
        self._done = Settled()

    def steps(self) -> Iterator[None]:
        if len(self.group) > BATCH // 4:
            # What a later piece ends must not be told by an earlier one: think it through before anything is written.
            plan = Planned(_Aside(self.replay), self.reading, self.group)
            for _ in plan.steps():
                yield
            self._tell, self._foreseen = plan.still_raised(), plan.opened
        yield from super().steps()

    def rewind(self, rewinds: list[Rewind]) -> None:
        self._commit(lambda cur, now: self._rewind(cur, rewinds, now))

    def settle(self, rows: list[Row]) -> None:
        """When the database refuses something of them they go one by one, and the one at fault stays as it is."""
        try:
            self._commit(lambda cur, now: self._settle(cur, rows, now))
        except Exception as error:
            if isinstance(error, Stopped) or not is_lasting(error):
                raise
            if len(rows) > 1:
                for row in rows:
                    self.settle([row])
                return
            item = rows[0].item
            log.exception("Journalled event %s from %s cannot be applied anew.", item.event_key, item.source)
            self.replay.difference.leave("refused", rows[0].as_json())

    def follow(self, ids: list[UUID], *, moved: bool) -> None:
        found: list[Newest] = self.replay.again(lambda: self.replay.newest(ids))
        facts: dict[UUID, Facts] = self.replay.again(lambda: self.replay.facts(n.alert_id for n in found))
        differing = [n for n in found if n.alert_id in facts and _differs(n.event, facts[n.alert_id])]
        if differing:
            self._commit(lambda cur, now: self._follow(cur, differing, now, moved=moved))

    # --- transactions -----------------------------------------------------------------------------------

    def _commit(self, work: Callable[[Any, datetime], None]) -> None:
        """One transaction, again when it was lost; what it did is taken over once it is known to be committed."""
        attempts = iter(range(100))

        def once() -> None:
            if next(attempts) and self.replay.record.is_committed():
                return
            self.replay.record.begin()
            locked.again(lambda: self.replay.connect().cursor(), lambda: transaction())

        def transaction() -> None:
            self._done = Settled()
            conn = self.replay.connect()
            with conn.transaction(), conn.cursor() as cur:
                work(cur, datetime.now(UTC))

        self.replay.again(once)
        self.replay.record.committed()
        self.note(self._done.plan)
        self.note_moves(self._done)
        if self._done.plan.history or self._done.rows:
            doorbell.ring()

    def _rewind(self, cur: Any, rewinds: list[Rewind], now: datetime) -> None:
        held = locked.take(cur, (r.fingerprint for r in rewinds))
        states = store.read_states(cur, (r.fingerprint for r in rewinds), now)
        self.learn(states)
        plan = self._done.plan = Plan(decisions=[], states=states)
        for each in rewinds:
            self.take_back(each, states[each.fingerprint], plan)
        history = correlation.apply(cur, plan, held.surroundings, now, exclusive=held.exclusive)
        self.replay.record.within(cur, 0)
        store.write_history(cur, history, now)

    def _settle(self, cur: Any, rows: list[Row], now: datetime) -> None:
        done = self._done
        keys = {key for row in rows for key in row.targets} | {row.fingerprint for row in rows if row.tied}
        held = locked.take(cur, keys)
        rows = self._unmoved(cur, rows)
        states = store.read_states(cur, keys, now)
        _entomb(states, self.replay.orphans(_unraised(states)))
        self.learn(states, (row.leaves for row in rows if row.leaves is not None))
        plan = done.plan = Plan(decisions=[], states=states)
        per_item = []
        movable = []
        for row in rows:
            if row.verdict == "move" and self.stays(row, states):
                done.left.append((row, "ended"))
            else:
                movable.append(row)
        for row in movable:
            history = self.apply(row, plan)
            if history is None:
                continue
            per_item.append((row.item, history))
            if row.verdict == "move" or row.item.outcome is not None:
                done.rows.append(row)
        plan.history = list(told(per_item, self._announced(per_item, states, now), self.quiet))
        move(cur, (row.item for row in done.rows))
        self._leave(cur, done.rows, plan, now)
        history = correlation.apply(cur, plan, held.surroundings, now, exclusive=held.exclusive)
        counts: Counter[journal.Bucket] = Counter()
        for row in done.rows:
            counts[row.bucket] -= 1
            counts[journal.bucket(row.item)] += 1
        journal.count(cur, counts)
        self.replay.record.within(cur, len(done.rows))
        store.write_history(cur, history, now)

    def _announced(
        self, per_item: list[tuple[Any, list[HistoryRow]]], states: dict[str, State], now: datetime
    ) -> set[UUID]:
        here = still_raised(per_item, states, now)
        if self._tell is None:
            return here
        return self._tell | (here - self._foreseen)  # what nobody foresaw is told as far as this piece knows

    def _unmoved(self, cur: Any, rows: list[Row]) -> list[Row]:
        """Those nobody has moved since they were read; under the locks of their fingerprints nobody does any more."""
        cur.execute(_STILL, ([r.item.received_at for r in rows], [r.item.event_key for r in rows]))
        still = {key: tuple(now) for key, *now in cur.fetchall()}
        return [r for r in rows if still.get(r.item.event_key) == (r.was.value, r.alert_id, r.fingerprint)]

    def _leave(self, cur: Any, rows: list[Row], plan: Plan, now: datetime) -> None:
        """The alerts that lost events count less; those without any are closed."""
        gone = Counter(row.leaves for row in rows if row.leaves is not None)
        if not gone:
            return
        ids = sorted(gone)
        cur.execute(_LESS, (now, pgtext.array(ids), pgtext.array([gone[alert_id] for alert_id in ids])))
        cur.execute(_HELD, (ids, _RAISED))
        held = {alert_id for (alert_id,) in cur.fetchall()}
        for row in rows:
            if row.leaves is None or row.leaves in held:
                continue
            state = plan.states[row.fingerprint]
            if state.episode is not None and state.episode.id == row.leaves and state.episode.is_raised:
                self.close(state.episode, state, plan)

    def _follow(self, cur: Any, found: list[Newest], now: datetime, *, moved: bool) -> None:
        held = locked.take(cur, (n.fingerprint for n in found))
        states = store.read_states(cur, (n.fingerprint for n in found), now)
        self.learn(states)
        plan = self._done.plan = Plan(decisions=[], states=states)
        newest = {n.alert_id: n.key for n in self.replay.newest(n.alert_id for n in found)}
        for each in found:
            episode = states[each.fingerprint].episode
            # Something newer came since: it has said what it says.
            if episode is None or episode.id != each.alert_id or newest.get(each.alert_id) != each.key:
                continue
            if self.may_show(each, episode, moved=moved):
                self.show(each, episode, plan)
        if not plan.history:
            return
        history = correlation.apply(cur, plan, held.surroundings, now, exclusive=held.exclusive)
        self.replay.record.within(cur, 0)
        store.write_history(cur, history, now)


class _Aside(Replay):
    """The same replay, whose difference is thrown away: for thinking ahead."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(
            replay.connect, replay.snapshot, replay.selection, dry_run=True, policy=replay.policy, notes=replay.notes
        )


def _parts(rows: list[Row]) -> Iterator[list[Row]]:
    """Pieces whose fingerprints can be locked in one transaction."""
    part: list[Row] = []
    keys = 0
    for row in rows:
        needs = len(row.targets) + 1
        if part and keys + needs > LOCKED:
            yield part
            part, keys = [], 0
        part.append(row)
        keys += needs
    if part:
        yield part


def _key(row: Row) -> tuple[datetime, UUID]:
    return row.item.received_at, row.item.event_key


def _newest(row: Row, episode: Episode) -> Newest | None:
    """The row as the newest of the alert; None when it is not of it, as it is read today."""
    event = row.item.event
    if event is None or row.targets[0] != episode.fingerprint:
        return None
    return Newest(episode.id, episode.fingerprint, row, event, True)


def _unraised(states: dict[str, State]) -> list[str]:
    return [key for key, s in states.items() if s.episode is None or not s.episode.is_raised]


def _entomb(states: dict[str, State], clears: dict[str, datetime]) -> None:
    """A clear the journal knows makes older raises late, as its tombstone did while it lasted."""
    for key, t in clears.items():
        state = states[key]
        if state.tombstone is None or state.tombstone < t:
            state.tombstone = t


def _differs(event: NormalizedAlert, facts: Facts) -> bool:
    return (event.title, event.message, event.category, event.severity, event.ttl_minutes) != (
        facts.title,
        facts.message,
        facts.category,
        facts.severity,
        facts.ttl_minutes,
    )
