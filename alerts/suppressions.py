"""Reasons why alerts are quiet, as rows: read and written for many alerts at once, a constant number of statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from alerts.choices import QUIET_BIT, SUPPRESSED_BITS, Action, Condition, News, Status, SuppressionKind
from alerts.engine import HistoryRow
from alerts.locks import Cursor
from alerts.status import derive
from opsconductor import pgtext


@dataclass(slots=True)
class Reason:
    """One reason to be quiet. `until`: when it is looked at again, None: an event ends it."""

    kind: SuppressionKind
    root: UUID | None = None
    rule: int | None = None
    window: int | None = None
    until: datetime | None = None
    id: int | None = None  # of its row, once it has one
    started_at: datetime | None = None
    place: int | None = None  # among the starts of the Changes that hold it, until they are written

    @property
    def bit(self) -> int:
        return QUIET_BIT[self.kind]


def bits(reasons: Iterable[Reason]) -> int:
    found = 0
    for reason in reasons:
        found |= reason.bit
    return found


def words(quiet: int) -> list[str]:
    return [kind.value for kind in SuppressionKind if quiet & QUIET_BIT[kind]]


@dataclass(slots=True)
class Standing:
    """An alert as the rules of quiet see it. `open` holds its reasons; `rows` what is to be said of it."""

    alert_id: UUID
    fingerprint: str
    device_ip: str | None
    alert_type: str
    category: str
    component: str
    connector_id: int | None
    source_system: str
    tags: Sequence[str]
    condition: str
    status: str
    acknowledged: bool
    quiet: int
    announced: bool
    outage: bool
    root: UUID | None
    last_clear_at: datetime | None
    transition_times: list[datetime]
    connector_slug: str = ""
    open: list[Reason] = field(default_factory=list)

    @property
    def is_raised(self) -> bool:
        return self.condition == Condition.RAISED

    @property
    def is_dead(self) -> bool:
        return self.outage and (self.is_raised or bool(self.quiet & QUIET_BIT[SuppressionKind.FLAPPING]))

    def derived(self) -> Status:
        return derive(self.condition, acknowledged=self.acknowledged, suppressed=bool(self.quiet & SUPPRESSED_BITS))


_COLUMNS = (
    "a.id, a.fingerprint, host(a.device_ip), a.alert_type, a.category, a.component, a.connector_id, a.source_system, "
    "a.tags, a.condition, a.status, a.acknowledged_at IS NOT NULL, a.quiet, a.announced, a.outage, "
    "a.correlated_to_id, a.last_clear_at, a.transition_times"
)
_BY_ID = f"SELECT {_COLUMNS} FROM alerts_alert AS a WHERE a.id = ANY(%s::uuid[])"  # noqa: S608
_BELOW = f"""
SELECT {_COLUMNS} FROM alerts_alert AS a
WHERE a.condition = 'raised' AND a.device_ip = ANY(%s::inet[])"""  # noqa: S608
_OPEN = """
SELECT alert_id, kind, root_id, rule_id, window_id, until, id, started_at FROM alerts_suppression
WHERE ended_at IS NULL AND alert_id = ANY(%s::uuid[]) ORDER BY id"""
_START = """
INSERT INTO alerts_suppression (
    alert_id, kind, root_id, rule_id, window_id, started_at, until, ended_at, ended_because)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::bigint[], %s::bigint[], %s::timestamptz[],
    %s::timestamptz[], %s::timestamptz[], %s::text[])"""
_END = """
UPDATE alerts_suppression AS s SET ended_at = %s, ended_because = v.because
FROM unnest(%s::bigint[], %s::text[]) AS v(id, because) WHERE s.id = v.id AND s.ended_at IS NULL"""
_EXTEND = """
UPDATE alerts_suppression AS s SET until = v.until
FROM unnest(%s::bigint[], %s::timestamptz[]) AS v(id, until) WHERE s.id = v.id"""
_VERIFY = """
INSERT INTO alerts_verificationrequest (device_ip, asked_at) SELECT d::inet, %s FROM unnest(%s::text[]) AS d
ON CONFLICT (device_ip) DO UPDATE SET asked_at = EXCLUDED.asked_at"""
_ALERTS = """
UPDATE alerts_alert AS a SET quiet = v.quiet, status = v.status, announced = v.announced, outage = v.outage,
    correlated_to_id = v.root, correlation_rule_id = v.rule, updated_at = %s
FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::bool[], %s::bool[], %s::uuid[], %s::bigint[])
    AS v(id, quiet, status, announced, outage, root, rule)
