"""The pages of connectors as data for their templates."""

from __future__ import annotations

import re
import time
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
from dependencies.addresses import canonical_ip
from dependencies.models import Device

RUNS_SHOWN = 15
TARGETS_SHOWN = 100
WRONG_SHOWN = 50
BEGINS_WITHIN_SECONDS = 60
ASKED = re.compile(r"(\d{1,18})\.(\d{1,12})")
NOT_WELL = ("unreachable", "tls_error", "auth_failed", "rate_limited", "api_error")
ALERTS_SHOWN = 20

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
    wrong: list[Wrong] = field(default_factory=list)
    more_wrong: int = 0
    asked: str = ""  # while a poll that was asked for has not begun

    @property
    def is_watched(self) -> bool:
        """The page asks again every second: a poll runs, or is about to."""
        return self.running is not None or bool(self.asked)


@dataclass
class Wrong:
    """What the last poll of a target found wrong."""

    target: Target
    title: str
    message: str


@dataclass(frozen=True)
class Asked:
    """A poll that somebody asked for: the newest there was then, and when that was. Travels in an address."""

    run_id: int
    at: int

    def __str__(self) -> str:
        return f"{self.run_id}.{self.at}"

    @classmethod
    def now(cls, connector: Connector) -> Asked:
        newest = PollRun.objects.filter(connector=connector).values_list("pk", flat=True).first()
        return cls(newest or 0, int(time.time()))

    @classmethod
    def of(cls, text: str) -> Asked | None:
        found = ASKED.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None

    def is_waiting(self, newest: int) -> bool:
        return newest <= self.run_id and 0 <= time.time() - self.at < BEGINS_WITHIN_SECONDS


def page(
    connector: Connector, manifest: Manifest, *, search: str = "", given: Given | None = None, asked: str = ""
) -> Page:
    (card,) = cards(Connector.objects.filter(pk=connector.pk))
    values = given.values if given else connector.config or {}
    every = forms.fields(
        manifest.config, values, [name for name, value in (connector.secrets or {}).items() if value],
        given.errors if given else {},
    )  # fmt: skip
    interval, crontab = schedule.told(connector.pk)
    runs = list(PollRun.objects.filter(connector=connector)[:RUNS_SHOWN])
    targets = matching(connector, search) if manifest.has_targets else Target.objects.none()
    is_being_polled = card.connector.lease_until is not None and card.connector.lease_until > timezone.now()
    waits = (before := Asked.of(asked)) is not None and before.is_waiting(runs[0].pk if runs else 0)
    wrong = _wrong(connector) if manifest.has_targets else []
    return Page(
        card=card,
        manifest=manifest,
        settings=[f for f in every if not f.name.startswith("thresholds.")],
        thresholds=[f for f in every if f.name.startswith("thresholds.")],
        interval=interval,
        crontab=crontab,
        runs=runs,
        running=next((run for run in runs if run.ended_at is None and is_being_polled), None),
        targets=list(targets.select_related("credential")[:TARGETS_SHOWN]),
        found=targets.count(),
        search=search,
        wrong=wrong[:WRONG_SHOWN],
        more_wrong=max(len(wrong) - WRONG_SHOWN, 0),
        asked=asked if waits else "",
    )


def _wrong(connector: Connector) -> list[Wrong]:
    """Of all its targets, as their last polls saw them."""
    found = []
    rows = connector.targets.filter(Q(state__in=NOT_WELL) | ~Q(raised=[]), enabled=True)
    for target in rows.defer("secrets", "values", "memory").order_by("name", "ip"):
        if target.state in NOT_WELL:
            found.append(Wrong(target, target.get_state_display().capitalize(), target.error_message))
        types = manifests()[connector.type].alert_types
        for alert_type, component, title, message in target.raised:
            kind = types.get(alert_type)
            said = title or (kind.title if kind else "") or alert_type
            found.append(Wrong(target, said, message or component))
    return found


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


def alerts_of(target: Target) -> list[Alert]:
    """Open alerts of the device, whoever saw them; the worst first."""
    return list(
        Alert.objects.filter(condition="raised", device_ip__in=_addresses(target)).order_by(
            "-severity", "-occurred_at"
        )[:ALERTS_SHOWN]
    )


def _addresses(target: Target) -> list[str]:
    address = str(target.ip)
    try:
        address = canonical_ip(address)
    except ValueError:  # what somebody has just typed into the form
        return []
    device = Device.objects.filter(Q(ip=address) | Q(aliases__contains=[address])).first()
    return [str(device.ip), *map(str, device.aliases), address] if device else [address]


def target_fields(target: Target | None, manifest: Manifest, given: Given | None = None) -> list[Field]:
    values = given.values if given else target.config if target else {}
    secrets = [name for name, value in (target.secrets if target else {}).items() if value]
    return forms.fields(manifest.target, values, secrets, given.errors if given else {}, optional=True)


def credential_choices() -> list[tuple[int, str]]:
    return list(Credential.objects.defer("values").values_list("pk", "name"))
