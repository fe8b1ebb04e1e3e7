"""“Why is it like this?”: the decisions about one alert in order of time, each with what it rests on.

Which mapping row read it, what makes it the same problem, which events came too late or found nothing to end, what
kept it quiet and for how long, what was told and what was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alerts.choices import Action, News, Outcome, Severity, SuppressionKind
from alerts.models import Alert, AlertHistory, Suppression
from alerts.templatetags.portal import moment
from connectors.models import CategoryMapping, DeduplicationRule, RawEvent, SeverityMapping
from connectors.normalisation import DEFAULT_IDENTITY, DeduplicationRow, identity_of

# In the changes of a history row whose news waits until it can no longer be undone.
HELD_BACK = "telling"
SUPPRESSIONS_SHOWN = 100
EVENTS_LOOKED_AT = 500  # of one alert, the newest: a storm of repeats may have left millions
ORPHANS_SHOWN = 10
AROUND = timedelta(minutes=10)  # as long as the engine remembers a clear that found nothing

DONE = {
    Action.OPENED: "Opened",
    Action.REOPENED: "Came back",
    Action.SEVERITY_CHANGED: "Severity changed",
    Action.CLEARED: "Cleared by its source",
    Action.EXPIRED: "Expired",
    Action.ACKNOWLEDGED: "Acknowledged",
    Action.UNACKNOWLEDGED: "No longer acknowledged",
    Action.RESOLVED: "Resolved by hand",
    Action.NOTE: "Note",
    Action.SUPPRESSED: "Made quiet",
    Action.RELEASED: "No longer quiet",
    Action.ANNOUNCED: "Told after it was quiet",
    Action.FLAPPING: "Started flapping",
    Action.CALMED: "Calmed down",
    Action.LISTED: "Began and ended in maintenance",
    Action.ASSIGNED: "Assigned",
    Action.UNDONE: "Undone",
}
KEPT_QUIET = {
    SuppressionKind.DEPENDENCY: "an outage explained it",
    SuppressionKind.MAINTENANCE: "maintenance",
    SuppressionKind.SILENCE: "silenced",
    SuppressionKind.FLAPPING: "flapping",
    SuppressionKind.STORM: "too many of its kind at once",
    SuppressionKind.HOLD: "held for its parent",
    SuppressionKind.RELEASING: "waiting for recovery",
}
ENDS_WHEN = {
    SuppressionKind.DEPENDENCY: "until that recovers, or the dependency or rule is changed",
    SuppressionKind.SILENCE: "until it clears",
}
TOLD = {
    News.PROBLEM: "told as a problem",
    News.UPDATE: "told as an update",
    News.RECOVERY: "told as a recovery",
    News.DIGEST: "listed in the digest at the end of its window",
}
BEGINS = frozenset({Action.OPENED, Action.REOPENED})
ENDS = frozenset({Action.CLEARED, Action.RESOLVED, Action.EXPIRED})
FIELD_WORDS = {
    "identity_scope": "scope",
    "device": "device",
    "alert_type": "alert type",
    "component": "component",
    "source_alert_id": "source's id",
}


@dataclass(frozen=True)
class Line:
    """One decision. `told` colours it: yes, no, or empty where nobody was to be told."""

    at: datetime
    what: SafeString | str
    detail: SafeString | str = ""
    told: str = ""


@dataclass(frozen=True)
class Why:
    """`now` says what keeps it quiet and when that is looked at again; `lines` how it came to that, oldest first."""

    now: list[SafeString]
    lines: list[Line]

    @classmethod
    def of(cls, alert: Alert, history: Iterable[AlertHistory], events: Sequence[RawEvent], *, is_staff: bool) -> Why:
        """At most six queries, whatever happened to the alert."""
        rows = suppressions(alert)
        lines = [
            *_mapping(alert, is_staff),
            _identity(alert, is_staff),
            *_events(alert, events),
            *_quiet(rows, is_staff),
            *_told(history, rows),
        ]
        lines.sort(key=lambda line: line.at)  # of the same moment they stay in this order
        return cls([_in_force(row) for row in rows if row.ended_at is None], lines)


def suppressions(alert: Alert) -> list[Suppression]:
    """The newest ones, the oldest of them first."""
    rows = Suppression.objects.filter(alert=alert).select_related("root__device", "rule", "window").order_by("-id")
    return list(reversed(rows[:SUPPRESSIONS_SHOWN]))


# --- what it means, and what it is the same as ---


def _mapping(alert: Alert, is_staff: bool) -> Iterator[Line]:
    raw = alert.raw_data if isinstance(alert.raw_data, dict) else {}
    kept = raw.get("mapping")
    mapping: dict[str, Any] = kept if isinstance(kept, dict) else {}
    meaning = format_html("{}, {}", alert.alert_type, alert.category)
    oid = raw.get("trap_oid")
    if oid and mapping.get("oid_pattern"):
        row = str(mapping["oid_pattern"]) + (f" ({mapping['vendor']})" if mapping.get("vendor") else "")
        url = _admin("connectors_oidmapping", mapping.get("oid_mapping"), is_staff)
        yield Line(
            alert.received_at, format_html("Read by the OID mapping {}", _link(url, row)),
            format_html("trap {}: {}", oid, meaning),
        )  # fmt: skip
    elif oid and alert.alert_type == "unknown_trap":
        yield Line(
            alert.received_at,
            format_html("No mapping knows the {}", _link(reverse("mappings:unmapped"), f"trap {oid}")),
        )
    elif oid:
        yield Line(alert.received_at, "The OID mapping it was read by was not kept", format_html("trap {}", oid))
    for name, model in (("severity_mapping", SeverityMapping), ("category_mapping", CategoryMapping)):
        if mapping.get(name) is not None:
            yield Line(alert.received_at, _value_row(name.partition("_")[0], model, mapping[name]))
    if not oid and not mapping:
        yield Line(alert.received_at, "Its source says itself what it means", meaning)


def _value_row(kind: str, model: Any, pk: Any) -> SafeString:
    row = model.objects.filter(pk=pk).first() if isinstance(pk, int) else None
    if row is None:
        return format_html("Its {} came from a mapping row that was deleted since", kind)
    meaning = row.get_target_severity_display() if kind == "severity" else row.target_category
    where = urlencode({"type": row.connector_type or "any", "q": row.source_value})
    said = _link(f"{reverse('mappings:overview')}?{where}#rows", f"{row.source_field} “{row.source_value}”")
    return format_html("The {} mapping of {} says {}", kind, said, meaning)


def _identity(alert: Alert, is_staff: bool) -> Line:
    """Which list of fields, of this rule or an earlier one, makes the alert's fingerprint."""
    rule = DeduplicationRule.objects.filter(connector_type=alert.source_system).first()
    lists: list[tuple[str, ...]] = [DEFAULT_IDENTITY]
    if rule is not None:
        now, former = rule.fingerprint_fields, rule.former_fields or []
        found = identity_of(DeduplicationRow(rule.connector_type, now, former, rule.enabled))
        lists = [found.fields or DEFAULT_IDENTITY, *found.former, DEFAULT_IDENTITY]
    connector = alert.connector if alert.connector_id else None
    device = alert.device if alert.device_id else None
    addresses = [alert.device_ip or "", *(device.former_ips if device else ())]
    for fields in lists:
        for address in addresses:
            values = {
                "identity_scope": connector.scope if connector else alert.source_system,
                "device": address,
                "alert_type": alert.alert_type,
                "component": alert.component,
                "source_alert_id": alert.source_alert_id,
            }
            key = sha256("\x1f".join(values[name] for name in fields).encode()).hexdigest()
            if key == alert.fingerprint:
                named = [(FIELD_WORDS[name], values[name] or "none") for name in fields]
                by: SafeString | str = "as usual"
                if rule is not None and fields == lists[0]:
                    by = format_html("by its {}", _link(_rule_url(rule, is_staff), "deduplication rule"))
                elif rule is not None:
                    by = format_html("before its {}", _link(_rule_url(rule, is_staff), "deduplication rule was edited"))
                said = format_html_join(", ", "{} <b>{}</b>", named)
                return Line(alert.received_at, format_html("One problem with what is alike in these, {}", by), said)
    return Line(
        alert.received_at,
        "One problem with what has the same fingerprint",
        "made by fields or names that were changed since",
    )


