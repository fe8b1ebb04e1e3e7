"""Taking an action back, for ten seconds. It is an action of its own: the history keeps both, and what the alert was is
restored exactly: acknowledgement, assignee, end, reasons to be quiet.

Nobody is told of what may still be taken back: the news of a resolution or reopening waits until undoing is over
(`settle`, which the dispatcher runs), as a mail program waits before it sends. So an undo needs no second message
that corrects the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from alerts import correlation, hands, locked, store, suppressions, timers, undoparts, windowactions
from alerts.choices import QUIET_BIT, Action, Condition, News
from alerts.deeds import Deed, Subject
from alerts.engine import FLAPPING, HistoryRow, Plan, State
from alerts.locks import Cursor
from alerts.models import Alert, MaintenanceWindow, Undo, UndoPart
from alerts.surroundings import Holder, Surroundings
from alerts.undoparts import Part
from opsconductor import doorbell, pgtext
from opsconductor.exceptions import ActionNotAllowed, OpsConductorError

if TYPE_CHECKING:
    import psycopg

SECONDS = 10
# While the action, or its undoing, is still under way: after that whoever did it is taken for dead.
UNDER_WAY = timedelta(minutes=10)
SILENCE = "silence"
SILENT = "Told once it could no longer be undone."

_REASONS_BACK = """
UPDATE alerts_suppression SET ended_at = NULL, ended_because = ''
WHERE alert_id = ANY(%s::uuid[]) AND ended_at = %s AND ended_because = ANY(%s::text[]) RETURNING alert_id, kind"""
_ENDED_BY = """
UPDATE alerts_alert AS a SET resolved_by_id = v.by FROM unnest(%s::uuid[], %s::int[]) AS v(id, by) WHERE a.id = v.id"""

_DUE = """
SELECT p.id, ARRAY(SELECT jsonb_object_keys(p.before)), p.owes FROM alerts_undopart AS p
JOIN alerts_undo AS u ON u.id = p.undo_id WHERE u.expires_at <= %s ORDER BY p.id LIMIT 20"""
_FORGET = """
DELETE FROM alerts_undo AS u WHERE expires_at <= %s
  AND NOT EXISTS (SELECT 1 FROM alerts_undopart AS p WHERE p.undo_id = u.id)"""
_STILL_ENDED = """
SELECT a.id, a.status FROM alerts_alert AS a
JOIN unnest(%s::uuid[], %s::int[]) AS v(id, opening) ON v.id = a.id AND v.opening = a.opening
WHERE a.condition = 'closed' AND a.resolved_at = %s"""
_STILL_UNTOLD = """
UPDATE alerts_alert SET announced = true
WHERE id = ANY(%s::uuid[]) AND condition = 'raised' AND quiet = 0 AND NOT announced RETURNING id, status"""


class NothingToUndo(OpsConductorError):
    """The token is unknown, somebody else's, used, or its time is over."""


@dataclass(frozen=True)
class Undone:
    """How many are as they were, and how many were left alone because others changed them meanwhile."""

    word: str
    done: int
    changed: int


def begin(deed: Deed | str, by: User) -> UUID:
    """A token for what is about to be done; call `ready` when it is."""
    action = deed if isinstance(deed, str) else deed.action.value
    token = uuid4()
    Undo.objects.create(id=token, user_id=by.pk, action=action, expires_at=timezone.now() + UNDER_WAY)
    return token


def ready(token: UUID, *, windows: Sequence[int] = ()) -> UUID | None:
    """From now on it may be undone; None when nothing was done."""
    if not windows and not UndoPart.objects.filter(undo_id=token).exists():
        Undo.objects.filter(pk=token).delete()
        return None
    expires_at = timezone.now() + timedelta(seconds=SECONDS)
    Undo.objects.filter(pk=token).update(expires_at=expires_at, is_ready=True, windows=list(windows))
    return token


def take_back(token: UUID, *, by: User) -> Undone:
    """Raises NothingToUndo."""
    now = timezone.now()
    claimed = Undo.objects.filter(pk=token, user_id=by.pk, is_ready=True, expires_at__gt=now)
    if not claimed.update(is_ready=False, expires_at=now + UNDER_WAY):
        raise NothingToUndo(f"This can no longer be undone: there are {SECONDS} seconds for it, once, for who did it.")
    undo = Undo.objects.get(pk=token)
    done = changed = 0
    if undo.action == SILENCE:
        done = _end_silences(undo.windows, by)
    # The last part first: of two that concern one device, the later one saw what the earlier one did.
    for part_id in undo.parts.order_by("-pk").values_list("pk", flat=True):
        some, others = hands.again(lambda exclusive, part_id=part_id: _take_back(part_id, by, exclusive))  # type: ignore[misc]
        done, changed = done + some, changed + others
    undo.delete()
    return Undone(undo.action, done, changed)


