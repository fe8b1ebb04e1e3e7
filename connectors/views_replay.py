"""Replays: what to read again, what would change, what changed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from kombu.exceptions import KombuError

from connectors import replay_runs
from connectors.models import Connector, OIDMapping, ReplayRun
from connectors.replay_difference import KINDS, LEFT, label
from connectors.replay_selection import BadSelection, Selection, chosen_mapping
from opsconductor.celery import app
from opsconductor.exceptions import sentence
from opsconductor.portal import is_htmx, portal_page

log = logging.getLogger(__name__)

# Who may edit mappings may put what they meant into effect.
MAY = "connectors.change_oidmapping"
TASK = "connectors.tasks.replay"
RUNS_SHOWN = 25
MAPPINGS_SUGGESTED = 25
SPANS = (
    ("1h", "the last hour"),
    ("24h", "the last 24 hours"),
    ("7d", "the last 7 days"),
    ("all", "all that is kept"),
    ("own", "between these times"),
)
DEFAULT_SPAN = "24h"
FIELDS = ("span", "since", "until", "connector", "source", "oid", "mapping")


@dataclass(frozen=True)
class Line:
    """One entry of a sample, in words."""

    what: str
    url: str
    more: str
    severity: str = ""


@dataclass(frozen=True)
class Part:
    """One kind of change: how many, and a sample of them."""

    kind: str
    title: str
    total: int
    lines: list[Line]
    because: list[tuple[int, str]]  # of what is left as it is

    @property
    def more(self) -> int:
        return max(0, self.total - len(self.lines)) if self.kind != "moved" else 0


@dataclass(frozen=True)
class RunView:
    """A run as its page and the list show it."""

    run: ReplayRun
    word: str  # waiting, running, done, failed, broken off
    phase: str
    who: str
    chosen: list[tuple[str, str]]
    parts: list[Part]

    @property
    def is_live(self) -> bool:
        return self.word in ("waiting", "running")

    @property
    def read(self) -> int:
        return int(self.run.result.get("read") or 0)

    @property
    def times(self) -> tuple[datetime | None, datetime | None]:
        """From and to; nothing for the beginning of the journal."""
        since, until = self.run.selection.get("since"), self.run.selection.get("until")
        return (
            datetime.fromisoformat(since) if since else None,
            datetime.fromisoformat(until) if until else None,
        )

    @property
    def at(self) -> datetime | None:
        """How far the journal is read."""
        at = self.run.result.get("at")
        return datetime.fromisoformat(at) if at else None

    @property
    def unchanged(self) -> int:
        return int(self.run.result.get("unchanged") or 0)

    @property
    def summary(self) -> str:
        """One line for the list."""
        result = self.run.result
        if "samples" not in result:
            moved = result.get("applied")
            return f"{int(moved):,} events moved by then" if moved else ""
        found = [
            f"{result[kind]:,} {'events ' if kind == 'moved' else ''}{kind}"
            for kind in ("moved", "opened", "cleared", "closed", "changed")
            if result.get(kind)
        ]
        return ", ".join(found) or "nothing to change"

    @property
    def is_empty(self) -> bool:
        return not any(part.total for part in self.parts if part.kind != "left")

    @property
    def again_url(self) -> str:
        chosen = {name: value for name, value in self.run.selection.items() if value and name != "until"}
        span = {"span": "own"} if chosen.get("since") else {"span": "all"}
        return f"{reverse('journal:replay')}?{urlencode({**span, **chosen})}"


def view_of(run: ReplayRun, names: dict[str, str] | None = None) -> RunView:
    broken = replay_runs.is_broken_off(run)
    live = run.state == ReplayRun.State.RUNNING and not broken
    waiting = live and "begun_at" not in run.result
    word = "broken off" if broken else "waiting" if waiting else "running" if live else run.state
    return RunView(
        run=run,
        word=word,
        phase=replay_runs.PHASES.get(run.result.get("phase", ""), "") if live else "",
        who=run.started_by.get_username() if run.started_by else "command line",
        chosen=_chosen(run.selection, names or {}),
        parts=[_part(kind, run.result) for kind in KINDS] if "samples" in run.result else [],
    )


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(MAY)
def replays(request: HttpRequest) -> HttpResponseBase:
    given = request.POST if request.method == "POST" else request.GET
    values = {name: str(given.get(name, "")).strip()[:300] for name in FIELDS}
    error, field = "", ""
    if request.method == "POST":
        try:
            selection = Selection.of(_asked(values))
        except BadSelection as refused:
            error, field = str(refused), refused.field
        else:
            run = _start(request, selection, dry_run=given.get("action") != "run")
            return redirect("journal:replay-run", pk=run.pk)
    elif values["mapping"]:
        row = chosen_mapping(values["mapping"])
        values["mapping"] = mapping_label(row) if row else ""
    values["span"] = values["span"] or DEFAULT_SPAN
    names = dict(Connector.objects.order_by("name").values_list("slug", "name"))
    runs = ReplayRun.objects.select_related("started_by")[:RUNS_SHOWN]
    answer = render(
        request,
        "system/replay.html",
        {
            "values": values,
            "spans": SPANS,
            "connectors": names.items(),
            "mappings": suggestions(values["mapping"]),
            "error": error,
            "error_field": field,
            "runs": [view_of(run, names) for run in runs],
        },
        status=422 if error else 200,
    )
    patch_cache_control(answer, no_store=True, private=True)
    return answer


def mapping_label(row: OIDMapping) -> str:
    """Begins with what a selection takes, and holds what one searches by."""
    return " ".join(filter(None, (f"{row.pk}:", row.vendor, row.alert_type, row.oid_pattern, row.mib_object)))


def suggestions(text: str) -> list[str]:
    """Mappings whose number, OID, vendor, alert type or MIB object hold each word of the text."""
    rows = OIDMapping.objects.order_by("alert_type", "oid_pattern")
    for word in text.replace("\0", "").split():
        word = word.removesuffix(":")
        is_key = Q(pk=int(word)) if word.isdecimal() and len(word) < 18 else Q()
        held = Q(oid_pattern__contains=word.lstrip(".")) | Q(vendor__icontains=word) | Q(alert_type__icontains=word)
        held |= Q(mib_object__icontains=word)
        rows = rows.filter(held | is_key if is_key else held)
    return [mapping_label(row) for row in rows[:MAPPINGS_SUGGESTED]]


@require_safe
@portal_page(MAY)
def suggest_mappings(request: HttpRequest) -> HttpResponseBase:
    found = suggestions(request.GET.get("mapping", "")[:300])
    return render(request, "maintenance/_options.html", {"options": [(label, "") for label in found]})


@require_safe
@portal_page(MAY)
def run_page(request: HttpRequest, pk: int) -> HttpResponseBase:
    run = get_object_or_404(ReplayRun.objects.select_related("started_by"), pk=pk)
    names = dict(Connector.objects.values_list("slug", "name"))
    template = "system/_replay_run.html" if is_htmx(request) else "system/replay_run.html"
    answer = render(request, template, {"view": view_of(run, names), "now": timezone.now()})
    patch_cache_control(answer, no_store=True, private=True)
    return answer


@require_POST
@portal_page(MAY)
def stop(request: HttpRequest, pk: int) -> HttpResponseBase:
    run = get_object_or_404(ReplayRun, pk=pk)
    if run.state == ReplayRun.State.RUNNING:
        replay_runs.ask_to_stop(run, _person(request))
        messages.success(request, "It stops after the step it is at. What it has done by then stays.")
    return redirect("journal:replay-run", pk=pk)


def _asked(values: dict[str, str]) -> dict[str, str]:
    """The form's words as Selection takes them."""
    span = values["span"] or DEFAULT_SPAN
    if span == "own" or values["since"] or values["until"]:
        return values  # what was typed is meant
    return {**values, "since": "" if span == "all" else span, "until": ""}


