"""A finding of a poll as an event: the manifest and the rows of normalisation say what it means, now and when the
journal is read again."""

from __future__ import annotations

import traceback
from datetime import datetime
from functools import partial
from typing import Any

from alerts.choices import SEVERITY_WORDS, Category, Outcome, Severity
from alerts.ids import uuid7
from alerts.types import NormalizedAlert
from connectors import seen
from connectors.events import TITLE_MAX, facts, in_words
from connectors.framework.base import Finding
from connectors.framework.manifest import Manifest
from connectors.framework.registry import UnknownType, manifest_of
from connectors.framework.shared import HEALTH
from connectors.journal import Item
from connectors.snapshot import ConnectorRow, Snapshot

KIND = "poll"
CATEGORIES = frozenset(Category.values)
SEVERITIES = {word: value for value, word in SEVERITY_WORDS.items()}


def source_of(connector: ConnectorRow) -> str:
    """What its events are counted under."""
    return f"poll:{connector.slug}"


def item_of(
    finding: Finding,
    connector: ConnectorRow,
    manifest: Manifest,
    snapshot: Snapshot,
    *,
    received_at: datetime,
    started_at: datetime,
    device_ip: str | None,
    device_name: str,
) -> Item:
    """The journal row of a finding, with its event. `started_at` is its effective time: what a trap said since is
    newer."""
    item = Item(uuid7(), received_at, connector.id, source_of(connector), None, f"{KIND} {connector.type}")
    item.data = {
        "alert_type": finding.alert_type,
        "component": finding.component,
        "is_raised": finding.is_raised,
        "title": finding.title,
        "message": finding.message,
        "severity": finding.severity,
        "category": finding.category,
        "metrics": finding.metrics,
        "source_alert_id": finding.source_alert_id,
        "tags": list(finding.tags),
        "device_ip": finding.device_ip or device_ip,
        "device_name": finding.device_name or device_name,
        "at": (finding.since or started_at).isoformat(),
    }
    _read(item, connector, manifest, snapshot)
    if finding.is_raised and finding.severity:
        seen.note(connector.type, item.data, snapshot.normalisation)
    return item


def reread(item: Item, snapshot: Snapshot) -> None:
    """A journalled finding, once more with today's rows."""
    connector = snapshot.by_id(item.connector_id)
    item.event, item.outcome, item.reason, item.error = None, None, "", ""
    if connector is None or not connector.enabled:
        item.outcome, item.reason = Outcome.DISABLED, "connector"
        return
    try:
        _read(item, connector, manifest_of(connector.type), snapshot)
    except UnknownType as error:
        item.outcome, item.reason, item.error = Outcome.FAILED, "type", str(error)
    except Exception as error:
        item.outcome, item.reason = Outcome.FAILED, type(error).__name__
        item.error = traceback.format_exc()[-8_000:]


def _read(item: Item, connector: ConnectorRow, manifest: Manifest, snapshot: Snapshot) -> None:
    data: dict[str, Any] = item.data or {}
    kind = manifest.type_of(data["alert_type"])
    is_clear = not data["is_raised"]
    alert_type = (kind.cleared_by or (kind.name,))[0] if is_clear else kind.name
    item.subject = alert_type
    address = data["device_ip"]
    device = snapshot.devices.find(address) if address else None
    name = (device.name if device else "") or data["device_name"]
    severity = SEVERITIES.get(data["severity"].lower(), SEVERITIES[kind.severity])
    category = data["category"] if data["category"] in CATEGORIES else kind.category
    graded = sorted_as = None
    rules = snapshot.normalisation
    if rules.maps and not is_clear:  # what is open is cleared whatever is switched off
        graded, sorted_as = rules.severity(connector.type, data), rules.category(connector.type, data)
        if graded is not None:
            severity = graded.target
            item.reason = "" if graded.enabled else "severity_mapping"
        if sorted_as is not None:
            category = sorted_as.target
            item.reason = item.reason or ("" if sorted_as.enabled else "category_mapping")
        if item.reason:
            item.outcome = Outcome.DISABLED
    title = data["title"] or kind.title or in_words(kind.name)
    if rules.titles and not is_clear:
        context = {**data, "device": name or address or connector.slug, "category": category}
        context["severity"] = SEVERITY_WORDS[severity]
        title = rules.title(connector.type, alert_type, context) or title
    # Of this connector alone, whoever shares its identity: others may well get on with the device.
    own = kind.name in HEALTH and kind.name != "device_offline"
    event = NormalizedAlert(
        source_system=connector.type,
        connector_id=connector.id,
        identity_scope=f"source/{connector.slug}" if own else connector.identity_scope,
        device_key=(device.ip if device else address) or connector.slug,
        device_ip=device.ip if device else address,
        device_name=name,
        device_id=device.id if device else None,
        alert_type=alert_type,
        component=data["component"],
        category=category,
        severity=int(Severity.CLEAR) if is_clear else severity,
        is_clear=is_clear,
        t=datetime.fromisoformat(data["at"]),
        received_at=item.received_at,
        title=title[:TITLE_MAX],
        message=data["message"],
        clears=(kind.name,) if is_clear else (),
        ttl_minutes=kind.ttl_minutes,
        source_alert_id=data["source_alert_id"],
        tags=list(data["tags"]),
        raw_data=partial(facts, data, item.source, None, graded, sorted_as),
        former_keys=device.former if device else (),
    )
    if rules.applies:
        rules.apply(event)
    item.device_ip = event.device_ip
    if item.outcome is None:
        item.event = event
