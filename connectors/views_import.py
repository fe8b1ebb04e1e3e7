"""Upload MIBs (or snmptt.conf, OpenNMS events), review what they propose, save what was chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from connectors.mibs import kept, proposals, upload
from connectors.mibs.proposals import Proposal, Review
from opsconductor.portal import portal_page

# Six fields a row: Django takes a thousand in one form.
ROWS_A_PAGE = 100
PROBLEMS_SHOWN = 200
ARCHIVE_BYTES = 20_000_000
STATES = {
    "new": "new",
    "changed": "changes an imported row",
    "same": "as imported before",
    "kept": "already mapped",
}


@dataclass
class ReviewRow:
    """One proposal as the form shows it: its own values, or what a person wrote."""

    number: int
    proposal: Proposal
    values: dict[str, str]
    is_picked: bool
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        if self.proposal.state == "kept":
            return f"already mapped ({self.proposal.existing})"
        return STATES[self.proposal.state]

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return list(self.proposal.reasons.items())

    @property
    def differences(self) -> list[tuple[str, str, str]]:
        return self.proposal.told()

    @property
    def conditions(self) -> list[str]:
        return [proposals.condition_text(condition) for condition in self.proposal.row["conditions"]]

    @property
    def all_errors(self) -> list[str]:
        return list(self.errors.values())


@portal_page("connectors.add_oidmapping")
@require_http_methods(["GET", "HEAD", "POST"])
def upload_page(request: HttpRequest) -> HttpResponseBase:
    refused, status = "", 200
    if request.method == "POST":
        status = 400
        gathered = upload.Gathered()
        files = request.FILES.getlist("files")
        if not files:
            refused = "Choose at least one file."
        elif sum(f.size or 0 for f in files) > upload.TOTAL_BYTES:
            most = upload.TOTAL_BYTES // 1_000_000
            refused = f"These files are larger than {most} MB together. Upload fewer at once."
        else:
            for file in files:
                if (file.size or 0) > ARCHIVE_BYTES:
                    gathered.refuse(file.name or "a file", f"is larger than {ARCHIVE_BYTES // 1_000_000} MB.")
                else:
                    gathered.add(file.name or "a file", file.read())
            review = upload.review(gathered)
            try:
                return redirect("mappings:import-review", token=kept.keep(_user_id(request), review))
            except kept.Unavailable as error:
                refused, status = str(error), 503
    return render(request, "mappings/import.html", {"refused": refused, "limits": upload}, status=status)


@portal_page("connectors.add_oidmapping")
@require_http_methods(["GET", "HEAD", "POST"])
def review_page(request: HttpRequest, token: str) -> HttpResponseBase:
    try:
        review = kept.find(_user_id(request), token)
    except kept.Unavailable as error:
        return render(request, "mappings/import.html", {"refused": str(error), "limits": upload}, status=503)
    if review is None:
        messages.error(request, "What was uploaded is kept for an hour and is gone by now. Upload it again.")
        return redirect("mappings:import")
    proposals.compare(review)
    page = Paginator(list(enumerate(review.proposals)), ROWS_A_PAGE).get_page(request.GET.get("page"))
    if request.method == "POST":
        rows = [_posted(request, number, proposal) for number, proposal in page.object_list]
        if not any(row.errors for row in rows):
            return _saved(request, token, review, rows, page)
    else:
        rows = [_proposed(number, proposal) for number, proposal in page.object_list]
    return _rendered(request, review, rows, page)


def _rendered(request: HttpRequest, review: Review, rows: list[ReviewRow], page: Any) -> HttpResponse:
    counted = proposals.counts(review)
    answer = render(
        request,
        "mappings/review.html",
        {
            "review": review,
            "sources": review.by_source()[: upload.FILES_MAX],
            "errors": review.errors[:PROBLEMS_SHOWN],
            "notes": review.notes[:PROBLEMS_SHOWN],
            "rows": rows,
            "page": page,
            "counts": [(STATES[state], counted[state]) for state in STATES if counted[state]],
            "names": sum(1 for o in review.objects if o.kind),
            "categories": proposals.CATEGORIES,
            "severities": proposals.SEVERITIES,
            "invalid": sum(1 for row in rows if row.errors),
        },
    )
    if any(row.errors for row in rows):
        answer.status_code = 422
    return answer


def _saved(request: HttpRequest, token: str, review: Review, rows: list[ReviewRow], page: Any) -> HttpResponseBase:
    """Saves what is ticked; what stays goes on to the next page, under the names a person gave."""
    _rename(review, rows)
    for row in rows:
        if row.is_picked:
            _apply(row)
    objects = review.objects if request.POST.get("names") else []
    with transaction.atomic():
        saved = proposals.save([row.proposal for row in rows if row.is_picked], objects, replace=True)
        if saved.rows:
            LogEntry.objects.log_actions(_user_id(request), saved.rows, CHANGE, "Imported.")
    if objects:
        review.objects = []
    told = f"Saved {saved.created} new and {saved.changed} changed mappings"
    told += f", and the names of {saved.objects} objects." if saved.objects else "."
    messages.success(request, told)
    for reason in saved.refused:
        messages.error(request, f"Not saved: {reason}")
    try:
        kept.store(_user_id(request), token, review)
    except kept.Unavailable as error:
        messages.error(request, str(error))
        return redirect("mappings:import")
    if page.has_next():
        here = reverse("mappings:import-review", kwargs={"token": token})
        return redirect(f"{here}?{urlencode({'page': page.next_page_number()})}")
    return redirect("mappings:import")


def _proposed(number: int, proposal: Proposal) -> ReviewRow:
    row = proposal.row
    values = {
        "alert_type": row["alert_type"],
        "category": row["category"],
        "severity": row["default_severity"],
        "clears": ", ".join(row["clears"]),
    }
    return ReviewRow(number, proposal, values, proposal.state in ("new", "changed"))


def _posted(request: HttpRequest, number: int, proposal: Proposal) -> ReviewRow:
    """What the form says of this row. A row that is not ticked is not checked."""
    row = _proposed(number, proposal)
    row.is_picked = request.POST.get(f"pick-{number}") is not None
    for name in row.values:
        row.values[name] = request.POST.get(f"{name}-{number}", row.values[name]).strip()
    if row.is_picked:
        row.errors = _problems(row)
        if request.POST.get(f"was-{number}", proposal.version) != proposal.version and _differs(row):
            row.errors["existing"] = (
                "Its mapping was changed since this page was shown: look at the difference, then save again."
            )
        if proposal.existing and proposal.difference and not request.user.has_perm("connectors.change_oidmapping"):
            row.errors["existing"] = "It is mapped already, and your account may add mappings but not change them."
    return row


def _problems(row: ReviewRow) -> dict[str, str]:
    wanted = {**row.proposal.row, **_fields(row)}
    problems = proposals.problems_of(wanted)
    if wanted["clears"] and wanted["default_severity"] != "clear":
        problems["clears"] = "A trap that ends others has severity clear. Choose it, or empty “ends”."
    if any(not word.replace("_", "").isalnum() for word in wanted["clears"]):
        problems["clears"] = "“Ends” lists alert types such as link_down, separated by commas."
    return problems


def _fields(row: ReviewRow) -> dict[str, Any]:
    """The columns a person may change. A clear is what has the severity clear."""
    return {
        "alert_type": row.values["alert_type"],
        "category": row.values["category"],
        "default_severity": row.values["severity"],
        "is_clear_event": row.values["severity"] == "clear",
        "clears": [word for part in row.values["clears"].split(",") if (word := part.strip())],
    }


def _differs(row: ReviewRow) -> bool:
    """Whether what is stored says otherwise than what a person chose; not so when a button was pressed twice."""
    return any(row.proposal.stored.get(name) != value for name, value in _fields(row).items())


def _apply(row: ReviewRow) -> None:
    """What a person wrote, also where conditions of an event file repeat what their event says."""
    before, wanted = dict(row.proposal.row), _fields(row)
    if wanted["is_clear_event"]:
        wanted["ttl_minutes"] = None
    row.proposal.row.update(wanted)
    for condition in before["conditions"]:
        if condition.get("alert_type") != before["alert_type"]:
            continue
        condition["alert_type"] = wanted["alert_type"]
        if wanted["is_clear_event"] and not before["is_clear_event"]:
            condition.pop("severity", None)
            condition.update(is_clear=True, clears=wanted["clears"])
        elif before["is_clear_event"] and not wanted["is_clear_event"] and condition.pop("is_clear", False):
            condition.pop("clears", None)
            condition["severity"] = wanted["default_severity"]
        elif condition.get("severity") == before["default_severity"]:
            condition["severity"] = wanted["default_severity"]


def _rename(review: Review, rows: list[ReviewRow]) -> None:
    """An alert type that was renamed here is renamed wherever the upload's clears name it."""
    renamed = {
        row.proposal.row["alert_type"]: row.values["alert_type"]
        for row in rows
        if row.is_picked and row.values["alert_type"] != row.proposal.row["alert_type"]
    }
    if not renamed:
        return
    for row in rows:
        words = [w.strip() for w in row.values["clears"].split(",") if w.strip()]
        row.values["clears"] = ", ".join(renamed.get(word, word) for word in words)
    for proposal in review.proposals:
        for part in (proposal.row, *proposal.row["conditions"]):
            if part.get("clears"):
                part["clears"] = [renamed.get(word, word) for word in part["clears"]]


def _user_id(request: HttpRequest) -> int:
    assert request.user.pk is not None  # portal_page lets nobody in without one
    return int(request.user.pk)
