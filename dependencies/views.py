"""`/dependencies/`: devices and what is out of place. `/dependencies/map/`: who stands on whom, live."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from alerts.choices import Condition
from alerts.models import Alert
from dependencies import drawing, inventory, mapview, states
from dependencies.addresses import canonical_ip
from opsconductor import keyset
from opsconductor.portal import is_htmx, portal_page

PAGE = "/dependencies/"
VIEW = "dependencies.view_dependency"
VIEWS = (
    ("", "Devices", "devices"),
    ("alone", "Without dependencies", "alone"),
    ("unlisted", "Not in the inventory", "unlisted"),
)


def _text(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\x00", "").strip()[:200]


def _address(request: HttpRequest, name: str) -> str:
    try:
        return canonical_ip(_text(request, name))
    except ValueError:
        return ""


def _fresh(answer: HttpResponse) -> HttpResponse:
    patch_cache_control(answer, no_store=True, private=True)
    return answer


@require_safe
@portal_page(VIEW)
def overview(request: HttpRequest) -> HttpResponseBase:
    """Takes show (alone, unlisted), q, site, role, parent (an address), cursor."""
    show = _text(request, "show")
    given = {name: _text(request, name) for name in ("q", "site", "role")}
    given["parent"] = _address(request, "parent")
    cursor, error = _text(request, "cursor"), ""
    newer = older = ""
    if show == "unlisted":
        addresses, after = inventory.unlisted(given["q"], given["parent"], _address(request, "cursor"))
        older = after
    else:
        show = "alone" if show == "alone" else ""
        found = inventory.devices(given["q"], given["site"], given["role"], given["parent"])
        found = inventory.alone(found) if show else found
        try:
            page = inventory.page(found, cursor)
        except keyset.InvalidCursor:
            error = "This link to a page is damaged. This is the first page."
            page = inventory.page(found, "")
        addresses = [device.ip for device in page.rows]
        newer, older = page.previous or "", page.next or ""

    def link(**changes: str) -> str:
        asked = {"show": show, **given, **changes}
        asked = {name: value for name, value in asked.items() if value}
        return f"{PAGE}?{urlencode(asked)}" if asked else PAGE

    totals = inventory.totals()
    may_edit = request.user.is_staff and request.user.has_perm("dependencies.change_device")
    context: dict[str, Any] = {
        "totals": totals,
        "views": [(label, getattr(totals, count), link(show=key), key == show) for key, label, count in VIEWS],
        "show": show,
        "given": given,
        "rows": inventory.rows(addresses),
        "sites": inventory.choices("site"),
        "roles": inventory.choices("role"),
        "parent": states.health([given["parent"]])[given["parent"]] if given["parent"] else None,
        "without_parent": link(parent=""),
        "older": link(cursor=older) if older else "",
        "newer": link(cursor=newer) if newer else "",
        "first": link() if cursor else "",
        "is_narrowed": any(given.values()),
        "error": error,
        "can_edit": may_edit,
        "can_import": request.user.has_perm("dependencies.add_dependency"),
    }
    return _fresh(render(request, "dependencies/overview.html", context))


@require_safe
@portal_page(VIEW)
def live_map(request: HttpRequest) -> HttpResponseBase:
    """Takes device (an address, a name), open (see mapview.Opened), and from the page itself seen (a digest)."""
    asked = _text(request, "device")
    address, candidates = inventory.find(asked) if asked else ("", [])
    shown = mapview.around(address, mapview.Opened.parse(request.GET.get("open", "")[:4_000])) if address else None
    context: dict[str, Any] = {
        "asked": asked,
        "candidates": candidates,
        "now": timezone.now(),
        "can_import": request.user.has_perm("dependencies.add_dependency"),
    }
    # Going back through pages, htmx wants a whole one.
    is_part = is_htmx(request) and request.headers.get("HX-History-Restore-Request") != "true"
    if shown is None:
        if is_part:
            return HttpResponse(status=204)
        context["is_unknown"] = bool(asked and not candidates)
        _landing(context)
        return _fresh(render(request, "dependencies/map.html", context, status=404 if context["is_unknown"] else 200))
    if is_part and request.GET.get("seen") == shown.digest:
        return HttpResponse(status=204)
    context |= {
        "map": shown,
        "drawing": drawing.draw(shown),
        "poll": f"{shown.url}&seen={shown.digest}",
        "can_edit": request.user.is_staff and request.user.has_perm("dependencies.change_device"),
    }
    return _fresh(render(request, "dependencies/_map.html" if is_part else "dependencies/map.html", context))


def _landing(context: dict[str, Any]) -> None:
    """Where to begin: what is out, and the tops of the network."""
    found = (
        Alert.objects.filter(condition=Condition.RAISED, outage=True, device_ip__isnull=False)
        .order_by("-severity", "occurred_at")
        .values_list("device_ip", flat=True)[:200]
    )
    out = list(map(str, found))
    tops = inventory.tops()
    health = states.health([*out, *(address for address, _ in tops)])
    context["dead"] = [(health[a], mapview.url(a)) for a in dict.fromkeys(out) if health[a].state is states.State.DEAD][
        :20
    ]
    context["tops"] = [(health[a], number, mapview.url(a)) for a, number in tops]
