"""The form of a maintenance window: times on the wall of its zone, recurrence by presets, matchers as chips."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone

from alerts import repeats
from alerts.choices import Category
from alerts.matchers import COMPILERS
from alerts.models import MaintenanceWindow
from alerts.recurrence import instant, local_time
from alerts.windows import check_window, zone_named

CLEARED = "cleared"
LASTS = (
    ("", "until the end given"),
    ("30", "30 minutes"),
    ("60", "1 hour"),
    ("120", "2 hours"),
    ("240", "4 hours"),
    ("480", "8 hours"),
    ("720", "12 hours"),
    ("1440", "1 day"),
    ("10080", "1 week"),
)
# What a check finds at a column is said at this field.
FIELD_OF = {"starts_at": "starts", "ends_at": "ends", "rrule": "repeat"}


class ChipsInput(forms.Widget):
    """What is ticked, and what is typed beside it: separated by commas, unless it is one known value as it stands."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        ticked = data.getlist(name) if hasattr(data, "getlist") else list(data.get(name, ()))
        typed = str(data.get(f"{name}_add", "") or "")
        values = [*ticked, *re.split(r"[,;\n]", typed)]
        return list(dict.fromkeys(v for value in values if (v := str(value).strip())))


class ChipsField(forms.Field):
    """A list of texts. `suggests`: whether there is something to choose from."""

    widget = ChipsInput

    def __init__(self, *, placeholder: str = "", suggests: bool = True, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self.placeholder, self.suggests = placeholder, suggests

    def clean(self, value: Any) -> list[str]:
        return list(value or [])


def wall_time(text: str) -> datetime | None:
    """Naive local time of a datetime-local field, to the minute; None when it is none."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return None if found.tzinfo else found.replace(microsecond=0)


class WindowForm(forms.Form):
    """`WindowForm.of(window)` to begin with, `WindowForm(data, window=...)` for what was sent; then `row`."""

    kind = forms.ChoiceField(choices=MaintenanceWindow.Kind.choices, label="Kind")
    name = forms.CharField(
        max_length=200, label="Name", error_messages={"required": "Say what is done, in a few words."}
    )
    reason = forms.CharField(max_length=10_000, required=False, label="Reason")
    devices = ChipsField(label="Devices", placeholder="192.0.2.7 or 192.0.2.0/24")
    below = ChipsField(label="A device and all below it", placeholder="192.0.2.1")
    sites = ChipsField(label="Sites", placeholder="any site")
    roles = ChipsField(label="Roles", placeholder="any role")
    categories = forms.MultipleChoiceField(choices=Category.choices, required=False, label="Categories")
    connectors = ChipsField(label="Connectors", placeholder="any source")
    tags = ChipsField(label="Tags", placeholder="any tag")
    alert_types = ChipsField(label="Alert types", placeholder="link_down or link_*")
    alerts = ChipsField(label="Single alerts", suggests=False)
    everything = forms.BooleanField(required=False)
    starts = forms.CharField(required=False, max_length=40, label="Starts")
    lasts = forms.ChoiceField(choices=[*LASTS, (CLEARED, "until its alerts clear")], required=False, label="Lasts")
    ends = forms.CharField(required=False, max_length=40, label="Ends")
    time_zone = forms.CharField(max_length=60, label="Time zone", error_messages={"required": "Give a time zone."})
    repeat = forms.ChoiceField(choices=repeats.CHOICES, label="Repeats")
    weekdays = forms.MultipleChoiceField(choices=repeats.WEEKDAYS, required=False, label="on")
    repeat_until = forms.DateField(required=False, label="Last day")
    rrule = forms.CharField(required=False, max_length=500, label="Rule (RFC 5545)")
    enabled = forms.BooleanField(required=False)

    def __init__(self, *args: Any, window: MaintenanceWindow | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.window = window
        self.row: dict[str, Any] = {}

    @classmethod
    def of(cls, window: MaintenanceWindow, *, saved: bool = True) -> WindowForm:
        """`saved`: it is this row that is edited, not one like it."""
        return cls(initial=initial(window), window=window if saved else None)

    @property
    def chips(self) -> list[forms.BoundField]:
        names = ("devices", "below", "sites", "roles", "connectors", "tags", "alert_types")
        return [self[name] for name in names]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        matchers = {name: data[name] for name in COMPILERS if data.get(name)}
        if not matchers and not data.get("everything"):
            self.add_error("everything", "Say what it is about; or tick this to keep every alert quiet.")
        try:
            zone = zone_named(data.get("time_zone"))
        except ValueError as error:
            if "time_zone" not in self.errors:
                self.add_error("time_zone", str(error))
            return data
        starts_at = self._time("starts", zone, data)
        ends_at = self._end(starts_at, zone, data)
        if {"starts", "ends"} & set(self.errors):
            return data
        repeat = repeats.Repeat(
            data.get("repeat") or repeats.ONCE,
            data.get("weekdays") or (),
            data.get("repeat_until"),
            data.get("rrule") or "",
        )
        if repeat.kind == repeats.RULE and not repeat.rule.strip():
            self.add_error("rrule", "Write the rule, for example FREQ=MONTHLY;BYDAY=1SU.")
            return data
        self.row = {
            "kind": data.get("kind"),
            "name": (data.get("name") or "").strip(),
            "reason": data.get("reason") or "",
            "matchers": matchers,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "rrule": repeats.compose(repeat, local_time(starts_at or timezone.now(), zone)),
            "time_zone": data.get("time_zone"),
            "enabled": bool(data.get("enabled")),
        }
        for column, problem in check_window(self.row).items():
            if column != "name" or "name" not in self.errors:  # said already
                self.add_error(self._field_of(column, problem, repeat), problem)
        return data

    def _field_of(self, column: str, problem: str, repeat: repeats.Repeat) -> str | None:
        if column == "matchers":
            name = re.split(r"[: ]", problem, maxsplit=1)[0]
            return name if name in self.fields else None
        if column == "rrule" and repeat.kind == repeats.RULE:
            return "rrule"
        return FIELD_OF.get(column, column)

    def _time(self, name: str, zone: ZoneInfo, data: Mapping[str, Any]) -> datetime | None:
        text = (data.get(name) or "").strip()
        if self.window is not None and zone.key == self.window.time_zone and text:
            # Not touched: seconds, and which of two equal hours it was, are kept.
            stored = self.window.starts_at if name == "starts" else self.window.ends_at
            if stored is not None and text == shown(stored, zone):
                return stored
        if not text:
            return timezone.now().replace(microsecond=0)
        found = wall_time(text)
        if found is None or not 2000 <= found.year < 2200:
            self.add_error(name, f"“{text}” is not a time; write for example 2026-11-28T22:00.")
            return None
        return instant(found, zone)

    def _end(self, starts_at: datetime | None, zone: ZoneInfo, data: Mapping[str, Any]) -> datetime | None:
        lasts = data.get("lasts") or ""
        if lasts == CLEARED or starts_at is None:
            return None
        if lasts:
            # On the wall clock, as everything here; what lies in the hour that is shown twice really lasts so long.
            length = timedelta(minutes=int(lasts))
            end = instant(local_time(starts_at, zone) + length, zone)
            return end if end > starts_at else starts_at + length
        if not (data.get("ends") or "").strip():
            self.add_error("ends", "Give the end, or choose how long it lasts.")
            return None
        return self._time("ends", zone, data)


def shown(when: datetime, zone: ZoneInfo) -> str:
    """As a datetime-local field holds it."""
    return local_time(when, zone).isoformat(timespec="minutes")


def initial(window: MaintenanceWindow) -> dict[str, Any]:
    try:
        zone = zone_named(window.time_zone)
    except ValueError:
        zone = ZoneInfo("UTC")
    matchers = window.matchers if isinstance(window.matchers, dict) else {}
    start = local_time(window.starts_at, zone)
    repeat = repeats.decompose(window.rrule, start)
    return {
        "kind": window.kind,
        "name": window.name,
        "reason": window.reason,
        **{name: matchers[name] for name in COMPILERS if isinstance(matchers.get(name), list)},
        "everything": window.pk is not None and not matchers,
        "starts": shown(window.starts_at, zone),
        "lasts": CLEARED if window.ends_at is None else "",
        "ends": shown(window.ends_at, zone) if window.ends_at else "",
        "time_zone": window.time_zone,
        "repeat": repeat.kind,
        "weekdays": list(repeat.days),
        "repeat_until": repeat.until,
        "rrule": repeat.rule,
        "enabled": window.enabled,
    }
