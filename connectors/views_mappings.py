"""The page Mappings: what events mean, by connector type; severity and category rows are edited in place.

Works without JavaScript: a form leads back to the page. With htmx a form is answered with the row alone.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_POST, require_safe

from connectors import mapping_overview
from connectors.mapping_overview import KINDS, Kind, Row, ValueForm
from opsconductor.portal import is_htmx, portal_page

VIEW = "connectors.view_oidmapping"
SEARCH_MAX = 200


@require_safe
@portal_page(VIEW)
def overview(request: HttpRequest) -> HttpResponseBase:
    return _page(request)


@require_safe
@portal_page(VIEW)
def edit(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    """The row as a form."""
    row = _row(request, kind, pk, "change")
    row.form = mapping_overview.edit_form(row).with_focus()
    if is_htmx(request):
        return _fragment(request, row)
    return _page(request, editing=row)


@portal_page(VIEW)
def row(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    """POST saves the form; GET is the row as it is, for who leaves the form."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    shown = _row(request, kind, pk, "change")
    shown.focus = True
    if request.method != "POST":
        return _fragment(request, shown) if is_htmx(request) else redirect(_url(shown.row.connector_type))
    form = mapping_overview.edit_form(shown, request.POST)
    if not form.is_valid():
        shown.form = form.with_focus()
        return _fragment(request, shown) if is_htmx(request) else _page(request, editing=shown, status=400)
    if form.has_changed():
        form.save()
        _log(request, shown.row, CHANGE, f"Changed {', '.join(form.changed_data)} on the page Mappings.")
    return _answer(request, shown, "Saved")


@require_POST
@portal_page(VIEW)
def add(request: HttpRequest, kind: str) -> HttpResponseBase:
    of = KINDS[kind]
    _allow(request, of, "add")
    connector_type = _wanted_type(request.POST.get("type", ""))
    form = mapping_overview.add_form(of, connector_type, request.POST)
    if not form.is_valid():
        form.with_focus()
        if is_htmx(request):
            return _html(_add_row(request, of, connector_type, form))
        return _page(request, connector_type, adding=(kind, form), status=400)
    added = Row(of, form.save())
    _log(request, added.row, ADDITION, "Added on the page Mappings.")
    if not is_htmx(request):
        messages.success(request, f"Added: {added.row}.")
        return redirect(_url(connector_type))
    fresh = mapping_overview.add_form(of, connector_type).with_focus()
    return _html(
        _row_html(request, added)
        + _add_row(request, of, connector_type, fresh)
        + _notice(request, f"Added: {added.row}.")
    )


