"""The dead letters: events that could not be applied."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from alerts.choices import Outcome
from connectors import deadletters
from connectors.deadletters import DISCARDED, Done, Filters
from connectors.models import Connector, RawEvent
from connectors.traps.interpret import describe
from opsconductor import keyset
from opsconductor.portal import portal_page

LOOK, ACT = "alerts.view_alert", "alerts.act_on_alert"
PAGE_SIZE = 50
ACTIONS = ("retry", "discard")
NAMES = ("source", "reason", "kind")


@require_safe
@portal_page(LOOK)
def dead_letters(request: HttpRequest) -> HttpResponseBase:
    filters = _filters(request.GET)
    try:
        page = keyset.page(filters.events().defer("datagram", "data"), cursor=request.GET.get("cursor"), size=PAGE_SIZE)
    except keyset.InvalidCursor:
        return redirect(_url(filters))
    number = filters.count()
    rows = [{"event": event, "said": said(event), "because": because(event)} for event in page.rows]
    answer = render(
        request,
        "system/dead_letters.html",
        {
            "rows": rows,
            "filters": filters,
            "choices": deadletters.choices(),
            "number": min(number, deadletters.MOST_COUNTED),
            "is_more": number > deadletters.MOST_COUNTED,
            "older": _url(filters, page.next),
            "newer": _url(filters, page.previous),
            "can_act": request.user.has_perm(ACT),
        },
    )
    patch_cache_control(answer, no_store=True, private=True)
    return answer


@require_safe
@portal_page(LOOK)
def dead_letter(request: HttpRequest, pk: int) -> HttpResponseBase:
    event = _event(pk)
    is_dead = event.outcome in (Outcome.FAILED, Outcome.PENDING) and event.reason != DISCARDED
    answer = render(
        request,
        "system/dead_letter.html",
        {
            "event": event,
            "is_dead": is_dead,
            "said": said(event),
            "because": because(event),
            "content": deadletters.content(event) if is_dead else None,
            "json": json.dumps(event.data, indent=2, ensure_ascii=False) if is_dead and event.data is not None else "",
            "connector": Connector.objects.defer(*Connector.SECRETS).filter(pk=event.connector_id or 0).first(),
            "can_act": request.user.has_perm(ACT),
        },
    )
    patch_cache_control(answer, no_store=True, private=True)
    return answer


@require_POST
@portal_page(LOOK)
def act_on_one(request: HttpRequest, pk: int, action: str) -> HttpResponseBase:
    by = _may_act(request, action)
    event = _event(pk)
    done = deadletters.retry_one(event) if action == "retry" else deadletters.discard_one(event, by)
    if done.total:
        LogEntry.objects.log_actions(by.pk, [event], CHANGE, _told(action, done), single_object=True)
    _say(request, action, done, one=True)
    if action == "retry" and not _is_settled(done):
        return redirect("journal:dead-letter", pk=pk)
    return redirect("journal:dead-letters")


@require_POST
@portal_page(LOOK)
def act_on_all(request: HttpRequest) -> HttpResponseBase:
    """The whole filtered set. Asks first, with the number; what came later than the question is not meant."""
    action = request.POST.get("action", "")
    by = _may_act(request, action)
    filters = _filters(request.POST)
    if not request.POST.get("sure"):
        number = filters.count()
        newest = filters.events().values_list("received_at", flat=True).first()
        if newest is None:
            messages.success(request, "There is none of them any more.")
            return redirect(_url(filters))
        answer = render(
            request,
            "system/dead_letters_sure.html",
            {
                "action": action,
                "filters": filters,
                "until": newest.isoformat(),
                "number": min(number, deadletters.MOST_COUNTED),
                "is_more": number > deadletters.MOST_COUNTED,
                "back": _url(filters),
            },
        )
        patch_cache_control(answer, no_store=True, private=True)
        return answer
    done = deadletters.retry(filters) if action == "retry" else deadletters.discard(filters, by)
    if done.total:
        LogEntry.objects.create(
            user_id=by.pk,
            content_type=ContentType.objects.get_for_model(RawEvent),
            object_repr=f"{done.total:,} dead letters",
            action_flag=CHANGE,
            change_message=_told(action, done),
        )
    _say(request, action, done)
    return redirect(_url(Filters(filters.source, filters.reason, filters.kind)))


def because(event: RawEvent) -> str:
    """The last line of a traceback is what went wrong; else the whole of it is a sentence."""
    if event.outcome == Outcome.PENDING:
        return "It waits to be applied."
    lines = event.error.strip().splitlines()
    return (lines[-1].removeprefix(f"{event.reason}: ") if lines else describe(event.reason))[:300]


def said(event: RawEvent) -> str:
    return "pending" if event.outcome == Outcome.PENDING else event.reason


def _event(pk: int) -> RawEvent:
    event = RawEvent.objects.filter(pk=pk).first() if pk < 1 << 63 else None
    if event is None:
        raise Http404
    return event


def _may_act(request: HttpRequest, action: str) -> User:
    if action not in ACTIONS:
        raise Http404
    if not request.user.has_perm(ACT):
        raise PermissionDenied(
            "Your account may look at dead letters. Retrying and discarding needs the operator role."
        )
    assert isinstance(request.user, User)  # portal_page lets nobody else in
    return request.user


def _filters(given: Any) -> Filters:
    values = {name: str(given.get(name, "")).strip().replace("\0", "")[:200] for name in NAMES}
    return Filters(**values, until=_time(str(given.get("until", ""))))


def _time(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _url(filters: Filters, cursor: str | None = "") -> str:
    """Empty when there is no such page."""
    if cursor is None:
        return ""
    given = {**filters.given, **({"cursor": cursor} if cursor else {})}
    return f"{reverse('journal:dead-letters')}{'?' + urlencode(given) if given else ''}"


def _is_settled(done: Done) -> bool:
    return bool(done.total) and not done.waiting and Outcome.FAILED.value not in done.outcomes


def _told(action: str, done: Done) -> str:
    if action == "discard":
        return f"Discarded {done.total:,}."
    parts = [f"{outcome.replace('_', ' ')} {number:,}" for outcome, number in sorted(done.outcomes.items())]
    parts += [f"waiting {done.waiting:,}"] if done.waiting else []
    return f"Retried {done.total:,}: {', '.join(parts)}."


def _say(request: HttpRequest, action: str, done: Done, *, one: bool = False) -> None:
    failed = done.outcomes.get(Outcome.FAILED.value, 0) if action == "retry" else 0
    if not done.total and not done.more:
        messages.success(request, "Somebody else was there first: nothing was left to do.")
    elif action == "discard":
        messages.success(request, "Discarded. The event stays in the journal." if one else _told(action, done))
    elif one and failed:
        messages.error(request, "It failed again; this is its new reason.")
    elif one and done.total and not done.waiting:
        became = next(iter(done.outcomes), "").replace("_", " ")
        messages.success(request, f"Applied: {became}.")
    elif done.total:
        (messages.error if failed else messages.success)(request, _told(action, done))
    if done.waiting:
        messages.success(request, f"{done.waiting:,} wait their turn and are applied within minutes.")
    if done.more:
        messages.error(
            request, "There is more than one request can do, or the database is away. Do it again for the rest."
        )
