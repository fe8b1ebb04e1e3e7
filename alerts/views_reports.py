"""Reports: how many alarms people get, which ones, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from alerts.choices import Category
from alerts.reports import words
from alerts.reports.asked import PRESETS, Asked
from alerts.reports.figures import Volume
from alerts.reports.gathered import TooMuch, gathered
from alerts.reports.tables import MAKERS, Report, Table, report
from alerts.reports.tuning import Tuning
from dependencies.models import Device
from opsconductor.portal import portal_page

VIEW = "alerts.view_alert"
TOO_MUCH = "This period holds more than can be counted in half a minute. Choose a shorter one, or a site or category."
WIDTH, HEIGHT = 720, 90
CHOICES = 500


@dataclass(frozen=True)
class Card:
    """One figure with its guide value; `tone` says how it compares: good, fair, bad, or nothing."""

    label: str
    value: str
    note: str
    tone: str = ""
    url: str = ""


@require_safe
@portal_page(VIEW)
def overview(request: HttpRequest) -> HttpResponseBase:
    asked = Asked.of(request.GET)
    sites = Device.objects.exclude(site="").order_by("site")
    people = User.objects.filter(is_active=True).order_by("username")
    context: dict[str, Any] = {
        "asked": asked,
        "presets": [
            (key, label, f"?{asked.query(**{'period': key, 'from': '', 'to': ''})}") for key, label in PRESETS.items()
        ],
        "categories": Category.values,
        "sites": list(sites.values_list("site", flat=True).distinct()[:CHOICES]),
        "operators": list(people.values_list("username", flat=True)[:CHOICES]),
        "begin_local": asked.local(asked.begin),
        "end_local": asked.local(asked.end),
        "begin_said": asked.local(asked.begin).replace("T", " "),
        "end_said": asked.local(asked.end).replace("T", " "),
        "query": asked.query(),
    }  # fmt: skip
    try:
        with gathered(asked) as alarms:
            found = report(alarms, asked)
    except TooMuch:
        return _fresh(render(request, "reports/report.html", {**context, "too_much": TOO_MUCH}, status=503))
    if request.GET.get("format") == "json":
        return _fresh(JsonResponse(words.as_json(found)))
    tuning = Tuning(request.user)
    context |= {
        "report": found,
        "cards": cards(found),
        "bars": bars(found.volumes),
        "most": max((volume.number for volume in found.volumes), default=0),
        "tables": [(table, _heads(table), _shown(table, tuning)) for table in found.tables],
        "chart": {"width": WIDTH, "height": HEIGHT},
    }
    return _fresh(render(request, "reports/report.html", context, status=400 if asked.errors else 200))


@require_safe
@portal_page(VIEW)
def table(request: HttpRequest, key: str) -> HttpResponseBase:
    """One table as CSV."""
    if key not in MAKERS:
        raise Http404("There is no such table.")
    asked = Asked.of(request.GET)
    try:
        with gathered(asked) as alarms:
            found = MAKERS[key](alarms, asked)
    except TooMuch:
        return HttpResponse(TOO_MUCH, status=503, content_type="text/plain; charset=utf-8")
    answer = StreamingHttpResponse(words.as_csv(found), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{key}.csv"'
    patch_cache_control(answer, no_store=True, private=True)
    return answer


def _heads(found: Table) -> list[tuple[str, bool]]:
    """Headings, and whether numbers stand below."""
    cells = found.lines[0].cells if found.lines else {}
    return [(heading, isinstance(cells.get(key), int | float)) for key, heading in found.columns]


def _shown(found: Table, tuning: Tuning) -> list[dict[str, Any]]:
    keys = [key for key, _ in found.columns]
    return [
        {
            "head": words.cell(keys[0], line.cells.get(keys[0])) or "none",
            "cells": [
                (words.cell(key, line.cells.get(key)), isinstance(line.cells.get(key), int | float)) for key in keys[1:]
            ],
            "url": line.url,
            "helps": tuning.links(line.helps),
        }
        for line in found.lines
    ]


def cards(found: Report) -> list[Card]:
    rate, asked = found.rate, found.asked
    tone = "good" if rate.per_stretch <= 1 else "fair" if rate.per_stretch <= 2 else "bad"
    quiet = found.quiet
    share = quiet["never_told"] / quiet["opened"] if quiet["opened"] else 0.0
    floods = f"{len(rate.floods)} flood{'' if len(rate.floods) == 1 else 's'}"
    several = f" and {asked.operators} operators" if asked.operators > 1 else ""
    return [
        Card(
            "Alarms per operator and 10 min",
            f"{rate.per_stretch:.2f}",
            f"{rate.verdict}; guide: at most 1, never more than 2",
            tone,
            asked.board(),
        ),
        Card(
            "Alarms",
            f"{rate.alarms:,}",
            f"{rate.per_day:,.0f} a day for one operator{several}; guide: 150 to 300",
            "",
            asked.board(),
        ),
        Card(
            "Time in flood",
            words.percent(rate.flood_share),
            f"{floods}, most {rate.peak} in 10 min; guide: under 1 %",
            "good" if rate.flood_share < 0.01 else "bad",
            "#floods",
        ),
        Card(
            "Calm stretches",
            words.percent(rate.acceptable_share),
            "10-minute stretches with at most one alarm for one operator",
            "",
            "#volume-title",
        ),
        Card(
            "Top ten types",
            words.percent(found.top_share),
            "of all alarms; guide: 1 to 5 %",
            "good" if found.top_share <= 0.05 else "fair",
            "#types",
        ),
        Card(
            "Time to acknowledge",
            words.span(found.acknowledged.median),
            f"median; mean {words.span(found.acknowledged.mean)}, 90 % within {words.span(found.acknowledged.p90)}; "
            f"{found.acknowledged.missing:,} still open without",
            "",
            asked.board(status="active,suppressed"),
        ),
        Card(
            "Time to end",
            words.span(found.ended.median),
            f"median; mean {words.span(found.ended.mean)}, 90 % within {words.span(found.ended.p90)}; "
            f"{found.ended.missing:,} still open",
            "",
            asked.board(status="active,acknowledged,suppressed"),
        ),
        Card(
            "Never told",
            words.percent(share),
            f"{quiet['never_told']:,} of {quiet['opened']:,} problems that began stayed quiet",
            "",
            asked.never_told(),
        ),
    ]  # fmt: skip


def bars(volumes: list[Volume]) -> list[dict[str, Any]]:
    most = max((volume.number for volume in volumes), default=0)
    width = WIDTH / max(1, len(volumes))
    drawn = []
    for number, volume in enumerate(volumes):
        height = volume.number / most * (HEIGHT - 2) if most else 0.0
        drawn.append(
            {
                "at": volume.at,
                "number": volume.number,
                "x": round(number * width + width * 0.08, 2),
                "y": round(HEIGHT - height, 2),
                "width": round(max(0.5, width * 0.84), 2),
                "height": round(height, 2),
            }
        )
    return drawn


def _fresh(response: HttpResponse) -> HttpResponse:
    patch_cache_control(response, no_store=True, private=True)
    return response
