"""Maintenance windows and silences: lists, form with preview, actions; with and without JavaScript."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import repeats, silences, views, windowactions, windowforms, windowrows, windowview
from alerts.models import Alert, MaintenanceWindow
from alerts.recurrence import instant
from alerts.windowforms import WindowForm
from alerts.windows import zone_named
from opsconductor.exceptions import ActionNotAllowed
from opsconductor.keyset import InvalidCursor
from opsconductor.portal import back_to, is_htmx, portal_page

VIEW, ADD = "alerts.view_maintenancewindow", "alerts.add_maintenancewindow"
CHANGE, DELETE = "alerts.change_maintenancewindow", "alerts.delete_maintenancewindow"
KINDS = (("", "All"), ("maintenance", "Maintenance"), ("silence", "Silences"))


@require_safe
@portal_page(VIEW)
def overview(request: HttpRequest) -> HttpResponseBase:
    kind = request.GET.get("kind", "")
    kind = kind if kind in MaintenanceWindow.Kind.values else ""
    try:
        lists = windowview.lists(kind, request.GET.get("cursor") or None, timezone.now())
    except InvalidCursor:
        return redirect(_overview_url(kind))
    return render(
        request,
        "maintenance/overview.html",
        {
            "lists": lists,
            "kind": kind,
            "kinds": [(label, _overview_url(value), value == kind) for value, label in KINDS],
            "older": _overview_url(kind, lists.older),
            "newer": _overview_url(kind, lists.newer),
            "extend_by": windowview.EXTEND_BY,
            **_rights(request),
        },
    )


@require_safe
@portal_page(VIEW)
def detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    return _detail(request, pk)


def _detail(request: HttpRequest, pk: int, *, error: str = "", status: int = 200) -> HttpResponse:
    window = get_object_or_404(MaintenanceWindow.objects.select_related("created_by"), pk=pk)
    now = timezone.now()
    found = windowrows.state(window, now)
    quiet = windowview.kept_quiet([window]).get(pk, (0, 0))
    named = window.matchers.get("alerts", []) if isinstance(window.matchers, dict) else []
    return render(
        request,
        "maintenance/detail.html",
        {
            "entry": windowview.entry(window, found, quiet),
            "times": windowview.next_times(window, now),
            "quiet_rows": windowview.quiet_alerts(window),
            "named": _named(named),
            "preview": None if found.word == windowrows.BROKEN else _hits(window, now),
            "extend_by": windowview.EXTEND_BY,
            "error": error,
            **_rights(request),
        },
        status=status,
    )


def _hits(window: MaintenanceWindow, now: datetime) -> windowview.PreviewView:
    return windowview.PreviewView.of({name: getattr(window, name) for name in windowrows.CHECKED}, now)


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def add(request: HttpRequest) -> HttpResponseBase:
    _need(request, ADD, "plan maintenance")
    if request.method == "POST":
        return _sent(request, WindowForm(request.POST))
    form = WindowForm.of(_beginning(request), saved=False)
    if "copy" not in request.GET:
        # Empty is now, in whatever zone the browser says.
        form.initial.update(starts="", ends="", lasts="60")
    return _form(request, form)


def _beginning(request: HttpRequest) -> MaintenanceWindow:
    """What the form holds at first: a copy of a window, something about what the address names, or nothing yet."""
    now = timezone.now().replace(second=0, microsecond=0)
    copied = request.GET.get("copy", "")
    if copied.isdecimal() and len(copied) < 18 and (window := MaintenanceWindow.objects.filter(pk=copied).first()):
        length = window.ends_at - window.starts_at if window.ends_at else None
        name = window.name if window.name.endswith("(copy)") else f"{window.name[:190]} (copy)"
        window.pk, window.name, window.enabled, window.closed_at = None, name, True, None
        if not window.rrule:
            window.starts_at = now
            window.ends_at = now + length if length else None
        return window
    matchers = {
        name: request.GET.getlist(name) for name in ("devices", "below", "sites", "tags") if name in request.GET
    }
    return MaintenanceWindow(
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        matchers=matchers,
        time_zone=timezone.get_default_timezone_name(),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def edit(request: HttpRequest, pk: int) -> HttpResponseBase:
    _need(request, CHANGE, "change maintenance windows")
    window = get_object_or_404(MaintenanceWindow, pk=pk)
    if request.method == "POST":
        return _sent(request, WindowForm(request.POST, window=window))
    return _form(request, WindowForm.of(window))


def _sent(request: HttpRequest, form: WindowForm) -> HttpResponseBase:
    if not form.is_valid():
        return _form(request, form, status=400)
    if request.POST.get("action") == "preview":
        return _form(request, form)
    user: Any = request.user
    try:
        if form.window is None:
            window = windowactions.create(form.row, by=user)
        else:
            window = windowactions.change(form.window.pk, form.row, by=user)
    except ValidationError as error:
        for problem in error.messages:
            form.add_error(None, problem)
        return _form(request, form, status=400)
    except MaintenanceWindow.DoesNotExist:
        raise Http404("This window was deleted meanwhile.") from None
    messages.success(request, f"Saved: {window.name}. Alerts follow within seconds.")
    return redirect(reverse("maintenance:detail", args=[window.pk]))


def _form(request: HttpRequest, form: WindowForm, *, status: int = 200) -> HttpResponse:
    chosen = form["alerts"].value() or []
    return render(
        request,
        "maintenance/form.html",
        {
            "form": form,
            "window": form.window,
            "named": _named(chosen),
            "preview": _preview(form) if form.is_bound else _preview_at_first(form),
            "zones": _zones(),
            "weekday_choices": repeats.WEEKDAYS,
            "suggestions": {name.name: windowview.suggestions(name.name, "") for name in form.chips},
            "back": reverse("maintenance:detail", args=[form.window.pk]) if form.window else _overview_url(""),
        },
        status=status,
    )


@require_POST
@portal_page(VIEW)
def preview(request: HttpRequest) -> HttpResponseBase:
    """What the form as it stands would keep quiet; nothing is saved."""
    number = request.POST.get("window", "")
    window = MaintenanceWindow.objects.filter(pk=number).first() if number.isdecimal() and len(number) < 18 else None
    form = WindowForm(request.POST, window=window)
    return render(request, "maintenance/_preview.html", {"preview": _preview(form)})


def _preview(form: WindowForm) -> windowview.PreviewView:
    errors = [str(message) for messages_of in form.errors.values() for message in messages_of]
    if not form.row:
        return windowview.PreviewView.of({}, timezone.now(), errors)
    # A name is not what is previewed: it may still be missing.
    only_name = set(form.errors) <= {"name"}
    row = {**form.row, "name": form.row["name"] or "preview"}
    return windowview.PreviewView.of(row, timezone.now(), () if only_name else errors)


def _preview_at_first(form: WindowForm) -> windowview.PreviewView | None:
    """Of a window that is edited or copied; a form that is still empty would hit everything."""
    first = form.initial
    if not any(first.get(name) for name in windowview.LABELS):
        return None
    data = {name: value for name, value in first.items() if value not in (None, "", False)}
    again = WindowForm(data, window=form.window)
    return _preview(again)


@require_safe
@portal_page(VIEW)
def suggest(request: HttpRequest, field: str) -> HttpResponseBase:
    found = windowview.suggestions(field, request.GET.get(f"{field}_add", ""))
    return render(request, "maintenance/_options.html", {"options": found})


@require_POST
@portal_page(VIEW)
def extend(request: HttpRequest, pk: int) -> HttpResponseBase:
    _need(request, CHANGE, "change maintenance windows")
    user: Any = request.user
    try:
        window = windowactions.extend(pk, by=user, **_by_how_much(request, pk))
    except MaintenanceWindow.DoesNotExist:
        raise Http404("This window was deleted meanwhile.") from None
    except ActionNotAllowed as error:
        return _detail(request, pk, error=str(error), status=409)
    except ValidationError as error:
        return _detail(request, pk, error=error.messages[0], status=409)
    ends = windowview.entry(window, windowrows.state(window, timezone.now())).times
    messages.success(request, f"{window.name} now lasts until {ends.ends if ends else 'later'} ({window.time_zone}).")
    return redirect(back_to(request, reverse("maintenance:detail", args=[window.pk])))


def _by_how_much(request: HttpRequest, pk: int) -> dict[str, Any]:
    """`minutes`, or `until` on the wall of the window's zone. Raises ActionNotAllowed."""
    minutes, until = request.POST.get("minutes", ""), request.POST.get("until", "").strip()
    if minutes.isdecimal() and 0 < int(minutes[:8]) <= 525_600:
        return {"minutes": int(minutes)}
    window = MaintenanceWindow.objects.filter(pk=pk).first()
    found = windowforms.wall_time(until)
    if window is None or found is None or not 2000 <= found.year < 2200:
        raise ActionNotAllowed("Give the new end, for example 2026-11-28T23:30.", action="extend", status="")
    return {"until": instant(found, zone_named(window.time_zone))}


