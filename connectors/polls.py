"""What a poll found, stored: findings that are new or changed as events, the rest as "still there", and what a complete
poll does not report any more as gone.

A poll is one snapshot of one target, or of a whole source that watches many devices. Its effective time is its start:
what a trap said after that is newer. A failed or partial poll clears nothing (I9). What has not changed leaves no
journal row and no count, or the occurrences of an alert would be a poll counter.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from alerts import correlation, engine, locked, store
from alerts.choices import Action, Category, Outcome, Severity
from alerts.correlation import ReachNeeded
from alerts.engine import Episode, HistoryRow, Plan, State
from alerts.ids import uuid7
from alerts.surroundings import Holder, Surroundings
from alerts.types import NormalizedAlert
from alerts.wanted import Wanted
from connectors import journal
from connectors.ingest import parts
from connectors.journal import Item
from connectors.snapshot import ConnectorRow, Snapshot
from opsconductor import doorbell, pgtext

log = logging.getLogger(__name__)

KIND = "source state"
SOURCE_OFFLINE, SOURCE_ONLINE = "source_offline", "source_online"
BATCH = 500
RUN_AGAIN = ("40P01", "40001")
ATTEMPTS = 5
# Why a poll and a trap disagree is counted under this reason.
DISAGREEMENT = "disagreement"

_OPEN_COLUMNS = "fingerprint, id, connector_id, host(device_ip), alert_type, component, last_raise_at, missed_snapshots"
# All addresses of the device: what it was known by when the alert was opened, unless that is another's by now.
_OPEN_ON_DEVICE = f"""
SELECT {_OPEN_COLUMNS} FROM alerts_alert WHERE condition = 'raised' AND device_ip = ANY(ARRAY(
    SELECT %(ip)s::inet
    UNION SELECT address FROM dependencies_device AS d, unnest(d.ip || d.aliases || d.former_ips) AS address
    WHERE (d.ip = %(ip)s::inet OR d.aliases @> ARRAY[%(ip)s::inet])
      AND NOT EXISTS (
        SELECT 1 FROM dependencies_device AS other
        WHERE other.id <> d.id AND (other.ip = address OR other.aliases @> ARRAY[address]))))
