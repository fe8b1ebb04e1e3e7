"""Why alerts are quiet, in a few words, and how many others one explains: two queries for a page of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from alerts.choices import SuppressionKind
from alerts.models import Alert, Suppression

# What `phrase` reads of an open row.
_READ = (
    "alert_id",
    "kind",
    "until",
    "root_id",
    "root__title",
    "root__alert_type",
    "root__device__name",
    "root__device_name",
    "root__device_ip",
    "window_id",
    "window__name",
)
SILENCE_NAME = "Silence: "  # what quick silences are called; the alert's own title follows, which says nothing new


@dataclass(frozen=True, slots=True)
class Phrase:
    """`before`, the moment `at`, `after`, and what to look at: “maintenance until 14:00: Switch upgrade”.

    `left`: how long until then is said, rather than when.
    """

    before: str
    at: datetime | None = None
    left: bool = False
    after: str = ""
    link: str = ""
    url: str = ""
    root: str = ""  # id of the alert that explains it

    @property
    def iso(self) -> str:
        return self.at.isoformat() if self.at else ""

    @property
    def clock(self) -> str:
        """The moment as a page without scripts shows it; scripts put it into the reader's zone."""
        return f"{self.at.astimezone(timezone.get_current_timezone()):%H:%M %Z}" if self.at else ""

    @property
    def span(self) -> str:
        from alerts.columns import age

        return age(self.at - timezone.now()) if self.at else ""


@dataclass(frozen=True, slots=True)
class Notes:
    """What one row says beside its facts."""

    explains: int = 0
    reasons: tuple[Phrase, ...] = ()


NOTHING = Notes()


def notes(alerts: Collection[Alert]) -> dict[UUID, Notes]:
    """Of the alerts that have something to say."""
    explains = explained(alert.pk for alert in alerts)
    reasons = phrases(alert.pk for alert in alerts if alert.quiet)
    return {pk: Notes(explains.get(pk, 0), reasons.get(pk, ())) for pk in {*explains, *reasons}}


def explained(ids: Iterable[UUID]) -> dict[UUID, int]:
    """How many alerts each of these explains now; those that explain none are left out."""
    wanted = list(ids)
    if not wanted:
        return {}
    rows = Suppression.objects.filter(explaining(), root_id__in=wanted)
    return dict(rows.order_by().values_list("root_id").annotate(number=Count("*")))


def explaining() -> Q:
    """Open rows of what a root explains; served by index suppression_by_root."""
    return Q(ended_at=None, root__isnull=False, kind=SuppressionKind.DEPENDENCY)


def phrases(ids: Iterable[UUID]) -> dict[UUID, tuple[Phrase, ...]]:
    """Why each of these is quiet now, the oldest reason first."""
    wanted = list(ids)
    if not wanted:
        return {}
    found: dict[UUID, tuple[Phrase, ...]] = {}
    for row in Suppression.objects.filter(ended_at=None, alert_id__in=wanted).order_by("id").values(*_READ):
        found[row["alert_id"]] = (*found.get(row["alert_id"], ()), phrase(row))
    return found


def phrase(row: Mapping[str, Any]) -> Phrase:
    until = row["until"]
    match row["kind"]:
        case SuppressionKind.DEPENDENCY:
            root = root_name(row)
            if not root:
                return Phrase("explained by another alert")
            return Phrase("explained by", link=root, url=f"/alerts/{row['root_id']}/", root=str(row["root_id"]))
        case SuppressionKind.MAINTENANCE:
            return _window("maintenance", until, row)
        case SuppressionKind.SILENCE:
            return _window("silenced", until, row) if until else Phrase("silenced until cleared")
        case SuppressionKind.FLAPPING:
            return Phrase("flapping")
        case SuppressionKind.STORM:
            return Phrase("too many of its kind at once")
        case SuppressionKind.HOLD:
            return Phrase("held", until, left=True, after="for its parent")
        case SuppressionKind.RELEASING:
            return Phrase("waits", until, left=True, after="for recovery")
    return Phrase(str(row["kind"]))


def root_name(row: Mapping[str, Any]) -> str:
    """core-sw-1: Device does not answer; empty when the root was deleted."""
    title = row["root__title"] or row["root__alert_type"] or ""
    device = row["root__device__name"] or row["root__device_name"] or row["root__device_ip"] or ""
    return f"{device}: {title}" if device and title else title


def _window(word: str, until: datetime | None, row: Mapping[str, Any]) -> Phrase:
    name = row["window__name"] or ""
    if name.startswith(SILENCE_NAME):
        name = ""
    return Phrase(f"{word} until" if until else word, until, link=name, url=f"/maintenance/{row['window_id']}/")


@dataclass(frozen=True)
class Summary:
    """Of all that is quiet: how many alerts for which kind of reason, and how many outages explain some."""

    kinds: Mapping[str, int]
    roots: int = 0

    @property
    def words(self) -> str:
        """187 explained by 2 roots, 21 in maintenance, 4 flapping"""
        parts = []
        for kind, said in _SAID.items():
            number = self.kinds.get(kind, 0)
            if number:
                by = ""
                if kind == SuppressionKind.DEPENDENCY:
                    by = f" by {self.roots:,} root{'' if self.roots == 1 else 's'}"
                parts.append(f"{number:,} {said}{by}")
        return ", ".join(parts)


_SAID = {
    SuppressionKind.DEPENDENCY: "explained",
    SuppressionKind.MAINTENANCE: "in maintenance",
    SuppressionKind.SILENCE: "silenced",
    SuppressionKind.FLAPPING: "flapping",
    SuppressionKind.STORM: "in a storm",
    SuppressionKind.RELEASING: "recovering",
}


def summary() -> Summary:
    """Counts every reason in force, so it is asked only when something is quiet; an alert may have several."""
    rows = Suppression.objects.filter(ended_at=None).order_by().values_list("kind")
    kinds: dict[str, int] = {}
    roots = 0
    for kind, number, by in rows.annotate(number=Count("*"), by=Count("root", distinct=True)):
        kinds[kind] = number
        if kind == SuppressionKind.DEPENDENCY:
            roots = by
    return Summary(kinds, roots)
