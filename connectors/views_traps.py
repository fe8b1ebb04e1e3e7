"""“Why is my trap not here?”"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from connectors import trap_search
from opsconductor.portal import portal_page


@require_safe
@portal_page("connectors.view_rawevent")
def why(request: HttpRequest) -> HttpResponseBase:
    """Takes an address or a device's name (q), an OID, and how far to look back (span)."""
    asked, oid = request.GET.get("q", "").strip()[:200], request.GET.get("oid", "").strip()[:300]
    if not oid and trap_search.is_oid(asked) and asked.count(".") > 3:
        asked, oid = "", asked  # an OID typed where the address goes; an IPv4 address has three dots
    story = trap_search.look(asked, oid, trap_search.span_of(request.GET.get("span", "")))
    answer = render(
        request,
        "traps/why.html",
        {
            "story": story,
            "spans": trap_search.SPANS,
            "is_staff": request.user.is_staff,
        },
    )
    patch_cache_control(answer, no_store=True, private=True)
    return answer
