"""Maintenance windows as their pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Q
from django.utils import timezone

from alerts import repeats, windowrows
from alerts.columns import Row
from alerts.matchers import COMPILERS
from alerts.models import Alert, AlertTypeSetting, MaintenanceWindow, Suppression
from alerts.recurrence import local_time
from alerts.windowrows import BROKEN, COMING, OFF, OVER, RUNNING, State
from alerts.windows import Occurrence, check_window, occurrences, zone_named
from connectors.models import WITHOUT_SECRETS, Connector, OIDMapping
from dependencies.models import Device
from opsconductor import keyset

PAST_PAGE = 30
SUGGESTED = 50
WORDS = {RUNNING: "running", COMING: "coming", OVER: "over", OFF: "switched off", BROKEN: "not usable"}
LABELS = {
    "devices": "device",
    "below": "below",
    "sites": "site",
    "roles": "role",
    "categories": "category",
    "connectors": "connector",
    "tags": "tag",
    "alert_types": "alert type",
    "alerts": "alert",
}
EXTEND_BY = ((30, "30 min"), (60, "1 h"))


@dataclass(frozen=True)
class Time:
    """One occurrence on the wall of the window's zone. `note`: what the reader would not expect."""

    starts: str
    ends: str
    lasts: str
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """One line of the list, and the head of its page."""

    window: MaintenanceWindow
    state: State
    word: str
    about: list[tuple[str, str]]
    repeats: str
    times: Time | None
    quiet: int
    who: str
    problem: str

    @property
    def url(self) -> str:
        return f"/maintenance/{self.window.pk}/"

    @property
    def runs(self) -> bool:
        return self.state.word == RUNNING


@dataclass(frozen=True)
class Lists:
    running: list[Entry]
    coming: list[Entry]
    past: list[Entry]
    older: str | None
    newer: str | None


def lists(kind: str, cursor: str | None, now: datetime) -> Lists:
    """`kind`: empty for both. Raises keyset.InvalidCursor."""
    ahead = [(row, state) for row, state in windowrows.ahead(now) if kind in ("", row.kind)]
    past = MaintenanceWindow.objects.exclude(pk__in=[row.pk for row, _ in ahead]).select_related("created_by")
    past = past.filter(kind=kind) if kind else past
    page = keyset.page(past.order_by("-starts_at", "-id"), cursor=cursor, size=PAST_PAGE)
    rows = [*ahead, *((row, windowrows.state(row, now)) for row in page.rows)]
    quiet = kept_quiet(row for row, _ in rows)
    entries = [entry(row, state, quiet.get(row.pk, (0, 0))) for row, state in rows]
    far = datetime.max.replace(tzinfo=now.tzinfo)
    running = [e for e in entries[: len(ahead)] if e.runs]
    coming = [e for e in entries[: len(ahead)] if not e.runs]
    running.sort(key=lambda e: (e.state.current[1] if e.state.current else None) or far)
    coming.sort(key=lambda e: e.state.next_at or far)
    return Lists(running, coming, entries[len(ahead) :], page.next, page.previous)


def kept_quiet(windows: Iterable[MaintenanceWindow]) -> dict[int, tuple[int, int]]:
    """How many alerts each keeps quiet now, and how many it ever did."""
    rows = Suppression.objects.filter(window__in=[window.pk for window in windows]).values_list("window")
    counted = rows.annotate(
        now=Count("alert", filter=Q(ended_at=None), distinct=True), ever=Count("alert", distinct=True)
    )
    return {window: (now, ever) for window, now, ever in counted}


def entry(window: MaintenanceWindow, state: State, quiet: tuple[int, int] = (0, 0)) -> Entry:
    """`quiet`: alerts it keeps quiet now, and ever did; shown is what fits its state."""
    occurrence: Occurrence | None = state.current
    if occurrence is None and state.next_at is not None and (found := windowrows.compiled(window)) is not None:
        occurrence = next(iter(found.upcoming(state.next_at - timedelta(microseconds=1))), None)
    if occurrence is None:
        end = window.ends_at if not window.closed_at or window.rrule else max(window.starts_at, window.closed_at)
        occurrence = window.starts_at, end
    problem = ""
    if state.word == BROKEN:
        problem = next(iter(check_window(windowrows.row_of(window)).values()), "It cannot be used.")
    return Entry(
        window,
        state,
        WORDS[state.word],
        about(window.matchers),
        repeats.words(window.rrule) if window.rrule else "",
        time_of(occurrence, _zone(window.time_zone)),
        quiet[0] if state.word == RUNNING else quiet[1],
        window.created_by.get_username() if window.created_by_id and window.created_by else "",
        problem,
    )


def about(matchers: Any) -> list[tuple[str, str]]:
    """[("site", "Hamburg, Bremen")]; single alerts are counted."""
    if not isinstance(matchers, Mapping):
        return []
    found = []
    for name in COMPILERS:
        values = matchers.get(name)
        if not isinstance(values, list) or not values:
            continue
        texts = [str(value) for value in values]
        if name == "alerts":
            found.append(("", "one alert" if len(texts) == 1 else f"{len(texts)} alerts"))
        else:
            more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
            found.append((LABELS[name], ", ".join(texts[:5]) + more))
    return found


