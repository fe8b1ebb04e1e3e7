"""The engine's decisions: what each event of a batch does to the episode of its fingerprint. Pure; no database here.

`store` reads the state before and writes the changes after; `connectors.ingest` owns the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from alerts.choices import DEFAULT_IMPACT_URGENCY, PRIORITY_MATRIX, Action, Condition, News, Outcome, Status
from alerts.fingerprints import fingerprint
from alerts.policy import Policy
from alerts.status import derive
from alerts.types import Decision, NormalizedAlert


@dataclass(slots=True)
class Episode:
    """The columns of one alert the engine reads and changes. `added` counts raises received in this batch."""

    id: UUID
    fingerprint: str
    condition: str
    status: str
    severity: int
    peak_severity: int
    title: str
    message: str
    opening: int
    transitions: int
    ttl_minutes: int | None
    expires_at: datetime | None
    last_raise_at: datetime
    last_clear_at: datetime | None
    last_occurrence_at: datetime
    acknowledged: bool
    acknowledged_until: datetime | None
    resolved_at: datetime | None
    added: int = 0
    is_new: bool = False
    # What the writer has to do: counters only, or every column.
    touched: bool = False
    changed: bool = False
    drop_acknowledgement: bool = False
    first: NormalizedAlert | None = None
    # The event whose text and facts the row shows; None while they are unchanged.
    latest: NormalizedAlert | None = None

    @property
    def is_raised(self) -> bool:
        return self.condition == Condition.RAISED


@dataclass(slots=True)
class State:
    """All that is known of one fingerprint: its open or last ended episode, and the tombstone of an orphan clear."""

    episode: Episode | None = None
    tombstone: datetime | None = None
    tombstone_changed: bool = False
    # Episodes of this batch that ended and were followed by a new one: a backlog can span more than one life.
    past: list[Episode] = field(default_factory=list)


@dataclass(slots=True)
class HistoryRow:
    alert_id: UUID
    action: Action
    old_status: str
    new_status: str
    news: News
    changes: dict[str, list[Any]]
    user_id: int | None = None
    notes: str = ""


@dataclass(slots=True)
class Plan:
    """What a batch amounts to: one decision per event in order, the states it changed, the history to append."""

    decisions: list[Decision]
    states: dict[str, State]
    history: list[HistoryRow] = field(default_factory=list)

    def episodes(self) -> list[Episode]:
        current = [s.episode for s in self.states.values() if s.episode is not None]
        return current + [episode for s in self.states.values() for episode in s.past]


def targets(event: NormalizedAlert) -> list[str]:
    """The fingerprints an event may change: its own, or for a clear one per alert type it ends."""
    types = (event.clears or (event.alert_type,)) if event.is_clear else (event.alert_type,)
    return [fingerprint(event.identity_scope, event.device_key, t, event.component) for t in types]


def decide(
    events: Sequence[NormalizedAlert],
    fingerprints: Sequence[list[str]],
    states: dict[str, State],
    policy: Policy,
    new_id: Callable[[], UUID],
) -> Plan:
    """Apply events in the order they were received. `states` holds an entry for every fingerprint of the batch.

    Times are compared by effective time, so that what the source said decides and not the order of delivery;
    equal times go by that order.
    """
    plan = Plan(decisions=[], states=states)
    for event, keys in zip(events, fingerprints, strict=True):
        plan.decisions.append(
            _clear(event, keys, plan) if event.is_clear else _raise(event, keys[0], plan, policy, new_id)
        )
    return plan


def _raise(event: NormalizedAlert, key: str, plan: Plan, policy: Policy, new_id: Callable[[], UUID]) -> Decision:
    state = plan.states[key]
    episode = state.episode
    if episode is not None and episode.is_raised:
        _repeat(event, episode, plan, policy)
        outcome = Outcome.REPEATED
    elif state.tombstone is not None and state.tombstone > event.t:
        return Decision(Outcome.LATE, episode.id if episode else None, key)
    elif episode is not None and _last_word(episode) > event.t:
        return Decision(Outcome.LATE, episode.id, key)
    elif event.withheld:
        return Decision(Outcome.RATE_LIMITED, episode.id if episode else None, key)
    elif (
        episode is not None and episode.resolved_at is not None and event.t - episode.resolved_at < policy.reopen_window
    ):
        if episode.condition == Condition.CLOSED and not _cleared_since(state, episode.resolved_at):
            # A person closed it and the source never said it was over: this is the source repeating itself.
            return Decision(Outcome.LATE, episode.id, key)
        _reopen(event, episode, plan, policy)
        outcome = Outcome.REOPENED
    else:
        if episode is not None:
            state.past.append(episode)
        episode = _open(event, key, plan, new_id())
        state.episode = episode
        outcome = Outcome.OPENED
    return Decision(Outcome.UNMAPPED if event.unmapped else outcome, episode.id, key)


def _last_word(episode: Episode) -> datetime:
    """The last thing said of an ended episode: an event older than that changes nothing.

    Expiry is nobody's word: a raise that came before it, and is stored after it, is a raise.
    """
    if episode.condition == Condition.EXPIRED or episode.resolved_at is None:
        return episode.last_raise_at
    return episode.resolved_at


def _cleared_since(state: State, closed_at: datetime) -> bool:
    return state.tombstone is not None and state.tombstone >= closed_at


def _clear(event: NormalizedAlert, keys: list[str], plan: Plan) -> Decision:
    """End every open episode the clear names; leave a tombstone where there is none."""
    cleared: Decision | None = None
    late: Decision | None = None
    for key in keys:
        state = plan.states[key]
        episode = state.episode
        if episode is None or not episode.is_raised:
            if state.tombstone is None or state.tombstone < event.t:
                state.tombstone = event.t
                state.tombstone_changed = True
        elif event.t < episode.last_raise_at:
            late = late or Decision(Outcome.LATE, episode.id, key)
        else:
            _end(episode, Condition.CLEARED, event.t, plan, Action.CLEARED, News.RECOVERY)
            episode.last_clear_at = event.t
            episode.transitions += 1
            cleared = cleared or Decision(Outcome.CLEARED, episode.id, key)
    return cleared or late or Decision(Outcome.ORPHAN_CLEAR, None, keys[0])


def _open(event: NormalizedAlert, key: str, plan: Plan, alert_id: UUID) -> Episode:
    episode = Episode(
        id=alert_id,
        fingerprint=key,
        condition=Condition.RAISED,
        status=Status.ACTIVE,
        severity=event.severity,
        peak_severity=event.severity,
        title=event.title,
        message=event.message,
        opening=1,
        transitions=0,
        ttl_minutes=event.ttl_minutes,
        expires_at=_expiry(event.t, event.ttl_minutes),
        last_raise_at=event.t,
        last_clear_at=None,
        last_occurrence_at=event.received_at,
        acknowledged=False,
        acknowledged_until=None,
        resolved_at=None,
        added=1,
        is_new=True,
        first=event,
        latest=event,
    )
    plan.history.append(HistoryRow(alert_id, Action.OPENED, "", Status.ACTIVE, News.PROBLEM, {}))
    return episode


def _repeat(event: NormalizedAlert, episode: Episode, plan: Plan, policy: Policy) -> None:
    episode.added += 1
    episode.touched = True
    episode.last_occurrence_at = max(episode.last_occurrence_at, event.received_at)
    if event.t < episode.last_raise_at:
        return  # counted, but what it says is older than what is shown
    episode.last_raise_at = event.t
    if episode.ttl_minutes is not None:
        episode.expires_at = _expiry(event.t, episode.ttl_minutes)
    if event.title != episode.title or event.message != episode.message:
        _show(event, episode)
    if event.severity != episode.severity:
        _change_severity(event, episode, plan, policy)


def _change_severity(event: NormalizedAlert, episode: Episode, plan: Plan, policy: Policy) -> None:
    rises = event.severity > episode.severity
    changes: dict[str, list[Any]] = {"severity": [episode.severity, event.severity]}
    old_status = episode.status
    _show(event, episode)
    episode.severity = event.severity
    episode.peak_severity = max(episode.peak_severity, event.severity)
    if rises and episode.acknowledged and policy.severity_rise_drops_acknowledgement:
        _drop_acknowledgement(episode, changes)
    plan.history.append(
        HistoryRow(
            episode.id,
            Action.SEVERITY_CHANGED,
            old_status,
            episode.status,
            News.UPDATE if rises else News.NONE,
            changes,
        )
    )


def _reopen(event: NormalizedAlert, episode: Episode, plan: Plan, policy: Policy) -> None:
    old_status = episode.status
    changes: dict[str, list[Any]] = {"condition": [episode.condition, Condition.RAISED.value]}
    episode.added += 1
    episode.condition = Condition.RAISED
    episode.opening += 1
    episode.transitions += 1
    episode.resolved_at = None
    episode.last_raise_at = max(episode.last_raise_at, event.t)
    episode.last_occurrence_at = max(episode.last_occurrence_at, event.received_at)
    episode.ttl_minutes = event.ttl_minutes
    episode.expires_at = _expiry(event.t, event.ttl_minutes)
    if event.severity != episode.severity:
        changes["severity"] = [episode.severity, event.severity]
        if event.severity > episode.severity and episode.acknowledged and policy.severity_rise_drops_acknowledgement:
            _drop_acknowledgement(episode, changes)
    episode.severity = event.severity
    episode.peak_severity = max(episode.peak_severity, event.severity)
    _show(event, episode)
    episode.status = derive(episode.condition, acknowledged=episode.acknowledged)
    plan.history.append(HistoryRow(episode.id, Action.REOPENED, old_status, episode.status, News.PROBLEM, changes))


def _end(episode: Episode, condition: Condition, at: datetime, plan: Plan, action: Action, news: News) -> None:
    old_status = episode.status
    changes = {"condition": [episode.condition, condition.value]}
    episode.condition = condition
    episode.resolved_at = at
    episode.status = derive(condition, acknowledged=episode.acknowledged)
    episode.changed = True
    plan.history.append(HistoryRow(episode.id, action, old_status, episode.status, news, changes))


def expire(episode: Episode, plan: Plan) -> None:
    """A stateless event has had its time. It ends at its expiry, and that is no recovery."""
    if episode.expires_at is None:
        raise ValueError(f"alert {episode.id} has no expiry")
    _end(episode, Condition.EXPIRED, episode.expires_at, plan, Action.EXPIRED, News.NONE)


def close(episode: Episode, plan: Plan, notes: str) -> None:
    """Nobody asks for this alert any more: it ends at its last event, without a word to anybody."""
    _end(episode, Condition.CLOSED, episode.last_raise_at, plan, Action.RESOLVED, News.NONE)
    plan.history[-1].notes = notes


def lapse(episode: Episode, plan: Plan) -> None:
    """The time somebody took on is over and the problem is still there: it is news again."""
    old_status = episode.status
    changes: dict[str, list[Any]] = {}
    _drop_acknowledgement(episode, changes)
    plan.history.append(HistoryRow(episode.id, Action.UNACKNOWLEDGED, old_status, episode.status, News.UPDATE, changes))


def _show(event: NormalizedAlert, episode: Episode) -> None:
    episode.title, episode.message = event.title, event.message
    episode.latest = event
    episode.changed = True


def _drop_acknowledgement(episode: Episode, changes: dict[str, list[Any]]) -> None:
    changes["acknowledged"] = [True, False]
    episode.acknowledged = False
    episode.drop_acknowledgement = True
    episode.changed = True
    episode.status = derive(episode.condition, acknowledged=False)


def _expiry(t: datetime, ttl_minutes: int | None) -> datetime | None:
    return None if ttl_minutes is None else t + timedelta(minutes=ttl_minutes)


def importance(severity: int) -> tuple[str, str, int]:
    """Impact, urgency and priority an event has by its severity."""
    impact, urgency = DEFAULT_IMPACT_URGENCY[severity]
    return impact, urgency, PRIORITY_MATRIX[impact, urgency]
