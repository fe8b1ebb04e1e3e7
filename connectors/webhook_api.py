"""POST /api/v1/webhooks/<connector-slug>/ as a plain ASGI application, like the events API and with its means.

Asked of a request: method, a connector that takes webhooks, its secret, size, the connector's rate. What it says is not
asked: an authentic body is journalled and answered 202.
"""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from alerts.choices import Outcome
from alerts.ids import uuid7
from connectors import webhooks
from connectors.durable import NotKept
from connectors.events_api import state
from connectors.http_intake import (
    Answer,
    Make,
    Receive,
    Refused,
    Scope,
    Send,
    away,
    check_method,
    count,
    read_body,
    refused,
    respond,
)
from connectors.idempotency import Claim
from connectors.intake import Full, intake
from connectors.journal import Item
from connectors.known import known
from connectors.samples import Samples
from connectors.snapshot import ConnectorRow
from connectors.webhooks import HEADERS_KEPT, Part, source_of
from dependencies.addresses import canonical_ip

log = logging.getLogger(__name__)

PATH = "/api/v1/webhooks/"
_SLUG = re.compile(rf"{PATH}([-\w]+)/?")
SIGNATURES = (b"x-hub-signature-256", b"x-signature")
SAMPLE_OCTETS = 4_096

_samples = Samples()
_tasks: set[asyncio.Task[None]] = set()


async def answer(scope: Scope, receive: Receive) -> Answer:
    """The answer to a request, and headers of its own. Raises Refused and Gone."""
    check_method(scope)
    connector = await _connector(scope["path"])
    headers = dict(scope["headers"])
    source = source_of(connector)
    now = datetime.now(UTC)
    given, signatures = _tokens(headers, scope), [headers[name] for name in SIGNATURES if name in headers]
    secrets = connector.webhook
    is_known = any(secrets.is_token(token, now) for token in given.values())
    if not is_known and not signatures:
        raise _not_believed(connector, given, b"", scope, now)
    body = await read_body(headers.get(b"content-length"), receive, source)
    if not is_known and not any(secrets.is_signature(signature, body, now) for signature in signatures):
        raise _not_believed(connector, given | {"signature": b""}, body, scope, now)
    kept = {name: headers[name.encode()].decode("latin-1") for name in HEADERS_KEPT if name.encode() in headers}
    parts = webhooks.split(body, kept, connector)
    now = datetime.now(UTC)
    taking = state()
    limits = known().snapshot.limits
    taking.charge(source, len(parts), source, limits, now, "The webhook of this connector is sent")
    return await taking.take(
        headers, body, f"hook:{connector.id}", source, now, _items_of(parts, connector, _address(scope))
    )


async def _connector(path: str) -> ConnectorRow:
    """The one a path names, of a type that has webhooks."""
    match = _SLUG.fullmatch(path)
    seen = known()
    found = seen.snapshot.connectors.get(match[1]) if match else None
    if match and (found is None or not seen.is_loaded):
        # It may be newer than what is known.
        if not await seen.look():
            raise away()
        found = seen.snapshot.connectors.get(match[1])
    if found is None or found.type not in webhooks.readers():
        raise refused(404, "There is no connector with a webhook here. Its address is on the connector's page.")
    return found


def _tokens(headers: dict[bytes, bytes], scope: Scope) -> dict[str, bytes]:
    """What was shown, by where."""
    found = {}
    word, _, value = headers.get(b"authorization", b"").partition(b" ")
    if word.lower() == b"bearer":
        found["Authorization"] = value.strip()
    if b"x-webhook-token" in headers:
        found["X-Webhook-Token"] = headers[b"x-webhook-token"].strip()
    query = scope.get("query_string", b"")
    if b"token=" in query:
        try:
            found["token="] = parse_qs(query, max_num_fields=50)[b"token"][-1]
        except (KeyError, ValueError):
            found["token="] = b""
    return found


def _not_believed(
    connector: ConnectorRow, given: dict[str, bytes], body: bytes, scope: Scope, now: datetime
) -> Refused:
    """The refusal, counted; now and then with a row in the journal that says who it was."""
    source, octets = source_of(connector), body[:SAMPLE_OCTETS]
    if _samples.takes(source, "secret", now, len(octets)):
        item = Item(uuid7(), now, connector.id, source, None, webhooks.kind_of(connector))
        item.device_ip = _address(scope)
        item.data = {"rejected": {"from": item.device_ip, "shown": list(given) or ["nothing"]}}
        item.datagram = octets or None
        item.outcome, item.reason = Outcome.REJECTED, "secret"
        task = asyncio.ensure_future(_note(item))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
    else:
        count(source, "secret", 1, now)
    detail = "The secret of this webhook was not shown, or is wrong. Show it as “Authorization: Bearer …”, as "
    detail += "X-Webhook-Token, as ?token=… or sign the body with it (X-Hub-Signature-256)."
    return refused(401, detail, (b"www-authenticate", b"Bearer"))


async def _note(item: Item) -> None:
    try:
        await intake().accept([item])
    except (Full, NotKept):
        count(item.source, item.reason, 1, item.received_at)


def _address(scope: Scope) -> str | None:
    client: Any = scope.get("client")
    try:
        return canonical_ip(client[0]) if client else None
    except ValueError:
        return None


def _items_of(parts: list[Part], connector: ConnectorRow, address: str | None) -> Make:
    def make(received_at: datetime, claim: Claim | None) -> list[Item]:
        snapshot = known().snapshot
        return [
            webhooks.interpret(
                part, connector, address, received_at, snapshot, claim.event_key(index) if claim is not None else None
            )
            for index, part in enumerate(parts)
        ]

    return make


async def webhook_api(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    await respond(answer(scope, receive), PATH, scope, send)
