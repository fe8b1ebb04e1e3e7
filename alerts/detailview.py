"""One alert as its page shows it: facts, timeline, varbinds, events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from alerts import queries
from alerts.choices import OPEN_STATUSES, SEVERITY_WORDS, Action, Priority
from alerts.columns import Row, age
from alerts.models import Alert
from alerts.neighbours import Around, around
from alerts.occurrences import Chart, chart
from alerts.references import Reference, as_text, references, times
from alerts.timeline import Timeline, timeline
from alerts.whyview import Why
from connectors.models import RawEvent

BELOW_SHOWN = 20
ACKNOWLEDGE_FOR = ((60, "1 hour"), (240, "4 hours"), (480, "8 hours"), (1440, "1 day"), (10080, "1 week"))


@dataclass(frozen=True)
class Varbind:
    """One variable of a notification. `value` is for people, `stored` what arrived when that reads differently."""

    name: str
    oid: str
    type: str
    value: str
    stored: str


@dataclass(frozen=True)
class DetailView:
    alert: Alert
    row: Row
    varbinds: list[Varbind]
    raw: str
    timeline: Timeline
    chart: Chart | None
    around: Around
    references: list[Reference]
    text: str
    events: list[RawEvent]
    facts: list[tuple[str, str]]
    times: list[tuple[str, datetime]]
    lasted: str
    can_be_acknowledged: bool
    why: Why
    below: list[Row]  # the worst of what it explains
    acknowledge_for: tuple[tuple[int, str], ...] = ACKNOWLEDGE_FOR

    @classmethod
    def of(
        cls, alert: Alert, asked: Mapping[str, str] | None = None, *, link: str = "", is_staff: bool = False
    ) -> DetailView:
        """`asked`: kind, order, before and after of the timeline. `link`: the whole address of its page."""
        asked = asked or {}
        raw = alert.raw_data if isinstance(alert.raw_data, dict) else {"data": alert.raw_data}
        end = alert.resolved_at or alert.last_clear_at if alert.status not in OPEN_STATUSES else None
        (row,) = queries.as_rows([alert])
        history, events = list(queries.history(alert)), list(queries.events(alert))
        return cls(
            alert=alert,
            row=row,
            varbinds=varbinds(raw),
            raw=json.dumps(raw, indent=2, ensure_ascii=False, default=str) if raw else "",
            timeline=timeline(
                alert,
                kind=asked.get("kind", "all"),
                oldest_first=asked.get("order") == "oldest",
                before=_number(asked.get("before", "")),
                after=_number(asked.get("after", "")),
            ),
            chart=chart(alert),
            around=around(alert),
            references=references(alert),
            text=as_text(alert, link, [entry for entry in history if entry.action == Action.NOTE][:3]),
            events=events,
            facts=_facts(alert),
            times=_times(alert),
            lasted=age((end or timezone.now()) - alert.occurred_at),
            can_be_acknowledged=alert.status in OPEN_STATUSES,
            why=Why.of(alert, history, events, is_staff=is_staff),
            below=queries.worst(queries.explained_by(alert.pk), BELOW_SHOWN) if row.explains else [],
        )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def varbinds(raw: dict[str, Any]) -> list[Varbind]:
    """The table of a trap's variables; empty for events that had none."""
    listed = raw.get("varbinds")
    if not isinstance(listed, list):
        return []
    result = []
    for item in listed:
        if not isinstance(item, dict):
            continue
        stored = "" if item.get("value") is None else str(item["value"])
        shown = str(item.get("word") or item.get("readable") or stored)
        oid = str(item.get("oid", ""))
        name = str(item.get("name") or "")
        result.append(Varbind(name, oid, str(item.get("type", "")), shown, stored if stored != shown else ""))
    return result


def _facts(alert: Alert) -> list[tuple[str, str]]:
    levels = f"impact {alert.impact}, urgency {alert.urgency}"
    found = [
        ("Priority", f"{Priority(alert.priority).label} ({levels})"),
        ("Category", alert.category),
        ("Alert type", alert.alert_type),
        ("Component", alert.component),
        ("Source", alert.connector.name if alert.connector_id and alert.connector else alert.source_system),
        ("Source's id", alert.source_alert_id),
        ("Seen", times(alert.occurrence_count)),
        ("Came back", times(alert.opening - 1) if alert.opening > 1 else ""),
        (
            "Worst so far",
            SEVERITY_WORDS[alert.peak_severity] if alert.peak_severity != alert.severity else "",
        ),
        ("Assigned to", alert.assigned_to.get_username() if alert.assigned_to_id and alert.assigned_to else ""),
        ("Resolved by", alert.resolved_by.get_username() if alert.resolved_by_id and alert.resolved_by else ""),
        ("Expires", f"{alert.ttl_minutes} min after the last report" if alert.ttl_minutes else ""),
    ]
    return [(label, value) for label, value in found if value]


def _times(alert: Alert) -> list[tuple[str, datetime]]:
    found = [
        ("Began", alert.occurred_at),
        ("Received", alert.received_at),
        ("Last report", alert.last_occurrence_at),
        ("Last clear", alert.last_clear_at),
        ("Acknowledged", alert.acknowledged_at),
        ("Ack lasts until", alert.acknowledged_until),
        ("Ended", alert.resolved_at),
    ]
    return [(label, moment) for label, moment in found if moment is not None]
