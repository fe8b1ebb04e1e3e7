"""The engine's reads and writes: a constant number of set-based statements per batch, whatever its size.

New rows go in by COPY; every other statement takes arrays and unnests them, so one prepared statement serves all batch
sizes. Arrays travel as text made here (`opsconductor.pgtext`): psycopg's own adapter costs about 1 us a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from alerts.choices import SEVERITY_WORDS
from alerts.engine import Episode, HistoryRow, Plan, State, importance
from alerts.locks import Cursor
from opsconductor import pgtext

_COLUMNS = (
    "id, fingerprint, condition, status, severity, peak_severity, title, message, opening, transitions, ttl_minutes, "
    "expires_at, last_raise_at, last_clear_at, last_occurrence_at, acknowledged_at IS NOT NULL, acknowledged_until, "
    "resolved_at, quiet, announced, outage, correlated_to_id, NULLIF(transition_times, '{}')"
)

# LATERAL with LIMIT 1 keeps these at one index probe per fingerprint, however many episodes it has had, also in a plan
# made before the table had statistics: `= ANY` would then read another partial index of open alerts from end to end.
_READ_OPEN = f"""
SELECT a.* FROM unnest(%s::text[]) AS f(fingerprint) CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM alerts_alert WHERE condition = 'raised' AND fingerprint = f.fingerprint LIMIT 1
) AS a"""  # noqa: S608

_READ_ENDED = f"""
SELECT a.* FROM unnest(%s::text[]) AS f(fingerprint) CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM alerts_alert
    WHERE condition <> 'raised' AND fingerprint = f.fingerprint ORDER BY resolved_at DESC LIMIT 1
) AS a"""  # noqa: S608

_READ_TOMBSTONES = (
    "SELECT fingerprint, cleared_at FROM alerts_tombstone WHERE fingerprint = ANY(%s::text[]) AND expires_at > %s"
)

_INSERT = """COPY alerts_alert (
    id, connector_id, source_system, source_alert_id, device_ip, device_name, device_id,
    severity, peak_severity, priority, impact, urgency, category, alert_type, component, title, message,
    condition, status, is_clear, opening, transitions, occurrence_count, ttl_minutes, expires_at,
    occurred_at, received_at, last_raise_at, last_clear_at, last_occurrence_at, resolved_at,
    tags, custom_fields, raw_data, fingerprint, created_at, updated_at,
    quiet, announced, outage, correlated_to_id, correlation_rule_id, transition_times) FROM STDIN"""

# Touches no indexed column: a HOT update.
_COUNT = """
UPDATE alerts_alert AS a SET occurrence_count = a.occurrence_count + v.added, last_raise_at = v.last_raise_at,
    last_occurrence_at = v.last_occurrence_at, expires_at = v.expires_at,
    missed_snapshots = CASE WHEN v.added > 0 THEN 0 ELSE a.missed_snapshots END, updated_at = %s
FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS v(id, added, last_raise_at, last_occurrence_at, expires_at)
WHERE a.id = v.id"""

_CHANGE = """
UPDATE alerts_alert AS a SET
    occurrence_count = a.occurrence_count + v.added, last_raise_at = v.last_raise_at,
    last_occurrence_at = v.last_occurrence_at, expires_at = v.expires_at, ttl_minutes = v.ttl_minutes,
    missed_snapshots = CASE WHEN v.added > 0 THEN 0 ELSE a.missed_snapshots END,
    condition = v.condition, status = v.status, is_clear = v.condition = 'cleared',
    severity = v.severity, peak_severity = v.peak_severity,
    impact = COALESCE(v.impact, a.impact), urgency = COALESCE(v.urgency, a.urgency),
    priority = COALESCE(v.priority, a.priority),
    title = v.title, message = v.message, opening = v.opening, transitions = v.transitions,
    last_clear_at = v.last_clear_at, resolved_at = v.resolved_at,
    resolved_by_id = CASE WHEN v.condition = 'raised' THEN NULL ELSE a.resolved_by_id END,
    acknowledged_at = CASE WHEN v.drop_ack THEN NULL ELSE a.acknowledged_at END,
    acknowledged_by_id = CASE WHEN v.drop_ack THEN NULL ELSE a.acknowledged_by_id END,
    acknowledged_until = CASE WHEN v.drop_ack THEN NULL ELSE a.acknowledged_until END,
    category = COALESCE(v.category, a.category), raw_data = COALESCE(v.raw_data::jsonb, a.raw_data),
    quiet = v.quiet, announced = v.announced, outage = v.outage, correlated_to_id = v.correlated_to,
    correlation_rule_id = CASE WHEN v.correlated_to IS NULL THEN NULL ELSE COALESCE(v.rule, a.correlation_rule_id) END,
    transition_times = COALESCE(v.transition_times::timestamptz[], a.transition_times), updated_at = %s
