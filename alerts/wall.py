"""The numbers of a wall: what is wrong where, what explains most, what waits longest, how much is new each hour.

Read by the same filters as the board, in a number of queries that depends neither on alerts nor on walls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, F, QuerySet, Value
from django.db.models.functions import Coalesce, TruncHour
from django.http import QueryDict
from django.utils import timezone

from alerts import queries, quiet
from alerts.choices import OPEN_STATUSES, SEVERITY_WORDS, Severity, Status
from alerts.columns import Row
from alerts.filters import AlertFilterSet
from alerts.models import Alert, Suppression
from opsconductor.health import PROCESSES
from opsconductor.models import Heartbeat

SITE, CATEGORY = "site", "category"
# Of the board's filters those that say which part of the network; what is shown of it is the wall's own business.
FILTERS = (
    "severity",
    "category",
    "priority",
    "source_system",
    "connector",
    "device_ip",
    "device_name",
    "site",
    "tag",
    "search",
)
HOURS = 12
GROUPS = 40  # more than any screen holds; the page shows those that fit
ROWS = 24
SEVERITIES = tuple(s for s in sorted(Severity, reverse=True) if s != Severity.CLEAR)
NO_SITE = "without a site"


@dataclass(frozen=True)
class WallQuery:
    """Which numbers: hashable, so that walls which show the same are read once."""

    by: str = SITE
    given: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, asked: QueryDict, limit: str = "") -> WallQuery:
        """From the address of a page or a socket; `limit` is that of its link and goes before what the address says."""
        given = {**_filters(asked), **_filters(QueryDict(limit.lstrip("?")))}
        by = CATEGORY if asked.get("by") == CATEGORY else SITE
        return cls(by, tuple(sorted(given.items())))

    @property
    def words(self) -> str:
        """North, critical and major"""
        return ", ".join(value.replace(",", " and ") for _, value in self.given)


def _filters(data: QueryDict) -> dict[str, str]:
    found = {}
    for name in FILTERS:
        values = [value.strip() for value in data.getlist(name) if value.strip() and "\0" not in value]
        if values:
            found[name] = values[-1] if name in queries.SINGLE else ",".join(values)
    return found


def wrong(limit: str) -> list[str]:
    """Sentences about a link's filter; none when it can be used."""
    data = QueryDict(limit.strip().lstrip("?"))
    unknown = [name for name in data if name not in FILTERS]
    if unknown:
        return [f"“{unknown[0]}” does not limit a wall. Known: {', '.join(FILTERS)}."]
    return queries.filter_errors(_filterset(_filters(data)))


@dataclass(frozen=True)
class Group:
    """One site or category: how many of each severity, worst first as SEVERITIES."""

    name: str
    numbers: tuple[tuple[str, int], ...]

    @property
    def worst(self) -> str:
        return next((word for word, number in self.numbers if number), "")


@dataclass(frozen=True)
class Hour:
    """New problems of one clock hour; `height` and `y` in percent of the plot."""

    start: datetime
    number: int
    x: int
    height: float
    y: float


@dataclass
class Numbers:
    """All a wall shows; `as_of` is when it was read."""

    query: WallQuery
    as_of: datetime
    groups: list[Group] = field(default_factory=list)
    more_groups: int = 0
    totals: list[tuple[str, int]] = field(default_factory=list)
    shown: int = 0
    quiet: int = 0
    unacknowledged: int = 0
    waiting: list[Row] = field(default_factory=list)
    roots: list[Row] = field(default_factory=list)
    roots_number: int = 0
    newest: Row | None = None
    hours: list[Hour] = field(default_factory=list)
    most_an_hour: int = 0
    silent: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def read(query: WallQuery, now: datetime | None = None) -> Numbers:
    """Raises OperationalError when PostgreSQL is away. A filter that makes no sense gives errors and no numbers."""
    now = now or timezone.now()
    result = Numbers(query, now)
    filterset = _filterset(dict(query.given))
    if not filterset.is_valid():
        result.errors = queries.filter_errors(filterset)
        return result
    everything = filterset.qs.order_by()
    raised = everything.filter(condition="raised")
    _matrix(result, raised)
    shown = raised.filter(status__in=queries.DEFAULT_STATUS)
    _roots(result, shown)
    _rows(result, shown)
    _hours(result, everything)
    result.silent = _silent(now)
    return result


