"""The engine's decisions: what each event of a batch does to the episode of its fingerprint. Pure; no database here.

`store` reads the state before and writes the changes after; `connectors.ingest` owns the transaction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from alerts.choices import (
    DEFAULT_IMPACT_URGENCY,
    PRIORITY_MATRIX,
    QUIET_BIT,
    SUPPRESSED_BITS,
    Action,
    Condition,
    News,
    Outcome,
    Status,
    SuppressionKind,
)
from alerts.fingerprints import fingerprint, fingerprints_of
from alerts.policy import Policy
from alerts.status import derive
from alerts.types import Decision, NormalizedAlert

FLAPPING = QUIET_BIT[SuppressionKind.FLAPPING]
TRANSITIONS_KEPT = 32
# The order of decisions, also where a batch is decided in several calls; only compared within one.
_STEPS = itertools.count(1)


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
    quiet: int = 0
    announced: bool = False
    outage: bool = False
    correlated_to: UUID | None = None
    transition_times: list[datetime] | None = None
    added: int = 0
    is_new: bool = False
    # What the writer has to do: counters only, or every column.
    touched: bool = False
    changed: bool = False
    drop_acknowledgement: bool = False
    first: NormalizedAlert | None = None
    # The event whose text and facts the row shows; None while they are unchanged.
    latest: NormalizedAlert | None = None
    # The event that opened or reopened it in this batch, the last one.
    opener: NormalizedAlert | None = None
    # What it was before this batch touched it; None for one the batch opened.
    was: Was | None = None
    rule: int | None = None
    # When in the order of decisions it was opened and ended last; 0: not in this batch.
    opened_step: int = 0
    ended_step: int = 0
    calm_at: datetime | None = None  # set when flapping begins in this batch: when it is over at the earliest

    @property
    def is_raised(self) -> bool:
        return self.condition == Condition.RAISED

    @property
    def is_flapping(self) -> bool:
        return bool(self.quiet & FLAPPING)

    @property
    def is_dead(self) -> bool:
        """Whether it takes its device for dead: a flapping outage does, also in the moments it is cleared."""
        return self.outage and (self.is_raised or self.is_flapping)

    def derived(self) -> Status:
        return derive(self.condition, acknowledged=self.acknowledged, suppressed=bool(self.quiet & SUPPRESSED_BITS))

    def remember(self) -> None:
        """Keep what it was, before the first change of a batch."""
        if self.was is None and not self.is_new:
            self.was = Was(self.condition, self.status, self.quiet, self.announced, self.is_dead)


@dataclass(slots=True, frozen=True)
class Was:
    condition: str
    status: str
    quiet: int
    announced: bool
    dead: bool


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
class Identity:
    """What a fingerprint is made of, where a clear of many ("all alarms cleared") has to know."""

    scope: str
    device: str
    alert_type: str


@dataclass(slots=True)
class Plan:
    """What a batch amounts to: one decision per event in order, the states it changed, the history to append."""

    decisions: list[Decision]
    states: dict[str, State]
    history: list[HistoryRow] = field(default_factory=list)
    # Other fingerprints the same problem had under earlier rules or addresses; a problem open there is that one.
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Of the fingerprints a wildcard clear of this batch may end.
    identities: Mapping[str, Identity] = field(default_factory=dict)

    def state(self, key: str) -> tuple[str, State]:
        """The state of a problem, and the fingerprint it is kept under."""
        state = self.states[key]
        if self.aliases and key in self.aliases and (state.episode is None or not state.episode.is_raised):
            for alias in self.aliases[key]:
                other = self.states[alias]
                if other.episode is not None and other.episode.is_raised:
                    return alias, other
        return key, state

    def episodes(self) -> list[Episode]:
        current = [s.episode for s in self.states.values() if s.episode is not None]
        return current + [episode for s in self.states.values() for episode in s.past]


def ends(event: NormalizedAlert) -> tuple[str, ...]:
    """The alert types a clear ends; one that ends in * means all that begin so."""
    return event.clears or (event.alert_type,)


def is_wildcard(alert_type: str) -> bool:
    return alert_type.endswith("*")


def targets(event: NormalizedAlert) -> list[str]:
    """The fingerprints an event may change: its own, or for a clear one per alert type it ends.

    What a wildcard ends is not among them: only the open alerts of its device can tell.
    """
    types = [t for t in ends(event) if not is_wildcard(t)] if event.is_clear else [event.alert_type]
    return [primary(event, t) for t in types]


def primary(event: NormalizedAlert, alert_type: str) -> str:
    if event.identity or event.former or event.former_keys:
        return fingerprints_of(event, alert_type)[0]
    return fingerprint(event.identity_scope, event.device_key, alert_type, event.component)


def aliases(event: NormalizedAlert) -> dict[str, list[str]]:
    """Under which other fingerprints an open episode may be what the event is about; empty for nearly all events."""
    if not (event.identity or event.former or event.former_keys):
        return {}
    types = [t for t in ends(event) if not is_wildcard(t)] if event.is_clear else [event.alert_type]
    every = [fingerprints_of(event, t) for t in types]
    return {first: others for first, *others in every if others}


def decide(
    events: Sequence[NormalizedAlert],
    fingerprints: Sequence[list[str]],
    states: dict[str, State],
    policy: Policy,
    new_id: Callable[[], UUID],
    *,
    aliases: Mapping[str, Sequence[str]] | None = None,
    identities: Mapping[str, Identity] | None = None,
) -> Plan:
    """Apply events in the order they were received. `states` holds an entry for every fingerprint of the batch.

    Times are compared by effective time, so that what the source said decides and not the order of delivery;
    equal times go by that order. News on the history is what each step alone would be worth telling; `correlation`
    decides what of it is told.
    """
    plan = Plan(decisions=[], states=states, aliases=aliases or {}, identities=identities or {})
    for event, keys in zip(events, fingerprints, strict=True):
        plan.decisions.append(
            _clear(event, keys, plan, policy) if event.is_clear else _raise(event, keys[0], plan, policy, new_id)
        )
    return plan


def _raise(event: NormalizedAlert, key: str, plan: Plan, policy: Policy, new_id: Callable[[], UUID]) -> Decision:
    key, state = plan.state(key)
    episode = state.episode
    if episode is not None and episode.is_raised:
        _repeat(event, episode, plan, policy)
        return Decision(Outcome.UNMAPPED if event.unmapped else Outcome.REPEATED, episode.id, key)
    policy = policy.of(event.source_system, event.alert_type)
    if state.tombstone is not None and state.tombstone > event.t:
        return Decision(Outcome.LATE, episode.id if episode else None, key)
    if episode is not None and _last_word(episode) > event.t:
        return Decision(Outcome.LATE, episode.id, key)
    if event.withheld:
        return Decision(Outcome.RATE_LIMITED, episode.id if episode else None, key)
    if (
        episode is not None
        and episode.resolved_at is not None
        # While it flaps it stays one episode, however long it was calm.
        and (event.t - episode.resolved_at < policy.reopen_window or episode.is_flapping)
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


def _clear(event: NormalizedAlert, keys: list[str], plan: Plan, policy: Policy) -> Decision:
    """End every open episode the clear names; leave a tombstone where there is none."""
    cleared: Decision | None = None
    late: Decision | None = None
    named = [t for t in ends(event) if not is_wildcard(t)]
    for key, alert_type in zip(keys, named if len(named) == len(keys) else [""] * len(keys), strict=True):
        key, state = plan.state(key)
        episode = state.episode
        if episode is None or not episode.is_raised:
            if state.tombstone is None or state.tombstone < event.t:
                state.tombstone = event.t
                state.tombstone_changed = True
        elif event.t < episode.last_raise_at:
            late = late or Decision(Outcome.LATE, episode.id, key)
        else:
            _clear_one(event, episode, alert_type, plan, policy)
            cleared = cleared or Decision(Outcome.CLEARED, episode.id, key)
    for wildcard in filter(is_wildcard, ends(event)):
        for key, alert_type, episode in _matching(event, wildcard, plan):
            if event.t < episode.last_raise_at:
                late = late or Decision(Outcome.LATE, episode.id, key)
            else:
                _clear_one(event, episode, alert_type, plan, policy)
                cleared = cleared or Decision(Outcome.CLEARED, episode.id, key)
    return cleared or late or Decision(Outcome.ORPHAN_CLEAR, None, keys[0] if keys else "")


def _matching(event: NormalizedAlert, wildcard: str, plan: Plan) -> list[tuple[str, str, Episode]]:
    """The open episodes of the event's device whose type begins as the wildcard says."""
    found = []
    for key, who in plan.identities.items():
        episode = plan.states[key].episode
        if (
            episode is not None
            and episode.is_raised
            and who.device == event.device_key
            and who.scope == event.identity_scope
            and who.alert_type.startswith(wildcard[:-1])
        ):
            found.append((key, who.alert_type, episode))
    return found