def time_of(occurrence: Occurrence, zone: ZoneInfo) -> Time:
    start, end = occurrence
    here = local_time(start, zone)
    starts = f"{here:%a} {here.day} {here:%b %Y} {here:%H:%M}"
    if end is None:
        return Time(starts, "its alerts clear", "")
    there = local_time(end, zone)
    ends = f"{there:%H:%M}" if there.date() == here.date() else f"{there:%a} {there.day} {there:%b} {there:%H:%M}"
    if there.year != here.year:
        ends = f"{there:%a} {there.day} {there:%b %Y} {there:%H:%M}"
    note = ""
    if abs((end - start) - (there - here)) > timedelta(seconds=1):
        note = "the clock is changed meanwhile"
    return Time(starts, ends, lasting(end - start), note)


def lasting(length: timedelta) -> str:
    """30 min, 2 h, 1 h 30 min, 3 d 4 h."""
    minutes = round(length.total_seconds() / 60)
    days, rest = divmod(minutes, 1440)
    hours, minutes = divmod(rest, 60)
    parts = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if number]
    return " ".join(parts[:2]) or "less than a minute"


def _zone(name: str) -> ZoneInfo:
    try:
        return zone_named(name)
    except ValueError:
        return ZoneInfo("UTC")


@dataclass(frozen=True)
class PreviewView:
    """`sentence`: how many of how many, said out loud."""

    preview: windowrows.Preview
    rows: list[Row]
    times: list[Time]
    zone: str
    errors: list[str]

    @classmethod
    def of(cls, data: Mapping[str, Any], now: datetime, errors: Iterable[str] = ()) -> PreviewView:
        found = list(dict.fromkeys(errors))
        preview = windowrows.preview(data, now) if data and not found else windowrows.Preview()
        found += preview.errors.values()
        zone = data.get("time_zone") or "UTC"
        times = [time_of(occurrence, _zone(zone)) for occurrence in preview.occurrences]
        return cls(preview, [Row.of(alert, now) for alert in preview.alerts], times, zone, found)

    @property
    def over(self) -> bool:
        return not self.errors and not self.times

    @property
    def more_alerts(self) -> int:
        return self.preview.alerts_count - len(self.rows)

    @property
    def more_devices(self) -> int:
        return (self.preview.devices_count or 0) - len(self.preview.devices)


def next_times(window: MaintenanceWindow, now: datetime, number: int = windowrows.OCCURRENCES) -> list[Time]:
    found = windowrows.compiled(window) if window.enabled else None
    return [time_of(one, _zone(window.time_zone)) for one in occurrences(found, now, number)] if found else []


def quiet_alerts(window: MaintenanceWindow) -> list[Row]:
    """Open alerts it keeps quiet now, the worst first."""
    ids = Suppression.objects.filter(window=window, ended_at=None).values("alert")
    rows = (
        Alert.objects.filter(pk__in=ids)
        .select_related("device", "connector", "acknowledged_by")
        .defer(*WITHOUT_SECRETS)
    )
    now = timezone.now()
    return [Row.of(alert, now) for alert in rows.order_by("-severity", "-occurred_at")[: windowrows.SHOWN]]


def suggestions(field: str, typed: str) -> list[tuple[str, str]]:
    """Value and label of what may be chosen for a matcher; `typed` narrows it. Unknown fields suggest nothing."""
    word = _last_word(typed)
    if field in ("devices", "below"):
        devices = Device.objects.order_by("name", "ip")
        if word:
            devices = devices.filter(Q(name__icontains=word) | Q(ip__icontains=word) | Q(site__icontains=word))
        found = devices.values_list("ip", "name", "site")[:SUGGESTED]
        return [(ip, " · ".join(t for t in (name, site) if t)) for ip, name, site in found]
    if field in ("sites", "roles"):
        return _distinct(Device.objects.exclude(**{field[:-1]: ""}), field[:-1], word)
    if field == "connectors":
        rows = Connector.objects.filter(Q(slug__icontains=word) | Q(name__icontains=word)).order_by("name")
        return [(slug, name) for slug, name in rows.values_list("slug", "name")[:SUGGESTED]]
    if field == "alert_types":
        known = {value for value, _ in _distinct(OIDMapping.objects.all(), "alert_type", word)}
        known |= {value for value, _ in _distinct(AlertTypeSetting.objects.all(), "alert_type", word)}
        return [(value, "") for value in sorted(known)[:SUGGESTED]]
    if field == "tags":
        lists_of = Alert.objects.open().exclude(tags=[]).order_by("-occurred_at").values_list("tags", flat=True)[:2_000]
        tags = sorted({tag for tags in lists_of for tag in tags if word.lower() in tag.lower()})
        return [(tag, "") for tag in tags[:SUGGESTED]]
    return []


def _last_word(typed: str) -> str:
    """What is being typed: after the last comma."""
    return typed.replace("\0", "").rpartition(",")[2].strip()[:100]


def _distinct(rows: Any, column: str, word: str) -> list[tuple[str, str]]:
    found = rows.filter(**{f"{column}__icontains": word}).order_by(column).values_list(column, flat=True).distinct()
    return [(value, "") for value in found[:SUGGESTED]]
