"""What every page shows around its content: where one can go from here."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse


@dataclass(frozen=True)
class Link:
    label: str
    url: str
    current: bool


# label, route, permission that makes it useful; staff pages need staff besides.
PLACES = (
    ("Alerts", "alerts:board", "alerts.view_alert"),
    ("Wall", "wall:wall", "alerts.view_alert"),
    ("Dependencies", "dependencies:overview", "dependencies.view_dependency"),
    ("Maintenance", "maintenance:overview", "alerts.view_maintenancewindow"),
    ("Reports", "reports:overview", "alerts.view_alert"),
    ("Connectors", "connectors:overview", "connectors.view_connector"),
    ("Mappings", "mappings:overview", "connectors.view_oidmapping"),
    ("Unmapped", "mappings:unmapped", "connectors.view_oidmapping"),
    ("Traps", "traps:why", "connectors.view_rawevent"),
    ("System", "system:overview", "alerts.view_alert"),
    ("Administration", "admin:index", ""),
)


def navigation(request: HttpRequest) -> list[Link]:
    """The places this user may go; the one the request is at is marked."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return []
    found: list[tuple[str, str]] = []
    for label, route, permission in PLACES:
        if route.startswith("admin:") and not user.is_staff:
            continue
        if permission and not user.has_perm(permission):
            continue
        try:
            found.append((label, reverse(route)))
        except NoReverseMatch:
            continue
    # The longest address that leads here: the admin's index is the beginning of all its pages.
    here = max((url for _, url in found if request.path.startswith(url)), key=len, default="")
    return [Link(label, url, url == here) for label, url in found]