def _rule_url(rule: DeduplicationRule, is_staff: bool) -> str:
    in_admin = _admin("connectors_deduplicationrule", rule.pk, is_staff)
    return in_admin or f"{reverse('mappings:overview')}?{urlencode({'type': rule.connector_type})}#rows"


# --- events that changed nothing ---


def _events(alert: Alert, shown: Sequence[RawEvent]) -> Iterator[Line]:
    looked_at = RawEvent.objects.filter(alert_id=alert.pk).order_by("-received_at")
    for at, outcome, kind, subject in looked_at.values_list("received_at", "outcome", "kind", "subject")[
        :EVENTS_LOOKED_AT
    ]:
        if outcome == Outcome.LATE:
            yield Line(at, "An event came too late", format_html("{} {}: older than what was said last", kind, subject))
        elif outcome == Outcome.RATE_LIMITED:
            yield Line(at, "An event was withheld", format_html("{} {}: its source is above its rate", kind, subject))
    sources = sorted({event.source for event in shown})
    if not sources:
        return
    # The journal has no index by fingerprint; around the beginning and the end is where such a clear decides anything.
    begin, end = alert.received_at, alert.resolved_at
    around = Q(received_at__range=(begin - AROUND, begin + AROUND))
    if end is not None:
        around |= Q(received_at__range=(end - AROUND, end + AROUND))
    orphans = RawEvent.objects.filter(
        around, source__in=sources, outcome=Outcome.ORPHAN_CLEAR, fingerprint=alert.fingerprint
    ).order_by("received_at")
    for at, kind, subject in orphans.values_list("received_at", "kind", "subject")[:ORPHANS_SHOWN]:
        yield Line(
            at, "A clear found nothing to end", format_html("{} {}: an older raise would be late", kind, subject)
        )