def _end_silences(windows: Sequence[int], by: User) -> int:
    done = 0
    for pk in windows:
        try:
            done += len(windowactions.end(pk, by=by).matchers.get("alerts", []))
        except (MaintenanceWindow.DoesNotExist, ActionNotAllowed):
            continue  # somebody else was faster
    return done


def _take_back(part_id: int, by: User, exclusive: bool) -> tuple[int, int]:
    """One part; how many are as they were, how many were changed meanwhile."""
    before = UndoPart.objects.filter(pk=part_id).values_list("before", flat=True).first()
    if before is None:
        return 0, 0
    fingerprints = list(Alert.objects.filter(pk__in=list(before)).values_list("fingerprint", flat=True))
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cur:
        held = locked.take(cur, fingerprints, exclusive=exclusive)
        part = undoparts.take(cur, part_id)
        if part is None:
            return 0, 0
        changed = part.changed_meanwhile(cur)
        subjects = hands.read(cur, part.ids)
        back = [subjects[one] for one in part.ids if one in subjects and one not in changed]
        history = _restore(cur, held, part, back, by, now)
        if part.action == Action.RESOLVED:
            # What stays resolved is told now; nothing of it is held back any more.
            history += tell(cur, part, now, skip={a.id for a in back})
        store.write_history(cur, history, now)
        transaction.on_commit(doorbell.ring)
    return len(back), len(part.before) - len(back)


def _restore(
    cur: Cursor, held: locked.Held, part: Part, alerts: list[Subject], by: User, now: datetime
) -> list[HistoryRow]:
    if not alerts:
        return []
    if part.action == Action.RESOLVED:
        return _raise_again(cur, held, part, alerts, by, now)
    if part.action == Action.REOPENED:
        return _end_again(cur, held, part, alerts, by, now)
    history = []
    for alert in alerts:
        old_status = alert.status
        changes = _put_back(part, alert)
        history.append(_row(part, alert.id, old_status, alert.status, by, changes))
    hands.write_workflow(cur, alerts, now)
    return history


def _put_back(part: Part, alert: Subject) -> dict[str, list[Any]]:
    """The workflow columns of the kind that was changed, as they were."""
    before = part.before[str(alert.id)]
    changes: dict[str, list[Any]] = {}
    if part.action == Action.ASSIGNED:
        alert.assigned_to = before["assigned_to"]
    elif part.action in (Action.ACKNOWLEDGED, Action.UNACKNOWLEDGED):
        alert.acknowledged_at = _moment(before["acknowledged_at"])
        alert.acknowledged_by = before["acknowledged_by"]
        alert.acknowledged_until = _moment(before["acknowledged_until"])
    alert.status = alert.derived()
    return changes


def _raise_again(
    cur: Cursor, held: locked.Held, part: Part, alerts: list[Subject], by: User, now: datetime
) -> list[HistoryRow]:
    """The same episode and opening, told or untold as it was, quiet for the same reasons; then these are looked at
    anew, for a window may have ended and a parent come back meanwhile."""
    ids = [a.id for a in alerts]
    cur.execute(
        _REASONS_BACK,
        (pgtext.array(ids), part.at, pgtext.text_array([correlation.ENDED, correlation.UNTOLD])),
    )
    bits: dict[UUID, int] = {}
    for alert_id, kind in cur.fetchall():
        bits[alert_id] = bits.get(alert_id, 0) | QUIET_BIT[kind]
    plan = Plan([], {})
    for episode in store.read_episodes(cur, ids).values():
        episode.remember()
        old_status = episode.status
        changes = {"condition": [episode.condition, Condition.RAISED.value]}
        episode.condition, episode.resolved_at, episode.changed = Condition.RAISED, None, True
        episode.quiet = (episode.quiet & FLAPPING) | bits.get(episode.id, 0)
        episode.announced = episode.announced or bool(part.before[str(episode.id)]["owed"])
        episode.status = episode.derived()
        plan.states[episode.fingerprint] = State(episode=episode)
        plan.history.append(_row(part, episode.id, old_status, episode.status, by, changes))
    s = held.surroundings
    history = correlation.apply(cur, plan, s, now, exclusive=held.exclusive)
    standing = suppressions.standing(cur, ids, s.slugs)
    changes_since = timers.look_anew(cur, s, now, standing)
    changes_since.write(cur)
    return history + changes_since.history


