"""What happened to an alert, in order: what its source said, what people did, what kept it quiet.

Events that changed nothing are folded: “412 events between 14:02 and 15:10”.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alerts import occurrences
from alerts.choices import SEVERITY_WORDS, Action, News, SuppressionKind
from alerts.models import Alert, AlertHistory, Suppression
from alerts.templatetags.portal import moment
from alerts.whyview import KEPT_QUIET, said

SHOWN = 60
KINDS = {"all": "Everything", "source": "Its source", "people": "People", "quiet": "Quiet and told"}
BY_PEOPLE = frozenset({Action.ACKNOWLEDGED, Action.UNACKNOWLEDGED, Action.RESOLVED, Action.NOTE, Action.ASSIGNED})
BY_EVENTS = frozenset({Action.OPENED, Action.REOPENED, Action.CLEARED, Action.SEVERITY_CHANGED})
OF_QUIET = frozenset(
    {Action.SUPPRESSED, Action.RELEASED, Action.ANNOUNCED, Action.LISTED, Action.CALMED, Action.FLAPPING}
)
# By who did it, by the status, and by “Why is it like this?”
SAID_OTHERWISE = ("acknowledged_by", "condition", "explained_by", "window")
TOLD = {News.PROBLEM: "told as a problem", News.UPDATE: "told as an update", News.RECOVERY: "told as a recovery"}


@dataclass(frozen=True)
class Step:
    """One line. `kind`: source, people or quiet; `until`: of folded events, the last one."""

    at: datetime
    kind: str
    what: SafeString | str
    who: str = ""
    notes: str = ""
    delta: SafeString | str = ""
    until: datetime | None = None
    told: str = ""


@dataclass(frozen=True)
class Timeline:
    steps: list[Step]
    kind: str
    oldest_first: bool
    older: str  # address of what came before; empty where that is all
    choices: list[tuple[str, str, bool]]  # label, address, current
    turned: str  # address of the other order


def timeline(alert: Alert, *, kind: str = "all", oldest_first: bool = False, before: int | None = None) -> Timeline:
    """At most three queries."""
    kind = kind if kind in KINDS else "all"
    rows = AlertHistory.objects.filter(alert=alert).select_related("user").order_by("-id")
    if kind == "people":
        rows = rows.filter(action__in=BY_PEOPLE)
    elif kind == "source":
        rows = rows.exclude(action__in=[*BY_PEOPLE, *OF_QUIET])
    elif kind == "quiet":
        rows = rows.filter(Q(action__in=OF_QUIET) | ~Q(news=News.NONE))
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows[: SHOWN + 1])
    more, found = len(found) > SHOWN, found[:SHOWN]
    steps = [_step(entry) for entry in found]
    begin = found[-1].created_at if found and more else None
    end = found[0].created_at if found and before is not None else None
    if kind in ("all", "quiet"):
        steps += _reasons(alert, begin, end)
    if kind in ("all", "source") and found:
        steps += _folded(alert, list(reversed(found)), begin, end)
    steps.sort(key=lambda step: step.at, reverse=not oldest_first)

    def url(**changes: Any) -> str:
        asked = {"kind": kind, "order": "oldest" if oldest_first else "", **changes}
        words = urlencode({name: value for name, value in asked.items() if value and value != "all"})
        return f"?{words}#timeline" if words else f"/alerts/{alert.pk}/#timeline"

    return Timeline(
        steps,
        kind,
        oldest_first,
        url(before=found[-1].pk) if more else "",
        [(label, url(kind=name), name == kind) for name, label in KINDS.items()],
        url(order="" if oldest_first else "oldest"),
    )


def _step(entry: AlertHistory) -> Step:
    delta: list[str] = []
    if entry.old_status != entry.new_status and entry.old_status:
        delta.append(f"{entry.old_status} → {entry.new_status}")
    for name, change in entry.changes.items() if isinstance(entry.changes, dict) else ():
        if name in SAID_OTHERWISE:
            continue
        label = name.replace("_", " ")
        if not isinstance(change, list) or len(change) != 2:
            delta.append(format_html("{}: {}", label, word(name, change)))
        elif change[0] in (None, ""):
            delta.append(format_html("{}: {}", label, word(name, change[1])))
        else:
            delta.append(format_html("{}: {} → {}", label, word(name, change[0]), word(name, change[1])))
    who = entry.user.get_username() if entry.user_id and entry.user else ""
    kind = "people" if entry.action in BY_PEOPLE or who else "quiet" if entry.action in OF_QUIET else "source"
    return Step(
        entry.created_at,
        kind,
        said(entry),
        who,
        entry.notes,
        format_html_join(", ", "{}", ((part,) for part in delta)),
        told=TOLD.get(News(entry.news), ""),
    )


def word(name: str, value: Any) -> str:
    """A value of a change as people read it."""
    if name.endswith("severity") and isinstance(value, int):
        return SEVERITY_WORDS.get(value, str(value))
    if name.endswith(("_until", "_at")) and isinstance(value, str):
        try:
            return moment(datetime.fromisoformat(value))
        except ValueError:
            return value
    return (
        "nobody" if value is None and name.endswith(("_by", "_to")) else "none" if value in (None, "") else str(value)
    )


def _reasons(alert: Alert, begin: datetime | None, end: datetime | None) -> Iterable[Step]:
    """Reasons to be quiet, where history does not say so itself: those that began with the alert, or beside others."""
    rows = Suppression.objects.filter(alert=alert).select_related("root", "window").order_by("-id")
    for row in rows[:SHOWN]:
        noun = KEPT_QUIET.get(SuppressionKind(row.kind), row.kind)
        by = row.root.title if row.root_id and row.root else row.window.name if row.window_id and row.window else ""
        if (begin is None or row.started_at >= begin) and (end is None or row.started_at < end):
            until = format_html("looked at again at {}", moment(row.until)) if row.until and not row.ended_at else ""
            yield Step(row.started_at, "quiet", f"Quiet: {noun}{f', {by}' if by else ''}", delta=until)
        if (
            row.ended_at is not None
            and (begin is None or row.ended_at >= begin)
            and (end is None or row.ended_at < end)
        ):
            yield Step(row.ended_at, "quiet", f"No longer quiet: {noun}", delta=row.ended_because)


def _folded(
    alert: Alert, entries: Sequence[AlertHistory], begin: datetime | None, end: datetime | None
) -> Iterable[Step]:
    """Events between what happened; the one that made it happen is told by that."""
    marks = [entry.created_at for entry in entries]
    for stretch, (number, first, last) in occurrences.between(alert.pk, marks).items():
        if (begin is not None and last < begin) or (end is not None and first >= end):
            continue
        if stretch < len(entries) and entries[stretch].action in BY_EVENTS:
            number -= 1
        if number == 1:
            yield Step(first, "source", "1 event received")
        elif number > 1:
            yield Step(first, "source", f"{number:,} events received", until=last)