# --- what kept it quiet ---


def _quiet(rows: Iterable[Suppression], is_staff: bool) -> Iterator[Line]:
    for row in rows:
        yield Line(row.started_at, _begins(row), _lasts(row, is_staff), "no")
        if row.ended_at is not None:
            noun = KEPT_QUIET.get(SuppressionKind(row.kind), row.kind)
            yield Line(row.ended_at, format_html("No longer quiet for this reason: {}", noun), row.ended_because)


def _begins(row: Suppression) -> SafeString | str:
    match row.kind:
        case SuppressionKind.DEPENDENCY:
            return format_html("Quiet: explained by {}", _root(row))
        case SuppressionKind.MAINTENANCE | SuppressionKind.SILENCE:
            word = "maintenance" if row.kind == SuppressionKind.MAINTENANCE else "silenced by"
            window = row.window if row.window_id else None
            name = window.name if window else "a window that was deleted"
            return format_html("Quiet: {} {}", word, _link(f"/maintenance/{row.window_id}/" if window else "", name))
        case SuppressionKind.FLAPPING:
            return "Quiet: it is flapping"
        case SuppressionKind.STORM:
            return "Quiet: too many alerts of its kind at once"
        case SuppressionKind.HOLD:
            return "Held before it is told: what it stands on may be down"
        case SuppressionKind.RELEASING:
            return format_html("Waits for recovery, after {} ended", _root(row))
    return row.kind


