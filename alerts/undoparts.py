"""What an action that can be undone changed, a row for each of its transactions; plain SQL under the engine's locks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from alerts.choices import Action
from alerts.deeds import Subject
from alerts.locks import Cursor
from opsconductor import pgtext

_LATEST = "SELECT COALESCE(max(id), 0) FROM alerts_alerthistory"
_KEEP = "INSERT INTO alerts_undopart (undo_id, sequence, at, before, owes) VALUES (%s, %s, %s, %s::jsonb, %s)"
_TAKE = """
DELETE FROM alerts_undopart AS p USING alerts_undo AS u WHERE p.id = %s AND u.id = p.undo_id
RETURNING u.id, p.sequence, p.at, p.before, u.action, u.user_id"""

# Whoever holds the locks of these alerts sees all rows that were written for them, and no more come meanwhile.
_CHANGED = """
SELECT DISTINCT alert_id FROM alerts_alerthistory
WHERE alert_id = ANY(%(ids)s::uuid[]) AND id > %(sequence)s AND NOT (user_id = %(user)s AND created_at = %(at)s)
  AND ((user_id IS NOT NULL AND user_id <> %(user)s AND action <> 'note')
       OR action = ANY(%(same)s::text[]) OR changes ? 'acknowledged')"""

_ENDS = (Action.CLEARED, Action.EXPIRED, Action.RESOLVED, Action.REOPENED)
# By the action that is undone: what of the same kind, whoever did it, means that it is not as it was left.
_SAME: dict[str, tuple[Action, ...]] = {
    Action.ACKNOWLEDGED: (Action.ACKNOWLEDGED, Action.UNACKNOWLEDGED, *_ENDS),
    Action.UNACKNOWLEDGED: (Action.ACKNOWLEDGED, Action.UNACKNOWLEDGED, *_ENDS),
    Action.ASSIGNED: (Action.ASSIGNED, *_ENDS),
    Action.RESOLVED: _ENDS,
    Action.REOPENED: _ENDS,
    Action.NOTE: (),
}


def latest_sequence(cur: Cursor) -> int:
    """Read it under the locks and before history is written: what is newer of these alerts is ours or came later."""
    cur.execute(_LATEST)
    return int(cur.fetchone()[0])


@dataclass(slots=True)
class Part:
    """`before`: by alert, the columns as they were. `owes`: whether something is to be told when undoing is over."""

    undo: UUID
    sequence: int
    at: datetime
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    owes: bool = False
    action: str = ""
    user_id: int = 0

    def workflow(self, alert: Subject) -> None:
        self.before[str(alert.id)] = {
            "acknowledged_at": alert.acknowledged_at,
            "acknowledged_by": alert.acknowledged_by,
            "acknowledged_until": alert.acknowledged_until,
            "assigned_to": alert.assigned_to,
        }

    def resolved(self, alert: Subject, *, owed: bool) -> None:
        """`opening` names the raise that ended."""
        self.before[str(alert.id)] = {"owed": owed, "opening": alert.opening}
        self.owes |= owed

    def reopened(self, alert: Subject, *, owed: bool) -> None:
        self.before[str(alert.id)] = {
            "owed": owed,
            "condition": alert.condition,
            "opening": alert.opening,
            "resolved_at": alert.resolved_at,
            "resolved_by": alert.resolved_by,
            "last_raise_at": alert.last_raise_at,
            "expires_at": alert.expires_at,
        }
        self.owes |= owed

    def write(self, cur: Cursor) -> None:
        cur.execute(_KEEP, (self.undo, self.sequence, self.at, orjson.dumps(self.before).decode(), self.owes))

    @property
    def ids(self) -> list[UUID]:
        return [UUID(key) for key in self.before]

    def changed_meanwhile(self, cur: Cursor) -> set[UUID]:
        """Alerts that are not as this part left them: somebody else acted, or they ended or began anew."""
        cur.execute(
            _CHANGED,
            {
                "ids": pgtext.array(self.ids),
                "sequence": self.sequence,
                "at": self.at,
                "user": self.user_id,
                "same": pgtext.array([action.value for action in _SAME[self.action]]),
            },
        )
        return {row[0] for row in cur.fetchall()}


def take(cur: Cursor, part_id: int) -> Part | None:
    """The part, which is nobody else's from now on; None when it was dealt with already. After the engine's locks."""
    cur.execute(_TAKE, (part_id,))
    row = cur.fetchone()
    if row is None:
        return None
    undo, sequence, at, before, action, user_id = row
    before = before if isinstance(before, dict) else orjson.loads(before)
    return Part(undo, sequence, at, before, False, action, user_id)