def _clear_one(event: NormalizedAlert, episode: Episode, alert_type: str, plan: Plan, policy: Policy) -> None:
    _end(episode, Condition.CLEARED, event.t, plan, Action.CLEARED, News.RECOVERY)
    episode.last_clear_at = event.t
    _transition(event, episode, plan, policy.of(event.source_system, alert_type or event.alert_type))


def _transition(event: NormalizedAlert, episode: Episode, plan: Plan, policy: Policy) -> None:
    """Count a change between raised and cleared; too many of them within the window are flapping."""
    episode.transitions += 1
    times = episode.transition_times = [*(episode.transition_times or []), event.t][-TRANSITIONS_KEPT:]
    if not policy.flap_transitions or episode.is_flapping:
        return
    since = event.t - policy.flap_window
    if sum(at > since for at in times) >= policy.flap_transitions:
        episode.quiet |= FLAPPING
        # One transition within the time of calm is calm: the one before the last must have grown that old, and the
        # flapping itself.
        episode.calm_at = max(event.received_at, times[-min(2, len(times))]) + policy.flap_calm
        old_status, episode.status = episode.status, episode.derived()
        plan.history.append(
            HistoryRow(
                episode.id, Action.FLAPPING, old_status, episode.status, News.UPDATE, {"transitions": [0, len(times)]}
            )
        )


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
        expires_at=expiry(event.t, event.ttl_minutes),
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
        opener=event,
        opened_step=next(_STEPS),
    )
    plan.history.append(HistoryRow(alert_id, Action.OPENED, "", Status.ACTIVE, News.PROBLEM, {}))
    return episode


