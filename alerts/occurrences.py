"""When the events of an alert came, as a small chart: one grouped query over the journal, whatever its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection

from alerts.columns import exact
from alerts.models import Alert

BARS = 60
WIDTH, HEIGHT = 600, 72
# The first one that needs no more than BARS bars.
STEPS = tuple(timedelta(seconds=s) for s in (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86400, 7 * 86400))
WORDS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}

# Both columns are in index rawevent_by_alert: a hundred thousand repeats are counted without a look at their rows.
_COUNTS = """
SELECT extract(epoch FROM bin)::bigint / %s, count(*) FROM (
    SELECT date_bin(make_interval(secs => %s), received_at, 'epoch') AS bin
    FROM connectors_rawevent WHERE alert_id = %s) AS binned
GROUP BY bin ORDER BY bin"""
_SPAN = "SELECT min(received_at), max(received_at) FROM connectors_rawevent WHERE alert_id = %s"


@dataclass(frozen=True)
class Bar:
    """`x`, `y`, `width`, `height` in units of the drawing."""

    at: datetime
    number: int
    x: float
    y: float
    width: float
    height: float

    @property
    def label(self) -> str:
        return f"{exact(self.at)}: {self.number:,}"


@dataclass(frozen=True)
class Chart:
    """`kept`: how many events the journal has of it; `counted`: how many raises the alert counted."""

    bars: list[Bar]
    step: str
    begin: datetime
    end: datetime
    most: int
    kept: int
    counted: int
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def forgotten(self) -> int:
        """Raises the journal does not have any more, or never had: a poll's repeats leave no row."""
        return max(0, self.counted - self.kept)

    @property
    def sentence(self) -> str:
        return f"{self.kept:,} event{'' if self.kept == 1 else 's'}, at most {self.most:,} in {self.step}"


def chart(alert: Alert) -> Chart | None:
    """None where there is nothing to draw: no event in the journal, or a single one."""
    with connection.cursor() as cur:
        cur.execute(_SPAN, [alert.pk])
        begin, end = cur.fetchone()
        if begin is None or begin == end:
            return None
        step = step_for(end - begin)
        seconds = int(step.total_seconds())
        cur.execute(_COUNTS, [seconds, seconds, alert.pk])
        return drawn(cur.fetchall(), step, begin, end, alert.occurrence_count)


def step_for(span: timedelta) -> timedelta:
    return next((step for step in STEPS if span / step <= BARS - 1), STEPS[-1])


def drawn(rows: Sequence[tuple[int, int]], step: timedelta, begin: datetime, end: datetime, counted: int) -> Chart:
    """Bars on their places between the first and the last slot. Pure."""
    seconds = int(step.total_seconds())
    first, last = rows[0][0], rows[-1][0]
    width = WIDTH / (last - first + 1)
    most = max(number for _, number in rows)
    bars = []
    for slot, number in rows:
        height = max(2.0, number / most * (HEIGHT - 2))
        bars.append(
            Bar(
                datetime.fromtimestamp(slot * seconds, UTC),
                number,
                round((slot - first) * width + width * 0.08, 2),
                round(HEIGHT - height, 2),
                round(max(1.0, width * 0.84), 2),
                round(height, 2),
            )
        )
    return Chart(bars, said(step), begin, end, most, sum(number for _, number in rows), counted)


def said(step: timedelta) -> str:
    """One minute, 15 minutes, 3 hours."""
    seconds = int(step.total_seconds())
    unit = max(size for size in WORDS if seconds % size == 0)
    number = seconds // unit
    return f"one {WORDS[unit]}" if number == 1 else f"{number} {WORDS[unit]}s"


def between(
    alert_id: UUID, marks: Sequence[datetime], begin: datetime | None = None, end: datetime | None = None
) -> dict[int, tuple[int, datetime, datetime]]:
    """How many events came before the first of these times (0), between two, and after the last: for each stretch its
    number, first and last. `marks` ascend; `begin` and `end`, itself not in it: what is looked at."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT width_bucket(received_at, %s::timestamptz[]) AS stretch, count(*), min(received_at), "
            "max(received_at) FROM connectors_rawevent WHERE alert_id = %s "
            "AND received_at >= COALESCE(%s, '-infinity'::timestamptz) "
            "AND received_at < COALESCE(%s, 'infinity'::timestamptz) GROUP BY stretch",
            [list(marks) or [datetime.max.replace(tzinfo=UTC)], alert_id, begin, end],
        )
        return {stretch: (number, first, last) for stretch, number, first, last in cur.fetchall()}


def last_before(alert_id: UUID, moments: Sequence[datetime]) -> dict[datetime, datetime]:
    """For each of these times when the last event before it came; left out where there was none."""
    if not moments:
        return {}
    with connection.cursor() as cur:
        cur.execute(
            "SELECT at, (SELECT max(received_at) FROM connectors_rawevent WHERE alert_id = %s AND received_at < at) "
            "FROM unnest(%s::timestamptz[]) AS at",
            [alert_id, list(moments)],
        )
        return {at: before for at, before in cur.fetchall() if before is not None}
