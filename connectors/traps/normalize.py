"""From a decoded notification to a NormalizedAlert: which device, what it means, on which part of the device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from alerts.choices import Severity
from alerts.types import NormalizedAlert
from connectors.clears import clears_of
from connectors.mappings import TITLE_MAX, Varbinds, shortened
from connectors.oids import NameTable
from connectors.snapshot import ConnectorRow, Snapshot
from connectors.traps.ber import Notification, parse
from connectors.traps.values import json_value, normalise_oid, readable

UNKNOWN_TYPE = "unknown_trap"
MESSAGE_MAX = 400
# Indexes, identifiers and counters are for machines.
BOOKKEEPING = re.compile(r"(Index|ID|Id|Counter|Number|OID)$")
PREFIX = re.compile(r"^[a-z]+(?=[A-Z])")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
NUMBER = re.compile(r"-?[0-9]{1,20}")
SCALE = re.compile(r"0\.0{0,8}[1-9][0-9]{0,8}")  # what a MIB writes before a unit is anybody's text
VARBINDS_IN_MESSAGE = 8
# The mapping reads the severity off a varbind, and what it carried is not in its table: the row's own is shown.
SEVERITY_FALLBACK = "severity-fallback"


class Disabled(Exception):
    """The trap is known and switched off: it is journalled and counted, and raises nothing."""


def device_address(notification: Notification, source: str, connector: ConnectorRow) -> str:
    """The device a notification speaks of, by what the connector knows of its sender; see `identity`."""
    return connector.senders.device(source, notification.agent_addr, notification.trap_address)


def normalize(
    notification: Notification, source: str, received_at: datetime, snapshot: Snapshot, connector: ConnectorRow
) -> NormalizedAlert:
    """Raises Disabled when the connector or the mapping row is switched off."""
    if not connector.enabled:
        raise Disabled("connector")
    address = device_address(notification, source, connector)
    device = snapshot.devices.find(address)
    key, name, vendor = (device.ip, device.name, device.vendor) if device else (address, "", "")
    varbinds = named(notification, snapshot.mappings.names)
    match = snapshot.mappings.match(notification.trap_oid, varbinds, vendor)
    if match is not None and not match.enabled:
        raise Disabled("mapping")

    alert = NormalizedAlert(
        source_system=connector.type,
        connector_id=connector.id,
        identity_scope=connector.identity_scope,
        device_key=key,
        device_ip=key,
        device_name=name,
        device_id=device.id if device else None,
        alert_type=UNKNOWN_TYPE,
        component="",
        category="unknown",
        severity=int(Severity.WARNING),
        is_clear=False,
        t=received_at,  # a trap carries no time of its own, only the agent's uptime
        received_at=received_at,
        title="",
        message="",
        raw_data=partial(raw_data, notification, varbinds, source),
        former_keys=device.former if device else (),
    )
    rules = snapshot.normalisation
    if match is None:
        # One alert for both forms of its OID, called by the one that was sent: that is what a MIB lists.
        alert.component = shortened(normalise_oid(notification.trap_oid))
        alert.title = f"Unknown trap {notification.trap_oid}"[:TITLE_MAX]
        alert.message = describe(varbinds)
        alert.unmapped = True
        if rules.applies:
            rules.apply(alert)
        return alert
    alert.alert_type = match.alert_type
    alert.component = match.component
    alert.category = match.category
    alert.severity = match.severity
    alert.is_clear = match.is_clear
    alert.clears = match.clears
    if match.is_clear and not match.clears:
        ends = clears_of(match.alert_type, True) or ()
        alert.clears = ends if len(ends) > 1 else ()
    alert.ttl_minutes = match.ttl_minutes
    if match.severity_fallback:
        alert.tags = [SEVERITY_FALLBACK]
    alert.raw_data = partial(raw_data, notification, varbinds, source, match.severity_fallback, match.row)
    alert.mapping = match.row
    if not match.is_clear:  # nobody sees the text of a clear
        alert.title = match.title(device=name or key)
        alert.message = describe(varbinds, match.component)
        if rules.titles and not match.title_template:
            context = {**varbinds.context(name or key, match.component), "message": alert.message}
            context |= {"alert_type": match.alert_type, "category": match.category}
            alert.title = rules.title(connector.type, match.alert_type, context) or alert.title
    if rules.applies:
        rules.apply(alert)
    return alert


def plain_value(kind: str, value: Any, oid: str) -> Any:
    """What conditions and titles see: numbers as numbers, everything else as readable text."""
    if isinstance(value, bytes):
        return readable(kind, value, oid)
    return value


def describe(varbinds: Varbinds, component: str = "") -> str:
    """What the varbinds say, in one line for the second line of the board: `ifAdminStatus up, ifOperStatus down`.

    Sentences stand alone; identifiers tell an operator nothing and are left to the detail page: OIDs, and what the
    component says already.
    """
    parts = []
    for item in varbinds.items:
        value = "" if item.value is None else " ".join(str(item.value).replace("\x00", "").split())
        name = item.name
        if not value or item.type == "ObjectIdentifier" or (name and f"{name.name}={value}" in component.split(",")):
            continue
        if name is None or (item.type == "OctetString" and " " in value):
            parts.append(value)
        elif not BOOKKEEPING.search(name.name):
            parts.append(f"{in_words(name.name)} {name.enum.get(value) or measure(value, name.unit)}")
    text = ", ".join(parts[:VARBINDS_IN_MESSAGE]) + (", …" if len(parts) > VARBINDS_IN_MESSAGE else "")
    return text if len(text) <= MESSAGE_MAX else text[: MESSAGE_MAX - 1] + "…"


@lru_cache(maxsize=10_000)
def in_words(name: str) -> str:
    """A MIB object's name as words without its prefix: upsEstimatedMinutesRemaining, estimated minutes remaining."""
    stem = PREFIX.sub("", name) or name
    return " ".join(WORD.findall(stem)).lower() or name


