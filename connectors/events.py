"""An event as a program sends it to /api/v1/events/: what it may say, how that is checked, what it means.

Pure: no database. One event is read in some ten microseconds, since thousands a second come.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from alerts.choices import Category, Outcome, Severity
from alerts.ids import uuid7
from alerts.types import NormalizedAlert
from connectors import seen
from connectors.clears import clears_of
from connectors.journal import Item
from connectors.normalisation import Meaning, effective_time
from connectors.snapshot import ConnectorRow, Snapshot
from dependencies.addresses import canonical_ip

KIND = "event"
CONNECTOR_TYPE = "api"
SKEW_TAG = "time-skew"

ADDRESS_MAX = 60
TYPE_MAX = 200
NAME_MAX = 200
COMPONENT_MAX = 500
SOURCE_ID_MAX = 200
WORD_MAX = 200
TITLE_MAX = 500
MESSAGE_MAX = 10_000
TAGS_MAX, TAG_MAX = 50, 200
METRICS_MAX, METRIC_NAME_MAX, METRIC_TEXT_MAX = 100, 200, 1_000
# Of a rejected event, whose shape nobody knows, so many levels are journalled.
DEPTH_KEPT = 20

SEVERITIES = {severity.label: int(severity) for severity in Severity}
CATEGORIES = {category.value for category in Category}
DEFAULT_SEVERITY = int(Severity.WARNING)

KEEP_KEYS = timedelta(hours=24)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["device_ip", "alert_type"],
    "additionalProperties": False,
    "properties": {
        "device_ip": {
            "type": "string",
            "description": "Address of the device that has the problem, IPv4 or IPv6. Aliases of a known device count "
            "as its primary address.",
            "example": "10.20.0.7",
        },
        "alert_type": {
            "type": "string",
            "maxLength": TYPE_MAX,
            "description": "What the problem is. With device and component it is the alert's identity: the same again "
            "is a repeat.",
            "example": "disk_full",
        },
        "severity": {
            "type": "string",
            "maxLength": WORD_MAX,
            "default": "warning",
            "description": f"How bad it is: {', '.join(reversed(SEVERITIES))}, or a word that a severity mapping "
            "knows. clear ends the alert, like is_clear.",
            "example": "major",
        },
        "category": {
            "type": "string",
            "maxLength": WORD_MAX,
            "default": "unknown",
            "description": f"What kind of thing is concerned: {', '.join(Category.values)}, or a word that a category "
            "mapping knows.",
            "example": "storage",
        },
        "title": {
            "type": "string",
            "description": f"One line for the board; the alert type when absent. Shortened to {TITLE_MAX} characters. "
            "A title template for the alert type wins.",
        },
        "message": {
            "type": "string",
            "description": f"More of the same. Shortened to {MESSAGE_MAX:,} characters.",
        },
        "device_name": {
            "type": "string",
            "maxLength": NAME_MAX,
            "description": "Shown while the device is not in the inventory.",
        },
        "component": {
            "type": "string",
            "maxLength": COMPONENT_MAX,
            "description": "The part of the device that is meant, part of the identity: disk=/var, ifIndex=3.",
        },
        "timestamp": {
            "type": "string",
            "format": "date-time",
            "description": "When it happened, ISO 8601; without a zone it is UTC. Too far off our clock (5 min, a "
            f"system setting) it is not believed: the time of receipt is used and the alert tagged {SKEW_TAG}.",
        },
        "source_alert_id": {
            "type": "string",
            "maxLength": SOURCE_ID_MAX,
            "description": "What the sender calls it; not part of the identity unless a deduplication rule says so.",
        },
        "is_clear": {
            "type": "boolean",
            "description": "The problem is over. Absent: by severity and by the alert type's ending (link_up, "
            "disk_restored, temperature_normal); false: it is not, whatever its name.",
        },
        "tags": {
            "type": "array",
            "maxItems": TAGS_MAX,
            "items": {"type": "string", "maxLength": TAG_MAX},
            "description": "Words to filter by.",
        },
        "metrics": {
            "type": "object",
            "maxProperties": METRICS_MAX,
            "additionalProperties": {"oneOf": [{"type": "number"}, {"type": "boolean"}, {"type": "string"}]},
            "description": "Measured values by name, shown with the alert; null is allowed for one that is missing.",
        },
    },
}
FIELDS = frozenset(SCHEMA["properties"])


class Wrong(ValueError):
    """What is wrong with an event: `errors` as [(field, sentence)]; field is empty when the whole is meant."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {text}" if field else text for field, text in errors))
        self.errors = errors


