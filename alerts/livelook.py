"""One look of the hub at the database: what all sockets need, in a number of queries that does not grow with them.

Runs in the hub's own thread, never in the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from alerts import livedata, queries, quiet
from alerts.choices import OPEN_STATUSES, SEVERITY_WORDS, Action
from alerts.models import Alert, AlertHistory
from alerts.queries import BoardQuery, Counts
from alerts.rendering import Cells, render_cells
from opsconductor.auth import is_within
from opsconductor.models import ApiKey

if TYPE_CHECKING:
    from alerts.hub import Client

HISTORY_LIMIT = 2000  # rows a look reads; the rest is for the next one
CATCH_UP_LIMIT = 300  # alerts; more than a page shows
CATCH_UP_AGE = timedelta(days=1)  # what ended longer ago may be deleted, and its history with it
ABRIDGED_LIMIT = 20_000  # rows of history; a page that missed more is cheaper to load again
JUST_NOW_SECONDS = 15.0  # between a page and its subscription; a report of that time is sent again
K = TypeVar("K", bound=Hashable)
BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True)
class Watcher:
    """Who is behind a socket and by what right; what is checked again while the socket lives."""

    user: User
    session_key: str | None = None
    session_hash: str = ""
    api_key_id: int | None = None
    address: str | None = None  # of a program


@dataclass(frozen=True)
class Rights:
    view: bool
    act: bool


@dataclass
class Audience:
    """Sockets with the same filter: what they match is asked once. `columns`: all that one of them shows."""

    query: BoardQuery
    user: User
    shown: set[UUID] = field(default_factory=set)
    json: bool = False
    columns: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Newcomer:
    """A fresh subscription; `since` is the last sequence its page knows, None: it wants only what comes. `abridged`: it
    wants no more than a page shows. `reloaded`: its page was loaded again just now, because it had missed too much."""

    key: Hashable
    since: int | None
    shown: frozenset[UUID] = frozenset()
    abridged: bool = False
    reloaded: bool = False


@dataclass
class LiveAlert:
    """A changed alert. `cells` hold every column that somebody shows; None when no board has room for it."""

    status: str
    severity: str
    cells: Cells | None = None
    data: dict[str, Any] | None = None
    _rows: dict[tuple[tuple[str, ...], bool], str] = field(default_factory=dict)

    @property
    def rendered(self) -> bool:
        return self.cells is not None

    def html(self, columns: tuple[str, ...], can_act: bool) -> str | None:
        """The row for a reader with these columns; put together once for all who have the same."""
        if self.cells is None:
            return None
        key = (columns, can_act)
        if key not in self._rows:
            self._rows[key] = str(self.cells.html(columns, can_act=can_act))
        return self._rows[key]


@dataclass
class Catch:
    """What happened to which alert, in the order it happened, and how those alerts are now."""

    events: dict[UUID, str]
    alerts: Mapping[UUID, LiveAlert]


@dataclass
class Look:
    cursor: int
    live: Catch
    caught_up: dict[Client, Catch | None] = field(default_factory=dict)  # None: too much, load the page again
    matched: dict[Hashable, dict[UUID, int]] = field(default_factory=dict)  # by filter: alert -> rank, newest first
    rights: dict[Client, Rights] = field(default_factory=dict)
    errors: dict[Hashable, str] = field(default_factory=dict)
    counts: Counts | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a shown row changes without a row of history: repeats, what it explains, until when it is quiet."""

    count: int
    notes: quiet.Notes


