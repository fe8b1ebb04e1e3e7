"""Where one reads on about an alert: its runbook, its source, its device; and the alert as text for a ticket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from alerts.columns import exact
from alerts.models import Alert, AlertHistory, AlertTypeSetting

# Fields that systems put the address of their own page into.
URL_FIELDS = (
    "runbook_url", "url", "link", "generatorURL", "externalURL", "dashboardURL", "dashboard_url", "panelURL",
    "silenceURL", "ruleUrl", "alert_url", "event_url", "href",
)  # fmt: skip
WORDS = {
    "runbook_url": "Runbook its source names",
    "dashboard_url": "Dashboard",
    "generatorURL": "Where it comes from",
    "externalURL": "The system that sent it",
    "dashboardURL": "Dashboard",
    "panelURL": "Panel",
    "silenceURL": "Silence it there",
}
URL_MAX = 2_000
DEPTH = 3
MOST = 12


class Reference(NamedTuple):
    label: str
    url: str


def references(alert: Alert) -> list[Reference]:
    """The runbook first. One query."""
    found = []
    if runbook := runbook_of(alert):
        found.append(Reference("Runbook", runbook))
    for source in (alert.custom_fields, alert.raw_data):
        found += in_data(source)
    first: dict[str, Reference] = {}
    for reference in found:
        first.setdefault(reference.url, reference)
    return list(first.values())[:MOST]


def runbook_of(alert: Alert) -> str:
    """Of the most exact pattern that names one."""
    rows = AlertTypeSetting.objects.filter(enabled=True, connector_type__in=("", alert.source_system)).exclude(
        runbook_url=""
    )
    best = max(
        (row for row in rows if _matches(row.alert_type, alert.alert_type)),
        key=lambda row: (not row.alert_type.endswith("*"), len(row.alert_type), bool(row.connector_type)),
        default=None,
    )
    return best.runbook_url if best is not None else ""


def _matches(pattern: str, alert_type: str) -> bool:
    return alert_type.startswith(pattern[:-1]) if pattern.endswith("*") else alert_type == pattern


def in_data(raw: Any, depth: int = DEPTH) -> list[Reference]:
    """Addresses of web pages in what a source sent; http and https alone, whatever it says."""
    found: list[Reference] = []
    if isinstance(raw, Mapping):
        for name, value in raw.items():
            if name in URL_FIELDS and isinstance(value, str) and is_web(value):
                found.append(Reference(WORDS.get(name, "In its source"), value))
            elif isinstance(value, Mapping | list) and depth:
                found += in_data(value, depth - 1)
    elif isinstance(raw, list):
        for value in raw[:MOST]:
            if isinstance(value, Mapping) and depth:
                found += in_data(value, depth - 1)
    return found


def is_web(url: str) -> bool:
    """Without somebody's name in it: that is a password, or a host that pretends to be another."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and len(url) <= URL_MAX
            and url.isprintable()
        )
    except ValueError:
        return False


def times(number: int) -> str:
    return f"{number:,} time{'' if number == 1 else 's'}"


def as_text(alert: Alert, link: str, notes: Iterable[AlertHistory]) -> str:
    """What one pastes into a ticket or a chat."""
    device = (alert.device.name if alert.device_id and alert.device else "") or alert.device_name
    where = f"{device} ({alert.device_ip})" if device and alert.device_ip else device or str(alert.device_ip or "")
    site = alert.device.site if alert.device_id and alert.device else ""
    lines = [
        f"{alert.get_severity_display().upper()}: {alert.title or alert.alert_type}",
        f"Device: {where or 'unknown'}{f', {site}' if site else ''}",
        f"Status: {alert.get_status_display()}, since {exact(alert.occurred_at)}, seen {times(alert.occurrence_count)}",
        f"Type: {alert.alert_type}{f' [{alert.component}]' if alert.component else ''}, {alert.category}",
    ]
    if alert.message:
        lines.append(alert.message[:1_000])
    for entry in notes:
        who = entry.user.get_username() if entry.user_id and entry.user else "somebody"
        lines.append(f"{exact(entry.created_at)} {who}: {entry.notes[:500]}")
    return "\n".join([*lines, link])
