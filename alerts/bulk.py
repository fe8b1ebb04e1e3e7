"""One action on many alerts: given ones, or all that a filter matches as of a moment.

In batches, each a transaction of its own under the engine's locks (`hands`), so that 50,000 alerts hold no lock for
long and events get their turn in between. What becomes of each alert is what the single action would do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.utils import timezone

from alerts import hands, silences, undo, windowactions
from alerts.choices import Action
from alerts.deeds import Deed
from alerts.hands import DONE, GONE, MISSING, REFUSED, Result
from alerts.models import Alert, AlertHistory, MaintenanceWindow
from opsconductor.exceptions import ActionNotAllowed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST = 50_000  # alerts of one bulk action
# A silence names each of its alerts, and every event is compared with it: more of them are a maintenance window by
# site, device or alert type.
MOST_SILENCED = 5_000
SILENCED_TOGETHER = 1_000  # as many as one window may name

BY_PEOPLE = (Action.REOPENED, Action.UNDONE)


@dataclass(frozen=True)
class Outcome:
    """A result for each alert, in the order asked. `undo`: the token under which it may be taken back."""

    results: list[Result] = field(default_factory=list)
    undo: UUID | None = None

    def number(self, outcome: str) -> int:
        return sum(result.outcome == outcome for result in self.results)


@dataclass(frozen=True)
class Silencing:
    """A silence of single alerts. `span`: a word of `silences.SPANS`; `zone`: where morning is."""

    span: str
    zone: ZoneInfo

    word = "silence"


class TooMany(ActionNotAllowed):
    def __init__(self, most: int, action: str) -> None:
        sentence = f"More than {most:,} alerts match, which is the most that can be changed at once. Narrow the filter."
        if action == Silencing.word:
            sentence = (
                f"At most {most:,} alerts can be silenced one by one. Plan a maintenance window by site, device or "
                "alert type instead: it also covers what is still to come."
            )
        super().__init__(sentence, action=action, status="")


def perform(
    what: Deed | Silencing, ids: Iterable[UUID], *, by: User, notes: str = "", undoable: bool = False
) -> Outcome:
    """`ids` named twice count once. Raises TooMany, and ActionNotAllowed for a span nobody knows."""
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > most(what):
        raise TooMany(most(what), what.word)
    if isinstance(what, Silencing):
        return _silence(what, wanted, by, notes, undoable)
    token = undo.begin(what, by) if undoable and wanted else None
    results: list[Result] = []
    try:
        for start in range(0, len(wanted), hands.BATCH):
            results += hands.perform(what, wanted[start : start + hands.BATCH], by=by, notes=notes, undo=token)
    finally:
        # Also of what was done before an error: it can be undone, and what it owes is told.
        token = undo.ready(token) if token is not None else None
    return Outcome(results, token)


def most(what: Deed | Silencing) -> int:
    return MOST_SILENCED if isinstance(what, Silencing) else MOST


def matching(alerts: QuerySet[Alert], *, as_of: int | None) -> QuerySet[Alert]:
    """Of filtered alerts those that were there, as they are, when the history had come to `as_of`.

    What opened, or changed through events, rules or time since then, matches for reasons nobody has seen yet. What
    people did since leaves an alert among them, unless they reopened it. None: as of now.
    """
    if as_of is None:
        return alerts
    news = AlertHistory.objects.filter(Q(user=None) | Q(action__in=BY_PEOPLE), id__gt=as_of)
    return alerts.exclude(pk__in=news.values("alert_id"))


def ids_of(alerts: QuerySet[Alert], what: Deed | Silencing) -> list[UUID]:
    """Newest first. Raises TooMany."""
    found = list(alerts.order_by("-occurred_at", "-id").values_list("pk", flat=True)[: most(what) + 1])
    if len(found) > most(what):
        raise TooMany(most(what), what.word)
    return found


def _silence(what: Silencing, ids: Sequence[UUID], by: User, notes: str, undoable: bool) -> Outcome:
    now = timezone.now()
    ends_at = silences.end_of(what.span, now, what.zone)
    known = {a.pk: a for a in Alert.objects.filter(pk__in=ids).only("condition", "status", "title", "alert_type")}
    results = []
    for one in ids:
        alert = known.get(one)
        if alert is None:
            results.append(Result(one, MISSING, GONE))
        elif refusal := silences.refusal(alert):
            results.append(Result(one, REFUSED, refusal, alert.status))
        else:
            results.append(Result(one, DONE))
    loud = [r.id for r in results if r.outcome == DONE]
    parts = [loud[n : n + SILENCED_TOGETHER] for n in range(0, len(loud), SILENCED_TOGETHER)]
    token = undo.begin(undo.SILENCE, by) if undoable and parts else None
    windows: list[int] = []
    for part in parts:
        first = known[part[0]]
        title = first.title or first.alert_type
        name = f"Silence: {title}" if len(loud) == 1 else f"Silence: {len(loud):,} alerts, among them {title}"
        window = windowactions.create(
            {
                "kind": MaintenanceWindow.Kind.SILENCE,
                "name": name[:200],
                "reason": notes.replace("\0", "").strip(),
                "matchers": {"alerts": [str(one) for one in part]},
                "starts_at": now,
                "ends_at": ends_at,
                "rrule": "",
                "time_zone": what.zone.key,
            },
            by=by,
        )
        windows.append(window.pk)
    return Outcome(results, undo.ready(token, windows=windows) if token is not None else None)
