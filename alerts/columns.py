"""The board's columns, and an alert as the board shows it: everything the row template needs, worked out beforehand.

Templates only look attributes up; date and plural filters in a row cost more than the whole query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from alerts.choices import OPEN_STATUSES, SEVERITY_WORDS, Priority, Status
from alerts.models import Alert
from alerts.quiet import NOTHING, Notes, Phrase

SUBTITLE_CHARACTERS = 200
PRIORITY_WORDS: dict[int, str] = {p.value: p.label for p in Priority}


@dataclass(frozen=True, slots=True)
class Column:
    """`ordering`: the value of the filter of that name that sorts by it, worst or newest first; empty: not sortable.

    `shown`: where nobody chose. `fixed`: a row without it would not say what it is about.
    """

    key: str
    label: str
    ordering: str = ""
    shown: bool = True
    fixed: bool = False


COLUMNS = (
    Column("severity", "Severity", "-severity", fixed=True),
    Column("title", "Alert", fixed=True),
    Column("device", "Device", "device_name"),
    Column("source", "Source"),
    Column("seen", "Seen"),
    Column("since", "Since", "-occurred_at"),
    Column("status", "Status"),
    Column("priority", "Priority", "priority", shown=False),
    Column("category", "Category", shown=False),
    Column("type", "Type", shown=False),
    Column("component", "Component", shown=False),
    Column("site", "Site", shown=False),
    Column("tags", "Tags", shown=False),
    Column("last", "Last seen", "-last_occurrence_at", shown=False),
    Column("assignee", "Assignee", shown=False),
)
BY_KEY = {column.key: column for column in COLUMNS}
DEFAULT_COLUMNS = tuple(column.key for column in COLUMNS if column.shown)


def known_columns(keys: Iterable[str]) -> tuple[str, ...]:
    """Those there are, each once, in the given order; without any the default ones. Fixed ones are never missing."""
    wanted = tuple(dict.fromkeys(key for key in keys if key in BY_KEY))
    if not wanted:
        return DEFAULT_COLUMNS
    missing = tuple(column.key for column in COLUMNS if column.fixed and column.key not in wanted)
    return missing + wanted


@dataclass(slots=True)
class Row:
    """One line of the board; the same for every reader."""

    id: str
    url: str
    classes: str
    severity: str
    title: str
    subtitle: str
    device: str
    ip: str
    site: str
    source: str
    seen: int
    since: str
    since_ms: int
    since_exact: str
    age: str
    last_seen: str
    last_exact: str
    last_age: str
    status: str
    who: str
    priority: str
    category: str
    alert_type: str
    component: str
    tags: tuple[str, ...]
    assignee: str
    explains: int
    reasons: tuple[Phrase, ...]
    can_be_acknowledged: bool
    can_be_resolved: bool
    can_be_reopened: bool

    @classmethod
    def of(cls, alert: Alert, now: datetime | None = None, notes: Notes = NOTHING) -> Row:
        """Needs what `queries.rows()` selects, and sends no query then. `queries.as_rows()` looks up the notes."""
        is_open = alert.status in OPEN_STATUSES
        severity = SEVERITY_WORDS[alert.severity]
        device = alert.device if alert.device_id else None
        message = alert.message_start if hasattr(alert, "message_start") else alert.message[:SUBTITLE_CHARACTERS]
        name = (device.name if device else "") or alert.device_name
        ip = alert.device_ip or ""
        who = ""
        if alert.status == Status.ACKNOWLEDGED and alert.acknowledged_by_id:
            who = alert.acknowledged_by.get_username() if alert.acknowledged_by else ""
        since, last = alert.occurred_at, alert.last_occurrence_at
        now = now or timezone.now()
        title = alert.title or alert.alert_type
        return cls(
            id=str(alert.pk),
            url=f"/alerts/{alert.pk}/",
            classes=f"{severity} {alert.status}{'' if is_open else ' ended'}",
            severity=severity,
            title=title,
            subtitle=_beyond(title, message or alert.component),
            device=name or ip or "unknown device",
            ip=ip if name else "",
            site=device.site if device else "",
            source=alert.connector.name if alert.connector_id and alert.connector else alert.source_system,
            seen=alert.occurrence_count,
            since=since.isoformat(),
            since_ms=round(since.timestamp() * 1000),
            since_exact=exact(since),
            age=age(now - since),
            last_seen=last.isoformat(),
            last_exact=exact(last),
            last_age=age(now - last),
            status=alert.status,
            who=who,
            priority=PRIORITY_WORDS.get(alert.priority, ""),
            category=alert.category,
            alert_type=alert.alert_type,
            component=alert.component,
            tags=tuple(alert.tags),
            assignee=alert.assigned_to.get_username() if alert.assigned_to_id and alert.assigned_to else "",
            explains=notes.explains,
            reasons=notes.reasons,
            can_be_acknowledged=is_open and alert.acknowledged_at is None,
            can_be_resolved=is_open,
            can_be_reopened=not is_open,
        )


def _beyond(title: str, text: str) -> str:
    """The text, unless the title says it already as a whole: an interface 1 is not said by "port 12"."""
    said = text.strip().casefold()
    if said in title.casefold() and re.search(rf"(?<![\w.]){re.escape(said)}(?!\w|\.\w)", title.casefold()):
        return ""
    return text


def age(span: Any) -> str:
    """12 s, 5 min, 1 h 20, 14 h, 3 d: two figures at most, as board.js writes it."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 10 and minutes % 60:
        return f"{hours} h {minutes % 60:02}"
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


def exact(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.get_current_timezone()):%Y-%m-%d %H:%M:%S %Z}"