class Reader:
    """Remembers where it was in the history, and the counts of the rows on the boards."""

    def __init__(self) -> None:
        self.cursor: int | None = None
        self.repeats_read_at = 0.0
        self.rights_read_at = 0.0
        self._seen: dict[UUID, Seen] = {}

    def look(self, **asked: Any) -> Look:
        """Raises OperationalError when PostgreSQL is away; the next look continues where this one began."""
        try:
            return self._look(**asked)
        finally:
            connection.close()  # back to the pool; the thread would hold it for ever

    def _look(
        self,
        *,
        watchers: Mapping[Client, Watcher],
        audiences: Mapping[Hashable, Audience],
        newcomers: Mapping[Client, Newcomer],
        read_repeats: bool,
        check_rights: bool,
        rows_per_audience: int,
    ) -> Look:
        """1 history, 2 what newcomers missed, 3 repeats, 4 rights, 5 filters, 6 alerts and rows, 7 counts."""
        before = self.cursor if self.cursor is not None else queries.latest_sequence()
        cursor, actions = _history(before)
        missed = {client: _missed(newcomer, audiences[newcomer.key], cursor) for client, newcomer in newcomers.items()}
        seen = self._repeated({pk for a in audiences.values() for pk in a.shown}) if read_repeats else {}
        repeated = {pk for pk, (_, changed) in seen.items() if changed} - set(actions)
        wanted = {*actions, *repeated, *(pk for found in missed.values() for pk in found or ())}

        look = Look(cursor, Catch({}, {}))
        if wanted or newcomers or check_rights:
            look.rights = rights_of(watchers)
            self.rights_read_at = time.monotonic()
        _match(look, wanted, audiences, {newcomer.key for newcomer in newcomers.values()})
        if wanted:
            alerts = _alerts(wanted, look, audiences, rows_per_audience)
            look.live = Catch(_events(actions, repeated, alerts), alerts)
        for client, done in missed.items():
            known = repeated & newcomers[client].shown
            events = None if done is None else _events(done, known, look.live.alerts)
            look.caught_up[client] = None if events is None else Catch(events, look.live.alerts)
        if actions or any(missed.values()):
            look.counts = queries.counts()

        self.cursor = cursor  # only now: a look that failed is repeated from where it began
        self._seen.update((pk, now) for pk, (now, _) in seen.items())
        return look

    def _repeated(self, shown: set[UUID]) -> dict[UUID, tuple[Seen, bool]]:
        """Count of each shown alert, how many it explains and why it is quiet, and whether that differs from what was
        read last; three queries for all boards.

        A row shown for the first time has nothing to compare with: a report of the last seconds may have come
        between its page and this look, so it counts as changed; so does one that something may stand on.
        """
        self.repeats_read_at = time.monotonic()
        self._seen = {pk: seen for pk, seen in self._seen.items() if pk in shown}
        if not shown:
            return {}
        now = timezone.now()
        rows = Alert.objects.filter(pk__in=shown).only("occurrence_count", "last_occurrence_at", "quiet", "outage")
        alerts = list(rows)
        notes = quiet.notes(alerts)
        result = {}
        for alert in alerts:
            known = self._seen.get(alert.pk)
            seen = Seen(alert.occurrence_count, notes.get(alert.pk, quiet.NOTHING))
            if known is not None:
                changed = seen != known
            else:
                repeats = alert.occurrence_count > 1 and _just_now(alert.last_occurrence_at, now)
                changed = repeats or alert.outage or seen.notes.explains > 0
            result[alert.pk] = (seen, changed)
        return result


def _just_now(moment: datetime, now: datetime) -> bool:
    return (now - moment).total_seconds() < JUST_NOW_SECONDS


def _history(after: int) -> tuple[int, dict[UUID, set[str]]]:
    """The new cursor, and what was done to each alert, in the order of the last thing done."""
    rows = list(
        AlertHistory.objects.filter(pk__gt=after).order_by("pk").values_list("pk", "alert_id", "action")[:HISTORY_LIMIT]
    )
    return (rows[-1][0] if rows else after), _actions((alert_id, action) for _, alert_id, action in rows)


def _missed(newcomer: Newcomer, audience: Audience, cursor: int) -> dict[UUID, set[str]] | None:
    """What was done to each alert since, up to the cursor; None when that is too much to send one by one."""
    since = newcomer.since
    if since is None or since >= cursor:
        return {}
    if since and not newcomer.abridged and _is_long_ago(since):
        return None
    history = AlertHistory.objects.filter(pk__gt=since, pk__lte=cursor).order_by("pk")
    rows = list(history.values_list("alert_id", "action")[: HISTORY_LIMIT + 1])
    actions = _actions(rows)
    if len(rows) <= HISTORY_LIMIT and len(actions) <= CATCH_UP_LIMIT:
        return actions
    # In a flood so much happens while a page is on its way that to load it again would never end.
    if newcomer.abridged and (newcomer.reloaded or cursor - since <= ABRIDGED_LIMIT):
        return _abridged(history, newcomer, audience)
    return None


def _is_long_ago(since: int) -> bool:
    """What came after it may not all be there any more."""
    last = AlertHistory.objects.filter(pk__lte=since).order_by("-pk").values_list("created_at", flat=True).first()
    return last is None or timezone.now() - last > CATCH_UP_AGE


def _abridged(history: QuerySet[AlertHistory], newcomer: Newcomer, audience: Audience) -> dict[UUID, set[str]]:
    """What was done to the alerts a page shows, and to the newest ones it should: all that it has room for."""
    changed = Alert.objects.filter(pk__in=history.order_by().values("alert_id"))
    filterset = audience.query.filterset(changed, audience.user)
    newest = filterset.qs.order_by("-occurred_at", "-id") if filterset.is_valid() else Alert.objects.none()
    wanted = {*newest.values_list("pk", flat=True)[:CATCH_UP_LIMIT], *newcomer.shown}
    return _actions(history.filter(alert_id__in=wanted).values_list("alert_id", "action"))