def interpret(raw: Any, source: str, received_at: datetime, snapshot: Snapshot, event_key: UUID | None = None) -> Item:
    """The journal item of one event of a request, with its event or the outcome that says why it has none.

    `raw` is what JSON said; it is kept as the item's data. `source` names the API key. Never raises for what was sent.
    """
    connector = snapshot.of_type(CONNECTOR_TYPE)
    item = Item(event_key or uuid7(), received_at, connector.id if connector else None, source, None, KIND)
    item.data = raw
    _fill(item, connector, snapshot)
    if connector is not None and isinstance(raw, dict):
        seen.note(connector.type, raw, snapshot.normalisation)
    return item


def reread(item: Item, snapshot: Snapshot) -> None:
    """Interpret a journalled event once more, with today's configuration. What was rejected stays so: its sender was
    told, and has sent it again as it should be."""
    connector = snapshot.by_id(item.connector_id) or snapshot.of_type(CONNECTOR_TYPE)
    item.event = None
    if isinstance(item.data, dict) and item.data.keys() == {"rejected"}:
        item.outcome, item.reason = Outcome.REJECTED, "event"
        item.error = "It was rejected when it came."
        return
    item.outcome, item.reason, item.error = None, "", ""
    _fill(item, connector, snapshot)


def _fill(item: Item, connector: ConnectorRow | None, snapshot: Snapshot) -> None:
    raw = item.data
    try:
        if not isinstance(raw, dict):
            raise Wrong([("", "An event is an object.")])
        event = normalized(raw, item, connector, snapshot)
    except Wrong as wrong:
        item.outcome, item.reason, item.error = Outcome.REJECTED, _reason(wrong), str(wrong)
        item.data = {"rejected": storable(raw)}
        return
    item.subject = event.alert_type
    item.device_ip = event.device_ip
    if connector is None or not connector.enabled:
        item.outcome, item.reason = Outcome.DISABLED, "connector"
    elif item.outcome is None:
        item.event = event


def _reason(wrong: Wrong) -> str:
    """The field at fault; what senders call theirs must not become a reason of its own in the counts."""
    field = wrong.errors[0][0].partition(".")[0]
    return field if field in FIELDS else "event"


_NOBODY = ConnectorRow(0, CONNECTOR_TYPE, CONNECTOR_TYPE, False, CONNECTOR_TYPE)


