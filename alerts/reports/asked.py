"""What somebody asks a report for: a period, and whose alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, available_timezones

from django.utils import timezone

from alerts.choices import Category

LONGEST = timedelta(days=400)
PRESETS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "today": "today", "yesterday": "yesterday"}
SPANS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
DEFAULT = "7d"
OPERATORS_MAX = 1_000


@dataclass(frozen=True)
class Asked:
    """From `begin` up to, and without, `end`. `operators`: how many people share the alarms."""

    begin: datetime
    end: datetime
    preset: str = ""
    site: str = ""
    category: str = ""
    operator: str = ""
    operators: int = 1
    zone: str = "UTC"
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, str], now: datetime | None = None) -> Asked:
        """What is wrong is said by field, and the rest is as it would be without it."""
        now = (now or timezone.now()).replace(microsecond=0)
        errors: dict[str, str] = {}
        zone = given.get("zone", "").strip() or timezone.get_current_timezone_name()
        if zone not in available_timezones():
            errors["zone"] = f"“{zone}” is not a time zone. Write it as Europe/Berlin."
            zone = "UTC"
        preset = given.get("period", "")
        begin_text, end_text = given.get("from", "").strip(), given.get("to", "").strip()
        if preset not in PRESETS:
            if preset:
                errors["period"] = f"“{preset}” is not a period. Known: {', '.join(PRESETS)}."
            preset = "" if begin_text or end_text else DEFAULT
        begin, end = _span(preset or DEFAULT, now, ZoneInfo(zone))
        if not preset:
            begin, end = now - SPANS[DEFAULT], now
            for name, text in (("from", begin_text), ("to", end_text)):
                if not text:
                    continue
                moment = _moment(text, ZoneInfo(zone), end_of_day=name == "to")
                if moment is None:
                    errors[name] = f"“{text}” is not a time. Write 2026-11-21 or 2026-11-21T14:30."
                elif name == "from":
                    begin = moment
                else:
                    end = moment
            if begin_text and not end_text:
                end = max(end, begin)
            if end_text and not begin_text:
                begin = end - SPANS[DEFAULT]
        if end <= begin:
            errors.setdefault("to", "“to” lies before “from”.")
            begin, end, preset = *_span(DEFAULT, now, ZoneInfo(zone)), DEFAULT
        elif end - begin > LONGEST:
            errors.setdefault("from", f"At most {LONGEST.days} days.")
            begin = end - LONGEST
        category = given.get("category", "").strip().lower()
        if category and category not in Category.values:
            errors["category"] = f"“{category}” is not a category. Known: {', '.join(Category.values)}."
            category = ""
        operators = given.get("operators", "").strip()
        number = int(operators) if operators.isascii() and operators.isdigit() and len(operators) < 5 else 0
        if operators and not 1 <= number <= OPERATORS_MAX:
            errors["operators"] = f"A number from 1 to {OPERATORS_MAX}."
            number = 1
        return cls(
            begin, end, preset, given.get("site", "").strip()[:100], category, given.get("operator", "").strip()[:150],
            number or 1, zone, errors,
        )  # fmt: skip

    @property
    def minutes(self) -> float:
        return (self.end - self.begin).total_seconds() / 60

    @property
    def days(self) -> float:
        return self.minutes / 1440

    def query(self, **changes: str) -> str:
        """The same report with other words, as a query string."""
        asked = {
            "period": self.preset,
            "from": "" if self.preset else self.local(self.begin),
            "to": "" if self.preset else self.local(self.end),
            "site": self.site,
            "category": self.category,
            "operator": self.operator,
            "operators": str(self.operators) if self.operators != 1 else "",
            "zone": self.zone,
            **changes,
        }
        return urlencode({name: value for name, value in asked.items() if value})

    def local(self, moment: datetime) -> str:
        return f"{moment.astimezone(ZoneInfo(self.zone)):%Y-%m-%dT%H:%M}"

    def board(self, **more: str) -> str:
        """The board with the alerts this report is about, narrowed further."""
        asked = {
            "status": "active,acknowledged,suppressed,resolved,expired",
            "told_from": self.begin.astimezone(UTC).isoformat(),
            "told_to": self.end.astimezone(UTC).isoformat(),
            "site": self.site,
            "category": self.category,
            "actor": self.operator,
            **more,
        }
        return "/alerts/?" + urlencode({name: value for name, value in asked.items() if value}, safe=",:")

    def quieted(self, kind: str) -> str:
        """The board with the alerts for which this reason to be quiet began in the period; whoever acted on them."""
        begin, end = self.begin.astimezone(UTC).isoformat(), self.end.astimezone(UTC).isoformat()
        return self.board(told_from="", told_to="", actor="", quieted=kind, quiet_from=begin, quiet_to=end)

    def never_told(self) -> str:
        """The board with the problems that began in the period and of which nobody was told; whoever acted on them."""
        begin, end = self.begin.astimezone(UTC).isoformat(), self.end.astimezone(UTC).isoformat()
        return self.board(told_from="", told_to="", actor="", told="false", opened_from=begin, opened_to=end)

    def without_errors(self) -> Asked:
        return replace(self, errors={})


def _span(preset: str, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    if preset in SPANS:
        return now - SPANS[preset], now
    today = now.astimezone(zone).date()
    if preset == "today":
        return _midnight(today, zone), now if now > _midnight(today, zone) else now + timedelta(seconds=1)
    return _midnight(today - timedelta(days=1), zone), _midnight(today, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _moment(text: str, zone: ZoneInfo, *, end_of_day: bool) -> datetime | None:
    """A day as a whole: `to` a day means to its end."""
    try:
        if len(text) == 10:
            day = date.fromisoformat(text)
            return _midnight(day + timedelta(days=1) if end_of_day else day, zone)
        found = datetime.fromisoformat(text.replace(" ", "T", 1))
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