FROM unnest(
    %s::uuid[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::int[],
    %s::text[], %s::text[], %s::int[], %s::int[], %s::text[], %s::text[], %s::int[],
    %s::text[], %s::text[], %s::int[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::bool[],
    %s::text[], %s::text[], %s::int[], %s::bool[], %s::bool[], %s::uuid[], %s::bigint[], %s::text[]
) AS v(
    id, added, last_raise_at, last_occurrence_at, expires_at, ttl_minutes,
    condition, status, severity, peak_severity, impact, urgency, priority,
    title, message, opening, transitions, last_clear_at, resolved_at, drop_ack, category, raw_data,
    quiet, announced, outage, correlated_to, rule, transition_times)
WHERE a.id = v.id"""

_TOMBSTONES = """
INSERT INTO alerts_tombstone AS t (fingerprint, cleared_at, expires_at)
SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[])
ON CONFLICT (fingerprint) DO UPDATE SET
    cleared_at = GREATEST(t.cleared_at, EXCLUDED.cleared_at), expires_at = EXCLUDED.expires_at"""

_HISTORY = """COPY alerts_alerthistory (
    alert_id, action, old_status, new_status, user_id, notes, changes, news, created_at) FROM STDIN"""


def read_states(cur: Cursor, fingerprints: Iterable[str], now: datetime) -> dict[str, State]:
    """Open episode, else last ended episode, and tombstone of each fingerprint.

    Run it after, and apart from, the statement that took the locks: one that locks and reads at once
    would see the snapshot from before it got the lock.
    """
    wanted = list(dict.fromkeys(fingerprints))
    states = {f: State() for f in wanted}
    cur.execute(_READ_OPEN, (pgtext.array(wanted),))
    for row in cur.fetchall():
        states[row[1]].episode = Episode(*row)
    missing = [f for f, s in states.items() if s.episode is None]
    if missing:
        cur.execute(_READ_ENDED, (pgtext.array(missing),))
        for row in cur.fetchall():
            states[row[1]].episode = Episode(*row)
        cur.execute(_READ_TOMBSTONES, (pgtext.array(missing), now))
        for key, cleared_at in cur.fetchall():
            states[key].tombstone = cleared_at
    return states


def read_episodes(cur: Cursor, ids: Iterable[UUID]) -> dict[UUID, Episode]:
    """Episodes by id, whether they are the last of their fingerprint or not."""
    cur.execute(f"SELECT {_COLUMNS} FROM alerts_alert WHERE id = ANY(%s::uuid[])", (pgtext.array(list(ids)),))  # noqa: S608
    return {row[0]: Episode(*row) for row in cur.fetchall()}


def write_alerts(cur: Cursor, plan: Plan, now: datetime, tombstone_ttl: timedelta) -> None:
    """Everything but history. Rows are sorted by id, so that writers outside the engine meet them in one order."""
    episodes = sorted(plan.episodes(), key=lambda e: e.id)
    # What ended first: its fingerprint may have a new open episode in the same batch.
    _change(cur, [e for e in episodes if e.changed and not e.is_new], now)
    _insert(cur, [e for e in episodes if e.is_new], now)
    _count(cur, [e for e in episodes if e.touched and not e.changed and not e.is_new], now)
    expiry = now + tombstone_ttl
    stones = sorted((k, s.tombstone, expiry) for k, s in plan.states.items() if s.tombstone_changed and s.tombstone)
    if stones:
        cur.execute(_TOMBSTONES, _columns(stones))


def write_history(cur: Cursor, rows: Sequence[HistoryRow], now: datetime) -> None:
    """The last write of a transaction; nothing at all when there is nothing to say, not even the sequence lock."""
    if not rows:
        return
    at = str(now)
    with cur.copy(_HISTORY) as copy:  # the trigger draws ids in the order of the rows
        for r in rows:
            copy.write_row(
                (
                    r.alert_id,
                    r.action.value,
                    str(r.old_status),
                    str(r.new_status),
                    r.user_id,
                    r.notes,
                    orjson.dumps(_in_words(r.changes)).decode() if r.changes else "{}",
                    r.news.value,
                    at,
                )
            )


def _in_words(changes: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Severities as words, as everything a person or program reads."""
    if "severity" in changes:
        return {**changes, "severity": [SEVERITY_WORDS[s] for s in changes["severity"]]}
    return changes


def _insert(cur: Cursor, episodes: list[Episode], now: datetime) -> None:
    if not episodes:
        return
    at = str(now)
    with cur.copy(_INSERT) as copy:
        for e in episodes:
            first, latest = e.first, e.latest
            if first is None or latest is None:
                raise ValueError("a new episode without the event that opened it")
            impact, urgency, priority = latest.importance or importance(e.severity)
            copy.write_row(
                (
                    e.id,
                    first.connector_id,
                    first.source_system,
                    first.source_alert_id,
                    first.device_ip,
                    first.device_name,
                    first.device_id,
                    int(e.severity),
                    int(e.peak_severity),
                    priority,
                    impact,
                    urgency,
                    latest.category,
                    first.alert_type,
                    first.component,
                    e.title,
                    e.message,
                    str(e.condition),
                    str(e.status),
                    e.condition == "cleared",
                    e.opening,
                    e.transitions,
                    e.added,
                    e.ttl_minutes,
                    e.expires_at,
                    first.t,
                    first.received_at,
                    e.last_raise_at,
                    e.last_clear_at,
                    e.last_occurrence_at,
                    e.resolved_at,
                    list(first.tags) if first.tags else "{}",
                    "{}",
                    orjson.dumps(latest.facts()).decode(),
                    e.fingerprint,
                    at,
                    at,
                    e.quiet,
                    e.announced,
                    e.outage,
                    e.correlated_to,
                    e.rule,
                    e.transition_times or "{}",
                )
            )


def _count(cur: Cursor, episodes: list[Episode], now: datetime) -> None:
    if not episodes:
        return
    array = pgtext.array
    cur.execute(
        _COUNT,
        (
            now,
            array([e.id for e in episodes]),
            array([e.added for e in episodes]),
            array([e.last_raise_at for e in episodes]),
            array([e.last_occurrence_at for e in episodes]),
            array([e.expires_at for e in episodes]),
        ),
    )


def _change(cur: Cursor, episodes: list[Episode], now: datetime) -> None:
    rows = []
    for e in episodes:
        # What no event of this batch said stays as it is.
        impact, urgency, priority = (e.latest.importance or importance(e.severity)) if e.latest else (None, None, None)
        rows.append(
            (
                e.id,
                e.added,
                e.last_raise_at,
                e.last_occurrence_at,
                e.expires_at,
                e.ttl_minutes,
                str(e.condition),
                str(e.status),
                int(e.severity),
                int(e.peak_severity),
                impact,
                urgency,
                priority,
                e.title,
                e.message,
                e.opening,
                e.transitions,
                e.last_clear_at,
                e.resolved_at,
                e.drop_acknowledgement,
                e.latest.category if e.latest else None,
                orjson.dumps(e.latest.facts()).decode() if e.latest else None,
                e.quiet,
                e.announced,
                e.outage,
                e.correlated_to,
                e.rule,
                pgtext.array(e.transition_times) if e.transition_times else None,
            )
        )
    if rows:
        cur.execute(_CHANGE, (now, *_columns(rows)))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
