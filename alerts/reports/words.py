"""Figures of a report as people and spreadsheets read them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from alerts.reports.tables import Report, Table
from alerts.templatetags.portal import moment

SHARES = frozenset({"share", "group_share"})
SPANS = frozenset({"median"})


def span(seconds: float | None) -> str:
    """45 s, 12 min, 3.5 h, 4.2 d."""
    if seconds is None:
        return "none"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def percent(share: float) -> str:
    return f"{share * 100:.1f}\N{NO-BREAK SPACE}%"


def cell(key: str, value: Any) -> Any:
    """For the page."""
    if isinstance(value, datetime):
        return moment(value)
    if key in SHARES:
        return percent(value)
    if key in SPANS:
        return span(value)
    return f"{value:,}" if isinstance(value, int) else value


class Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def safe(value: Any) -> Any:
    """No spreadsheet takes it for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else value


def as_csv(table: Table) -> Iterator[str]:
    writer = csv.writer(Echo())
    yield writer.writerow([heading for _, heading in table.columns])
    for line in table.lines:
        yield writer.writerow([safe(line.cells.get(key)) for key, _ in table.columns])


def as_json(report: Report) -> dict[str, Any]:
    """The whole report for programs; times in ISO 8601, spans in seconds, shares from 0 to 1."""
    rate = report.rate
    return {
        "from": report.asked.begin.isoformat(),
        "to": report.asked.end.isoformat(),
        "operators": report.asked.operators,
        "alarms": rate.alarms,
        "alarms_per_operator_and_10_min": rate.per_stretch,
        "alarms_per_operator_and_day": rate.per_day,
        "most_in_10_min": rate.peak,
        "share_of_time_acceptable": rate.acceptable_share,
        "share_of_time_in_flood": rate.flood_share,
        "time_to_acknowledge": vars(report.acknowledged),
        "time_to_end": vars(report.ended),
        "opened": report.quiet["opened"],
        "never_told": report.quiet["never_told"],
        "top_10_share": report.top_share,
        "tables": {
            table.key: [{key: line.cells.get(key) for key, _ in table.columns} for line in table.lines]
            for table in report.tables
        },
    }
