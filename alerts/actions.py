"""What people do with alerts. Each function locks as the engine does, changes one alert, adds a history row, rings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from alerts import correlation, engine, locked, store
from alerts.choices import SUPPRESSED_BITS, Action, Condition, News
from alerts.correlation import ReachNeeded
from alerts.engine import HistoryRow, Plan
from alerts.models import Alert
from alerts.status import derive
from opsconductor import doorbell
from opsconductor.exceptions import ActionNotAllowed

if TYPE_CHECKING:
    from django.contrib.auth.models import User


RUN_AGAIN = ("40P01", "40001")
ATTEMPTS = 4
BATCH = 500
CHANGED = ("acknowledged_at", "acknowledged_by", "acknowledged_until", "assigned_to", "status", "updated_at")


def acknowledge(alert_id: UUID, *, by: User, notes: str = "", until: datetime | None = None) -> Alert:
    """Somebody is on it. `until`: the acknowledgement lapses then. Acknowledging again updates who and until.

    Raises Alert.DoesNotExist, ActionNotAllowed when the alert has ended or `until` has passed.
    """
    if until is not None and until <= timezone.now():
        raise ActionNotAllowed(
            "The time an acknowledgement lasts until must lie ahead.", action="acknowledge", status=""
        )

    def change(alert: Alert) -> dict[str, list[object]]:
        _must_be_raised(alert, "acknowledge")
        before = _who(alert)
        alert.acknowledged_at, alert.acknowledged_by, alert.acknowledged_until = timezone.now(), by, until
        changes: dict[str, list[object]] = {"acknowledged_by": [before, by.get_username()]}
        if until:
            changes["acknowledged_until"] = [None, until.isoformat()]
        return changes

    return _act(alert_id, Action.ACKNOWLEDGED, by, notes, change)


def unacknowledge(alert_id: UUID, *, by: User, notes: str = "") -> Alert:
    """Nobody is on it any more. Raises ActionNotAllowed when nobody was."""

    def change(alert: Alert) -> dict[str, list[object]]:
        _must_be_raised(alert, "unacknowledge")
        if alert.acknowledged_at is None:
            raise ActionNotAllowed("This alert is not acknowledged.", action="unacknowledge", status=alert.status)
        before = _who(alert)
        alert.acknowledged_at = alert.acknowledged_by = alert.acknowledged_until = None
        return {"acknowledged_by": [before, None]}

    return _act(alert_id, Action.UNACKNOWLEDGED, by, notes, change)


def resolve(alert_id: UUID, *, by: User, notes: str = "") -> Alert:
    """A person says it is over. Repeats of the same raise do not reopen it until a clear came in between. What it kept
    quiet below it gets the time to recover, as if its source had cleared it."""
    return _again(lambda exclusive: _resolve(alert_id, by, notes, exclusive), alert_id)


def resolve_many(alert_ids: Iterable[UUID], *, by: User, notes: str = "") -> int:
    """A person says of many that they are over; how many were still open. In batches, each a transaction of its own."""
    ids, done = list(alert_ids), 0
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        done += locked.again(connection.cursor, lambda part=part: _resolve_part(part, by, notes))  # type: ignore[misc]
    return done


def _resolve_part(ids: list[UUID], by: User, notes: str) -> int:
    now = timezone.now()
    fingerprints = dict(Alert.objects.filter(pk__in=ids, condition=Condition.RAISED).values_list("fingerprint", "pk"))
    with transaction.atomic(), connection.cursor() as cur:
        held = locked.take(cur, fingerprints)
        plan = Plan(decisions=[], states=store.read_states(cur, fingerprints, now))
        ended = []
        for key, state in plan.states.items():
            episode = state.episode
            if episode is not None and episode.is_raised and episode.id == fingerprints[key]:
                engine.resolve(episode, plan, now, by=by.pk, notes=notes.strip())
                ended.append(episode.id)
        history = correlation.apply(cur, plan, held.surroundings, now, exclusive=held.exclusive)
        Alert.objects.filter(pk__in=ended).update(resolved_by=by)
        store.write_history(cur, history, now)
        transaction.on_commit(doorbell.ring)
    return len(ended)


def assign(alert_id: UUID, *, by: User, assignee: User | None, notes: str = "") -> Alert:
    """Whose it is; None: nobody's. Raises ActionNotAllowed when the alert has ended."""

    def change(alert: Alert) -> dict[str, list[object]]:
        _must_be_raised(alert, "assign")
        before = alert.assigned_to.get_username() if alert.assigned_to else None
        alert.assigned_to = assignee
        return {"assigned_to": [before, assignee.get_username() if assignee else None]}

    return _act(alert_id, Action.ASSIGNED, by, notes, change)


