"""Maintenance windows and silences: which are in force at a time, which alerts they keep quiet. Pure, no queries.

Built once for each version of the rows; any thread may read. What a row means is in models.MaintenanceWindow, how
times repeat in recurrence.py, who is meant in matchers.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alerts.matchers import Places, Subject, Test, check_matchers, compile_matchers
from alerts.recurrence import MOST_STARTS, SLACK, Recurrence, RuleError, local_time, parse, span
from dependencies.graph import Graph

__all__ = ["Subject", "Window", "Windows", "check_window", "occurrences", "zone_named"]

log = logging.getLogger(__name__)
KINDS = ("maintenance", "silence")
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LONGEST_RECURRING = timedelta(days=366)
LOOKED_AT = 60  # starts that are compared for overlap when a row is checked

Occurrence = tuple[datetime, datetime | None]


class _Answer(NamedTuple):
    """What is true from `since` until `until` (None: for good)."""

    since: datetime
    until: datetime | None
    occurrence: Occurrence | None

    def covers(self, now: datetime) -> bool:
        return self.since <= now and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class Window:
    """One row, compiled. Times are UTC; `length` is wall time and only recurring windows have it."""

    id: int
    kind: str
    name: str
    starts_at: datetime
    ends_at: datetime | None
    closed_at: datetime | None
    recurrence: Recurrence | None = None
    length: timedelta = timedelta()
    tests: tuple[Test, ...] = ()
    # The last answer: one tuple put in place at once, so that threads need no lock.
    _last: list[_Answer] = field(default_factory=list, repr=False, compare=False)

    def occurrence(self, now: datetime) -> Occurrence | None:
        """In force at now: its start and end (None: until cleared). Of occurrences that overlap the last to end."""
        return self._answer(now).occurrence

    def next_change(self, now: datetime) -> datetime | None:
        """When occurrence() next answers otherwise; None: never."""
        return self._answer(now).until

    def matches(self, subject: Subject) -> bool:
        """Whether it is about this alert, whatever the time."""
        return all(test(subject) for test in self.tests)

    def upcoming(self, now: datetime) -> Iterable[tuple[datetime, datetime | None]]:
        """Occurrences that begin after now, in order, without end where the rule has none."""
        if self.recurrence is None:
            if self.starts_at > now and (end := self._closed(self.starts_at, self.ends_at)) != self.starts_at:
                yield self.starts_at, end
            return
        for local in self.recurrence.starts(local_time(now, self.recurrence.zone) - SLACK):
            start, end = span(local, self.length, self.recurrence.zone)
            if start > now:
                yield start, end

    def _answer(self, now: datetime) -> _Answer:
        if self._last and (last := self._last[0]).covers(now):
            return last
        answer = self._one_off(now) if self.recurrence is None else self._recurring(now, self.recurrence)
        self._last[:] = [answer]
        return answer

    def _one_off(self, now: datetime) -> _Answer:
        start, end = self.starts_at, self._closed(self.starts_at, self.ends_at)
        if end is not None and (now >= end or end <= start):
            return _Answer(now, None, None)
        if now < start:
            return _Answer(now, start, None)
        return _Answer(now, end, (start, end))

    def _recurring(self, now: datetime, recurrence: Recurrence) -> _Answer:
        here = local_time(now, recurrence.zone)
        found: list[tuple[datetime, datetime]] = []
        running: tuple[datetime, datetime] | None = None
        enough: datetime | None = None
        for local in islice(recurrence.starts(here - self.length - SLACK), MOST_STARTS):
            # A start that was moved behind a change of the clock may come out later than one that stands after it.
            if enough is not None and local > enough:
                break
            start, end = span(local, self.length, recurrence.zone)
            if self.closed_at is not None and start <= self.closed_at < end:
                end = self.closed_at
            found.append((start, end))
            if start <= now < end and (running is None or end > running[1]):
                running = start, end
            if enough is None and start > (running[1] if running else now):
                enough = local + SLACK
        if running is None:
            return _Answer(now, min((start for start, _ in found if start > now), default=None), None)
        later = (start for start, end in found if now < start < running[1] < end)
        return _Answer(now, min(later, default=running[1]), running)

    def _closed(self, start: datetime, end: datetime | None) -> datetime | None:
        """The end, or before it when a person closed the window; a one-off closed before it began never begins."""
        if self.closed_at is None or (end is not None and end <= self.closed_at):
            return end
        return max(start, self.closed_at)


class _InForce(NamedTuple):
    """Windows in force from `since` until `until` (None: for good); those of single alerts by alert."""

    since: datetime
    until: datetime | None
    windows: tuple[Window, ...]


class Windows:
    """All windows of one version of the rows. Disabled rows and malformed ones keep nothing quiet."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], graph: Graph, places: Places) -> None:
        """`rows`: columns of MaintenanceWindow by name; `places`: device address -> (site, role)."""
        compiled = (_compiled(row, graph, places) for row in rows if row.get("enabled", True))
        self._windows = tuple(sorted((w for w in compiled if w is not None), key=lambda w: w.id))
        self._last: _InForce | None = None

    def __bool__(self) -> bool:
        return bool(self._windows)

    def in_force(self, now: datetime) -> tuple[Window, ...]:
        return self._now(now).windows

    def next_change(self, now: datetime) -> datetime | None:
        """When the next of them begins or ends; None: never."""
        return self._now(now).until

    def matching(self, subject: Subject, now: datetime) -> list[Window]:
        """Those in force that keep the alert quiet, by id."""
        return [window for window in self._now(now).windows if window.matches(subject)]

    def would_match(self, subject: Subject) -> list[Window]:
        """Those that are about the alert, whatever the time, by id: also what is over, closed or yet to come."""
        return [window for window in self._windows if window.matches(subject)]

    def get(self, number: int) -> Window | None:
        return next((window for window in self._windows if window.id == number), None)

    def _now(self, now: datetime) -> _InForce:
        last = self._last
        if last is not None and last.since <= now and (last.until is None or now < last.until):
            return last
        windows = tuple(window for window in self._windows if window.occurrence(now) is not None)
        changes = [change for window in self._windows if (change := window.next_change(now)) is not None]
        self._last = last = _InForce(now, min(changes, default=None), windows)
        return last