def normalized(
    raw: dict[str, Any], item: Item, connector: ConnectorRow | None, snapshot: Snapshot, *, strict: bool = True
) -> NormalizedAlert:
    """The event; the item is DISABLED when a mapping row that is switched off matches. Raises Wrong with everything
    that is wrong; fields nobody knows are that when it is strict."""
    errors: list[tuple[str, str]] = []
    connector = connector or _NOBODY
    rules = snapshot.normalisation
    switched_off = ""
    if strict and not raw.keys() <= FIELDS:
        errors += [
            (shown(name), f"This is not a field of an event. Fields: {', '.join(SCHEMA['properties'])}.")
            for name in raw
            if name not in FIELDS
        ][:10]
    text = partial(_text, raw, errors)
    address = text("device_ip", ADDRESS_MAX, required=True)
    if address:
        try:
            address = canonical_ip(address)
        except ValueError:
            errors.append(("device_ip", f"“{shown(address)}” is not an IP address."))
    alert_type = text("alert_type", TYPE_MAX, required=True)
    word = text("severity", WORD_MAX).lower()
    severity = SEVERITIES.get(word) if word else DEFAULT_SEVERITY
    category = text("category", WORD_MAX).lower() or Category.UNKNOWN.value
    graded = sorted_as = None
    if rules.maps:
        graded, sorted_as = rules.severity(connector.type, raw), rules.category(connector.type, raw)
        if graded is not None:
            severity = graded.target
            switched_off = "" if graded.enabled else "severity_mapping"
        if sorted_as is not None:
            category = sorted_as.target
            switched_off = switched_off or ("" if sorted_as.enabled else "category_mapping")
    if severity is None:
        allowed = f"{', '.join(reversed(SEVERITIES))}, and the words of severity mappings"
        errors.append(("severity", f"“{shown(word)}” is not a severity. Allowed: {allowed}."))
        severity = DEFAULT_SEVERITY
    if category not in CATEGORIES:
        allowed = f"{', '.join(Category.values)}, and the words of category mappings"
        errors.append(("category", f"“{shown(category)}” is not a category. Allowed: {allowed}."))
    said_clear = raw.get("is_clear")
    if said_clear is not None and not isinstance(said_clear, bool):
        errors.append(("is_clear", "Write true or false."))
    # A type of its own alone needs no list: that is what an empty one means.
    ends = clears_of(alert_type, True if severity == Severity.CLEAR else said_clear)
    is_clear, clears = ends is not None, () if ends is None or ends == (alert_type,) else ends
    title = _short(text("title"), TITLE_MAX)
    message = _short(text("message", lines=True), MESSAGE_MAX)
    name = text("device_name", NAME_MAX)
    component = text("component", COMPONENT_MAX)
    source_alert_id = text("source_alert_id", SOURCE_ID_MAX)
    tags = _tags(raw.get("tags"), errors)
    _check_metrics(raw.get("metrics"), errors)
    said = raw.get("timestamp")
    t, skew = item.received_at, None
    if said is not None:
        try:
            own = moment(said)
        except ValueError as error:
            errors.append(("timestamp", str(error)))
        else:
            t, skew = effective_time(
                own, item.received_at, trusted=connector.trusted_for_time, limit=snapshot.limits.skew
            )
            if skew is not None and SKEW_TAG not in tags:
                tags = [*tags, SKEW_TAG]
    if errors:
        raise Wrong(errors)
    device = snapshot.devices.find(address)
    if rules.titles and not is_clear:  # nobody sees the text of a clear
        shown_name = (device.name if device else "") or name or address
        title = rules.title(connector.type, alert_type, _context(raw, shown_name, category, severity)) or title
    event = NormalizedAlert(
        source_system=connector.type,
        connector_id=connector.id,
        identity_scope=connector.identity_scope,
        device_key=device.ip if device else address,
        device_ip=device.ip if device else address,
        device_name=(device.name if device else "") or name,
        device_id=device.id if device else None,
        alert_type=alert_type,
        component=component,
        category=category,
        severity=int(Severity.CLEAR) if is_clear else severity,
        is_clear=is_clear,
        t=t,
        received_at=item.received_at,
        title=title or in_words(alert_type),
        message=message,
        clears=clears,
        source_alert_id=source_alert_id,
        tags=tags,
        raw_data=partial(facts, raw, item.source, skew, graded, sorted_as),
        former_keys=device.former if device else (),
    )
    if rules.applies:
        rules.apply(event)
    if switched_off and not is_clear:  # what is open is still cleared
        item.outcome, item.reason = Outcome.DISABLED, switched_off
    return event


def _context(raw: dict[str, Any], device: str, category: str, severity: int) -> dict[str, Any]:
    """Variables of a title template: the event's fields as they came, and what they mean."""
    said = {name: "" if raw.get(name) is None else raw[name] for name in FIELDS}
    said["metrics"] = raw.get("metrics") or {}
    return {**said, "device": device, "category": category, "severity": Severity(severity).label}


def facts(
    raw: dict[str, Any],
    source: str,
    skew: timedelta | None,
    graded: Meaning[int] | None = None,
    sorted_as: Meaning[str] | None = None,
) -> dict[str, Any]:
    """What the alert's page shows of the event as it came, and which rows said what it means; JSON-safe."""
    found: dict[str, Any] = {"event": raw, "source": source}
    if skew is not None:
        found["time_skew_seconds"] = round(skew.total_seconds(), 3)
    rows = {"severity_mapping": graded, "category_mapping": sorted_as}
    mapping = {name: row.id for name, row in rows.items() if row is not None and row.id is not None}
    if mapping:
        found["mapping"] = mapping
    return found


def in_words(alert_type: str) -> str:
    """A title for an event without one: disk_full, Disk full."""
    words = alert_type.replace("_", " ").strip()
    return words[:1].upper() + words[1:TITLE_MAX]


