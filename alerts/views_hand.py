"""Acting on many alerts from the board, how many a filter matches, and taking back; with and without JavaScript."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase, JsonResponse, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from alerts import actions, bulk, hands, queries, silences, undo
from alerts.deeds import Assign, Deed, Reopen, Resolve, Unacknowledge
from alerts.models import Alert
from alerts.recurrence import next_morning
from alerts.windows import zone_named
from opsconductor.exceptions import ActionNotAllowed
from opsconductor.portal import back_to, portal_page

VIEW, ACT, SILENCE = "alerts.view_alert", "alerts.act_on_alert", "alerts.add_maintenancewindow"
MAX_NOTE = 5000
MAY_NOT = "Your account may look at alerts but not act on them. Ask for the operator role."
MORNING = "morning"
DONE = {
    "acknowledge": "Acknowledged",
    "unacknowledge": "No longer acknowledged:",
    "resolve": "Resolved",
    "reopen": "Reopened",
    "assign": "Assigned",
    "note": "Noted on",
    "silence": "Silenced",
}
MOST_NAMED = 300  # people a sheet offers


class Mistaken(ActionNotAllowed):
    """What was sent cannot be read."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, action="", status="")


@require_POST
@portal_page(VIEW)
def act(request: HttpRequest) -> HttpResponseBase:
    """`action` on the alerts `id`, or with `all` on those that `filter` (a board's query string) matches `as_of`."""
    user: Any = request.user
    try:
        if not user.has_perm(ACT):
            return _refused(request, 403, MAY_NOT)
        word = request.POST.get("action", "")
        notes = request.POST.get("notes", "")[:MAX_NOTE].replace("\0", "")
        what = deed_of(word, request.POST, user, notes)
        ids = _all(request, user, what) if request.POST.get("all") else _ids(request.POST)
        if not ids:
            raise Mistaken("No alert is selected.")
        outcome = bulk.perform(what, ids, by=user, notes=notes, undoable=True)
    except ActionNotAllowed as error:
        return _refused(request, 409, str(error))
    return _done(request, sentence(what, outcome, ids), outcome.undo, done=outcome.number(hands.DONE))


@require_POST
@portal_page(VIEW)
def take_back(request: HttpRequest, token: UUID) -> HttpResponseBase:
    user: Any = request.user
    if not user.has_perm(ACT):
        return _refused(request, 403, MAY_NOT)
    try:
        back = undo.take_back(token, by=user)
    except undo.NothingToUndo as error:
        return _refused(request, 409, str(error))
    said = f"Undone: {_alerts(back.done)} as before."
    if back.changed:
        said += (
            f" {_alerts(back.changed)} left alone, because somebody or something changed {_them(back.changed)} since."
        )
    return _done(request, said, None, done=back.done)


@require_safe
@portal_page(VIEW)
def matching(request: HttpRequest) -> HttpResponseBase:
    """How many alerts a board's filters match as of a sequence; what “select all that match” will touch."""
    sequence = queries.latest_sequence()
    try:
        as_of = _as_of(request.GET)
        found = _matching(request.GET, request.user, as_of)
    except ActionNotAllowed as error:
        return _refused(request, 409, str(error))
    number = found.order_by()[: bulk.MOST + 1].count()
    return JsonResponse(
        {"number": min(number, bulk.MOST), "more": number > bulk.MOST, "as_of": sequence if as_of is None else as_of}
    )


@require_safe
@portal_page(ACT)
def people(request: HttpRequest) -> HttpResponseBase:
    """Whom an alert may be assigned to, by name."""
    return JsonResponse({"people": list(assignable().values_list("username", flat=True)[:MOST_NAMED])})


def assignable() -> Any:
    """Active users who may act on alerts, by name."""
    permission = Permission.objects.filter(content_type__app_label="alerts", codename="act_on_alert")
    may = Q(is_superuser=True) | Q(user_permissions__in=permission) | Q(groups__permissions__in=permission)
    return User.objects.filter(may, is_active=True).distinct().order_by("username")


def deed_of(word: str, data: QueryDict, user: Any, notes: str) -> Deed | bulk.Silencing:
    """What a form asks for. Raises ActionNotAllowed, PermissionDenied."""
    match word:
        case "acknowledge":
            return actions.acknowledging(until_of(data))
        case "unacknowledge":
            return Unacknowledge()
        case "resolve":
            return Resolve()
        case "reopen":
            return Reopen()
        case "assign":
            return actions.assigning(assignee_of(data, user))
        case "note":
            return actions.noting(notes)
        case "silence":
            if not user.has_perm(SILENCE):
                raise PermissionDenied("Your account may not silence alerts. Ask for the operator role.")
            return bulk.Silencing(data.get("silence", ""), zone_of(data))
    raise Mistaken(f"“{word[:40]}” is nothing that can be done to alerts.")


