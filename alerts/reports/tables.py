"""A report as tables: for the page, for CSV, for programs. Every row leads to its alerts and to what would help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.choices import SuppressionKind
from alerts.reports import figures
from alerts.reports.asked import Asked
from alerts.reports.figures import Spread, Volume
from alerts.reports.floods import Rate
from alerts.reports.gathered import Alarms
from alerts.reports.tuning import DEDUPLICATION, MAINTENANCE, MAPPING, SETTING, Help
from alerts.whyview import KEPT_QUIET


@dataclass(frozen=True)
class Line:
    """`cells` by column key; `url` leads to the alerts of the row."""

    cells: dict[str, Any]
    url: str = ""
    helps: tuple[Help, ...] = ()


@dataclass(frozen=True)
class Table:
    """`columns`: key and heading; the first one carries the link. `note`: how it is counted, and the guide value."""

    key: str
    title: str
    columns: tuple[tuple[str, str], ...]
    lines: list[Line]
    note: str = ""
    said: str = ""  # beside the heading: how many there are


@dataclass
class Report:
    asked: Asked
    rate: Rate
    volume_unit: str
    volumes: list[Volume]
    acknowledged: Spread
    ended: Spread
    quiet: dict[str, Any]
    top_share: float
    tables: list[Table] = field(default_factory=list)


def report(alarms: Alarms, asked: Asked) -> Report:
    rate = figures.alarm_rate(alarms, asked)
    unit, volumes = figures.volumes(alarms, asked)
    found = Report(
        asked,
        rate,
        unit,
        volumes,
        figures.time_to(alarms, "acked_at"),
        figures.time_to(alarms, "ended_at"),
        figures.kept_quiet(alarms, asked),
        0.0,
    )
    found.tables = [make(alarms, asked) for make in (_types, _devices)]
    found.top_share = sum(line.cells["share"] for line in found.tables[0].lines)
    found.tables += [_floods(rate, asked)]
    found.tables += [make(alarms, asked) for make in (_chattering, _fleeting, _standing, _untouched)]
    found.tables += [_priorities(alarms, asked), _quiet(found.quiet, asked), _people(alarms, asked)]
    return found


def _of_type(row: dict[str, Any], asked: Asked, *helps: Help, **more: str) -> Line:
    url = asked.board(search=f'type:"{row["alert_type"]}"', source_system=row["source_system"], **more)
    return Line(row, url, helps)


def _setting(row: dict[str, Any], label: str, **values: Any) -> Help:
    """A setting of the alert type, with these values to begin with."""
    return Help(label, SETTING, row["source_system"], row["alert_type"], values=values)


def _mapping(row: dict[str, Any]) -> Help:
    return Help("Severity", MAPPING, row["source_system"], row["alert_type"])


def _identity(row: dict[str, Any]) -> Help:
    return Help("Deduplication", DEDUPLICATION, row["source_system"])


def _maintenance(address: str) -> Help:
    return Help("Maintenance", MAINTENANCE, address=address)


def _types(alarms: Alarms, asked: Asked) -> Table:
    rows = figures.top(alarms, "type")
    return Table(
        "types",
        "Most frequent alert types",
        (("alert_type", "Alert type"), ("source_system", "Source"), ("number", "Alarms"), ("share", "Share"),
         ("problems", "Problems"), ("untouched", "Nobody acted")),
        [_of_type({**row, "share": _share(row)}, asked, _mapping(row), _identity(row)) for row in rows],
        "The ten most frequent ones should be a few per cent of all (guide: 1 to 5 %).",
        _of(rows, "alarm"),
    )  # fmt: skip


def _devices(alarms: Alarms, asked: Asked) -> Table:
    lines = []
    rows = figures.top(alarms, "device")
    for row in rows:
        if row["device_ip"]:
            url = asked.board(device_ip=row["device_ip"])
            lines.append(Line({**row, "share": _share(row)}, url, (_maintenance(row["device_ip"]),)))
        else:
            lines.append(Line({**row, "share": _share(row)}, asked.board(device_name=row["device"])))
    return Table(
        "devices",
        "Most frequent devices",
        (("device", "Device"), ("number", "Alarms"), ("share", "Share"), ("problems", "Problems"),
         ("untouched", "Nobody acted")),
        lines,
        "",
        _of(rows, "alarm"),
    )  # fmt: skip


def _floods(rate: Rate, asked: Asked) -> Table:
    lines = [
        Line(
            {"begin": flood.begin, "end": flood.end, "peak": flood.peak, "alarms": flood.alarms},
            asked.board(told_from=flood.begin.isoformat(), told_to=flood.end.isoformat()),
        )
        for flood in sorted(rate.floods, key=lambda flood: (-flood.alarms, flood.begin))[: figures.SHOWN]
    ]
    return Table(
        "floods",
        "Floods",
        (("begin", "From"), ("end", "To"), ("alarms", "Alarms"), ("peak", "Most in 10 min")),
        lines,
        "From more than 10 alarms in 10 minutes for one operator until there are fewer than 5 (guide: 1 % of time).",
        _shown(len(rate.floods), len(lines), "flood"),
    )


def _chattering(alarms: Alarms, asked: Asked) -> Table:
    rows = figures.chattering(alarms, asked)
    return Table(
        "chattering",
        "Chattering",
        (("title", "Problem"), ("device", "Device"), ("number", "Raised"), ("flapping", "Flapping")),
        [
            Line(
                row,
                f"/alerts/{row['alert_id']}/",
                (_setting(row, "Flap threshold", flap_transitions=4), _identity(row)),
            )
            for row in rows
        ],
        "Raised three times or more within a minute, or found flapping; told or not (guide: none).",
        _shown(_total(rows), len(rows), "problem"),
    )


def _fleeting(alarms: Alarms, asked: Asked) -> Table:
    rows = figures.fleeting(alarms)
    return Table(
        "fleeting",
        "Fleeting",
        (("alert_type", "Alert type"), ("source_system", "Source"), ("number", "Alarms")),
        [_of_type(row, asked, _setting(row, "Hold back", hold_seconds=60)) for row in rows],
        "Over within a minute, before anybody did anything.",
        _of(rows, "alarm"),
    )


def _standing(alarms: Alarms, asked: Asked) -> Table:
    rows = figures.standing(alarms, asked)
    return Table(
        "standing",
        "Standing for a day and more",
        (("title", "Problem"), ("device", "Device"), ("occurred_at", "Since")),
        [
            Line(row, f"/alerts/{row['alert_id']}/", (_maintenance(row["device_ip"]),) if row["device_ip"] else ())
            for row in rows
        ],
        "When the period ended (guide: fewer than 5, each with a plan).",
        _shown(_total(rows), len(rows), "problem"),
    )  # fmt: skip


def _untouched(alarms: Alarms, asked: Asked) -> Table:
    rows = figures.untouched(alarms)
    return Table(
        "untouched",
        "Types nobody ever acted on",
        (("alert_type", "Alert type"), ("source_system", "Source"), ("number", "Alarms"), ("devices", "Devices")),
        [_of_type(row, asked, _mapping(row), acted="false") for row in rows],
        "Not one of their alarms was acknowledged, assigned, noted or resolved by a person.",
        _shown(_total(rows), len(rows), "type"),
    )


def _priorities(alarms: Alarms, asked: Asked) -> Table:
    rows = figures.priorities(alarms)
    wanted = {group: f"{share:.0%}" for group, share in figures.WANTED.items()}
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["group"]] = sums.get(row["group"], 0.0) + row["share"]
    return Table(
        "priorities",
        "Priorities",
        (("priority", "Priority"), ("number", "Alarms"), ("share", "Share"), ("group", "Group"),
         ("group_share", "Share of group"), ("guide", "Guide")),
        [
            Line(
                {**row, "group_share": sums[row["group"]], "guide": wanted[row["group"]]},
                asked.board(priority=row["priority"]),
            )
            for row in rows
        ],
        "About 5 % high, 15 % medium and 80 % low, so that what is high stands out (EEMUA 191).",
    )  # fmt: skip


def _quiet(quiet: dict[str, Any], asked: Asked) -> Table:
    lines = [
        Line(
            {
                "reason": KEPT_QUIET.get(SuppressionKind(row["kind"]), row["kind"]),
                "number": row["number"],
            },
            asked.quieted(row["kind"]),
        )
        for row in quiet["reasons"]
    ]
    return Table(
        "quiet",
        "Kept quiet",
        (("reason", "Reason"), ("number", "Alerts")),
        lines,
        "Alerts for which the reason began in the period; one alert may have had several.",
    )


def _people(alarms: Alarms, asked: Asked) -> Table:
    return Table(
        "people",
        "People",
        (("username", "Who"), ("alerts", "Alerts"), ("acknowledged", "Acknowledged"), ("resolved", "Resolved"),
         ("assigned", "Assigned"), ("notes", "Notes"), ("median", "Median time to acknowledge")),
        [Line(row, "/reports/?" + asked.query(operator=row["username"])) for row in figures.people(alarms, asked)],
    )  # fmt: skip


def _share(row: dict[str, Any]) -> float:
    return float(row["number"] / row["total"]) if row["total"] else 0.0


def _total(rows: Sequence[dict[str, Any]]) -> int:
    return int(rows[0]["total"]) if rows else 0


def _of(rows: Sequence[dict[str, Any]], noun: str) -> str:
    """Of how many things these rows are the most frequent kinds."""
    return _shown(_total(rows), _total(rows), noun)


def _shown(total: int, shown: int, noun: str) -> str:
    if not total:
        return ""
    rest = f", the first {shown:,} shown" if shown < total else ""
    return f"{total:,} {noun}{'' if total == 1 else 's'}{rest}"


MAKERS: dict[str, Callable[[Alarms, Asked], Table]] = {
    "types": _types,
    "devices": _devices,
    "floods": lambda alarms, asked: _floods(figures.alarm_rate(alarms, asked), asked),
    "chattering": _chattering,
    "fleeting": _fleeting,
    "standing": _standing,
    "untouched": _untouched,
    "priorities": _priorities,
    "quiet": lambda alarms, asked: _quiet(figures.kept_quiet(alarms, asked), asked),
    "people": _people,
}