def _actions(rows: Iterable[tuple[UUID, str]]) -> dict[UUID, set[str]]:
    """What was done to each alert, in the order of the last thing done; from rows of the history in their order."""
    actions: dict[UUID, set[str]] = {}
    for alert_id, action in rows:
        done = actions.pop(alert_id, set())
        done.add(action)
        actions[alert_id] = done
    return actions


def rights_of(watchers: Mapping[K, Watcher]) -> dict[K, Rights]:
    """Who still may look and act: account, role, password, session and key as they are now; four queries for all."""
    users = {w.user.pk for w in watchers.values()}
    keys = {w.api_key_id for w in watchers.values() if w.api_key_id is not None}
    sessions = {w.session_key for w in watchers.values() if w.session_key}
    now = timezone.now()
    viewers = {u.pk: u for u in User.objects.with_perm("alerts.view_alert", backend=BACKEND).filter(pk__in=users)}
    actors = set(
        User.objects.with_perm("alerts.act_on_alert", backend=BACKEND).filter(pk__in=users).values_list("pk", flat=True)
    )
    alive = set(
        Session.objects.filter(session_key__in=sessions, expire_date__gt=now).values_list("session_key", flat=True)
        if sessions
        else ()
    )
    valid = ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), pk__in=keys, revoked_at=None)
    granted = {key.pk: key for key in valid.only("scopes", "networks")} if keys else {}
    result = {}
    for client, watcher in watchers.items():
        user = viewers.get(watcher.user.pk)
        if watcher.api_key_id is not None:
            key = granted.get(watcher.api_key_id)
            allowed = key is not None and (not key.scopes or "read" in key.scopes)
            allowed = allowed and is_within(watcher.address, key.networks if key is not None else ())
        else:
            allowed = (
                user is not None
                and watcher.session_key in alive
                and constant_time_compare(watcher.session_hash, user.get_session_auth_hash())
            )
        result[client] = Rights(view=user is not None and allowed, act=watcher.user.pk in actors)
    return result


def _match(look: Look, wanted: set[UUID], audiences: Mapping[Hashable, Audience], fresh: set[Hashable]) -> None:
    """Which of the wanted alerts each filter shows; a fresh filter is checked even when nothing changed."""
    for key, audience in audiences.items():
        if not wanted and key not in fresh:
            continue
        filterset = audience.query.filterset(Alert.objects.none(), audience.user)
        if not filterset.is_valid():
            look.errors[key] = " ".join(queries.filter_errors(filterset))
        elif wanted:
            found = queries.matching(audience.query, audience.user, wanted)
            look.matched[key] = {pk: rank for rank, pk in enumerate(found)}


def _events(
    actions: Mapping[UUID, set[str]], repeated: Iterable[UUID], alerts: Mapping[UUID, LiveAlert]
) -> dict[UUID, str]:
    """What to call what happened to each alert that still exists."""
    events = {pk: _event(done, alerts[pk]) for pk, done in actions.items() if pk in alerts}
    for pk in repeated:
        if pk in alerts:
            events.setdefault(pk, "alert_updated")
    return events


def _alerts(
    wanted: Iterable[UUID], look: Look, audiences: Mapping[Hashable, Audience], room: int
) -> dict[UUID, LiveAlert]:
    """Every wanted alert with its state; rendered, once for all readers, where a board has room for it."""
    states = Alert.objects.filter(pk__in=list(wanted)).values_list("pk", "status", "severity")
    alerts = {pk: LiveAlert(status, SEVERITY_WORDS[severity]) for pk, status, severity in states}
    rendered: set[UUID] = set()
    as_data: set[UUID] = set()
    for key, audience in audiences.items():
        matched = look.matched.get(key, {})
        rendered.update(pk for pk, rank in matched.items() if rank < room or pk in audience.shown)
        if audience.json:
            as_data.update(matched)
    columns = {key for audience in audiences.values() for key in audience.columns}
    now = timezone.now()
    data = livedata.of(as_data)
    found = list(queries.rows(Alert.objects.filter(pk__in=rendered | data.keys())))
    for alert, row in zip(found, queries.as_rows(found, now), strict=True):
        live = alerts.get(alert.pk)
        if live is None:
            continue
        live.status, live.severity = row.status, row.severity
        if alert.pk in rendered:
            live.cells = render_cells(row, columns)
        if alert.pk in data:
            live.data = {**data[alert.pk], "site": row.site, "explains": row.explains}
    return alerts


def _event(done: set[str], alert: LiveAlert) -> str:
    if alert.status not in cast("tuple[str, ...]", OPEN_STATUSES):
        return "alert_resolved"
    return "alert_created" if Action.OPENED in done else "alert_updated"