def moment(value: Any) -> datetime:
    """A time as events carry it; without a zone it is UTC. Raises ValueError with a sentence."""
    try:
        if not isinstance(value, str) or len(value) > 60:
            raise ValueError
        found = datetime.fromisoformat(value.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("Write the time as ISO 8601: 2026-11-21T14:05:09Z.") from None


# Control characters have no place in a line; in a message line ends and tabs do.
_IN_LINE = dict.fromkeys((*range(1, 32), 127), " ")
_IN_TEXT = {code: character for code, character in _IN_LINE.items() if code not in (9, 10, 13)}


def _text(
    raw: dict[str, Any],
    errors: list[tuple[str, str]],
    field: str,
    most: int = 0,
    required: bool = False,
    lines: bool = False,
) -> str:
    """The text of a field, "" when it is absent or null. `most` is its limit in characters, 0 for none."""
    value = raw.get(field)
    if type(value) is str:
        if not value.isprintable():
            if "\0" in value:
                errors.append((field, "It holds a NUL character."))
                return ""
            value = value.translate(_IN_TEXT if lines else _IN_LINE)
        value = value.strip()
        if most and len(value) > most:
            errors.append((field, f"At most {most} characters."))
            return ""
    elif value is None:
        value = ""
    else:
        errors.append((field, "Write text, in quotes."))
        return ""
    if required and not value:
        errors.append((field, "This field is required."))
    return value


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _tags(value: Any, errors: list[tuple[str, str]]) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        errors.append(("tags", 'Write a list of words: ["core", "site-12"].'))
    elif len(value) > TAGS_MAX:
        errors.append(("tags", f"At most {TAGS_MAX} of them."))
    elif any(len(tag) > TAG_MAX or "\0" in tag for tag in value):
        errors.append(("tags", f"At most {TAG_MAX} characters each, without NUL."))
    else:
        cleaned = (tag.translate(_IN_LINE).strip() for tag in value)
        return list(dict.fromkeys(tag for tag in cleaned if tag))
    return []


def _check_metrics(value: Any, errors: list[tuple[str, str]]) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        errors.append(("metrics", 'Write an object of values by name: {"load": 4.2}.'))
    elif len(value) > METRICS_MAX:
        errors.append(("metrics", f"At most {METRICS_MAX} of them."))
    else:
        for name, measured in value.items():
            field = f"metrics.{shown(name)}"
            if len(name) > METRIC_NAME_MAX or "\0" in name:
                errors.append((field, f"A name has at most {METRIC_NAME_MAX} characters, without NUL."))
            elif isinstance(measured, dict | list):
                errors.append((field, "Write a number, true, false, text or null."))
            elif isinstance(measured, str) and (len(measured) > METRIC_TEXT_MAX or "\0" in measured):
                errors.append((field, f"At most {METRIC_TEXT_MAX:,} characters, without NUL."))


def shown(text: str) -> str:
    """What was sent, fit for a sentence."""
    return _short("".join(c if c.isprintable() else "�" for c in text[:41]), 40)


def storable(value: Any, depth: int = DEPTH_KEPT) -> Any:
    """JSON that PostgreSQL takes: without NUL, and what is nested deeper than anybody looks cut off."""
    if isinstance(value, str):
        return value.replace("\0", "�")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict | list):
        if not depth:
            return "…"
        if isinstance(value, list):
            return [storable(inner, depth - 1) for inner in value]
        return {name.replace("\0", "�"): storable(inner, depth - 1) for name, inner in value.items()}
    return value


def said(item: Item, *, spooled: bool, index: int) -> dict[str, Any]:
    """One entry of an answer's results: {index, outcome, event_id, alert_id, error}.

    What was spooled is `pending`: the database has not seen it yet.
    """
    outcome = Outcome.PENDING if spooled and item.event is not None else item.outcome
    if outcome is None:
        raise ValueError(f"event {item.event_key} has no outcome")
    explain = EXPLAINED.get(outcome)
    return {
        "index": index,
        "outcome": outcome.value,
        "event_id": str(item.event_key),
        "alert_id": str(item.alert_id) if item.alert_id is not None and not spooled else None,
        "error": explain(item.error) if explain else None,
    }


EXPLAINED: dict[Outcome, Callable[[str], str]] = {
    Outcome.REJECTED: lambda error: error,
    Outcome.DISABLED: lambda _: "The connector is switched off: the event is journalled and raises nothing.",
    # The error is a traceback then, which is for our own people.
    Outcome.FAILED: lambda _: "It could not be applied. It is in the journal with the reason.",
}


def answer(results: list[dict[str, Any]]) -> dict[str, Any]:
    """`{accepted, rejected, results}`; rejected are those that were refused for what they say."""
    rejected = sum(result["outcome"] == Outcome.REJECTED for result in results)
    return {"accepted": len(results) - rejected, "rejected": rejected, "results": results}
