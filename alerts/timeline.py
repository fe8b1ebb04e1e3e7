"""What happened to an alert, in order: what its source said, what people did, what kept it quiet.

Events that changed nothing are folded: “412 events between 14:02 and 15:10”.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alerts import occurrences
from alerts.choices import SEVERITY_WORDS, Action, News, SuppressionKind
from alerts.models import Alert, AlertHistory, Suppression
from alerts.templatetags.portal import moment
from alerts.whyview import KEPT_QUIET, said

SHOWN = 60
REASONS_SHOWN = 500  # on one page
# Of the same moment: what came, what ended, what was done, what began.
FOLDED, ENDED, ENTRY, BEGUN = range(4)
KINDS = {"all": "Everything", "source": "Its source", "people": "People", "quiet": "Quiet and told"}
BY_PEOPLE = frozenset({Action.ACKNOWLEDGED, Action.UNACKNOWLEDGED, Action.RESOLVED, Action.NOTE, Action.ASSIGNED})
BY_EVENTS = frozenset({Action.OPENED, Action.REOPENED, Action.CLEARED, Action.SEVERITY_CHANGED})
OF_QUIET = frozenset(
    {Action.SUPPRESSED, Action.RELEASED, Action.ANNOUNCED, Action.LISTED, Action.CALMED, Action.FLAPPING}
)
# By who did it, by the status, and by “Why is it like this?”
SAID_OTHERWISE = ("acknowledged_by", "condition", "explained_by", "window", "undid", "telling")
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
    further: str  # address of what comes next in this order; empty where that is all
    choices: list[tuple[str, str, bool]]  # label, address, current
    turned: str  # address of the other order
    is_first: bool  # whether nothing comes before this in this order
    start: str  # address of the first page in this order


@dataclass(frozen=True)
class Page:
    """Some entries, oldest first, and the time they stand for: from `begin`, without `end`; None: without a border.
    Pages meet, so what lies between two entries is on exactly one. `beyond`: the entry that follows the newest."""

    entries: list[AlertHistory]
    begin: datetime | None
    end: datetime | None
    beyond: AlertHistory | None
    more: bool

    def covers(self, at: datetime) -> bool:
        return (self.begin is None or at >= self.begin) and (self.end is None or at < self.end)


def timeline(
    alert: Alert,
    *,
    kind: str = "all",
    oldest_first: bool = False,
    before: int | None = None,
    after: int | None = None,
) -> Timeline:
    """At most four queries. `before`, newest first, and `after`, oldest first: where the last page ended."""
    kind = kind if kind in KINDS else "all"
    at = after if oldest_first else before
    page = _page(_rows(alert, kind), at, oldest_first=oldest_first)
    ranked = [(step.at, ENTRY, step) for step in map(_step, page.entries)]
    if kind in ("all", "quiet"):
        ranked += _reasons(alert, page)
    if kind in ("all", "source"):
        ranked += ((step.at, FOLDED, step) for step in _folded(alert, page))
    ranked.sort(key=lambda line: line[:2])
    steps = [step for _, _, step in ranked]

    def url(**changes: Any) -> str:
        asked = {"kind": kind, "order": "oldest" if oldest_first else "", **changes}
        words = urlencode({name: value for name, value in asked.items() if value and value != "all"})
        return f"{alert.get_absolute_url()}{f'?{words}' if words else ''}#timeline"

    further = ""
    if page.more:
        further = url(after=page.entries[-1].pk) if oldest_first else url(before=page.entries[0].pk)
    return Timeline(
        steps if oldest_first else steps[::-1],
        kind,
        oldest_first,
        further,
        [(label, url(kind=name), name == kind) for name, label in KINDS.items()],
        url(order="" if oldest_first else "oldest"),
        at is None,
        url(),
    )


def _rows(alert: Alert, kind: str) -> QuerySet[AlertHistory]:
    rows = AlertHistory.objects.filter(alert=alert).select_related("user")
    if kind == "people":
        return rows.filter(action__in=BY_PEOPLE)
    if kind == "source":
        return rows.exclude(action__in=[*BY_PEOPLE, *OF_QUIET])
    if kind == "quiet":
        return rows.filter(Q(action__in=OF_QUIET) | ~Q(news=News.NONE))
    return rows


def _page(rows: QuerySet[AlertHistory], at: int | None, *, oldest_first: bool) -> Page:
    """The entry of `at` is read too: it says where the page before this one ended."""
    if at is not None:
        rows = rows.filter(id__gte=at) if oldest_first else rows.filter(id__lte=at)
    found = list(rows.order_by("id" if oldest_first else "-id")[: SHOWN + 2])
    edge = found.pop(0) if at is not None and found and found[0].pk == at else None
    more = len(found) > SHOWN
    next_one, found = (found[SHOWN] if more else None), found[:SHOWN]
    if oldest_first:
        # What lies before an entry belongs to it, as in the other order what lies after it does.
        begin = found[0].created_at if edge is not None and found else None
        end = next_one.created_at if next_one is not None else None
        return Page(found, begin, end, next_one, more)
    begin = found[-1].created_at if more else None
    end = edge.created_at if edge is not None else None
    return Page(found[::-1], begin, end, edge, more)


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


def _reasons(alert: Alert, page: Page) -> Iterable[tuple[datetime, int, Step]]:
    """Reasons to be quiet, from when to when, in the time of this page."""
    inside: dict[str, Any] = {}
    if page.begin is not None:
        inside["gte"] = page.begin
    if page.end is not None:
        inside["lt"] = page.end
    began = Q(started_at__isnull=False, **{f"started_at__{word}": at for word, at in inside.items()})
    ended = Q(ended_at__isnull=False, **{f"ended_at__{word}": at for word, at in inside.items()})
    rows = Suppression.objects.filter(began | ended, alert=alert).select_related("root", "window").order_by("-id")
    for row in rows[:REASONS_SHOWN]:
        noun = KEPT_QUIET.get(SuppressionKind(row.kind), row.kind)
        by = row.root.title if row.root_id and row.root else row.window.name if row.window_id and row.window else ""
        if page.covers(row.started_at):
            until = format_html("looked at again at {}", moment(row.until)) if row.until and not row.ended_at else ""
            yield (
                row.started_at,
                BEGUN,
                Step(row.started_at, "quiet", f"Quiet: {noun}{f', {by}' if by else ''}", delta=until),
            )
        if row.ended_at is not None and page.covers(row.ended_at):
            yield row.ended_at, ENDED, Step(row.ended_at, "quiet", f"No longer quiet: {noun}", delta=row.ended_because)


def _folded(alert: Alert, page: Page) -> Iterable[Step]:
    """Events between what happened; the one that made it happen is told by that."""
    entries = sorted(page.entries, key=lambda entry: entry.created_at)
    followed = [*entries, page.beyond]
    marks = [entry.created_at for entry in entries]
    stretches = []
    for stretch, (number, first, last) in occurrences.between(alert.pk, marks, page.begin, page.end).items():
        follower = followed[stretch]
        tells = follower is not None and follower.action in BY_EVENTS
        stretches.append((number - tells, first, last, tells))
    before = occurrences.last_before(alert.pk, [last for number, _, last, tells in stretches if tells and number > 1])
    for number, first, last, tells in stretches:
        if number == 1:
            yield Step(first, "source", "1 event received")
        elif number > 1:
            yield Step(first, "source", f"{number:,} events received", until=before.get(last) if tells else last)
