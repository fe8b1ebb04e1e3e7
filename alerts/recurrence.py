"""Recurrence of maintenance windows: an RRULE of RFC 5545 in the wall time of one zone. Pure, no queries.

Everything is worked out in naive local time and only then put on the time line, so that 22:00 stays 22:00 across a
change of the clock. COUNT and UNTIL are applied here; dateutil expands the rest, always from a start of a period close
to the time asked for, never from the first occurrence on: a rule of 1990 costs as much as one of today.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import rrule as rr

# How far ahead a next start is looked for. 29 February on a given weekday pauses for 40 years, 29 February for 8; a day
# that does not exist is looked for that long, so rules that go by days or less look less far.
HORIZON_YEARS, HORIZON_YEARS_BY_DAYS = 40, 9
MOST_COUNTED = 1_000
MOST_STARTS = 20_000  # looked at in one question, whatever the row says
SLACK = timedelta(hours=25)  # no zone has moved its clock further at once
FREQUENCIES = {
    "YEARLY": rr.YEARLY,
    "MONTHLY": rr.MONTHLY,
    "WEEKLY": rr.WEEKLY,
    "DAILY": rr.DAILY,
    "HOURLY": rr.HOURLY,
    "MINUTELY": rr.MINUTELY,
}
DAYS = {"MO": rr.MO, "TU": rr.TU, "WE": rr.WE, "TH": rr.TH, "FR": rr.FR, "SA": rr.SA, "SU": rr.SU}
# Part -> name of dateutil's argument, smallest and largest value; negative ones count from the end where 0 is left out.
NUMBERS = {
    "BYMONTH": ("bymonth", 1, 12),
    "BYMONTHDAY": ("bymonthday", -31, 31),
    "BYYEARDAY": ("byyearday", -366, 366),
    "BYWEEKNO": ("byweekno", -53, 53),
    "BYHOUR": ("byhour", 0, 23),
    "BYMINUTE": ("byminute", 0, 59),
    "BYSETPOS": ("bysetpos", -366, 366),
}
DAY_PART = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
UNTIL_PART = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?")


class RuleError(ValueError):
    """Why a recurrence cannot be used, as a sentence for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """`first`: naive local time of the first possible start. `until`: naive local, inclusive; `until_utc` likewise."""

    frequency: int
    interval: int
    week_start: int
    by: Mapping[str, Any]
    first: datetime
    until: datetime | None
    until_utc: datetime | None
    counted: tuple[datetime, ...] | None  # all of them, where the rule has a COUNT
    zone: ZoneInfo

    def starts(self, since: datetime, before: datetime | None = None) -> Iterator[datetime]:
        """Naive local starts from `since` on, in order, at most up to `before` (exclusive) or the horizon."""
        if self.counted is not None:
            found: Iterator[datetime] = iter(self.counted[bisect_left(self.counted, since) :])
        else:
            found = self._expand(since, before)
        for start in found:
            if before is not None and start >= before:
                return
            if self.until is not None and start > self.until:
                return
            if self.until_utc is not None and instant(start, self.zone) > self.until_utc:
                return
            yield start

    def _expand(self, since: datetime, before: datetime | None) -> Iterator[datetime]:
        since = max(since, self.first)
        years = HORIZON_YEARS if self.frequency < rr.WEEKLY else HORIZON_YEARS_BY_DAYS
        last = since.replace(year=since.year + years, day=1)
        if before is not None:
            last = min(last, before)
        if self.until is not None:
            last = min(last, self.until)
        if last < since:
            return
        rule = rr.rrule(
            self.frequency,
            dtstart=self._period_before(since),
            until=last,
            interval=self.interval,
            wkst=self.week_start,
            **self.by,
        )
        try:
            for start in rule:
                if start >= since:
                    yield start
        except ValueError:  # dateutil finds out only while it goes that hours and interval never meet
            return

    def _period_before(self, when: datetime) -> datetime:
        """The start of the last period of the rule that begins at or before `when`, in step with the first one."""
        first, step = self.first, self.interval
        day = datetime.combine(first.date(), time())
        if self.frequency == rr.YEARLY:
            year = first.year + (when.year - first.year) // step * step
            return day.replace(year=year, month=1, day=1)
        if self.frequency == rr.MONTHLY:
            months = (when.year - first.year) * 12 + when.month - first.month
            years, month = divmod(first.month - 1 + months // step * step, 12)
            return day.replace(year=first.year + years, month=month + 1, day=1)
        if self.frequency in (rr.WEEKLY, rr.DAILY):
            length = timedelta(days=step)
            if self.frequency == rr.WEEKLY:
                day -= timedelta(days=(first.weekday() - self.week_start) % 7)
                length *= 7
        elif self.frequency == rr.HOURLY:
            day, length = first.replace(minute=0, second=0), timedelta(hours=step)
        else:
            day, length = first.replace(second=0), timedelta(minutes=step)
        return day + (when - day) // length * length


def parse(text: str, first: datetime, zone: ZoneInfo) -> Recurrence:
    """A recurrence from its RRULE; `first`: naive local. Raises RuleError.

    UNTIL may be a day (included), a local time, or a UTC time with Z.
    """
    parts = _parts(text)
    word = parts.pop("FREQ", "")
    if word not in FREQUENCIES:
        raise RuleError(f"FREQ must be one of {', '.join(FREQUENCIES)}; for example FREQ=WEEKLY;BYDAY=SU.")
    frequency = FREQUENCIES[word]
    first = first.replace(microsecond=0, tzinfo=None)
    interval = _number(parts.pop("INTERVAL", "1"), "INTERVAL", 1, 10_000)
    week_start = parts.pop("WKST", "MO")
    if week_start not in DAYS:
        raise RuleError("WKST must be one of MO, TU, WE, TH, FR, SA, SU.")
    if "COUNT" in parts and "UNTIL" in parts:
        raise RuleError("Give COUNT or UNTIL, not both.")
    count = _number(parts.pop("COUNT"), "COUNT", 1, MOST_COUNTED) if "COUNT" in parts else None
    until, until_utc = _until(parts.pop("UNTIL", ""))
    by = _by(parts, word)
    _say_what_is_implied(by, frequency, first)
    rule = Recurrence(frequency, interval, DAYS[week_start].weekday, by, first, until, until_utc, None, zone)
    try:
        beginning = tuple(islice(rule.starts(first), count or 1))
    except ValueError as problem:
        raise RuleError(f"The parts of this recurrence never meet: {problem}") from problem
    if not beginning:
        raise RuleError("This recurrence never happens: no date of the next years fits all of its parts.")
    if count is None:
        return rule
    return Recurrence(frequency, interval, rule.week_start, by, first, None, None, beginning, zone)


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in re.sub(r"^RRULE:", "", text.strip().upper()).rstrip(";").split(";"):
        name, sign, value = part.partition("=")
        if not sign or not value:
            raise RuleError(f"“{part[:40]}” is not a part of a recurrence; for example FREQ=WEEKLY;BYDAY=SU.")
        if name in parts:
            raise RuleError(f"{name} stands there twice.")
        parts[name] = value
    return parts


def _number(text: str, name: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,6}", text) or not low <= int(text) <= high or (low < 0 and int(text) == 0):
        raise RuleError(f"{name} must be a number from {low} to {high}{' without 0' if low < 0 else ''}.")
    return int(text)


def _by(parts: Mapping[str, str], word: str) -> dict[str, Any]:
    by: dict[str, Any] = {}
    for name, value in parts.items():
        if name == "BYDAY":
            by["byweekday"] = [_day(text, word, "BYWEEKNO" in parts) for text in value.split(",")]
        elif name in NUMBERS:
            argument, low, high = NUMBERS[name]
            by[argument] = sorted({_number(text, name, low, high) for text in value.split(",")})
        else:
            raise RuleError(f"{name[:40]} cannot be used here.")
    # What RFC 5545, 3.3.10 rules out, dateutil ignores silently or expands to something nobody meant.
    for name, allowed in {
        "BYWEEKNO": ("YEARLY",),
        "BYYEARDAY": ("YEARLY", "HOURLY", "MINUTELY"),
        "BYMONTHDAY": ("YEARLY", "MONTHLY", "DAILY", "HOURLY", "MINUTELY"),
        "BYSETPOS": ("YEARLY", "MONTHLY", "WEEKLY", "DAILY"),
    }.items():
        if name in parts and word not in allowed:
            raise RuleError(f"{name} cannot be used with FREQ={word}.")
    if "BYSETPOS" in parts and len(by) == 1:
        raise RuleError("BYSETPOS chooses from other parts: give BYDAY or another one beside it.")
    return by


def _day(text: str, word: str, in_weeks: bool) -> Any:
    match = DAY_PART.fullmatch(text)
    if not match:
        raise RuleError("BYDAY takes MO, TU, WE, TH, FR, SA, SU, and with FREQ=MONTHLY for example 1SU or -1FR.")
    if match[1] is None:
        return DAYS[match[2]]
    if word not in ("MONTHLY", "YEARLY") or in_weeks:
        raise RuleError(f"BYDAY={text} counts days of a month or year: use it with FREQ=MONTHLY or FREQ=YEARLY.")
    return DAYS[match[2]](_number(match[1], "The number in BYDAY", -53, 53))


def _until(text: str) -> tuple[datetime | None, datetime | None]:
    """Naive local and UTC form of UNTIL, at most one of them set; a day alone is included as a whole."""
    if not text:
        return None, None
    match = UNTIL_PART.fullmatch(text)
    try:
        if not match:
            raise ValueError
        if match[2] is None:
            return datetime.combine(date.fromisoformat(match[1]), time.max), None
        when = datetime.fromisoformat(f"{match[1]}T{match[2]}")
    except ValueError:
        raise RuleError("UNTIL must look like 20271231, 20271231T220000 or 20271231T220000Z.") from None
    return (None, when.replace(tzinfo=UTC)) if match[3] else (when, None)


def _say_what_is_implied(by: dict[str, Any], frequency: int, first: datetime) -> None:
    """What the first start implies, said out loud, so that expanding may begin anywhere."""
    if not by.keys() & {"byweekno", "byyearday", "bymonthday", "byweekday"}:
        if frequency == rr.YEARLY:
            by.setdefault("bymonth", [first.month])
            by["bymonthday"] = [first.day]
        elif frequency == rr.MONTHLY:
            by["bymonthday"] = [first.day]
        elif frequency == rr.WEEKLY:
            by["byweekday"] = [first.weekday()]
    if frequency < rr.HOURLY:
        by.setdefault("byhour", [first.hour])
    if frequency < rr.MINUTELY:
        by.setdefault("byminute", [first.minute])
    by["bysecond"] = [first.second]


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """When a wall clock shows a naive local time, in UTC.

    Shown twice (the clock went back): the first time. Never shown (it went forward): the moment of the change.
    """
    early = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if early.astimezone(zone).replace(tzinfo=None) == local:
        return early
    # With the offset after the change it lies before the change, and the other way round: look between.
    low, high = local.replace(tzinfo=zone, fold=1).astimezone(UTC), early
    offset = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle <= low:
            break
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high


def span(local: datetime, length: timedelta, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Start and end, in UTC, of what begins at a naive local time and lasts until the wall clock shows length more.

    What lies wholly in the time a clock skips is moved behind it by as much as was skipped: it is not lost.
    """
    start, end = instant(local, zone), instant(local + length, zone)
    if start < end:
        return start, end
    before = local.replace(tzinfo=zone, fold=0).utcoffset() or timedelta()
    start = (local - before).replace(tzinfo=UTC)
    return start, start + length


def local_time(when: datetime, zone: ZoneInfo) -> datetime:
    """What the wall clock shows at an instant, naive, to the second."""
    return when.astimezone(zone).replace(tzinfo=None, microsecond=0, fold=0)


def next_morning(now: datetime, zone: ZoneInfo, hour: int = 8) -> datetime:
    """The next time the wall clock shows that hour, in UTC."""
    today: date = now.astimezone(zone).date()
    for days in range(3):
        morning = instant(datetime.combine(today + timedelta(days=days), time(hour)), zone)
        if morning > now:
            return morning
    raise AssertionError("no zone skips two mornings in a row")
