"""Maintenance windows as rows: read and compiled, with what they are about now. Queries, no writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q

from alerts.choices import Condition
from alerts.matchers import compile_matchers
from alerts.models import Alert, MaintenanceWindow
from alerts.windows import Occurrence, Window, check_window, compile_window, occurrences
from connectors.models import WITHOUT_SECRETS
from dependencies.graph import Edge, Graph
from dependencies.models import Dependency, Device

COLUMNS = (
    "id", "kind", "name", "matchers", "starts_at", "ends_at", "rrule", "time_zone", "enabled", "closed_at",
)  # fmt: skip
CHECKED = ("kind", "name", "matchers", "starts_at", "ends_at", "rrule", "time_zone")
OF_DEVICES = ("devices", "below", "sites", "roles")
SHOWN, OCCURRENCES = 20, 5

RUNNING, COMING, OVER, OFF, BROKEN = "running", "coming", "over", "off", "broken"


class AlertSubject(NamedTuple):
    """An open alert, as matchers.Subject."""

    alert_id: UUID
    device_ip: str | None
    alert_type: str
    category: str
    connector_slug: str
    tags: Sequence[str]


def row_of(window: MaintenanceWindow) -> dict[str, Any]:
    return {name: getattr(window, name) for name in COLUMNS}


def compiled(window: MaintenanceWindow) -> Window | None:
    """For questions of time only; None for a row that cannot be used."""
    try:
        return compile_window(row_of(window), Graph(), {})
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


class State(NamedTuple):
    """`current`: the occurrence in force; `next_at`: when the next one begins."""

    word: str
    current: Occurrence | None = None
    next_at: datetime | None = None


def state(window: MaintenanceWindow, now: datetime) -> State:
    if not window.enabled:
        return State(OFF)
    found = compiled(window)
    if found is None:
        return State(BROKEN)
    following = next(iter(found.upcoming(now)), None)
    next_at = following[0] if following else None
    if (current := found.occurrence(now)) is not None:
        return State(RUNNING, current, next_at)
    return State(COMING, None, next_at) if next_at else State(OVER)


def may_be_ahead(now: datetime) -> Q:
    """Rows that run or may run again; few, however many there were."""
    ends_later = Q(ends_at__gt=now) | Q(ends_at=None)
    return Q(enabled=True) & (~Q(rrule="") | (ends_later & (Q(closed_at=None) | Q(closed_at__gt=now))))


def ahead(now: datetime) -> list[tuple[MaintenanceWindow, State]]:
    """Running and coming windows."""
    rows = MaintenanceWindow.objects.filter(may_be_ahead(now)).select_related("created_by")
    return [(row, found) for row in rows if (found := state(row, now)).word in (RUNNING, COMING)]


@dataclass(frozen=True)
class Preview:
    """What a window would do. With errors everything else is empty."""

    errors: Mapping[str, str] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    alerts_count: int = 0
    open_count: int = 0
    devices: list[Device] = field(default_factory=list)
    devices_count: int | None = None  # None: not narrowed by device
    occurrences: list[Occurrence] = field(default_factory=list)
    everything: bool = False


def preview(data: Mapping[str, Any], now: datetime) -> Preview:
    """`data`: the checked columns by name. What it hits now, and when it runs next, the current time included."""
    errors = check_window(data)
    if errors:
        return Preview(errors)
    window = compile_window({"id": 0, "closed_at": None, **data}, Graph(), {})
    alerts, number, total = hits(data["matchers"])
    devices, devices_count = devices_of(data["matchers"])
    return Preview(
        {},
        alerts,
        number,
        total,
        devices,
        devices_count,
        occurrences(window, now, OCCURRENCES),
        not data["matchers"],
    )


def hits(matchers: Mapping[str, Any]) -> tuple[list[Alert], int, int]:
    """The worst open alerts it is about, how many there are, and how many alerts are open."""
    tests = compile_matchers(matchers, *surroundings(matchers))
    queryset = Alert.objects.filter(condition=Condition.RAISED)
    total = queryset.count()
    if "alerts" in matchers:
        queryset = queryset.filter(pk__in=matchers["alerts"])
    if "categories" in matchers:
        queryset = queryset.filter(category__in=matchers["categories"])
    columns = ("id", "device_ip", "alert_type", "category", "connector__slug", "tags")
    number, first = 0, []
    rows = queryset.order_by("-severity", "-occurred_at", "-id").values_list(*columns)
    for key, ip, alert_type, category, slug, tags in rows.iterator(chunk_size=5_000):
        subject = AlertSubject(key, ip, alert_type, category, slug or "", tags)
        if all(test(subject) for test in tests):
            number += 1
            if number <= SHOWN:
                first.append(key)
    found = (
        Alert.objects.select_related("device", "connector", "acknowledged_by").defer(*WITHOUT_SECRETS).in_bulk(first)
    )
    return [found[key] for key in first if key in found], number, total


def devices_of(matchers: Mapping[str, Any]) -> tuple[list[Device], int | None]:
    """The devices of the inventory it is about, by what it says of devices; None when it says nothing of them."""
    of_devices = {name: values for name, values in matchers.items() if name in OF_DEVICES}
    if not of_devices:
        return [], None
    tests = compile_matchers(of_devices, *surroundings(of_devices))
    found = [
        key
        for key, ip in Device.objects.order_by("name", "ip").values_list("pk", "ip").iterator(chunk_size=5_000)
        if all(test(AlertSubject(UUID(int=0), ip, "", "", "", ())) for test in tests)
    ]
    rows = Device.objects.in_bulk(found[:SHOWN])
    return [rows[key] for key in found[:SHOWN] if key in rows], len(found)


def surroundings(matchers: Mapping[str, Any]) -> tuple[Graph, dict[str, tuple[str, str]]]:
    """Graph and places, read only where the matchers ask for them."""
    graph, places = Graph(), {}
    if "below" in matchers:
        graph = Graph(_edges())
    if "sites" in matchers or "roles" in matchers:
        places = {ip: (site, role) for ip, site, role in Device.objects.values_list("ip", "site", "role").iterator()}
    return graph, places


def _edges() -> Iterable[Edge]:
    columns = ("device_ip", "depends_on_ip", "dependency_type", "redundancy_group", "depends_on_component")
    return (Edge(*row) for row in Dependency.objects.values_list(*columns).iterator(chunk_size=5_000))
