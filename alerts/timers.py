"""What happens to alerts because time passes: stateless events expire, acknowledgements lapse, tombstones go.

The same locks, decisions and writes as for events; running twice, or in two processes, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from alerts import engine, locks, store
from alerts.engine import Episode, Plan
from alerts.policy import DEFAULT, Policy
from opsconductor import doorbell

BATCH = 500

_EXPIRED = """
SELECT fingerprint FROM alerts_alert
WHERE condition = 'raised' AND ttl_minutes IS NOT NULL AND expires_at <= %s ORDER BY expires_at LIMIT %s"""

_LAPSED = """
SELECT fingerprint FROM alerts_alert
WHERE condition = 'raised' AND acknowledged_until IS NOT NULL AND acknowledged_until <= %s
ORDER BY acknowledged_until LIMIT %s"""


def expire(conn: psycopg.Connection[Any], now: datetime | None = None, policy: Policy = DEFAULT) -> int:
    """End stateless alerts whose time is over; how many. They expire, they never recover."""
    now = now or datetime.now(UTC)

    def decide(episode: Episode, plan: Plan) -> bool:
        if episode.expires_at is None or episode.expires_at > now:
            return False  # repeated since it was found
        engine.expire(episode, plan)
        return True

    return _each(conn, _EXPIRED, now, decide, policy)


def lapse_acknowledgements(conn: psycopg.Connection[Any], now: datetime | None = None, policy: Policy = DEFAULT) -> int:
    """Alerts acknowledged until a time that has come are active again; how many."""
    now = now or datetime.now(UTC)

    def decide(episode: Episode, plan: Plan) -> bool:
        if not episode.acknowledged or episode.acknowledged_until is None or episode.acknowledged_until > now:
            return False
        engine.lapse(episode, plan)
        return True

    return _each(conn, _LAPSED, now, decide, policy)


def _each(
    conn: psycopg.Connection[Any], query: str, now: datetime, decide: Callable[[Episode, Plan], bool], policy: Policy
) -> int:
    """Candidates without locks, then the decision with them, on what is true then."""
    total = 0
    while True:
        found = [row[0] for row in conn.execute(query, (now, BATCH)).fetchall()]
        if not found:
            return total
        with conn.transaction(), conn.cursor() as cur:
            locks.lock_reach(cur)
            locks.lock_fingerprints(cur, found)
            plan = Plan(decisions=[], states=store.read_states(cur, found, now))
            changed = sum(decide(episode, plan) for episode in plan.episodes() if episode.is_raised)
            store.write_alerts(cur, plan, now, policy.tombstone_ttl)
            store.write_history(cur, plan.history, now)
        if changed:
            doorbell.ring()
        total += changed
        if len(found) < BATCH or not changed:
            return total


def drop_tombstones(conn: psycopg.Connection[Any], now: datetime | None = None) -> int:
    """Forget orphan clears whose time is over; how many."""
    return conn.execute("DELETE FROM alerts_tombstone WHERE expires_at <= %s", (now or datetime.now(UTC),)).rowcount