def _lasts(row: Suppression, is_staff: bool) -> SafeString | str:
    parts: list[SafeString | str] = []
    if row.rule_id and row.rule:
        url = _admin("dependencies_correlationrule", row.rule_id, is_staff)
        parts.append(format_html("by the rule {}", _link(url, row.rule.name)))
    if row.ended_at is None:
        parts.append(_again(row))
    return format_html_join(", ", "{}", ((part,) for part in parts if part))


def _again(row: Suppression) -> SafeString | str:
    """What it waits for."""
    if row.until is not None:
        return format_html("looked at again {}", moment(row.until))
    return ENDS_WHEN.get(SuppressionKind(row.kind), "")


def _in_force(row: Suppression) -> SafeString:
    return format_html("{}, {}", _begins(row), _again(row)) if _again(row) else format_html("{}", _begins(row))


def _root(row: Suppression) -> SafeString | str:
    root = row.root if row.root_id else None
    if root is None:
        return "an alert that was deleted"
    device = (root.device.name if root.device_id and root.device else "") or root.device_name or root.device_ip
    title = root.title or root.alert_type
    return _link(root.get_absolute_url(), f"{device}: {title}" if device else title)


# --- what was told ---


def _told(history: Iterable[AlertHistory], rows: Sequence[Suppression]) -> Iterator[Line]:
    for entry in sorted(history, key=lambda entry: entry.pk):
        done = said(entry)
        if entry.news in TOLD:
            yield Line(entry.created_at, format_html("{}: {}", done, TOLD[News(entry.news)]), entry.notes, "yes")
        elif why := _not_told(entry, rows):
            yield Line(entry.created_at, format_html("{}: {}", done, why), "", "no")


def _not_told(entry: AlertHistory, rows: Sequence[Suppression]) -> str:
    """Why a step that may be news was none; empty for steps that never are."""
    if isinstance(entry.changes, dict) and HELD_BACK in entry.changes:
        return "not told at once, for it could still be undone"
    in_force = [
        KEPT_QUIET[SuppressionKind(row.kind)]
        for row in rows
        if row.started_at <= entry.created_at and (row.ended_at is None or row.ended_at >= entry.created_at)
    ]
    reasons = ", ".join(dict.fromkeys(in_force))
    if entry.action in BEGINS:
        return f"not told, {reasons}" if reasons else "not told"
    if entry.action == Action.EXPIRED:
        return "not told, for that is no recovery"
    if entry.action in ENDS:
        if KEPT_QUIET[SuppressionKind.FLAPPING] in in_force:
            return "not told, flapping; what it settles at is told"
        return "not told, for nobody had been told of the problem"
    if entry.action == Action.SEVERITY_CHANGED:
        if _fell(entry.changes.get("severity") if isinstance(entry.changes, dict) else None):
            return "not told, for it is less severe"
        return f"not told, {reasons}" if reasons else "not told"
    return ""


def _fell(change: Any) -> bool:
    """`[before, after]` as words."""
    known = {severity.label: severity.value for severity in Severity}
    before, after = (known.get(word) for word in change) if isinstance(change, list) and len(change) == 2 else (0, 0)
    return before is not None and after is not None and after < before


def said(entry: AlertHistory) -> str:
    """What was done, as an operator would say it."""
    if entry.action == Action.UNDONE and isinstance(entry.changes, dict):
        undid = (entry.changes.get("undid") or [None, ""])[-1]
        return f"Undone: {DONE[Action(undid)].lower()}" if undid in Action.values else DONE[Action.UNDONE]
    if entry.action == Action.REOPENED and entry.user_id:
        return "Reopened by hand"
    return DONE.get(Action(entry.action), entry.action) if entry.action in Action.values else entry.action


# --- links ---


def _link(url: str, text: str) -> SafeString:
    return format_html('<a class="link" href="{}">{}</a>', url, text) if url else format_html("<b>{}</b>", text)


def _admin(model: str, pk: Any, is_staff: bool) -> str:
    return reverse(f"admin:{model}_change", args=[pk]) if is_staff and pk is not None else ""