def measure(value: str, unit: str) -> str:
    """A value with its unit; MIBs count in tenths and hundredths (`0.1 Hz`), people in the whole unit."""
    scale, _, whole = unit.partition(" ")
    if whole and SCALE.fullmatch(scale) and NUMBER.fullmatch(value):
        return f"{int(value) / round(1 / float(scale)):g} {whole}"
    return f"{value} {unit}".strip()


def raw_data(
    notification: Notification,
    varbinds: Varbinds,
    source: str,
    severity_fallback: bool = False,
    mapping: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the alert's page shows of the notification; JSON-safe, without the community. `mapping`: the fields of the
    row it was read by."""
    rows = []
    for vb, item in zip(notification.varbinds, varbinds.items, strict=True):
        row: dict[str, Any] = {"oid": vb.oid, "type": vb.type, "value": json_value(vb.type, vb.value)}
        if item.name is not None:
            row["name"] = f"{item.name.name}.{item.name.instance}" if item.name.instance else item.name.name
            word = item.name.enum.get(str(vb.value))
            if word:
                row["word"] = word
        shown = item.value if isinstance(vb.value, bytes) else readable(vb.type, vb.value, vb.oid)
        if str(shown) != str(row["value"]):
            row["readable"] = shown
        rows.append(row)
    data: dict[str, Any] = {
        "version": notification.version,
        "trap_oid": notification.trap_oid,
        "source": source,
        "uptime": notification.uptime,
        "varbinds": rows,
    }
    for name in ("enterprise", "agent_addr"):
        value = getattr(notification, name)
        if value:
            data[name] = value
    if notification.confirmed:
        data["inform"] = True
    if notification.security:
        data["security"] = notification.security
    if severity_fallback:
        data["severity_fallback"] = True
    if mapping is not None:
        data["mapping"] = {
            "oid_mapping": mapping.get("id"),
            "oid_pattern": mapping["oid_pattern"],
            "vendor": mapping.get("vendor") or "",
        }
    return data


def raw_data_of(
    datagram: bytes, source: str, names: NameTable, severity_fallback: bool, mapping: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The same, of a v1 or v2c datagram that has been read before."""
    notification = parse(datagram)
    return raw_data(notification, named(notification, names), source, severity_fallback, mapping)


def named(notification: Notification, names: NameTable) -> Varbinds:
    """The varbinds with their objects' names, values as conditions and titles see them."""
    return Varbinds([(vb.oid, vb.type, plain_value(vb.type, vb.value, vb.oid)) for vb in notification.varbinds], names)
