"""People's actions on up to a batch of alerts in one transaction: locks, state, decision, alerts, history.

A constant number of statements, however many alerts. `actions` is a batch of one, `bulk` as many batches as it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from alerts import correlation, engine, locked, store
from alerts.choices import News
from alerts.correlation import ReachNeeded
from alerts.deeds import NEWER_IS_OPEN, Deed, Person, Reopen, Resolve, Subject, WorkflowDeed
from alerts.engine import HistoryRow, Plan, State
from alerts.locks import Cursor
from alerts.models import Alert
from alerts.types import NormalizedAlert
from alerts.undoparts import Part, latest_sequence
from alerts.whyview import HELD_BACK
from opsconductor import doorbell, pgtext

if TYPE_CHECKING:
    from django.contrib.auth.models import User

T = TypeVar("T")

BATCH = 500  # alerts a transaction locks; fewer than locks.MAX_FINGERPRINTS
RUN_AGAIN = ("40P01", "40001")
ATTEMPTS = 4

DONE, REFUSED, MISSING = "done", "refused", "missing"
GONE = "There is no alert with this id."
HELD_BACK_WORDS = "held back while it can be undone"

_READ = """
SELECT a.id, a.fingerprint, a.condition, a.status, a.quiet, a.announced, a.opening, a.acknowledged_at,
    a.acknowledged_by_id, a.acknowledged_until, a.assigned_to_id, a.resolved_at, a.resolved_by_id, a.last_raise_at,
    a.expires_at, a.source_system, a.connector_id, host(a.device_ip), a.device_name, a.device_id, a.alert_type,
    a.component, a.category, a.severity, a.title, a.tags, ack.username, own.username
FROM alerts_alert AS a
LEFT JOIN auth_user AS ack ON ack.id = a.acknowledged_by_id
LEFT JOIN auth_user AS own ON own.id = a.assigned_to_id
WHERE a.id = ANY(%s::uuid[])"""

_WORKFLOW = """
UPDATE alerts_alert AS a SET acknowledged_at = v.acknowledged_at, acknowledged_by_id = v.acknowledged_by,
    acknowledged_until = v.acknowledged_until, assigned_to_id = v.assigned_to, status = v.status, updated_at = %s
FROM unnest(%s::uuid[], %s::timestamptz[], %s::int[], %s::timestamptz[], %s::int[], %s::text[])
    AS v(id, acknowledged_at, acknowledged_by, acknowledged_until, assigned_to, status)
WHERE a.id = v.id"""

_RESOLVED = "UPDATE alerts_alert SET resolved_by_id = %s WHERE id = ANY(%s::uuid[])"
_REOPENED = """
UPDATE alerts_alert SET missed_snapshots = 0, announced = announced AND NOT id = ANY(%s::uuid[])
WHERE id = ANY(%s::uuid[])"""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one id. `detail`: why not, as a sentence; `status`: of the alert that refused."""

    id: UUID
    outcome: str
    detail: str = ""
    status: str = ""


def perform(deed: Deed, ids: Sequence[UUID], *, by: User, notes: str = "", undo: UUID | None = None) -> list[Result]:
    """One transaction; a result for each id, in their order. At most BATCH ids, each once.

    `undo`: what can be taken back is kept under it, and nobody is told before that is over (`undo`).
    """
    person = Person(by.pk, by.get_username())
    return again(lambda exclusive: _perform(deed, ids, person, notes.strip(), undo, exclusive))


def again(perform: Callable[[bool], T]) -> T:
    """Once more on deadlock or serialization failure, after an edit of the configuration, and with REACH alone when it
    turns out that other alerts are concerned."""
    exclusive = False
    for attempt in range(ATTEMPTS):
        try:
            return locked.again(connection.cursor, lambda: perform(exclusive))  # noqa: B023
        except ReachNeeded:
            exclusive = True
        except OperationalError as error:
            again = getattr(error.__cause__, "sqlstate", "") in RUN_AGAIN
            if not again or attempt + 1 == ATTEMPTS or connection.in_atomic_block:
                raise
    raise RuntimeError(f"the alerts could not be changed in {ATTEMPTS} attempts")


def fingerprints_of(ids: Sequence[UUID]) -> list[str]:
    # A fingerprint never changes, so it may be read before its lock.
    return list(Alert.objects.filter(pk__in=ids).values_list("fingerprint", flat=True))


def _perform(
    deed: Deed, ids: Sequence[UUID], by: Person, notes: str, undo: UUID | None, exclusive: bool
) -> list[Result]:
    fingerprints = fingerprints_of(ids)
    if not fingerprints:
        return [Result(i, MISSING, GONE) for i in ids]
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cur:
        held = locked.take(cur, fingerprints, exclusive=exclusive)
        work = _Work(cur, held, by, notes, now, read(cur, ids), undo)
        results = work.do(deed, ids)
        transaction.on_commit(doorbell.ring)
    return results


def read(cur: Cursor, ids: Iterable[UUID]) -> dict[UUID, Subject]:
    """Run it after, and apart from, the statement that took the locks."""
    cur.execute(_READ, (pgtext.array(list(ids)),))
    return {row[0]: Subject(*row) for row in cur.fetchall()}


def write_workflow(cur: Cursor, alerts: Sequence[Subject], now: datetime) -> None:
    rows = sorted(
        (
            (a.id, a.acknowledged_at, a.acknowledged_by, a.acknowledged_until, a.assigned_to, str(a.status))
            for a in alerts
        ),
        key=lambda row: row[0],
    )
    if rows:
        cur.execute(_WORKFLOW, (now, *map(pgtext.array, zip(*rows, strict=True))))


