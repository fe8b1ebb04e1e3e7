"""The board in groups: by device, site, root cause or alert type, the worst first. One grouped query for the headings,
a constant number for the alerts of all groups that are open, however many alerts there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import (
    Case,
    CharField,
    Count,
    F,
    Func,
    Max,
    Min,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import Cast, Coalesce, NullIf, RowNumber
from django.utils import timezone

from alerts import quiet
from alerts.choices import QUIET_BIT, SEVERITY_WORDS, SuppressionKind
from alerts.columns import Row, age, exact
from alerts.filters import ids_in
from alerts.models import Alert, Suppression
from alerts.queries import BoardQuery, as_rows, filter_errors, rows

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

MOST_GROUPS = 100  # on one page
FIRST_ROWS = 25  # of a group that is opened
MOST_ROWS = 200  # of one group, as many as a board shows
NAMELESS = {
    "device": "Unknown device",
    "site": "No site",
    "root": "Neither explained nor explaining",
    "type": "No type",
}


@dataclass
class Moment:
    iso: str
    exact: str
    age: str


@dataclass
class Group:
    """A heading, and its alerts when it is open. `more`: those of them that are not shown."""

    key: str
    label: str
    number: int
    severity: str
    oldest: Moment
    newest: Moment
    url: str  # the board with this group opened, or closed when it is open
    opened: bool
    rows: list[Row] = field(default_factory=list)
    more: int = 0
    more_url: str = ""


@dataclass
class Grouped:
    groups: list[Group] = field(default_factory=list)
    beyond: bool = False  # there are more groups than are shown
    errors: list[str] = field(default_factory=list)


def grouped(query: BoardQuery, user: User | AnonymousUser, *, wanted_rows: str = "") -> Grouped:
    """`wanted_rows`: of each open group, as the address says it."""
    filterset = query.filterset(Alert.objects.all(), user)
    if not filterset.is_valid():
        return Grouped(errors=filter_errors(filterset))
    alerts: QuerySet[Alert] = filterset.qs
    now = timezone.now()
    limit = _limit(wanted_rows)
    summed: Any = (
        alerts.order_by()
        .annotate(group_key=_key(query.grouping))
        .values("group_key")
        .annotate(
            number=Count("*"),
            worst=Max("severity"),
            oldest=Min("occurred_at"),
            newest=Max("occurred_at"),
            name=Max(Coalesce(NullIf("device__name", Value("")), "device_name")),
        )
        .order_by("-worst", "-number", "group_key")[: MOST_GROUPS + 1]
    )
    headings: list[dict[str, Any]] = list(summed)
    names = _names(query.grouping, headings)
    opened = [heading["group_key"] for heading in headings[:MOST_GROUPS] if heading["group_key"] in query.opened]
    shown = _rows(alerts, query.grouping, opened, limit, now) if opened else {}
    groups = []
    for heading in headings[:MOST_GROUPS]:
        key, number = heading["group_key"], heading["number"]
        lines = shown.get(key, [])
        is_open = key in opened
        others = [one for one in query.opened if one != key]
        groups.append(
            Group(
                key=key,
                label=names.get(key) or key or NAMELESS[query.grouping],
                number=number,
                severity=SEVERITY_WORDS[heading["worst"]],
                oldest=_moment(heading["oldest"], now),
                newest=_moment(heading["newest"], now),
                url=address(query, others if is_open else [*others, key], limit),
                opened=is_open,
                rows=lines,
                more=number - len(lines) if is_open else 0,
                more_url=address(query, query.opened, min(MOST_ROWS, limit + 50)) if limit < MOST_ROWS else "",
            )
        )
    return Grouped(groups, beyond=len(headings) > MOST_GROUPS)


def address(query: BoardQuery, opened: Iterable[str], limit: int = FIRST_ROWS) -> str:
    """The grouped board with these groups open."""
    more = [("open", key) for key in opened] + ([("rows", str(limit))] if limit != FIRST_ROWS else [])
    url = query.url()
    return f"{url}{'&' if '?' in url else '?'}{urlencode(more)}" if more else url


def _limit(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else FIRST_ROWS
    return max(1, min(MOST_ROWS, number))


def _key(grouping: str) -> Any:
    """What alerts of one group have in common, as text; empty where there is nothing."""
    match grouping:
        case "device":
            ip = Func(F("device_ip"), function="host", output_field=CharField())
            return Coalesce(ip, F("device_name"), output_field=CharField())
        case "site":
            return Coalesce(F("device__site"), Value(""), output_field=CharField())
        case "type":
            return F("alert_type")
    # What explains it now; a root stands with what it explains. Only alerts with the bit look for their root.
    explaining = Suppression.objects.filter(quiet.explaining())
    root = explaining.filter(alert_id=OuterRef("pk")).order_by("id").values("root_id")[:1]
    bit = QUIET_BIT[SuppressionKind.DEPENDENCY]
    bits = [value for value in range(1 << len(QUIET_BIT)) if value & bit]
    return Coalesce(
        Case(
            When(quiet__in=bits, then=Cast(Subquery(root), CharField())),
            When(pk__in=explaining.values("root_id"), then=Cast("pk", CharField())),
        ),
        Value(""),
        output_field=CharField(),
    )


def _names(grouping: str, headings: list[dict[str, Any]]) -> dict[str, str]:
    """What people call a group, where that is not its key."""
    if grouping == "device":
        return {
            heading["group_key"]: f"{heading['name']} · {heading['group_key']}"
            for heading in headings
            if heading["name"] and heading["name"] != heading["group_key"]
        }
    if grouping == "root":
        roots = ids_in(",".join(heading["group_key"] for heading in headings))
        found = Alert.objects.filter(pk__in=roots).select_related("device") if roots else ()
        return {str(row.pk): f"{_device(row)}: {row.title or row.alert_type}" for row in found}
    return {}


def _device(alert: Alert) -> str:
    name = alert.device.name if alert.device_id and alert.device else ""
    return name or alert.device_name or alert.device_ip or "unknown device"


def _rows(alerts: QuerySet[Alert], grouping: str, opened: list[str], limit: int, now: datetime) -> dict[str, list[Row]]:
    """The first alerts of each open group in the board's order."""
    order = tuple(str(name) for name in alerts.query.order_by)
    numbered = (
        alerts.order_by()
        .annotate(group_key=_key(grouping))
        .filter(group_key__in=opened)
        .annotate(place=Window(RowNumber(), partition_by=[F("group_key")], order_by=list(order)))
        .filter(place__lte=limit)
    )
    keys: dict[UUID, str] = dict(numbered.values_list("pk", "group_key"))
    lines = as_rows(rows(Alert.objects.filter(pk__in=list(keys))).order_by(*order), now)
    found: dict[str, list[Row]] = {}
    for line in lines:
        found.setdefault(keys[UUID(line.id)], []).append(line)
    return found


def _moment(at: datetime, now: datetime) -> Moment:
    return Moment(at.isoformat(), exact(at), age(now - at))
