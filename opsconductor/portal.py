"""What every portal view starts with: who may see the page, and how an htmx request is told to sign in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

View = Callable[..., HttpResponseBase]


def portal_page(permission: str) -> Callable[[View], View]:
    """For signed-in users with this permission; others sign in first, or read why not (403)."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_login(request)
            if not request.user.has_perm(permission):
                raise PermissionDenied(
                    "Your account may not see this page. Ask an administrator for the viewer or operator role."
                )
            return view(request, *args, **kwargs)

        return checked

    return decorate


def is_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def back_to(request: HttpRequest, default: str) -> str:
    """Where a form without JavaScript came from: its own field `next`, if that is a page of ours."""
    wanted = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if wanted and ours else default


def _to_login(request: HttpRequest) -> HttpResponse:
    if not is_htmx(request):
        return redirect_to_login(request.get_full_path() if request.method == "GET" else "/")
    # A redirect would put the sign-in form into the place of a row.
    page = urlsplit(request.headers.get("HX-Current-URL", "/"))
    back = f"{page.path}?{page.query}" if page.query else page.path
    answer = HttpResponse(status=204)
    answer["HX-Redirect"] = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': back})}"
    return answer
