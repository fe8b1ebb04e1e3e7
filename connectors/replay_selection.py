"""Which journalled events a replay reads: by time, connector, sender or device, trap OID, and the mapping that reads
them today."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from alerts.choices import Outcome
from connectors.journal import Item
from connectors.mapping_search import exact_patterns, is_oid
from connectors.models import Connector, OIDMapping
from connectors.snapshot import Snapshot
from connectors.traps.values import normalise_oid
from dependencies.addresses import canonical_ip
from opsconductor.exceptions import OpsConductorError

# What became of an event that was taken. Refused ones are no events, repeated deliveries are counted elsewhere, pending
# ones belong to the sweep, failed ones to the page of dead letters.
REPLAYED = (
    Outcome.OPENED,
    Outcome.REPEATED,
    Outcome.REOPENED,
    Outcome.UNMAPPED,
    Outcome.CLEARED,
    Outcome.ORPHAN_CLEAR,
    Outcome.LATE,
    Outcome.DISABLED,
    Outcome.RATE_LIMITED,
)
SPAN = re.compile(r"(\d{1,5})\s*(min|m|h|d|w)")
UNITS = {
    "min": timedelta(minutes=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


class BadSelection(OpsConductorError):
    """What was asked for cannot be selected; `field` names the one at fault."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Selection:
    """`until` is always set, so that a run never chases what arrives while it runs. Empty text means any."""

    until: datetime
    since: datetime | None = None
    connector: str = ""  # slug
    source: str = ""  # address of the sender, or of the device it speaks for
    oid: str = ""  # of a trap, or of a subtree with a trailing .*
    mapping: int = 0  # key of an OID mapping: traps that this row reads today, and no better one
    pattern: str = ""  # that row's

    @classmethod
    def of(cls, given: Mapping[str, Any], now: datetime | None = None) -> Selection:
        """From a form, a command line or a ReplayRun. Raises BadSelection."""
        now = now or timezone.now()
        text = {name: str(given.get(name) or "").strip() for name in ("since", "until", "connector", "source", "oid")}
        since = moment(text["since"], "since", now) if text["since"] else None
        until = min(moment(text["until"], "until", now), now) if text["until"] else now
        if since is not None and since >= until:
            raise BadSelection("The beginning must lie before the end, and in the past.", "since")
        if text["connector"] and not Connector.objects.filter(slug=text["connector"]).exists():
            known = ", ".join(Connector.objects.order_by("slug").values_list("slug", flat=True))
            raise BadSelection(f"There is no connector “{text['connector'][:60]}”. There are: {known}.", "connector")
        mapping = _mapping(str(given.get("mapping") or "").strip())
        return cls(
            until,
            since,
            text["connector"],
            _address(text["source"]),
            _oid(text["oid"]),
            mapping.pk if mapping is not None else 0,
            mapping.oid_pattern if mapping is not None else "",
        )

    def as_json(self) -> dict[str, str]:
        return {
            "since": self.since.isoformat() if self.since else "",
            "until": self.until.isoformat(),
            "connector": self.connector,
            "source": self.source,
            "oid": self.oid,
            "mapping": str(self.mapping or ""),
        }

    def condition(self) -> tuple[str, list[Any]]:
        """SQL over connectors_rawevent and its parameters; `takes` has the last word on what it finds."""
        parts, params = ["received_at < %s", "outcome = ANY(%s)"], [self.until, [o.value for o in REPLAYED]]
        if self.since is not None:
            parts.append("received_at >= %s")
            params.append(self.since)
        if self.connector:
            parts.append("connector_id = (SELECT id FROM connectors_connector WHERE slug = %s)")
            params.append(self.connector)
        if self.source:
            parts.append("(source = %s OR device_ip = %s::inet)")
            params += [self.source, self.source]
        for oid in (self.oid, self.pattern):
            if oid.endswith(".*"):
                base = oid[:-2]
                parts.append("(subject LIKE %s OR subject LIKE %s)")
                params += [f"{base}.%", f"{normalise_oid(base)}.%"]
            elif oid:
                parts.append("subject = ANY(%s)")
                params.append(exact_patterns(oid))
        return " AND ".join(parts), params

    def takes(self, item: Item, snapshot: Snapshot) -> bool:
        """Whether an event the condition found is meant: another row may read it, a longer one or its vendor's."""
        if not self.mapping:
            return True
        device = snapshot.devices.find(item.device_ip or item.source)
        row = snapshot.mappings.row_for(item.subject, device.vendor if device else "")
        return row is not None and row["id"] == self.mapping


def moment(text: str, field: str, now: datetime) -> datetime:
    """An ISO 8601 time (UTC unless it says otherwise) or a span back from now: 24h, 7d. Raises BadSelection."""
    span = SPAN.fullmatch(text.strip().lower())
    try:
        if span:
            return now - int(span[1]) * UNITS[span[2]]
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise BadSelection(
            f"“{text[:40]}” is neither a time such as 2026-11-21T14:00 (UTC) nor a span such as 24h or 7d.", field
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _address(text: str) -> str:
    if not text:
        return ""
    try:
        return canonical_ip(text)
    except ValueError:
        raise BadSelection(f"“{text[:60]}” is not an IP address.", "source") from None


def chosen_mapping(text: str) -> OIDMapping | None:
    """The row a text begins with the key of: 123, or 123 and what the page shows beside it."""
    key = re.match(r"([0-9]{1,18})(?![0-9.])", text)
    return OIDMapping.objects.filter(pk=int(key[1])).first() if key else None


def _mapping(text: str) -> OIDMapping | None:
    if not text:
        return None
    row = chosen_mapping(text)
    if row is None:
        raise BadSelection(f"“{text[:60]}” is no OID mapping. Choose one from the list, or give its number.", "mapping")
    return row


def _oid(text: str) -> str:
    text = text.lstrip(".")
    if text and not is_oid(text):
        raise BadSelection(f"“{text[:60]}” is not an OID such as 1.3.6.1.6.3.1.1.5.3 or 1.3.6.1.4.1.318.*.", "oid")
    return text
