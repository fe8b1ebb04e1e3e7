"""What people do with alerts. Each function locks as the engine does, changes one alert, adds a history row, rings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from alerts import locks
from alerts.choices import Action, Condition, News
from alerts.models import Alert, AlertHistory
from alerts.status import derive
from opsconductor import doorbell
from opsconductor.exceptions import ActionNotAllowed

if TYPE_CHECKING:
    from django.contrib.auth.models import User


RUN_AGAIN = ("40P01", "40001")
ATTEMPTS = 3


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
    """A person says it is over. Repeats of the same raise do not reopen it until a clear came in between."""

    def change(alert: Alert) -> dict[str, list[object]]:
        _must_be_raised(alert, "resolve")
        alert.condition, alert.resolved_at, alert.resolved_by = Condition.CLOSED, timezone.now(), by
        return {"condition": [Condition.RAISED.value, Condition.CLOSED.value]}

    return _act(alert_id, Action.RESOLVED, by, notes, change, news=News.RECOVERY)


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
    news: News = News.NONE,
) -> Alert:
    """Lock as the engine does, re-read, change, write the alert, then history as the last write.

    On deadlock or serialization failure it runs again.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _act_once(alert_id, action, by, notes, change, news)
        except OperationalError as error:
            again = getattr(error.__cause__, "sqlstate", "") in RUN_AGAIN
            if not again or attempt + 1 == ATTEMPTS or connection.in_atomic_block:
                raise
    raise AssertionError("the last attempt returns or raises")


def _act_once(
    alert_id: UUID,
    action: Action,
    by: User,
    notes: str,
    change: Callable[[Alert], dict[str, list[object]]],
    news: News,
) -> Alert:
    # A fingerprint never changes, so it may be read before its lock.
    fingerprint = Alert.objects.values_list("fingerprint", flat=True).get(pk=alert_id)
    with transaction.atomic():
        with connection.cursor() as cur:
            locks.lock_reach(cur)
            locks.lock_fingerprints(cur, [fingerprint])
        alert = Alert.objects.select_related("acknowledged_by", "assigned_to").get(pk=alert_id)
        old_status = alert.status
        changes = change(alert)
        alert.status = derive(alert.condition, acknowledged=alert.acknowledged_at is not None)
        alert.updated_at = timezone.now()
        alert.save(
            update_fields=[
                "acknowledged_at",
                "acknowledged_by",
                "acknowledged_until",
                "condition",
                "resolved_at",
                "resolved_by",
                "status",
                "updated_at",
            ]
        )
        AlertHistory.objects.create(
            alert=alert,
            action=action,
            old_status=old_status,
            new_status=alert.status,
            user=by,
            notes=notes.strip(),
            changes=changes,
            news=news,
        )
        transaction.on_commit(doorbell.ring)
    return alert


def _must_be_raised(alert: Alert, action: str) -> None:
    if alert.condition != Condition.RAISED:
        raise ActionNotAllowed(
            f"This alert has ended ({alert.get_status_display()}); it cannot be changed by “{action}” any more.",
            action=action,
            status=alert.status,
        )


def _who(alert: Alert) -> str | None:
    return alert.acknowledged_by.get_username() if alert.acknowledged_by else None