ORDER BY id"""  # noqa: S608
_OPEN_OF_SOURCE = f"""
SELECT {_OPEN_COLUMNS} FROM alerts_alert WHERE condition = 'raised' AND connector_id = %s ORDER BY id"""  # noqa: S608
_MISSED = """
UPDATE alerts_alert AS a SET missed_snapshots = v.missed
FROM unnest(%s::uuid[], %s::int[]) AS v(id, missed) WHERE a.id = v.id"""


@dataclass(slots=True)
class Poll:
    """One snapshot. `items` are its findings, raises and clears, whose events carry `t` = started_at.

    `device_key` and `device_ip` name the target; without an address the poll is of the whole source. `reconciles`: the
    alert types of which its silence means something. `error`: why it failed, or is partial; empty when it is complete.
    `says_state`: whether a failure is told as source_offline; off where the findings say how the source is.
    """

    connector: ConnectorRow
    started_at: datetime
    items: Sequence[Item]
    device_key: str = ""
    device_ip: str | None = None
    device_name: str = ""
    reconciles: Collection[str] = frozenset()
    error: str = ""
    says_state: bool = True

    @property
    def is_complete(self) -> bool:
        return not self.error


@dataclass(slots=True)
class Stored:
    """What came of it: findings by outcome, those that were there before, alerts cleared because they are gone, and how
    often the poll says otherwise than a trap did."""

    outcomes: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    cleared_as_absent: int = 0
    disagreements: int = 0


@dataclass(slots=True, frozen=True)
class _Open:
    fingerprint: str
    alert_id: UUID
    connector_id: int | None
    device_ip: str | None
    alert_type: str
    component: str
    last_raise_at: datetime
    missed: int


def store_poll(
    connect: Callable[[], psycopg.Connection[Any]],
    poll: Poll,
    holder: Holder,
    now: Callable[[], datetime],
) -> Stored:
    """Commit what a poll found. Raises psycopg.Error when it cannot be stored: the next poll says it again."""
    stored = Stored()
    items = [*poll.items, _source_state(poll, now())] if poll.says_state else list(poll.items)
    for start in range(0, len(items), BATCH):
        for part, _ in parts(items[start : start + BATCH], None):
            fixed = [(item.outcome, item.reason) for item in part]

            def work(holder: Holder, alone: bool, part: Sequence[Item] = part, fixed: Sequence[Any] = fixed) -> None:
                for item, (outcome, reason) in zip(
                    part, fixed, strict=True
                ):  # an attempt that was lost decided already
                    item.outcome, item.reason, item.alert_id, item.fingerprint = outcome, reason, None, ""
                _findings(connect(), poll, part, holder, alone, now, stored)

            _run(connect, holder, work)
    if poll.is_complete and poll.reconciles:
        _absences(connect, poll, holder, now, stored)
    doorbell.ring()
    return stored


def _run(connect: Callable[[], psycopg.Connection[Any]], holder: Holder, work: Callable[[Holder, bool], None]) -> None:
    """One transaction; again after an edit of the configuration, a deadlock, or when it needs REACH alone."""
    alone = False
    for attempt in range(ATTEMPTS):
        try:
            locked.again(lambda: connect().cursor(), lambda: work(holder, alone), holder)  # noqa: B023
            return
        except ReachNeeded:
            alone = True
        except psycopg.Error as error:
            if error.sqlstate not in RUN_AGAIN or attempt + 1 == ATTEMPTS:
                raise
    raise RuntimeError(f"A poll could not be stored in {ATTEMPTS} attempts.")


def _findings(
    conn: psycopg.Connection[Any],
    poll: Poll,
    items: Sequence[Item],
    holder: Holder,
    alone: bool,
    clock: Callable[[], datetime],
    stored: Stored,
) -> None:
    done = Stored()
    events = [item for item in items if item.event is not None and item.outcome is None]
    keys = {id(item): engine.targets(item.event) for item in events}  # type: ignore[arg-type]
    with conn.transaction(), conn.cursor() as cur:
        wanted = Wanted.of([i.event for i in events], [keys[id(i)] for i in events])  # type: ignore[misc]
        held = locked.take(cur, wanted.fingerprints, exclusive=alone, holder=holder)
        now = clock()
        s = held.surroundings
        alone = alone or s.reaches([item.event for item in events])  # type: ignore[misc]
        if alone and not held.exclusive:
            raise ReachNeeded
        states = store.read_states(cur, wanted.fingerprints, now)
        raised_by = _raised_by(cur, states)
        plan = Plan(decisions=[], states=states, aliases=wanted.aliases)
        told = [item for item in items if item.outcome is not None]  # switched off: journalled, and nothing else
        for item in events:
            event, own = item.event, keys[id(item)]
            if event is None:
                continue
            known = [plan.state(key) for key in own]
            if _is_unchanged(event, [state for _, state in known]):
                done.unchanged += 1
                continue
            disagrees = event.is_clear and any(
                (by := raised_by.get(key)) is not None and by != poll.connector.id for key, _ in known
            )
            if disagrees:
                done.disagreements += 1
                item.reason = DISAGREEMENT
                if not s.policy.poll_overrules_trap:
                    item.outcome = Outcome.LATE
                    told.append(item)
                    continue
            part = engine.decide([event], [own], states, s.policy, uuid7, aliases=wanted.aliases)
            decision = part.decisions[0]
            item.outcome, item.alert_id, item.fingerprint = decision.outcome, decision.alert_id, decision.fingerprint
            plan.history += part.history
            told.append(item)
        history = correlation.apply(cur, plan, s, now, exclusive=held.exclusive)
        journal.copy_rows(cur, told)
        journal.count(cur, journal.tally(told))
        store.write_history(cur, history, now)
    for item in told:
        done.outcomes[item.outcome.value if item.outcome else ""] += 1
    stored.outcomes += done.outcomes
    stored.unchanged += done.unchanged
    stored.disagreements += done.disagreements


def _is_unchanged(event: NormalizedAlert, states: Sequence[State]) -> bool:
    """What the alert says already is only seen once more; an "all is well" of what is well is nothing."""
    if event.is_clear:
        return not any((e := state.episode) is not None and e.is_raised for state in states)
    episode = states[0].episode
    if episode is None or not episode.is_raised:
        return False
    if (event.severity, event.title, event.message) != (episode.severity, episode.title, episode.message):
        return False
    episode.last_occurrence_at = max(episode.last_occurrence_at, event.received_at)
    if event.t > episode.last_raise_at:
        episode.last_raise_at = event.t
        if episode.ttl_minutes is not None:
            episode.expires_at = engine.expiry(event.t, episode.ttl_minutes)
    episode.touched = True
    return True


def _raised_by(cur: Any, states: dict[str, State]) -> dict[str, int | None]:
    """The connector of each open episode."""
    ids = {s.episode.id: key for key, s in states.items() if s.episode is not None and s.episode.is_raised}
    if not ids:
        return {}
    cur.execute("SELECT id, connector_id FROM alerts_alert WHERE id = ANY(%s::uuid[])", (pgtext.array(list(ids)),))
    return {ids[alert_id]: connector_id for alert_id, connector_id in cur.fetchall()}


# --- what is not reported any more ------------------------------------------------------------------------------


def _absences(
    connect: Callable[[], psycopg.Connection[Any]],
    poll: Poll,
    holder: Holder,
    now: Callable[[], datetime],
    stored: Stored,
) -> None:
    raised = [item.event for item in poll.items if item.event is not None and not item.event.is_clear]
    reported = set(Wanted.of(raised, [engine.targets(event) for event in raised]).fingerprints)
    with connect().cursor() as cur:
        found = [o for o in _open(cur, poll) if _concerns(o, poll, holder.value)]
    for start in range(0, len(found), BATCH):

        def work(holder: Holder, alone: bool, part: Sequence[_Open] = found[start : start + BATCH]) -> None:
            _absent_part(connect(), poll, part, reported, holder, alone, now, stored)

        # Each part by itself: one that is committed must not count again because a later one has to begin anew.
        _run(connect, holder, work)


def _open(cur: Any, poll: Poll) -> list[_Open]:
    if poll.device_ip is not None:
        cur.execute(_OPEN_ON_DEVICE, {"ip": poll.device_ip})
    else:
        cur.execute(_OPEN_OF_SOURCE, (poll.connector.id,))
    return [_Open(*row) for row in cur.fetchall()]


def _concerns(o: _Open, poll: Poll, s: Surroundings) -> bool:
    """Alerts of this source, or of another that sees the same things under one identity."""
    return o.alert_type in poll.reconciles and s.scopes.get(o.connector_id or 0) == poll.connector.identity_scope


def _absent_part(
    conn: psycopg.Connection[Any],
    poll: Poll,
    found: Sequence[_Open],
    reported: set[str],
    holder: Holder,
    alone: bool,
    clock: Callable[[], datetime],
    stored: Stored,
) -> None:
    cleared = disagreements = 0
    with conn.transaction(), conn.cursor() as cur:
        held = locked.take(cur, [o.fingerprint for o in found], exclusive=alone, holder=holder)
        now = clock()
        s = held.surroundings
        states = store.read_states(cur, [o.fingerprint for o in found], now)
        plan = Plan(decisions=[], states=states)
        missed: dict[UUID, int] = {}
        for o in found:
            episode = states[o.fingerprint].episode
            if episode is None or episode.id != o.alert_id or not episode.is_raised:
                continue
            if o.fingerprint in reported or episode.last_raise_at >= poll.started_at:
                if o.missed:
                    missed[o.alert_id] = 0
                continue
            if o.connector_id != poll.connector.id:
                disagreements += 1
                if not s.policy.poll_overrules_trap:
                    continue
            if o.missed + 1 < s.policy.absent_snapshots:
                missed[o.alert_id] = o.missed + 1
                continue
            missed[o.alert_id] = 0
            part = engine.decide([_gone(o, poll)], [[o.fingerprint]], states, s.policy, uuid7)
            _explain(part.history, episode, s.policy.absent_snapshots, poll)
            plan.history += part.history
            cleared += 1
        if missed:
            rows = sorted(missed.items())
            cur.execute(_MISSED, (pgtext.array([r[0] for r in rows]), pgtext.array([r[1] for r in rows])))
        history = correlation.apply(cur, plan, s, now, exclusive=held.exclusive)
        store.write_history(cur, history, now)
    stored.cleared_as_absent += cleared
    stored.disagreements += disagreements


def _gone(o: _Open, poll: Poll) -> NormalizedAlert:
    return NormalizedAlert(
        source_system=poll.connector.type,
        connector_id=poll.connector.id,
        identity_scope=poll.connector.identity_scope,
        device_key=poll.device_key or o.device_ip or "",
        device_ip=o.device_ip,
        device_name="",
        device_id=None,
        alert_type=o.alert_type,
        component=o.component,
        category=Category.UNKNOWN.value,
        severity=int(Severity.CLEAR),
        is_clear=True,
        t=poll.started_at,
        received_at=poll.started_at,
        title="",
    )


def _explain(history: Sequence[HistoryRow], episode: Episode, number: int, poll: Poll) -> None:
    for row in history:
        if row.action is Action.CLEARED and row.alert_id == episode.id:
            times = "the last complete poll" if number == 1 else f"the last {number} complete polls"
            row.notes = f"Not in {times} of {poll.connector.slug}."


# --- the source itself ------------------------------------------------------------------------------------------


def _source_state(poll: Poll, now: datetime) -> Item:
    """A poll that failed or broke off is a problem of the source, and a complete one its end."""
    item = Item(uuid7(), now, poll.connector.id, poll.connector.slug, None, KIND)
    item.data = {
        "error": poll.error,
        "device_key": poll.device_key,
        "device_ip": poll.device_ip,
        "device_name": poll.device_name,
        "started_at": poll.started_at.isoformat(),
    }
    _read(item, poll.connector)
    return item


def reread(item: Item, snapshot: Snapshot) -> None:
    """A journalled state of a source, once more."""
    connector = snapshot.by_id(item.connector_id)
    item.event, item.outcome, item.reason, item.error = None, None, "", ""
    if connector is None or not connector.enabled:
        item.outcome, item.reason = Outcome.DISABLED, "connector"
    else:
        _read(item, connector)


def _read(item: Item, connector: ConnectorRow) -> None:
    data: dict[str, Any] = item.data or {}
    over = not data["error"]
    target = data["device_name"] or data["device_ip"] or ""
    item.subject = SOURCE_ONLINE if over else SOURCE_OFFLINE
    item.device_ip = data["device_ip"]
    item.event = NormalizedAlert(
        source_system=connector.type,
        connector_id=connector.id,
        # Of this connector alone, whoever shares its identity: others may well reach the device.
        identity_scope=f"source/{connector.slug}",
        device_key=data["device_key"] or connector.slug,
        device_ip=data["device_ip"],
        device_name=data["device_name"],
        device_id=None,
        alert_type=item.subject,
        component=f"source={connector.slug}",
        category=Category.NETWORK.value,
        severity=int(Severity.CLEAR if over else Severity.CRITICAL),
        is_clear=over,
        t=datetime.fromisoformat(data["started_at"]),
        received_at=item.received_at,
        title=f"{connector.slug} does not answer" + (f" for {target}" if target else ""),
        message=data["error"],
        clears=(SOURCE_OFFLINE,) if over else (),
        raw_data=dict(data),
    )