# Malformed rows that were complained about: each version of a row once in this process.
_complained: set[tuple[Any, str]] = set()


def _compiled(row: Mapping[str, Any], graph: Graph, places: Places) -> Window | None:
    try:
        return compile_window(row, graph, places)
    except (ValueError, TypeError, KeyError, OverflowError) as problem:
        complaint = (row.get("id"), str(problem))
        if complaint not in _complained:
            if len(_complained) > 10_000:
                _complained.clear()
            _complained.add(complaint)
            log.error("Maintenance window %s (%s) keeps nothing quiet: %s", row.get("id"), row.get("name"), problem)
        return None


def compile_window(row: Mapping[str, Any], graph: Graph, places: Places) -> Window:
    """A row as a window. Raises ValueError, TypeError or KeyError when it cannot be used."""
    starts_at, ends_at = row["starts_at"], row["ends_at"]
    _check_times(starts_at, ends_at)
    tests = tuple(compile_matchers(row["matchers"], graph, places))
    recurrence, length = None, timedelta()
    if row.get("rrule"):
        if ends_at is None:
            raise ValueError("A recurring window needs an end.")
        zone = zone_named(row["time_zone"])
        recurrence, length = _recurrence(row["rrule"], starts_at, ends_at, zone)
    window_id, kind, name = row["id"], row["kind"], row["name"]
    return Window(window_id, kind, name, starts_at, ends_at, row.get("closed_at"), recurrence, length, tests)


