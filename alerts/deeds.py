"""What a person may do to an alert, decided purely: whether it is possible now, and what it changes.

One class for each action. `hands` locks, reads, writes; for one alert and for many it is the same decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from alerts.choices import SUPPRESSED_BITS, Action, Condition, Status
from alerts.status import derive

Changes = dict[str, list[Any]]


@dataclass(slots=True)
class Subject:
    """The columns of one alert that people's actions read and change; the order of `hands._READ`."""

    id: UUID
    fingerprint: str
    condition: str
    status: str
    quiet: int
    announced: bool
    opening: int
    acknowledged_at: datetime | None
    acknowledged_by: int | None
    acknowledged_until: datetime | None
    assigned_to: int | None
    resolved_at: datetime | None
    resolved_by: int | None
    last_raise_at: datetime
    expires_at: datetime | None
    source_system: str
    connector_id: int | None
    device_ip: str | None
    device_name: str
    device_id: int | None
    alert_type: str
    component: str
    category: str
    severity: int
    title: str
    tags: Sequence[str]
    acknowledged_by_name: str | None
    assigned_to_name: str | None

    @property
    def is_raised(self) -> bool:
        return self.condition == Condition.RAISED

    def derived(self) -> Status:
        return derive(
            self.condition,
            acknowledged=self.acknowledged_at is not None,
            suppressed=bool(self.quiet & SUPPRESSED_BITS),
        )


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    name: str


class Deed:
    """`word`: as the API, the pages and refusals call it. `action`: what the history records."""

    word: ClassVar[str]
    action: ClassVar[Action]

    def refusal(self, alert: Subject) -> str:
        """Why it is impossible now, as a sentence; empty when it is possible."""
        return must_be_raised(alert, self.word)

    def change(self, alert: Subject, by: Person, at: datetime) -> Changes:
        """Changes the subject; what is recorded, [before, after] by name."""
        return {}


class WorkflowDeed(Deed):
    """Changes what people say of an alert, never its condition."""


@dataclass(frozen=True)
class Acknowledge(WorkflowDeed):
    """Somebody is on it. `until`: the acknowledgement lapses then. Again: another person, another time."""

    word, action = "acknowledge", Action.ACKNOWLEDGED
    until: datetime | None = None

    def change(self, alert: Subject, by: Person, at: datetime) -> Changes:
        changes: Changes = {"acknowledged_by": [alert.acknowledged_by_name, by.name]}
        if self.until:
            changes["acknowledged_until"] = [None, self.until.isoformat()]
        alert.acknowledged_at, alert.acknowledged_by, alert.acknowledged_until = at, by.id, self.until
        return changes


@dataclass(frozen=True)
class Unacknowledge(WorkflowDeed):
    word, action = "unacknowledge", Action.UNACKNOWLEDGED

    def refusal(self, alert: Subject) -> str:
        not_acknowledged = "" if alert.acknowledged_at is not None else "This alert is not acknowledged."
        return must_be_raised(alert, self.word) or not_acknowledged

    def change(self, alert: Subject, by: Person, at: datetime) -> Changes:
        changes: Changes = {"acknowledged_by": [alert.acknowledged_by_name, None]}
        alert.acknowledged_at = alert.acknowledged_by = alert.acknowledged_until = None
        return changes


@dataclass(frozen=True)
class Assign(WorkflowDeed):
    """Whose it is; None: nobody's."""

    word, action = "assign", Action.ASSIGNED
    assignee: Person | None

    def change(self, alert: Subject, by: Person, at: datetime) -> Changes:
        changes: Changes = {"assigned_to": [alert.assigned_to_name, self.assignee.name if self.assignee else None]}
        alert.assigned_to = self.assignee.id if self.assignee else None
        return changes


@dataclass(frozen=True)
class Note(WorkflowDeed):
    """A remark on the timeline; possible on ended alerts too."""

    word, action = "note", Action.NOTE

    def refusal(self, alert: Subject) -> str:
        return ""


@dataclass(frozen=True)
class Resolve(Deed):
    """A person says it is over. Repeats of the same raise do not reopen it until a clear came in between."""

    word, action = "resolve", Action.RESOLVED


@dataclass(frozen=True)
class Reopen(Deed):
    """A person says of an ended alert that it is not over: the same episode is raised again."""

    word, action = "reopen", Action.REOPENED

    def refusal(self, alert: Subject) -> str:
        return "This alert is open; there is nothing to reopen." if alert.is_raised else ""


NEWER_IS_OPEN = "The same problem is open again as another alert; act on that one."


def must_be_raised(alert: Subject, word: str) -> str:
    if alert.is_raised:
        return ""
    return f"This alert has ended ({alert.status}); it cannot be changed by “{word}” any more."
