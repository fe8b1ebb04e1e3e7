"""What would help against a row of a report: the setting to change, one click away, filled in, for who may do so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse

from alerts.models import AlertTypeSetting
from alerts.policy import ByType
from connectors.models import DeduplicationRule
from connectors.normalisation import DEFAULT_IDENTITY

MAPPING, SETTING, DEDUPLICATION, MAINTENANCE = "mapping", "setting", "deduplication", "maintenance"
# Values of a setting that a new, more exact one takes over from the one that held before.
TAKEN_OVER = (
    "reopen_window_seconds", "hold_seconds", "flap_transitions", "flap_window_minutes", "flap_calm_minutes",
    "storm_alerts", "storm_seconds", "ttl_minutes", "verify", "runbook_url",
)  # fmt: skip


@dataclass(frozen=True)
class Help:
    """One thing that would help: which setting, of what, and the values to begin with."""

    label: str
    kind: str
    source: str = ""
    alert_type: str = ""
    address: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    label: str
    url: str


class Tuning:
    """Links for one person; what there is already is read once, with two statements."""

    def __init__(self, user: User | AnonymousUser) -> None:
        self._may = {
            MAPPING: user.has_perm("connectors.view_oidmapping"),
            SETTING: _edits(user, "alerts", "alerttypesetting"),
            DEDUPLICATION: _edits(user, "connectors", "deduplicationrule"),
            MAINTENANCE: user.has_perm("alerts.add_maintenancewindow"),
        }
        settings = list(AlertTypeSetting.objects.values()) if self._may[SETTING] else []
        self._settings = {(row["connector_type"], row["alert_type"]): row["id"] for row in settings}
        self._in_force = ByType([row for row in settings if row["enabled"]], {})
        rules = DeduplicationRule.objects.values_list("connector_type", "pk") if self._may[DEDUPLICATION] else ()
        self._rules = dict(rules)

    def links(self, helps: Iterable[Help]) -> list[Link]:
        made = {
            MAPPING: self._mapping,
            SETTING: self._setting,
            DEDUPLICATION: self._deduplication,
            MAINTENANCE: self._maintenance,
        }
        return [Link(help_.label, made[help_.kind](help_)) for help_ in helps if self._may[help_.kind]]

    def _mapping(self, of: Help) -> str:
        asked = urlencode({"type": of.source, "q": of.alert_type})
        return f"{reverse('mappings:overview')}?{asked}#rows"

    def _setting(self, of: Help) -> str:
        """The row of this very type, or a new one that takes over what holds for it by a beginning."""
        for source in (of.source, ""):
            if pk := self._settings.get((source, of.alert_type)):
                return reverse("admin:alerts_alerttypesetting_change", args=[pk])
        before = self._in_force.row(of.source, of.alert_type) or {}
        values = {name: before[name] for name in TAKEN_OVER if before.get(name) not in (None, "", False)}
        values = {"alert_type": of.alert_type, "connector_type": of.source, **values, **of.values}
        return f"{reverse('admin:alerts_alerttypesetting_add')}?{urlencode(values)}"

    def _deduplication(self, of: Help) -> str:
        if pk := self._rules.get(of.source):
            return reverse("admin:connectors_deduplicationrule_change", args=[pk])
        values = {"connector_type": of.source, "fingerprint_fields": ",".join(DEFAULT_IDENTITY)}
        return f"{reverse('admin:connectors_deduplicationrule_add')}?{urlencode(values)}"

    def _maintenance(self, of: Help) -> str:
        return f"{reverse('maintenance:add')}?{urlencode({'devices': of.address})}"


def _edits(user: User | AnonymousUser, app: str, model: str) -> bool:
    """In the administration."""
    return user.is_staff and user.has_perms([f"{app}.add_{model}", f"{app}.change_{model}"])
