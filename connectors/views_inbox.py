"""The inbox of unmapped traps."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from alerts.choices import Category, Severity
from connectors import inbox
from connectors.mapping_rows import lock_table
from connectors.mapping_search import exact_patterns
from connectors.models import OIDMapping
from opsconductor.portal import portal_page

VIEW, ADD = "connectors.view_oidmapping", "connectors.add_oidmapping"


@require_safe
@portal_page(VIEW)
def unmapped(request: HttpRequest) -> HttpResponseBase:
    search = _search(request.GET)
    text = request.GET.get("page", "1")
    page = inbox.page(search, int(text) if text.isdecimal() and len(text) < 7 else 1)
    return render(
        request,
        "mappings/unmapped.html",
        {
            "page": page,
            "search": search,
            "older": _url(search, page.number + 1) if page.number < page.pages else "",
            "newer": _url(search, page.number - 1) if page.number > 1 else "",
            "can_add": request.user.has_perm(ADD) and request.user.is_staff,
            "can_ignore": request.user.has_perm(ADD),
            "can_list": request.user.is_staff,
        },
    )


@require_POST
@portal_page(VIEW)
def ignore(request: HttpRequest) -> HttpResponseBase:
    """A row that is switched off: these traps are journalled and counted from now on, and raise nothing."""
    if not request.user.has_perm(ADD):
        raise PermissionDenied("Your account may not add mappings. Ask an administrator.")
    oid = request.POST.get("oid", "").strip()
    row = OIDMapping(
        oid_pattern=oid,
        alert_type="ignored_trap",
        category=Category.UNKNOWN,
        default_severity=Severity.INFO,
        enabled=False,
        notes=f"Ignored from the inbox of unmapped traps by {request.user.get_username()}, {timezone.now():%Y-%m-%d}.",
    )
    back = redirect(_url(_search(request.POST), 1))
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        messages.error(request, error.messages[0])  # of the fields only the OID came from outside
        return back
    with transaction.atomic():
        lock_table()  # clicked twice, or mapped by somebody else this very moment
        if OIDMapping.objects.filter(oid_pattern__in=exact_patterns(row.oid_pattern)).exists():
            messages.error(request, f"{oid} has a mapping already.")
            return back
        row.save()
        if request.user.pk is not None:
            LogEntry.objects.log_actions(
                request.user.pk, [row], ADDITION, "Ignored from the inbox of unmapped traps.", single_object=True
            )
    messages.success(request, f"Ignored: {oid}. Its waiting alerts are closed within seconds; the traps stay counted.")
    return back


def _search(given: QueryDict) -> str:
    return given.get("q", "").replace("\0", "").strip()[:200]


def _url(search: str, number: int) -> str:
    given = {name: value for name, value in (("q", search), ("page", number if number > 1 else "")) if value}
    return f"{reverse('mappings:unmapped')}{'?' + urlencode(given) if given else ''}"
