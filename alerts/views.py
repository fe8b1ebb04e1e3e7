"""Board, detail page and what can be done on them; with and without JavaScript."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_POST, require_safe

from alerts import boardview, bulk, groups, hands, queries, rawdiff, savedviews, silences, undo, views_hand, viewtabs
from alerts.columns import known_columns
from alerts.detailview import DetailView
from alerts.models import Alert
from alerts.rendering import render_row
from opsconductor.exceptions import ActionNotAllowed
from opsconductor.portal import back_to, is_htmx, portal_page

VIEW, ACT = "alerts.view_alert", "alerts.act_on_alert"
MAX_NOTE = 5000
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@require_safe
@portal_page(VIEW)
def board(request: HttpRequest) -> HttpResponseBase:
    # The sequence is read first: what changes from here on arrives live, perhaps twice, never not at all.
    sequence = queries.latest_sequence()
    query = queries.BoardQuery.of(request.GET)
    look = viewtabs.look(query, request.user)
    if elsewhere := _elsewhere(request, query, look):
        return _fresh(redirect(elsewhere))
    if look.start:
        query.beside.setdefault("view", savedviews.PLAIN)
    can_act = request.user.has_perm(ACT)
    grouped = _grouped(request, query, look, can_act) if query.grouping else {}
    page = queries.Page(errors=grouped["errors"]) if grouped else queries.page(query, request.user)
    return _fresh(
        render(
            request,
            "alerts/board.html",
            {
                "sequence": sequence,
                "now_ms": round(timezone.now().timestamp() * 1000),
                "query": query,
                "page": page,
                "rows": [render_row(row, can_act=can_act, columns=look.columns) for row in page.rows],
                "look": look,
                "grouped": grouped,
                **grouped,
                "board_query": urlsplit(query.url()).query,
                "groupings": boardview.GROUPING_LABELS.items(),
                "grouping_keeps": [(n, v) for n, v in {**query.given, **query.beside}.items() if n != "group"],
                "columns": boardview.headers(query, look.column_list),
                "counts": boardview.CountsView.of(queries.counts(), query),
                "filters": boardview.filters(query),
                "chips": boardview.chips(query),
                "empty": "" if grouped.get("groups") else boardview.empty_sentence(query, page),
                "reached": "" if grouped.get("groups") else boardview.reached_sentence(page),
                "can_act": can_act,
            },
        )
    )


def _elsewhere(request: HttpRequest, query: queries.BoardQuery, look: viewtabs.Look) -> str:
    """Where this address leads: without parameters to the reader's start page, with nothing but a view to all of it."""
    if not request.GET:
        return look.start
    if look.view is not None and set(request.GET) == {"view"}:
        url = viewtabs.url_of(look.view, look.preferences)
        return "" if url == request.get_full_path() else url
    return ""


