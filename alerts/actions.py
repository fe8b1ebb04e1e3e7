"""What people do with one alert. Locks, decision and history are those of `hands`; many at once: `bulk`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.utils import timezone

from alerts import hands
from alerts.deeds import Acknowledge, Assign, Deed, Note, Person, Reopen, Resolve, Unacknowledge
from alerts.models import Alert
from opsconductor.exceptions import ActionNotAllowed

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def acknowledge(
    alert_id: UUID, *, by: User, notes: str = "", until: datetime | None = None, undo: UUID | None = None
) -> Alert:
    """Somebody is on it. `until`: the acknowledgement lapses then. Acknowledging again updates who and until.

    Raises Alert.DoesNotExist, ActionNotAllowed when the alert has ended or `until` has passed. `undo`, here and below:
    a token of `undo.begin` under which it may be taken back.
    """
    return _one(acknowledging(until), alert_id, by, notes, undo)


def acknowledging(until: datetime | None) -> Acknowledge:
    """Raises ActionNotAllowed."""
    if until is not None and until <= timezone.now():
        raise ActionNotAllowed(
            "The time an acknowledgement lasts until must lie ahead.", action="acknowledge", status=""
        )
    return Acknowledge(until)


def unacknowledge(alert_id: UUID, *, by: User, notes: str = "", undo: UUID | None = None) -> Alert:
    """Nobody is on it any more. Raises ActionNotAllowed when nobody was."""
    return _one(Unacknowledge(), alert_id, by, notes, undo)


def resolve(alert_id: UUID, *, by: User, notes: str = "", undo: UUID | None = None) -> Alert:
    """A person says it is over. Repeats of the same raise do not reopen it until a clear came in between. What it kept
    quiet below it gets the time to recover, as if its source had cleared it."""
    return _one(Resolve(), alert_id, by, notes, undo)


def reopen(alert_id: UUID, *, by: User, notes: str = "", undo: UUID | None = None) -> Alert:
    """A person says of an ended alert that it is not over: the same episode, its next opening, told as a problem unless
    something keeps it quiet. Raises ActionNotAllowed when it is open, or the same problem is open as a newer alert."""
    return _one(Reopen(), alert_id, by, notes, undo)


def resolve_many(alert_ids: Iterable[UUID], *, by: User, notes: str = "") -> int:
    """A person says of many that they are over; how many were still open. In batches, each a transaction of its own."""
    ids, done = list(dict.fromkeys(alert_ids)), 0
    for start in range(0, len(ids), hands.BATCH):
        results = hands.perform(Resolve(), ids[start : start + hands.BATCH], by=by, notes=notes)
        done += sum(result.outcome == hands.DONE for result in results)
    return done


def assign(alert_id: UUID, *, by: User, assignee: User | None, notes: str = "", undo: UUID | None = None) -> Alert:
    """Whose it is; None: nobody's. Raises ActionNotAllowed when the alert has ended."""
    return _one(assigning(assignee), alert_id, by, notes, undo)


def assigning(assignee: User | None) -> Assign:
    return Assign(Person(assignee.pk, assignee.get_username()) if assignee else None)


def add_note(alert_id: UUID, *, by: User, notes: str, undo: UUID | None = None) -> Alert:
    """A remark on the timeline; possible on ended alerts too. Raises ActionNotAllowed when it is empty."""
    return _one(noting(notes), alert_id, by, notes, undo)


def noting(notes: str) -> Note:
    """Raises ActionNotAllowed."""
    if not notes.strip():
        raise ActionNotAllowed("Write something: an empty note cannot be added.", action="note", status="")
    return Note()


def _one(deed: Deed, alert_id: UUID, by: User, notes: str, undo: UUID | None) -> Alert:
    (result,) = hands.perform(deed, [alert_id], by=by, notes=notes, undo=undo)
    if result.outcome == hands.MISSING:
        raise Alert.DoesNotExist
    if result.outcome == hands.REFUSED:
        raise ActionNotAllowed(result.detail, action=deed.word, status=result.status)
    return Alert.objects.select_related("acknowledged_by", "assigned_to").get(pk=alert_id)
