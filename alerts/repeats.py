"""Recurrences as people choose and read them: presets to RRULE and back, and a rule in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

WEEKDAYS = (
    ("MO", "Monday"),
    ("TU", "Tuesday"),
    ("WE", "Wednesday"),
    ("TH", "Thursday"),
    ("FR", "Friday"),
    ("SA", "Saturday"),
    ("SU", "Sunday"),
)
CODES = tuple(code for code, _ in WEEKDAYS)
NAMES = dict(WEEKDAYS)
ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", -1: "last"}
ONCE, DAILY, WEEKLY, MONTHLY, MONTHLY_WEEKDAY, RULE = "once", "daily", "weekly", "monthly", "monthly_weekday", "rule"
CHOICES = (
    (ONCE, "once"),
    (DAILY, "every day"),
    (WEEKLY, "every week on …"),
    (MONTHLY, "every month, same day of the month"),
    (MONTHLY_WEEKDAY, "every month, same weekday (for example the second Tuesday)"),
    (RULE, "by a rule of its own (RRULE)"),
)
PRESETS = (
    (DAILY, r"FREQ=DAILY"),
    (WEEKLY, r"FREQ=WEEKLY(?:;BYDAY=(?P<days>[A-Z]{2}(?:,[A-Z]{2})*))?"),
    (MONTHLY, r"FREQ=MONTHLY(?:;BYMONTHDAY=(?P<day>\d{1,2}))?"),
    (MONTHLY_WEEKDAY, r"FREQ=MONTHLY;BYDAY=(?P<nth>[1234]|-1)(?P<weekday>[A-Z]{2})"),
)


@dataclass(frozen=True)
class Repeat:
    """A choice of the form. `rule` only with RULE, `days` only with WEEKLY; `until` is the last day."""

    kind: str = ONCE
    days: Sequence[str] = ()
    until: date | None = None
    rule: str = ""


def compose(repeat: Repeat, start: datetime) -> str:
    """The RRULE of a choice; `start`: naive local time of the first occurrence."""
    if repeat.kind == ONCE:
        return ""
    if repeat.kind == RULE:
        return repeat.rule.strip()
    if repeat.kind == DAILY:
        rule = "FREQ=DAILY"
    elif repeat.kind == WEEKLY:
        days = [code for code in CODES if code in repeat.days] or [CODES[start.weekday()]]
        rule = f"FREQ=WEEKLY;BYDAY={','.join(days)}"
    elif repeat.kind == MONTHLY:
        rule = f"FREQ=MONTHLY;BYMONTHDAY={start.day}"
    else:
        nth = (start.day - 1) // 7 + 1
        rule = f"FREQ=MONTHLY;BYDAY={nth if nth < 5 else -1}{CODES[start.weekday()]}"
    return f"{rule};UNTIL={repeat.until:%Y%m%d}" if repeat.until else rule


def decompose(rule: str, start: datetime) -> Repeat:
    """The choice that makes this rule, RULE where none does."""
    if not rule:
        return Repeat()
    bare, until = _without_until(rule)
    for kind, pattern in PRESETS:
        if match := re.fullmatch(pattern, bare):
            found = match.groupdict()
            repeat = Repeat(kind, tuple((found.get("days") or "").split(",")) if found.get("days") else (), until)
            plain = Repeat(kind, repeat.days)
            if found.get("day") is None and kind in (MONTHLY, WEEKLY) and "BY" not in bare:
                return repeat
            if compose(plain, start) == bare:
                return repeat
    return Repeat(RULE, rule=rule)


def _without_until(rule: str) -> tuple[str, date | None]:
    match = re.fullmatch(r"(.*);UNTIL=(\d{8})", rule)
    if not match:
        return rule, None
    try:
        return match[1], date.fromisoformat(match[2])
    except ValueError:
        return rule, None


def words(rule: str) -> str:
    """A rule as one reads it: every week on Sunday until 31 Dec 2027. The rule itself where no preset made it."""
    if not rule:
        return "once"
    bare, until = _without_until(rule)
    text = rule
    for kind, pattern in PRESETS:
        if not (match := re.fullmatch(pattern, bare)):
            continue
        found = match.groupdict()
        days = [NAMES[code] for code in (found.get("days") or "").split(",") if code in NAMES]
        if kind == DAILY:
            text = "every day"
        elif kind == WEEKLY:
            text = f"every week on {_listed(days)}" if days else "every week"
        elif kind == MONTHLY:
            text = f"every month on day {found['day']}" if found["day"] else "every month"
        elif found["weekday"] in NAMES:
            text = f"every month on the {ORDINALS[int(found['nth'])]} {NAMES[found['weekday']]}"
        if until:
            text += f" until {until.day} {until:%b %Y}"
        break
    return text


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