def _repeat(event: NormalizedAlert, episode: Episode, plan: Plan, policy: Policy) -> None:
    episode.added += 1
    episode.touched = True
    episode.last_occurrence_at = max(episode.last_occurrence_at, event.received_at)
    if event.t < episode.last_raise_at:
        return  # counted, but what it says is older than what is shown
    episode.last_raise_at = max(episode.last_raise_at, event.t)
    if episode.ttl_minutes is not None:
        episode.expires_at = expiry(event.t, episode.ttl_minutes)
    if event.title != episode.title or event.message != episode.message:
        _show(event, episode)
    if event.severity != episode.severity:
        _change_severity(event, episode, plan, policy)


def _change_severity(event: NormalizedAlert, episode: Episode, plan: Plan, policy: Policy) -> None:
    episode.remember()
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
    episode.remember()
    old_status = episode.status
    changes: dict[str, list[Any]] = {"condition": [episode.condition, Condition.RAISED.value]}
    episode.added += 1
    episode.condition = Condition.RAISED
    episode.opening += 1
    episode.opener = event
    episode.opened_step = next(_STEPS)
    episode.resolved_at = None
    episode.last_raise_at = max(episode.last_raise_at, event.t)
    episode.last_occurrence_at = max(episode.last_occurrence_at, event.received_at)
    episode.ttl_minutes = event.ttl_minutes
    episode.expires_at = expiry(event.t, event.ttl_minutes)
    if event.severity != episode.severity:
        changes["severity"] = [episode.severity, event.severity]
        if event.severity > episode.severity and episode.acknowledged and policy.severity_rise_drops_acknowledgement:
            _drop_acknowledgement(episode, changes)
    episode.severity = event.severity
    episode.peak_severity = max(episode.peak_severity, event.severity)
    _show(event, episode)
    episode.status = episode.derived()
    plan.history.append(HistoryRow(episode.id, Action.REOPENED, old_status, episode.status, News.PROBLEM, changes))
    _transition(event, episode, plan, policy)


