"""Recurrence on the wall clock: tables for nights on which clocks change, and two naive models on random rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.recurrence import RuleError, instant, next_morning, parse, span

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # by half an hour: 02:00 -> 02:30 and back
ZONES = [BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu")]


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "start", "minutes", "begins", "ends"),
    [
        # Berlin, 28 March 2027: 02:00 -> 03:00 at 01:00Z. What exists of 02:30 to 03:30 is 03:00 to 03:30.
        (BERLIN, "2027-03-28 02:30", 60, "2027-03-28 01:00", "2027-03-28 01:30"),
        (BERLIN, "2027-03-28 01:30", 60, "2027-03-28 00:30", "2027-03-28 01:00"),
        (BERLIN, "2027-03-28 01:30", 120, "2027-03-28 00:30", "2027-03-28 01:30"),
        (BERLIN, "2027-03-28 02:15", 30, "2027-03-28 01:15", "2027-03-28 01:45"),  # wholly skipped: moved behind
        (BERLIN, "2027-03-28 02:00", 60, "2027-03-28 01:00", "2027-03-28 02:00"),
        (BERLIN, "2027-03-27 22:00", 8 * 60, "2027-03-27 21:00", "2027-03-28 04:00"),
        # 31 October 2027: 03:00 -> 02:00 at 01:00Z. 02:30 is shown twice, the first one counts.
        (BERLIN, "2027-10-31 02:30", 60, "2027-10-31 00:30", "2027-10-31 02:30"),
        (BERLIN, "2027-10-31 02:15", 30, "2027-10-31 00:15", "2027-10-31 00:45"),
        (BERLIN, "2027-10-31 01:30", 60, "2027-10-30 23:30", "2027-10-31 00:30"),
        (BERLIN, "2027-10-30 22:00", 8 * 60, "2027-10-30 20:00", "2027-10-31 05:00"),
        # New York, 14 March and 7 November 2027, at 07:00Z and 06:00Z.
        (NEW_YORK, "2027-03-14 02:30", 60, "2027-03-14 07:00", "2027-03-14 07:30"),
        (NEW_YORK, "2027-03-13 23:00", 6 * 60, "2027-03-14 04:00", "2027-03-14 09:00"),
        (NEW_YORK, "2027-11-07 01:30", 60, "2027-11-07 05:30", "2027-11-07 07:30"),
        (NEW_YORK, "2027-11-06 23:00", 6 * 60, "2027-11-07 03:00", "2027-11-07 10:00"),
        # Lord Howe, 3 October 2027: 02:00 +10:30 -> 02:30 +11 at 15:30Z; 4 April: 02:00 +11 -> 01:30 at 15:00Z.
        (LORD_HOWE, "2027-10-03 02:15", 30, "2027-10-02 15:30", "2027-10-02 15:45"),
        (LORD_HOWE, "2027-10-03 02:05", 20, "2027-10-02 15:35", "2027-10-02 15:55"),
        (LORD_HOWE, "2027-10-03 01:00", 120, "2027-10-02 14:30", "2027-10-02 16:00"),
        (LORD_HOWE, "2027-04-04 01:45", 30, "2027-04-03 14:45", "2027-04-03 15:45"),
        (LORD_HOWE, "2027-04-04 01:00", 120, "2027-04-03 14:00", "2027-04-03 16:30"),
    ],
)
def test_nights_on_which_the_clock_changes(zone, start, minutes, begins, ends):
    assert span(local(start), timedelta(minutes=minutes), zone) == (utc(begins), utc(ends))


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE])
def test_the_wall_clock_of_a_recurring_start_stays_all_year(zone):
    rule = parse("FREQ=DAILY", local("2027-01-01 22:00"), zone)
    starts = [instant(start, zone) for start in islice(rule.starts(rule.first), 365)]
    assert {start.astimezone(zone).strftime("%H:%M") for start in starts} == {"22:00"}
    assert len({start.strftime("%H:%M") for start in starts}) == 2  # summer and winter


WEEKDAYS = st.lists(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), min_size=1, max_size=3, unique=True)


@st.composite
def rules(draw):
    """Rules in which dateutil, started at the first occurrence, is right; weeks cut by BYSETPOS are not among them."""
    frequency = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"]))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 5))}"]
    if frequency == "WEEKLY" and draw(st.booleans()):
        parts.append("BYDAY=" + ",".join(draw(WEEKDAYS)))
    if frequency == "WEEKLY" and draw(st.booleans()):
        parts.append("WKST=SU")
    if frequency in ("MONTHLY", "YEARLY"):
        kind = draw(st.integers(0, 3))
        if kind == 1:
            parts.append("BYMONTHDAY=" + str(draw(st.sampled_from([1, 15, 29, 30, 31, -1, -30]))))
        elif kind == 2:
            parts.append("BYDAY=" + draw(st.sampled_from(["1SU", "2TU", "-1FR", "3WE", "MO", "5MO"])))
        elif kind == 3:
            parts += ["BYDAY=MO,TU,WE,TH,FR", "BYSETPOS=" + str(draw(st.sampled_from([1, -1, 3])))]
    if frequency != "HOURLY" and draw(st.booleans()):
        parts.append("BYHOUR=" + ",".join(map(str, draw(st.lists(st.integers(0, 23), min_size=1, max_size=2)))))
    if frequency == "YEARLY" and draw(st.booleans()):
        parts.append("BYMONTH=" + str(draw(st.integers(1, 12))))
    return ";".join(parts)


FIRSTS = st.datetimes(datetime(2001, 1, 1), datetime(2030, 1, 1)).map(lambda d: d.replace(second=0, microsecond=0))


@given(rules(), FIRSTS, st.integers(0, 3650), st.sampled_from(["", "COUNT", "UNTIL"]))
@settings(max_examples=300, deadline=None)
def test_starting_in_the_middle_gives_what_starting_at_the_first_gives(text, first, days, end):
    since = first + timedelta(days=days, hours=days % 24)
    if end == "COUNT":
        text += ";COUNT=40"
    if end == "UNTIL":
        text += f";UNTIL={since + timedelta(days=300):%Y%m%dT%H%M%S}"
    plain = rrulestr(text, dtstart=first)
    expected = list(islice((start for start in plain if start >= since), 12))
    try:
        found = list(islice(parse(text, first, BERLIN).starts(since), 12))
    except RuleError:
        found = []
        assert next(iter(plain), None) is None or next(iter(plain)).year > first.year + 8
    looked_from = first if end == "COUNT" else since
    horizon = looked_from.replace(
        day=1, year=looked_from.year + (39 if text.startswith(("FREQ=YEARLY", "FREQ=MONTHLY")) else 8)
    )
    assert [s for s in found if s < horizon] == [s for s in expected if s < horizon]


def first_time_shown(wall: datetime, zone: ZoneInfo) -> datetime:
    """By looking at the clock every minute of two days."""
    minute = wall.replace(tzinfo=UTC) - timedelta(hours=26)
    while minute.astimezone(zone).replace(tzinfo=None) < wall:
        minute += timedelta(minutes=1)
    return minute


CHANGES = [local("2027-03-27"), local("2027-10-30"), local("2027-03-13"), local("2027-11-06")]
CHANGES += [local("2027-10-02"), local("2027-04-03"), local("2027-06-15")]


@given(st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(0, 48 * 60), st.integers(1, 36 * 60))
@settings(max_examples=200, deadline=None)
def test_a_span_is_what_somebody_sees_who_watches_the_clock(zone, day, minutes, length):
    start = day + timedelta(minutes=minutes)
    begins, ends = first_time_shown(start, zone), first_time_shown(start + timedelta(minutes=length), zone)
    found = span(start, timedelta(minutes=length), zone)
    if begins < ends:
        assert found == (begins, ends)
    else:  # not shown at all that night
        assert found[0] >= begins
        assert found[1] - found[0] == timedelta(minutes=length)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("FREQ=SECONDLY", "FREQ"),
        ("BYDAY=MO", "FREQ"),
        ("nonsense", "not a part"),
        ("FREQ=DAILY;FREQ=DAILY", "twice"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;BYSECOND=1", "BYSECOND"),
        ("FREQ=DAILY;BYEASTER=1", "BYEASTER"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20270101", "not both"),
        ("FREQ=DAILY;COUNT=5000", "COUNT"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL"),
        ("FREQ=DAILY;UNTIL=20271341", "UNTIL"),
        ("FREQ=DAILY;UNTIL=20200101", "never happens"),
        ("FREQ=WEEKLY;BYDAY=1SU", "1SU"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYWEEKNO=3", "BYWEEKNO"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS"),
        ("FREQ=MINUTELY;BYHOUR=1;BYSETPOS=5", "BYSETPOS"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never happens"),
        ("FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30", "never happens"),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=5", "never meet"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(text, word):
    with pytest.raises(RuleError) as refused:
        parse(text, local("2027-01-01 22:00"), BERLIN)
    assert word in str(refused.value)


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20270103", "2027-01-03 22:00"),
        ("20270103T220000", "2027-01-03 22:00"),
        ("20270103T205959Z", "2027-01-02 22:00"),
    ],
)
def test_until_is_included(until, last):
    rule = parse(f"FREQ=DAILY;UNTIL={until}", local("2027-01-01 22:00"), BERLIN)
    assert list(rule.starts(rule.first))[-1] == local(last)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("FREQ=MINUTELY;INTERVAL=7", 1),
        ("FREQ=HOURLY;INTERVAL=5", 1),
        ("FREQ=DAILY;INTERVAL=3", 4),
        ("FREQ=WEEKLY;INTERVAL=2", 15),
        ("FREQ=MONTHLY;INTERVAL=3", 93),
        ("FREQ=YEARLY;INTERVAL=4", 4 * 366),
    ],
)
def test_a_rule_of_long_ago_is_expanded_from_a_period_nearby(text, days):
    """Not from its first start: a start every seven minutes since 2000 would be two million to step over."""
    rule = parse(text, local("2000-01-01 00:00"), BERLIN)
    asked = local("2027-06-01 12:00")
    assert timedelta() <= asked - rule._period_before(asked) < timedelta(days=days)


def test_morning_is_the_next_one_on_the_wall():
    assert next_morning(utc("2027-03-27 20:00"), BERLIN) == utc("2027-03-28 06:00")
    assert next_morning(utc("2027-03-27 06:59"), BERLIN) == utc("2027-03-27 07:00")
    assert next_morning(utc("2027-03-27 07:00"), BERLIN) == utc("2027-03-28 06:00")
