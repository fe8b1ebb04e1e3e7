"""Every route and method, by every role and without signing in: what tests/access_rules.py says, and nothing else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admindocs.views import simplify_regex
from django.db import transaction
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from alerts.models import MaintenanceWindow, SavedView
from alerts.reports.tables import MAKERS
from connectors.models import Connector, OIDMapping, RawEvent, ReplayRun, SeverityMapping, Target
from dependencies.models import Dependency
from opsconductor.models import WallLink
from tests.access import ROLES, person, signed_in
from tests.access_rules import ANYBODY, ASGI, RULES
from tests.factories import AlertFactory, DeviceFactory

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PEOPLE = (ANYBODY, *ROLES)
ADMINISTRATION, ANYTHING_ELSE = "/admin/", "/api/"
LOGIN = "/accounts/login/"


def _patterns(patterns: Any, before: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _patterns(pattern.url_patterns, route)
        else:
            yield re.sub(r"<\w+:", "<", simplify_regex(route))


def routes() -> list[str]:
    """All of Django's, but for its administration, which is looked at as a whole."""
    found = dict.fromkeys(_patterns(get_resolver().url_patterns))
    return [route for route in found if not route.startswith(ADMINISTRATION) and route != ANYTHING_ELSE]


# --- there is a rule for everything ---


def test_every_route_has_its_line(world):
    missing = [route for route in routes() if route not in RULES]

    assert not missing, "\n".join(
        [
            f"{len(missing)} routes have no rule. Say in tests/access_rules.py who may call them. As they behave now:",
            *(f'    "{route}": {observed(world, route)},' for route in missing),
        ]
    )


def test_every_line_has_its_route():
    gone = sorted(set(RULES) - set(routes()))

    assert not gone, f"No route is called {', '.join(gone)} any more: take them out of tests/access_rules.py."


def test_routes_beside_django_are_known():
    from opsconductor.asgi import HTTP, SOCKETS

    beside = {str(route.pattern) for route in (*HTTP, *SOCKETS)} - {""}

    assert beside == set(ASGI), "Name the ASGI route in tests/access_rules.py, with the tests that say who may."
    assert all((ROOT / tests).is_file() for tests in ASGI.values())


# --- and it is kept ---


class World:
    """One of everything, so that an address leads somewhere, and somebody of each role."""

    def __init__(self) -> None:
        now = timezone.now()
        alert, device = AlertFactory(), DeviceFactory()
        window = MaintenanceWindow.objects.create(
            name="Upgrade", starts_at=now, ends_at=now + timedelta(hours=1), matchers={"sites": ["north"]}
        )
        event = RawEvent.objects.create(
            received_at=now, event_key=uuid.uuid4(), source="10.1.1.1", kind="event", outcome="failed", data={}
        )
        severity = SeverityMapping.objects.first()
        assert severity is not None
        connector = Connector.objects.get(slug="snmp_poll")
        Connector.objects.filter(pk=connector.pk).update(enabled=True)
        target = Target.objects.create(connector=connector, ip="127.0.0.1")
        view = SavedView.objects.create(name="Everybody's", query="severity=critical", shared=True)
        self.values: list[tuple[str, dict[str, Any]]] = [  # by the beginning of the route
            ("/alerts/views/", {"pk": view.pk}),
            ("/alerts/undo/", {"token": uuid.UUID(int=7)}),
            ("/alerts/", {"pk": alert.pk}),
            ("/connectors/", {"pk": connector.pk, "target": target.pk, "kind": "snmp_poll"}),
            ("/maintenance/", {"pk": window.pk, "field": "site"}),
            ("/mappings/", {"pk": severity.pk, "kind": "severity", "token": "none"}),
            ("/dependencies/", {"token": "none"}),
            ("/reports/", {"key": next(iter(MAKERS))}),
            ("/wall/", {"token": WallLink.issue("Control room")[1]}),
            ("/system/replay/", {"pk": ReplayRun.objects.create(dry_run=True, state="done").pk}),
            ("/system/dead-letters/", {"pk": event.pk, "action": "discard"}),
            ("/api/v1/alerts/", {"pk": alert.pk}),
            ("/api/v1/connectors/", {"pk": connector.pk}),
            ("/api/v1/devices/", {"pk": device.pk}),
            (
                "/api/v1/dependencies/",
                {"pk": Dependency.objects.create(device_ip=device.ip, depends_on_ip="10.99.0.1").pk},
            ),
            ("/api/v1/maintenance-windows/", {"pk": window.pk}),
            ("/api/v1/mappings/", {"pk": f"severity-{severity.pk}"}),
            ("/api/v1/oid-mappings/", {"pk": OIDMapping.objects.values_list("pk", flat=True)[0]}),
            ("/api/v1/raw-events/", {"pk": event.pk}),
            ("/api/v1/targets/", {"pk": target.pk}),
            ("/api/v1/saved-views/", {"pk": view.pk}),
        ]
        self.clients = {ANYBODY: Client(raise_request_exception=False)}
        for role in ROLES:
            self.clients[role] = signed_in(person(role))
            self.clients[role].raise_request_exception = False

    def path(self, route: str) -> str:
        """The address of one of its things; a route of something new is tried with an id nobody has."""
        known = next((values for beginning, values in self.values if route.startswith(beginning)), {})
        return re.sub(r"<(\w+)>", lambda m: str(known.get(m[1], uuid.UUID(int=7) if m[1] == "pk" else "x")), route)

    def call(self, who: str, method: str, route: str) -> Any:
        """The answer; whatever it did is undone."""
        with transaction.atomic():
            cookies = dict(self.clients[who].cookies)
            path, given = self.path(route), {"action": "discard"} if "dead-letters" in route else {}
            if route.startswith("/api/"):
                answer = self.clients[who].generic(method, path, "{}", content_type="application/json")
            else:
                call = getattr(self.clients[who], method.lower())
                answer = call(path, given) if method == "POST" else call(path)
            transaction.set_rollback(True)
            self.clients[who].cookies.clear()
            for name, morsel in cookies.items():
                self.clients[who].cookies[name] = morsel.value
        return answer