@require_POST
@portal_page(VIEW)
def switch(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    shown = _row(request, kind, pk, "change")
    shown.row.enabled = not shown.row.enabled
    shown.row.save(update_fields=["enabled"])
    word = "on" if shown.row.enabled else "off"
    _log(request, shown.row, CHANGE, f"Switched {word}.")
    return _answer(request, shown, f"Switched {word}")


@require_POST
@portal_page(VIEW)
def delete(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    shown = _row(request, kind, pk, "delete")
    said, connector_type = f"Deleted: {shown.row}.", shown.row.connector_type
    _log(request, shown.row, DELETION, "Deleted on the page Mappings.")
    shown.row.delete()
    if is_htmx(request):
        return _html(_notice(request, said))
    messages.success(request, said)
    return redirect(_url(connector_type))


# --- the page and its parts -----------------------------------------------------------------------------------


def _page(
    request: HttpRequest,
    connector_type: str | None = None,
    *,
    editing: Row | None = None,
    adding: tuple[str, ValueForm] | None = None,
    status: int = 200,
) -> HttpResponse:
    if editing is not None:
        connector_type = editing.row.connector_type
    if connector_type is None:
        connector_type = _wanted_type(request.GET.get("type", ""))
    search = " ".join(request.GET.get("q", "").replace("\0", "").split())[:SEARCH_MAX]
    words = mapping_overview.unmapped()
    lines = mapping_overview.lines(words)
    tab = request.GET.get("tab", "")
    tab = tab if tab in dict(mapping_overview.TABS) else "values"
    sections = []
    for kind in KINDS.values() if tab == "values" else ():
        section = mapping_overview.section(kind, connector_type, search, editing, words.get(connector_type, ()))
        if adding is not None and adding[0] == kind.name:
            section.add = adding[1]
        sections.append((section, _rights(request, kind)))
    return _fresh(
        render(
            request,
            "mappings/overview.html",
            {
                "lines": lines,
                "here": next((line for line in lines if line.connector_type == connector_type), None),
                "connector_type": connector_type,
                "type_key": connector_type or mapping_overview.ANY,
                "sections": sections,
                "tab": tab,
                "tabs": mapping_overview.TABS,
                "others": None if tab == "values" else mapping_overview.Others.of(connector_type),
                "search": search,
                "is_staff": request.user.is_staff,
                "may_import": request.user.has_perm("connectors.add_oidmapping"),
                "may_replay": request.user.has_perm("connectors.change_oidmapping"),
                "traps": mapping_overview.TRAPS,
            },
            status=status,
        )
    )


def _answer(request: HttpRequest, shown: Row, done: str) -> HttpResponseBase:
    said = f"{done}: {shown.row}."
    if is_htmx(request):
        shown.focus = True
        return _html(_row_html(request, shown) + _notice(request, said))
    messages.success(request, said)
    return redirect(_url(shown.row.connector_type))


def _fragment(request: HttpRequest, shown: Row) -> HttpResponse:
    return _html(_row_html(request, shown))


def _row_html(request: HttpRequest, shown: Row) -> str:
    template = "mappings/_value_form.html" if shown.form is not None else "mappings/_value.html"
    return render_to_string(template, {"row": shown, "may": _rights(request, shown.kind)}, request)


def _add_row(request: HttpRequest, kind: Kind, connector_type: str, form: ValueForm) -> str:
    context = {"form": form, "kind": kind, "type_key": connector_type or mapping_overview.ANY}
    return render_to_string("mappings/_value_add.html", context, request)


def _notice(request: HttpRequest, said: str) -> str:
    return render_to_string("mappings/_notice.html", {"said": said}, request)


def _html(text: str) -> HttpResponse:
    return _fresh(HttpResponse(text))


def _fresh(response: HttpResponse) -> HttpResponse:
    """Never from a cache: another engineer may have edited the same."""
    patch_cache_control(response, no_store=True)
    return response


# --- who and what ---------------------------------------------------------------------------------------------


def _row(request: HttpRequest, kind: str, pk: int, action: str) -> Row:
    of = KINDS[kind]
    _allow(request, of, action)
    found = of.model._default_manager.filter(pk=pk).first() if pk < 2**63 else None
    if found is None:
        raise Http404("This row is gone; somebody deleted it meanwhile.")
    return Row(of, found)


def _allow(request: HttpRequest, kind: Kind, action: str) -> None:
    if not request.user.has_perm(kind.permission(action)):
        raise PermissionDenied("Your account may not edit mappings. Ask an administrator.")


def _rights(request: HttpRequest, kind: Kind) -> dict[str, bool]:
    return {action: request.user.has_perm(kind.permission(action)) for action in ("add", "change", "delete")}


def _wanted_type(text: str) -> str:
    found = mapping_overview.wanted_type(text)
    if found is None:
        raise Http404("There is no such connector type.")
    return found


def _url(connector_type: str) -> str:
    return f"{reverse('mappings:overview')}?{urlencode({'type': connector_type or mapping_overview.ANY})}"


def _log(request: HttpRequest, row: Any, flag: int, said: str) -> None:
    if request.user.pk is not None:
        LogEntry.objects.log_actions(request.user.pk, [row], flag, change_message=said, single_object=True)
