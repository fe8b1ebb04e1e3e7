"""What happens to alerts because time passes or somebody edited what decides who is quiet.

Stateless events expire, acknowledgements lapse, reasons to be quiet come and go, tombstones are forgotten. The same
locks, decisions and writes as for events; running twice, or in two processes, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from alerts import correlation, engine, locked, locks, store, suppressions
from alerts.choices import Action, News, SuppressionKind
from alerts.correlation import ReachNeeded
from alerts.engine import Episode, HistoryRow, Plan
from alerts.models import UNTOLD
from alerts.suppressions import Changes, Standing
from alerts.surroundings import Holder, Surroundings
from opsconductor import doorbell, pgtext

BATCH = 500
ALONE = 5_000  # alerts a transaction looks at that holds REACH alone
VERIFY_FOR = timedelta(minutes=10)
Connection = psycopg.Connection[Any]

_EXPIRED = """
SELECT fingerprint FROM alerts_alert
WHERE condition = 'raised' AND ttl_minutes IS NOT NULL AND expires_at <= %s ORDER BY expires_at LIMIT %s"""

_LAPSED = """
SELECT fingerprint FROM alerts_alert
WHERE condition = 'raised' AND acknowledged_until IS NOT NULL AND acknowledged_until <= %s
ORDER BY acknowledged_until LIMIT %s"""

_DUE = """
SELECT alert_id, kind FROM alerts_suppression WHERE ended_at IS NULL AND until <= %s ORDER BY until LIMIT %s"""

# An alert that somebody deleted past the engine leaves what would be due for ever, before all others.
_GONE = """
UPDATE alerts_suppression AS s SET ended_at = %(now)s, ended_because = 'the alert was removed'
WHERE s.ended_at IS NULL AND s.until <= %(now)s
  AND NOT EXISTS (SELECT 1 FROM alerts_alert AS a WHERE a.id = s.alert_id)"""

# What somebody edited, or a window's hour, may concern: all that is open, as windows and rules see it.
_OPEN = """
SELECT a.id, host(a.device_ip), a.alert_type, a.category, a.connector_id, a.tags, a.quiet, a.outage, a.last_clear_at,
       ARRAY(SELECT window_id FROM alerts_suppression AS s
             WHERE s.alert_id = a.id AND s.ended_at IS NULL AND s.window_id IS NOT NULL)
