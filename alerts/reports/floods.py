"""Alarm rates in stretches of ten minutes, and floods in them. Pure.

Source: ISA-18.2 (flood: from more than 10 alarms in 10 minutes for one operator until there are fewer than 5) and
EEMUA 191 (on average one alarm in 10 minutes is very likely acceptable, two are the most that can be managed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor

STRETCH = timedelta(minutes=10)
SECONDS = 600
ACCEPTABLE, MANAGEABLE = 1.0, 2.0
BEGINS_ABOVE, ENDS_BELOW = 10, 5


@dataclass(frozen=True)
class Flood:
    begin: datetime
    end: datetime
    peak: int  # alarms in its worst stretch
    alarms: int


@dataclass(frozen=True)
class Rate:
    """`per_stretch`: alarms per operator and 10 minutes, on average. Shares are of all stretches, from 0 to 1."""

    alarms: int
    stretches: int
    per_stretch: float
    per_day: float
    peak: int
    acceptable_share: float  # with at most one alarm
    overloaded_share: float  # with more than ten
    floods: list[Flood]
    flood_share: float

    @property
    def verdict(self) -> str:
        if self.per_stretch <= ACCEPTABLE:
            return "very likely acceptable"
        return "manageable at most" if self.per_stretch <= MANAGEABLE else "more than can be managed"


def rate(counts: Mapping[int, int], begin: datetime, end: datetime, operators: int = 1) -> Rate:
    """`counts`: alarms by stretch, numbered as whole ten minutes since 1970. What is not named had none."""
    first = floor(begin.timestamp() / SECONDS)
    last = max(first + 1, ceil(end.timestamp() / SECONDS))
    stretches = last - first
    alarms = sum(counts.values())
    each = {slot: number / operators for slot, number in counts.items()}
    floods = list(_floods(counts, first, last, operators))
    within = sum((flood.end - flood.begin) // STRETCH for flood in floods)
    days = (end - begin).total_seconds() / 86_400
    return Rate(
        alarms,
        stretches,
        alarms / operators / ((end - begin).total_seconds() / SECONDS),
        alarms / operators / days,
        max(counts.values(), default=0),
        (stretches - sum(number > ACCEPTABLE for number in each.values())) / stretches,
        sum(number > BEGINS_ABOVE for number in each.values()) / stretches,
        floods,
        within / stretches,
    )


def _floods(counts: Mapping[int, int], first: int, last: int, operators: int) -> list[Flood]:
    """Only stretches with alarms need a look: one without ends whatever there was."""
    found: list[Flood] = []
    begin: int | None = None
    previous = peak = alarms = 0
    for slot in [*sorted(counts), None]:
        if begin is not None and (slot is None or slot != previous + 1 or counts[slot] / operators < ENDS_BELOW):
            found.append(Flood(_at(begin), _at(previous + 1), peak, alarms))
            begin = None
        if slot is None:
            break
        if begin is None and counts[slot] / operators > BEGINS_ABOVE and first <= slot < last:
            begin, peak, alarms = slot, 0, 0
        if begin is not None:
            peak, alarms = max(peak, counts[slot]), alarms + counts[slot]
        previous = slot
    return found


def _at(slot: int) -> datetime:
    return datetime.fromtimestamp(slot * SECONDS, UTC)
