"""What people do with maintenance windows. The effect on alerts is the engine's, which notices within a second.

Each edit takes REACH exclusively before its first statement, as the trigger of the table would later: a batch under
way sees the row as it was, the next one as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from alerts import locks
from alerts.columns import exact
from alerts.models import MaintenanceWindow
from alerts.windowrows import CHECKED, RUNNING, State, state
from alerts.windows import check_window
from opsconductor.exceptions import ActionNotAllowed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

WRITTEN = (*CHECKED, "reason", "enabled")
TIMES = ("starts_at", "ends_at", "rrule", "time_zone")


def create(data: Mapping[str, Any], *, by: User) -> MaintenanceWindow:
    """`data`: columns by name. Raises ValidationError with a sentence by column."""
    window = MaintenanceWindow(**{name: data[name] for name in WRITTEN if name in data}, created_by=by)
    check(window)
    with reach():
        window.save()
        _log(by, window, ADDITION, "Planned.")
    return window


def change(pk: int, data: Mapping[str, Any], *, by: User) -> MaintenanceWindow:
    """Sets what `data` names. New times open a window again that was ended. Raises DoesNotExist, ValidationError."""
    with reach():
        window = MaintenanceWindow.objects.get(pk=pk)
        changed = [name for name in WRITTEN if name in data and getattr(window, name) != data[name]]
        for name in changed:
            setattr(window, name, data[name])
        check(window)
        if set(changed) & set(TIMES):
            window.closed_at = None
        if changed:
            window.save()
            _log(by, window, CHANGE, f"Changed {', '.join(changed)}.")
    return window


def check(window: MaintenanceWindow) -> None:
    """Raises ValidationError."""
    errors = check_window({name: getattr(window, name) for name in CHECKED})
    if "\0" in window.reason or len(window.reason) > 10_000:
        errors["reason"] = "A reason is text of at most 10,000 characters."
    if errors:
        raise ValidationError(errors)


def end(pk: int, *, by: User) -> MaintenanceWindow:
    """Ends what runs now: of a recurring window this occurrence. Raises DoesNotExist, ActionNotAllowed."""
    now = timezone.now()
    with reach():
        window, _ = _running(pk, "end", now)
        window.closed_at = now
        window.save(update_fields=["closed_at", "updated_at"])
        _log(by, window, CHANGE, "Ended.")
    return window


def extend(pk: int, *, by: User, minutes: int | None = None, until: datetime | None = None) -> MaintenanceWindow:
    """Lets what runs now end later, or with `until` at any time ahead. Answers the window that ends then.

    A recurring window stays as it is: the rest of this occurrence and what is added become a window of their own.
    Raises DoesNotExist, ActionNotAllowed.
    """
    now = timezone.now()
    with reach():
        window, found = _running(pk, "extend", now)
        assert found.current is not None
        if until is None:
            if found.current[1] is None:
                raise _refusal("It lasts until its alerts clear; give the time it shall end at.", "extend", found)
            until = found.current[1] + timedelta(minutes=minutes or 0)
        if until <= now:
            raise _refusal("The new end must lie ahead; end it now instead.", "extend", found)
        if window.rrule:
            if found.current[1] is not None and until <= found.current[1]:
                raise _refusal(
                    "An occurrence of a recurring window cannot be cut to a time; end it now, or edit the window.",
                    "extend",
                    found,
                )
            rest = {name: getattr(window, name) for name in WRITTEN}
            rest |= {"name": f"{window.name[:185]} (extended)", "rrule": "", "starts_at": now, "ends_at": until}
            return create(rest, by=by)
        window.ends_at = until
        check(window)
        window.save(update_fields=["ends_at", "updated_at"])
        _log(by, window, CHANGE, f"Ends {exact(until)}.")
    return window


def delete(pk: int, *, by: User) -> str:
    """Answers its name. Raises DoesNotExist."""
    with reach():
        window = MaintenanceWindow.objects.get(pk=pk)
        _log(by, window, DELETION, "Deleted.")
        window.delete()
    return window.name


@contextmanager
def reach() -> Iterator[None]:
    """For edits; also before deleting, which touches suppressions that the engine writes under it."""
    with transaction.atomic():
        with connection.cursor() as cur:
            locks.lock_reach(cur, exclusive=True)
        yield


def _running(pk: int, action: str, now: datetime) -> tuple[MaintenanceWindow, State]:
    window = MaintenanceWindow.objects.get(pk=pk)
    found = state(window, now)
    if found.word != RUNNING:
        raise _refusal(
            f"“{window.name}” does not run now ({found.word}): it can be edited, copied or deleted.", action, found
        )
    return window, found


def _refusal(sentence: str, action: str, found: State) -> ActionNotAllowed:
    return ActionNotAllowed(sentence, action=action, status=found.word)


def _log(by: User, window: MaintenanceWindow, flag: int, text: str) -> None:
    if by.pk is not None:
        LogEntry.objects.log_actions(by.pk, [window], flag, text, single_object=True)