@require_safe
@portal_page(VIEW)
def detail(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    return _fresh(_detail(request, pk))


@require_safe
@portal_page(VIEW)
def changes(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """What changed in the raw data between the first event and the last one; asked for when somebody opens it."""
    alert = Alert.objects.filter(pk=pk).first()
    if alert is None:
        raise Http404("This alert no longer exists.")
    template = "alerts/_changes.html" if is_htmx(request) else "alerts/changes.html"
    return _fresh(render(request, template, {"difference": rawdiff.difference(alert), "alert": alert}))


@require_safe
@portal_page(VIEW)
def group_rows(request: HttpRequest) -> HttpResponseBase:
    """The body of the grouped board as it is now: headings, and the alerts of the groups that are open."""
    query = queries.BoardQuery.of(request.GET)
    if not query.grouping:
        raise Http404("Say by what the board is grouped.")
    look = viewtabs.look(query, request.user)
    context = _grouped(request, query, look, request.user.has_perm(ACT))
    return _fresh(render(request, "alerts/_groups.html", context))


def _grouped(request: HttpRequest, query: queries.BoardQuery, look: viewtabs.Look, can_act: bool) -> dict[str, Any]:
    found = groups.grouped(query, request.user, wanted_rows=request.GET.get("rows", ""))
    return {
        "groups": [
            (group, [render_row(row, can_act=can_act, columns=look.columns) for row in group.rows])
            for group in found.groups
        ],
        "beyond": found.beyond,
        "errors": found.errors,
        "width": len(look.columns) + can_act,
    }


@require_safe
@portal_page(VIEW)
def explains(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The rows of what one alert explains, for the board to put under it: the worst first."""
    below = queries.explained_by(pk)
    rows = queries.worst(below, queries.PAGE_SIZE + 1)
    number = below.count() if len(rows) > queries.PAGE_SIZE else len(rows)
    can_act = request.user.has_perm(ACT)
    shown = rows[: queries.PAGE_SIZE]
    columns = known_columns(request.GET.get("columns", "").split(","))
    return _fresh(
        render(
            request,
            "alerts/_explains.html",
            {
                "root": str(pk),
                "rows": [render_row(row, can_act=can_act, under=str(pk), columns=columns) for row in shown],
                "number": number,
                "more": number - len(shown),
                "columns": len(columns) + can_act,
            },
        )
    )


# What the page of one alert says afterwards.
ACTS = {
    "acknowledge": "Acknowledged",
    "unacknowledge": "No longer acknowledged",
    "resolve": "Resolved",
    "reopen": "Reopened",
    "assign": "Assigned",
    "note": "Note added",
}


@require_POST
@portal_page(VIEW)
def act(request: HttpRequest, pk: UUID, action: str) -> HttpResponseBase:
    """One action on one alert; answers with what the page it came from needs, or sends a plain form back there."""
    if not request.user.has_perm(ACT):
        return _refused(request, pk, 403, views_hand.MAY_NOT)
    user: Any = request.user
    notes = request.POST.get("notes", "")[:MAX_NOTE]
    on_board = is_htmx(request) and request.headers.get("HX-Target") != "alert"
    try:
        what = views_hand.deed_of(action, request.POST, user, notes)
        outcome = bulk.perform(what, [pk], by=user, notes=notes, undoable=on_board)
    except ActionNotAllowed as error:
        return _refused(request, pk, 409, str(error))
    (result,) = outcome.results
    if result.outcome == hands.MISSING:
        raise Http404("This alert no longer exists.")
    if result.outcome == hands.REFUSED:
        return _refused(request, pk, 409, result.detail)
    if not is_htmx(request):
        alert = Alert.objects.get(pk=pk)
        messages.success(request, f"{ACTS[action]}: {alert.title}")
        return redirect(back_to(request, alert.get_absolute_url()))
    if not on_board:
        return _detail(request, pk, done=f"{ACTS[action]}.")
    answer = _row(request, pk)
    said = views_hand.sentence(what, outcome, [pk])
    done = {"sentence": said, "undo": str(outcome.undo), "seconds": undo.SECONDS, "ids": [str(pk)]}
    answer["HX-Trigger-After-Settle"] = json.dumps({"board:done": done})
    return answer


def _row(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The row as it is now, and out of band the counters."""
    under = request.POST.get("under", "")
    (line,) = queries.as_rows([queries.rows(Alert.objects.filter(pk=pk)).get()])
    columns = known_columns(request.POST.get("columns", "").split(","))
    row = render_row(line, can_act=True, under=under if UUID_TEXT.fullmatch(under) else "", columns=columns)
    query = queries.BoardQuery.parse(urlsplit(request.headers.get("HX-Current-URL", "")).query)
    counts = boardview.CountsView.of(queries.counts(), query)
    return render(request, "alerts/_action_answer.html", {"row": row, "counts": counts})


def _detail(request: HttpRequest, pk: UUID, *, done: str = "", error: str = "", status: int = 200) -> HttpResponse:
    try:
        alert = queries.detail(pk)
    except Alert.DoesNotExist:
        raise Http404("This alert no longer exists.") from None
    context = {
        "view": DetailView.of(
            alert,
            _asked(request),
            link=request.build_absolute_uri(alert.get_absolute_url()),
            is_staff=bool(getattr(request.user, "is_staff", False)),
        ),
        "sequence": queries.latest_sequence(),
        "can_act": request.user.has_perm(ACT),
        "can_silence": request.user.has_perm("alerts.add_maintenancewindow"),
        "silences": silences.of(alert),
        "assignable": views_hand.assignable()[: views_hand.MOST_NAMED] if request.user.has_perm(ACT) else (),
        "silence_for": silences.SPANS,
        "done": done,
        "error": error,
    }
    template = "alerts/_detail.html" if is_htmx(request) else "alerts/detail.html"
    return render(request, template, context, status=status)


def _asked(request: HttpRequest) -> QueryDict:
    """What the page shows of the timeline, also when an action sends the page back."""
    return (
        request.GET if request.method == "GET" else QueryDict(urlsplit(request.headers.get("HX-Current-URL", "")).query)
    )


def _refused(request: HttpRequest, pk: UUID, status: int, sentence: str) -> HttpResponse:
    if is_htmx(request) and request.headers.get("HX-Target") != "alert":
        answer = render(request, "alerts/_refused.html", {"sentence": sentence}, status=status)
        answer["HX-Retarget"], answer["HX-Reswap"] = "#notices", "innerHTML"
        return answer
    return _detail(request, pk, error=sentence, status=status)


def _fresh(response: HttpResponse) -> HttpResponse:
    """Going back in the browser must not show a board of yesterday."""
    patch_cache_control(response, no_store=True, private=True)
    return response
