"""Saved views and a reader's own settings: sheets over the board, and plain pages without JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import boardview, savedviews, viewtabs
from alerts.choices import Severity
from alerts.columns import BY_KEY, COLUMNS, Column, known_columns
from alerts.models import BoardPreferences
from alerts.queries import NEWEST_FIRST, BoardQuery
from opsconductor.portal import back_to, portal_page

VIEW = "alerts.view_alert"
SEVERITIES = tuple(s.label for s in reversed(Severity) if s != Severity.CLEAR)
ORDERINGS = (
    ("", "newest first"),
    ("-severity", "worst first"),
    ("priority", "most urgent first (P1)"),
    ("-last_occurrence_at", "last seen first"),
    ("-occurrence_count", "most often seen first"),
    ("device_name", "by device"),
)


@dataclass(frozen=True)
class Listed:
    """A view in the list under the form."""

    tab: viewtabs.Tab
    owner: str
    can_change: bool
    can_delete: bool
    is_start: bool
    problem: str = ""


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def saved(request: HttpRequest) -> HttpResponseBase:
    """The list of views, and a form that saves the board it was called from as another."""
    if request.method != "POST":
        return _views_sheet(request, BoardQuery.of(request.GET))
    board = request.POST.get("board", "")
    query = BoardQuery.parse(board)
    name = request.POST.get("name", "")
    shared = request.POST.get("shared") == "on"
    try:
        given = savedviews.Given(name=name, shared=shared, **_of_board(request, query))
        view = savedviews.save(None, given, by=_user(request))
    except (ValidationError, PermissionDenied) as error:
        return _views_sheet(request, query, error=_sentence(error), name=name, shared=shared)
    if request.POST.get("start") == "on":
        savedviews.start_with(view, by=_user(request))
    return _done(request, f"View saved: {view.name}", viewtabs.url_of(view, BoardPreferences.of(request.user)))


@require_POST
@portal_page(VIEW)
def change(request: HttpRequest, pk: int) -> HttpResponseBase:
    """One thing done to one view; `do` says what."""
    user = _user(request)
    view = get_object_or_404(savedviews.visible_to(user), pk=pk)
    query = BoardQuery.parse(request.POST.get("board", ""))
    goes_to = query.url()
    do = request.POST.get("do", "")
    try:
        match do:
            case "update":
                savedviews.save(view, savedviews.Given(**_of_board(request, query)), by=user)
                said = f"View updated: {view.name}"
                view.refresh_from_db()
                goes_to = viewtabs.url_of(view, BoardPreferences.of(user))
            case "rename":
                view = savedviews.save(view, savedviews.Given(name=request.POST.get("name", "")), by=user)
                said = f"View renamed: {view.name}"
            case "share" | "unshare":
                savedviews.save(view, savedviews.Given(shared=do == "share"), by=user)
                said = f"“{view.name}” is {'for everybody now' if do == 'share' else 'yours alone now'}."
            case "earlier" | "later":
                savedviews.move(view, by=user, later=do == "later")
                return _views_sheet(request, query, focus=f"{do}-{view.pk}")
            case "start" | "nostart":
                savedviews.start_with(view if do == "start" else None, by=user)
                said = f"Your board starts with {view.name} now." if do == "start" else "Your board starts plain now."
                return _views_sheet(request, query, done=said, focus=f"start-{view.pk}")
            case "delete":
                savedviews.delete(view, by=user)
                said = f"View deleted: {view.name}"
                if query.beside.get("view") == str(pk):
                    query.beside.pop("view")
                    goes_to = query.url()
            case _:
                raise Http404(f"“{do}” is nothing a view can do.")
    except (ValidationError, PermissionDenied) as error:
        return _views_sheet(request, query, error=_sentence(error))
    if do in ("rename", "share", "unshare", "delete") and _in_sheet(request):
        return _views_sheet(request, query, done=said)
    return _done(request, said, goes_to)


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def settings(request: HttpRequest) -> HttpResponseBase:
    """Columns, their order, density and the usual order of the rows."""
    user = _user(request)
    data = request.POST if request.method == "POST" else request.GET
    query = BoardQuery.parse(data.get("board", "")) if request.method == "POST" else BoardQuery.of(request.GET)
    look = viewtabs.look(query, user)
    if request.method != "POST":
        return _settings_sheet(request, query, look, list(look.columns), look.preferences)
    order = [key for key in data.getlist("order") if key in BY_KEY]
    chosen = [key for key in order if key in data.getlist("columns") or BY_KEY[key].fixed]
    preferences = look.preferences
    density, ordering = data.get("density", ""), data.get("ordering", "")
    preferences.density = density if density in BoardPreferences.Density.values else preferences.density
    preferences.ordering = ordering if ordering in dict(ORDERINGS) else preferences.ordering
    if move := data.get("move", ""):
        _moved(order, move)
        chosen = [key for key in order if key in chosen]
        return _settings_sheet(request, query, look, chosen, preferences, order=order, focus=move)
    if data.get("reset"):
        chosen = []
    if data.get("for") == "view" and look.view is not None:
        try:
            savedviews.save(look.view, savedviews.Given(columns=chosen), by=user)
        except (ValidationError, PermissionDenied) as error:
            return _settings_sheet(request, query, look, chosen, preferences, order=order, error=_sentence(error))
    else:
        preferences.columns = [] if chosen == list(known_columns([])) else chosen
    preferences.save()
    query.beside.pop("columns", None)
    ordering = query.given.get("ordering", "")
    # The new order shows at once, unless the view on screen has an order of its own.
    if look.view is None or not look.view.ordering:
        query.given.pop("ordering", None)
        ordering = preferences.ordering
    return _done(request, "", query.url(ordering=ordering or None))


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def sound(request: HttpRequest) -> HttpResponseBase:
    """Which new problems make a sound or a browser notification; all of it off until its reader says otherwise."""
    preferences = BoardPreferences.of(request.user)
    if request.method != "POST":
        context = {
            "preferences": preferences,
            "severities": [
                (word, word in preferences.sounds, word in preferences.notifications) for word in SEVERITIES
            ],
            "board": request.GET.urlencode(),
        }
        return _sheet(request, "sound", context)
    data = request.POST
    preferences.sound_on = data.get("sound_on") == "on"
    preferences.sounds = [word for word in SEVERITIES if word in data.getlist("sounds")]
    preferences.notifications = [word for word in SEVERITIES if word in data.getlist("notifications")]
    volume = data.get("volume", "")
    if volume.isascii() and volume.isdigit() and len(volume) < 4:
        preferences.volume = min(100, int(volume))
    preferences.save()
    return _done(request, "", BoardQuery.parse(data.get("board", "")).url())


@require_POST
@portal_page(VIEW)
def mute(request: HttpRequest) -> HttpResponseBase:
    """The switch alone, for the key that silences the board at once."""
    preferences = BoardPreferences.of(request.user)
    preferences.sound_on = request.POST.get("sound_on") == "on"
    preferences.save()
    return _done(request, "", back_to(request, "/alerts/"))


@require_safe
@portal_page(VIEW)
def counts(request: HttpRequest) -> HttpResponseBase:
    """The tabs as they are now, for a board that saved or moved one."""
    query = BoardQuery.of(request.GET)
    return _fresh(render(request, "alerts/_tabs.html", {"query": query, "look": viewtabs.look(query, request.user)}))


def _of_board(request: HttpRequest, query: BoardQuery) -> dict[str, Any]:
    """What a view keeps of the board on screen."""
    found = savedviews.parts(urlsplit(query.url()).query)
    own = request.POST.get("keep_columns") == "on"
    columns = viewtabs.look(query, request.user).columns if own else ()
    return {**found, "columns": list(columns)}


def _views_sheet(
    request: HttpRequest,
    query: BoardQuery,
    *,
    error: str = "",
    done: str = "",
    name: str = "",
    shared: bool = False,
    focus: str = "",
) -> HttpResponse:
    user = request.user
    look = viewtabs.look(query, user)
    start = look.preferences.start_view_id
    listed = [
        Listed(
            tab=tab,
            owner=view.owner.get_username() if view.owner and view.owner_id != user.pk else "",
            can_change=savedviews.may_change(user, view),
            can_delete=savedviews.may_delete(user, view),
            is_start=view.pk == start,
            problem=savedviews.problem(view, user) if tab.invalid else "",
        )
        for tab, view in zip(look.tabs, look.views, strict=True)
    ]
    context = {
        "look": look,
        "listed": listed,
        "chips": boardview.chips(query),
        "query": query,
        "said": _said(query),
        "board": urlsplit(query.url()).query,
        "error": error,
        "done": done,
        "name": name,
        "shared": shared,
        "can_share": savedviews.may_share(user),
        "focus": focus,
    }
    return _sheet(request, "views", context, status=400 if error else 200)


def _said(query: BoardQuery) -> list[str]:
    """What of the board a view keeps, beside its filters."""
    words = []
    if "status" in query.given:
        words.append(f"status: {query.given['status'].replace(',', ', ')}")
    ordering = query.given.get("ordering", "")
    if ordering and ordering != NEWEST_FIRST:
        words.append(dict(ORDERINGS).get(ordering, f"order: {ordering}"))
    if query.grouping:
        words.append(f"grouped by {boardview.GROUPING_LABELS[query.grouping]}")
    return words


def _settings_sheet(
    request: HttpRequest,
    query: BoardQuery,
    look: viewtabs.Look,
    chosen: list[str],
    preferences: BoardPreferences,
    *,
    order: list[str] | None = None,
    focus: str = "",
    error: str = "",
) -> HttpResponse:
    """`chosen` first, in their order, unless `order` says how all of them stand."""
    keys = order or [*chosen, *(column.key for column in COLUMNS if column.key not in chosen)]
    offered: list[tuple[Column, bool]] = [(BY_KEY[key], key in chosen) for key in keys]
    context = {
        "look": look,
        "offered": offered,
        "preferences": preferences,
        "densities": BoardPreferences.Density.choices,
        "orderings": ORDERINGS,
        "board": urlsplit(query.url()).query,
        "query": query,
        "focus": focus,
        "error": error,
        "for_view": bool(look.view and look.view.columns and look.can_change_view),
    }
    return _sheet(request, "settings", context, status=400 if error else 200)


def _moved(order: list[str], move: str) -> None:
    """“later:device” changes places with what comes after it."""
    where, _, key = move.partition(":")
    if key not in order:
        return
    at = order.index(key)
    to = at + (1 if where == "later" else -1)
    if 0 <= to < len(order):
        order[at], order[to] = order[to], order[at]


def _sheet(request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    template = f"alerts/_sheet_{name}.html"
    if not _in_sheet(request):
        context, template = {**context, "sheet": template}, "alerts/sheet.html"
    return _fresh(render(request, template, context, status=status))


def _in_sheet(request: HttpRequest) -> bool:
    return request.headers.get("X-Sheet") == "1"


def _done(request: HttpRequest, said: str, url: str) -> HttpResponse:
    """A sheet is told where to go; a page is sent there."""
    if said and not _in_sheet(request):
        messages.success(request, said)
    if not _in_sheet(request):
        return redirect(url)
    answer = HttpResponse(status=204)
    answer["X-Goto"] = url
    return answer


def _fresh(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store, private"
    return response


def _user(request: HttpRequest) -> Any:
    return request.user


def _sentence(error: ValidationError | PermissionDenied) -> str:
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