def _filterset(given: Mapping[str, str]) -> AlertFilterSet:
    data = QueryDict(mutable=True)
    data.update(dict(given))
    return AlertFilterSet(data=data, queryset=Alert.objects.all(), request=SimpleNamespace(user=AnonymousUser()))


def _matrix(result: Numbers, raised: QuerySet[Alert]) -> None:
    """One grouped query; totals are sums of its rows, so they agree with what is shown."""
    name: Any = F("category") if result.query.by == CATEGORY else Coalesce("device__site", Value(""))
    grouped: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    status: dict[str, int] = defaultdict(int)
    rows = raised.annotate(of=name).values_list("of", "severity", "status").annotate(number=Count("*"))
    for of, severity, state, number in rows:
        status[state] += number
        if state != Status.SUPPRESSED and state in OPEN_STATUSES:
            grouped[of][severity] += number
    groups = [
        Group(of or NO_SITE, tuple((SEVERITY_WORDS[s], numbers[s]) for s in SEVERITIES))
        for of, numbers in grouped.items()
    ]
    groups.sort(key=lambda group: ([-number for _, number in group.numbers], group.name.casefold()))
    result.groups, result.more_groups = groups[:GROUPS], max(0, len(groups) - GROUPS)
    result.totals = [(SEVERITY_WORDS[s], sum(numbers[s] for numbers in grouped.values())) for s in SEVERITIES]
    result.shown = sum(number for _, number in result.totals)
    result.quiet = status[Status.SUPPRESSED]
    result.unacknowledged = status[Status.ACTIVE]


def _roots(result: Numbers, shown: QuerySet[Alert]) -> None:
    """Those that explain others now, the worst first, among equals the one that explains most."""
    below = Suppression.objects.filter(quiet.explaining(), root__in=shown)
    found = below.order_by().values("root_id").annotate(number=Count("*"))
    result.roots_number = found.count()
    if not result.roots_number:
        return
    worst = found.order_by("-root__severity", "-number", "root_id").values_list("root_id", "number")[:ROWS]
    numbers = dict(worst)
    alerts = {alert.pk: alert for alert in queries.rows(Alert.objects.filter(pk__in=numbers))}
    result.roots = [
        Row.of(alerts[pk], result.as_of, quiet.Notes(explains=number)) for pk, number in numbers.items() if pk in alerts
    ]


def _rows(result: Numbers, shown: QuerySet[Alert]) -> None:
    """What nobody has acknowledged: the worst first, the longest among equals. And the newest critical."""
    waiting = shown.filter(status=Status.ACTIVE).order_by("-severity", "occurred_at", "id")
    result.waiting = [Row.of(alert, result.as_of) for alert in queries.rows(waiting)[:ROWS]]
    if dict(result.totals)["critical"]:
        newest = shown.filter(severity=Severity.CRITICAL).order_by("-occurred_at", "-id")
        result.newest = next((Row.of(alert, result.as_of) for alert in queries.rows(newest)[:1]), None)


def _hours(result: Numbers, everything: QuerySet[Alert]) -> None:
    """Problems that began in each of the last hours, the quiet ones too; one grouped query over index alert_newest."""
    last = result.as_of.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first = last - timedelta(hours=HOURS - 1)
    began = everything.filter(occurred_at__gte=first, occurred_at__lt=last + timedelta(hours=1))
    rows = began.annotate(hour=TruncHour("occurred_at", tzinfo=UTC)).values_list("hour").annotate(number=Count("*"))
    numbers: dict[datetime, int] = dict(rows)
    most = max(numbers.values(), default=0)
    for x in range(HOURS):
        start = first + timedelta(hours=x)
        number = numbers.get(start, 0)
        height = max(3.0, round(100 * number / most, 1)) if number else 0.0
        result.hours.append(Hour(start, number, x, height, round(100 - height, 1)))
    result.most_an_hour = most


def _silent(now: datetime) -> list[str]:
    """Processes without which nothing new would be shown, that do not answer: a calm wall must mean a calm network."""
    seen: dict[str, datetime] = {}
    for process, at in Heartbeat.objects.filter(process__in=PROCESSES).values_list("process", "seen_at"):
        seen[process] = max(at, seen.get(process, at))
    return [
        name
        for process, (name, limit) in PROCESSES.items()
        if process in ("trap_listener", "dispatcher")
        and process in seen
        and (now - seen[process]).total_seconds() > limit * 2
    ]
