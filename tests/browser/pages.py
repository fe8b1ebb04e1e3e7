"""Every page there is, found in the URL configuration, and a network whose mornings are on them.

A route with parameters takes them from EXAMPLES by its namespace, or by its name where they differ. So a new page of a
known kind is found by itself; one of a new kind fails the tests until an example of it is named here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from alerts.choices import Category, Severity, SuppressionKind
from alerts.models import Alert, MaintenanceWindow
from connectors.journal import Item
from connectors.models import RawEvent, ReplayRun, SeverityMapping
from dependencies.models import Device
from opsconductor import heartbeat
from opsconductor.models import ApiKey, WallLink
from tests.access import signed_in
from tests.browser import story
from tests.connectors.mibs.texts import FANS
from tests.dependencies import network
from tests.factories import AlertFactory, AlertHistoryFactory, quiet
from tests.line import LINK_DOWN, Line, interface

# For programs, or not ours: no pages of the portal.
NO_PAGES = ("api/", "^api/", "healthz/")
ADMIN_NO_PAGES = frozenset({"logout", "jsi18n", "autocomplete", "view_on_site"})
# Beside the routes: what is seen without signing in, and when something is not there.
STRANGERS = ("/accounts/login/", "/admin/login/")
ASTRAY = ("/no/such/page/", "/wall/no-such-token/")


@dataclass(frozen=True)
class Route:
    """`path`: as the URL configuration writes it; `names`: its parameters."""

    path: str
    name: str
    names: tuple[str, ...]

    @property
    def area(self) -> str:
        words = self.path.lstrip("^").split("/")
        return "/".join(words[:2]) if words[0] == "admin" and len(words) > 3 else words[0]


def routes(patterns: Any = None, prefix: str = "", space: str = "") -> Iterator[Route]:
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(entry.pattern)
        if path.startswith(NO_PAGES):
            continue
        if isinstance(entry, URLResolver):
            inner = f"{space}{entry.namespace}:" if entry.namespace else space
            yield from routes(entry.url_patterns, path, inner)
        elif isinstance(entry, URLPattern) and entry.name is not None and entry.name not in ADMIN_NO_PAGES:
            yield Route(path, f"{space}{entry.name}", tuple(entry.pattern.regex.groupindex))


def areas() -> list[str]:
    """Whose pages are looked at together: the first word of their addresses; of the admin, each app by itself."""
    return sorted({route.area for route in routes()})


def addresses(area: str, told: Told) -> list[str]:
    """Of all pages of an area that answer a GET with a page for `told.chief`; fragments, tables and actions do not."""
    browser = signed_in(told.chief)
    found = []
    for route in routes():
        if route.area != area:
            continue
        given = {name: _example(route, name, told) for name in route.names}
        if None in given.values():
            continue  # this model has no rows to look at
        path = reverse(route.name, kwargs=given)
        answer = browser.get(path)
        assert answer.status_code < 500, path
        if answer.status_code == 200 and not answer.streaming and b"<html" in answer.content[:2000]:
            found.append(path)
    return found


def _example(route: Route, name: str, told: Told) -> Any:
    space = route.name.rpartition(":")[0]
    if space == "admin" and name in ("object_id", "app_label"):
        return told.admin_object(route.name) if name == "object_id" else "alerts"
    for key in ((route.name, name), (space, name)):
        if key in EXAMPLES:
            return EXAMPLES[key](told)
    raise AssertionError(f"Name an example of “{name}” of {route.name} ({route.path}) in tests/browser/pages.py.")


@dataclass
class Told:
    """What is on the pages."""

    chief: User
    token: str

    def admin_object(self, route: str) -> Any:
        """A row of the model whose admin page this is; None when there is none."""
        for model in admin.site._registry:
            options = model._meta
            if route.split(":")[1].rpartition("_")[0] == f"{options.app_label}_{options.model_name}":
                return model._default_manager.values_list("pk", flat=True).first()
        return self.chief.pk if "user" in route else None


def _uploaded(told: Told, path: str, **fields: Any) -> str:
    answer = signed_in(told.chief).post(path, fields)
    assert answer.status_code == 302, answer.content
    return str(answer["Location"]).rstrip("/").rsplit("/", 1)[1]


def _dependencies(told: Told) -> str:
    rows = f"device_ip,depends_on_ip\n10.20.50.1,{network.DIST}\n10.20.50.9,{network.DIST}\n"
    return _uploaded(told, "/dependencies/import/", text=rows)


def _mib(told: Told) -> str:
    return _uploaded(told, "/mappings/import/", files=SimpleUploadedFile("ACME-MIB.txt", FANS.encode()))


def _first(model: str) -> Callable[[Told], Any]:
    """The key of some row of a model, by its label; None when the model or the row does not exist."""
    from django.apps import apps

    def find(told: Told) -> Any:
        return apps.get_model(model)._default_manager.order_by("pk").values_list("pk", flat=True).first()

    return find


EXAMPLES: dict[tuple[str, str], Callable[[Told], Any]] = {
    ("admin", "form"): lambda told: "json",
    ("admin", "id"): lambda told: told.chief.pk,
    ("admin", "pk"): _first("connectors.OIDMapping"),
    ("alerts:undo", "token"): lambda told: uuid4(),
    ("alerts:view", "pk"): _first("alerts.SavedView"),
    ("alerts", "pk"): lambda told: Alert.objects.get(title__startswith="Radio link down").pk,
    ("wall", "token"): lambda told: told.token,
    ("maintenance", "pk"): lambda told: MaintenanceWindow.objects.get(name__startswith="Battery exchange").pk,
    ("maintenance", "field"): lambda told: "sites",
    ("dependencies", "token"): _dependencies,
    ("mappings", "kind"): lambda told: "severity",
    ("mappings", "pk"): _first("connectors.SeverityMapping"),
    ("mappings", "token"): _mib,
    ("journal", "pk"): lambda told: RawEvent.objects.filter(outcome="failed").first().pk,
    ("journal", "action"): lambda told: "retry",
    ("journal:replay-run", "pk"): _first("connectors.ReplayRun"),
    ("journal:replay-stop", "pk"): _first("connectors.ReplayRun"),
    ("connectors", "pk"): _first("connectors.Connector"),
    ("connectors", "kind"): lambda told: "snmp_poll",
    ("connectors", "target"): _first("connectors.Target"),
    ("reports", "key"): lambda told: "types",
}


def tell(line: Line, chief: User) -> Told:
    """Something on every page; everything of it is an event, a row that `forget` removes, or of the chief."""
    _journalled(line, chief)
    network.build()
    root = network.outage(network.TOWER)
    Alert.objects.filter(pk=root.pk).update(device=Device.objects.get(ip=network.TOWER))
    for n in range(1, 6):
        below = network.symptom(network.camera(n), root)
        quiet(SuppressionKind.DEPENDENCY, below, root=root)
    AlertHistoryFactory(alert=root)
    story.tell(chief)
    _planned(chief)
    now = timezone.now()
    for n in range(3):
        AlertFactory(
            alert_type="unknown_trap", component=f"1.3.6.1.4.1.64999.{n}", category=Category.UNKNOWN,
            severity=Severity.WARNING, title=f"Unknown trap 1.3.6.1.4.1.64999.0.{n}", device_name=f"radio-{n}",
            occurrence_count=5 * n + 1, occurred_at=now - timedelta(hours=n),
            raw_data={"version": "v2c", "trap_oid": f"1.3.6.1.4.1.64999.0.{n}", "varbinds": story.VARBINDS},
        )  # fmt: skip
    for process in ("worker", "beat", "dispatcher"):
        heartbeat.beat(process)
    heartbeat.beat("trap_listener", {"bound": ["0.0.0.0:162"], "received": 1, "stored": 1}, instance="noc-1:4711")
    SeverityMapping.objects.get_or_create(source_field="severity", source_value="fatal", target_severity=5)
    ApiKey.issue(chief, name="export")
    _, token = WallLink.issue("Control room, left", created_by=chief)
    return Told(chief, token)


def _journalled(line: Line, chief: User) -> None:
    """Events in the journal, one of which could not be applied, and a replay of them."""
    items: list[Item] = [line.item(LINK_DOWN, interface(n), after=n) for n in range(3)]
    line.ingest.store(items)
    RawEvent.objects.filter(event_key=items[0].event_key).update(
        outcome="failed", reason="KeyError", alert_id=None, error="Traceback (most recent call last):\n  here\nKeyError"
    )
    ReplayRun.objects.create(
        started_by=chief, dry_run=True, state="done", finished_at=timezone.now(), selection={}, result={}
    )


def _planned(chief: User) -> None:
    now = timezone.now().replace(second=0, microsecond=0)
    for name, begins, ends, fields in (
        ("Battery exchange, substation 3", -1, 2, {"matchers": {"sites": ["South"], "categories": ["power"]}}),
        ("Silence: known cable", -1, 3, {"kind": "silence", "matchers": {"devices": ["10.40.11.4"]}}),
        ("Backup of all sites", -50, -48, {"rrule": "FREQ=DAILY", "matchers": {"tags": ["backup"]}}),
        ("Core switch exchange", -72, -68, {"matchers": {"below": ["10.0.0.2"]}}),
    ):
        MaintenanceWindow.objects.create(
            name=name, created_by=chief, time_zone="Europe/Berlin", reason="CHG-4711", starts_at=now
            + timedelta(hours=begins), ends_at=now + timedelta(hours=ends), **fields,
        )  # fmt: skip


def forget() -> None:
    """What an emptied database would keep."""
    SeverityMapping.objects.filter(source_value="fatal").delete()