def zone_named(name: Any) -> ZoneInfo:
    """Raises ValueError with a sentence."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ValueError(f"“{str(name)[:60]}” is not a time zone; write for example Europe/Berlin.") from None


def _check_times(starts_at: Any, ends_at: Any) -> None:
    for when in (starts_at, ends_at):
        if when is not None and not (isinstance(when, datetime) and when.tzinfo and EARLIEST <= when < LATEST):
            raise ValueError("Start and end are times between the years 2000 and 2200, with a zone.")
    if starts_at is None:
        raise ValueError("A window needs a start.")
    if ends_at is not None and ends_at <= starts_at:
        raise ValueError("It ends before it starts.")


def _recurrence(rule: Any, starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> tuple[Recurrence, timedelta]:
    """The rule and how long each occurrence lasts on the wall clock. Raises RuleError."""
    if not isinstance(rule, str):
        raise RuleError("A recurrence is text, for example FREQ=WEEKLY;BYDAY=SU.")
    first = local_time(starts_at, zone)
    length = local_time(ends_at, zone) - first
    if length <= timedelta():
        raise ValueError("On the wall clock it ends before it starts, because the clock is set back meanwhile.")
    if length > LONGEST_RECURRING:
        raise ValueError("One occurrence of a recurring window lasts at most a year.")
    return parse(rule, first, zone), length


def occurrences(window: Window, now: datetime, number: int) -> list[Occurrence]:
    """The one in force and the next ones, at most `number`."""
    running = window.occurrence(now)
    return ([running] if running else []) + list(islice(window.upcoming(now), number - (running is not None)))


def check_window(data: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a row, a sentence by field; empty when it can be saved. The same for form, admin and API.

    `data`: kind, name, matchers, starts_at, ends_at, rrule, time_zone by the model's names.
    """
    errors: dict[str, str] = {}
    kind, name, starts_at, ends_at = (data.get(key) for key in ("kind", "name", "starts_at", "ends_at"))
    if kind not in KINDS:
        errors["kind"] = f"Choose one of {', '.join(KINDS)}."
    if not isinstance(name, str) or not name.strip() or len(name) > 200 or "\0" in name:
        errors["name"] = "Give it a name of at most 200 characters, for example Firmware of the core switch."
    matchers = data.get("matchers")
    if problem := check_matchers(matchers):
        errors["matchers"] = problem
    zone = None
    try:
        zone = zone_named(data.get("time_zone"))
    except ValueError as error:
        errors["time_zone"] = str(error)
    try:
        _check_times(starts_at, ends_at)
    except ValueError as error:
        errors["starts_at" if starts_at is None else "ends_at"] = str(error)
        return errors
    assert isinstance(starts_at, datetime)
    if ends_at is None and data.get("rrule"):
        errors["ends_at"] = "A recurring window needs the end of its first occurrence."
    elif ends_at is None and (kind != "silence" or not isinstance(matchers, dict) or not matchers.get("alerts")):
        errors["ends_at"] = "Only a silence of single alerts can last until they clear; give an end."
    elif data.get("rrule") and ends_at is not None and zone is not None:
        errors |= _check_recurrence(data["rrule"], starts_at, ends_at, zone)
    return errors


def _check_recurrence(rule: Any, starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> dict[str, str]:
    if isinstance(rule, str) and len(rule) > 500:
        return {"rrule": "A recurrence has at most 500 characters."}
    try:
        recurrence, length = _recurrence(rule, starts_at, ends_at, zone)
    except RuleError as error:
        return {"rrule": str(error)}
    except ValueError as error:
        return {"ends_at": str(error)}
    starts = list(islice(recurrence.starts(recurrence.first), LOOKED_AT))
    for one, following in pairwise(starts):
        if following < one + length:
            problem = f"It lasts until {one + length:%d %b %Y %H:%M} but starts again at {following:%d %b %Y %H:%M}: "
            return {"ends_at": problem + "make it shorter, or let it happen less often."}
    return {}
