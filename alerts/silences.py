"""Silencing one alert from its page: a maintenance window of the kind silence that is about this alert alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone

from alerts import windowactions
from alerts.choices import Condition
from alerts.models import Alert, MaintenanceWindow
from alerts.recurrence import next_morning
from alerts.windowrows import RUNNING, State, may_be_ahead, state
from opsconductor.exceptions import ActionNotAllowed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MORNING, CLEARED = "morning", "cleared"
HOURS = {"1h": 1, "4h": 4}
SPANS = (("1h", "for 1 hour"), ("4h", "for 4 hours"), (MORNING, "until 08:00"), (CLEARED, "until it clears"))


@dataclass(frozen=True)
class Silence:
    window: MaintenanceWindow
    state: State


def silence(alert_id: UUID, span: str, *, by: User, zone: ZoneInfo, reason: str = "") -> MaintenanceWindow:
    """`span`: a word of SPANS; `zone`: where morning is. Raises Alert.DoesNotExist, ActionNotAllowed."""
    alert = Alert.objects.get(pk=alert_id)
    if sentence := refusal(alert):
        raise ActionNotAllowed(sentence, action="silence", status=alert.status)
    now = timezone.now()
    return windowactions.create(
        {
            "kind": MaintenanceWindow.Kind.SILENCE,
            "name": f"Silence: {alert.title or alert.alert_type}"[:200],
            "reason": reason.replace("\0", "").strip(),
            "matchers": {"alerts": [str(alert.pk)]},
            "starts_at": now,
            "ends_at": end_of(span, now, zone),
            "rrule": "",
            "time_zone": zone.key,
        },
        by=by,
    )


def refusal(alert: Alert) -> str:
    """Why it cannot be silenced, as a sentence; empty when it can."""
    if alert.condition == Condition.RAISED:
        return ""
    return f"This alert has ended ({alert.get_status_display()}); there is nothing to silence."


def end_of(span: str, now: datetime, zone: ZoneInfo) -> datetime | None:
    """None: until it clears. Raises ActionNotAllowed for a word that is no span."""
    if span == CLEARED:
        return None
    if span == MORNING:
        return next_morning(now, zone)
    if span not in HOURS:
        raise ActionNotAllowed(
            f"“{span[:40]}” is not a time to silence an alert for: {', '.join(word for word, _ in SPANS)}.",
            action="silence",
            status="",
        )
    return now + timedelta(hours=HOURS[span])


def of(alert: Alert) -> list[Silence]:
    """Silences of this alert alone that run now, the last to end first."""
    now = timezone.now()
    rows = MaintenanceWindow.objects.filter(
        may_be_ahead(now), kind=MaintenanceWindow.Kind.SILENCE, matchers__contains={"alerts": [str(alert.pk)]}
    ).select_related("created_by")
    found = [Silence(row, state(row, now)) for row in rows]
    running = [one for one in found if one.state.word == RUNNING]
    return sorted(running, key=lambda one: (one.window.ends_at is not None, -(one.window.ends_at or now).timestamp()))