def until_of(data: QueryDict) -> datetime | None:
    """`minutes` from now, or `until`: morning in `time_zone`, or ISO 8601 (UTC without an offset); neither: until
    somebody changes it. Raises ActionNotAllowed."""
    minutes, until = data.get("minutes", ""), data.get("until", "")
    try:
        if minutes:
            return timezone.now() + timedelta(minutes=int(minutes))
        if until == MORNING:
            return next_morning(timezone.now(), zone_of(data))
        if until:
            moment = datetime.fromisoformat(until)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ActionNotAllowed(
            f"“{(minutes or until)[:60]}” is not a time an acknowledgement could last until.",
            action="acknowledge",
            status="",
        ) from None
    return None


def assignee_of(data: QueryDict, user: Any) -> User | None:
    """`assignee`: a user name, me, or empty for nobody. Raises ActionNotAllowed."""
    name = data.get("assignee", "").strip()
    if name in ("", "me"):
        return user if name else None
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None or not found.has_perm(ACT):
        raise Mistaken(f"“{name[:60]}” is not a user who may act on alerts.")
    return found


def zone_of(data: QueryDict) -> ZoneInfo:
    """Where morning is; a zone that does not exist is the server's."""
    try:
        return zone_named(data.get("time_zone") or timezone.get_default_timezone_name())
    except ValueError:
        return ZoneInfo(timezone.get_default_timezone_name())


def sentence(what: Deed | bulk.Silencing, outcome: bulk.Outcome, ids: list[UUID]) -> str:
    """Acknowledged 12 alerts. 1 was left alone: This alert has ended."""
    done = outcome.number(hands.DONE)
    said = f"{DONE[what.word]} {_alerts(done)}"
    if done == 1 and len(ids) == 1:
        title, kind = Alert.objects.values_list("title", "alert_type").get(pk=ids[0])
        said = (
            f"{DONE[what.word]}: {title or kind}" if not DONE[what.word].endswith(":") else f"{DONE[what.word]} {title}"
        )
    if isinstance(what, Assign):
        said += f" to {what.assignee.name}" if what.assignee else " to nobody"
    if isinstance(what, bulk.Silencing):
        said += f" {dict(silences.SPANS)[what.span]}"
    left = [r for r in outcome.results if r.outcome != hands.DONE]
    if not left:
        return f"{said}."
    why = " ".join(dict.fromkeys(r.detail for r in left[:3]))
    if not done:
        return f"Nothing was changed. {why}"
    return f"{said}. {_alerts(len(left))} left alone: {why}"


def _alerts(number: int) -> str:
    return f"{number:,} alert{'' if number == 1 else 's'}"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _ids(data: QueryDict) -> list[UUID]:
    try:
        return [UUID(text) for text in data.getlist("id")]
    except ValueError:
        raise Mistaken("What was selected is not an alert. Reload the page and try again.") from None


def _all(request: HttpRequest, user: Any, what: Deed | bulk.Silencing) -> list[UUID]:
    as_of = _as_of(request.POST)
    if as_of is None:
        raise Mistaken("All that match as of when? Reload the page and try again.")
    return bulk.ids_of(_matching(QueryDict(request.POST.get("filter", "").lstrip("?")), user, as_of), what)


def _as_of(data: QueryDict) -> int | None:
    text = data.get("as_of", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Mistaken("“as_of” is a number of the history. Reload the page and try again.")
    return int(text) if text else None


def _matching(data: QueryDict, user: Any, as_of: int | None) -> Any:
    filterset = queries.BoardQuery.of(data).filterset(Alert.objects.all(), user)
    if not filterset.is_valid():
        raise Mistaken(" ".join(queries.filter_errors(filterset)))
    return bulk.matching(filterset.qs, as_of=as_of)


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def _done(request: HttpRequest, said: str, token: UUID | None, *, done: int) -> HttpResponseBase:
    if not _wants_json(request):
        (messages.success if done else messages.error)(request, said)
        return redirect(back_to(request, "/alerts/"))
    return JsonResponse(
        {"sentence": said, "done": done, "undo": str(token) if token else None, "seconds": undo.SECONDS}
    )


def _refused(request: HttpRequest, status: int, said: str) -> HttpResponseBase:
    if not _wants_json(request):
        if status == 403:
            raise PermissionDenied(said)
        messages.error(request, said)
        return redirect(back_to(request, "/alerts/"))
    return JsonResponse({"sentence": said}, status=status)
