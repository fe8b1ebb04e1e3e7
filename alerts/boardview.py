"""The board's surroundings as data for its templates: counters, views, filters, headings, the sentence for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils import timezone

from alerts import queries, reach
from alerts.choices import Category, Priority, Severity, Status
from alerts.columns import Column, Row, age, exact
from alerts.filters import ids_in
from alerts.models import Alert
from alerts.queries import BoardQuery, Counts, Page
from connectors.models import Connector

LABELS = {
    "source_system": "source type",
    "connector": "source",
    "device_ip": "address",
    "device_name": "device",
    "root_only": "roots only",
    "stale": "nothing clears them",
    "acted": "touched by people",
    "told": "ever told",
    "told_from": "told after",
    "told_to": "told before",
    "opened_from": "came after",
    "opened_to": "came before",
    "actor": "acted on by",
    "quieted": "kept quiet by",
    "quiet_from": "quiet since",
    "quiet_to": "quiet before",
    "root": "explained by",
}
GROUPING_LABELS = {"device": "device", "site": "site", "root": "root cause", "type": "alert type"}


@dataclass(frozen=True)
class Counter:
    """A number that is also a link to what it counts."""

    key: str
    label: str
    number: int
    url: str
    current: bool
    css: str = ""


@dataclass(frozen=True)
class CountsView:
    severities: list[Counter]
    views: list[Counter]
    quiet: Counter
    why_quiet: str

    @classmethod
    def of(cls, counts: Counts, query: BoardQuery) -> CountsView:
        picked = query.values("severity")
        severities = [
            Counter(
                f"severity:{word}",
                word,
                counts.severity[word],
                query.toggled("severity", word),
                word in picked,
                word,
            )
            for word in (s.label for s in reversed(Severity) if s != Severity.CLEAR)
        ]
        suppressed = [Status.SUPPRESSED.value]
        silent = Counter(
            "status:suppressed",
            "quiet",
            counts.status["suppressed"],
            query.url(status=None if query.values("status") == suppressed else suppressed[0], root=None),
            query.values("status") == suppressed,
            "quiet",
        )
        return cls(severities, _views(counts, query), silent, counts.quiet)


def _views(counts: Counts, query: BoardQuery) -> list[Counter]:
    """The statuses one looks at; those that have ended are not counted, for that would mean to read them all."""
    now = set(query.values("status"))
    offered: list[tuple[str, str, int, set[str]]] = [
        ("shown", "Open", counts.shown, set(queries.DEFAULT_STATUS)),
        ("active", "Active", counts.status["active"], {"active"}),
        ("acknowledged", "Acknowledged", counts.status["acknowledged"], {"acknowledged"}),
        ("suppressed", "Suppressed", counts.status["suppressed"], {"suppressed"}),
        ("", "Ended", -1, {"resolved", "expired"}),
        ("", "All", -1, {s.value for s in Status}),
    ]
    return [
        Counter(
            f"status:{key}" if key else "",
            label,
            number,
            query.url(status=None if key == "shown" else ",".join(s.value for s in Status if s.value in statuses)),
            now == statuses,
        )
        for key, label, number, statuses in offered
    ]


@dataclass(frozen=True)
class Choice:
    value: str
    label: str
    picked: bool


@dataclass(frozen=True)
class Filters:
    """The form under “Filters”; `kept` are filters it has no control for, so that it does not lose them."""

    severities: list[Choice]
    categories: list[Choice]
    priorities: list[Choice]
    connectors: list[Choice]
    device: str
    site: str
    since: str
    until: str
    search: str
    kept: list[tuple[str, str]]
    searching_keeps: list[tuple[str, str]]
    number: int


def filters(query: BoardQuery) -> Filters:
    given = query.given
    in_form = {"severity", "category", "priority", "connector", "device_name", "site", "from", "to", "search"}
    connectors = Connector.objects.order_by("name").values_list("slug", "name")
    return Filters(
        severities=_choices(query, "severity", ((s.label, s.label) for s in reversed(Severity))),
        categories=_choices(query, "category", ((c.value, c.value) for c in Category)),
        priorities=_choices(query, "priority", ((p.label, p.label) for p in Priority)),
        connectors=_choices(query, "connector", connectors),
        device=given.get("device_name", ""),
        site=given.get("site", ""),
        since=given.get("from", ""),
        until=given.get("to", ""),
        search=given.get("search", ""),
        kept=[(name, value) for name, value in {**given, **query.beside}.items() if name not in in_form],
        searching_keeps=[(name, value) for name, value in {**given, **query.beside}.items() if name != "search"],
        number=len(in_form & set(given) - {"search"}),
    )


def _choices(query: BoardQuery, name: str, offered: Iterable[tuple[str, str]]) -> list[Choice]:
    picked = {value.lower() for value in query.values(name)}
    return [Choice(value, label, value.lower() in picked) for value, label in offered]


@dataclass(frozen=True)
class Chip:
    """One filter in force and the board without it."""

    label: str
    value: str
    without: str


def chips(query: BoardQuery) -> list[Chip]:
    return [
        Chip(LABELS.get(name, name), _said(name, value), query.url(**{name: None}))
        for name, value in query.given.items()
        if name not in ("status", "ordering")
    ]


def _said(name: str, value: str) -> str:
    """A filter's value as people know it: a root by its name, of which there is one query."""
    if name == "root":
        roots = Alert.objects.filter(pk__in=ids_in(value)).select_related("device")
        names = [f"{row.device}: {row.title}" for row in map(Row.of, roots)]
        return ", ".join(names) or "an alert that is gone"
    return value.replace(",", ", ")


@dataclass(frozen=True)
class Header:
    key: str
    label: str
    url: str
    sort: str  # as aria-sort: ascending, descending or empty


def headers(query: BoardQuery, columns: Iterable[Column]) -> list[Header]:
    """Headings; a click sorts, a second one turns the order round."""
    result = []
    for column in columns:
        if not column.ordering:
            result.append(Header(column.key, column.label, "", ""))
            continue
        turned = column.ordering[1:] if column.ordering.startswith("-") else f"-{column.ordering}"
        first = query.ordering.split(",")[0]
        wanted = turned if first == column.ordering else column.ordering
        sort = ""
        if first in (column.ordering, turned):
            sort = "descending" if first.startswith("-") else "ascending"
        url = query.url(ordering=None if wanted == queries.NEWEST_FIRST else wanted)
        result.append(Header(column.key, column.label, url, sort))
    return result


def empty_sentence(query: BoardQuery, page: Page) -> str:
    """Why there is nothing to see; empty when there is."""
    if page.rows or page.errors:
        return ""
    if query.given.keys() == {"root"}:
        return "This alert explains no other now."
    if page.reached:
        return f"No alert matches among the {reach.MOST:,} that were looked through, back to {exact(page.reached)}."
    if query.narrowed:
        return "No alert matches these filters."
    last = queries.last_alert_at()
    said = f"Last alert {age(timezone.now() - last)} ago." if last else "No alert has arrived yet."
    return f"{'Nothing here.' if 'status' in query.given else 'Nothing open.'} {said}"


def reached_sentence(page: Page) -> str:
    """That a page ends before the list does; empty when it does not, or when the empty page has said so."""
    if page.reached is None or not page.rows:
        return ""
    return f"Looked through {reach.MOST:,} alerts, back to {exact(page.reached)}. “Older” goes on from there."
