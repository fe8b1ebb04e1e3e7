"""What of it is told: outages hide what depends on them, windows keep quiet, what a parent may explain waits.

`settle` looks at the episodes a batch changed, before they are written; `reach` at everything below a device that died
or came back, after; `reassess` is the one place that decides what keeps an alert quiet now. All run under the engine's
locks; what reaches beyond the batch's own alerts needs REACH for itself alone, or raises ReachNeeded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from alerts import store, suppressions
from alerts.choices import QUIET_BIT, SUPPRESSED_BITS, Action, News, Status, SuppressionKind
from alerts.engine import FLAPPING, Episode, HistoryRow, Plan
from alerts.locks import Cursor
from alerts.models import UNTOLD
from alerts.suppressions import Changes, Reason, Standing
from alerts.surroundings import Surroundings
from alerts.types import NormalizedAlert
from alerts.windows import Window
from dependencies.graph import Explanation, Outage, Root
from opsconductor import pgtext

HOLD = QUIET_BIT[SuppressionKind.HOLD]
DEPENDENCY = QUIET_BIT[SuppressionKind.DEPENDENCY]
# What an edit of dependencies or rules may change.
OF_GRAPH = DEPENDENCY | HOLD | QUIET_BIT[SuppressionKind.RELEASING]
ENDED = "the alert ended"

# A flapping outage keeps its device dead also while it is cleared.
_OUTAGES = """
SELECT id, host(device_ip), alert_type, component, occurred_at FROM alerts_alert
WHERE condition = 'raised' AND outage AND device_ip = ANY(%s::inet[])
UNION
SELECT a.id, host(a.device_ip), a.alert_type, a.component, a.occurred_at
FROM alerts_suppression AS s JOIN alerts_alert AS a ON a.id = s.alert_id
WHERE s.ended_at IS NULL AND s.until IS NOT NULL AND s.kind = 'flapping' AND a.outage
  AND a.device_ip = ANY(%s::inet[])"""
_WHERE = "SELECT id, host(device_ip) FROM alerts_alert WHERE id = ANY(%s::uuid[])"
_RECENT = """
SELECT source_system, alert_type, count(*) FROM alerts_alert
WHERE occurred_at > %s AND alert_type = ANY(%s::text[]) AND created_at > %s GROUP BY 1, 2"""


class ReachNeeded(Exception):
    """What a batch does reaches other alerts, and it does not hold REACH alone: it runs again with it."""


@dataclass(slots=True)
class Subject:
    """What windows look at, of an alert that is not written yet."""

    alert_id: UUID
    device_ip: str | None
    alert_type: str
    category: str
    connector_slug: str
    tags: Sequence[str]


# --- a batch's own episodes -------------------------------------------------------------------------------------


def settle(cur: Cursor, plan: Plan, s: Surroundings, now: datetime, *, exclusive: bool) -> Settled:
    """Decide what keeps the episodes of a plan quiet and which of its history is news, before anything is written.

    Sets quiet, announced, status, outage and correlated_to of episodes and the news of `plan.history`. The rest is in
    the answer: write it after the alerts, then reach what lies below `died_or_returned`.
    """
    changes = Changes(now)
    touched = [e for e in plan.episodes() if e.is_new or e.was is not None]
    kept: dict[UUID, int] = {}
    opened = [e for e in touched if e.opener is not None]
    for e in opened:
        e.outage = bool(s.rules) and bool(s.rules.outages(e.opener.alert_type))  # type: ignore[union-attr]
    above = _explain_own(cur, opened, touched, s)
    storms = _Storms(cur, opened, s, now)
    if s.policy.by_type is not None:
        changes.verify |= _to_verify(opened, s)
    for e in opened:
        reasons = _reasons(e, s, now, above, storms)
        kept[e.id] = suppressions.bits(reasons)
        if e.is_raised:
            e.quiet = (e.quiet & FLAPPING) | kept[e.id]
        for reason in reasons:
            changes.start(e.id, reason, ended="" if e.is_raised else UNTOLD)
            if reason.kind is SuppressionKind.DEPENDENCY:
                e.correlated_to, e.rule = reason.root, reason.rule
        if reasons == [] or not any(r.kind is SuppressionKind.DEPENDENCY for r in reasons):
            e.correlated_to = None
    _end_reasons(cur, touched, changes)
    for e in touched:
        if e.calm_at is not None:
            changes.start(e.id, Reason(SuppressionKind.FLAPPING, until=e.calm_at))
        e.status = e.derived()
    _tell(plan, touched, kept)
    passed = _passed(touched, s)
    return Settled(changes, _died_or_returned(cur, touched, passed, s, exclusive), passed)


def _to_verify(opened: Sequence[Episode], s: Surroundings) -> set[str]:
    """Devices of new alerts whose type wants to be verified by a poll."""
    return {
        event.device_ip
        for e in opened
        if e.is_raised and (event := e.opener) is not None and event.device_ip is not None
        if s.policy.of(event.source_system, event.alert_type).verify
    }


def apply(cur: Cursor, plan: Plan, s: Surroundings, now: datetime, *, exclusive: bool) -> list[HistoryRow]:
    """Write what a plan does to alerts, and to whatever it hides or reveals; the history, for the caller's last write.

    Raises ReachNeeded.
    """
    settled = settle(cur, plan, s, now, exclusive=exclusive)
    store.write_alerts(cur, plan, now, s.policy.tombstone_ttl)
    settled.changes.write(cur)
    history = plan.history
    if settled.died_or_returned:
        own = {e.id for e in plan.episodes() if e.opener is not None}
        reached = reach(cur, settled.died_or_returned, s, now, settled.passed, own)
        reached.write(cur)
        hidden = reached.suppressed()
        for row in history:  # an outage of the same batch hides what is told of it, too
            if row.news is News.UPDATE and row.alert_id in hidden:
                row.news = News.NONE
        history = history + reached.history
    return history


@dataclass(slots=True)
class Settled:
    changes: Changes
    died_or_returned: set[str]
    passed: list[Outage]


def _reasons(e: Episode, s: Surroundings, now: datetime, above: Above | None, storms: _Storms) -> list[Reason]:
    event = e.opener
    if event is None:
        return []
    reasons: list[Reason] = []
    if s.windows:
        slug = s.slugs.get(event.connector_id, "")
        subject = Subject(e.id, event.device_ip, event.alert_type, event.category, slug, event.tags)
        reasons += [_of_window(w, now) for w in in_force(s, subject, e.last_clear_at, now)]
    if storms and storms.is_storm(event, is_new=e.is_new):
        policy = s.policy.of(event.source_system, event.alert_type)
        reasons.append(Reason(SuppressionKind.STORM, until=now + policy.storm_window))
    if above is not None and event.device_ip is not None:
        hiding = s.rules.hiding(event.alert_type, event.category)
        if hiding and s.graph.parents(event.device_ip):
            reason = above.reason(event, e.opened_step, s, now)
            if reason is not None:
                reasons.append(reason)
            elif hold := _hold(s, hiding, event):
                reasons.append(Reason(SuppressionKind.HOLD, until=now + hold))
    return reasons


def _hold(s: Surroundings, hiding: Iterable[Any], event: NormalizedAlert) -> timedelta:
    """How long the rules that may hide it let it wait."""
    by_rule = [timedelta(seconds=r.hold_seconds) for r in hiding if r.hold_seconds is not None]
    return max(by_rule) if by_rule else s.policy.of(event.source_system, event.alert_type).hold


def _of_root(root: Root) -> Reason:
    return Reason(SuppressionKind.DEPENDENCY, root=root.outage.alert_id, rule=root.outage.rule)


def _of_window(window: Window, now: datetime) -> Reason:
    occurrence = window.occurrence(now)
    return Reason(SuppressionKind(window.kind), window=window.id, until=occurrence[1] if occurrence else None)


def in_force(s: Surroundings, subject: Any, last_clear_at: datetime | None, now: datetime) -> list[Window]:
    """The windows that keep an alert quiet; one "until cleared" is over for an alert that was cleared since."""
    found = []
    for window in s.windows.matching(subject, now):
        occurrence = window.occurrence(now)
        if occurrence is None:
            continue
        start, end = occurrence
        if end is None and last_clear_at is not None and last_clear_at >= start:
            continue
        found.append(window)
    return found


def _explain_own(cur: Cursor, opened: Sequence[Episode], touched: Sequence[Episode], s: Surroundings) -> Above | None:
    """Which outages explain what this batch opened: those in the database, as this batch leaves them."""
    if not s.graph or not s.rules:
        return None
    devices = {
        e.opener.device_ip
        for e in opened
        if e.opener is not None
        and e.opener.device_ip is not None
        and s.graph.parents(e.opener.device_ip)
        and s.rules.hiding(e.opener.alert_type, e.opener.category)
    }
    if not devices:
        return None
    above = s.graph.ancestors(devices)
    known = {e.id: e for e in touched}
    live: list[Outage] = []
    over: dict[UUID, int] = {}
    ended: list[Outage] = []
    for outage in outages_on(cur, above, s):
        e = known.get(outage.alert_id)
        if e is None or (e.is_dead and e.opener is None):
            live.append(outage)
        elif not e.is_dead and e.ended_step:
            ended.append(outage)
            over[e.id] = e.ended_step
    for e in opened:
        event = e.opener
        if event is None or not e.outage or event.device_ip not in above:
            continue
        mine = outages_of(e.id, event.device_ip, event.alert_type, event.component, event.t, s)
        if e.is_dead:
            live += mine
        elif e.ended_step:
            ended += mine
            over[e.id] = e.ended_step
    return Above(Explanation(s.graph, live), Explanation(s.graph, [*live, *ended]) if ended else None, over)


@dataclass(slots=True)
class Above:
    """What explains the alerts of a batch: outages that last, and with them those that ended in the same batch."""

    lasting: Explanation
    with_ended: Explanation | None
    ended_step: Mapping[UUID, int]

    def reason(self, event: NormalizedAlert, opened_step: int, s: Surroundings, now: datetime) -> Reason | None:
        """Hidden by an outage; or released by one that was over in the same batch, as of a backlog, but not yet when
        this was said: cut into batches otherwise, it would have been hidden and released."""
        device = event.device_ip
        if device is None:
            return None
        rules = s.rules.hiding_ids(event.alert_type, event.category)
        root = self.lasting.by(rules).root(device)
        if root is not None:
            return _of_root(root)
        root = self.with_ended.by(rules).root(device) if self.with_ended is not None else None
        if root is not None and opened_step < self.ended_step.get(root.outage.alert_id, 0):
            return _releasing(_of_root(root), s, now)
        return None


def outages_on(cur: Cursor, devices: Iterable[str], s: Surroundings) -> list[Outage]:
    """What takes any of these devices for dead, by the database."""
    chosen = pgtext.array(sorted(devices))
    cur.execute(_OUTAGES, (chosen, chosen))
    return [
        outage
        for alert_id, device, alert_type, component, since in cur.fetchall()
        for outage in outages_of(alert_id, device, alert_type, component, since, s)
    ]


def outages_of(
    alert_id: Any, device: str, alert_type: str, component: str, since: Any, s: Surroundings
) -> list[Outage]:
    return [
        Outage(alert_id, device, component if rule.by_component else "", rule.cuts, since, rule.id)
        for rule in s.rules.outages(alert_type)
        if component or not rule.by_component
    ]


def _end_reasons(cur: Cursor, touched: Sequence[Episode], changes: Changes) -> None:
    """An alert that ended is not quiet any more; that it flaps goes on. One that reopened got its reasons anew."""
    over = {e.id: e for e in touched if e.was is not None and e.was.quiet and (not e.is_raised or e.opener is not None)}
    for alert_id, reason in suppressions.open_reasons(cur, list(over)):
        if reason.kind is not SuppressionKind.FLAPPING:
            was = over[alert_id].was
            changes.end(reason, ENDED if was is not None and was.announced else UNTOLD)
    for e in touched:
        if not e.is_raised:
            e.quiet &= FLAPPING


def _tell(plan: Plan, touched: Sequence[Episode], kept: Mapping[UUID, int]) -> None:
    """The news of each history row, in order: what keeps an alert quiet keeps its news, but a recovery follows every
    problem that was told, and none that was not (I3)."""
    by_id = {e.id: e for e in touched}
    for row in plan.history:
        e = by_id.get(row.alert_id)
        if e is None:
            continue
        quiet = e.quiet | kept.get(e.id, 0)
        if row.action is Action.FLAPPING:
            if quiet & ~(FLAPPING | HOLD):
                row.news = News.NONE
            elif not e.announced:
                row.news, e.announced = (News.PROBLEM, True) if e.is_raised else (News.NONE, False)
        elif row.news is News.PROBLEM:
            if quiet:
                row.news = News.NONE
            else:
                e.announced = True
        elif row.news is News.RECOVERY:
            if quiet & FLAPPING or not e.announced:
                row.news = News.NONE
            else:
                e.announced = False
        elif row.news is News.UPDATE:
            if quiet or not e.announced:
                row.news = News.NONE
        elif row.action in (Action.EXPIRED, Action.RESOLVED):
            e.announced = False  # over, without a word
        if quiet & SUPPRESSED_BITS and row.new_status in (Status.ACTIVE, Status.ACKNOWLEDGED):
            row.new_status = Status.SUPPRESSED


def _passed(touched: Sequence[Episode], s: Surroundings) -> list[Outage]:
    """Outages that began and ended in one batch, of devices something stands on: what waits below them gets the time
    to recover, as if the batch had been cut in between."""
    if not s.graph:
        return []
    return [
        outage
        for e in touched
        if e.outage and e.ended_step and not e.is_dead and not (e.was is not None and e.was.dead)
        if e.opener is not None and e.opener.device_ip is not None and s.graph.children(e.opener.device_ip)
        for outage in outages_of(e.id, e.opener.device_ip, e.opener.alert_type, e.opener.component, e.opener.t, s)
    ]


def _died_or_returned(
    cur: Cursor, touched: Sequence[Episode], passed: Sequence[Outage], s: Surroundings, exclusive: bool
) -> set[str]:
    """Devices something stands on whose death or return this batch brings."""
    if not s.graph:
        return set()
    changed = [e for e in touched if e.is_dead != (e.was.dead if e.was is not None else False)]
    if not changed and not passed:
        return set()
    devices = {e.opener.device_ip for e in changed if e.opener is not None}
    devices |= {outage.device for outage in passed}
    unknown = [e.id for e in changed if e.opener is None]
    if unknown:
        cur.execute(_WHERE, (pgtext.array(unknown),))
        devices |= {row[1] for row in cur.fetchall()}
    found = {d for d in devices if d is not None and s.graph.children(d)}
    if found and not exclusive:
        raise ReachNeeded
    return found


class _Storms:
    """How many alerts of a type and kind of source opened lately, where there is a limit."""

    def __init__(self, cur: Cursor, opened: Sequence[Episode], s: Surroundings, now: datetime) -> None:
        self._limits: dict[tuple[str, str], int] = {}
        self._seen: Counter[tuple[str, str]] = Counter()
        if s.policy.by_type is None:
            return
        windows: dict[timedelta, set[str]] = {}
        for e in opened:
            event = e.opener
            if event is not None:
                policy = s.policy.of(event.source_system, event.alert_type)
                if policy.storm_alerts is not None:
                    self._limits[event.source_system, event.alert_type] = policy.storm_alerts
                    windows.setdefault(policy.storm_window, set()).add(event.alert_type)
        for window, alert_types in windows.items():
            seen = recent(cur, alert_types, now - window)
            for source, alert_type in self._limits:
                if s.policy.of(source, alert_type).storm_window == window:
                    self._seen[source, alert_type] = seen.get((source, alert_type), 0)

    def __bool__(self) -> bool:
        return bool(self._limits)

    def is_storm(self, event: NormalizedAlert, *, is_new: bool) -> bool:
        key = (event.source_system, event.alert_type)
        limit = self._limits.get(key)
        if limit is None:
            return False
        self._seen[key] += is_new
        return self._seen[key] > limit


def recent(cur: Cursor, alert_types: Iterable[str], since: datetime) -> dict[tuple[str, str], int]:
    """How many alerts of each kind of source and type opened since."""
    # What was opened since may have begun earlier, by its own time; the index is by that.
    cur.execute(_RECENT, (since - timedelta(minutes=10), pgtext.text_array(sorted(alert_types)), since))
    return {(source, alert_type): number for source, alert_type, number in cur.fetchall()}


# --- other alerts -----------------------------------------------------------------------------------------------


def reach(
    cur: Cursor,
    devices: Iterable[str],
    s: Surroundings,
    now: datetime,
    passed: Sequence[Outage] = (),
    own: Collection[UUID] = (),
) -> Changes:
    """Look anew at everything below devices that died or came back; reads what the batch wrote. Needs REACH alone.

    `passed`: outages that came and went in the batch; they hid what was open before, but for the batch's `own`.
    """
    changes = Changes(now)
    below = s.graph.descendants(devices)
    affected = [
        st
        for st in suppressions.standing_on(cur, below, s.slugs)
        if st.quiet & DEPENDENCY or s.rules.hiding(st.alert_type, st.category)
    ]
    if affected:
        explanation = explain(cur, affected, s)
        meanwhile = explain(cur, affected, s, passed) if passed else None
        for st in affected:
            if (
                meanwhile is not None
                and st.alert_id not in own
                and not st.quiet & DEPENDENCY
                and root_of(st, s, explanation) is None
            ):
                reassess(st, s, now, meanwhile, changes)
            reassess(st, s, now, explanation, changes)
    return changes


def explain(
    cur: Cursor, alerts: Sequence[Standing], s: Surroundings, passed: Sequence[Outage] = ()
) -> Explanation | None:
    devices = {st.device_ip for st in alerts if st.device_ip is not None and s.graph.parents(st.device_ip)}
    if not devices or not s.rules:
        return None
    return Explanation(s.graph, [*outages_on(cur, s.graph.ancestors(devices), s), *passed])


def root_of(st: Standing, s: Surroundings, explanation: Explanation | None) -> Root | None:
    if explanation is None or st.device_ip is None or not s.rules.hiding(st.alert_type, st.category):
        return None
    root = explanation.by(s.rules.hiding_ids(st.alert_type, st.category)).root(st.device_ip)
    return None if root is None or root.outage.alert_id == st.alert_id else root


def reassess(
    st: Standing,
    s: Surroundings,
    now: datetime,
    explanation: Explanation | None,
    changes: Changes,
    *,
    edited: bool = False,
    stormy: frozenset[tuple[str, str]] = frozenset(),
) -> None:
    """What keeps an alert quiet now, and what is said because something does not any more.

    `edited`: dependencies or rules were changed, so what is not explained any more is not given time to recover.
    `stormy`: kinds of source and alert types that still come too fast.
    """
    before, old_status, had_root = st.quiet, st.status, st.root
    rule: int | None = None
    because: list[str] = []
    window: int | None = None
    calmed = False
    root = root_of(st, s, explanation) if st.is_raised else None
    current = {w.id: w for w in in_force(s, st, st.last_clear_at, now)} if st.is_raised and s.windows else {}
    kept: list[Reason] = []
    for reason in st.open:
        due = reason.until is not None and reason.until <= now
        over = ""
        match reason.kind:
            case SuppressionKind.DEPENDENCY:
                if root is None:
                    over = "the dependency was changed" if edited else "its parent recovered"
                    if not edited and st.is_raised:
                        kept.append(_releasing(reason, s, now))
                        changes.start(st.alert_id, kept[-1])
                        if st.device_ip is not None:
                            changes.verify.add(st.device_ip)
                elif root.outage.alert_id != reason.root:
                    over = "another outage explains it now"
                else:
                    rule = reason.rule
            case SuppressionKind.HOLD:
                over = "an outage explains it" if root is not None else "nothing explained it" if due else ""
            case SuppressionKind.RELEASING:
                over = "an outage explains it again" if root is not None else ""
                if due and not over:
                    over = "still raised after its parent recovered"
            case SuppressionKind.FLAPPING if due:
                policy = s.policy.of(st.source_system, st.alert_type)
                lately = [at for at in st.transition_times if at > now - policy.flap_calm]
                if len(lately) > 1:
                    changes.extend(reason, lately[-2] + policy.flap_calm)
                else:
                    over, calmed = "it calmed down", True
            case SuppressionKind.STORM if due:
                policy = s.policy.of(st.source_system, st.alert_type)
                if (st.source_system, st.alert_type) in stormy:
                    changes.extend(reason, now + policy.storm_window)
                else:
                    over = "the storm is over"
            case SuppressionKind.MAINTENANCE | SuppressionKind.SILENCE:
                held = current.pop(reason.window or 0, None)
                occurrence = held.occurrence(now) if held is not None else None
                if held is None or occurrence is None:
                    over, window = "its window ended", reason.window
                elif occurrence[1] != reason.until:
                    if occurrence[1] is None:
                        over = "its window was changed"
                        current[held.id] = held
                    else:
                        changes.extend(reason, occurrence[1])
        if over:
            changes.end(reason, over)
            because.append(over)
        else:
            kept.append(reason)
    new = [_of_window(w, now) for w in current.values()]
    if root is not None and not any(r.kind is SuppressionKind.DEPENDENCY for r in kept):
        new.append(_of_root(root))
    for reason in new:
        changes.start(st.alert_id, reason)
        rule = reason.rule or rule
    st.open = kept + new
    st.quiet = suppressions.bits(st.open)
    st.root = next((r.root for r in st.open if r.kind is SuppressionKind.DEPENDENCY), None)
    st.status = st.derived()
    if not because and not new:
        return
    _say(st, changes, before, old_status, had_root, because, window, calmed)
    changes.alert(st, rule)


def _releasing(reason: Reason, s: Surroundings, now: datetime) -> Reason:
    """Its parent is back: it gets time to recover too."""
    rule = s.rules.get(reason.rule)
    release = s.policy.release
    if rule is not None and rule.release_seconds is not None:
        release = timedelta(seconds=rule.release_seconds)
    return Reason(SuppressionKind.RELEASING, root=reason.root, rule=reason.rule, until=now + release)


def _say(
    st: Standing,
    changes: Changes,
    before: int,
    old_status: str,
    had_root: UUID | None,
    because: Sequence[str],
    window: int | None,
    calmed: bool,
) -> None:
    what: dict[str, list[Any]] = {}
    if before != st.quiet:
        what["quiet"] = [", ".join(suppressions.words(before)), ", ".join(suppressions.words(st.quiet))]
    if had_root != st.root:
        what["explained_by"] = [str(had_root) if had_root else None, str(st.root) if st.root else None]
    if window is not None:
        what["window"] = [window, None]
    notes = "; ".join(dict.fromkeys(because))
    notes = notes[:1].upper() + notes[1:] + "." if notes else ""
    if calmed and not st.is_raised:
        news = News.RECOVERY if st.announced else News.NONE
        st.announced = False
        changes.say(st, Action.CALMED, old_status, news, what, notes)
    elif st.is_raised and not st.quiet and not st.announced:
        st.announced = True
        changes.say(st, Action.ANNOUNCED, old_status, News.PROBLEM, what, notes)
    elif calmed:
        news = News.UPDATE if not st.quiet else News.NONE
        changes.say(st, Action.CALMED, old_status, news, what, notes)
    else:
        action = Action.SUPPRESSED if st.quiet & SUPPRESSED_BITS else Action.RELEASED
        if what or str(old_status) != str(st.status):
            changes.say(st, action, old_status, News.NONE, what, notes)
