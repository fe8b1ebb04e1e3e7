"""What remap and replay share: journalled events that are read again and applied to the alerts they belong to now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from alerts import engine
from alerts.choices import News
from alerts.engine import HistoryRow, Plan, State
from alerts.ids import uuid7
from alerts.policy import Policy
from connectors.journal import Item

MOVE = """
UPDATE connectors_rawevent AS r SET outcome = v.outcome, reason = v.reason, error = v.error, alert_id = v.alert_id,
    fingerprint = v.fingerprint, device_ip = v.device_ip::inet
FROM unnest(%s::timestamptz[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::uuid[], %s::text[], %s::text[])
    AS v(received_at, event_key, outcome, reason, error, alert_id, fingerprint, device_ip)
WHERE r.received_at = v.received_at AND r.event_key = v.event_key"""


def move(cur: Any, items: Iterable[Item]) -> None:
    """Give journal rows what became of them now."""
    rows = [_moved(item) for item in items]
    if rows:
        cur.execute(MOVE, [list(column) for column in zip(*rows, strict=True)])


def decide(item: Item, targets: list[str], plan: Plan, policy: Policy) -> list[HistoryRow]:
    """Give the item its outcome; the history that alone makes."""
    if item.event is None:
        item.alert_id, item.fingerprint = None, ""
        return []
    done = engine.decide([item.event], [targets], plan.states, policy, uuid7)
    decision = done.decisions[0]
    item.outcome, item.alert_id, item.fingerprint = decision.outcome, decision.alert_id, decision.fingerprint
    return done.history


def lasts(state: State, now: datetime) -> bool:
    episode = state.episode
    return episode is not None and episode.is_raised and (episode.expires_at is None or episode.expires_at > now)


def still_raised(
    per_item: Iterable[tuple[Item, list[HistoryRow]]], states: dict[str, State], now: datetime
) -> set[UUID]:
    """Of each fingerprint that is raised in the end, the event that opened it last."""
    openings = {item.fingerprint: item.event_key for item, history in per_item if opens(history)}
    return {key for f, key in openings.items() if lasts(states[f], now)}


def opens(history: list[HistoryRow]) -> bool:
    """Whether an event that made this history opened an alert, or reopened one."""
    return any(entry.news is News.PROBLEM for entry in history)


def told(
    per_item: Iterable[tuple[Item, list[HistoryRow]]], announced: set[UUID], quiet: set[UUID]
) -> Iterator[HistoryRow]:
    """All history, told only where it matters: one problem for what is still raised. `quiet` holds the alerts that were
    opened here without a word; until a live event says more, nothing is told of them."""
    problems: set[UUID] = set()
    for item, history in per_item:
        for entry in history:
            if entry.news is News.PROBLEM:
                if item.event_key in announced:
                    quiet.discard(entry.alert_id)
                    problems.add(entry.alert_id)
                else:
                    quiet.add(entry.alert_id)
                    entry.news = News.NONE
            elif entry.alert_id in quiet or (entry.alert_id in problems and entry.news is News.UPDATE):
                entry.news = News.NONE
            yield entry


def _moved(item: Item) -> tuple[Any, ...]:
    if item.outcome is None:
        raise ValueError(f"event {item.event_key} has no outcome")
    return (
        item.received_at,
        item.event_key,
        item.outcome.value,
        item.reason[:200],
        item.error,
        item.alert_id,
        item.fingerprint,
        item.device_ip,
    )
