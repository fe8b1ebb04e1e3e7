"""The pages of connectors as data for their templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from alerts.columns import age
from alerts.models import Alert
from connectors.framework import forms, schedule
from connectors.framework.forms import Field
from connectors.framework.manifest import Manifest
from connectors.framework.registry import manifests
from connectors.models import Connector, Credential, PollRun, Target

RUNS_SHOWN = 15
TARGETS_SHOWN = 100

WORDS = {
    "connected": "connected",
    "degraded": "degraded",
    "unreachable": "unreachable",
    "auth_failed": "credentials refused",
    "unknown": "not asked yet",
    "disabled": "switched off",
}
# How bad a state looks.
TONES = {"connected": "clear", "degraded": "minor", "unreachable": "critical", "auth_failed": "major"}
STATE_TONES = {"ok": "clear", "unreachable": "critical", "auth_failed": "major", "unknown": "info"}


@dataclass
class Card:
    """One connector as the overview shows it."""

    connector: Connector
    manifest: Manifest | None
    state: str
    word: str
    tone: str
    targets: int
    states: list[tuple[str, int, str]]
    last: str
    every: str
    open_alerts: int

    @property
    def polls(self) -> bool:
        return self.manifest is not None and self.manifest.polls


def state_of(connector: Connector) -> str:
    return str(connector.status) if connector.enabled else "disabled"


def cards(connectors: QuerySet[Connector], now: datetime | None = None) -> list[Card]:
    """All of them; a constant number of queries."""
    now = now or timezone.now()
    rows = list(connectors.defer(*Connector.SECRETS))
    states: dict[int, Counter[str]] = {}
    grouped = Target.objects.filter(enabled=True).values_list("connector_id", "state").order_by().annotate(Count("pk"))
    for connector_id, state, number in grouped:
        states.setdefault(connector_id, Counter())[state] += number
    alerts = dict(
        Alert.objects.filter(condition="raised").values_list("connector_id").order_by().annotate(number=Count("pk"))
    )
    intervals = schedule.intervals()
    return [
        _card(row, states.get(row.pk, Counter()), alerts.get(row.pk, 0), intervals.get(row.pk), now) for row in rows
    ]


def _card(row: Connector, states: Counter[str], open_alerts: int, every: str | None, now: datetime) -> Card:
    state = state_of(row)
    shown = [(word, number, STATE_TONES.get(word, "minor")) for word, number in sorted(states.items())]
    heard = row.last_poll_at or row.last_success_at
    manifest = manifests().get(row.type)
    is_asked = manifest is not None and manifest.polls
    return Card(
        row,
        manifest,
        state,
        "receives" if state == "unknown" and not is_asked else WORDS.get(state, state),
        TONES.get(state, "info"),
        sum(states.values()),
        shown,
        f"{age(now - heard)} ago" if heard else "never" if is_asked else "",
        every or "",
        open_alerts,
    )


@dataclass
class Page:
    """One connector."""

    card: Card
    manifest: Manifest
    settings: list[Field]
    thresholds: list[Field]
    interval: int | None
    crontab: str
    runs: list[PollRun]
    running: PollRun | None
    targets: list[Target] = field(default_factory=list)
    found: int = 0
    search: str = ""


def page(connector: Connector, manifest: Manifest, *, search: str = "", given: Given | None = None) -> Page:
    (card,) = cards(Connector.objects.filter(pk=connector.pk))
    values = given.values if given else connector.config or {}
    every = forms.fields(
        manifest.config, values, [name for name, value in (connector.secrets or {}).items() if value],
        given.errors if given else {},
    )  # fmt: skip
    interval, crontab = schedule.told(connector.pk)
    runs = list(PollRun.objects.filter(connector=connector)[:RUNS_SHOWN])
    targets = matching(connector, search) if manifest.has_targets else Target.objects.none()
    return Page(
        card=card,
        manifest=manifest,
        settings=[f for f in every if not f.name.startswith("thresholds.")],
        thresholds=[f for f in every if f.name.startswith("thresholds.")],
        interval=interval,
        crontab=crontab,
        runs=runs,
        running=next((run for run in runs if run.ended_at is None), None),
        targets=list(targets.select_related("credential")[:TARGETS_SHOWN]),
        found=targets.count(),
        search=search,
    )


@dataclass
class Given:
    """A form as it was sent, with what is wrong."""

    values: Mapping[str, Any]
    errors: Mapping[str, str]


def matching(connector: Connector, search: str) -> QuerySet[Target]:
    """Targets with the worst first."""
    found = connector.targets.order_by("name", "ip")
    for word in search.split()[:5]:
        found = found.filter(
            Q(name__icontains=word) | Q(ip__contains=word) | Q(site__icontains=word) | Q(state__icontains=word)
        )
    return found


def target_fields(target: Target | None, manifest: Manifest, given: Given | None = None) -> list[Field]:
    values = given.values if given else target.config if target else {}
    secrets = [name for name, value in (target.secrets if target else {}).items() if value]
    return forms.fields(manifest.target, values, secrets, given.errors if given else {}, optional=True)


def credential_choices() -> list[tuple[int, str]]:
    return list(Credential.objects.defer("values").values_list("pk", "name"))