def _start(request: HttpRequest, selection: Selection, *, dry_run: bool) -> ReplayRun:
    run = replay_runs.begin(selection, dry_run=dry_run, by=_person(request))
    try:
        app.send_task(TASK, (run.pk,), retry=False)
    except (KombuError, OSError) as error:
        log.warning("A replay could not be handed to a worker: %s", sentence(error))
        run.state, run.finished_at = ReplayRun.State.FAILED, timezone.now()
        run.error = "No worker could be asked, for the message broker does not answer. manage.py replay does without."
        run.save(update_fields=["state", "finished_at", "error"])
    return run


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # portal_page lets nobody else in
    return request.user


def _chosen(selection: dict[str, str], names: dict[str, str]) -> list[tuple[str, str]]:
    """The selection in words; times stay ISO for the page to localise."""
    found = []
    if selection.get("connector"):
        found.append(("connector", names.get(selection["connector"], selection["connector"])))
    if selection.get("source"):
        found.append(("address", selection["source"]))
    if selection.get("oid"):
        found.append(("trap", selection["oid"]))
    if selection.get("mapping"):
        found.append(("traps read by mapping", selection["mapping"]))
    return found


TITLES = {
    "opened": "Opened",
    "moved": "Events that go to another place",
    "cleared": "Cleared",
    "closed": "Closed, for no event belongs to them any more",
    "changed": "Changed",
    "left": "Left as they are",
}


def _part(kind: str, result: dict[str, Any]) -> Part:
    lines = [_line(kind, entry) for entry in result["samples"].get(kind, ())]
    because = [(n, LEFT[reason]) for reason, n in result["left_because"].items()] if kind == "left" else []
    return Part(kind, TITLES[kind], int(result.get(kind) or 0), lines, because)


def _line(kind: str, entry: dict[str, Any]) -> Line:
    if kind == "moved":
        number = entry["events"]
        target = entry["to"]
        return Line(
            f"{number:,} event{'s' * (number != 1)} from {label(entry['from'])}", _url(entry["from"]),
            f"to {label(target)}", "",
        )  # fmt: skip
    if kind == "left":
        return Line(
            f"{entry['subject'] or 'event'} from {entry['source']}",
            _url(entry),
            f"{entry['was'].replace('_', ' ')}, and stays so",
        )
    more = label(entry)
    if kind == "opened" and (entry["again"] or entry["now"] != "raised"):
        more += f"; {'came back' if entry['again'] else 'opened'}, {entry['now']} by now"
    if kind == "changed":
        said = [f"{name.replace('_', ' ')}: {a} → {b}" for name, (a, b) in entry["changes"].items()]
        more += "; " + "; ".join(said)
    return Line(entry["title"] or label(entry), _url(entry), more, entry["severity"])


def _url(entry: dict[str, Any]) -> str:
    return f"/alerts/{entry['alert']}/" if entry.get("alert") else ""