class _Work:
    """One transaction under the locks."""

    def __init__(
        self,
        cur: Cursor,
        held: locked.Held,
        by: Person,
        notes: str,
        now: datetime,
        subjects: dict[UUID, Subject],
        undo: UUID | None,
    ) -> None:
        self.cur, self.held, self.by, self.notes, self.now = cur, held, by, notes, now
        self.subjects = subjects
        self.part = Part(undo, latest_sequence(cur), now) if undo is not None else None

    def do(self, deed: Deed, ids: Sequence[UUID]) -> list[Result]:
        results: list[Result] = []
        possible: list[Subject] = []
        for one in ids:
            alert = self.subjects.get(one)
            if alert is None:
                results.append(Result(one, MISSING, GONE))
            elif refusal := deed.refusal(alert):
                results.append(Result(one, REFUSED, refusal, str(alert.status)))
            else:
                results.append(Result(one, DONE))
                possible.append(alert)
        if not possible:
            return results
        if isinstance(deed, WorkflowDeed):
            history = self._workflow(deed, possible)
        elif isinstance(deed, Resolve):
            history = self._resolve(possible)
        elif isinstance(deed, Reopen):
            history, refused = self._reopen(possible)
            results = [
                Result(r.id, REFUSED, NEWER_IS_OPEN, str(self.subjects[r.id].status)) if r.id in refused else r
                for r in results
            ]
        else:
            raise TypeError(f"{deed} is no deed")
        if self.part is not None and self.part.before:
            self.part.write(self.cur)
        store.write_history(self.cur, history, self.now)
        return results

    def _workflow(self, deed: WorkflowDeed, alerts: list[Subject]) -> list[HistoryRow]:
        history = []
        for alert in alerts:
            if self.part is not None:
                self.part.workflow(alert)
            old_status = alert.status
            changes = deed.change(alert, self.by, self.now)
            alert.status = alert.derived()
            history.append(
                HistoryRow(alert.id, deed.action, old_status, alert.status, News.NONE, changes, self.by.id, self.notes)
            )
        write_workflow(self.cur, alerts, self.now)
        return history

    def _resolve(self, alerts: list[Subject]) -> list[HistoryRow]:
        plan = Plan([], store.read_states(self.cur, [a.fingerprint for a in alerts], self.now))
        for alert in alerts:
            episode = plan.states[alert.fingerprint].episode
            if episode is None or episode.id != alert.id:
                raise RuntimeError(f"alert {alert.id} is raised and not the open one of its fingerprint")
            engine.resolve(episode, plan, self.now, by=self.by.id, notes=self.notes)
        history = self._apply(plan)
        self.cur.execute(_RESOLVED, (self.by.id, pgtext.array([a.id for a in alerts])))
        if self.part is not None:
            owed = self._hold_back(history, alerts, News.RECOVERY)
            for alert in alerts:
                self.part.resolved(alert, owed=alert.id in owed)
        return history

    def _reopen(self, alerts: list[Subject]) -> tuple[list[HistoryRow], set[UUID]]:
        """The history, and those that cannot be, because the same problem is open as another episode."""
        states = store.read_states(self.cur, [a.fingerprint for a in alerts], self.now)
        episodes = store.read_episodes(self.cur, [a.id for a in alerts])
        plan = Plan([], {})
        refused: set[UUID] = set()
        reopened: list[Subject] = []
        for alert in alerts:
            last = states[alert.fingerprint].episode
            if alert.fingerprint in plan.states or (last is not None and last.is_raised):
                refused.add(alert.id)
                continue
            episode = episodes[alert.id]
            plan.states[alert.fingerprint] = State(episode=episode)
            engine.reopen(episode, about(alert, self.now), plan, self.now, by=self.by.id, notes=self.notes)
            reopened.append(alert)
        if not reopened:
            return [], refused
        history = self._apply(plan)
        owed = self._hold_back(history, reopened, News.PROBLEM) if self.part is not None else set()
        self.cur.execute(_REOPENED, (pgtext.array(list(owed)), pgtext.array([a.id for a in reopened])))
        if self.part is not None:
            for alert in reopened:
                self.part.reopened(alert, owed=alert.id in owed)
        return history, refused

    def _apply(self, plan: Plan) -> list[HistoryRow]:
        return correlation.apply(self.cur, plan, self.held.surroundings, self.now, exclusive=self.held.exclusive)

    def _hold_back(self, history: Iterable[HistoryRow], alerts: Iterable[Subject], news: News) -> set[UUID]:
        """Takes the news off the rows of what may still be taken back; whose."""
        ours = {a.id for a in alerts}
        owed = set()
        for row in history:
            if row.alert_id in ours and row.news is news:
                row.news = News.NONE
                row.changes = {**row.changes, HELD_BACK: [None, HELD_BACK_WORDS]}
                owed.add(row.alert_id)
        return owed


def about(alert: Subject, at: datetime) -> NormalizedAlert:
    """What an alert is about, as if it were said now: for what looks whether something keeps it quiet."""
    return NormalizedAlert(
        source_system=alert.source_system,
        connector_id=alert.connector_id or 0,
        identity_scope="",
        device_key=alert.device_ip or "",
        device_ip=alert.device_ip,
        device_name=alert.device_name,
        device_id=alert.device_id,
        alert_type=alert.alert_type,
        component=alert.component,
        category=alert.category,
        severity=alert.severity,
        is_clear=False,
        t=at,
        received_at=at,
        title=alert.title,
        tags=list(alert.tags),
    )