FROM alerts_alert AS a WHERE a.condition = 'raised'"""

# The reason is written out, not a parameter: so PostgreSQL sees that index suppression_unlisted holds all of it.
_WAITS = f"s.kind = 'maintenance' AND s.ended_because = '{UNTOLD}' AND s.listed_at IS NULL"

_LISTED = f"""
UPDATE alerts_suppression AS s SET listed_at = %s FROM alerts_alert AS a
WHERE a.id = s.alert_id AND s.window_id = ANY(%s::bigint[]) AND {_WAITS} AND a.condition <> 'raised'
RETURNING s.alert_id, a.status, s.window_id"""  # noqa: S608

_UNLISTED = f"SELECT DISTINCT window_id FROM alerts_suppression AS s WHERE {_WAITS} AND window_id IS NOT NULL"  # noqa: S608

_SOME_UNLISTED = f"""
SELECT EXISTS (
    SELECT 1 FROM alerts_suppression AS s JOIN alerts_alert AS a ON a.id = s.alert_id
    WHERE s.window_id = ANY(%s::bigint[]) AND {_WAITS} AND a.condition <> 'raised')"""  # noqa: S608

# Silences "until cleared" whose alerts have all ended. What is not an alert's id is nobody's.
_CLEARED = """
SELECT w.id FROM alerts_maintenancewindow AS w
CROSS JOIN LATERAL (
    SELECT array_agg(CASE WHEN chosen ~ '^[0-9a-fA-F-]{32,36}$' THEN chosen END) AS ids, count(*) AS number
    FROM jsonb_path_query(w.matchers, 'lax $.alerts[*]') AS each, LATERAL (SELECT each #>> '{}' AS chosen) AS c
) AS c
WHERE w.kind = 'silence' AND w.ends_at IS NULL AND w.closed_at IS NULL AND w.starts_at <= %s AND c.number > 0
  AND NOT EXISTS (
    SELECT 1 FROM alerts_alert AS a
    WHERE a.id = ANY(c.ids::uuid[]) AND a.condition = 'raised'
      AND (a.last_clear_at IS NULL OR a.last_clear_at < w.starts_at))
ORDER BY w.id"""
# Only where there are some: the very statement is an edit, for which every batch waits and begins anew.
_CLOSE = """
UPDATE alerts_maintenancewindow SET closed_at = %s, updated_at = now() WHERE id = ANY(%s) AND closed_at IS NULL"""


def turn(conn: Connection, now: datetime | None = None, holder: Holder | None = None) -> int:
    """Everything that is due at `now`; how many alerts changed. Any process may call it at any time.

    What fails does not keep the rest from its turn; the first error reaches the caller in the end.
    """
    now = now or datetime.now(UTC)
    holder = holder or Holder()
    changed = 0
    failure: Exception | None = None
    # Acknowledgements last: one that lapses as its window ends is told, for nothing keeps it quiet any more.
    for step in (expire, look_at_edits, end_reasons, lapse_acknowledgements):
        try:
            changed += step(conn, now, holder)
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return changed


def expire(conn: Connection, now: datetime | None = None, holder: Holder | None = None) -> int:
    """End stateless alerts whose time is over; how many. They expire, they never recover."""
    now = now or datetime.now(UTC)

    def decide(episode: Episode, plan: Plan) -> bool:
        if episode.expires_at is None or episode.expires_at > now:
            return False  # repeated since it was found
        engine.expire(episode, plan)
        return True

    return _each(conn, _EXPIRED, now, decide, holder or Holder())


def lapse_acknowledgements(conn: Connection, now: datetime | None = None, holder: Holder | None = None) -> int:
    """Alerts acknowledged until a time that has come are active again; how many."""
    now = now or datetime.now(UTC)

    def decide(episode: Episode, plan: Plan) -> bool:
        if not episode.acknowledged or episode.acknowledged_until is None or episode.acknowledged_until > now:
            return False
        engine.lapse(episode, plan)
        return True

    return _each(conn, _LAPSED, now, decide, holder or Holder())


def _each(conn: Connection, query: str, now: datetime, decide: Callable[[Episode, Plan], bool], holder: Holder) -> int:
    """Candidates without locks, then the decision with them, on what is true then."""
    total = 0
    while True:
        found = [row[0] for row in conn.execute(query, (now, BATCH)).fetchall()]
        if not found:
            return total

        def attempt(cur: Any, s: Surroundings, exclusive: bool, found: Sequence[str] = found) -> int:
            plan = Plan(decisions=[], states=store.read_states(cur, found, now))
            changed = sum(decide(episode, plan) for episode in plan.episodes() if episode.is_raised)
            history = correlation.apply(cur, plan, s, now, exclusive=exclusive)
            store.write_history(cur, history, now)
            return changed

        changed = under_locks(conn, holder, found, attempt)
        total += changed
        if len(found) < BATCH or not changed:
            return total


def under_locks(
    conn: Connection,
    holder: Holder,
    fingerprints: Iterable[str],
    attempt: Callable[[Any, Surroundings, bool], int],
    *,
    exclusive: bool = False,
) -> int:
    """One transaction under the engine's locks; once more with REACH alone when it turns out to need that."""
    wanted = list(fingerprints)

    def transaction(alone: bool) -> int:
        with conn.transaction(), conn.cursor() as cur:
            held = locked.take(cur, wanted, exclusive=alone, holder=holder)
            return attempt(cur, held.surroundings, held.exclusive)

    try:
        changed = locked.again(conn.cursor, lambda: transaction(exclusive), holder)
    except ReachNeeded:
        changed = locked.again(conn.cursor, lambda: transaction(True), holder)
    if changed:
        doorbell.ring()
    return changed


# --- reasons that are due ---------------------------------------------------------------------------------------


def end_reasons(conn: Connection, now: datetime, holder: Holder) -> int:
    """Holds, releases, windows, flapping and storms whose time has come: the alerts are looked at anew."""
    total = 0
    while True:
        due = conn.execute(_DUE, (now, BATCH)).fetchall()
        ids = list(dict.fromkeys(row[0] for row in due))
        if not ids:
            return total
        changed = reassess_alerts(
            conn,
            now,
            holder,
            ids,
            # The end of an outage that flapped reaches what is below it.
            exclusive=any(row[1] == SuppressionKind.FLAPPING for row in due),
        )
        total += changed
        if not changed and not conn.execute(_GONE, {"now": now}).rowcount:
            return total
        if len(due) < BATCH:
            return total


def reassess_alerts(
    conn: Connection,
    now: datetime,
    holder: Holder,
    ids: Sequence[UUID],
    *,
    exclusive: bool = False,
    edited: bool = False,
) -> int:
    """Look at alerts anew, in as many transactions as keep batches from waiting long; how many changed."""
    fingerprints = [
        row[0]
        for row in conn.execute(
            "SELECT fingerprint FROM alerts_alert WHERE id = ANY(%s::uuid[])", (pgtext.array(ids),)
        ).fetchall()
    ]
    parts = [(ids, fingerprints)]
    most = ALONE if exclusive else BATCH
    if len(ids) > most:
        parts = [(ids[n : n + most], fingerprints[n : n + most]) for n in range(0, len(ids), most)]
        by_id = dict(
            conn.execute(
                "SELECT id, fingerprint FROM alerts_alert WHERE id = ANY(%s::uuid[])", (pgtext.array(ids),)
            ).fetchall()
        )
        parts = [(part, [by_id[i] for i in part if i in by_id]) for part, _ in parts]
    total = 0
    for part, prints in parts:

        def attempt(cur: Any, s: Surroundings, exclusive: bool, part: Sequence[UUID] = part) -> int:
            alerts = suppressions.standing(cur, part, s.slugs)
            return _write(cur, s, now, look_anew(cur, s, now, alerts, edited=edited))

        total += under_locks(conn, holder, prints, attempt, exclusive=exclusive)
    return total


def look_anew(cur: Any, s: Surroundings, now: datetime, alerts: Sequence[Standing], *, edited: bool = False) -> Changes:
    changes = Changes(now)
    explanation = correlation.explain(cur, alerts, s) if s.graph else None
    stormy = _stormy(cur, s, now, alerts)
    dead = {st.alert_id: st.device_ip for st in alerts if st.is_dead}
    for st in alerts:
        correlation.reassess(st, s, now, explanation, changes, edited=edited, stormy=stormy)
    returned = {
        device
        for st in alerts
        if (device := dead.get(st.alert_id)) is not None and not st.is_dead and s.graph.children(device)
    }
    if returned:
        changes.write(cur)
        reached = correlation.reach(cur, returned, s, now)
        reached.history = changes.history + reached.history
        return reached
    return changes


def _write(cur: Any, s: Surroundings, now: datetime, changes: Changes) -> int:
    changes.write(cur)
    store.write_history(cur, changes.history, now)
    return len(changes.history)


def _stormy(cur: Any, s: Surroundings, now: datetime, alerts: Iterable[Standing]) -> frozenset[tuple[str, str]]:
    """Of the kinds of source and alert types that are quiet because too many came: those that still do."""
    waiting = {
        (st.source_system, st.alert_type): s.policy.of(st.source_system, st.alert_type)
        for st in alerts
        if any(reason.kind is SuppressionKind.STORM for reason in st.open)
    }
    found = set()
    for (source, alert_type), policy in waiting.items():
        limit = policy.storm_alerts
        seen = correlation.recent(cur, [alert_type], now - policy.storm_window).get((source, alert_type), 0)
        if limit is not None and seen > limit:
            found.add((source, alert_type))
    return frozenset(found)


# --- edits, and the hours of windows ----------------------------------------------------------------------------


def look_at_edits(conn: Connection, now: datetime, holder: Holder) -> int:
    """After an edit of dependencies, rules or windows, and when a window begins or ends: all that is open, anew.

    What was looked at last is kept in the database, so it is done once, by whichever process comes first.
    """
    cleared = [row[0] for row in conn.execute(_CLEARED, (now,)).fetchall()]
    if cleared:
        conn.execute(_CLOSE, (now, cleared))
    with conn.cursor() as cur:
        s = holder.fresh(cur)
    last = conn.execute("SELECT versions, due_at FROM alerts_evaluation WHERE id = 1").fetchone()
    graph, windows = s.version_of("graph"), s.version_of("windows", "graph", "devices")
    seen = last[0].split(" ") if last else ["", ""]
    edited = seen[0] != graph
    if last and not edited and seen[1:] == [windows] and (last[1] is None or last[1] > now):
        # A batch that looked at its clock before the window ended may have been stored after that was looked at.
        return list_what_ended(conn, now, holder) if s.windows else 0
    changed = 0
    if edited or seen[1:] != [windows] or s.windows or last is None:
        changed = _look_at_all(conn, now, holder, edited=edited)
    due_at = s.windows.next_change(now) if s.windows else None
    conn.execute(
        "INSERT INTO alerts_evaluation (id, versions, due_at) VALUES (1, %s, %s) "
        "ON CONFLICT (id) DO UPDATE SET versions = EXCLUDED.versions, due_at = EXCLUDED.due_at",
        (f"{graph} {windows}", due_at),
    )
    return changed + list_what_ended(conn, now, holder)


def _look_at_all(conn: Connection, now: datetime, holder: Holder, *, edited: bool) -> int:
    """Everything open against windows and, when `edited`, dependencies and rules. Those that differ are changed."""
    s = holder.value
    concerned: list[UUID] = []
    flags: list[tuple[UUID, bool]] = []
    in_force = {w.id for w in s.windows.in_force(now)} if s.windows else set()
    with conn.transaction(), conn.cursor() as cur:
        # Batches under way may have looked at the clock before the window began: what they write is to be seen here.
        locks.lock_reach(cur, exclusive=True)
    with conn.cursor() as cur:
        cur.execute(_OPEN)
        for alert_id, device, alert_type, category, connector_id, tags, quiet, outage, cleared, held in cur:
            of_windows = set(held)
            if in_force:
                subject = correlation.Subject(
                    alert_id, device, alert_type, category, s.slugs.get(connector_id, ""), tags
                )
                wanted = {w.id for w in correlation.in_force(s, subject, cleared, now)}
            else:
                wanted = set()
            if edited and bool(s.rules.outages(alert_type)) != outage:
                flags.append((alert_id, not outage))
            waits = quiet & correlation.OF_GRAPH
            if of_windows != wanted or (
                edited and (waits or (device and s.graph.parents(device) and s.rules.hiding(alert_type, category)))
            ):
                concerned.append(alert_id)
    if flags:

        def mark(cur: Any, s: Surroundings, exclusive: bool) -> int:
            cur.execute(
                "UPDATE alerts_alert AS a SET outage = v.outage FROM unnest(%s::uuid[], %s::bool[]) AS v(id, outage) "
                "WHERE a.id = v.id AND a.condition = 'raised'",
                (pgtext.array([f[0] for f in flags]), pgtext.array([f[1] for f in flags])),
            )
            return 0

        under_locks(conn, holder, [], mark, exclusive=True)
    if not concerned:
        return 0
    return reassess_alerts(conn, now, holder, concerned, exclusive=edited, edited=edited)


def list_what_ended(conn: Connection, now: datetime, holder: Holder) -> int:
    """Alerts that began and ended inside a maintenance window are said, once, in the digest at its end."""
    waiting = {row[0] for row in conn.execute(_UNLISTED).fetchall()}
    over = sorted(waiting - {w.id for w in holder.value.windows.in_force(now)}) if waiting else []
    if not over or not conn.execute(_SOME_UNLISTED, (over,)).fetchone()[0]:  # type: ignore[index]
        return 0

    def attempt(cur: Any, s: Surroundings, exclusive: bool) -> int:
        cur.execute(_LISTED, (now, pgtext.array(over)))
        told = {(alert_id, window): status for alert_id, status, window in cur.fetchall()}
        history = [
            HistoryRow(alert_id, Action.LISTED, status, status, News.DIGEST, {"window": [None, window]})
            for (alert_id, window), status in sorted(told.items())
        ]
        store.write_history(cur, history, now)
        return len(history)

    return under_locks(conn, holder, [], attempt)


def drop_tombstones(conn: Connection, now: datetime | None = None) -> int:
    """Forget orphan clears whose time is over; how many."""
    return conn.execute("DELETE FROM alerts_tombstone WHERE expires_at <= %s", (now or datetime.now(UTC),)).rowcount


def drop_verification_requests(conn: Connection, now: datetime | None = None) -> int:
    """Forget devices nobody polled when their parent came back; how many."""
    before = (now or datetime.now(UTC)) - VERIFY_FOR
    return conn.execute("DELETE FROM alerts_verificationrequest WHERE asked_at < %s", (before,)).rowcount