WHERE a.id = v.id"""


def standing(cur: Cursor, ids: Iterable[UUID], slugs: Mapping[int, str]) -> list[Standing]:
    """Alerts by id with their open reasons."""
    cur.execute(_BY_ID, (pgtext.array(list(ids)),))
    return _with_reasons(cur, cur.fetchall(), slugs)


def standing_on(cur: Cursor, devices: Iterable[str], slugs: Mapping[int, str]) -> list[Standing]:
    """Raised alerts of devices with their open reasons."""
    cur.execute(_BELOW, (pgtext.array(sorted(devices)),))
    return _with_reasons(cur, cur.fetchall(), slugs)


def _with_reasons(cur: Cursor, rows: Iterable[Any], slugs: Mapping[int, str]) -> list[Standing]:
    found = {row[0]: Standing(*row) for row in rows}
    for st in found.values():
        st.connector_slug = slugs.get(st.connector_id or 0, "")
    for alert_id, reason in open_reasons(cur, [s.alert_id for s in found.values() if s.quiet]):
        found[alert_id].open.append(reason)
    return list(found.values())


def open_reasons(cur: Cursor, ids: Sequence[UUID]) -> list[tuple[UUID, Reason]]:
    if not ids:
        return []
    cur.execute(_OPEN, (pgtext.array(ids),))
    return [(row[0], Reason(SuppressionKind(row[1]), *row[2:])) for row in cur.fetchall()]


@dataclass(slots=True)
class Changes:
    """What one pass does to reasons and alerts; written at once, history apart and last."""

    now: datetime
    history: list[HistoryRow] = field(default_factory=list)
    verify: set[str] = field(default_factory=set)  # devices that are to be polled now
    _starts: list[list[Any]] = field(default_factory=list)
    _ends: list[tuple[int, str]] = field(default_factory=list)
    _extensions: list[tuple[int, datetime]] = field(default_factory=list)
    _alerts: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._starts or self._ends or self._extensions or self._alerts or self.history)

    def start(self, alert_id: UUID, reason: Reason, ended: str = "") -> None:
        """`ended`: it is over already, and kept for the story of the alert."""
        reason.place = len(self._starts)
        self._starts.append(
            [
                alert_id,
                reason.kind.value,
                reason.root,
                reason.rule,
                reason.window,
                self.now,
                reason.until,
                self.now if ended else None,
                ended,
            ]
        )

    def end(self, reason: Reason, because: str) -> None:
        if reason.id is not None:
            self._ends.append((reason.id, because))
        elif reason.place is not None:  # it began and ended in one pass
            self._starts[reason.place][7:9] = self.now, because

    def extend(self, reason: Reason, until: datetime) -> None:
        reason.until = until
        if reason.id is not None:
            self._extensions.append((reason.id, until))
        elif reason.place is not None:
            self._starts[reason.place][6] = until

    def alert(self, s: Standing, rule: int | None) -> None:
        self._alerts[s.alert_id] = (s.alert_id, s.quiet, str(s.status), s.announced, s.outage, s.root, rule)

    def suppressed(self) -> set[UUID]:
        """Alerts that are quiet after this pass, of those it changed."""
        return {alert_id for alert_id, row in self._alerts.items() if row[1] & SUPPRESSED_BITS}

    def say(
        self, s: Standing, action: Action, old_status: str, news: News, changes: dict[str, list[Any]], notes: str = ""
    ) -> None:
        self.history.append(HistoryRow(s.alert_id, action, old_status, str(s.status), news, changes, None, notes))

    def write(self, cur: Cursor) -> None:
        """Everything but the history. Ends come first: a reason may end and begin anew in one pass."""
        if self._ends:
            ids, because = zip(*sorted(self._ends), strict=True)
            cur.execute(_END, (self.now, pgtext.array(ids), pgtext.text_array(because)))
        if self._starts:
            columns = list(zip(*self._starts, strict=True))
            cur.execute(_START, [*map(pgtext.array, columns[:8]), pgtext.text_array(columns[8])])
        if self._extensions:
            ids, untils = zip(*sorted(self._extensions), strict=True)
            cur.execute(_EXTEND, (pgtext.array(ids), pgtext.array(untils)))
        if self.verify:
            cur.execute(_VERIFY, (self.now, pgtext.array(sorted(self.verify))))
        if self._alerts:
            columns = list(zip(*sorted(self._alerts.values()), strict=True))
            cur.execute(_ALERTS, (self.now, *map(pgtext.array, columns)))