def _end_again(
    cur: Cursor, held: locked.Held, part: Part, alerts: list[Subject], by: User, now: datetime
) -> list[HistoryRow]:
    """Ended as it was. Where the reopening was told, through something that ended meanwhile, the end is told too."""
    plan = Plan([], {})
    for episode in store.read_episodes(cur, [a.id for a in alerts]).values():
        before = part.before[str(episode.id)]
        episode.remember()
        old_status = episode.status
        changes = {"condition": [episode.condition, before["condition"]]}
        episode.condition, episode.changed = Condition(before["condition"]), True
        episode.opening = before["opening"]
        episode.resolved_at = _moment(before["resolved_at"])
        if episode.last_raise_at == part.at:  # nothing was reported meanwhile
            episode.last_raise_at = _moment(before["last_raise_at"]) or episode.last_raise_at
        episode.expires_at = _moment(before["expires_at"])
        episode.ended_step = 1
        episode.status = episode.derived()
        plan.states[episode.fingerprint] = State(episode=episode)
        plan.history.append(_row(part, episode.id, old_status, episode.status, by, changes, News.RECOVERY))
    history = correlation.apply(cur, plan, held.surroundings, now, exclusive=held.exclusive)
    by_whom = [(a.id, part.before[str(a.id)]["resolved_by"]) for a in alerts]
    cur.execute(_ENDED_BY, tuple(map(pgtext.array, zip(*by_whom, strict=True))))
    return history


def _row(
    part: Part,
    alert_id: UUID,
    old_status: str,
    new_status: str,
    by: User,
    changes: dict[str, list[Any]],
    news: News = News.NONE,
) -> HistoryRow:
    changes = {"undid": [None, part.action], **changes}
    return HistoryRow(alert_id, Action.UNDONE, old_status, new_status, news, changes, by.pk)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


# --- what was not taken back ------------------------------------------------------------------------------------


def settle(conn: psycopg.Connection[Any], now: datetime, holder: Holder) -> int:
    """Tell what stood when its time to be undone was over, and forget the tokens; how many alerts. Any process may."""
    told = 0
    while due := conn.execute(_DUE, (now,)).fetchall():
        for part_id, ids, owes in due:
            if owes:
                told += _settle(conn, part_id, [UUID(i) for i in ids], now, holder)
            else:
                conn.execute("DELETE FROM alerts_undopart WHERE id = %s", (part_id,))
    conn.execute(_FORGET, (now,))
    return told


def _settle(conn: psycopg.Connection[Any], part_id: int, ids: list[UUID], now: datetime, holder: Holder) -> int:
    rows = conn.execute("SELECT fingerprint FROM alerts_alert WHERE id = ANY(%s::uuid[])", (pgtext.array(ids),))
    fingerprints = [row[0] for row in rows.fetchall()]

    def attempt(cur: Any, s: Surroundings, exclusive: bool) -> int:
        part = undoparts.take(cur, part_id)
        history = tell(cur, part, now) if part is not None else []
        store.write_history(cur, history, now)
        return len(history)

    return timers.under_locks(conn, holder, fingerprints, attempt)


def tell(
    cur: Cursor, part: Part, now: datetime, *, skip: set[UUID] | frozenset[UUID] = frozenset()
) -> list[HistoryRow]:
    """The news that was held back, of alerts that still are as the action left them."""
    owed = [(UUID(i), b["opening"]) for i, b in part.before.items() if b.get("owed") and UUID(i) not in skip]
    if not owed:
        return []
    ids, openings = zip(*owed, strict=True)
    if part.action == Action.RESOLVED:
        news = News.RECOVERY
        cur.execute(_STILL_ENDED, (pgtext.array(ids), pgtext.array(openings), part.at))
    else:
        news = News.PROBLEM
        cur.execute(_STILL_UNTOLD, (pgtext.array(ids),))
    return [
        HistoryRow(alert_id, Action.ANNOUNCED, status, status, news, {}, part.user_id, SILENT)
        for alert_id, status in sorted(cur.fetchall())
    ]