@require_POST
@portal_page(VIEW)
def end(request: HttpRequest, pk: int) -> HttpResponseBase:
    _need(request, CHANGE, "change maintenance windows")
    user: Any = request.user
    try:
        window = windowactions.end(pk, by=user)
    except MaintenanceWindow.DoesNotExist:
        raise Http404("This window was deleted meanwhile.") from None
    except ActionNotAllowed as error:
        return _detail(request, pk, error=str(error), status=409)
    messages.success(request, f"Ended: {window.name}. What is still raised is told within seconds.")
    return redirect(back_to(request, reverse("maintenance:detail", args=[pk])))


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def delete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Asks first, with the number of alerts that are told then."""
    _need(request, DELETE, "delete maintenance windows")
    window = get_object_or_404(MaintenanceWindow, pk=pk)
    user: Any = request.user
    if request.method == "POST":
        messages.success(request, f"Deleted: {windowactions.delete(pk, by=user)}.")
        return redirect(_overview_url(""))
    now = timezone.now()
    found = windowrows.state(window, now)
    quiet = windowview.kept_quiet([window]).get(pk, (0, 0))
    return render(request, "maintenance/delete.html", {"entry": windowview.entry(window, found, quiet)})


@require_POST
@portal_page("alerts.view_alert")
def silence(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Quick silence from the page of an alert, which answers."""
    user: Any = request.user
    if not user.has_perm(ADD):
        return views._refused(request, pk, 403, "Your account may not silence alerts. Ask for the operator role.")
    try:
        zone = zone_named(request.POST.get("time_zone") or timezone.get_default_timezone_name())
    except ValueError:
        zone = ZoneInfo(timezone.get_default_timezone_name())
    span = request.POST.get("silence", "")
    try:
        window = silences.silence(pk, span, by=user, zone=zone, reason=request.POST.get("notes", "")[: views.MAX_NOTE])
    except Alert.DoesNotExist:
        raise Http404("This alert no longer exists.") from None
    except ActionNotAllowed as error:
        return views._refused(request, pk, 409, str(error))
    said = f"Silenced {dict(silences.SPANS)[span]}"
    if not is_htmx(request):
        messages.success(request, f"{said}: {window.name.removeprefix('Silence: ')}")
        return redirect(f"/alerts/{pk}/")
    return views._detail(request, pk, done=f"{said}. It is quiet within seconds.")


def _named(ids: Any) -> list[tuple[str, str]]:
    """Id and title of alerts, for people."""
    wanted = []
    for text in ids if isinstance(ids, list) else ():
        try:
            wanted.append(UUID(str(text)))
        except ValueError:
            continue
    titles = dict(Alert.objects.filter(pk__in=wanted[:100]).values_list("pk", "title"))
    return [(str(key), titles.get(key, "an alert that is no longer kept")) for key in wanted[:100]]


def _zones() -> list[str]:
    return sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix")))


def _need(request: HttpRequest, permission: str, what: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied(f"Your account may not {what}. Ask an administrator for the operator role.")


def _rights(request: HttpRequest) -> dict[str, bool]:
    may = request.user.has_perm
    return {"can_add": may(ADD), "can_change": may(CHANGE), "can_delete": may(DELETE)}


def _overview_url(kind: str, cursor: str | None = None) -> str:
    given = {name: value for name, value in (("kind", kind), ("cursor", cursor)) if value}
    return reverse("maintenance:overview") + (f"?{urlencode(given)}" if given else "")
