"""The wall as a page: once with numbers, then kept by its socket. A screen that is switched on while the database is
away gets the page without numbers, which fills itself when they are there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from zoneinfo import available_timezones

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from alerts import wall, wallroom
from opsconductor.models import WallLink
from opsconductor.portal import portal_page

log = logging.getLogger(__name__)

THEMES = ("dark", "light", "auto")
View = Callable[..., HttpResponseBase]


def _always_a_page(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            answer = view(request, *args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            log.warning("A wall is opened while the database does not answer: %s", str(error).strip())
            answer = _page(request, None, state="away", status=503)
        # Its address may be a secret: it is neither handed on nor kept nor found.
        answer["Referrer-Policy"] = "no-referrer"
        answer["X-Robots-Tag"] = "noindex, nofollow"
        patch_cache_control(answer, no_store=True, private=True)
        return answer

    return guarded


@require_safe
@_always_a_page
@portal_page("alerts.view_alert")
def wall_page(request: HttpRequest) -> HttpResponseBase:
    return _page(request, wall.read(wall.WallQuery.of(request.GET)))


@require_safe
@_always_a_page
def by_link(request: HttpRequest, token: str) -> HttpResponseBase:
    """For whoever holds the token, signed in or not; nothing of a session is looked at."""
    link = WallLink.of(token)
    if link is None:
        return _page(request, None, state="refused", status=404)
    return _page(request, wall.read(wall.WallQuery.of(request.GET, link.filter)), name=link.name)


def _page(
    request: HttpRequest, numbers: wall.Numbers | None, *, state: str = "", name: str = "", status: int = 200
) -> HttpResponse:
    theme, zone = request.GET.get("theme"), request.GET.get("zone")
    page = render_to_string(  # without the request: what its context processors add asks for the session
        "alerts/wall.html",
        {
            "html": wallroom.html(numbers) if numbers else "",
            "version": wallroom.version(),
            "now_ms": round(time.time() * 1000),
            "as_of_ms": round(numbers.as_of.timestamp() * 1000) if numbers else 0,
            "state": state,
            "name": name or (numbers.query.words if numbers else ""),
            "theme": theme if theme in THEMES else "dark",
            "zone": zone if zone in available_timezones() else "",
        },
    )
    return HttpResponse(page, status=status)