def add_note(alert_id: UUID, *, by: User, notes: str) -> Alert:
    """A remark on the timeline; possible on ended alerts too. Raises ActionNotAllowed when it is empty."""
    if not notes.strip():
        raise ActionNotAllowed("Write something: an empty note cannot be added.", action="note", status="")
    return _act(alert_id, Action.NOTE, by, notes, lambda alert: {})


def _act(
    alert_id: UUID,
    action: Action,
    by: User,
    notes: str,
    change: Callable[[Alert], dict[str, list[object]]],
) -> Alert:
    """Lock as the engine does, re-read, change, write the alert, then history as the last write."""

    def perform(exclusive: bool) -> Alert:
        now = timezone.now()
        with _locked(alert_id, exclusive) as (cur, _):
            alert = _read(alert_id)
            old_status = alert.status
            changes = change(alert)
            alert.status = derive(
                alert.condition,
                acknowledged=alert.acknowledged_at is not None,
                suppressed=bool(alert.quiet & SUPPRESSED_BITS),
            )
            alert.updated_at = now
            alert.save(update_fields=CHANGED)
            row = HistoryRow(alert.pk, action, old_status, alert.status, News.NONE, changes, by.pk, notes.strip())
            store.write_history(cur, [row], now)
        return alert

    return _again(perform, alert_id)


def _resolve(alert_id: UUID, by: User, notes: str, exclusive: bool) -> Alert:
    now = timezone.now()
    with _locked(alert_id, exclusive) as (cur, held):
        alert = _read(alert_id)
        _must_be_raised(alert, "resolve")
        plan = Plan(decisions=[], states=store.read_states(cur, [alert.fingerprint], now))
        episode = plan.states[alert.fingerprint].episode
        if episode is None or episode.id != alert_id:
            raise Alert.DoesNotExist
        engine.resolve(episode, plan, now, by=by.pk, notes=notes.strip())
        history = correlation.apply(cur, plan, held.surroundings, now, exclusive=held.exclusive)
        Alert.objects.filter(pk=alert_id).update(resolved_by=by)
        store.write_history(cur, history, now)
    return _read(alert_id)


@contextmanager
def _locked(alert_id: UUID, exclusive: bool) -> Iterator[tuple[Any, locked.Held]]:
    # A fingerprint never changes, so it may be read before its lock.
    fingerprint = Alert.objects.values_list("fingerprint", flat=True).get(pk=alert_id)
    with transaction.atomic(), connection.cursor() as cur:
        yield cur, locked.take(cur, [fingerprint], exclusive=exclusive)
        transaction.on_commit(doorbell.ring)


def _read(alert_id: UUID) -> Alert:
    return Alert.objects.select_related("acknowledged_by", "assigned_to").get(pk=alert_id)


def _again(perform: Callable[[bool], Alert], alert_id: UUID) -> Alert:
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
    raise RuntimeError(f"alert {alert_id} could not be changed in {ATTEMPTS} attempts")


def _must_be_raised(alert: Alert, action: str) -> None:
    if alert.condition != Condition.RAISED:
        raise ActionNotAllowed(
            f"This alert has ended ({alert.get_status_display()}); it cannot be changed by “{action}” any more.",
            action=action,
            status=alert.status,
        )


def _who(alert: Alert) -> str | None:
    return alert.acknowledged_by.get_username() if alert.acknowledged_by else None