@pytest.fixture
def world(db):
    return World()


def verdict(answer: Any) -> str:
    """What the answer says about whether one may: sign in, forbidden, no such method, allowed, or broken."""
    if answer.status_code == 401 or (answer.status_code == 302 and answer["Location"].startswith(LOGIN + "?next=")):
        return "sign in"
    if answer.status_code >= 500 and answer.status_code != 503:
        return f"broken ({answer.status_code})"
    return {403: "forbidden", 405: "no such method"}.get(answer.status_code, "allowed")


def expected(who: str, method: str, route: str) -> set[str]:
    rule = RULES[route]
    named = rule.get("GET" if method == "HEAD" and "HEAD" not in rule else method)
    if named is None:
        # The order in which a page looks at method and person is its own affair, where the person may nothing there.
        others = set().union(*rule.values())
        return {"no such method"} if who in others else {"no such method", "forbidden", "sign in"}
    if who in named:
        return {"allowed"}
    return {"sign in"} if who == ANYBODY else {"forbidden"}


def observed(world: World, route: str) -> str:
    """A line for the rules, from what happens today; to be read before it is believed."""
    found = {}
    for method in METHODS:
        may = [who for who in PEOPLE if verdict(world.call(who, method, route)) == "allowed"]
        if may and method != "HEAD":
            found[method] = may
    return str(found)


@pytest.mark.parametrize("route", sorted(RULES))
def test_a_route_lets_in_whom_its_line_names(world, route):
    wrong = []
    for method in METHODS:
        for who in PEOPLE:
            answer = world.call(who, method, route)
            wanted, found = expected(who, method, route), verdict(answer)
            if found not in wanted:
                wrong.append(f"{method} by {who}: {found} ({answer.status_code}), not {' or '.join(sorted(wanted))}")

    assert not wrong, f"{route} does not do what tests/access_rules.py says:\n" + "\n".join(wrong)


@pytest.mark.parametrize("who", PEOPLE)
def test_the_administration_is_for_staff(world, who):
    for path in ("/admin/", "/admin/connectors/connector/", "/admin/auth/user/add/"):
        answer = world.clients[who].get(path)
        if who == "admin":
            assert answer.status_code == 200
        else:
            assert answer.status_code == 302
            assert answer["Location"].startswith("/admin/login/")


def test_a_new_route_without_a_line_fails_with_the_line_to_add(world, monkeypatch):
    monkeypatch.delitem(RULES, "/api/v1/alerts/stats/")

    with pytest.raises(AssertionError) as failed:
        test_every_route_has_its_line(world)

    assert "\"/api/v1/alerts/stats/\": {'GET': ['viewer', 'operator', 'admin', 'service']}," in str(failed.value)