def _end(episode: Episode, condition: Condition, at: datetime, plan: Plan, action: Action, news: News) -> None:
    episode.remember()
    old_status = episode.status
    changes = {"condition": [episode.condition, condition.value]}
    episode.condition = condition
    episode.ended_step = next(_STEPS)
    episode.resolved_at = at
    episode.status = episode.derived()
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


def resolve(episode: Episode, plan: Plan, at: datetime, *, by: int, notes: str) -> None:
    """A person says it is over."""
    _end(episode, Condition.CLOSED, at, plan, Action.RESOLVED, News.RECOVERY)
    plan.history[-1].user_id, plan.history[-1].notes = by, notes


def reopen(episode: Episode, event: NormalizedAlert, plan: Plan, at: datetime, *, by: int, notes: str) -> None:
    """A person says it is not over. `event`: what the alert is about, as if it were said now.

    Their word is the last transition: what was said before it changes the condition no more (I7). It is no transition
    of the source, so it does not make the alert flap.
    """
    episode.remember()
    old_status = episode.status
    changes: dict[str, list[Any]] = {"condition": [episode.condition, Condition.RAISED.value]}
    episode.condition = Condition.RAISED
    episode.opening += 1
    episode.opener = event
    episode.opened_step = next(_STEPS)
    episode.resolved_at = None
    episode.last_raise_at = max(episode.last_raise_at, at)
    episode.expires_at = expiry(at, episode.ttl_minutes)
    episode.changed = True
    episode.status = episode.derived()
    plan.history.append(
        HistoryRow(episode.id, Action.REOPENED, old_status, episode.status, News.PROBLEM, changes, by, notes)
    )


def lapse(episode: Episode, plan: Plan) -> None:
    """The time somebody took on is over and the problem is still there: it is news again."""
    episode.remember()
    old_status = episode.status
    changes: dict[str, list[Any]] = {}
    _drop_acknowledgement(episode, changes)
    plan.history.append(HistoryRow(episode.id, Action.UNACKNOWLEDGED, old_status, episode.status, News.UPDATE, changes))


def _show(event: NormalizedAlert, episode: Episode) -> None:
    episode.title, episode.message = event.title, event.message
    episode.latest = event
    episode.changed = True


def _drop_acknowledgement(episode: Episode, changes: dict[str, list[Any]]) -> None:
    episode.remember()
    changes["acknowledged"] = [True, False]
    episode.acknowledged = False
    episode.drop_acknowledgement = True
    episode.changed = True
    episode.status = episode.derived()


def expiry(t: datetime, ttl_minutes: int | None) -> datetime | None:
    return None if ttl_minutes is None else t + timedelta(minutes=ttl_minutes)


def importance(severity: int) -> tuple[str, str, int]:
    """Impact, urgency and priority an event has by its severity."""
    impact, urgency = DEFAULT_IMPACT_URGENCY[severity]
    return impact, urgency, PRIORITY_MATRIX[impact, urgency]
