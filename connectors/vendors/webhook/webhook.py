"""The generic webhook: events in the words of /api/v1/events/, from senders that add what they like.

A body is one event, a list of them, or an object with such a list under `events` or `alerts`; as JSON, or as a form's
field `payload`. What is wrong with a field that no alert depends on is passed over and said in the alert's facts.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import orjson

from alerts.types import NormalizedAlert
from connectors.events import Wrong, normalized
from connectors.journal import Item
from connectors.snapshot import ConnectorRow, Snapshot
from connectors.traps.normalize import SEVERITY_FALLBACK
from connectors.webhooks import Headers, Unmapped, Unreadable

LABEL = "Webhook (generic)"

LISTS = ("events", "alerts")
# Which alert it is and whether it ends it: not to be guessed.
NEEDED = ("device_ip", "alert_type", "component", "source_alert_id", "is_clear")
ENVELOPE_MAX = 1_024  # octets of what stands beside a list that go with each of its events
ENVELOPE = "envelope"
FORM = "application/x-www-form-urlencoded"
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read(body: bytes, headers: Headers, connector: ConnectorRow) -> list[dict[str, Any]]:
    """Raises Unreadable."""
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = next((p.partition("=")[2] for p in parameters.split(";") if p.strip().lower().startswith("charset=")), "")
    text = _utf8(body, charset.strip(" \"'"))
    if kind.strip().lower() == FORM or text.startswith(b"payload="):
        text = _payload(text)
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable("malformed", f"The body is not JSON: {error}.") from None
    return list(map(_event, _listed(found)))


def _utf8(body: bytes, charset: str) -> bytes:
    """JSON is UTF-8 (RFC 8259); what says that it is not is believed."""
    for bom, encoding in _BOMS:
        if body.startswith(bom):
            body, charset = body[len(bom) :], encoding
            break
    if charset.lower() in ("", "utf-8", "utf8"):
        return body
    try:
        return body.decode(charset).encode()
    except (LookupError, ValueError):
        raise Unreadable("malformed", f"The body is not in the encoding it names, “{charset[:40]}”.") from None


def _payload(text: bytes) -> bytes:
    try:
        found = parse_qs(text, max_num_fields=100).get(b"payload")
    except ValueError:
        found = None
    if not found:
        raise Unreadable("malformed", "The form has no field payload with JSON in it.")
    return found[0]


def _listed(found: Any) -> list[Any]:
    if isinstance(found, list):
        return found
    if not isinstance(found, dict):
        raise Unreadable("malformed", "The body is neither an event, an object, nor a list of them.")
    name = next((name for name in LISTS if isinstance(found.get(name), list)), None)
    if name is None or "alert_type" in found:
        return [found]
    beside = {key: value for key, value in found.items() if key != name}
    if not beside:
        return list(found[name])
    is_short = len(orjson.dumps(beside, default=str)) <= ENVELOPE_MAX
    return [
        {**event, ENVELOPE: beside} if isinstance(event, dict) and (is_short or not number) else event
        for number, event in enumerate(found[name])
    ]


def _event(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {"no_object": found}


def normalize(raw: dict[str, Any], item: Item, connector: ConnectorRow, snapshot: Snapshot) -> NormalizedAlert:
    """Raises Unmapped."""
    try:
        return normalized(raw, item, connector, snapshot, strict=False)
    except Wrong as wrong:
        errors = {field.partition(".")[0]: f"{field}: {text}" for field, text in reversed(wrong.errors)}
    for field in NEEDED:
        if field in errors:
            raise Unmapped(field, errors[field])
    said = {name: value for name, value in raw.items() if name not in errors}
    event = normalized(said, item, connector, snapshot, strict=False)
    made = event.raw_data
    assert callable(made)
    event.raw_data = partial(_facts, made, raw, list(errors.values()))
    if "severity" in errors and not event.is_clear:
        event.tags = [*event.tags, SEVERITY_FALLBACK]
    return event


def _facts(made: Callable[[], dict[str, Any]], raw: dict[str, Any], passed_over: list[str]) -> dict[str, Any]:
    return {**made(), "event": raw, "passed_over": passed_over}
