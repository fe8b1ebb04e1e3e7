"""What board, detail page and hub read. Filters come from `alerts.filters`, the same for page, push and API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, QuerySet
from django.db.models.functions import Left
from django.http import QueryDict

from alerts import quiet, searchterms
from alerts import reach as how_far
from alerts.choices import OPEN_STATUSES, SEVERITY_WORDS, Condition, Severity, Status
from alerts.columns import SUBTITLE_CHARACTERS, Row
from alerts.filters import AlertFilterSet
from alerts.models import Alert, AlertHistory, Suppression
from connectors.models import RawEvent
from opsconductor import keyset

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

PAGE_SIZE = 50
EVENTS_SHOWN = 20
HISTORY_SHOWN = 200
# In the order in which the board names what it is narrowed by.
FILTERS = (
    "status",
    "severity",
    "category",
    "priority",
    "source_system",
    "connector",
    "device_ip",
    "device_name",
    "site",
    "tag",
    "assignee",
    "search",
    "from",
    "to",
    "root_only",
    "stale",
    "acted",
    "told",
    "told_from",
    "told_to",
    "opened_from",
    "opened_to",
    "actor",
    "quieted",
    "quiet_from",
    "quiet_to",
    "id",
    "root",
    "ordering",
)
# What the address of a board says beside its filters: how they are grouped, which view they come from, its columns.
BESIDE = ("group", "view", "columns")
MAX_OPENED = 20
# One value each; every other filter takes a comma list.
SINGLE = frozenset(
    {"search", "from", "to", "root_only", "stale", "acted", "told", "told_from", "told_to", "opened_from", "opened_to"}
    | {"quiet_from", "quiet_to"}
)
ALL_STATUSES = tuple(status.value for status in Status)
GROUPINGS = ("device", "site", "root", "type")
DEFAULT_STATUS = (Status.ACTIVE.value, Status.ACKNOWLEDGED.value)
NEWEST_FIRST = "-occurred_at"


@dataclass(frozen=True)
class BoardQuery:
    """The filters of a board URL, in one spelling: repeated parameters joined by commas, empty ones left out."""

    given: dict[str, str]
    cursor: str = ""
    beside: dict[str, str] = field(default_factory=dict)
    opened: tuple[str, ...] = ()  # keys of the groups that show their alerts

    @classmethod
    def of(cls, data: QueryDict) -> BoardQuery:
        given = {}
        for name in FILTERS:
            values = [value.strip() for value in data.getlist(name) if value.strip()]
            if values:
                given[name] = values[-1] if name in SINGLE else ",".join(values)
        beside = {name: value for name in BESIDE if (value := data.get(name, "").strip())}
        opened = tuple(dict.fromkeys(data.getlist("open")))[:MAX_OPENED]
        return cls(given, data.get("cursor", ""), beside, opened)

    @classmethod
    def parse(cls, text: str) -> BoardQuery:
        """From a query string, with or without its question mark."""
        return cls.of(QueryDict(text.lstrip("?")))

    @property
    def effective(self) -> dict[str, str]:
        """With what the board takes for granted: only what is open and not suppressed, but for what a root explains
        and alerts by what explains them."""
        if "status" not in self.given and searchterms.says_status(self.given.get("search", "")):
            return self.given
        everything = "root" in self.given or self.grouping == "root"
        shown = ALL_STATUSES if "id" in self.given else OPEN_STATUSES if everything else DEFAULT_STATUS
        return {"status": ",".join(shown), **self.given}

    @property
    def grouping(self) -> str:
        """device, site, root or type; empty: one row after the other."""
        return self.beside.get("group", "") if self.beside.get("group", "") in GROUPINGS else ""

    @property
    def plain(self) -> str:
        """The board without any filter, also for somebody whose start page is a view."""
        return "/alerts/?view=none" if "view" in self.beside else "/alerts/"

    @property
    def narrowed(self) -> bool:
        """By more than a status: an empty page then says nothing about the network."""
        return any(name not in ("status", "ordering") for name in self.given)

    @property
    def ordering(self) -> str:
        return self.given.get("ordering", NEWEST_FIRST)

    @property
    def takes_arrivals(self) -> bool:
        """Newest first and from the top: only there a new row has its place without a look at the others."""
        return self.ordering == NEWEST_FIRST and not self.cursor and not self.grouping

    def key(self, user: User | AnonymousUser) -> tuple[Any, ...]:
        """Equal for boards that show the same alerts, so that the hub asks once for all of them."""
        by_me = "me" in self.values("assignee") or searchterms.says_me(self.given.get("search", ""))
        mine = user.pk if by_me else None
        return (mine, *sorted((name, value) for name, value in self.effective.items() if name != "ordering"))

    def values(self, name: str) -> list[str]:
        return [value for value in self.effective.get(name, "").split(",") if value]

    def url(self, **changes: str | None) -> str:
        """The board with these filters changed, from its first page; None removes one."""
        wanted = {name: value for name, value in {**self.given, **self.beside, **changes}.items() if value}
        if set(wanted) == {"view"} and wanted["view"].isdigit():
            wanted["status"] = ",".join(DEFAULT_STATUS)  # the view alone would bring back what was just taken away
        return f"/alerts/?{urlencode(wanted, safe=',')}" if wanted else "/alerts/"

    def page_url(self, cursor: str) -> str:
        return f"/alerts/?{urlencode({**self.given, **self.beside, 'cursor': cursor}, safe=',')}"

    def toggled(self, name: str, value: str) -> str:
        """The board with one value of a list filter added, or taken away when it is there."""
        values = [v for v in self.given.get(name, "").split(",") if v]
        values = [v for v in values if v != value] if value in values else [*values, value]
        return self.url(**{name: ",".join(values) or None})

    def filterset(self, alerts: QuerySet[Alert], user: User | AnonymousUser) -> AlertFilterSet:
        data = QueryDict(mutable=True)
        data.update(self.effective)
        return AlertFilterSet(data=data, queryset=alerts, request=SimpleNamespace(user=user))


@dataclass
class Page:
    """At most PAGE_SIZE rows; `older` and `newer` are URLs, empty at the ends."""

    rows: list[Row] = field(default_factory=list)
    older: str = ""
    newer: str = ""
    errors: list[str] = field(default_factory=list)
    total: int | None = None  # how many match on all pages; None when ended ones are among them, or nothing narrows it
    reached: datetime | None = None  # a page that could not be filled looked back to here, and no further
    search_error: str = ""  # one of them, without the name of its filter

    @property
    def matches(self) -> str:
        """1,234 match; empty when they are not counted."""
        return "" if self.total is None else f"{self.total:,} match{'es' if self.total == 1 else ''}"

    @property
    def other_errors(self) -> list[str]:
        """But for what is said under the search field."""
        return [error for error in self.errors if error != f"search: {self.search_error}"]


@dataclass(frozen=True)
class Counts:
    """Alerts whose problem is there: by severity what the board shows at first, by status all of them."""

    severity: dict[str, int]
    status: dict[str, int]
    quiet: str = ""  # why those that are suppressed are, in words

    @property
    def shown(self) -> int:
        return sum(self.severity.values())

    def as_json(self) -> dict[str, dict[str, Any]]:
        return {
            "severity": self.severity,
            "status": {**self.status, "shown": self.shown},
            "quiet": {"words": self.quiet},
        }


def rows(alerts: QuerySet[Alert]) -> QuerySet[Alert]:
    """What `Row.of` needs, joined: connector, device, who acknowledged, whose it is. Leaves raw data and
    long messages behind."""
    return (
        alerts.select_related("connector", "device", "acknowledged_by", "assigned_to")
        .annotate(message_start=Left("message", SUBTITLE_CHARACTERS))
        .only(
            "source_system",
            "connector__name",
            "device_ip",
            "device_name",
            "device__name",
            "device__site",
            "severity",
            "priority",
            "category",
            "alert_type",
            "component",
            "title",
            "status",
            "quiet",
            "occurrence_count",
            "occurred_at",
            "last_occurrence_at",
            "acknowledged_at",
            "acknowledged_by__username",
            "assigned_to__username",
            "tags",
        )
    )


def as_rows(alerts: Iterable[Alert], now: datetime | None = None) -> list[Row]:
    """Lines of the board with why they are quiet and what they explain; two queries more, however many they are."""
    found = list(alerts)
    said = quiet.notes(found)
    return [Row.of(alert, now, said.get(alert.pk, quiet.NOTHING)) for alert in found]


def page(query: BoardQuery, user: User | AnonymousUser) -> Page:
    """One page by position: as fast at the end of a million alerts as at their beginning."""
    filterset = query.filterset(Alert.objects.all(), user)
    if not filterset.is_valid():
        wrong = filterset.form.errors.get("search")
        return Page(errors=filter_errors(filterset), search_error=str(wrong[0]) if wrong else "")
    alerts, reach = how_far.of(query.effective, filterset.qs)
    count_with_page = how_far.only_open(query.effective) and not query.effective.keys() <= how_far.COUNTED_BY_INDEX

    def page_from(cursor: str | None) -> keyset.Page[Alert]:
        return keyset.page(
            alerts,
            cursor=cursor,
            size=PAGE_SIZE,
            late=rows(Alert.objects.all()),
            total=count_with_page,
            reach=reach,
        )

    try:
        found = page_from(query.cursor or None)
    except keyset.InvalidCursor:
        return Page(errors=["This link to a page is damaged. Go back to the first page."])
    if query.cursor and found.previous is None:
        # Arrived at the top: a full first page rather than what happened to be above the last one.
        found = page_from(None)
    return Page(
        rows=as_rows(found.rows),
        older=query.page_url(found.next) if found.next else "",
        newer=query.page_url(found.previous) if found.previous else "",
        total=found.total if count_with_page or not query.narrowed else total(query, user),
        reached=found.edge.occurred_at if found.edge else None,
    )


def total(query: BoardQuery, user: User | AnonymousUser) -> int | None:
    """How many alerts match, exactly. None when ended ones may be among them, for that would mean to read them all."""
    filterset = query.filterset(Alert.objects.all(), user)
    if not how_far.only_open(query.effective) or not filterset.is_valid():
        return None
    return filterset.qs.order_by().count()


def explained_by(root: UUID) -> QuerySet[Alert]:
    """The alerts that this one explains now."""
    below = Suppression.objects.filter(quiet.explaining(), root_id=root)
    return Alert.objects.filter(pk__in=below.values("alert_id"))


def worst(alerts: QuerySet[Alert], most: int) -> list[Row]:
    """The worst of them, the newest first among equals."""
    return as_rows(rows(alerts).order_by("-severity", "-occurred_at", "-id")[:most])


def filter_errors(filterset: AlertFilterSet) -> list[str]:
    """Sentences about values the filters do not know."""
    return [
        str(error) if name == "__all__" else f"{name}: {error}"
        for name, errors in filterset.form.errors.items()
        for error in errors
    ]


def counts() -> Counts:
    """One grouped query over the open alerts; index alert_open_by_severity holds all it needs. One more over
    the reasons in force when something is quiet."""
    severity: Counter[str] = Counter()
    status: Counter[str] = Counter()
    grouped = Alert.objects.filter(condition=Condition.RAISED).order_by().values_list("severity", "status")
    for value, state, number in grouped.annotate(number=Count("*")):
        status[state] += number
        if state in DEFAULT_STATUS:
            severity[SEVERITY_WORDS[value]] += number
    return Counts(
        {level.label: severity[level.label] for level in reversed(Severity)},
        {state.value: status[state] for state in (Status.ACTIVE, Status.ACKNOWLEDGED, Status.SUPPRESSED)},
        quiet.summary().words if status[Status.SUPPRESSED] else "",
    )


def latest_sequence() -> int:
    """The last history id that is visible now. Read it before the rows it belongs to."""
    return AlertHistory.objects.order_by("-id").values_list("id", flat=True).first() or 0


def last_alert_at() -> datetime | None:
    return Alert.objects.order_by("-occurred_at", "-id").values_list("occurred_at", flat=True).first()


def matching(query: BoardQuery, user: User | AnonymousUser, ids: Iterable[UUID]) -> list[UUID]:
    """Which of these alerts a board with this query shows, newest first."""
    found = query.filterset(Alert.objects.filter(pk__in=list(ids)), user).qs
    return list(found.order_by("-occurred_at", "-id").values_list("pk", flat=True))


def detail(pk: UUID) -> Alert:
    """One alert with everything its page shows of it. Raises Alert.DoesNotExist."""
    return Alert.objects.select_related(
        "connector", "device", "acknowledged_by", "assigned_to", "resolved_by", "correlated_to"
    ).get(pk=pk)


def history(alert: Alert) -> QuerySet[AlertHistory]:
    """Newest first, with who did it."""
    return AlertHistory.objects.filter(alert=alert).select_related("user").order_by("-id")[:HISTORY_SHOWN]


def events(alert: Alert) -> QuerySet[RawEvent]:
    """The newest journalled events of an alert, without their datagrams."""
    return RawEvent.objects.filter(alert_id=alert.pk).defer("datagram").order_by("-received_at")[:EVENTS_SHOWN]
